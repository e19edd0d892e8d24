"""The table of locks, held against a model of single bytes and against the kernel's own locks."""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.fd import Fd
from nfsd.local_locks import LocalLocks
from nfsd.lock_shares import Share, Sharer, Shares
from nfsd.lock_table import END, Client, Lock, LockTable, Outcome, Owner

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

    def __init__(self, locks_max: int = 1000) -> None:
        self.granted: list[tuple[bytes, Lock]] = []
        self.table = LockTable(lambda key, lock: self.granted.append((key, lock)), locks_max)

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


@settings(max_examples=400, deadline=None)
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
    assert table.clients() == holders | {lock.owner.client for lock in model.waiting}


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


@settings(max_examples=200, deadline=None)
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
    assert scene.table.clients() == {BETA}
    assert len(scene.table) == 1


def test_the_table_is_bounded() -> None:
    scene = Scene(locks_max=2)
    scene.get(write(A, 0, 1))
    scene.wait(write(B, 0, 1))
    assert scene.get(write(C, 5, 6)) is Outcome.FULL
    assert scene.wait(write(C, 0, 1)) is Outcome.FULL
    scene.table.unlock(FILE, write(A))
    assert scene.get(write(C, 5, 6)) is Outcome.GRANTED


def test_shares() -> None:
    shares = Shares(shares_max=3)
    first, second = Sharer(ALPHA, b"1"), Sharer(BETA, b"1")
    assert shares.share(FILE, first, Share(1, 2))
    assert not shares.share(FILE, second, Share(2, 0))
    assert not shares.share(FILE, second, Share(1, 1))
    assert shares.share(FILE, second, Share(1, 0))
    assert shares.share(OTHER, second, Share(2, 0))
    assert shares.is_full
    shares.unshare(FILE, second)
    shares.unshare(FILE, second)
    assert shares.share(b"third", second, Share(2, 0))
    assert shares.is_full, "what is given up twice is counted once"
    assert shares.share(FILE, first, Share(3, 3)), "in place of its own"
    shares.free(ALPHA)
    assert shares.share(FILE, second, Share(3, 3))


class Pair:
    """A table whose locks are seen on a file, and a process that locks the same file."""

    def __init__(self, place: Path) -> None:
        # Of each pair another file: what is left of one may still have locks on its own.
        file, path = tempfile.mkstemp(dir=place)
        self.fd, self.path = Fd(file), path
        self.is_upper = True
        self.granted: list[Lock] = []
        self.local = LocalLocks(self.opened)
        self.table = LockTable(lambda _, lock: self.granted.append(lock), outside=self.local)

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
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
