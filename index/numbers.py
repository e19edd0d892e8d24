"""Numbers of 32 bits for clients whose programs know no longer ones (`--inode-bits 32`).

An object's own number (index.layers) has its filesystem's in the high byte, or is a hash.
Most inode numbers have no more than 28 bits, and there are few filesystems: then both
together are the number.  For all other objects one above those is drawn, by a hash, and
kept for ever in the work directory: `numbers/NUMBER`, in hexadecimal, is taken, by the
object of `numbers/NUMBER.OWN`.  Handles have the object's own number in any case.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Final

from index.linux.fd import open_dir
from index.linux.syscalls import is_there
from index.workdir import NUMBERS, Workdir

_OWN_BITS: Final = 56  # of an inode number in an object's own number (index.layers)
_INODE_BITS: Final = 28
_FILESYSTEMS: Final = 7
_DRAWN: Final = _FILESYSTEMS << _INODE_BITS  # from here on
_END: Final = 1 << 32
_CACHED_MAX: Final = 1 << 18  # numbers in memory


class ShortNumbers:
    """The numbers of 32 bits of one export."""

    def __init__(self, workdir: Workdir, lock: AbstractContextManager[object]) -> None:
        """`lock`, common to all processes, is held while a number is taken."""
        self._workdir = workdir
        self._lock = lock
        with contextlib.suppress(FileExistsError):
            os.mkdir(NUMBERS, 0o700, dir_fd=workdir.root)
        self._directory = open_dir(workdir.root, NUMBERS)
        self._known: dict[int, int] = {}

    def of(self, own: int) -> int:
        """Return the number for clients of the object with this own number."""
        filesystem, inode = own >> _OWN_BITS, own & (1 << _OWN_BITS) - 1
        if filesystem < _FILESYSTEMS and inode >> _INODE_BITS == 0:
            return filesystem << _INODE_BITS | inode
        number = self._known.get(own)
        if number is None:
            number = self._drawn(own) or self._draw(own)
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            self._known[own] = number
        return number

    def of_all(self, own: Iterable[int]) -> list[int]:
        """Return the numbers for clients of many objects."""
        return [self.of(each) for each in own]

    def _drawn(self, own: int) -> int | None:
        """Return the number that was drawn for an object; None if none was."""
        for number in _draws(own):
            if is_there(self._directory, _name_of(number, own)):
                return number
            if not is_there(self._directory, b"%08x" % number):
                break
        return None

    def _draw(self, own: int) -> int:
        with self._lock:
            drawn = self._drawn(own)
            if drawn is not None:
                return drawn  # another was faster
            free = (one for one in _draws(own) if not is_there(self._directory, b"%08x" % one))
            number = next(free)
            self._workdir.link_whiteout(self._directory, b"%08x" % number)
            self._workdir.link_whiteout(self._directory, _name_of(number, own))
            return number


def _name_of(number: int, own: int) -> bytes:
    return b"%08x.%016x" % (number, own)


def _draws(own: int) -> Iterator[int]:
    """Yield the numbers that an object may have, in the order in which they are tried."""
    hashed = own.to_bytes(8, "big")
    while True:
        hashed = blake2b(hashed, digest_size=8).digest()
        yield _DRAWN + int.from_bytes(hashed, "big") % (_END - _DRAWN)
