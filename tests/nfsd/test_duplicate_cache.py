"""The duplicate request cache by itself: what it keeps, for whom, and for how long."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest

from index.linux.fd import Fd
from nfsd.rpc import duplicate_cache
from nfsd.rpc.duplicate_cache import DuplicateRequestCache
from nfsd.rpc.duplicate_entry import Entry, Fate, Sender
from tests.compiled import only_interpreted
from tests.property.disk import filesystem, fill

A, B = Sender("a"), Sender("b")  # by UDP


def connections(count: int, source: str = "a") -> list[Sender]:
    """As many connections of one client."""
    return [Sender(source, number) for number in range(1, count + 1)]


@pytest.fixture
def file(tmp_path: Path) -> Fd:
    return Fd(os.open(tmp_path / "replies", os.O_RDWR | os.O_CREAT))


@pytest.fixture
def one_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """All calls are in one set; where it is compiled, their number cannot be replaced."""
    only_interpreted(duplicate_cache)
    monkeypatch.setattr(duplicate_cache, "_SETS", 1)


def test_an_answer_is_kept_over_processes(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    entry = cache.begin(A, b"call")
    assert entry.fate is Fate.NEW
    assert cache.begin(A, b"call").fate is Fate.RUNNING
    cache.finish(entry, b"answer")
    for again in (cache, DuplicateRequestCache(file)):
        known = again.begin(A, b"call")
        assert (known.fate, known.reply) == (Fate.DONE, b"answer")


def test_a_call_is_its_address_and_all_its_bytes(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    cache.finish(cache.begin(A, b"call"), b"answer")
    assert cache.begin(B, b"call").fate is Fate.NEW
    assert cache.begin(A, b"call!").fate is Fate.NEW


def test_a_call_that_a_dead_process_began_is_of_unknown_fate(file: Fd) -> None:
    DuplicateRequestCache(file).begin(A, b"call")
    cache = DuplicateRequestCache(file)
    entry = cache.begin(A, b"call")
    assert entry.fate is Fate.UNKNOWN
    assert cache.begin(A, b"call").fate is Fate.RUNNING
    cache.finish(entry, b"answer")
    assert cache.begin(A, b"call").reply == b"answer"


def test_an_answer_is_not_trusted_when_what_was_done_may_be_lost(file: Fd) -> None:
    cache = DuplicateRequestCache(file, epoch=b"verifier")
    cache.finish(cache.begin(A, b"call"), b"answer")
    assert DuplicateRequestCache(file, epoch=b"verifier").begin(A, b"call").fate is Fate.DONE
    cache = DuplicateRequestCache(file, epoch=b"other")
    entry = cache.begin(A, b"call")
    assert entry.fate is Fate.UNKNOWN
    cache.finish(entry, b"another")
    assert cache.begin(A, b"call").reply == b"another"


def test_a_cancelled_call_is_new(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    cache.cancel(cache.begin(A, b"call"))
    assert cache.begin(A, b"call").fate is Fate.NEW


def test_a_call_of_unknown_fate_that_is_cancelled_stays_so(file: Fd) -> None:
    DuplicateRequestCache(file).begin(A, b"call")
    cache = DuplicateRequestCache(file)
    for _ in range(3):
        entry = cache.begin(A, b"call")
        assert entry.fate is Fate.UNKNOWN
        cache.cancel(entry)
    assert DuplicateRequestCache(file).begin(A, b"call").fate is Fate.UNKNOWN


def test_old_answers_are_forgotten(file: Fd, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DuplicateRequestCache(file)
    cache.finish(cache.begin(A, b"call"), b"answer")
    later = time.time_ns() + duplicate_cache.AGE_MAX + 1
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert cache.begin(A, b"call").fate is Fate.NEW


def test_the_file_stays_its_size_and_the_newest_stay_in_it(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    calls = [b"%d" % number for number in range(50_000)]
    for call in calls:
        cache.finish(cache.begin(A, call), call)
    assert os.fstat(file).st_size == duplicate_cache.SIZE
    newest = calls[-1000:]
    kept = [cache.begin(A, call).reply == call for call in newest]
    assert sum(kept) > 990


def test_a_repetition_waits_for_the_first_answer(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    entry = cache.begin(A, b"call")
    found: list[Entry] = []
    waiting = threading.Thread(target=lambda: found.append(cache.begin_after(A, b"call")))
    waiting.start()
    time.sleep(0.1)
    assert not found
    cache.finish(entry, b"answer")
    waiting.join(10)
    assert [one.reply for one in found] == [b"answer"]


def test_a_call_under_way_keeps_its_place(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    entry = cache.begin(A, b"call")
    for number in range(50_000):
        cache.finish(cache.begin(A, b"%d" % number), b"")
    assert cache.begin(A, b"call").fate is Fate.RUNNING
    cache.finish(entry, b"answer")
    assert cache.begin(A, b"call").reply == b"answer"


@pytest.mark.usefixtures("one_set")
def test_more_calls_under_way_than_there_are_places(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    entries = [cache.begin(A, b"%d" % number) for number in range(20)]
    assert {entry.fate for entry in entries} == {Fate.NEW}
    for number, entry in enumerate(entries):
        cache.finish(entry, b"answer %d" % number)
    assert cache.begin(A, b"3").reply == b"answer 3"


class Other:
    """Another process that shares a cache; it tells what is done step by step."""

    def __init__(
        self, cache: DuplicateRequestCache, slot: int, steps: Callable[[], Iterable[object]]
    ) -> None:
        self._pipe, pipe = Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                cache.join(slot)
                for answer in steps():
                    pipe.send(answer)
                signal.pause()
            finally:
                os._exit(0)

    def answer(self) -> Any:  # noqa: ANN401 - by work
        assert self._pipe.poll(30), "no answer from the other process"
        return self._pipe.recv()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def answered(cache: DuplicateRequestCache, calls: range) -> list[Fate]:
    """What is known of calls whose slots lie all over the file, in a process that is then killed.

    It answers those that are new.
    """

    def steps() -> Iterator[list[Fate]]:
        entries = [cache.begin(A, b"%d" % number) for number in calls]
        for entry in entries:
            if entry.fate is Fate.NEW:
                cache.finish(entry, b"answer")
        yield [entry.fate for entry in entries]

    other = Other(cache, 0, steps)
    fates: list[Fate] = other.answer()
    other.kill()
    return fates


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_calls_are_answered_on_a_full_filesystem(kind: str, tmp_path: Path) -> None:
    with filesystem(kind, tmp_path) as disk:
        file = Fd(os.open(disk / "replies", os.O_RDWR | os.O_CREAT))
        assert answered(DuplicateRequestCache(file), range(10)) == [Fate.NEW] * 10
        fill(disk)
        os.sync()  # what is written from now on is written anew
        assert answered(DuplicateRequestCache(file), range(10)) == [Fate.DONE] * 10
        assert answered(DuplicateRequestCache(file), range(10, 200)) == [Fate.NEW] * 190
        (disk / "blocks").unlink()
        os.sync()
        assert answered(DuplicateRequestCache(file), range(200, 300)) == [Fate.NEW] * 100
        assert answered(DuplicateRequestCache(file), range(200, 300)) == [Fate.DONE] * 100


def test_an_acknowledged_answer_is_for_its_connection_alone(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    one, other = connections(2)
    cache.finish(cache.begin(one, b"call"), b"answer")
    assert cache.begin(other, b"call").fate is Fate.SENT
    cache.acknowledged(one)
    assert cache.begin(one, b"call").fate is Fate.DONE  # it was sent before the answer came
    assert cache.begin(other, b"call").fate is Fate.SENT
    cache.acknowledged(one)
    assert cache.begin(other, b"call").fate is Fate.NEW


def test_what_is_acknowledged_says_nothing_of_later_calls(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    one, other = connections(2)
    cache.finish(cache.begin(one, b"call"), b"answer")
    cache.acknowledged(one)
    cache.finish(cache.begin(one, b"later"), b"answer")
    assert cache.begin(other, b"later").fate is Fate.SENT
    assert cache.begin(other, b"call").fate is Fate.NEW


def test_an_answer_that_was_lost_is_given_on_another_connection(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    one, two, three = connections(3)
    cache.finish(cache.begin(one, b"call"), b"answer")
    cache.lost(one, is_over=True)
    again = cache.begin(two, b"call")
    assert (again.fate, again.reply) == (Fate.DONE, b"answer")
    assert cache.begin(three, b"call").fate is Fate.SENT
    cache.acknowledged(two)
    assert cache.begin(three, b"call").fate is Fate.NEW


def test_the_loss_of_an_answer_says_nothing_of_what_was_sent_since(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    one, two, three = connections(3)
    entry = cache.begin(one, b"call")
    cache.finish(entry, b"answer")
    cache.lost(one, is_over=True)
    assert cache.begin(two, b"call").fate is Fate.DONE
    one.unacknowledged.append(entry)
    cache.lost(one, is_over=True)
    assert cache.begin(three, b"call").fate is Fate.SENT


def test_what_is_not_lost_at_the_end_of_a_connection_has_arrived(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    one, two, three = connections(3)
    cache.finish(cache.begin(one, b"call"), b"answer")
    cache.acknowledged(one)
    cache.lost(one, is_over=True)
    cache.finish(cache.begin(three, b"another"), b"answer")  # it has the slot of the first
    assert cache.begin(two, b"call").fate is Fate.NEW


def test_a_call_in_a_thread_may_end_after_its_connection(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    one, two = connections(2)
    entry = cache.begin(one, b"call")
    cache.lost(one, is_over=False)
    assert cache.begin(two, b"call").fate is Fate.RUNNING
    cache.finish(entry, b"answer")
    assert cache.begin(two, b"call").fate is Fate.SENT
    cache.lost(one, is_over=True)
    assert cache.begin(two, b"call").reply == b"answer"


def test_an_answer_is_given_again_when_the_process_died(file: Fd) -> None:
    dead = DuplicateRequestCache(file)
    one, two = connections(2)
    dead.finish(dead.begin(one, b"one"), b"answer")
    dead.acknowledged(one)
    dead.finish(dead.begin(one, b"two"), b"answer")
    cache = DuplicateRequestCache(file)
    assert cache.begin(two, b"one").reply == b"answer"
    assert cache.begin(two, b"two").reply == b"answer"


def test_what_may_still_arrive_is_waited_for(file: Fd, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DuplicateRequestCache(file)
    one, two, three = connections(3)
    cache.finish(cache.begin(one, b"call"), b"answer")
    found: list[Entry] = []
    waiting = threading.Thread(target=lambda: found.append(cache.begin_after(two, b"call")))
    waiting.start()
    time.sleep(0.1)
    assert not found
    cache.acknowledged(one)
    waiting.join(10)
    assert [each.fate for each in found] == [Fate.NEW]
    monkeypatch.setattr(duplicate_cache, "_PATIENCE", {Fate.SENT: 0.05})
    cache.finish(found[0], b"another")
    assert cache.begin_after(three, b"call").reply == b"another"


@pytest.mark.usefixtures("one_set")
def test_who_waits_is_in_nobodys_way(file: Fd) -> None:
    """Calls that wait for an answer, and what becomes of others in the same set at that time."""
    cache = DuplicateRequestCache(file)
    under_way = cache.begin(A, b"under way")
    waiting = [threading.Thread(target=cache.begin_after, args=(A, b"under way")) for _ in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in waiting:
            each.start()
        working = threading.Thread(target=_repeat_and_lose, args=(cache, 3000), daemon=True)
        working.start()
        working.join(60)
        assert not working.is_alive(), "nothing goes on any more"
    finally:
        sys.setswitchinterval(before)
    cache.finish(under_way, b"answer")
    for each in waiting:
        each.join(60)
        assert not each.is_alive()


def _repeat_and_lose(cache: DuplicateRequestCache, times: int) -> None:
    for number in range(1, times):
        one, other = Sender("a", number), Sender("a", times + number)
        cache.finish(cache.begin(one, b"call"), b"answer")
        assert cache.begin(one, b"call").fate is Fate.DONE
        cache.lost(one, is_over=True)
        assert cache.begin(other, b"call").fate is Fate.DONE
        cache.acknowledged(other)
        cache.lost(other, is_over=True)


def test_more_connections_than_slots(file: Fd) -> None:
    """Of those that have none it is never known that an answer has arrived."""
    cache = DuplicateRequestCache(file, 1 << 16)
    one, other = connections(2)
    cache.join(1)
    cache.finish(cache.begin(one, b"call"), b"answer")
    cache.finish(cache.begin(other, b"another"), b"answer")
    cache.acknowledged(one)
    cache.acknowledged(other)
    assert cache.begin(other, b"call").fate is Fate.NEW
    assert cache.begin(one, b"another").fate is Fate.SENT
    cache.lost(one, is_over=True)
    (third,) = connections(3)[2:]
    cache.finish(cache.begin(third, b"third"), b"answer")
    cache.acknowledged(third)
    assert cache.begin(other, b"third").fate is Fate.NEW


def test_a_client_does_not_push_out_the_answers_of_others(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    few = [b"%d" % number for number in range(500)]
    for call in few:
        cache.finish(cache.begin(B, call), call)
    for number in range(50_000):
        cache.finish(cache.begin(A, b"%d" % number), b"")
    assert [cache.begin(B, call).reply for call in few] == few


@pytest.mark.usefixtures("one_set")
def test_an_answer_that_nobody_wants_makes_room(file: Fd) -> None:
    cache = DuplicateRequestCache(file)
    senders = [Sender(str(number), number + 1) for number in range(9)]
    for sender in senders[:8]:  # so many slots
        cache.finish(cache.begin(sender, b"call"), b"answer")
    cache.acknowledged(senders[5])
    cache.finish(cache.begin(senders[8], b"call"), b"answer")
    kept = [cache.begin(senders[number], b"call").reply for number in (0, 1, 2, 3, 4, 6, 7, 8)]
    assert kept == [b"answer"] * 8


@pytest.mark.usefixtures("one_set")
def test_answers_of_a_dead_process_are_in_nobodys_way(file: Fd) -> None:
    """A client's later calls take the slots of its own that have arrived, not of those."""
    dead, (one, two) = DuplicateRequestCache(file), connections(2)
    for number in range(8):
        dead.finish(dead.begin(one, b"%d" % number), b"answer")
    cache = DuplicateRequestCache(file)
    for number in range(100):
        cache.finish(cache.begin(two, b"later %d" % number), b"answer")
        cache.acknowledged(two)
    kept = [cache.begin(two, b"%d" % number).reply for number in range(8)]
    assert kept.count(b"answer") == 7


