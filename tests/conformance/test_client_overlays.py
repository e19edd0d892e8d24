"""Each client has an upper layer of its own over the same lowers, told by the client's address.

Clients are told apart by their loopback addresses, 127.0.0.1 and others.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.mount import MNT3_OK, MNT3ERR_ACCES, MNT3ERR_IO
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_BADHANDLE,
    NFS3ERR_DQUOT,
    NFS3ERR_NOENT,
    NFS3ERR_STALE,
    READ3args,
    WRITE3args,
    diropargs3,
)
from tests.client import Client
from tests.conformance.server import PROJECT, Server, await_end
from tests.server.test_nfs3_attributes import made
from tests.wire import Wire

pytestmark = pytest.mark.conformance

FIRST, SECOND, THIRD = "127.0.0.11", "127.0.0.12", "127.0.0.13"


class Site:
    """A server with an export whose clients have uppers of their own, and its clients."""

    def __init__(self, place: Path, more: str = "") -> None:
        self.place = place
        (place / "lower" / "dir").mkdir(parents=True)
        (place / "lower" / "file").write_text("lower")
        (place / "lower" / "gone").write_text("lower")
        (place / "lower").chmod(0o1751)
        os.chown(place / "lower", 7, 8)
        (place / "clients").mkdir()
        self.file = place / "overlay-nfsd.toml"
        self.file.write_text(f"""
[server]
workers = 2
listen = ["127.0.0.1:0"]
[[export]]
path = "/root"
lowerdir = "{place / "lower"}"
upperdir = "{place}/clients/{{client}}/upper"
workdir = "{place}/clients/{{client}}/work"
clients = {{ "*" = "rw,no_root_squash,insecure" }}
{more}
""")
        self.server = Server(None, place / "log", arguments=["--config", str(self.file)])
        self._wires: list[Wire] = []

    def client(self, address: str, host: str = "127.0.0.1") -> Client:
        return Client(self.server.port, host=host, source=(address, 0))

    def upper(self, client: str) -> Path:
        return self.place / "clients" / client / "upper"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nfsd", "clients", *words, "--config", str(self.file)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture(params=[2, 1], ids=lambda workers: f"{workers} workers")
def any_site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """With two workers each has a client for itself, one worker keeps replies for both."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    site = Site(tmp_path)
    text = site.file.read_text().replace("workers = 2", f"workers = {request.param}")
    site.file.write_text(text)
    site.server.start()
    try:
        yield site
        site.server.stop()
    finally:
        site.server.kill()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    site = Site(tmp_path, "max_clients = 2")
    site.server.start()
    try:
        yield site
        if site.server.running:
            site.server.stop()
    finally:
        site.server.kill()


def lookup(client: Client, root: bytes, name: bytes) -> bytes:
    found = client.nfs("LOOKUP", diropargs3(root, name))
    assert found.status == NFS3_OK
    return bytes(found.resok.object)


def write(client: Client, handle: bytes, data: bytes) -> None:
    assert client.nfs("WRITE", WRITE3args(handle, 0, len(data), 2, data)).status == NFS3_OK


def read(client: Client, handle: bytes) -> bytes:
    reply = client.nfs("READ", READ3args(handle, 0, 100))
    assert reply.status == NFS3_OK
    return bytes(reply.resok.data)


def persistent(site: Site, address: str, handle: bytes) -> Client:
    """A connection that is answered: one may be lost on its way to a worker that has just died."""
    deadline = time.monotonic() + 120
    while True:
        client = site.client(address)
        try:
            assert client.nfs("GETATTR", handle).status == NFS3_OK
        except (EOFError, ConnectionError):
            client.close()
            assert time.monotonic() < deadline
        else:
            return client


def test_each_client_sees_its_own_changes_alone(any_site: Site) -> None:
    site = any_site
    with site.client(FIRST) as first, site.client(SECOND) as second:
        roots = [client.mount("/root") for client in (first, second)]
        files = [
            lookup(client, root, b"file")
            for client, root in zip((first, second), roots, strict=True)
        ]
        write(first, files[0], b"first")
        assert first.nfs("REMOVE", diropargs3(roots[0], b"gone")).status == NFS3_OK
        assert read(first, files[0]) == b"first"
        assert read(second, files[1]) == b"lower"
        assert first.nfs("LOOKUP", diropargs3(roots[0], b"gone")).status == NFS3ERR_NOENT
        lookup(second, roots[1], b"gone")
        for number, (owner, stranger) in enumerate(((first, second), (second, first))):
            for handle in (roots[number], files[number]):
                for _ in range(3):
                    assert owner.nfs("GETATTR", handle).status == NFS3_OK
                    assert stranger.nfs("GETATTR", handle).status == NFS3ERR_BADHANDLE
    assert (site.upper(FIRST) / "file").read_text() == "first"
    assert not list(site.upper(SECOND).iterdir())
    assert (site.place / "lower" / "file").read_text() == "lower"


