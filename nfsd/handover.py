"""How a connection gets from the parent, which accepts it, to the worker that serves it.

It goes through a pair of Unix sockets, together with the place where it is
counted (nfsd.balance).  What is on its way when the worker dies is closed.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final, NamedTuple

_PLACE: Final = struct.Struct("i")


class Given(NamedTuple):
    """A connection, and the place where it is counted."""

    sock: socket.socket
    place: int


def channel() -> tuple[socket.socket, socket.socket]:
    """The parent's end and the worker's; neither ever waits."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def give(to: socket.socket, connection: Given) -> bool:
    """Send a connection, which the sender still has to close; whether the worker can take it."""
    try:
        socket.send_fds(to, [_PLACE.pack(connection.place)], [connection.sock.fileno()])
    except (BlockingIOError, ConnectionError):
        return False
    return True


def take(source: socket.socket) -> Given | None:
    """Receive a connection; None if there is none at present.

    Raises EOFError when the parent is gone, and EMFILE, with the connection lost,
    when no further descriptor can be opened.
    """
    try:
        data, fds, _, _ = socket.recv_fds(source, _PLACE.size, 1)
    except BlockingIOError:
        return None
    if not data:
        raise EOFError
    if not fds:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return Given(socket.socket(fileno=fds[0]), *_PLACE.unpack(data))
