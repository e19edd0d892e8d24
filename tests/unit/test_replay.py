"""The duplicate-request cache by itself: what it keeps, for whom, and for how long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd import replay
from nfsd.replay import Fate, ReplayCache


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "replies", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_an_answer_is_kept_over_processes(file: int) -> None:
    cache = ReplayCache(file)
    entry = cache.begin("a", b"call")
    assert entry.fate is Fate.NEW
    assert cache.begin("a", b"call").fate is Fate.RUNNING
    cache.finish(entry, b"answer")
    for again in (cache, ReplayCache(file)):
        known = again.begin("a", b"call")
        assert (known.fate, known.reply) == (Fate.DONE, b"answer")


def test_a_call_is_its_address_and_all_its_bytes(file: int) -> None:
    cache = ReplayCache(file)
    cache.finish(cache.begin("a", b"call"), b"answer")
    assert cache.begin("b", b"call").fate is Fate.NEW
    assert cache.begin("a", b"call!").fate is Fate.NEW


def test_a_call_that_a_dead_process_began_is_of_unknown_fate(file: int) -> None:
    ReplayCache(file).begin("a", b"call")
    cache = ReplayCache(file)
    entry = cache.begin("a", b"call")
    assert entry.fate is Fate.UNKNOWN
    assert cache.begin("a", b"call").fate is Fate.RUNNING
    cache.finish(entry, b"answer")
    assert cache.begin("a", b"call").reply == b"answer"


def test_an_answer_is_not_trusted_when_what_was_done_may_be_lost(file: int) -> None:
    cache = ReplayCache(file, b"verifier")
    cache.finish(cache.begin("a", b"call"), b"answer")
    assert ReplayCache(file, b"verifier").begin("a", b"call").fate is Fate.DONE
    cache = ReplayCache(file, b"other")
    entry = cache.begin("a", b"call")
    assert entry.fate is Fate.UNKNOWN
    cache.finish(entry, b"another")
    assert cache.begin("a", b"call").reply == b"another"


def test_a_cancelled_call_is_new(file: int) -> None:
    cache = ReplayCache(file)
    cache.cancel(cache.begin("a", b"call"))
    assert cache.begin("a", b"call").fate is Fate.NEW


def test_old_answers_are_forgotten(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ReplayCache(file)
    cache.finish(cache.begin("a", b"call"), b"answer")
    later = time.time_ns() + replay.AGE_MAX + 1
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert cache.begin("a", b"call").fate is Fate.NEW


def test_the_file_stays_its_size_and_the_newest_stay_in_it(file: int) -> None:
    cache = ReplayCache(file)
    calls = [b"%d" % number for number in range(50_000)]
    for call in calls:
        cache.finish(cache.begin("a", call), call)
    assert os.fstat(file).st_size == replay.SIZE
    newest = calls[-1000:]
    kept = [cache.begin("a", call).reply == call for call in newest]
    assert sum(kept) > 990


def test_a_repetition_waits_for_the_first_answer(file: int) -> None:
    cache = ReplayCache(file)
    entry = cache.begin("a", b"call")
    found: list[replay.Entry] = []
    waiting = threading.Thread(target=lambda: found.append(cache.begin_after("a", b"call")))
    waiting.start()
    time.sleep(0.1)
    assert not found
    cache.finish(entry, b"answer")
    waiting.join(10)
    assert [one.reply for one in found] == [b"answer"]
