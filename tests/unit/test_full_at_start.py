"""A server that is started on a full filesystem serves it: else its clients could not empty it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.property.disk import KINDS, filesystem
from tests.unit.overlays import make_dirs, served

_STATE = b"lock-clients"  # a file that each start replaces
_FILES_MAX = 2000


def takes(step: Callable[[], object]) -> bool:
    """Whether there was space for something."""
    try:
        step()
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        return False
    return True


def fill(directory: Path, kind: str) -> None:
    """Take all blocks, and the inodes that can be had without them.

    Btrfs has other blocks for those, and where they are full a name cannot even be replaced.
    """
    with (directory / "blocks").open("wb", buffering=0) as file:
        fd, size = file.fileno(), 0
        for more in (16 << 20, 1 << 20, 64 << 10, 4 << 10):
            while takes(lambda: os.posix_fallocate(fd, size, more)):  # noqa: B023
                size += more
    for number in range(0 if kind == "btrfs" else _FILES_MAX):
        if not takes((directory / f"{number:0200}").touch):
            return


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_filesystem_is_served_and_emptied(kind: str, tmp_path: Path) -> None:
    with filesystem(kind, tmp_path) as disk:
        dirs = make_dirs(disk)
        with served(dirs) as tree:
            tree.overlay.write_state(_STATE, b"before")
        fill(dirs.upper, kind)
        with served(dirs) as tree:
            assert not takes(lambda: tree.create("new", "x" * (1 << 20)))
            tree.overlay.write_state(_STATE, b"after")
            assert tree.overlay.read_state(_STATE) == b"after"
            for path in ("a", "b", "d/f", "p", "s"):
                tree.remove(path)
