"""Replies of one connection that the client has not taken yet.

What is counted is what is held in memory: the bytes of the replies, and what each
part takes besides.  Contents of files that are sent from the page cache are
counted apart, as the kernel has them anyway.
"""

from __future__ import annotations

import socket
from collections import deque
from itertools import islice, takewhile
from typing import Final

from index.linux.page_cache import Pages
from nfsd.xdr.codec import Buffer, Parts

JOIN_BYTES: Final = 64 << 10  # below this one copy is cheaper than a long vector
_PART_BYTES: Final = 112  # that a part takes besides its contents: objects, its place
_VECTOR_MAX: Final = 512  # buffers in one system call, half of what Linux takes


class Unsent:
    """Sends replies on a socket, and keeps what it does not take; for one thread alone."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._transmit = sock.send
        self._parts: deque[Buffer] = deque()
        self.size = 0  # bytes that are to be sent
        self.held = 0  # bytes of memory
        self.taken = 0  # bytes that were taken after they had waited

    def __bool__(self) -> bool:
        return self.size > 0

    def send(self, parts: Parts, size: int) -> None:
        """Send now what the socket takes, and keep the rest; raises OSError if the client is gone.

        Replies that are small together are joined, so that however many there are they
        take little more memory than their bytes.
        """
        if size >= JOIN_BYTES:
            is_first = not self.size
            for part in parts:
                self._keep(part)
            if is_first:
                self.flush()
            return
        whole = b"".join(parts)  # there are no Pages among so little
        if not self.size:
            try:
                sent = self._transmit(whole)
            except BlockingIOError:
                sent = 0
            if sent == size:
                return
            whole = whole[sent:]
        self._keep(whole)

    def flush(self) -> None:
        """Send until all is sent or the socket takes no more; raises OSError as `send`."""
        parts = self._parts
        while parts:
            try:
                sent = self._send_some()
            except BlockingIOError:
                return
            self.size -= sent
            self.taken += sent
            while parts and sent >= len(parts[0]):
                first = parts.popleft()
                sent -= len(first)
                self.held -= _held(first)
            if sent:
                first = parts[0]
                view = memoryview(first)[sent:]
                is_less = 2 * len(view) <= _whole(view)  # then what is sent is held no longer
                rest: Buffer = bytes(view) if is_less else view
                self.held -= _held(first) - _held(rest)
                parts[0] = rest

    def clear(self) -> None:
        """Keep nothing."""
        self._parts.clear()
        self.size = self.held = 0

    def _keep(self, part: Buffer) -> None:
        self._parts.append(part)
        self.size += len(part)
        self.held += _held(part)

    def _send_some(self) -> int:
        """Give the socket what it takes with one call."""
        first = self._parts[0]
        pages = _pages(first)
        if pages is not None:
            sent = pages.send(self._fd, len(first))
            if sent:
                return sent
            read = pages.read_left(len(first))
            self.held += _held(read) - _held(first)
            self._parts[0] = read
        buffers = [*islice(self._parts, _VECTOR_MAX)]
        if memoryview in map(type, buffers):
            buffers = [*takewhile(_is_memory, buffers)]
        more = socket.MSG_MORE if len(buffers) < len(self._parts) else 0
        return self._sock.sendmsg(buffers, (), more)


def _held(part: Buffer) -> int:
    """Return how many bytes of memory a part takes; a view takes those that it shows."""
    return _PART_BYTES if _pages(part) is not None else _PART_BYTES + len(part)


def _whole(view: memoryview) -> int:
    """Return the size of the object that a view is of; 0 if that is no memory of ours."""
    return len(view.obj) if isinstance(view.obj, bytes | bytearray) else 0


def _is_memory(part: Buffer) -> bool:
    return _pages(part) is None


def _pages(part: Buffer) -> Pages | None:
    """Return what a part of a reply is sent from, if that is a file."""
    if isinstance(part, memoryview) and isinstance(part.obj, Pages):
        return part.obj
    return None
