"""The table of locks, held against a model of single bytes and against the kernel's own locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import random
import struct
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.linux.fd import Fd
from nfsd.lock import table as lock_table
from nfsd.lock.budget import Budget
from nfsd.lock.intervals import Intervals, Span
from nfsd.lock.local_files import LocalLocks
from nfsd.lock.shares import Share, Sharer, Shares
from nfsd.lock.table import LockTable
from nfsd.lock.types import END, Client, Lock, Outcome, Owner, TryLaterError

FILE, OTHER = b"file", b"other"
ALPHA, BETA = Client("192.0.2.1", b"alpha"), Client("192.0.2.2", b"beta")
A, B, C, D = Owner(ALPHA, 1, b""), Owner(ALPHA, 2, b""), Owner(BETA, 1, b""), Owner(BETA, 1, b"oh")
OWNERS = (A, B, C, D)
BYTES = 12  # of a file that the model knows one by one; the last stands for all beyond


def read(owner: Owner, begin: int = 0, end: int = END) -> Lock:
    return Lock(owner, begin, end, False)


def write(owner: Owner, begin: int = 0, end: int = END) -> Lock:
    return Lock(owner, begin, end, True)


class Scene:
    """A table, and the locks that it gave to those who waited."""

    def __init__(self, memory: Budget | None = None) -> None:
        self.granted: list[tuple[bytes, Lock]] = []
        self.table = LockTable(lambda key, lock, _: self.granted.append((key, lock)), memory=memory)

    def get(self, lock: Lock, key: bytes = FILE) -> Outcome:
        return self.table.lock(key, lock, wait=False)

    def wait(self, lock: Lock, key: bytes = FILE) -> Outcome:
        return self.table.lock(key, lock, wait=True)

    def taken(self) -> list[Lock]:
        found, self.granted = [lock for _, lock in self.granted], []
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


class Model:
    """Who holds which byte, and how; who waits, in the order of coming."""

    def __init__(self) -> None:
        self.bytes: list[dict[Owner, bool]] = [{} for _ in range(BYTES)]
        self.waiting: list[Lock] = []
        self.granted: list[Lock] = []

    def in_the_way(self, lock: Lock) -> set[Owner]:
        return {
            owner
            for byte in span(lock)
            for owner, exclusive in self.bytes[byte].items()
            if owner != lock.owner and (exclusive or lock.exclusive)
        }

    def put(self, lock: Lock) -> None:
        for byte in span(lock):
            self.bytes[byte][lock.owner] = lock.exclusive

    def unlock(self, lock: Lock) -> None:
        for byte in span(lock):
            self.bytes[byte].pop(lock.owner, None)
        self.wake()

    def free(self, client: Client) -> None:
        self.waiting = [lock for lock in self.waiting if lock.owner.client != client]
        for byte in self.bytes:
            for owner in [each for each in byte if each.client == client]:
                del byte[owner]
        self.wake()

    def wake(self) -> None:
        while True:
            free = [lock for lock in self.waiting if not self.in_the_way(lock)]
            if not free:
                return
            self.waiting.remove(free[0])
            self.put(free[0])
            self.granted.append(free[0])

    def is_deadlock(self, lock: Lock) -> bool:
        reached = self.in_the_way(lock)
        while True:
            more = {
                owner
                for each in self.waiting
                if each.owner in reached
                for owner in self.in_the_way(each)
            }
            if more <= reached:
                return lock.owner in reached
            reached |= more

    def lock(self, lock: Lock, wait: bool) -> Outcome:
        if not self.in_the_way(lock):
            if lock in self.waiting:
                self.waiting.remove(lock)
            self.put(lock)
            self.wake()
            return Outcome.GRANTED
        if not wait:
            return Outcome.DENIED
        if lock not in self.waiting:
            if self.is_deadlock(lock):
                return Outcome.DEADLOCK
            self.waiting.append(lock)
        return Outcome.WAITS


def span(lock: Lock) -> range:
    return range(lock.begin, BYTES if lock.end == END else lock.end)


ranges = st.tuples(st.integers(0, BYTES - 2), st.integers(1, BYTES)).map(
    lambda pair: (pair[0], END if sum(pair) >= BYTES else sum(pair))
)
locks = st.builds(
    lambda owner, ends, exclusive: Lock(owner, ends[0], ends[1], exclusive),
    st.sampled_from(OWNERS),
    ranges,
    st.booleans(),
)
steps = st.one_of(
    st.tuples(st.sampled_from(("lock", "wait", "unlock", "cancel")), locks),
    st.tuples(st.just("free"), st.sampled_from((ALPHA, BETA))),
)


@settings(max_examples=400)
@given(st.lists(steps, max_size=40))
def test_equal_to_a_model_of_single_bytes(sequence: list[tuple[str, Any]]) -> None:
    scene, model = Scene(), Model()
    for verb, what in sequence:
        match verb:
            case "lock" | "wait":
                outcome = scene.table.lock(FILE, what, wait=verb == "wait")
                assert outcome is model.lock(what, verb == "wait")
            case "unlock":
                scene.table.unlock(FILE, what)
                model.unlock(what)
            case "cancel":
                assert scene.table.cancel(FILE, what) is (what in model.waiting)
                model.waiting = [lock for lock in model.waiting if lock != what]
            case "free":
                scene.table.free(what)
                model.free(what)
        assert scene.taken() == model.granted
        model.granted = []
        check(scene.table, model)


def test_the_first_lock_in_the_way_is_told() -> None:
    table = LockTable(lambda *_: None)
    table.lock(FILE, read(A, 0, 100), wait=False)
    table.lock(FILE, write(A, 200, 300), wait=False)
    table.lock(FILE, write(B, 400, 500), wait=False)
    table.lock(FILE, read(B, 600, 700), wait=False)
    assert table.test(FILE, write(C)) == read(A, 0, 100)
    assert table.test(FILE, read(C)) == write(A, 200, 300)
    assert table.test(FILE, write(A)) == write(B, 400, 500)
    assert table.test(FILE, write(C, 550)) == read(B, 600, 700)


def check(table: LockTable, model: Model) -> None:
    """Every byte is held as the model has it, and no lock is counted twice."""
    for owner in OWNERS:
        for byte in range(BYTES):
            end = END if byte == BYTES - 1 else byte + 1
            for exclusive in (False, True):
                wanted = Lock(owner, byte, end, exclusive)
                found = table.test(FILE, wanted)
                others = model.in_the_way(wanted)
                assert (found is None) is (not others)
                assert found is None or (found.owner in others and found.conflicts(wanted))
                assert table.holds(FILE, wanted) is (model.bytes[byte].get(owner) is exclusive)
    runs = sum(
        model.bytes[byte].get(owner) is not None
        and (byte == 0 or model.bytes[byte].get(owner) is not model.bytes[byte - 1].get(owner))
        for owner in OWNERS
        for byte in range(BYTES)
    )
    assert len(table) == runs + len(model.waiting)
    holders = {owner.client for byte in model.bytes for owner in byte}
    holders |= {lock.owner.client for lock in model.waiting}
    for client in (ALPHA, BETA):
        assert table.has(client) is (client in holders)
        assert table.clients(client.address) == holders & {client}


class Follower(Model):
    """The model, that gives locks to who waits only as the table does, which may be later."""

    def wake(self) -> None:
        return

    def give(self, lock: Lock) -> None:
        assert lock in self.waiting
        assert not self.in_the_way(lock), "somebody has what was given"
        self.waiting.remove(lock)
        self.put(lock)

    def free_waiters(self) -> list[Lock]:
        return [lock for lock in self.waiting if not self.in_the_way(lock)]


later_steps = st.one_of(
    steps, st.tuples(st.just("work"), st.none()), st.tuples(st.just("test"), locks)
)


@settings(max_examples=400)
@given(st.lists(later_steps, max_size=60))
def test_what_is_left_for_later_is_in_nobodys_way(sequence: list[tuple[str, Any]]) -> None:
    """As the model, also where next to nothing of the work is done at once."""
    model = Follower()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock_table, "AT_ONCE", 1)
        patch.setattr(lock_table, "_STEPS", 1)
        table = LockTable(lambda _, lock, __: model.give(lock))
        for verb, what in sequence:
            follow(table, model, verb, what)
        for _ in range(2000):
            if not table.work():
                break
        assert not table.has_work
        assert model.free_waiters() == []
        patch.undo()
        check(table, model)


def follow(table: LockTable, model: Follower, verb: str, what: Any) -> None:  # noqa: ANN401
    match verb:
        case "lock" | "wait":
            before = [dict(byte) for byte in model.bytes], list(model.waiting)
            expected = model.lock(what, verb == "wait")
            outcome = table.lock(FILE, what, wait=verb == "wait")
            assert outcome in (expected, Outcome.LATER)
            if outcome is Outcome.LATER:
                model.bytes, model.waiting = before
        case "unlock":
            model.unlock(what)
            table.unlock(FILE, what)
        case "cancel":
            was = what in model.waiting
            model.waiting = [lock for lock in model.waiting if lock != what]
            assert table.cancel(FILE, what) is was
        case "free":
            model.free(what)
            table.free(what)
        case "work":
            table.work()
        case "test":
            with contextlib.suppress(TryLaterError):
                found = table.test(FILE, what)
                assert (found is None) is not bool(model.in_the_way(what))


class KernelLocks:
    """The locks of open file descriptions on one file (fcntl(2), F_OFD_SETLK)."""

    FLOCK = struct.Struct("hhqqi4x")

    def __init__(self) -> None:
        file, self.path = tempfile.mkstemp()
        os.close(file)
        self.fds = {owner: os.open(self.path, os.O_RDWR) for owner in OWNERS}

    def close(self) -> None:
        os.unlink(self.path)
        for fd in self.fds.values():
            os.close(fd)

    def call(self, command: int, kind: int, lock: Lock) -> tuple[int, ...]:
        length = 0 if lock.end == END else lock.end - lock.begin
        packed = self.FLOCK.pack(kind, os.SEEK_SET, lock.begin, length, 0)
        return self.FLOCK.unpack(fcntl.fcntl(self.fds[lock.owner], command, packed))

    def lock(self, lock: Lock) -> Outcome:
        try:
            self.call(fcntl.F_OFD_SETLK, kind_of(lock), lock)
        except BlockingIOError:
            return Outcome.DENIED
        return Outcome.GRANTED

    def unlock(self, lock: Lock) -> None:
        self.call(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, lock)

    def is_free(self, lock: Lock) -> bool:
        return self.call(fcntl.F_OFD_GETLK, kind_of(lock), lock)[0] == fcntl.F_UNLCK


def kind_of(lock: Lock) -> int:
    return fcntl.F_WRLCK if lock.exclusive else fcntl.F_RDLCK


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelLocks]:
    found = KernelLocks()
    yield found
    found.close()


@settings(max_examples=200)
@given(sequence=st.lists(st.tuples(st.sampled_from(("lock", "lock", "unlock")), locks)))
def test_equal_to_the_kernels_locks(kernel: KernelLocks, sequence: list[tuple[str, Lock]]) -> None:
    for owner in OWNERS:
        kernel.unlock(read(owner))
    scene = Scene()
    for verb, lock in sequence:
        if verb == "unlock":
            kernel.unlock(lock)
            scene.table.unlock(FILE, lock)
        else:
            assert scene.get(lock) is kernel.lock(lock)
        for owner in OWNERS:
            for byte in range(BYTES):
                asked = write(owner, byte, byte + 1)
                assert (scene.table.test(FILE, asked) is None) is kernel.is_free(asked)


def measured_table() -> LockTable:
    """A table whose trees, which are balanced by chance, are the same in every run."""
    random.seed(0)
    return LockTable(lambda *_: None)


def many(number: int) -> tuple[LockTable, list[Lock]]:
    """A table with so many owners, each with a byte of one file and with a file of its own."""
    table = measured_table()
    found = []
    for place in range(number):
        owner = Owner(Client(f"192.0.{place % 8}.1", b"alpha"), place, b"%d" % place)
        found.append(read(owner, 10 * place, 10 * place + 1))
        assert table.lock(FILE, found[-1], wait=False) is Outcome.GRANTED
        assert table.lock(b"%d" % place, write(owner), wait=False) is Outcome.GRANTED
    return table, found


def steps_of(call: Callable[[], object]) -> int:
    """How many functions are called by a call: a measure of its cost that no machine changes."""
    count = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


OTHERS = 3000
STEPS = 1500  # of one call, beside however many


@pytest.fixture(scope="module")
def crowd() -> tuple[LockTable, list[Lock]]:
    return many(OTHERS)


def test_a_call_costs_little_beside_many_owners(crowd: tuple[LockTable, list[Lock]]) -> None:
    table, _ = crowd
    middle = 10 * (OTHERS // 2) + 5
    mine = write(C, middle, middle + 1)
    calls: list[Callable[[], object]] = [
        lambda: table.test(FILE, write(C)),
        lambda: table.test(FILE, mine),
        lambda: table.lock(FILE, mine, wait=False),
        lambda: table.lock(FILE, write(C), wait=False),
        lambda: table.lock(FILE, write(C), wait=True),
        lambda: table.lock(FILE, write(C), wait=True),
        lambda: table.unlock(FILE, write(C)),
        lambda: table.cancel(FILE, write(C)),
        lambda: table.lock(b"1", write(C), wait=True),
        lambda: table.lock(FILE, read(C), wait=False),
        lambda: table.unlock(FILE, read(C)),
        lambda: table.free(Client("192.0.2.200", b"nobody")),
        lambda: table.free(BETA),
        lambda: table.clients(ALPHA.address),
        lambda: table.has(ALPHA),
    ]
    counts = [steps_of(call) for call in calls]
    assert max(counts) < STEPS, counts
    assert len(table) == 2 * OTHERS


def test_a_call_costs_little_beside_many_who_wait() -> None:
    table = measured_table()
    table.lock(FILE, write(A), wait=False)
    for place in range(OTHERS):
        owner = Owner(BETA, place, b"%d" % place)
        wanted = read(owner, place % 7) if place % 2 else write(owner, place % 5, 100 + place % 9)
        assert steps_of(lambda: table.lock(FILE, wanted, wait=True)) < STEPS  # noqa: B023
    assert steps_of(lambda: table.unlock(FILE, write(A))) < STEPS
    most, rounds = 0, 0
    while table.has_work:
        most = max(most, steps_of(table.work))
        rounds += 1
    assert most < 5 * STEPS
    assert rounds > OTHERS / 100
    calls: list[Callable[[], object]] = [
        lambda: table.lock(OTHER, write(A), wait=False),
        lambda: table.lock(FILE, write(A), wait=True),
        lambda: table.cancel(FILE, write(A)),
        lambda: table.free(BETA),
        lambda: table.lock(FILE, write(A), wait=True),
        lambda: table.test(FILE, write(C)),
    ]
    counts = [steps_of(call) for call in calls]
    assert max(counts) < 5 * STEPS, counts
    finish(table)
    assert table.test(FILE, write(C)) == write(A)
    assert len(table) == 2


def test_an_owner_gives_up_many_locks_at_once() -> None:
    """It costs that call little, and they are in nobody's way."""
    table = measured_table()
    for place in range(OTHERS):
        table.lock(FILE, write(A, 2 * place, 2 * place + 1), wait=False)
        table.lock(OTHER, write(A, 2 * place, 2 * place + 1), wait=False)
    assert table.lock(FILE, write(C, 4), wait=True) is Outcome.WAITS
    assert steps_of(lambda: table.unlock(FILE, write(A))) < 5 * STEPS
    assert table.test(FILE, write(B, OTHERS, OTHERS + 1)) is None
    assert table.lock(FILE, write(B, OTHERS, OTHERS + 9), wait=False) is Outcome.GRANTED
    assert table.lock(FILE, write(B), wait=False) is Outcome.LATER
    assert steps_of(lambda: table.free(ALPHA)) < 5 * STEPS
    assert table.lock(OTHER, write(A, 7, 8), wait=False) is Outcome.GRANTED, "it has begun anew"
    assert table.test(OTHER, write(C, 100, 120)) is None
    finish(table)
    assert table.holds(OTHER, write(A, 7, 8))
    assert table.holds(FILE, write(C, 4))
    assert len(table) == 2


