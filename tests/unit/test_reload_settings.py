"""Settings of the server that a reload changes: each takes effect, clients keep what they have."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.xdr.nlm4 import NLM4_DENIED, NLM4_GRANTED
from tests.conformance.ports import free_port
from tests.locking import LockClient
from tests.unit.test_reload import Configured, Export, until
from tests.wire import Wire

pytestmark = pytest.mark.processes


@pytest.fixture
def one(tmp_path: Path) -> Iterator[tuple[Configured, Export]]:
    export = Export("/", tmp_path / "a")
    configured = Configured(tmp_path, [export], workers=1, grace=0)
    try:
        yield configured, export
        configured.server.stop()
    finally:
        configured.server.kill()


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((host, port)) == 0


def test_the_numbers_move(one: tuple[Configured, Export]) -> None:
    configured, export = one
    ports = free_port(), free_port()

    def told(port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=180) as answer:
                return b"overlay_nfsd" in answer.read()
        except urllib.error.URLError:
            return False

    for port, other in (ports, ports[::-1]):
        configured.change([export], workers=1, grace=0, metrics=f"127.0.0.1:{port}")
        assert told(port)
        assert not told(other)
    configured.change([export], workers=1, grace=0)
    assert not any(map(told, ports))


def test_locks_move_and_stay(one: tuple[Configured, Export]) -> None:
    """To another port, with the locks that there are; without locks there is no port at all."""
    configured, export = one
    server, wire = configured.server, Wire(configured.server.port, "/")
    handle, before, port = wire.lookup("file"), configured.server.lock_port, free_port()
    with LockClient(server, name=b"alpha") as alpha, LockClient(server, name=b"beta") as beta:

        def connect(to: int) -> None:
            server.lock_port = to
            until(lambda: "there" if is_listening(to) else "")
            for client in (alpha, beta):
                client.connect()

        assert alpha.lock(handle, 0, 10) == NLM4_GRANTED
        configured.change([export], workers=1, grace=0, lock_port=port)
        assert not is_listening(before)
        connect(port)
        assert beta.lock(handle, 0, 10) == NLM4_DENIED
        configured.change([export], workers=1, grace=0, locks="off")
        until(lambda: "" if is_listening(port) else "closed")
        configured.change([export], workers=1, grace=0, lock_port=port)
        connect(port)
        assert beta.lock(handle, 0, 10) == NLM4_GRANTED  # what was held before is no more
    wire.close()


def test_locks_are_served_where_files_are(tmp_path: Path) -> None:
    """...at every address, also at one that a reload adds, at the port that they had."""
    export, port = Export("/", tmp_path / "a"), free_port()
    configured = Configured(tmp_path, [export], listen=[f"127.0.0.1:{port}"], workers=1)
    lock_port = configured.server.lock_port
    try:
        assert not is_listening(lock_port, "127.0.0.2")
        for host in ("0.0.0.0", "127.0.0.1"):
            configured.change([export], listen=[f"{host}:{port}"], workers=1)
            assert is_listening(lock_port)
            assert is_listening(lock_port, "127.0.0.2") == (host == "0.0.0.0")
        configured.server.stop()
    finally:
        configured.server.kill()
