"""Which files are in the stack, where a layer on the same filesystem was taken out of it.

A file's handle names the filesystem, and the kernel opens any inode of that.  So while a
layer is left out, and is still there, a file that is opened by handle is looked for among
the inode numbers of the layers that are in the stack.  They are read once, by one walk
over the names of these layers, when the first such handle comes.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from index.layers import UPPER_ID, Known, Layer, Record
from index.linux.fd import Fd, open_dir, open_name
from overlay.base.blocking import may_block


class LeftOut:
    """What is known of this in one overlay."""

    def __init__(self, lowers: Sequence[Layer], record: Record) -> None:
        self._lowers = lowers
        self._numbers: dict[int, array[int]] = {}  # of inodes, in order, by filesystem
        stack = {layer.id for layer in lowers} | set(record.stack)
        out = [known for known in record.layers if known.id not in stack and known.id != UPPER_ID]
        self._doubtful = frozenset(known.filesystem for known in out if self._is_there(known))

    def _is_there(self, known: Known) -> bool:
        """Return whether the root of a layer that is not in the stack can be opened beside it."""
        real = known.root_handle
        for layer in self._lowers:
            if real is not None and layer.filesystem == known.filesystem and layer.has_handles:
                return layer.open_handle(real, os.O_PATH) is not None
        return False

    def has(self, filesystem: int, fd: Fd) -> bool:
        """Return whether an inode of a filesystem is in a layer of the stack.  May block."""
        if filesystem not in self._doubtful:
            return True
        numbers = self._numbers.get(filesystem)
        if numbers is None:
            may_block()
            numbers = self._numbers[filesystem] = self._walk(filesystem)
        number = os.fstat(fd).st_ino
        at = bisect_left(numbers, number)
        return at < len(numbers) and numbers[at] == number

    def _walk(self, filesystem: int) -> array[int]:
        found = array("Q")
        for layer in self._lowers:
            if layer.filesystem == filesystem:
                _walk(layer.root, found)
        return array("Q", sorted(found))


def _walk(root: Fd, found: array[int]) -> None:
    """Note the inode numbers of all files below a directory."""
    way = [_below(root, found)]  # only the directories on the way down are open
    while way:
        directory = next(way[-1], None)
        if directory is None:
            way.pop()
        else:
            way.append(_below(directory, found))


def _below(directory: Fd, found: array[int]) -> Iterator[Fd]:
    subdirectories, own = [], open_dir(directory, b".")
    with os.scandir(own) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                subdirectories.append(os.fsencode(entry.name))
            else:
                found.append(entry.inode())
    for name in subdirectories:
        below = open_name(directory, name)
        if below is not None:
            yield below[0]