def finish(table: LockTable) -> None:
    while table.work():
        pass


def test_one_address_leaves_room_for_others() -> None:
    memory = Budget(100_000)
    scene = Scene(memory)
    place = 0
    while scene.get(write(Owner(ALPHA, place, b""), place, place + 1)) is Outcome.GRANTED:
        place += 1
    assert place > 10
    assert len(memory) < 100_000 * 0.55
    assert scene.get(write(Owner(ALPHA, place, b""), place, place + 1)) is Outcome.FULL
    assert scene.wait(write(Owner(ALPHA, place, b""), 0, 1)) is Outcome.FULL
    assert scene.table.test(FILE, write(C, 3, 4)) is not None
    assert scene.get(write(Owner(ALPHA, 0, b""), 3, 4)) is Outcome.DENIED
    assert scene.get(write(C, place, END)) is Outcome.GRANTED
    assert scene.wait(write(C, 0, 1)) is Outcome.WAITS
    for number in range(5, 10):
        scene.table.unlock(FILE, write(Owner(ALPHA, number, b"")))
    assert scene.get(write(Owner(ALPHA, 5, b""), 5, 6)) is Outcome.GRANTED
    for client in (ALPHA, BETA):
        scene.table.free(client)
        finish(scene.table)
    assert len(memory) == 0


