"""What is said of a port that cannot be had: why, which process has it, and what to do.

Who has it is looked up in /proc/net/tcp and /proc/PID/fd (proc(5)).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from nfsd.net.listen_address import Address
from overlay.base.refusal import Refusal

# Settings; the options of `serve` have the same names.
LISTEN: Final = "listen"
METRICS: Final = "metrics"
LOCK_PORT: Final = "lock_port"
RPCBIND: Final = "rpcbind"
_INIT: Final = 1
_LISTENING: Final = "0A"  # TCP_LISTEN
_TABLES: Final = {
    socket.SOCK_STREAM: ("/proc/net/tcp", "/proc/net/tcp6"),
    socket.SOCK_DGRAM: ("/proc/net/udp", "/proc/net/udp6"),
}
_ANOTHER: Final = "stop what listens there, or choose another for {} (port 0: any)"
_CURES: Final = {
    LISTEN: _ANOTHER.format(LISTEN),
    METRICS: _ANOTHER.format(METRICS),
    LOCK_PORT: "choose another for lock_port, or do without, with locks off",
    RPCBIND: "if rpcbind runs, choose system for rpcbind",
}
_SERVED: Final = {LOCK_PORT: " for locks", RPCBIND: " for rpcbind"}


def refusal(
    option: str, text: str, address: Address, kind: socket.SocketKind, error: OSError
) -> Refusal:
    """Return what is said when the address of an option cannot be had.

    `text` is how it was written.
    """
    transport = "UDP port of " if kind is socket.SOCK_DGRAM else ""
    what = f"{_SERVED.get(option, '')} on {transport}{text}"
    if error.errno == errno.EADDRNOTAVAIL:
        cure = f"give one that `ip address` shows for {option}, or *:{address.port} for all"
        return Refusal(f"cannot listen{what}: this machine has no such address: {cure}")
    who = _told(holders(address, kind)) if error.errno == errno.EADDRINUSE else ""
    return Refusal(f"cannot listen{what}: {error.strerror}{who}: {_CURES[option]}")


def holders(address: Address, kind: socket.SocketKind) -> list[int]:
    """Return the processes that have a socket bound to the address's port, in order.

    Empty if there is none that can be seen: root sees all of its own namespaces.
    """
    sockets = {f"socket:[{inode}]" for inode in _inodes(address.port, kind)}
    return sorted(pid for pid in _processes() if sockets and sockets & _files(pid))


def is_systemds(address: Address) -> bool:
    """Return whether systemd listens on the address's port, as it does for a .socket unit."""
    with suppress(OSError):
        if Path(f"/proc/{_INIT}/comm").read_text() == "systemd\n":
            return _INIT in holders(address, socket.SOCK_STREAM)
    return False


def _told(pids: list[int]) -> str:
    if os.getpid() in pids:
        return " by this server itself, until it is restarted"
    return "".join(f" by {_name(pid)} (process {pid})" for pid in pids[:1])


def _inodes(port: int, kind: socket.SocketKind) -> Iterator[str]:
    for table in _TABLES[kind]:
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                is_bound = kind is socket.SOCK_DGRAM or fields[3] == _LISTENING
                if is_bound and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _processes() -> Iterator[int]:
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):  # it is gone, or not ours to look at
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.add(os.readlink(entry.path))
    return found


def _name(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "somebody"
    names = [os.path.basename(os.fsdecode(word)) for word in words[:3] if word]
    is_script = len(names) > 1 and names[0].startswith("python")
    return " ".join(names if is_script else names[:1]) or "somebody"
