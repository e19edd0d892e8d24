"""Connections that are over, until the other end has heard why.

To close one while something of it is unread would have TCP take back what was sent
last.  So what still comes is thrown away, until the client closes, too, or for some seconds.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import Final

from nfsd.net.event_loop import READABLE, Loop

_SECONDS: Final = 5.0
_MOST: Final = 64  # of a process; of more the oldest is closed


class Lingering:
    """Those of one event loop; `shared` is what they are read into."""

    def __init__(self, loop: Loop, shared: memoryview) -> None:
        self._loop = loop
        self._shared = shared
        self._sockets: dict[socket.socket, None] = {}

    def add(self, sock: socket.socket) -> None:
        """Send no more on a socket, and close it soon."""
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # the client is gone
            return
        if len(self._sockets) >= _MOST:
            self._close(next(iter(self._sockets)))
        self._sockets[sock] = None
        self._loop.watch(sock.fileno(), READABLE, partial(self._discard, sock))
        self._loop.call_later(_SECONDS, partial(self._close, sock))

    def _discard(self, sock: socket.socket, _: int) -> None:
        try:
            count = sock.recv_into(self._shared)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if count == 0:
            self._close(sock)

    def _close(self, sock: socket.socket) -> None:
        if sock in self._sockets:
            del self._sockets[sock]
            self._loop.forget(sock.fileno())
            sock.close()