def test_many_addresses_leave_room_for_one_more() -> None:
    memory = Budget(1 << 20)
    for number in range(200):
        while memory.has(f"192.0.2.{number}", 64):
            memory.take(f"192.0.2.{number}", 64)
    assert memory.has("192.0.2.200", 64)
    assert len(memory) < 3 << 19


def test_all_addresses_of_one_client_of_ipv6_are_one() -> None:
    memory = Budget(1000)
    number = 0
    while memory.has(f"2001:db8::{number:x}", 1):
        memory.take(f"2001:db8::{number:x}", 1)
        number += 1
    assert number == 500
    assert not memory.has("2001:db8::ffff:1", 1)
    assert memory.has("2001:db8:0:1::1", 100)


def test_what_is_counted_is_what_is_taken() -> None:
    """The budget is of memory, so it must be near what the locks really take."""
    memory = Budget(1 << 40)
    table = LockTable(lambda *_: None, memory=memory)
    tracemalloc.start()
    try:
        for place in range(4000):
            owner = Owner(Client("192.0.2.1", b"alpha"), 1 << 20 | place, b"%020d" % place)
            table.lock(bytes(60) + b"%d" % (place % 100), write(owner, place, place + 1), wait=True)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.5 * len(memory) < size < 1.2 * len(memory)


