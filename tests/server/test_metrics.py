"""The numbers over HTTP: they agree with what clients counted, and never go backwards."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from nfsd.metrics.metrics import FAMILIES
from nfsd.rpc.record import mark
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS_PROGRAM,
    NFS_V3,
    UNSTABLE,
    READ3args,
    SETATTR3args,
    WRITE3args,
    diropargs3,
    nfsstat3,
)
from nfsd.xdr.generated.nfsacl import (
    NFS_ACL,
    NFS_ACL_PROGRAM,
    NFS_ACL_V3,
    NFS_ACL_V3_SIGNATURES,
    GETACL3args,
)
from nfsd.xdr.generated.nlm4 import (
    NLM4_BLOCKED,
    NLM4_GRANTED,
    NLM4_PROGRAM,
    NLM4_V4,
    nlm4_lock,
    nlm4_lockargs,
    nlm4_testargs,
)
from tests.client import NFS, Client, RpcError
from tests.conformance.server import Server, Stack
from tests.locking import NLM
from tests.scraped import OPTIONS, page, scrape, scraped_when
from tests.wire import sattr

SIZE = 100_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    lower = tmp_path / "lower"
    (lower / "d").mkdir(parents=True)
    for name in ("a", "b", "d/f"):
        (lower / name).write_bytes(bytes(SIZE))
    arguments = ["--workers", "2", *OPTIONS]
    running = Server(Stack.over([lower], tmp_path), tmp_path / "log", arguments=arguments)
    running.start()
    try:
        yield running
        if running.running:
            running.stop()
    finally:
        running.kill()


class Load:
    """A client that calls all kinds of things, and counts."""

    def __init__(self, port: int, seed: int) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.read = self.written = 0
        self._port = port
        self._seed = seed

    def run(self, rounds: int) -> None:
        with Client(self._port) as client:
            root = client.mount()
            self.calls["MNT"] += 1
            handle = self._handle(client, root)
            for _ in range(rounds):
                self._round(client, root, handle)

    def _handle(self, client: Client, root: bytes) -> bytes:
        found = client.pipeline([("LOOKUP", diropargs3(root, b"ab"[self._seed % 2 :][:1]))])[0]
        self._count("LOOKUP", found.status)
        handle: bytes = found.resok.object
        return handle

    def _round(self, client: Client, root: bytes, handle: bytes) -> None:
        calls: list[tuple[str, Any]] = [("GETATTR", handle)] * 20
        calls += [("LOOKUP", diropargs3(root, b"none")), ("LOOKUP", diropargs3(root, b"a"))]
        calls += [("READ", READ3args(handle, 0, 1000)), ("READ", READ3args(root, 0, 10))]
        calls += [("WRITE", WRITE3args(handle, 0, 10, UNSTABLE, bytes(10))), ("GETATTR", b"no")]
        for (name, _), result in zip(calls, client.pipeline(calls), strict=True):
            self._count(name, result.status)
            if name == "READ" and result.status == NFS3_OK:
                self.read += result.resok.count
            if name == "WRITE" and result.status == NFS3_OK:
                self.written += result.resok.count

    def _count(self, name: str, status: int) -> None:
        self.calls[name] += 1
        if status != NFS3_OK:
            self.errors[name, nfsstat3(status).name.removeprefix("NFS3ERR_")] += 1


def loaded(server: Server, clients: int, rounds: int) -> list[Load]:
    loads = [Load(server.port, seed) for seed in range(clients)]
    threads = [threading.Thread(target=load.run, args=(rounds,)) for load in loads]
    for thread in threads:
        thread.start()
    seen: dict[tuple[str, str], float] = {}
    while any(thread.is_alive() for thread in threads):
        now = scrape(server).counters()
        assert {key: now.get(key) for key, was in seen.items() if now.get(key, -1) < was} == {}
        seen = now
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    return loads


def test_what_is_scraped_under_load_agrees_with_what_clients_counted(server: Server) -> None:
    loads = loaded(server, clients=4, rounds=100)
    calls = sum((load.calls for load in loads), Counter[str]())
    errors = sum((load.errors for load in loads), Counter[tuple[str, str]]())
    numbers = scraped_when(server, lambda now: now.value("clients") == 0)
    assert {name: numbers.value("calls_total", procedure=name) for name in calls} == calls
    assert numbers.value("calls_total") == sum(calls.values())
    assert numbers.value("call_duration_seconds_count") == sum(calls.values())
    assert numbers.value("call_duration_seconds_bucket", le="+Inf") == sum(calls.values())
    told = {key: numbers.value("errors_total", procedure=key[0], status=key[1]) for key in errors}
    assert told == errors
    assert numbers.value("errors_total") == sum(errors.values())
    assert errors["GETATTR", "BADHANDLE"]
    assert errors["LOOKUP", "NOENT"]
    assert numbers.value("data_bytes_total", direction="read") == sum(load.read for load in loads)
    written = sum(load.written for load in loads)
    assert numbers.value("data_bytes_total", direction="written") == written
    assert 0 < numbers.value("cached_replies_total", procedure="GETATTR") < calls["GETATTR"]
    assert numbers.value("cached_replies_total", procedure="WRITE") == 0
    assert numbers.value("copy_ups_total", kind="data") == 2
    assert numbers.value("copy_up_bytes_total") == 2 * SIZE
    assert numbers.value("copy_ups_in_progress") == 0
    assert numbers.value("accepted_connections_total") == len(loads)
    assert numbers.value("call_duration_seconds_sum", procedure="WRITE") > 0


def test_a_killed_worker_takes_nothing_back(server: Server) -> None:
    for load in loaded(server, clients=2, rounds=20):
        assert load.calls
    before = scraped_when(server, lambda now: now.value("clients") == 0)
    for pid in server.workers:
        os.kill(pid, signal.SIGKILL)
    after = scraped_when(
        server,
        lambda now: now.value("worker_deaths_total") == 2 and now.value("workers") == 2,
    )
    was, now = before.counters(), after.counters()
    assert {key: now[key] for key in was if now[key] < was[key]} == {}
    assert after.value("calls_total") == before.value("calls_total")
    with Client(server.port) as client:
        client.nfs("NULL")
        assert scrape(server).value("calls_total") == before.value("calls_total") + 1


def test_a_reload_takes_nothing_back(tmp_path: Path) -> None:
    """Other workers count on, where those before them have stopped."""
    (tmp_path / "lower").mkdir()
    config = tmp_path / "config.toml"
    export = f'[[export]]\npath = "/"\nlowerdir = "{tmp_path}/lower"\n'
    config.write_text(export + 'clients = { "*" = "ro,insecure" }\n')
    running = Server(
        None, tmp_path / "log", arguments=["--config", str(config), "--workers", "2", *OPTIONS]
    )
    running.start()
    try:
        with Client(running.port) as client:
            root = client.mount()
            for _ in range(10):
                client.nfs("GETATTR", root)
            before = scrape(running)
            config.write_text(export + 'clients = { "*" = "rw,insecure" }\n')
            os.kill(running.pid, signal.SIGHUP)
            scraped_when(running, lambda _: "reloaded" in running.output())
            client.nfs("GETATTR", root)
            after = scraped_when(running, lambda now: now.value("workers") == 2)
        was, now = before.counters(), after.counters()
        assert {key: now[key] for key in was if now[key] < was[key]} == {}
        assert after.value("calls_total", procedure="GETATTR") == 11
        running.stop()
    finally:
        running.kill()


def test_another_parser_knows_every_family(server: Server) -> None:
    with Client(server.port) as client:
        client.nfs("GETATTR", client.mount())
        numbers = scrape(server)
    # The parser takes _total off the names of counters.
    names = {family.name.removesuffix("_total"): family for family in FAMILIES}
    assert set(numbers.families) == set(names)
    for name, family in names.items():
        assert numbers.families[name].type == family.kind
        assert numbers.families[name].documentation == family.help


def test_connections_clients_and_memory(server: Server) -> None:
    with Client(server.port) as first, Client(server.port) as second:
        for client in (first, second):
            client.nfs("NULL")
        numbers = scrape(server)
        assert numbers.value("client_connections", client="127.0.0.1") == 2
        assert numbers.value("clients") == 1
    assert numbers.value("workers") == 2
    processes = {"parent", "worker 0", "worker 1", "locks"}
    assert numbers.labels("resident_memory_bytes", "process") == processes
    assert numbers.value("resident_memory_bytes", process="worker 1") > 1 << 20
    assert numbers.value("cpu_seconds_total") > 0
    assert scraped_when(server, lambda now: now.value("clients") == 0).value("clients") == 0


def test_stale_handles_and_the_size_of_the_index(server: Server) -> None:
    with Client(server.port) as client:
        root = client.mount()
        found = client.nfs("LOOKUP", diropargs3(root, b"a")).resok.object
        assert scrape(server).value("index_entries", export="/") == 0
        assert client.nfs("REMOVE", diropargs3(root, b"a")).status == NFS3_OK
        for _ in range(3):
            assert client.nfs("GETATTR", found).status == nfsstat3.NFS3ERR_STALE
        assert client.nfs("LOOKUP", diropargs3(found, b"x")).status == nfsstat3.NFS3ERR_STALE
    numbers = scraped_when(server, lambda now: now.value("index_entries", export="/") == 1)
    assert numbers.value("stale_handles_total", cause="removed") == 4
    assert numbers.value("stale_handles_total") == 4


def test_calls_that_come_again_and_calls_that_are_refused(server: Server) -> None:
    with Client(server.port) as client:
        root = client.mount()
        message = client.nfs_message("SETATTR", SETATTR3args(root, sattr(mode=0o755), None))
        replies = []
        for _ in range(3):
            client.send(message)
            replies.append(client.record())
        assert replies[0] == replies[1] == replies[2]
        with pytest.raises(RpcError):
            client.call(300000, 1, NFS["NULL"], None)
        garbage = b"\xff\xff\xff\xff"
        client.send(client.message(NFS_PROGRAM, NFS_V3, NFS["LOOKUP"].number, garbage))
        client.record()
    with Client(server.port) as client:
        client.send_raw(mark(8) + bytes(8))
        numbers = scraped_when(
            server, lambda now: now.value("refused_calls_total", reason="NOT_A_CALL") == 1
        )
    assert numbers.value("repeated_calls_total", was="done") == 2
    assert numbers.value("repeated_calls_total") == 2
    assert numbers.value("calls_total", procedure="SETATTR") == 3
    assert numbers.value("refused_calls_total", reason="PROG_UNAVAIL") == 1
    assert numbers.value("refused_calls_total", reason="GARBAGE_ARGS") == 1


def test_locks_are_counted_by_the_process_that_owns_them(server: Server) -> None:
    with Client(server.port) as client, Client(server.lock_port) as locker:
        root = client.mount()
        file = client.nfs("LOOKUP", diropargs3(root, b"a")).resok.object
        lock = nlm4_lock(b"host", file, b"owner", 1, 0, 0)
        for _ in range(3):
            tested = nlm4_testargs(b"cookie", False, lock)
            reply = locker.call(NLM4_PROGRAM, NLM4_V4, NLM["TEST"], tested)
            assert reply.test_stat.stat == NLM4_GRANTED
        other = nlm4_lock(b"host", file, b"other", 2, 0, 0)
        for wanted, status in ((lock, NLM4_GRANTED), (other, NLM4_BLOCKED)):
            locked = nlm4_lockargs(b"cookie", True, True, wanted, False, 1)
            assert locker.call(NLM4_PROGRAM, NLM4_V4, NLM["LOCK"], locked).stat == status
        scraped_when(server, lambda now: now.value("locks", state="waiting") == 1)
        assert scrape(server).value("locks", state="held") == 1
    numbers = scraped_when(
        server, lambda now: now.value("calls_total", program="nlm4", procedure="TEST") == 3
    )
    assert numbers.value("call_duration_seconds_count", program="nlm4") == 5


def test_errors_of_nfsacl_have_their_status(server: Server) -> None:
    with Client(server.port) as client:
        asked = GETACL3args(b"no handle", NFS_ACL)
        client.call(NFS_ACL_PROGRAM, NFS_ACL_V3, NFS_ACL_V3_SIGNATURES[1], asked)
        numbers = scrape(server)
    assert numbers.value("errors_total", program="nfsacl3", status="BADHANDLE") == 1


def test_other_requests(server: Server) -> None:
    for path, method, status in (
        ("/", "GET", 404),
        ("/metrics", "POST", 405),
        ("/metricsx", "GET", 404),
    ):
        address = page(server).replace("/metrics", path)
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=180)
        assert answer.value.code == status
    head = urllib.request.Request(page(server) + "?x=1", method="HEAD")
    with urllib.request.urlopen(head, timeout=180) as answer:
        assert int(answer.headers["Content-Length"]) > 1000
        assert answer.read() == b""


def test_who_sends_nothing_or_too_much_holds_nobody_up(server: Server) -> None:
    where = urlsplit(page(server))
    assert where.hostname is not None
    silent = [socket.create_connection((where.hostname, where.port or 0), 30) for _ in range(20)]
    assert scrape(server).value("workers") == 2
    address = (where.hostname, where.port or 0)
    with socket.create_connection(address, 30) as sock, suppress(ConnectionError):
        sock.sendall(b"GET /" + b"x" * 100_000)
        assert sock.recv(10) == b""
    with socket.create_connection((where.hostname, where.port or 0), 30) as sock:
        for byte in b"GET /metrics HTTP/1.0\r\n\r\n":
            sock.send(struct.pack("B", byte))
        assert sock.recv(15) == b"HTTP/1.1 200 OK"
    with socket.create_connection((where.hostname, where.port or 0), 30) as sock:
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")  # and never reads
        with Client(server.port) as client:
            client.nfs("NULL")
    for sock in silent:
        sock.close()
    assert scrape(server).value("workers") == 2