def test_a_call_under_way_in_another_process(file: Fd) -> None:
    cache = DuplicateRequestCache(file, 2)

    def steps() -> Iterator[Fate]:
        entry = cache.begin(A, b"call")
        yield entry.fate
        time.sleep(0.5)
        cache.finish(entry, b"answer")

    other = Other(cache, 1, steps)
    try:
        assert other.answer() is Fate.NEW
        assert cache.begin(A, b"call").fate is Fate.RUNNING
        begun = time.monotonic()
        assert cache.begin_after(A, b"call").reply == b"answer"
        assert time.monotonic() - begun < duplicate_cache.WAIT / 2
    finally:
        other.kill()


def test_another_process_that_dies_leaves_its_calls_of_unknown_fate(file: Fd) -> None:
    cache = DuplicateRequestCache(file, 2)
    other = Other(cache, 1, lambda: [cache.begin(A, b"call").fate])
    assert other.answer() is Fate.NEW
    other.kill()
    assert cache.begin(A, b"call").fate is Fate.RUNNING  # nobody has noticed yet
    cache.died(1)
    assert cache.begin(A, b"call").fate is Fate.UNKNOWN


def test_an_answer_half_written_by_a_dead_process_is_none(file: Fd) -> None:
    dead = DuplicateRequestCache(file)
    dead.finish(dead.begin(A, b"call"), b"answer")
    content = os.pread(file, duplicate_cache.SIZE, 0)
    os.pwrite(file, b"?", content.index(b"answer"))
    assert DuplicateRequestCache(file).begin(A, b"call").fate is Fate.UNKNOWN


def test_a_call_sent_to_two_processes_at_once_is_new_to_one(file: Fd) -> None:
    cache = DuplicateRequestCache(file, 2)
    calls = [b"%d" % number for number in range(2000)]  # so few that none pushes another out
    at = memoryview(mmap.mmap(-1, 16)).cast("Q")  # how many each has come to

    def make_all(slot: int) -> Iterator[list[bool]]:
        yield [make(slot, number) for number in range(len(calls))]

    def make(slot: int, number: int) -> bool:
        at[slot] = number + 1
        while min(at) <= number:
            os.sched_yield()
        entry = cache.begin(A, calls[number])
        if entry.fate is Fate.NEW:
            cache.finish(entry, b"answer")
        return entry.fate is Fate.NEW

    both = [Other(cache, slot, partial(make_all, slot)) for slot in range(2)]
    try:
        found = [other.answer() for other in both]
    finally:
        for other in both:
            other.kill()
    assert [sum(new) for new in zip(*found, strict=True)] == [1] * len(calls)