def test_an_upper_is_made_like_the_root_of_the_lowers(site: Site) -> None:
    with site.client(FIRST) as client:
        root = client.mount("/root")
        attributes = client.nfs("GETATTR", root).resok
        assert (attributes.mode, attributes.uid, attributes.gid) == (0o1751, 7, 8)
    st = site.upper(FIRST).stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o1751, 7, 8)
    work = site.place / "clients" / FIRST / "work"
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert not site.upper(SECOND).exists()


def test_a_limit_on_how_many(site: Site) -> None:
    for address in (FIRST, SECOND):
        with site.client(address) as client:
            client.mount("/root")
    with site.client(THIRD) as third:
        for _ in range(2):
            assert third.mountd("MNT", b"/root").fhs_status == MNT3ERR_ACCES
    assert not site.upper(THIRD).exists()
    with site.client(FIRST) as client:
        assert client.mountd("MNT", b"/root").fhs_status == MNT3_OK
    said = [line for line in site.server.output().splitlines() if THIRD in line]
    assert len(said) == 1
    assert "export /root: refused, as there are upper layers for 2 clients already" in said[0]


@pytest.mark.parametrize("crash", [False, True])
def test_handles_are_good_after_a_restart_without_a_mount(site: Site, crash: bool) -> None:
    with site.client(FIRST) as first, site.client(SECOND) as second:
        handles: list[tuple[bytes, bytes]] = []
        for client in (first, second):
            root = client.mount("/root")
            file = lookup(client, root, b"file")
            write(client, file, b"of  %d" % len(handles))
            handles.append((root, file))
    site.server.restart(crash=crash)
    with site.client(FIRST) as first, site.client(SECOND) as second:
        for number, client in enumerate((first, second)):
            root, file = handles[number]
            assert read(client, file) == b"of  %d" % number
            assert lookup(client, root, b"file") == file
            assert client.nfs("GETATTR", handles[1 - number][0]).status == NFS3ERR_BADHANDLE


def test_a_worker_that_dies_takes_no_clients_layer_with_it(site: Site) -> None:
    with site.client(FIRST) as first, site.client(SECOND) as second:
        roots = [client.mount("/root") for client in (first, second)]
        workers = [site.server.worker_of(client.socket) for client in (first, second)]
        assert sorted(workers) == site.server.workers, "one client for each worker"
        os.kill(workers[0], signal.SIGKILL)
        await_end(workers[:1])
        # The other's client notices nothing.
        assert second.nfs("GETATTR", roots[1]).status == NFS3_OK
        with persistent(site, FIRST, roots[0]) as again:
            assert site.server.worker_of(again.socket) not in workers


def test_all_connections_of_a_client_go_to_one_worker(site: Site) -> None:
    clients = [site.client(FIRST) for _ in range(4)]
    try:
        assert len({site.server.worker_of(client.socket) for client in clients}) == 1
        roots = {client.mount("/root") for client in clients}
        assert len(roots) == 1
        file = lookup(clients[0], clients[0].mount("/root"), b"file")
        for number, client in enumerate(clients):
            write(client, file, b"of  %d" % number)
            assert {read(each, file) for each in clients} == {b"of  %d" % number}
    finally:
        for client in clients:
            client.close()


def test_reset_is_refused_while_the_client_is_served(site: Site) -> None:
    with site.client(FIRST) as client:
        file = lookup(client, client.mount("/root"), b"file")
        write(client, file, b"first")
        refused = site.run("reset", "--yes", FIRST)
        assert refused.returncode == 2
        assert f"{FIRST} is in use" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert read(client, file) == b"first"


def test_reset_empties_an_upper_and_makes_its_handles_stale(site: Site) -> None:
    with site.client(FIRST) as client:
        root = client.mount("/root")
        file, gone = lookup(client, root, b"file"), lookup(client, root, b"gone")
        write(client, file, b"first")
        assert client.nfs("REMOVE", diropargs3(root, b"gone")).status == NFS3_OK
    with site.client(SECOND) as other:
        others = lookup(other, other.mount("/root"), b"file")
        write(other, others, b"other")
    site.server.stop()
    done = site.run("reset", "--yes", FIRST)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(site.upper(FIRST).iterdir())
    st = site.upper(FIRST).stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid) == (0o1751, 7)
    site.server.start()
    with site.client(FIRST) as client, site.client(SECOND) as other:
        for handle in (root, file, gone):
            assert client.nfs("GETATTR", handle).status == NFS3ERR_STALE
            assert other.nfs("GETATTR", handle).status == NFS3ERR_BADHANDLE
        anew = client.mount("/root")
        assert anew != root
        assert read(client, lookup(client, anew, b"file")) == b"lower"
        lookup(client, anew, b"gone")
        assert read(other, others) == b"other"


