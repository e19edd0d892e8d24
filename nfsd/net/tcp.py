"""What the kernel knows of a TCP connection and Python has no name for (tcp(7), socket(7))."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from typing import Final

_SO_COOKIE: Final = 57  # asm-generic/socket.h
_COOKIE: Final = struct.Struct("@Q")
# struct tcp_info of linux/tcp.h: the state, and milliseconds since the last acknowledgement.
_INFO: Final = struct.Struct("@B55xI")
_ESTABLISHED: Final = 1
_KEEPALIVE: Final = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
_PROBING: Final = (1, 1, 2)  # seconds, seconds, probes
_PROBED_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.05
_TICK_MS: Final = 20  # by which the kernel's clock may lag
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


def answers(fd: int) -> bool:
    """Return whether the other end acknowledges a probe (keepalive) within 3 s.

    A machine that has started anew resets the connection, one without power says nothing.
    """
    with socket.socket(fileno=os.dup(fd)) as sock:
        before = [sock.getsockopt(socket.IPPROTO_TCP, option) for option in _KEEPALIVE]
        try:
            for option, value in zip(_KEEPALIVE, _PROBING, strict=True):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            return _has_acknowledged(sock)
        finally:
            for option, value in zip(_KEEPALIVE, before, strict=True):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _has_acknowledged(sock: socket.socket) -> bool:
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < _PROBED_SECONDS:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        state, since = _INFO.unpack(info)
        if state != _ESTABLISHED:
            return False
        if since + _TICK_MS < passed * 1000:
            return True
        time.sleep(_LOOK_SECONDS)
    return False
