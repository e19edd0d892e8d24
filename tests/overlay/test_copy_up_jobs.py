"""Jobs: one at a time for an object, none forgotten, none waited for without end."""

from __future__ import annotations

import errno
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import pytest

from index.lock_bytes import copy_up_byte
from overlay.model import copy_up_jobs
from overlay.model.copy_up_jobs import Job, Jobs


def _no_others(_: int, __: bool) -> AbstractContextManager[None]:
    return nullcontext()


def test_work_is_not_taken_for_done_because_other_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the end of one job and its removal from the books another may be asked for."""
    finished = Jobs._finished

    def late(self: Jobs, number: int, job: Job) -> None:
        time.sleep(0.02)
        finished(self, number, job)

    monkeypatch.setattr(Jobs, "_finished", late)
    running = Jobs(_no_others)
    done: list[int] = []
    for number in range(20):
        running.do(7, partial(done.append, number))
    assert done == list(range(20))
    running.close()


def test_who_comes_meanwhile_joins() -> None:
    running = Jobs(_no_others)
    gate, begun = threading.Event(), threading.Event()
    done: list[int] = []

    def work() -> None:
        begun.set()
        gate.wait(10)
        done.append(1)

    first = threading.Thread(target=running.do, args=(7, work))
    first.start()
    assert begun.wait(10)
    second = threading.Thread(target=running.do, args=(7, lambda: done.append(2)))
    second.start()
    running.do(8, lambda: done.append(3))  # another object waits for nobody
    gate.set()
    first.join()
    second.join()
    assert done == [3, 1]
    running.close()


def test_objects_with_one_byte_of_the_lock_file_have_one_job() -> None:
    """A lock of a byte excludes no thread: the second would be held by nothing."""
    first, second = 7, 7 | 1 << 63
    assert copy_up_byte(first) == copy_up_byte(second)
    held: list[int] = []
    most: list[int] = []

    @contextmanager
    def alone(byte: int, _: bool) -> Iterator[None]:
        held.append(byte)
        most.append(len(held))
        yield
        held.remove(byte)

    running = Jobs(alone)
    gate, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(10)

    threads = [threading.Thread(target=running.do, args=(first, work))]
    threads[0].start()
    assert begun.wait(10)
    for is_quick in (True, False):
        do = partial(running.do, second, work, is_quick=is_quick)
        threads.append(threading.Thread(target=do))
        threads[-1].start()
    time.sleep(0.05)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert max(most) == 1
    running.close()


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_up_jobs, "PATIENCE", 0.05)
    running = Jobs(_no_others)
    gate = threading.Event()

    def work() -> None:
        gate.wait(10)

    with pytest.raises(OSError, match="temporarily unavailable") as late:
        running.do(7, work)
    assert late.value.errno == errno.EAGAIN
    gate.set()
    running.close()


def test_what_the_work_raises_is_raised() -> None:
    running = Jobs(_no_others)

    def work() -> None:
        raise OSError(errno.ENOSPC, "full")

    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            running.do(7, work)
    running.close()


def test_quick_work_is_done_here_one_at_a_time_but_for_waits() -> None:
    running = Jobs(_no_others)
    gate, waits = threading.Event(), threading.Event()
    done: list[tuple[str, int]] = []

    def waiting() -> None:
        with running.waiting():
            waits.set()
            gate.wait(10)
        done.append(("waited", threading.get_ident()))

    def quick() -> None:
        done.append(("quick", threading.get_ident()))

    first = threading.Thread(target=partial(running.do, 7, waiting, is_quick=True))
    first.start()
    assert waits.wait(10)
    running.do(8, quick, is_quick=True)  # the first has given up its turn
    assert done == [("quick", threading.get_ident())]
    gate.set()
    first.join()
    assert done[1] == ("waited", first.ident)
    assert running._turn.acquire(blocking=False)  # and has it no more
    running._turn.release()
    running.close()


def test_quick_work_waits_in_a_thread_for_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_up_jobs, "PATIENCE", 0.05)
    gate = threading.Event()

    @contextmanager
    def taken(_: int, wait: bool) -> Iterator[None]:
        if not wait:
            raise BlockingIOError
        gate.wait(10)
        yield

    running = Jobs(taken)
    done: list[int] = []
    with pytest.raises(OSError, match="temporarily unavailable"):
        running.do(7, lambda: done.append(1), is_quick=True)
    gate.set()
    running.close()
    assert done == [1]


def test_what_quick_work_raises_is_raised() -> None:
    running = Jobs(_no_others)

    def work() -> None:
        raise FileNotFoundError

    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            running.do(7, work, is_quick=True)
    running.close()


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_lock_that_cannot_be_taken_fails_one_job(is_quick: bool) -> None:
    """Who comes next has a job of his own."""
    failures = [OSError(errno.EMFILE, "too many open files")]

    @contextmanager
    def alone(_: int, __: bool) -> Iterator[None]:
        if failures:
            raise failures.pop()
        yield

    running = Jobs(alone)
    done: list[int] = []
    with pytest.raises(OSError, match="too many open files"):
        running.do(7, lambda: done.append(1), is_quick=is_quick)
    running.do(7, lambda: done.append(2), is_quick=is_quick)
    assert done == [2]
    running.close()


def test_a_thread_that_cannot_be_started_fails_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    running = Jobs(_no_others)
    done: list[int] = []
    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", start)
        with pytest.raises(OSError, match="temporarily unavailable"):
            running.do(7, lambda: done.append(1))
    running.do(7, lambda: done.append(2))
    assert done == [2]
    running.close()


class Resource:
    """Something that a piece of work holds, as a copy holds space."""


@pytest.mark.parametrize("is_quick", [True, False])
def test_what_failed_holds_nothing(is_quick: bool) -> None:
    """At once, not when the garbage is collected some time."""
    held: list[weakref.ref[Resource]] = []

    def work() -> None:
        resource = Resource()
        held.append(weakref.ref(resource))
        raise OSError(errno.ENOSPC, "full")

    running = Jobs(_no_others)
    gc.disable()
    try:
        with pytest.raises(OSError, match="full"):
            running.do(7, work, is_quick=is_quick)
        deadline = time.monotonic() + 120  # a thread of the pool may be a moment behind
        while held[0]() is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert held[0]() is None
    finally:
        gc.enable()
    running.close()