def test_the_list_of_clients(site: Site) -> None:
    empty = site.run()
    assert empty.returncode == 0
    assert "no client" in empty.stdout
    with site.client(FIRST) as client:
        root = client.mount("/root")
        write(client, lookup(client, root, b"file"), b"x" * 5000)
    with site.client(SECOND) as client:
        client.mount("/root")
    site.server.stop()
    rows = json.loads(site.run("--json").stdout)
    assert [(row["client"], row["export"], row["files"]) for row in rows] == [
        (FIRST, "/root", 1),
        (SECOND, "/root", 0),
    ]
    assert rows[0]["bytes"] >= 5000
    assert rows[1]["bytes"] == 0
    assert all(row["last_use"].startswith("20") for row in rows)
    assert not any(row["open"] for row in rows)
    table = site.run().stdout
    assert FIRST in table
    assert SECOND in table


def test_what_cannot_be_reset_is_refused(site: Site) -> None:
    for words, said in (
        (["reset", "--yes", THIRD], f"{THIRD} has no upper layer"),
        (["reset", "nobody"], "nobody has no upper layer"),
        (["reset", "1.2"], "1.2 is no address, and no name of a client"),
        (["reset", "../upper"], "../upper is no address"),
    ):
        refused = site.run(*words)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_the_place_for_clients_layers_is_checked(site: Site) -> None:
    command = [sys.executable, "-m", "nfsd", "check-config", "--config", str(site.file)]
    for move, status in ((None, 0), ("elsewhere", 2)):
        if move is not None:
            site.server.stop()
            (site.place / "clients").rename(site.place / move)
        checked = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=180, check=False
        )
        assert checked.returncode == status
    assert "export /root: upperdir: " in checked.stderr
    assert "is not a directory: make it" in checked.stderr


def test_ipv6_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An IPv6 client has its own; its address in canonical form names the directories."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    site = Site(tmp_path)
    site.server = Server(
        None,
        tmp_path / "log",
        arguments=["--config", str(site.file), "--listen", "[::1]:0", "--workers", "1"],
    )
    site.server.start()
    try:
        port = _ipv6_port(site.server)
        with Client(port, host="::1") as client:
            client.mount("/root")
        assert site.upper("::1").is_dir()
        site.server.stop()
    finally:
        site.server.kill()


def _ipv6_port(server: Server) -> int:
    line = next(line for line in server.banner.splitlines() if "[::1]:" in line)
    return int(line.rpartition(":")[2])


def test_a_clients_layers_are_an_overlay_like_any_other(site: Site) -> None:
    with site.client(FIRST) as client:
        write(client, lookup(client, client.mount("/root"), b"file"), b"first")
    site.server.stop()
    layers = ["--lowerdir", str(site.place / "lower"), "--upperdir", str(site.upper(FIRST))]
    layers += ["--workdir", str(site.place / "clients" / FIRST / "work")]
    checked = subprocess.run(
        [sys.executable, "-m", "nfsd", "check", *layers],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "nothing is wrong\n")


def test_each_client_has_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each its own, shown by FSSTAT, kept over kill -9; what is removed may be taken again."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    site = Site(tmp_path, 'client_space = "4M"\nclient_files = 100')
    site.server.start()
    try:
        with site.client(FIRST) as first, site.client(SECOND) as second:
            root = first.mount("/root")
            taken, file = fill(first, root)
            assert 3 << 20 < taken <= 4 << 20
            assert fill(second, second.mount("/root"))[0] == taken
            space = first.nfs("FSSTAT", root).resok
            assert (space.tbytes, space.tfiles) == (4 << 20, 100)
            assert space.abytes < 1 << 20
            assert space.afiles == 99
        (row,) = [each for each in json.loads(site.run("--json").stdout) if each["client"] == FIRST]
        assert (row["bytes_limit"], row["files_limit"]) == (4 << 20, 100)
        assert taken <= row["bytes"] <= 4 << 20
        assert "1 of 100" in site.run().stdout
        site.server.restart(crash=True)
        with site.client(FIRST) as again:
            full = again.nfs("WRITE", WRITE3args(file, 1 << 30, 1 << 20, 0, bytes(1 << 20)))
            assert full.status == NFS3ERR_DQUOT
            assert again.nfs("REMOVE", diropargs3(root, b"filled")).status == NFS3_OK
            assert fill(again, root)[0] == taken
        site.server.stop()
    finally:
        site.server.kill()


