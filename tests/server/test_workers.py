"""Several workers over the wire: how clients are spread, what each sees, and what a death costs.

Which worker serves a connection is found out from the outside, by who has the socket.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nfsd.xdr.generated.mount import MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES
from nfsd.xdr.generated.nfs3 import (
    EXCLUSIVE,
    GUARDED,
    NF3LNK,
    NF3REG,
    NFS3_OK,
    NFS3ERR_EXIST,
    NFS3ERR_NOENT,
    NFS3ERR_STALE,
    UNCHECKED,
    UNSTABLE,
    ACCESS3args,
    CREATE3args,
    MKDIR3args,
    READDIRPLUS3args,
    RENAME3args,
    createhow3,
    diropargs3,
    nfstime3,
)
from tests.client import Client, auth_sys, fill
from tests.conformance.server import Server, Stack
from tests.torture.tracer import held_up
from tests.wire import NfsError, Wire, sattr

pytestmark = pytest.mark.processes

FILES = 300


@contextmanager
def serving(place: Path, workers: int) -> Iterator[Server]:
    lower = place / "lower"
    for directory in ("d/sub", "e", "moved"):
        (lower / directory).mkdir(parents=True)
    for name in ("a", "b", "c", "d/f", "d/sub/g", "moved/in", "written", "linked"):
        (lower / name).write_text(f"lower {name}\n" * 100)
    os.link(lower / "linked", lower / "e/linked")
    stack = Stack.over([lower], place)
    server = Server(stack, place / "log", arguments=["--workers", str(workers), "-v"])
    server.start()
    try:
        yield server
        if server.running:
            server.stop()
    finally:
        server.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, 2) as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("workers"), 2) as started:
        yield started


def wires(server: Server) -> list[Wire]:
    """A connection to each worker."""
    found: dict[int, Wire] = {}
    for _ in range(4 * len(server.workers)):
        wire = Wire(server.port)
        found.setdefault(server.worker_of(wire.client.socket), wire)
    assert sorted(found) == server.workers
    return list(found.values())


@pytest.fixture
def both(shared: Server) -> Iterator[list[Wire]]:
    """A connection to each of two workers."""
    found = wires(shared)
    yield found
    for wire in found:
        wire.close()


def spread(server: Server, clients: list[Client]) -> list[int]:
    """How many of these connections each worker has."""
    workers = [server.worker_of(client.socket) for client in clients]
    return [workers.count(worker) for worker in server.workers]


def test_connections_are_spread_evenly(tmp_path: Path) -> None:
    with serving(tmp_path, 3) as server:
        clients = [Client(server.port) for _ in range(9)]
        assert spread(server, clients) == [3, 3, 3]
        first = server.workers[0]
        for client in [each for each in clients if server.worker_of(each.socket) == first]:
            clients.remove(client)
            client.close()
        assert sorted(spread(server, clients)) == [0, 3, 3]
        deadline = time.monotonic() + 120
        while sorted(spread(server, [*clients, probe := Client(server.port)])) != [1, 3, 3]:
            probe.close()  # the worker has not heard of all that were closed
            assert time.monotonic() < deadline
        clients += [probe, Client(server.port), Client(server.port)]
        assert spread(server, clients) == [3, 3, 3]
        for client in clients:
            client.close()


def test_what_a_killed_worker_had_is_spread_evenly_again(server: Server) -> None:
    clients = [Client(server.port) for _ in range(8)]
    victim = server.workers[0]
    lost = [each for each in clients if server.worker_of(each.socket) == victim]
    os.kill(victim, signal.SIGKILL)
    for client in lost:
        with pytest.raises((EOFError, OSError)):
            client.nfs("NULL")
        clients.remove(client)
    await_workers(server, 2, without=victim)
    clients += [Client(server.port) for _ in lost]
    assert spread(server, clients) == [4, 4]
    for client in clients:
        client.nfs("NULL")
        client.close()


def await_workers(server: Server, number: int, *, without: int) -> None:
    deadline = time.monotonic() + 120
    while len(now := server.workers) != number or without in now:
        assert time.monotonic() < deadline, "no worker took its place"
        time.sleep(0.01)


def test_more_connections_at_once_than_workers_can_take(server: Server) -> None:
    """They wait, and none is lost."""
    for worker in server.workers:
        os.kill(worker, signal.SIGSTOP)
    addresses = [f"127.0.0.{number % 6 + 1}" for number in range(1200)]
    clients = [Client(server.port, source=(address, 0)) for address in addresses]
    for worker in server.workers:
        os.kill(worker, signal.SIGCONT)
    for client in clients:
        assert client.nfs("NULL") is None
    for client in clients:
        client.close()


def test_threads_have_no_heaps_of_their_own(shared: Server) -> None:
    """What is let go of in one would not be there for another; glibc reserves 64 MiB for each."""
    for wire in wires(shared):
        wire.write(wire.create(f"heap{wire.client.socket.fileno()}"), b"waits for the disk")
        wire.close()
    for pid in shared.workers:
        maps = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
        ranges = [tuple(int(end, 16) for end in fields[0].split("-")) for fields in maps]
        for (begin, _), (_, end), fields in zip(ranges, ranges[1:], maps[1:], strict=False):
            assert fields[1] != "---p" or end - begin != 64 << 20, f"{pid}: {begin:x}"


PATHS = ["a", "b", "c", "d", "d/f", "d/sub", "d/sub/g", "e", "e/linked", "linked", "moved"]
PATHS += ["moved/in", "new", "new/new", "d/new", "d/sub2", "d/sub2/g", "e/moved", "e/moved/in"]


def everything(wire: Wire) -> dict[str, Any]:
    """All that can be asked about all that there may be, but access times, which asking changes."""
    return {path: about(wire, path) for path in ["", *PATHS]}


def about(wire: Wire, path: str) -> Any:  # noqa: ANN401 - to be compared
    try:
        handle = wire.lookup(path)
    except NfsError as problem:
        return problem.status
    attributes = wire.attributes(handle)
    access = wire.call("ACCESS", ACCESS3args(handle, 0x3F)).access
    found = [handle, replace(attributes, atime=nfstime3(0, 0)), access]
    if attributes.type == NF3REG:
        return [*found, wire.read(handle)]
    if attributes.type == NF3LNK:
        return [*found, wire.readlink(handle)]
    plus = wire.call("READDIRPLUS", READDIRPLUS3args(handle, 0, bytes(8), 8192, 32768)).reply
    entries = [
        (entry.name, entry.fileid, entry.name_handle, entry.name_attributes and 1)
        for entry in plus.entries
    ]
    return [*found, wire.names(handle), entries]


Change = Callable[[Wire], object]
CHANGES: list[Change] = [
    lambda wire: wire.setattr(wire.lookup("a"), mode=0o600),
    lambda wire: wire.write(wire.lookup("a"), b"longer than before" * 100),
    lambda wire: wire.setattr(wire.lookup("a"), size=10),
    lambda wire: wire.write(wire.lookup("b"), b"first write", stable=UNSTABLE),
    lambda wire: wire.write(wire.lookup("d/sub/g"), b"below directories that must be copied up"),
    lambda wire: wire.create("d/new", b"data"),
    lambda wire: wire.remove("d/new"),
    lambda wire: wire.mkdir("d/new"),
    lambda wire: wire.rmdir("d/new"),
    lambda wire: wire.symlink("d/new", "target"),
    lambda wire: wire.rename("d/new", "new"),
    lambda wire: wire.remove("new"),
    lambda wire: wire.link(wire.lookup("c"), "new"),
    lambda wire: wire.remove("c"),
    lambda wire: wire.rename("new", "c"),
    lambda wire: wire.rename("d/sub", "d/sub2"),
    lambda wire: wire.create("d/sub"),
    lambda wire: wire.remove("d/sub2/g"),
    lambda wire: wire.rename("moved", "e/moved"),
    lambda wire: wire.setattr(wire.lookup("e/linked"), mode=0o640),
    lambda wire: wire.remove("linked"),
    lambda wire: wire.rename("e/linked", "e/moved/in"),
    lambda wire: wire.rename("a", "b"),
    lambda wire: wire.rmdir("d/sub2"),
    lambda wire: wire.mkdir("new"),
    lambda wire: wire.rename("e/moved", "new/new"),
]


@pytest.mark.parametrize("first", [0, 1])
def test_what_one_worker_changes_the_other_sees_at_once(server: Server, first: int) -> None:
    both = wires(server)
    for number, change in enumerate(CHANGES):
        one, other = both[(first + number) % 2], both[(first + number + 1) % 2]
        before = everything(other)
        change(one)
        seen = everything(other)
        assert seen != before, number
        assert seen == everything(one), number
    for wire in both:
        wire.close()


def test_removed_is_stale_in_the_other_worker(both: list[Wire]) -> None:
    one, other = both
    made = one.create("removed", b"data"), one.mkdir("gone"), one.symlink("pointer", "a")
    lower = other.lookup("d/f")
    for handle in (*made, lower):
        other.attributes(handle)
    one.remove("removed")
    one.rmdir("gone")
    one.remove("pointer")
    one.remove("d/f")
    for handle in (*made, lower):
        assert other.status("GETATTR", handle) == NFS3ERR_STALE
        assert one.status("GETATTR", handle) == NFS3ERR_STALE


def test_a_handle_of_a_lower_file_follows_it(both: list[Wire]) -> None:
    one, other = both
    handle = other.lookup("written")
    size = len(other.read(handle))
    for number in range(20):
        one.write(handle, b"%06d" % number)
        assert other.read(handle)[:6] == b"%06d" % number
        other.write(handle, b"%06d" % number, size)
        assert one.attributes(handle).size == size + 6
        assert one.read(handle)[size:] == b"%06d" % number


def race(both: list[Wire], call: str, arguments: Callable[[int, int], Any]) -> list[list[int]]:
    """What each of two workers answers to so many calls that are made of both at once."""
    answers: list[list[int]] = [[], []]
    meet = threading.Barrier(2)

    def run(which: int) -> None:
        for number in range(FILES):
            what = arguments(which, number)
            meet.wait(30)
            answers[which].append(both[which].status(call, what))

    threads = [threading.Thread(target=run, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("how", [GUARDED, EXCLUSIVE, UNCHECKED, "MKDIR"])
def test_both_make_the_same_name(both: list[Wire], how: Any) -> None:  # noqa: ANN401
    place = both[0].mkdir(f"made{how}")

    def arguments(which: int, number: int) -> Any:  # noqa: ANN401 - by procedure
        where = diropargs3(place, b"%d" % number)
        if how == "MKDIR":
            return MKDIR3args(where, sattr(0o755))
        if how == EXCLUSIVE:
            return CREATE3args(where, createhow3(how, verf=b"of    %02d" % which))
        return CREATE3args(where, createhow3(how, sattr(0o644)))

    answers = race(both, "MKDIR" if how == "MKDIR" else "CREATE", arguments)
    expected = [NFS3_OK, NFS3_OK if how == UNCHECKED else NFS3ERR_EXIST]
    assert [sorted(each) for each in zip(*answers, strict=True)] == [sorted(expected)] * FILES
    if how != UNCHECKED:
        assert all(NFS3_OK in each for each in answers), "they did not race"
    assert sorted(both[1].names(place)) == sorted(b"%d" % number for number in range(FILES))


def test_both_rename_the_same_name(both: list[Wire]) -> None:
    place = both[0].mkdir("renamed")
    handles = [both[0].create(f"renamed/{number}") for number in range(FILES)]

    def arguments(which: int, number: int) -> RENAME3args:
        to = diropargs3(place, b"%d to %d" % (number, which))
        return RENAME3args(diropargs3(place, b"%d" % number), to)

    answers = race(both, "RENAME", arguments)
    outcomes = [sorted(each) for each in zip(*answers, strict=True)]
    assert outcomes == [sorted([NFS3_OK, NFS3ERR_NOENT])] * FILES
    assert all(NFS3_OK in each for each in answers), "they did not race"
    for wire in both:
        assert len(wire.names(place)) == FILES
        for handle in handles:
            assert wire.attributes(handle).nlink == 1


def test_both_rename_onto_the_same_name(both: list[Wire]) -> None:
    """What is replaced is gone for both, and what replaced it is there."""
    place = both[0].mkdir("replaced")
    handles = [
        [both[0].create(f"replaced/{number} of {which}") for number in range(FILES)]
        for which in range(2)
    ]

    def arguments(which: int, number: int) -> RENAME3args:
        name = b"%d of %d" % (number, which)
        return RENAME3args(diropargs3(place, name), diropargs3(place, b"target"))

    answers = race(both, "RENAME", arguments)
    assert answers == [[NFS3_OK] * FILES] * 2
    for wire in both:
        assert wire.names(place) == [b"target"]
        target = wire.lookup("replaced/target")
        assert target in (handles[0][-1], handles[1][-1])
        for handle in (*handles[0], *handles[1]):
            status = NFS3_OK if handle == target else NFS3ERR_STALE
            assert wire.status("GETATTR", handle) == status


def test_mounts_are_listed_by_all_workers(both: list[Wire]) -> None:
    listed = [
        wire.client.call(MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES[2], None) for wire in both
    ]
    assert listed[0] == listed[1]
    assert [each.ml_directory for each in listed[0]] == [b"/"]


def test_a_repeated_call_gets_the_first_answer_from_the_other_worker(server: Server) -> None:
    """...which its client never had: that was reset before its machine had acknowledged it."""
    one, other = wires(server)
    message = one.client.nfs_message("REMOVE", one.parent("a"))
    first = server.worker_of(one.client.socket)
    deaf = next(
        client
        for client in (Client(server.port, receive_bytes=4096) for _ in range(8))
        if server.worker_of(client.socket) == first
    )
    fill(deaf, one.root)
    deaf.send(message)
    until = time.monotonic() + 120
    while b"a" in other.names(other.root):
        assert time.monotonic() < until
    deaf.reset()
    other.client.send(message)
    assert other.client.record()[24:28] == bytes(4)  # NFS3_OK
    for wire in (one, other):
        wire.close()


def test_a_repeated_call_waits_for_the_first_in_the_other_worker(server: Server) -> None:
    """...and is made then, if that was answered: two programs may begin with the same xid."""
    one, other = wires(server)
    message = one.client.nfs_message("REMOVE", one.parent("a"))
    held = server.worker_of(one.client.socket)
    with held_up(held, "symlinkat", lambda: one.client.send(message)):
        other.client.send(message)
        time.sleep(0.2)
        other.attributes(other.root)  # nobody is held up who does not change names
    answers = [wire.client.record()[24:28] for wire in (one, other)]
    assert answers == [bytes(4), NFS3ERR_NOENT.to_bytes(4, "big")]
    for wire in (one, other):
        wire.close()


def test_a_killed_worker_costs_a_connection_and_nothing_else(server: Server) -> None:
    one, other = wires(server)
    victim = server.worker_of(one.client.socket)
    handle = one.create("new", b"data")
    verifier = other.commit(handle)
    one.rename("d/sub", "e/sub")
    os.kill(victim, signal.SIGKILL)
    await_workers(server, 2, without=victim)
    assert other.read(handle) == b"data"
    again = wires(server)
    for wire in again:
        assert wire.lookup("new") == handle
        assert wire.commit(handle) == verifier
        assert wire.names(wire.lookup("e/sub")) == [b"g"]
        wire.write(handle, b"more", 4)
    assert everything(again[0]) == everything(again[1])
    assert f"worker {victim} was ended by SIGKILL" in server.output()
    for wire in (*again, one, other):
        wire.close()


def test_a_worker_need_not_wait_for_more_descriptors(server: Server) -> None:
    """Its table of them has room from the start (index.linux.fd_limit)."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wire in wires(server):  # until both have begun
        wire.close()
    for worker in server.workers:
        status = Path(f"/proc/{worker}/status").read_text()
        (size,) = (int(line.split()[1]) for line in status.splitlines() if line[:7] == "FDSize:")
        assert size >= min(limit, 1 << 16)


