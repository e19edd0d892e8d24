"""Data of files where the kernel has it: a range of the page cache, seen as memory.

It is sent from there by splice(2), so only the receiver copies it.  To be
sure that this waits for no disk, the range is mapped, and mincore(2) asked.  Then a pipe
takes hold of the pages: what was there is sent, though the file be cut meanwhile.

Rule: the memory stands for the data and is not looked at.  Where the file has become
shorter, that would kill this process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from functools import cache
from typing import Final

from index.linux.fd import Fd

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


_PIPE_BYTES: Final = 1 << 20  # the largest that a pipe may be of; larger ranges are copied
_PIPES: Final = 64  # that may be in use at once, as clients may be slow


class _Pipe:
    """A pipe that holds pages."""

    def __init__(self) -> None:
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.output, self.input = Fd(ends[0]), Fd(ends[1])
        fcntl.fcntl(self.input, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class _Pipes:
    """The pipes of this process that are free, or may be made, None for each of these."""

    def __init__(self) -> None:
        self._free: list[_Pipe | None] = [None] * _PIPES

    def take(self) -> _Pipe | None:
        """Return an empty pipe, None where all are in use."""
        if not self._free:
            return None
        pipe = self._free.pop()
        if pipe is None:
            try:
                pipe = _Pipe()
            except OSError:  # too many descriptors, or a size that is not allowed
                self._free.insert(0, None)
        return pipe

    def give_back(self, pipe: _Pipe, *, is_empty: bool) -> None:
        """One that is not empty is closed with its last reference."""
        if is_empty:
            self._free.append(pipe)
        else:
            self._free.insert(0, None)


_pipes: Final = _Pipes()


class Pages(ctypes.Array[ctypes.c_char]):
    """Whole pages of a file, mapped, until nobody refers to them any more."""

    _type_ = ctypes.c_char
    _length_ = mmap.PAGESIZE
    pipe: _Pipe | None = None
    left: int  # bytes that it holds

    def send(self, sock: int, left: int) -> int:
        """Send of the `left` bytes that the pipe still holds as many as a socket takes.

        Returns how many: none where it cannot take them so.  Raises BlockingIOError where
        it takes none.
        """
        assert self.pipe is not None
        try:
            sent = os.splice(self.pipe.output, sock, left, flags=os.SPLICE_F_NONBLOCK)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return 0
        self.left -= sent
        return sent

    def read_left(self, left: int) -> bytes:
        """Return the `left` bytes that the pipe still holds, read."""
        assert self.pipe is not None
        data = b""
        while len(data) < left:
            data += os.read(self.pipe.output, left - len(data))
        self.left -= left
        return data

    # What is needed is bound early: module globals may be gone at interpreter exit.
    def __del__(
        self,
        munmap: Callable[[int, int], int] = _munmap,
        addressof: Callable[[ctypes.Array[ctypes.c_char]], int] = ctypes.addressof,
        pipes: _Pipes = _pipes,
    ) -> None:
        munmap(addressof(self), len(self))
        if self.pipe is not None:
            pipes.give_back(self.pipe, is_empty=self.left == 0)


@cache
def _pages(count: int) -> type[Pages]:
    """Return the class of so many pages; there are as many as pages in the largest READ."""
    return type("Pages", (Pages,), {"_length_": count * mmap.PAGESIZE})


def resident(file: Fd, offset: int, size: int) -> memoryview | None:
    """Return a range of a file, not empty, if all of it is in the page cache and up to date.

    What is viewed are Pages.  It takes 30 us for 1 MiB, and never waits for a disk.
    """
    if size > _PIPE_BYTES:
        return None
    skip = offset % mmap.PAGESIZE
    count = -(-(skip + size) // mmap.PAGESIZE)
    length = count * mmap.PAGESIZE
    start = _mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, file, offset - skip)
    if start == _MAP_FAILED:
        return None
    pages = _pages(count).from_address(start)
    states = ctypes.create_string_buffer(count)
    if _mincore(pages, length, states) != 0 or states.raw != b"\1" * count:
        return None
    if not _is_held(pages, file, offset, size):
        return None
    return memoryview(pages)[skip : skip + size]


def _is_held(pages: Pages, file: Fd, offset: int, size: int) -> bool:
    """Have a pipe take hold of a range; whether it has all of it.

    It has not where the file has just been cut, or its filesystem cannot.
    """
    pages.pipe = pipe = _pipes.take()
    if pipe is None:
        return False
    try:
        pages.left = os.splice(file, pipe.input, size, offset_src=offset)
    except OSError:
        pages.left = 0
    return pages.left == size