def fill(client: Client, root: bytes) -> tuple[int, bytes]:
    """Write a file until it is refused; how much was written, and the file."""
    file = made(client, root, b"filled")
    for number in range(100):
        data = os.urandom(100_000)
        reply = client.nfs("WRITE", WRITE3args(file, number * len(data), len(data), 2, data))
        if reply.status != NFS3_OK:
            assert reply.status == NFS3ERR_DQUOT
            return number * len(data), file
    pytest.fail("nothing is refused")


def test_layers_that_are_called_by_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two addresses of one machine; one by its lease, which ends; and one without a name."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    leases, machine, nameless = tmp_path / "leases", "127.0.0.21", "127.0.0.22"
    leases.write_text(f"0 52:54:00:12:34:56 {machine} PC3 *\n")
    names = f'{{ "{FIRST}" = "pc1", "{SECOND}" = "pc1" }}'
    site = Site(tmp_path, f'names = {names}\nleases = "{leases}"')
    site.server.start()
    try:
        with site.client(FIRST) as first, site.client(SECOND) as second:
            root = first.mount(b"/root")
            write(first, lookup(first, root, b"file"), b"of pc1")
            assert read(second, lookup(second, second.mount(b"/root"), b"file")) == b"of pc1"
        with site.client(machine) as client:
            handle = lookup(client, client.mount(b"/root"), b"file")
            write(client, handle, b"of pc3")
        with site.client(nameless) as stranger:
            assert stranger.mountd("MNT", b"/root").fhs_status == MNT3ERR_ACCES
        leases.write_text("")
        site.server.stop()
        site.server.start()
        with persistent(site, machine, handle) as client:
            assert read(client, handle) == b"of pc3"
        listed = json.loads(site.run("--json").stdout)
        assert [each["client"] for each in listed] == ["pc1", "pc3"]
        assert sorted(os.listdir(tmp_path / "clients")) == ["pc1", "pc3"]
        assert "has no name: give it one in names" in (tmp_path / "log").read_text()
    finally:
        site.server.kill()
    done = site.run("reset", "pc3", "--yes")
    assert done.returncode == 0, done.stderr
    assert not list(site.upper("pc3").iterdir())


def test_a_fresh_layer_at_each_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not for a client that runs, whether it has a connection or the server was restarted."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    site = Site(tmp_path, 'reset = "mount"')
    site.server.start()
    try:
        with site.client(FIRST) as first:
            root = first.mount("/root")
            assert first.mount("/root") == root, "a MOUNT that was sent twice"
            file = lookup(first, root, b"file")
            write(first, file, b"first")
            with site.client(FIRST) as again:
                assert again.mount("/root") == root
                assert again.mount("/root/dir")
                assert read(again, file) == b"first"
        # What had a connection to the layer is gone: the machine starts anew.
        with site.client(FIRST) as first:
            assert first.mount("/root/dir"), "a directory below is no start of a machine"
            assert read(first, file) == b"first"
        with site.client(FIRST) as first:
            fresh = first.mount("/root")
            assert fresh != root
            assert not list(site.upper(FIRST).iterdir())
            assert first.nfs("GETATTR", file).status == NFS3ERR_STALE
            file = lookup(first, fresh, b"file")
            assert read(first, file) == b"lower"
            write(first, file, b"after")
        site.server.restart(crash=True)
        with site.client(FIRST) as first:
            assert first.mount("/root") == fresh, "it may have been running all the time"
            assert read(first, file) == b"after"
        with site.client(SECOND) as second:
            assert second.mount("/root")
        assert (tmp_path / "log").read_text().count("emptied, as it mounts") == 1
    finally:
        site.server.kill()


def test_a_hook_prepares_new_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    hook = tmp_path / "hook"
    hook.write_text('#!/bin/sh\nmkdir "$3/dir" && echo "$1 $2" >"$3/dir/name"\n')
    site = Site(tmp_path, f'hook = "{hook}"')
    site.server.start()
    try:
        with site.client(FIRST) as first:
            assert first.mountd("MNT", b"/root").fhs_status == MNT3ERR_IO, "it cannot be run yet"
            hook.chmod(0o755)
            root = first.mount("/root")
            assert read(first, lookup(first, lookup(first, root, b"dir"), b"name")) == (
                f"made {FIRST}\n".encode()
            )
        site.server.stop()
    finally:
        site.server.kill()
    assert "Permission denied" in (tmp_path / "log").read_text()
    assert site.run("reset", FIRST, "--yes").returncode == 0
    assert (site.upper(FIRST) / "dir" / "name").read_text() == f"reset {FIRST}\n"
    hook.write_text("#!/bin/sh\necho no space left\nexit 3\n")
    refused = site.run("reset", FIRST, "--yes")
    assert refused.returncode == 2
    assert "ended with status 3: no space left" in refused.stderr
