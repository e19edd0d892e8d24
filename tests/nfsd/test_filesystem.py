"""The filesystem that procedures see is written down whole (mypy holds each method against it)."""

from __future__ import annotations

from nfsd.export.filesystem import Filesystem
from nfsd.export.pseudo_root import SeenRoot
from overlay.filesystem import Overlay


def methods(of: type) -> set[str]:
    return {name for name, value in vars(of).items() if callable(value) and name[0] != "_"}


def test_what_all_filesystems_have_is_written_down() -> None:
    assert methods(Filesystem) == methods(Overlay) & methods(SeenRoot)