def test_a_worker_that_is_told_to_stop_is_replaced(server: Server) -> None:
    victim = server.workers[0]
    os.kill(victim, signal.SIGTERM)
    await_workers(server, 2, without=victim)
    for wire in wires(server):
        assert wire.names(wire.root)
        wire.close()


def test_workers_die_with_the_parent(server: Server) -> None:
    """...also after acting as another user; a new server can take their place at once."""
    for number in range(3):
        both = wires(server)
        both[0].setattr(both[0].root, mode=0o777)
        for which, wire in enumerate(both):
            wire.client.cred = auth_sys(1000, 1000)
            wire.create(f"made{number} by {which}")
        server.restart(crash=True)
        for wire in both:
            with pytest.raises((EOFError, OSError)):
                wire.client.nfs("NULL")
            wire.close()
    wire = Wire(server.port)
    assert sum(name.startswith(b"made") for name in wire.names(wire.root)) == 6
    wire.close()


def test_workers_die_with_the_parent_in_the_middle_of_a_call(server: Server) -> None:
    both = wires(server)
    one, other = (
        partial(
            wire.client.send,
            wire.client.nfs_message("MKDIR", MKDIR3args(wire.parent(name), sattr())),
        )
        for wire, name in zip(both, ("one", "other"), strict=True)
    )
    with held_up(server.worker_of(both[0].client.socket), "mkdirat", one):
        other()
        time.sleep(0.2)
        begun = time.monotonic()
        server.kill()
        assert time.monotonic() - begun < 4, "they were asked to stop"
    for wire in both:
        wire.close()


def test_calls_are_traced_with_the_worker(server: Server) -> None:
    for wire in wires(server):
        wire.attributes(wire.root)
        wire.close()
    for pid in server.workers:
        assert f"overlay-nfsd[{pid}]: DEBUG: 127.0.0.1 GETATTR /: OK" in server.output()


@pytest.mark.slow
def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, 2) as server:
        with Client(server.port) as client:
            client.nfs("NULL")
            worker = server.worker_of(client.socket)
        os.kill(worker, signal.SIGSTOP)
        while "State:\tT" not in Path(f"/proc/{worker}/status").read_text():
            time.sleep(0.01)
        server.stop()
    assert f"worker {worker} does not stop and is killed" in server.output()
