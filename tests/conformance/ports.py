"""Ports for servers, which nobody else takes while a server of a test is not running.

Rule: they lie below those that the kernel gives to clients (net.ipv4.ip_local_port_range): the
port of a server that is being started again could be a client's meanwhile.
"""

import secrets
import socket

from tests.conformance.machine import UnavailableError

_FIRST, _LAST = 10_000, 32_000


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody uses, by chance: other tests pick theirs at the same time."""
    for _ in range(1000):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if _is_free(address, port):
            return port
    raise UnavailableError(f"all ports of {address} are in use")


def _is_free(address: str, port: int) -> bool:
    try:
        socket.create_server((address, port)).close()
    except OSError:
        return False
    return True
