"""Calls, errors and bytes by export: they agree with what clients counted, and nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nfsd.rpc.call_stats import CallStats, cached_outcome, first_word
from nfsd.rpc.export_stats import NUMBERS_MAX, ExportCounts, ExportStats
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_NOENT,
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
from tests.client import NFS, Client
from tests.conformance.server import Server
from tests.scraped import OPTIONS, Numbers, scrape, scraped_when
from tests.wire import sattr

SHARED, READ_ONLY, OWN = "/shared", "/read-only", '/own"\\layers'
EXPORTS = (SHARED, READ_ONLY, OWN)
GETATTR, LOOKUP, READ, WRITE = (
    first_word(NFS_PROGRAM, NFS_V3, NFS[name].number)
    for name in ("GETATTR", "LOOKUP", "READ", "WRITE")
)


def export(path: str, place: Path, layers: str) -> str:
    return f"""
[[export]]
path = '{path}'
lowerdir = "{place}/lower"
{layers}
clients = {{ "*" = "rw,insecure,no_root_squash" }}
"""


def configuration(place: Path) -> dict[str, str]:
    """A table for each export."""
    upper = f'upperdir = "{place}/upper"\nworkdir = "{place}/work"'
    own = f'upperdir = "{place}/own/{{client}}/upper"\nworkdir = "{place}/own/{{client}}/work"'
    return {
        path: export(path, place, layers)
        for path, layers in ((SHARED, upper), (READ_ONLY, ""), (OWN, own))
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for name in ("lower/d", "upper", "work", "own"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lower/a").write_bytes(bytes(5000))
    (tmp_path / "config.toml").write_text("".join(configuration(tmp_path).values()))
    arguments = ["--config", str(tmp_path / "config.toml"), "--workers", "2", *OPTIONS]
    running = Server(None, tmp_path / "log", arguments=arguments)
    running.start()
    try:
        yield running
        running.stop()
    finally:
        running.kill()


class Load:
    """A client of one export, that counts."""

    def __init__(self, port: int, path: str) -> None:
        self.path = path
        self.counted: Counter[str] = Counter()
        self._port = port

    def run(self, rounds: int) -> None:
        with Client(self._port) as client:
            root = client.mount(self.path.encode())
            (found,) = self._made(client, [("LOOKUP", diropargs3(root, b"a"))])
            for number in range(rounds):
                self._made(client, self._calls(root, found.resok.object, b"%d" % number))
            self._again(client, root)
            asked = GETACL3args(root, NFS_ACL)
            client.call(NFS_ACL_PROGRAM, NFS_ACL_V3, NFS_ACL_V3_SIGNATURES[1], asked)
            self.counted["calls"] += 1

    def _calls(self, root: bytes, file: bytes, name: bytes) -> list[tuple[str, Any]]:
        calls: list[tuple[str, Any]] = [("GETATTR", file)] * 20  # most are answered by what is kept
        calls += [("LOOKUP", diropargs3(root, b"none"))] * 3
        calls += [("READ", READ3args(file, 0, 1000)), ("READ", READ3args(root, 0, 10))]
        calls += [("WRITE", WRITE3args(file, 0, 10, UNSTABLE, bytes(10)))]
        return [*calls, ("REMOVE", diropargs3(root, name))]

    def _made(self, client: Client, calls: list[tuple[str, Any]]) -> list[Any]:
        results = client.pipeline(calls)
        for (name, _), result in zip(calls, results, strict=True):
            self.counted["calls"] += 1
            self.counted["errors"] += result.status != NFS3_OK
            if name in ("READ", "WRITE") and result.status == NFS3_OK:
                self.counted["read" if name == "READ" else "written"] += result.resok.count
        return results

    def _again(self, client: Client, root: bytes) -> None:
        """A call that comes three times."""
        message = client.nfs_message("SETATTR", SETATTR3args(root, sattr(mode=0o755), None))
        for _ in range(3):
            client.send(message)
            status = NFS["SETATTR"].unpack_results(client.record(), 24)[0].status
            self.counted["calls"] += 1
            self.counted["errors"] += status != NFS3_OK


def told(numbers: Numbers, path: str) -> dict[str, float]:
    found = {
        "calls": numbers.value("export_calls_total", export=path),
        "errors": numbers.value("export_errors_total", export=path),
    }
    for direction in ("read", "written"):
        labels = {"export": path, "direction": direction}
        found[direction] = numbers.value("export_data_bytes_total", **labels)
    return found


def test_each_exports_numbers_are_those_that_its_clients_counted(server: Server) -> None:
    loads = [Load(server.port, path) for path in EXPORTS for _ in range(2)]
    threads = [threading.Thread(target=load.run, args=(30,)) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Client(server.port) as client:  # of no export
        client.nfs("NULL")
        assert client.nfs("GETATTR", client.mount(b"/")).status == NFS3_OK
        assert client.nfs("GETATTR", b"no handle").status == nfsstat3.NFS3ERR_BADHANDLE
    numbers = scraped_when(server, lambda now: now.value("clients") == 0)
    assert numbers.labels("export_calls_total", "export") == set(EXPORTS)
    for path in EXPORTS:
        counted = sum((load.counted for load in loads if load.path == path), Counter[str]())
        expected = {name: counted[name] for name in ("calls", "errors", "read", "written")}
        assert told(numbers, path) == expected, path
        assert counted["read"] == 2 * 30 * 1000
        assert counted["written"] == (0 if path == READ_ONLY else 2 * 30 * 10)
    all_calls = numbers.value("calls_total", program="nfs3")
    all_calls += numbers.value("calls_total", program="nfsacl3")
    assert numbers.value("export_calls_total") == all_calls - 3
    assert numbers.value("export_errors_total") == numbers.value("errors_total") - 1
    assert numbers.value("export_data_bytes_total") == numbers.value("data_bytes_total")
    cached = numbers.value("cached_replies_total", procedure="GETATTR")
    assert cached > numbers.value("calls_total", procedure="GETATTR") / 2


def test_an_export_that_is_taken_out_and_put_in_again_counts_on(
    server: Server, tmp_path: Path
) -> None:
    def reload(*paths: str) -> Numbers:
        before = server.output().count("reloaded")
        tables = configuration(tmp_path)
        (tmp_path / "config.toml").write_text("".join(tables[path] for path in paths))
        os.kill(server.pid, signal.SIGHUP)
        return scraped_when(server, lambda _: server.output().count("reloaded") > before)

    with Client(server.port) as client:
        root = client.mount(READ_ONLY.encode())
        assert client.nfs("GETATTR", root).status == NFS3_OK
    assert reload(SHARED).labels("export_calls_total", "export") == {SHARED}
    with Client(server.port) as client:
        assert client.nfs("GETATTR", client.mount(SHARED.encode())).status == NFS3_OK
        assert client.nfs("GETATTR", root).status == nfsstat3.NFS3ERR_BADHANDLE
    numbers = reload(READ_ONLY, SHARED)
    assert numbers.labels("export_calls_total", "export") == {SHARED, READ_ONLY}
    with Client(server.port) as client:
        assert client.nfs("GETATTR", root).status == NFS3_OK
    numbers = scrape(server)
    assert told(numbers, SHARED) == {"calls": 1, "errors": 0, "read": 0, "written": 0}
    assert told(numbers, READ_ONLY) == {"calls": 2, "errors": 0, "read": 0, "written": 0}


def test_what_was_made_and_what_was_kept_is_counted_by_export() -> None:
    of = CallStats()
    one, two = of.exports.number(b"/one"), of.exports.number(b"/two")
    of.loop.count(READ, 0, 1, 7, one)
    of.count_slow(WRITE, 0, 1, 5, one)
    of.loop.count(LOOKUP, NFS3ERR_NOENT, 1, 0, two)
    of.loop.count(GETATTR, 0, 1, 0)
    of.loop.cached += [cached_outcome(GETATTR, 0, two)] * 3
    of.loop.cached += [cached_outcome(LOOKUP, NFS3ERR_NOENT, one), cached_outcome(GETATTR, 0)]
    of.loop.batch(0)
    of.loop.cached += [cached_outcome(LOOKUP, NFS3ERR_NOENT, one)] * 2
    of.loop.batch(0)
    assert of.exports.totals() == {
        b"/one": ExportCounts(calls=5, errors=3, read=7, written=5),
        b"/two": ExportCounts(calls=4, errors=1),
    }
    calls = {each.procedure: each.calls for each in of.totals().procedures if each.calls}
    assert calls == {"READ": 1, "WRITE": 1, "LOOKUP": 4, "GETATTR": 5}


def test_numbers_are_bounded_and_stay() -> None:
    of = ExportStats()
    numbers = [of.number(b"/%d" % path) for path in range(NUMBERS_MAX + 3)]
    assert numbers == [*range(1, NUMBERS_MAX + 1), 0, 0, 0]
    assert of.number(b"/7") == 8
    assert len(of.totals()) == NUMBERS_MAX
