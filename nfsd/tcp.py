"""What the kernel knows of a TCP connection and Python has no name for (tcp(7), socket(7))."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import Final

_SO_COOKIE: Final = 57  # asm-generic/socket.h
_COOKIE: Final = struct.Struct("@Q")
_SIOCOUTQ: Final = 0x5411  # linux/sockios.h
_COUNT: Final = struct.Struct("@i")


def begin(sock: socket.socket) -> None:
    """Set up a connection: it never waits, sends at once, and hears of a client that is gone."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def socket_cookie(sock: socket.socket) -> int:
    """Return the number of a socket, which no other has until the machine restarts.

    It is the same in each process that has the socket.
    """
    data = sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE.size)
    (cookie,) = _COOKIE.unpack(data)
    return int(cookie)


def unacknowledged_bytes(fd: int) -> int:
    """Return how many bytes were sent, or wait to be, that the other end has not acknowledged.

    After the other end has reset the connection, that is as it was before.
    """
    (count,) = _COUNT.unpack(fcntl.ioctl(fd, _SIOCOUTQ, bytes(_COUNT.size)))
    return int(count)
