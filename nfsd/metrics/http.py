"""Answers `GET /metrics`, in a process that has something else to do and must not wait.

Few ask, at intervals of seconds: each connection is answered once and closed, and of
more than a handful at a time the oldest is dropped.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from nfsd.metrics.prometheus import CONTENT_TYPE
from nfsd.net.acceptor import Acceptor
from nfsd.net.event_loop import READABLE, WRITABLE, Loop

_AT_ONCE: Final = 8  # connections
_REQUEST_MAX: Final = 8192  # bytes
_END: Final = b"\r\n\r\n"


class Scrape:
    """An HTTP server of one page on a socket that listens; `page` makes the page."""

    def __init__(self, loop: Loop, listener: socket.socket, page: Callable[[], str]) -> None:
        self._loop = loop
        self._page = page
        self._requests: dict[socket.socket, bytes] = {}  # as far as they have come, oldest first
        self._acceptor = Acceptor(loop, self._accepted)
        self._acceptor.listen((listener,))

    def close(self) -> None:
        """Close its sockets; also in a process just forked, where they stay the parent's."""
        self._acceptor.close()
        for sock in list(self._requests):
            self._drop(sock)

    def _accepted(self, sock: socket.socket) -> None:
        if len(self._requests) >= _AT_ONCE:
            self._drop(next(iter(self._requests)))
        sock.setblocking(False)
        self._requests[sock] = b""
        self._loop.watch(sock.fileno(), READABLE, partial(self._receive, sock))

    def _drop(self, sock: socket.socket) -> None:
        del self._requests[sock]
        self._loop.forget(sock.fileno())
        sock.close()

    def _receive(self, sock: socket.socket, _: int) -> None:
        try:
            received = sock.recv(_REQUEST_MAX)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        request = self._requests[sock] = self._requests[sock] + received
        if _END in request:
            self._send(sock, self._answer(request), WRITABLE)
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

    def _send(self, sock: socket.socket, rest: bytes, _: int) -> None:
        """Send what the client takes, and the rest when it takes more."""
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            pass
        except OSError:
            rest = b""  # the client is gone
        if rest:
            self._loop.watch(sock.fileno(), WRITABLE, partial(self._send, sock, rest))
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
