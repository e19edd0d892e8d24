"""SIGHUP: the configuration is read again, and clients lose neither a connection nor a call."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_ROFS,
    NFS3ERR_STALE,
    MKDIR3args,
    WRITE3args,
)
from tests.busy import busy, go_on
from tests.client import Client, MountError
from tests.conformance.ports import free_port
from tests.conformance.server import Server, Stack
from tests.torture.tracer import held_up
from tests.wire import NfsError, Wire, sattr

pytestmark = pytest.mark.processes

LIMIT = 120.0
QUIET = 1.0  # seconds


@dataclass
class Export:
    """One `[[export]]`, with layers of its own below a directory."""

    path: str
    place: Path
    clients: str = '{ "*" = "rw,insecure,no_root_squash,async" }'
    lowers: list[Path] = field(default_factory=list)
    read_only: bool = False

    def __post_init__(self) -> None:
        if not self.lowers:
            self.lowers = [self.place / "lower"]
        for directory in (*self.lowers, self.place / "upper", self.place / "work"):
            directory.mkdir(parents=True, exist_ok=True)
        (self.lowers[-1] / "file").write_text(f"of {self.path}\n")

    def text(self) -> str:
        lowers = ", ".join(f'"{lower}"' for lower in self.lowers)
        lines = ["[[export]]", f'path = "{self.path}"', f"lowerdir = [{lowers}]"]
        if not self.read_only:
            lines += [f'upperdir = "{self.place}/upper"', f'workdir = "{self.place}/work"']
        return "\n".join([*lines, f"clients = {self.clients}", ""])


class Configured:
    """A server with a configuration file, which can be written anew and read again."""

    def __init__(self, place: Path, exports: Sequence[Export], **settings: object) -> None:
        self.file = place / "overlay-nfsd.toml"
        listens = "listen" in settings
        self.write(exports, **settings)
        words = ["--config", str(self.file)]
        self.run = place / "run"
        state = {"STATE_DIRECTORY": str(place / "state"), "RUNTIME_DIRECTORY": str(self.run)}
        self.server = Server(
            None, place / "log", arguments=words, environment=state, listen=not listens
        )
        self.server.start()

    def write(self, exports: Sequence[Export], **settings: object) -> None:
        lines = ["[server]"]
        for name, value in settings.items():
            lines.append(f"{name} = {value!r}".replace("'", '"'))
        self.file.write_text("\n".join([*lines, *(export.text() for export in exports)]))

    def reload(self, said: str = "reloaded: ") -> str:
        """Has it read again, and waits for what is said about that; returns the line."""
        before = len(self.server.output())
        os.kill(self.server.pid, signal.SIGHUP)
        return self.await_said(said, before)

    def await_said(self, said: str, before: int = 0) -> str:
        def found() -> str:
            lines = self.server.output()[before:].splitlines()
            return next((line for line in lines if said in line), "")

        try:
            return until(found)
        except AssertionError as problem:
            raise AssertionError(f"{problem}; it said:\n{self.server.output()}") from None

    def change(self, exports: Sequence[Export], **settings: object) -> str:
        self.write(exports, **settings)
        return self.reload()

    def await_leaving(self, before: Sequence[int]) -> None:
        """Waits until the workers of before have left."""
        until(lambda: "" if set(before) & set(self.server.workers) else "gone")


def until(found: Callable[[], str]) -> str:
    """What is found at last."""
    deadline = time.monotonic() + LIMIT
    while not (result := found()):
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.01)
    return result


@pytest.fixture
def exports(tmp_path: Path) -> list[Export]:
    return [Export("/a", tmp_path / "a"), Export("/b", tmp_path / "b")]


@pytest.fixture
def configured(tmp_path: Path, exports: list[Export]) -> Iterator[Configured]:
    one = Configured(tmp_path, exports[:1], workers=2)
    try:
        yield one
        one.server.stop()
    finally:
        one.server.kill()


def test_nothing_is_lost_while_the_file_is_read_again(
    configured: Configured, exports: list[Export]
) -> None:
    """Not a connection, not a call, whatever changes, while clients work without rest."""
    port = configured.server.port
    with busy(port, export="/a") as clients:
        for number in range(8):
            before = configured.server.workers
            some = exports if number % 2 else exports[:1]
            configured.change(some, workers=1 + number % 3)
            configured.await_leaving(before)
            go_on(clients)
    assert [client.client.reconnections for client in clients] == [0] * len(clients)
    assert len(configured.server.workers) == 2  # the last one's number


def test_the_parent_keeps_nothing(configured: Configured, exports: list[Export]) -> None:
    """...of what is over: no descriptor, no mapping, however often it reads the file again."""
    process = Path(f"/proc/{configured.server.pid}")

    def kept() -> tuple[int, int]:
        shared = process.joinpath("maps").read_text().count("/dev/zero")
        return len(list(process.joinpath("fd").iterdir())), shared

    def reload(some: Sequence[Export]) -> None:
        before = set(configured.server.processes)  # who owns the locks, too
        configured.change(some)
        until(lambda: "" if before & set(configured.server.processes) else "gone")
        until(lambda: "all" if len(configured.server.processes) == len(before) else "")

    reload(exports[:1])
    before, since = kept(), time.monotonic()
    while time.monotonic() < since + QUIET:  # what is over may take a moment to go
        if kept() != before:
            before, since = kept(), time.monotonic()
    for _ in range(5):
        reload(exports)
        reload(exports[:1])
    until(lambda: "no more" if kept() == before else "")


def test_answers_are_kept_when_their_place_goes(
    configured: Configured, exports: list[Export]
) -> None:
    """They are kept in the first workdir that there is."""
    configured.change(exports)
    wire = Wire(configured.server.port, "/b")
    message = mkdir_message(wire, "made")
    answers = []
    for some in (exports, exports[1:], exports):
        configured.change(some)
        wire.client.send(message)
        answers.append(wire.client.record())
    assert answers[0][24:28] == bytes(4)  # NFS3_OK
    assert answers == [answers[0]] * 3
    wire.close()


def test_an_export_comes_and_goes(configured: Configured, exports: list[Export]) -> None:
    with Client(configured.server.port) as client:
        a = client.mount("/a")
        with pytest.raises(MountError):
            client.mount("/b")
        assert "/b" in configured.change(exports)
        b = Wire.over(client, "/b")
        assert b.read(b.lookup("file")) == b"of /b\n"
        b.create("made", b"data")
        before = configured.server.workers
        configured.change(exports[:1])
        configured.await_leaving(before)
        assert client.nfs("GETATTR", b.root).status != NFS3_OK
        assert client.nfs("GETATTR", a).status == NFS3_OK
        with pytest.raises(MountError):
            client.mount("/b")
        configured.change(exports)
        assert client.mount("/b") == b.root
        assert b.read(b.lookup("made")) == b"data"


def open_below(pids: Sequence[int], directory: Path) -> list[str]:
    """What these processes have open of the filesystem that is mounted there."""
    device = directory.stat().st_dev
    return [
        f"{pid}: {entry.name} -> {entry.readlink()}"
        for pid in pids
        for entry in Path(f"/proc/{pid}/fd").iterdir()
        if entry.exists() and entry.stat().st_dev == device
    ]


def test_a_removed_export_lets_go_of_its_layers(
    configured: Configured, exports: list[Export], tmp_path: Path
) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        mounted = Export("/mounted", place)
        configured.change([*exports[:1], mounted])
        wire = Wire(configured.server.port, "/mounted")
        wire.create("file", b"more") if wire.names(wire.root) != [b"file"] else None
        wire.write(wire.lookup("file"), b"copied up")
        pids = [configured.server.pid, *configured.server.workers]
        assert open_below(pids, place)
        before = configured.server.workers
        configured.change(exports)
        configured.await_leaving(before)
        pids = [configured.server.pid, *configured.server.workers]
        assert open_below(pids, place) == []
        wire.close()
    finally:
        subprocess.run(["umount", place], check=True)


def test_clients_and_options_change_without_reopening(
    configured: Configured, exports: list[Export]
) -> None:
    def open_layers() -> set[str]:
        return {
            f"{entry.name} {entry.readlink()} {entry.stat().st_ino}"
            for entry in Path(f"/proc/{configured.server.pid}/fd").iterdir()
            if entry.exists() and entry.is_dir()
        }

    wire = Wire(configured.server.port, "/a")
    handle = wire.create("new", b"data")
    before = open_layers()
    arguments = WRITE3args(handle, 0, 4, 2, b"more")
    exports[0].clients = '{ "*" = "ro,insecure" }'
    configured.change(exports[:1])
    assert wire.status("WRITE", arguments) == NFS3ERR_ROFS
    exports[0].clients = '{ "192.0.2.1" = "rw" }'
    configured.change(exports[:1])
    with pytest.raises(NfsError):
        wire.read(handle)
    exports[0].clients = '{ "127.0.0.1" = "rw,insecure,no_root_squash" }'
    configured.change(exports[:1])
    assert wire.status("WRITE", arguments) == NFS3_OK
    assert open_layers() == before
    wire.close()


def test_a_layer_is_put_on_top(
    configured: Configured, exports: list[Export], tmp_path: Path
) -> None:
    """The overlay is opened anew, as its upper can be in use only once; clients wait for that."""
    wire = Wire(configured.server.port, "/a")
    handle = wire.lookup("file")
    wire.create("new", b"data")
    top = tmp_path / "top"
    top.mkdir()
    (top / "above").write_text("above\n")
    exports[0].lowers.insert(0, top)
    with busy(configured.server.port, 2, export="/a") as clients:
        configured.change(exports[:1])
    assert [client.client.reconnections for client in clients] == [0, 0]
    assert wire.read(wire.lookup("above")) == b"above\n"
    assert wire.lookup("file") == handle
    assert wire.read(wire.lookup("new")) == b"data"
    wire.close()


def test_what_cannot_be_served_is_refused(
    configured: Configured, exports: list[Export], tmp_path: Path
) -> None:
    """...with the words and the line, and all stays: also when layers had to be closed for it."""
    wire = Wire(configured.server.port, "/a")
    handle = wire.lookup("file")

    def refused(text: str, reason: str) -> None:
        configured.file.write_text(text)
        line = configured.reload("reload refused")
        assert reason in line
        assert "ERROR" in line
        assert wire.read(handle) == b"of /a\n"

    good = configured.file.read_text()
    refused("[[export]\n", f"{configured.file}:1: ")
    refused(good.replace("workers = 2", "workers = 1000"), f"{configured.file}:2: workers: give")
    refused(good + Export("/c", tmp_path / "c").text() + "colour = 1\n", "no such setting")
    c = Export("/c", tmp_path / "c", lowers=[tmp_path / "nowhere" / "c"])
    (tmp_path / "nowhere" / "c" / "file").unlink()
    (tmp_path / "nowhere" / "c").rmdir()
    refused(good + c.text(), "export /c: lower layer")
    exports[0].lowers = [tmp_path / "nowhere" / "a"]
    refused(exports[0].text(), "export /a: lower layer")
    os.rename(configured.file, tmp_path / "elsewhere")
    configured.reload("No such file")
    configured.file.write_text(good)
    configured.reload()
    assert wire.read(handle) == b"of /a\n"
    wire.close()


def test_whatever_the_file_is_the_server_goes_on(tmp_path: Path, exports: list[Export]) -> None:
    configured = Configured(tmp_path, exports[:1], listen=[f"127.0.0.1:{free_port()}"], workers=2)
    good, odd = configured.file.read_text().replace("127.0.0.1", "HOST"), "z = " + "[" * 100_000
    try:
        for host in ("127..0.1", "a" * 64, "é..x", "192.0.2.1"):
            configured.file.write_text(good.replace("HOST", host))
            configured.reload("all stays as it was")
        for line in ("workers = " + "1" * 5000, odd):
            configured.file.write_text(good.replace("workers = 2", line))
            configured.reload("all stays as it was")
        configured.file.unlink()
        os.mkfifo(configured.file)
        configured.reload("not a regular file")
        configured.server.stop()
    finally:
        configured.server.kill()


def test_listening_changes(tmp_path: Path, exports: list[Export]) -> None:
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    port = int(first.split(":")[1])
    configured = Configured(tmp_path, exports[:1], listen=[first])
    try:
        kept = Wire(port, "/a")
        configured.change(exports[:1], listen=[first, second])
        Client(int(second.split(":")[1])).close()
        configured.change(exports[:1], listen=[f"0.0.0.0:{port}"])  # shares the port with the first
        with pytest.raises(ConnectionRefusedError):
            Client(int(second.split(":")[1]))
        Client(port).close()
        assert kept.read(kept.lookup("file")) == b"of /a\n"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            configured.write(exports[:1], listen=[where])
            assert where in configured.reload("reload refused")
        Client(port).close()
        kept.close()
        configured.server.stop()
    finally:
        configured.server.kill()


@pytest.mark.parametrize("size", [0, 3, 100, 5_000, 70_000, 900_000])
def test_a_call_that_is_half_sent(configured: Configured, exports: list[Export], size: int) -> None:
    """What one worker has read of it another goes on with."""
    wire = Wire(configured.server.port, "/a")
    handle = wire.create("large")
    data = os.urandom(1 << 20)
    arguments = wire_message(wire, handle, data)
    wire.client.send_raw(arguments[:size])
    await_read(wire.client.socket)
    for _ in range(2):
        before = configured.server.workers
        configured.change(exports[:1])
        configured.await_leaving(before)
    wire.client.send_raw(arguments[size:])
    wire.client.record()
    assert wire.read(handle) == data
    wire.close()


def wire_message(wire: Wire, handle: bytes, data: bytes) -> bytes:
    """A WRITE of all of `data`, in two fragments."""
    message = wire.client.nfs_message("WRITE", WRITE3args(handle, 0, len(data), 2, data))
    first, last = message[:2000], message[2000:]
    return struct.pack(">I", len(first)) + first + struct.pack(">I", 1 << 31 | len(last)) + last


def await_read(sock: socket.socket) -> None:
    """Waits until the other end has read all that was sent."""
    ours = sock.getsockname()[1]

    def unread() -> str:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[2].endswith(f":{ours:04X}") and fields[4] != "00000000:00000000":
                return ""
        return "all"

    until(unread)


def test_stale_and_removed_stay_so(configured: Configured, exports: list[Export]) -> None:
    """Workers that begin know nothing of what those before them have removed, but find it out."""
    wire = Wire(configured.server.port, "/a")
    handles = [wire.create(f"made{number}") for number in range(20)]
    for number in range(20):
        wire.attributes(handles[number])
        if number % 4 == 0:
            configured.change(exports[:1])
        wire.remove(f"made{number}")
        assert wire.status("GETATTR", handles[number]) == NFS3ERR_STALE
    wire.close()


def test_a_call_under_way_is_answered_by_the_worker_that_has_it(
    configured: Configured, exports: list[Export]
) -> None:
    """...while the others serve the new configuration already."""
    slow, quick = (Wire(configured.server.port, "/a") for _ in range(2))
    before = configured.server.workers
    held, message = configured.server.worker_of(slow.client.socket), mkdir_message(slow, "made")
    with held_up(held, "mkdirat", lambda: slow.client.send(message)):
        configured.change(exports)
        with Client(configured.server.port) as third:
            assert third.mount("/b")
        assert quick.read(quick.lookup("file")) == b"of /a\n"
        assert set(before) & set(configured.server.workers)
    assert slow.client.record()[24:28] == bytes(4)  # NFS3_OK
    assert b"made" in slow.names(slow.root)
    configured.await_leaving(before)
    assert slow.names(slow.root) == quick.names(quick.root)
    for wire in (slow, quick):
        wire.close()


def mkdir_message(wire: Wire, name: str) -> bytes:
    return wire.client.nfs_message("MKDIR", MKDIR3args(wire.parent(name), sattr(0o755)))


def test_what_is_told_twice_at_once(configured: Configured, exports: list[Export]) -> None:
    """Many reloads one upon the other, and then the end."""
    with busy(configured.server.port, 2, export="/a"):
        for _ in range(30):
            os.kill(configured.server.pid, signal.SIGHUP)
            time.sleep(0.01)
        configured.change(exports)
    assert len(configured.server.workers) >= 2


def test_a_server_without_a_file_ends_with_its_terminal(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    server = Server(Stack.over([lower], tmp_path), tmp_path / "log")
    server.start()
    try:
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: "" if server.running else "ended")
    finally:
        server.kill()
