"""Jobs: one at a time for an object, none forgotten, none waited for without end."""

from __future__ import annotations

import errno
import threading
import time
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import pytest

from overlay import jobs
from overlay.jobs import Jobs


def _no_others(_: int) -> AbstractContextManager[None]:
    return nullcontext()


def test_work_is_not_taken_for_done_because_other_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the end of one job and its removal from the books another may be asked for."""
    finished = Jobs._finished

    def late(self: Jobs, number: int, job: Future[None]) -> None:
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


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE", 0.05)
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
