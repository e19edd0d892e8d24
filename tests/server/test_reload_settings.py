"""Settings of the server that a reload changes: each takes effect, clients keep what they have."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.nlm4 import NLM4_DENIED, NLM4_GRANTED
from tests.conformance.ports import free_port
from tests.locking import LockClient
from tests.server.test_reload import Configured, Export, until
from tests.wire import Wire

pytestmark = [pytest.mark.processes, pytest.mark.once]


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
    """...at every address, also at one that a reload adds, at their port."""
    export, port, lock_port = Export("/", tmp_path / "a"), free_port(), free_port()
    configured = Configured(
        tmp_path, [export], listen=[f"127.0.0.1:{port}"], workers=1, lock_port=lock_port
    )
    try:
        assert not is_listening(lock_port, "127.0.0.2")
        for host in ("0.0.0.0", "127.0.0.1"):
            configured.change([export], listen=[f"{host}:{port}"], workers=1, lock_port=lock_port)
            assert is_listening(lock_port)
            assert is_listening(lock_port, "127.0.0.2") == (host == "0.0.0.0")
        configured.server.stop()
    finally:
        configured.server.kill()


def test_locks_get_another_port_where_theirs_is_taken(tmp_path: Path) -> None:
    """A port that the server picked, at an address that is new; one that is set is refused."""
    export, port = Export("/", tmp_path / "a"), free_port()
    configured = Configured(tmp_path, [export], listen=[f"127.0.0.1:{port}"], workers=1)
    picked = configured.server.lock_port
    try:
        with socket.create_server(("127.0.0.2", picked)):
            before = len(configured.server.output())
            configured.change([export], listen=[f"0.0.0.0:{port}"], workers=1)
            told = configured.await_said("locks: NLM and NSM on port", before)
            assert not is_listening(picked)
            assert is_listening(int(told.split()[-1]), "127.0.0.2")
        configured.change([export], listen=[f"127.0.0.1:{port}"], workers=1, lock_port=picked)
        with socket.create_server(("127.0.0.2", picked)):
            configured.write([export], listen=[f"0.0.0.0:{port}"], workers=1, lock_port=picked)
            assert "choose another port" in configured.reload("reload refused")
            assert is_listening(picked)
        configured.server.stop()
    finally:
        configured.server.kill()
