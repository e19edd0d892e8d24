"""What systemd tells the server and hears of it, without systemd: with real sockets."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nfsd.process.systemd import Notifier, passed_sockets
from overlay.base.refusal import Refusal
from tests.busy import busy
from tests.client import Client
from tests.conformance.server import PROJECT, Server, Stack, await_end
from tests.wire import Wire

pytestmark = pytest.mark.once

LIMIT = 120.0


class Manager:
    """Listens where NOTIFY_SOCKET points to, as systemd does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.heard: list[str] = []

    def hear(self, seconds: float) -> str | None:
        """The next message, None if there is none in this time."""
        self._socket.settimeout(seconds)
        try:
            self.heard.append(self._socket.recv(65536).decode())
        except TimeoutError:
            return None
        return self.heard[-1]

    def hear_until(self, is_it: Callable[[str], bool], seconds: float = LIMIT) -> str:
        """The first message that is the one that is waited for."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self.hear(left)
            if message is not None and is_it(message):
                return message
        raise AssertionError(f"not heard; but {self.heard}")

    def forget(self) -> None:
        """Throw away what has been said so far."""
        while self.hear(0.001) is not None:
            pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    one = Manager(str(tmp_path / "notify"))
    yield one
    one.close()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_messages(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@overlay-nfsd-test-{os.getpid()}"
    manager = Manager(address)
    environment = {"NOTIFY_SOCKET": address, "OTHER": "1", "WATCHDOG_USEC": "60000000"}
    notifier = Notifier(environment)
    assert environment == {"OTHER": "1"}
    assert notifier.is_heard
    notifier.ready()
    assert manager.hear(LIMIT) == "READY=1"
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    first, second = (manager.hear(LIMIT) or "").split("\n")
    assert first == "RELOADING=1"
    name, _, usec = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(usec) <= time.monotonic_ns() // 1000
    notifier.status("two\nlines")
    notifier.status("two\nlines")
    for _ in range(10):
        notifier.alive()
    notifier.stopping()
    assert [manager.hear(LIMIT) for _ in range(3)] == [
        "STATUS=two lines",
        "WATCHDOG=1",
        "STOPPING=1",
    ]
    manager.close()


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    silent = Notifier({})
    assert not silent.is_heard
    silent.ready()
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nowhere")})
    gone.ready()
    gone.ready()
    assert gone.watchdog is None
    assert caplog.text.count("cannot be told") == 1


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdogs_time(variables: dict[str, str], seconds: float | None) -> None:
    assert Notifier(variables).watchdog == seconds


def test_sockets_for_another_process_are_not_ours() -> None:
    assert passed_sockets({}) == []
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"}
    assert passed_sockets(environment) == []
    assert environment == {}


@contextmanager
def serving(
    place: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    lower = place / "lower"
    lower.mkdir()
    (lower / "file").write_text("lower\n")
    server = Server(
        Stack.over([lower], place),
        place / "log",
        arguments=["--workers", "2", *arguments],
        environment=environment,
    )
    server.start()
    try:
        yield server
        if server.running:
            server.stop()
    finally:
        server.kill()


def test_a_life(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, environment={"NOTIFY_SOCKET": manager.address}) as server:
        assert manager.hear(LIMIT) == "READY=1"
        Client(server.port).close()
        status = manager.hear(LIMIT)
        assert status == "STATUS=serving /; exports: 1, workers: 2, connections: 0"
        with Client(server.port) as client:
            client.nfs("NULL")
            manager.hear_until(lambda said: said.endswith("connections: 1"))
        assert not any("WATCHDOG" in said for said in manager.heard)
        server.stop()
        assert manager.hear_until(lambda said: "STATUS" not in said) == "STOPPING=1"


def watched(manager: Manager, seconds: float) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(seconds * 1e6))}


def is_alive(said: str) -> bool:
    return said == "WATCHDOG=1"


def test_a_worker_that_does_not_answer_is_replaced(tmp_path: Path, manager: Manager) -> None:
    """...and its clients go on with another, while those of the others notice nothing."""
    with (
        serving(tmp_path, environment=watched(manager, 8)) as server,
        busy(server.port, may_reconnect=True) as clients,
    ):
        manager.hear_until(is_alive)
        victim = server.workers[0]
        os.kill(victim, signal.SIGSTOP)
        await_end([victim])
        for _ in range(3):
            manager.hear_until(is_alive)
        assert sum(client.client.reconnections > 0 for client in clients) <= len(clients) / 2
    assert f"worker {victim} has not answered for 4 s" in server.output()


def test_a_parent_that_does_not_go_on_gives_no_sign(tmp_path: Path, manager: Manager) -> None:
    with serving(tmp_path, environment=watched(manager, 5)) as server:
        manager.hear_until(is_alive)
        os.kill(server.pid, signal.SIGSTOP)
        while "State:\tT" not in Path(f"/proc/{server.pid}/status").read_text():
            time.sleep(0.01)
        manager.forget()
        assert manager.hear(2.5) is None  # where one would be due every second
        os.kill(server.pid, signal.SIGCONT)
        manager.hear_until(is_alive)


def test_a_reload_is_told(tmp_path: Path, manager: Manager) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    file = tmp_path / "overlay-nfsd.toml"
    export = f'[[export]]\npath = "/a"\nlowerdir = ["{lower}"]\nclients = {{ "*" = "ro" }}\n'
    file.write_text(export)
    environment = {"NOTIFY_SOCKET": manager.address, "STATE_DIRECTORY": str(tmp_path / "state")}
    server = Server(
        None, tmp_path / "log", arguments=["--config", str(file)], environment=environment
    )
    server.start()

    def reload() -> list[str]:
        manager.hear_until(lambda said: said.startswith("STATUS"))
        manager.forget()
        manager.heard.clear()
        os.kill(server.pid, signal.SIGHUP)
        manager.hear_until(lambda said: said == "READY=1")
        return [said.partition("\n")[0] for said in manager.heard]

    try:
        file.write_text(export + "colour = 1\n")
        told = reload()
        assert (told[0], told[-1]) == ("RELOADING=1", "READY=1")
        assert told[1].startswith(f"STATUS=reload refused: {file}:5: colour: no such setting")
        assert told[1].endswith("connections: 0")
        file.write_text(export.replace("/a", "/b"))
        os.kill(server.pid, signal.SIGHUP)
        manager.hear_until(lambda said: said.startswith("STATUS=serving /b; exports: 1"))
        server.stop()
    finally:
        server.kill()


@contextmanager
def activated(
    place: Path, *socks: socket.socket, names: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """The server as systemd starts it for a connection: the sockets are descriptors from 3 on."""
    lower = place / "lower"
    lower.mkdir(exist_ok=True)
    stack = Stack.over([lower], place)
    words = [sys.executable, "-m", "nfsd", "serve", *stack.options()]
    moves = "".join(f" {number + 3}<&{sock.fileno()}" for number, sock in enumerate(socks))
    script = f'LISTEN_PID=$$ LISTEN_FDS={len(socks)} LISTEN_FDNAMES={names} exec "$@"{moves}'
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", "bash", "-c", script, "bash", *words],
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[sock.fileno() for sock in socks],
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def high_up(sock: socket.socket) -> socket.socket:
    """The same above those that sockets become when they are passed, so that none is lost then."""
    return socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 100))


def test_several_sockets_are_passed(tmp_path: Path) -> None:
    """The first connection is there before the server is; the sockets are there after it."""
    socks = [socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))]
    socks.append(socket.create_server(("::1", 0), family=socket.AF_INET6))
    high = [high_up(sock) for sock in socks]
    early = socket.create_connection(socks[0].getsockname())
    with activated(tmp_path, *high) as process:
        for sock in socks:
            host, port = sock.getsockname()[:2]
            with Client(port, host=host) as client:
                assert client.mount("/")
        wire = Wire(socks[1].getsockname()[1])
        wire.create("made")
        process.terminate()
        said, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, said
        for sock in socks:
            assert "{}:{}".format(*sock.getsockname()[:2]) in said.replace("[", "").replace("]", "")
    for sock in (*socks, *high):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        sock.close()
    early.close()
    wire.close()


def test_a_socket_of_another_kind_is_refused(tmp_path: Path) -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    high = high_up(udp)
    with activated(tmp_path, high, names="nfs") as process:
        said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert "socket 3 (nfs) that systemd passes does not listen for TCP" in said
    assert said.count("\n") == 1
    high.close()
    udp.close()


def test_refusal_is_no_traceback() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(Refusal):
            passed_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
    finally:
        os.close(reader)
        os.close(writer)
