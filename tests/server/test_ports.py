"""Ports: nobody shares one with a server that has it, and no two settings are given one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.conformance.ports import free_port
from tests.conformance.server import PROJECT
from tests.server.test_reload import Configured, Export

pytestmark = [pytest.mark.processes, pytest.mark.once]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def running(tmp_path: Path, port: int) -> Iterator[Configured]:
    place = tmp_path / "first"
    place.mkdir()
    first = Configured(place, [Export("/a", place / "a")], listen=[f"127.0.0.1:{port}"], workers=1)
    try:
        yield first
        first.server.stop()
    finally:
        first.server.kill()


def serve(place: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """What comes of a second server, with layers of its own, that is refused."""
    place.mkdir(exist_ok=True)
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in settings.items()]
    file = place / "overlay-nfsd.toml"
    file.write_text("\n".join(["[server]", *lines, Export("/b", place / "b").text()]))
    return subprocess.run(
        [sys.executable, "-m", "nfsd", "serve", "--config", file],
        cwd=PROJECT,
        env={
            **os.environ,
            "STATE_DIRECTORY": str(place / "state"),
            "RUNTIME_DIRECTORY": str(place / "run"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def exports(port: int) -> list[str]:
    """What a client can mount there."""
    with Client(port) as client:
        client.mount("/a")
    return ["/a"]


def is_refused(port: int, *, host: str, shares: bool) -> bool:
    """Whether a program of root's is refused the port, also if it wants to share it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        try:
            sock.bind((host, port))
        except OSError:
            return True
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_second_server_is_refused_the_port(
    running: Configured, tmp_path: Path, port: int, host: str
) -> None:
    done = serve(tmp_path / "second", listen=[f"{host}:{port}"])
    assert done.returncode == 2, done.stdout
    assert f"cannot listen on {host}:{port}: Address already in use by overlay-nfsd" in done.stderr
    assert f"(process {running.server.pid})" in done.stderr
    assert {tuple(exports(port)) for _ in range(4)} == {("/a",)}


def test_nobody_has_a_share_of_the_port_after_addresses_have_shared_it(
    running: Configured, port: int
) -> None:
    """A reload goes from one address to all of them and back, with the port held all the time."""
    [export] = [Export("/a", running.file.parent / "a")]
    for host in ("0.0.0.0", "127.0.0.1"):
        running.change([export], listen=[f"{host}:{port}"], workers=1)
        for other in ("127.0.0.1", "0.0.0.0"):
            assert is_refused(port, host=other, shares=False)
            assert is_refused(port, host=other, shares=True)
        assert exports(port) == ["/a"]


@pytest.mark.parametrize("setting", ["lock_port", "metrics", "listen"])
def test_settings_do_not_share_a_port(tmp_path: Path, port: int, setting: str) -> None:
    here = f"127.0.0.1:{port}"
    other: dict[str, object] = {"lock_port": port, "metrics": here}
    if setting == "listen":
        settings: dict[str, object] = {"listen": [here, f"0.0.0.0:{port}"]}
    else:
        settings = {"listen": [here], setting: other[setting]}
    done = serve(tmp_path, **settings)
    assert done.returncode == 2, done.stdout
    assert "are one port: give each its own" in done.stderr
    assert f"{setting} " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_of_the_numbers_or_of_locks_that_is_taken(
    running: Configured, tmp_path: Path
) -> None:
    other, port = tmp_path / "second", running.server.port
    here = [f"127.0.0.1:{free_port()}"]
    done = serve(other, listen=here, metrics=f"127.0.0.1:{port}")
    assert "choose another for metrics" in done.stderr
    done = serve(other, listen=here, lock_port=running.server.lock_port)
    assert "choose another for lock_port" in done.stderr
    assert f"(process {running.server.pid})" in done.stderr or "Address already" in done.stderr


@pytest.mark.parametrize("setting", ["listen", "metrics"])
def test_an_address_of_another_machine(tmp_path: Path, port: int, setting: str) -> None:
    settings: dict[str, object] = {"listen": [f"127.0.0.1:{port}"]}
    theirs = f"192.0.2.1:{port}"
    done = serve(tmp_path, **{**settings, setting: [theirs] if setting == "listen" else theirs})
    assert done.returncode == 2, done.stdout
    assert (
        f"cannot listen on {theirs}: this machine has no such address: give one that `ip address` "
        f"shows for {setting}, or *:{port} for all\n"
    ) in done.stderr


def test_a_star_listens_on_all_addresses(tmp_path: Path, port: int) -> None:
    one = Configured(tmp_path, [Export("/a", tmp_path / "a")], listen=[f"*:{port}"], workers=1)
    try:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as sock:
                sock.connect((host, port))
        one.server.stop()
    finally:
        one.server.kill()
