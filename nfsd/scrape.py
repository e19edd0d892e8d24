"""Answers `GET /metrics`, in a process that has something else to do and must not wait.

It is a descriptor that becomes readable when there is something to do, and a step
that does it.  Few ask, at intervals of seconds: each connection is answered once and
closed, and of more than a handful at a time the oldest is dropped.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from nfsd.accepting import Acceptor
from nfsd.exposition import CONTENT_TYPE

_AT_ONCE: Final = 8  # connections
_REQUEST_MAX: Final = 8192  # bytes
_END: Final = b"\r\n\r\n"


class Scrape:
    """An HTTP server of one page on a socket that listens; `page` makes the page."""

    def __init__(self, listener: socket.socket, page: Callable[[], str]) -> None:
        self._listener = listener
        self._page = page
        self._acceptor = Acceptor()
        self._requests: dict[socket.socket, bytes] = {}  # as far as they have come, oldest first
        self._selector = selectors.EpollSelector()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def fileno(self) -> int:
        """A descriptor that can be read when there is something to do."""
        return self._selector.fileno()

    def step(self) -> None:
        """Do what is to be done now."""
        for key, _ in self._selector.select(0):
            key.data()

    def close(self) -> None:
        """Let go of everything, in the process that serves or in one forked from it."""
        self._acceptor.close()
        for sock in (self._listener, *self._requests):
            sock.close()
        self._selector.close()

    def _accept(self) -> None:
        try:
            accepted = self._acceptor.accept(self._listener)
        except OSError as error:
            self._acceptor.refuse(self._listener, error)
            return
        if accepted is None:
            return
        sock, _ = accepted
        if len(self._requests) >= _AT_ONCE:
            self._drop(next(iter(self._requests)))
        sock.setblocking(False)
        self._requests[sock] = b""
        self._selector.register(sock, selectors.EVENT_READ, partial(self._receive, sock))

    def _drop(self, sock: socket.socket) -> None:
        if self._requests.pop(sock, None) is not None:
            self._selector.unregister(sock)
            sock.close()

    def _receive(self, sock: socket.socket) -> None:
        if sock not in self._requests:
            return  # dropped by what was done in the same step
        try:
            received = sock.recv(_REQUEST_MAX)
        except OSError:
            received = b""
        request = self._requests[sock] = self._requests[sock] + received
        if _END in request:
            self._send(sock, self._answer(request))
        elif not received or len(request) > _REQUEST_MAX:
            self._drop(sock)

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "text/plain", "GET it\n")
        if path != b"/metrics":
            return _response("404 Not Found", "text/plain", "the numbers are at /metrics\n")
        whole = _response("200 OK", CONTENT_TYPE, self._page())
        return whole if method == b"GET" else whole.partition(_END)[0] + _END

    def _send(self, sock: socket.socket, rest: bytes) -> None:
        """Send what the client takes, and the rest when it takes more."""
        if sock not in self._requests:
            return
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            pass
        except OSError:
            rest = b""  # the client is gone
        if rest:
            self._selector.modify(sock, selectors.EVENT_WRITE, partial(self._send, sock, rest))
        else:
            self._drop(sock)


def _response(status: str, kind: str, text: str) -> bytes:
    body = text.encode(errors="replace")  # names may be no UTF-8
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + _END + body
