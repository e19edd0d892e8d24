"""The server that is attacked, and what it takes: processes, memory, descriptors, connections.

Addresses of loopback stand for machines: GOOD and NEIGHBOURS are let in, STRANGERS are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.processes import resident_bytes
from tests.conformance.server import Server
from tests.wire import Wire

GOOD: Final = "127.0.0.2"
NEIGHBOURS: Final = tuple(f"127.0.0.{number}" for number in range(3, 8))
STRANGERS: Final = tuple(f"127.0.0.{number}" for number in range(8, 40))
FILES: Final = 50
_EXPORT: Final = "/export"
_PATTERNS: Final = 60  # of other clients, so that EXPORT has something to tell


class Target(NamedTuple):
    """What an attack is told: where the server is, and handles that its clients hold."""

    port: int
    lock_port: int
    root: bytes
    files: tuple[bytes, ...]


class Levels(NamedTuple):
    """What the server takes now."""

    memory: int  # bytes, of all its processes
    descriptors: int
    connections: int

    def over(self, before: Levels) -> Levels:
        """How much more than before."""
        return Levels(*(now - then for now, then in zip(self, before, strict=True)))


@contextmanager
def serving(place: Path, *, workers: int = 2) -> Iterator[tuple[Server, Target]]:
    """A server with a few files, by a configuration that lets some machines in."""
    for name in ("lower", "upper", "work"):
        (place / name).mkdir()
    (place / "lower" / "large").write_bytes(os.urandom(1 << 20))
    others = {f"10.0.{number}.0/24": "ro" for number in range(_PATTERNS)}
    clients = {"127.0.0.0/29": "rw,insecure,no_root_squash", **others}
    listed = ", ".join(f'"{pattern}" = "{options}"' for pattern, options in clients.items())
    config = place / "config.toml"
    config.write_text(
        f'[server]\nlisten = ["127.0.0.1:0"]\nworkers = {workers}\nrpcbind = "off"\n'
        f'udp = true\ngrace = 1\n[[export]]\npath = "{_EXPORT}"\nlowerdir = "{place}/lower"\n'
        f'upperdir = "{place}/upper"\nworkdir = "{place}/work"\nclients = {{ {listed} }}\n'
    )
    server = Server(None, place / "log", arguments=["--config", str(config)], listen=False)
    server.start()
    try:
        wire = Wire(server.port, _EXPORT)
        files = tuple(wire.create(f"file{number}", b"x" * 4096) for number in range(FILES))
        target = Target(server.port, server.lock_port, wire.root, (*files, wire.lookup("large")))
        wire.close()
        yield server, target
        server.stop()
    finally:
        server.kill()


def levels(server: Server) -> Levels:
    """What it takes now."""
    memory = descriptors = 0
    for pid in (server.pid, *server.processes):
        with suppress(FileNotFoundError, ProcessLookupError):
            memory += resident_bytes([pid])
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
    return Levels(memory, descriptors, sum(server.connections))
