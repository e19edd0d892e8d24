"""What plain TCP streams over loopback: the limit for servers that send much data.

A congestion control that paces (BBR) sends by a timer, which takes a quarter of the rate.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Final

from tests.bench.processes import Cpus

_CHUNK: Final = bytes(1 << 20)
_CHOICE: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")
UNPACED: Final = "reno"


def chosen() -> str:
    """The congestion control that connections have here."""
    return _CHOICE.read_text().strip()


def stream(seconds: float, sender: Cpus, receiver: Cpus, control: str) -> float:
    """Bytes a second from one process to another, each on its processors.

    `control` is the sender's congestion control.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            _send(listener.getsockname(), sender, control)
        connection, _ = listener.accept()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, receiver)
    buffer = bytearray(1 << 18)  # as large as the load generator's
    received = 0
    begun = time.perf_counter()
    while (now := time.perf_counter()) < begun + seconds:
        received += connection.recv_into(buffer)
    connection.close()
    os.sched_setaffinity(0, before)
    os.waitpid(child, 0)
    return received / (now - begun)


def _send(address: tuple[str, int], cpus: Cpus, control: str) -> None:
    """Send until nobody receives; does not return."""
    try:
        os.sched_setaffinity(0, cpus)
        with socket.socket() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
            connection.connect(address)
            while True:
                connection.sendall(_CHUNK)
    except ConnectionError:
        os._exit(0)
    finally:
        os._exit(1)
