"""A server that is started on a full filesystem serves it: else its clients could not empty it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.overlays import make_dirs, served
from tests.property.disk import KINDS, filesystem, fill, takes

_STATE = b"lock-clients"  # a file that each start replaces
_FILES = 2000  # btrfs has other blocks for those; where they are full no name can be replaced


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_filesystem_is_served_and_emptied(kind: str, tmp_path: Path) -> None:
    with filesystem(kind, tmp_path) as disk:
        dirs = make_dirs(disk)
        with served(dirs) as tree:
            tree.overlay.write_state(_STATE, b"before")
        fill(dirs.upper, files=0 if kind == "btrfs" else _FILES)
        with served(dirs) as tree:
            assert not takes(lambda: tree.create("new", "x" * (1 << 20)))
            tree.overlay.write_state(_STATE, b"after")
            assert tree.overlay.read_state(_STATE) == b"after"
            for path in ("a", "b", "d/f", "p", "s"):
                tree.remove(path)
