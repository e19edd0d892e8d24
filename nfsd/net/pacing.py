"""Replies within this machine are not paced, whatever TCP is told to do for others.

A congestion control that paces has a timer send every 64 KiB.  Where there is no
network to be spared, that costs more than all else that is done for a large READ.

Rule: clients on other machines get what the administrator chose.
"""

from __future__ import annotations

import socket
from functools import cache
from typing import Final

_PACING: Final = b"bbr"  # and its later versions
_UNPACED: Final = b"reno"  # every kernel has it
_NAME_MAX: Final = 16  # TCP_CA_NAME_MAX


def prepare(listener: socket.socket) -> None:
    """Have new connections not be paced until it is known where they come from.

    Later is too late: a connection that was paced once stays so.
    """
    if _is_pacing(_chosen()) and _control(listener) == _chosen():
        _set(listener, _UNPACED)


def pace_remote(sock: socket.socket) -> None:
    """Have a new connection be paced after all, if it comes from another machine."""
    if _is_pacing(_chosen()) and _control(sock) == _UNPACED and not _is_within(sock):
        _set(sock, _chosen())


def _is_within(sock: socket.socket) -> bool:
    """Return whether both ends have the same address."""
    return bool(sock.getpeername()[0] == sock.getsockname()[0])


@cache
def _chosen() -> bytes:
    """Return the congestion control of connections that are told nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return _control(sock)


def _is_pacing(control: bytes) -> bool:
    return control.startswith(_PACING)


def _control(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _NAME_MAX).rstrip(b"\0")


def _set(sock: socket.socket, control: bytes) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control)
