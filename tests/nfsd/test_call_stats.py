"""What is counted of calls: by whom, into which class, and what is left when a worker dies."""

from __future__ import annotations

import os
import signal
import threading
import time

from nfsd.rpc.call_stats import BOUNDS, STATUSES, CallStats, Counted, cached_outcome, first_word
from nfsd.rpc.duplicate_entry import Fate
from nfsd.xdr.generated.mount import MOUNT_PROGRAM
from nfsd.xdr.generated.nfs3 import NFS3ERR_NOENT, NFS3ERR_STALE, NFS_PROGRAM, NFS_V3
from overlay.model.outcomes import Cause

GETATTR, LOOKUP = (first_word(NFS_PROGRAM, NFS_V3, number) for number in (1, 3))


def counted(of: CallStats, procedure: str) -> Counted:
    procedures = of.totals().procedures
    return next(
        each for each in procedures if (each.program, each.procedure) == ("nfs3", procedure)
    )


def by_status(counts: list[int]) -> dict[str, int]:
    return {name: count for name, count in zip(STATUSES, counts, strict=True) if count}


def test_a_call_is_counted_by_status_and_time() -> None:
    of = CallStats()
    of.loop.count(LOOKUP, 0, 5_000, 0)
    of.loop.count(LOOKUP, NFS3ERR_NOENT, 5_001, 0)
    of.loop.put()
    of.count_slow(LOOKUP, 12345, 10**12, 7)
    found = counted(of, "LOOKUP")
    assert found.calls == 3
    assert by_status(found.made) == {"OK": 1, "NOENT": 1, "OTHER": 1}
    assert by_status(found.cached) == {}
    assert found.times[:2] == [1, 1]
    assert found.times[-1] == 1
    assert len(found.times) == len(BOUNDS) + 1
    assert found.nanoseconds == 10_001 + 10**12
    assert found.data == 7
    assert counted(of, "GETATTR").calls == 0


def test_replies_that_were_kept_share_the_time_of_their_batch() -> None:
    of = CallStats()
    begun = time.monotonic_ns() - 3_000_000
    for _ in range(2):
        of.loop.cached.append(cached_outcome(GETATTR, 0))
    of.loop.cached.append(cached_outcome(LOOKUP, NFS3ERR_NOENT))
    of.loop.count(LOOKUP, 0, 2_400_000, 0)
    of.loop.batch(begun)
    of.loop.batch(begun)
    getattr_, lookup = counted(of, "GETATTR"), counted(of, "LOOKUP")
    assert by_status(getattr_.cached) == {"OK": 2}
    assert (by_status(lookup.cached), by_status(lookup.made)) == ({"NOENT": 1}, {"OK": 1})
    assert getattr_.calls == sum(getattr_.times) == 2
    assert getattr_.nanoseconds >= 400_000
    assert getattr_.nanoseconds + lookup.nanoseconds <= time.monotonic_ns() - begun


def test_a_batch_of_nothing_but_one_kind_is_counted_as_any_other() -> None:
    of = CallStats()
    for number in (1, 16):
        for _ in range(number):
            of.loop.cached.append(cached_outcome(GETATTR, 0))
        of.loop.batch(time.monotonic_ns() - 1_000_000 * number)
    found = counted(of, "GETATTR")
    assert by_status(found.cached) == {"OK": 17}
    assert found.calls == 17
    assert found.nanoseconds >= 16_999_000


def test_what_happens_besides() -> None:
    of = CallStats()
    of.refused("AUTH_ERROR")
    of.repeated(Fate.DONE)
    of.stale(Cause.REMOVED)
    of.stale(Cause.REMOVED)
    totals = of.totals()
    assert totals.refused["AUTH_ERROR"] == sum(totals.refused.values()) == 1
    assert totals.repeated[Fate.DONE] == sum(totals.repeated.values()) == 1
    assert totals.stale[Cause.REMOVED] == sum(totals.stale.values()) == 2


def test_threads_lose_nothing() -> None:
    of = CallStats()

    def work() -> None:
        for _ in range(5000):
            of.count_slow(GETATTR, NFS3ERR_STALE, 1, 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5000):
        of.loop.count(GETATTR, 0, 1, 1)
    of.loop.put()
    for thread in threads:
        thread.join()
    found = counted(of, "GETATTR")
    assert by_status(found.made) == {"OK": 5000, "STALE": 20000}
    assert found.data == found.nanoseconds == 25000


def test_workers_count_apart_and_a_killed_ones_counts_stay() -> None:
    of = CallStats()
    for slot in (0, 1, 1):
        pid = os.fork()
        if pid == 0:
            of.join(slot)
            of.loop.count(GETATTR, 0, 1, 0)
            of.loop.put()
            of.count_slow(GETATTR, 0, 1, 0)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    assert counted(of, "GETATTR").calls == 6


def test_every_procedure_is_counted_apart() -> None:
    of = CallStats()
    for version in (1, 3):
        of.loop.count(first_word(MOUNT_PROGRAM, version, 1), 0, 1, 0)
    of.loop.count(first_word(400000, 1, 1), 0, 1, 0)
    of.loop.put()
    called = [each[:2] for each in of.totals().procedures if each.calls]
    assert called == [("mount1", "MNT"), ("mount3", "MNT"), ("other", "OTHER")]
