"""Data of files where the kernel has it: a range of the page cache, seen as memory.

It is sent from there by sendfile(2), so nobody copies it but who receives it.  To be
sure that this waits for no disk, the range is mapped, and mincore(2) asked.

Rule: the memory stands for the data and is not looked at.  Where the file has become
shorter, that would kill this process.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable
from functools import cache
from typing import Final

from index.fd import Fd

# Short calls that never wait: other threads need not go on meanwhile.
_quick = ctypes.PyDLL(None)
_mmap, _munmap, _mincore = _quick.mmap, _quick.munmap, _quick.mincore
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
)
_munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
_mincore.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


class Pages(ctypes.Array[ctypes.c_char]):
    """Whole pages of a file, mapped, until nobody refers to them any more."""

    _type_ = ctypes.c_char
    _length_ = mmap.PAGESIZE
    file: Fd
    end: int  # where in the file the range ends that was asked for

    def send(self, sock: int, left: int) -> int:
        """Send the last `left` bytes of that range, or the first of those that a socket takes.

        Returns how many: none where the file has become shorter, or its filesystem
        cannot.  Raises BlockingIOError where the socket takes none.
        """
        try:
            return os.sendfile(sock, self.file, self.end - left, left)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return 0

    def again(self, left: int) -> bytes:
        """The last `left` bytes of that range, read; zeros where the file has become shorter."""
        return os.pread(self.file, left, self.end - left).ljust(left, b"\0")

    # What is needed is bound early: module globals may be gone at interpreter exit.
    def __del__(
        self,
        munmap: Callable[[int, int], int] = _munmap,
        addressof: Callable[[ctypes.Array[ctypes.c_char]], int] = ctypes.addressof,
    ) -> None:
        munmap(addressof(self), len(self))


@cache
def _pages(count: int) -> type[Pages]:
    """The class of so many pages; there are as many as pages in the largest READ."""
    return type("Pages", (Pages,), {"_length_": count * mmap.PAGESIZE})


def resident(file: Fd, offset: int, size: int) -> memoryview | None:
    """A range of a file, not empty, if all of it is in the page cache and up to date.

    What is viewed are Pages.  It takes 15 us for 1 MiB, and never waits for a disk.
    """
    skip = offset % mmap.PAGESIZE
    count = -(-(skip + size) // mmap.PAGESIZE)
    length = count * mmap.PAGESIZE
    start = _mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, file, offset - skip)
    if start == _MAP_FAILED:
        return None
    pages = _pages(count).from_address(start)
    pages.file, pages.end = file, offset + size
    states = ctypes.create_string_buffer(count)
    if _mincore(pages, length, states) != 0 or states.raw != b"\1" * count:
        return None
    return memoryview(pages)[skip : skip + size]
