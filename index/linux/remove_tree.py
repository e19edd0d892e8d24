"""Removing a directory with all that is in it, however deep."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from typing import Final

from index.linux.fd import Fd, open_dir

_TAKEN: Final = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)  # of a name for a directory


def remove_tree(parent: Fd, name: bytes) -> None:
    """Remove what is called `name`, and all that is below it; raises ENOENT if there is nothing.

    Directories in directories are first moved to the top, so no more than two are
    open, and no path is used.
    """
    if _unlinked(parent, name):
        return
    top, numbers = open_dir(parent, name), itertools.count()
    while names := os.listdir(open_dir(top, b".")):
        for each in map(os.fsencode, names):
            if not _unlinked(top, each):
                _flatten(top, each, numbers)
    os.rmdir(name, dir_fd=parent)


def _flatten(top: Fd, name: bytes, numbers: Iterator[int]) -> None:
    """Remove a directory in `top`; those in it become directories in `top`."""
    directory = open_dir(top, name)
    for each in map(os.fsencode, os.listdir(directory)):
        while not _unlinked(directory, each):
            try:
                os.rename(each, b"%d" % next(numbers), src_dir_fd=directory, dst_dir_fd=top)
            except OSError as problem:
                if problem.errno not in _TAKEN:
                    raise
            else:
                break
    os.rmdir(name, dir_fd=top)


def _unlinked(directory: Fd, name: bytes) -> bool:
    """Return whether a name was removed; that of a directory is not."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    return True
