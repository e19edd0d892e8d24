"""Crowds of connections, and the calls that they send."""

from __future__ import annotations

import itertools
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from nfsd.rpc.record import mark
from nfsd.xdr.codec import Signature, encode
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM, NFS_V3
from nfsd.xdr.generated.rpc import (
    CALL,
    RPC_VERSION,
    call_body,
    opaque_auth,
    pack_rpc_msg,
    rpc_msg,
    rpc_msg_body,
)
from tests.client import NFS, NO_AUTH, auth_sys

_xids: Final = itertools.count(random.getrandbits(32))


def message(
    program: int,
    version: int,
    signature: Signature[Any, Any],
    arguments: object,
    cred: opaque_auth = NO_AUTH,
) -> bytes:
    """A call, without a mark."""
    body = call_body(RPC_VERSION, program, version, signature.number, cred, NO_AUTH)
    head = rpc_msg(next(_xids) & 0xFFFFFFFF, rpc_msg_body(CALL, cbody=body))
    return encode(pack_rpc_msg, head) + encode(signature.pack_arguments, arguments)


def framed(record: bytes) -> bytes:
    return mark(len(record)) + record


def nfs(name: str, arguments: object) -> bytes:
    """A call of a client that is let in."""
    return framed(message(NFS_PROGRAM, NFS_V3, NFS[name], arguments, auth_sys()))


class Crowd:
    """Up to so many connections from these addresses; who is closed comes again."""

    def __init__(self, port: int, addresses: tuple[str, ...], number: int, room: int = 0) -> None:
        """`room`: bytes that a connection receives while nobody reads."""
        self._port = port
        self._room = room
        self._addresses = itertools.cycle(addresses)
        self._number = number
        self._sockets: list[socket.socket] = []

    def __iter__(self) -> Iterator[socket.socket]:
        """The connections, one after the other, without end."""
        for place in itertools.count():
            at = place % self._number
            if at == len(self._sockets):
                with suppress(OSError):
                    self._sockets.append(self._connected())
            if at < len(self._sockets):
                yield self._sockets[at]

    def _connected(self) -> socket.socket:
        sock = socket.socket()
        if self._room:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._room)
        sock.settimeout(2)
        sock.bind((next(self._addresses), 0))
        sock.connect(("127.0.0.1", self._port))
        sock.setblocking(False)
        return sock

    def lost(self, sock: socket.socket) -> None:
        """Have another connection in place of one that is closed."""
        sock.close()
        with suppress(OSError):
            self._sockets[self._sockets.index(sock)] = self._connected()


def push(crowd: Crowd, until: float, data: Callable[[], bytes], *, reads: bool = False) -> None:
    """Send over all connections in turn, as much as they take, and read, or never."""
    rests: dict[socket.socket, bytes] = {}
    for sock in crowd:
        if time.monotonic() > until:
            return
        rest = rests.get(sock) or data()
        try:
            if reads:
                _drain(sock)
            rests[sock] = rest[sock.send(rest) :]
        except BlockingIOError:
            rests.setdefault(sock, rest)
            time.sleep(0.0001)
        except OSError:
            rests.pop(sock, None)
            crowd.lost(sock)


def _drain(sock: socket.socket) -> None:
    """Read what is there: who is not read from reads no more."""
    with suppress(BlockingIOError):
        while sock.recv(1 << 18):
            pass