saved_locks = st.lists(st.tuples(st.sampled_from((FILE, OTHER)), locks, st.booleans()), max_size=20)


@settings(max_examples=100)
@given(saved_locks)
def test_another_table_goes_on(sequence: list[tuple[bytes, Lock, bool]]) -> None:
    first, second = Scene(), Scene()
    for key, lock, wait in sequence:
        first.table.lock(key, lock, wait=wait, how=str(lock))
    for state in pickle.loads(pickle.dumps(list(first.table.all()))):
        second.table.restore(state)
    finish(second.table)
    assert second.granted == [], "who waits, waits on"
    assert list(second.table.all()) == list(first.table.all())
    first.granted.clear()
    for owner in OWNERS:
        for key in (FILE, OTHER):
            for scene in (first, second):
                scene.table.unlock(key, write(owner, 0, 5))
    assert second.granted == first.granted
    for client in (ALPHA, BETA):
        first.table.free(client)
        second.table.free(client)
    for file in (FILE, OTHER):
        given = [[lock for key, lock in scene.granted if key == file] for scene in (first, second)]
        assert given[0] == given[1]
    assert len(second.table) == len(first.table) == 0


spans = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 12), st.booleans()), max_size=60
)


@settings(max_examples=200)
@given(spans, st.integers(0, 40), st.integers(1, 10), st.integers(0, 4))
def test_intervals_are_equal_to_a_list(
    what: list[tuple[int, int, int, bool]], begin: int, length: int, who: int
) -> None:
    holders = [object() for _ in range(5)]
    tree, model = Intervals(), list[Span]()
    for holder, first, size, is_taken_out in what:
        span = Span(holders[holder], first, first + size, False)
        tree.add(span)
        model.append(span)
        if is_taken_out:
            tree.remove(model.pop(len(model) // 2))
    for each in (tree, Intervals([Span(s.holder, s.begin, s.end, False) for s in model])):
        end, asking = begin + length, holders[who]
        found = each.of_another(begin, end, asking)
        expected = [s for s in model if s.begin < end and begin < s.end and s.holder is not asking]
        assert (found is None) is not bool(expected)
        assert found is None or found.begin == min(s.begin for s in expected)
        assert each.farthest_end(begin) == max(
            (s.end for s in model if s.begin <= begin), default=0
        )
        behind = [s.begin for s in model if s.begin > begin]
        assert each.next_after(begin, end) == min([*behind, end])


def test_the_last_byte_of_64_bits(scene: Scene) -> None:
    last = write(A, END - 1, END)
    assert scene.get(last) is Outcome.GRANTED
    assert scene.table.test(FILE, read(B)) == last
    assert scene.get(write(B, 0, END - 1)) is Outcome.GRANTED


def test_files_are_apart(scene: Scene) -> None:
    assert scene.get(write(A)) is Outcome.GRANTED
    assert scene.get(write(B), OTHER) is Outcome.GRANTED
    assert scene.get(write(B)) is Outcome.DENIED


def test_who_waits_is_served_in_the_order_of_coming(scene: Scene) -> None:
    scene.get(write(A))
    for owner in (C, B, D):
        assert scene.wait(write(owner)) is Outcome.WAITS
    for owner, following in ((A, C), (C, B), (B, D)):
        scene.table.unlock(FILE, write(owner))
        assert scene.taken() == [write(following)]


def test_asking_again_keeps_the_place(scene: Scene) -> None:
    scene.get(write(A))
    scene.wait(write(C))
    scene.wait(write(B))
    assert scene.wait(write(C)) is Outcome.WAITS
    assert len(scene.table) == 3
    scene.table.unlock(FILE, write(A))
    assert scene.taken() == [write(C)]


def test_a_downgrade_lets_readers_in(scene: Scene) -> None:
    scene.get(write(A))
    scene.wait(read(B))
    scene.wait(write(C))
    scene.wait(read(D))
    assert scene.get(read(A)) is Outcome.GRANTED
    assert scene.taken() == [read(B), read(D)]


def test_an_upgrade_waits_for_other_readers(scene: Scene) -> None:
    scene.get(read(A))
    scene.get(read(B))
    assert scene.wait(write(A)) is Outcome.WAITS
    assert scene.wait(write(B)) is Outcome.DEADLOCK
    scene.table.unlock(FILE, read(B))
    assert scene.taken() == [write(A)]


def test_a_deadlock_over_two_files(scene: Scene) -> None:
    for owner, key in ((A, b"1"), (B, b"2"), (C, b"3")):
        scene.get(write(owner), key)
    assert scene.wait(write(A), b"2") is Outcome.WAITS
    assert scene.wait(write(B), b"3") is Outcome.WAITS
    assert scene.wait(write(D), b"1") is Outcome.WAITS
    assert scene.wait(write(C), b"1") is Outcome.DEADLOCK
    scene.table.cancel(b"3", write(B))
    assert scene.wait(write(C), b"1") is Outcome.WAITS


def test_freeing_a_client_serves_others(scene: Scene) -> None:
    scene.get(write(A))
    scene.get(write(A), OTHER)
    scene.wait(write(B))
    scene.wait(write(C))
    scene.table.free(ALPHA)
    assert scene.taken() == [write(C)]
    assert not scene.table.has(ALPHA)
    assert scene.table.has(BETA)
    assert len(scene.table) == 1


def test_shares() -> None:
    shares = Shares(Budget(1 << 20))
    first, second = Sharer(ALPHA, b"1"), Sharer(BETA, b"1")
    assert shares.share(FILE, first, Share(1, 2))
    assert not shares.share(FILE, second, Share(2, 0))
    assert not shares.share(FILE, second, Share(1, 1))
    assert shares.share(FILE, second, Share(1, 0))
    assert shares.share(OTHER, second, Share(2, 0))
    shares.unshare(FILE, second)
    shares.unshare(FILE, second)
    assert shares.share(b"third", second, Share(2, 0))
    assert shares.clients(BETA.address) == {BETA}
    assert shares.share(FILE, first, Share(3, 3)), "in place of its own"
    shares.free(ALPHA)
    assert not shares.has(ALPHA)
    assert shares.share(FILE, second, Share(3, 3))


share_steps = st.tuples(
    st.sampled_from(("share", "share", "unshare", "free")),
    st.sampled_from([Sharer(client, oh) for client in (ALPHA, BETA) for oh in (b"1", b"2")]),
    st.sampled_from((FILE, OTHER)),
    st.builds(Share, st.integers(0, 3), st.integers(0, 3)),
)


@settings(max_examples=200)
@given(st.lists(share_steps, max_size=30))
def test_shares_are_equal_to_a_list(sequence: list[tuple[str, Sharer, bytes, Share]]) -> None:
    memory = Budget(1 << 20)
    shares, model = Shares(memory), dict[tuple[bytes, Sharer], Share]()
    for verb, sharer, key, share in sequence:
        if verb == "share":
            is_free = not any(
                share.access & each.deny or share.deny & each.access
                for (file, other), each in model.items()
                if file == key and other != sharer
            )
            assert shares.share(key, sharer, share) is is_free
            if is_free:
                model[key, sharer] = share
        elif verb == "unshare":
            shares.unshare(key, sharer)
            model.pop((key, sharer), None)
        else:
            shares.free(sharer.client)
            model = {at: each for at, each in model.items() if at[1].client != sharer.client}
        assert {(key, who): each for key, who, each in shares.all()} == model
    for client in (ALPHA, BETA):
        shares.free(client)
    assert len(memory) == 0


class Pair:
    """A table whose locks are seen on a file, and a process that locks the same file."""

    def __init__(self, place: Path) -> None:
        # Of each pair another file: what is left of one may still have locks on its own.
        file, path = tempfile.mkstemp(dir=place)
        self.fd, self.path = Fd(file), path
        self.is_upper = True
        self.granted: list[Lock] = []
        self.local = LocalLocks(self.opened)
        self.table = LockTable(lambda _, lock, __: self.granted.append(lock), self.local)

    def opened(self, key: bytes) -> Fd | None:
        return Fd(os.open(self.path, os.O_RDWR)) if self.is_upper else None

    def call(self, command: int, kind: int, begin: int = 0, end: int = END) -> tuple[int, ...]:
        length = 0 if end == END else end - begin
        packed = KernelLocks.FLOCK.pack(kind, os.SEEK_SET, begin, length, 0)
        return KernelLocks.FLOCK.unpack(fcntl.fcntl(self.fd, command, packed))

    def held(self) -> list[str]:
        """How each byte is locked, as the process sees it."""
        found = []
        for byte in range(BYTES):
            end = END if byte == BYTES - 1 else byte + 1
            kinds = (fcntl.F_RDLCK, fcntl.F_WRLCK)
            free = [self.call(fcntl.F_OFD_GETLK, kind, byte, end)[0] for kind in kinds]
            found.append("wr-"[sum(kind == fcntl.F_UNLCK for kind in free)])
        return found


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sequence=st.lists(steps, max_size=25))
def test_processes_of_the_machine_see_all_locks(
    tmp_path: Path, sequence: list[tuple[str, Any]]
) -> None:
    pair, model = Pair(tmp_path), Model()
    for verb, what in sequence:
        match verb:
            case "lock" | "wait":
                pair.table.lock(FILE, what, wait=verb == "wait")
                model.lock(what, verb == "wait")
            case "unlock":
                pair.table.unlock(FILE, what)
                model.unlock(what)
            case "cancel":
                pair.table.cancel(FILE, what)
                model.waiting = [lock for lock in model.waiting if lock != what]
            case "free":
                pair.table.free(what)
                model.free(what)
        expected = ["-" if not byte else "w" if any(byte.values()) else "r" for byte in model.bytes]
        assert pair.held() == expected


def test_the_locks_of_processes_of_the_machine_count(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.call(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, 3, 6)
    holder = pair.table.test(FILE, read(A))
    assert holder is not None
    assert holder[1:] == (3, 6, True)
    assert pair.table.lock(FILE, read(A, 0, 4), wait=False) is Outcome.DENIED
    assert pair.table.lock(FILE, write(A, 0, 3), wait=False) is Outcome.GRANTED
    assert pair.table.lock(FILE, write(B, 4, 9), wait=True) is Outcome.WAITS
    pair.table.look_outside()
    assert pair.granted == []
    pair.call(fcntl.F_OFD_SETLK, fcntl.F_UNLCK)
    pair.table.look_outside()
    assert pair.granted == [write(B, 4, 9)]
    with pytest.raises(BlockingIOError):
        pair.call(fcntl.F_OFD_SETLK, fcntl.F_RDLCK, 8, 9)
    assert pair.table.lock(FILE, write(C, 1 << 63, END), wait=False) is Outcome.GRANTED
    pair.table.free(ALPHA)
    pair.table.free(BETA)
    assert not pair.local.is_open(FILE)


def test_a_file_that_comes_to_the_upper_layer_while_it_is_locked(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.is_upper = False
    assert pair.table.lock(FILE, write(A, 0, 3), wait=False) is Outcome.GRANTED
    assert "w" not in pair.held()
    pair.is_upper = True
    pair.table.look_outside()
    assert pair.held()[:4] == ["w", "w", "w", "-"]
