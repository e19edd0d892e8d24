"""What is counted of calls, in memory that the processes of a server share (overlay.counts).

A reply that was kept costs no more than an item in a list: such replies are
counted by the batch that they were given in, and share the time that the batch took
besides its other calls.  Each worker has two rows, one for its event loop's thread,
which needs no lock, and one for its other threads, which do.
"""

from __future__ import annotations

import mmap
import threading
from bisect import bisect_left
from time import monotonic_ns
from typing import Final, NamedTuple

from nfsd.replay_entry import Fate
from nfsd.xdr.mount import (
    MOUNT_PROGRAM,
    MOUNT_V1,
    MOUNT_V1_SIGNATURES,
    MOUNT_V3,
    MOUNT_V3_SIGNATURES,
)
from nfsd.xdr.nfs3 import NFS_PROGRAM, NFS_V3, NFS_V3_SIGNATURES, nfsstat3
from nfsd.xdr.nfsacl import NFS_ACL_PROGRAM, NFS_ACL_V3, NFS_ACL_V3_SIGNATURES
from nfsd.xdr.nlm3 import (
    NLM_PROG,
    NLM_VERS,
    NLM_VERS_SIGNATURES,
    NLM_VERSX,
    NLM_VERSX_SIGNATURES,
)
from nfsd.xdr.nlm4 import NLM4_PROGRAM, NLM4_V4, NLM4_V4_SIGNATURES
from nfsd.xdr.nsm import SM_PROG, SM_VERS, SM_VERS_SIGNATURES
from overlay.counts import PROCESSES, Rows
from overlay.errors import Cause

# Upper bounds of the classes of a histogram, in nanoseconds; above the last is one more.
BOUNDS: Final = (
    *(5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000),
    *(1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000),
    *(100_000_000, 200_000_000, 500_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000),
)
# By their place in a row: of MOUNT the numbers mean the same (RFC 1813 appendix I).
STATUSES: Final = (
    *(each.name.removeprefix("NFS3_").removeprefix("NFS3ERR_") for each in nfsstat3),
    "OTHER",
)
REFUSALS: Final = (
    *("NOT_A_CALL", "RPC_MISMATCH", "AUTH_ERROR", "PROG_UNAVAIL", "PROG_MISMATCH"),
    *("PROC_UNAVAIL", "GARBAGE_ARGS", "SYSTEM_ERR"),
)
# Of a call that came again: what the duplicate-request cache knew of it.
REPETITIONS: Final = (Fate.DONE, Fate.RUNNING, Fate.UNKNOWN)
CAUSES: Final = tuple(Cause)

_PLACES: Final = {int(status): place for place, status in enumerate(nfsstat3)}
_OTHER: Final = len(_PLACES)
_CLASSES: Final = len(BOUNDS) + 1
# The class of the least time of each 1,024 ns, as far as most calls take.
_NEAR: Final = bytes(bisect_left(BOUNDS, least << 10) for least in range(100))
# What is counted of each procedure, in this order; the calls are those that were made
# and those that were answered by a reply that was kept, by status.
_KEPT: Final = len(STATUSES)
_TIMES: Final = 2 * len(STATUSES)
_NANOSECONDS: Final = _TIMES + _CLASSES
_DATA: Final = _NANOSECONDS + 1
WIDTH: Final = _DATA + 1

_DECLARED: Final = (
    *(("nfs3", NFS_PROGRAM, NFS_V3, each) for each in NFS_V3_SIGNATURES),
    *(("mount1", MOUNT_PROGRAM, MOUNT_V1, each) for each in MOUNT_V1_SIGNATURES),
    *(("mount3", MOUNT_PROGRAM, MOUNT_V3, each) for each in MOUNT_V3_SIGNATURES),
    *(("nfsacl3", NFS_ACL_PROGRAM, NFS_ACL_V3, each) for each in NFS_ACL_V3_SIGNATURES),
    *(("nlm1", NLM_PROG, NLM_VERS, each) for each in NLM_VERS_SIGNATURES),
    *(("nlm3", NLM_PROG, NLM_VERSX, each) for each in NLM_VERSX_SIGNATURES),
    *(("nlm4", NLM4_PROGRAM, NLM4_V4, each) for each in NLM4_V4_SIGNATURES),
    *(("nsm1", SM_PROG, SM_VERS, each) for each in SM_VERS_SIGNATURES),
)
# By program and procedure, and last a place for any other.
_NAMES: Final = (
    *((program, each.name.partition("_")[2]) for program, _, _, each in _DECLARED),
    ("other", "OTHER"),
)
_FIRST: Final = {
    (program, version, each.number): place * WIDTH
    for place, (_, program, version, each) in enumerate(_DECLARED)
}
_FIRST_OTHER: Final = len(_DECLARED) * WIDTH
# Behind the procedures: what happened to calls besides being made.
_REFUSED: Final = len(_NAMES) * WIDTH
_REPEATED: Final = len(REFUSALS)
_STALE: Final = _REPEATED + len(REPETITIONS)
_REST: Final = _STALE + len(CAUSES)


class Counted(NamedTuple):
    """What was counted of one procedure."""

    program: str
    procedure: str
    made: list[int]  # by status
    kept: list[int]  # by status
    times: list[int]  # calls by the class of their time
    nanoseconds: int
    data: int  # bytes of file contents that were read or written

    @property
    def calls(self) -> int:
        return sum(self.times)


class Totals(NamedTuple):
    """What was counted of everything."""

    procedures: list[Counted]
    refused: dict[str, int]
    repeated: dict[Fate, int]
    stale: dict[Cause, int]
    held_locks: int
    waiting_locks: int


class Row:
    """Counts calls into the words of one row, for one thread at a time."""

    def __init__(self) -> None:
        self.words = memoryview(bytearray()).cast("Q")
        # Of the batch under way: the outcomes of replies that were kept, which who gives
        # one appends, and the nanoseconds of other calls.
        self.again: list[int] = []
        self._others = 0

    def count(self, first: int, status: int, nanoseconds: int, data: int) -> None:
        """A call was made of the procedure whose words begin at `first`."""
        words = self.words
        words[first + _PLACES.get(status, _OTHER)] += 1
        words[first + _TIMES + _class_of(nanoseconds)] += 1
        words[first + _NANOSECONDS] += nanoseconds
        if data:
            words[first + _DATA] += data
        self._others += nanoseconds

    def batch(self, begun: int) -> None:
        """The calls of a batch are answered, which began then by time.monotonic_ns."""
        again = self.again
        if again:
            number = len(again)
            share = (monotonic_ns() - begun - self._others) // number
            outcome = again[0]
            if number > 1 and again.count(outcome) < number:
                for outcome in set(again):
                    self._count_again(outcome, again.count(outcome), share)
            else:  # the usual case
                self._count_again(outcome, number, share)
            again.clear()
        self._others = 0

    def _count_again(self, outcome: int, number: int, share: int) -> None:
        words, first = self.words, outcome - outcome % WIDTH
        words[outcome] += number
        words[first + _NANOSECONDS] += share * number
        words[first + _TIMES + _class_of(share)] += number


class Tally:
    """What all workers count."""

    def __init__(self) -> None:
        self._locks = memoryview(mmap.mmap(-1, 16)).cast("Q")
        self._rows = Rows(_REFUSED + _REST, 2 * PROCESSES)
        self.loop = Row()
        self._slow = Row()
        self._lock = threading.Lock()
        self.join(0)

    def join(self, slot: int) -> None:
        """Be the worker in this slot, from 0, alone in it."""
        self._lock = threading.Lock()
        self.loop.words = self._rows.row(2 * slot)
        self._slow.words = self._rows.row(2 * slot + 1)

    def count_slow(self, first: int, status: int, nanoseconds: int, data: int) -> None:
        """As Row.count, on a thread that is not the event loop's."""
        with self._lock:
            self._slow.count(first, status, nanoseconds, data)

    def refused(self, reason: str) -> None:
        """A call was answered by RPC itself, or not at all."""
        self._count(REFUSALS.index(reason))

    def repeated(self, fate: Fate) -> None:
        """A call came again."""
        self._count(_REPEATED + REPETITIONS.index(fate))

    def stale(self, cause: Cause) -> None:
        """A handle was stale."""
        self._count(_STALE + CAUSES.index(cause))

    def _count(self, place: int) -> None:
        with self._lock:
            self._slow.words[_REFUSED + place] += 1

    def locks_are(self, held: int, waiting: int) -> None:
        """So many locks are held now, and waited for; for the one process that owns them."""
        self._locks[0], self._locks[1] = held, waiting

    def totals(self) -> Totals:
        """What all workers have counted so far."""
        sums = self._rows.sums()
        procedures = []
        for first, names in zip(range(0, _REFUSED, WIDTH), _NAMES, strict=True):
            words = sums[first : first + WIDTH]
            made, kept, times = words[:_KEPT], words[_KEPT:_TIMES], words[_TIMES:_NANOSECONDS]
            procedures.append(Counted(*names, made, kept, times, *words[_NANOSECONDS:]))
        rest = sums[_REFUSED:]
        return Totals(
            procedures,
            dict(zip(REFUSALS, rest, strict=False)),
            dict(zip(REPETITIONS, rest[_REPEATED:], strict=False)),
            dict(zip(CAUSES, rest[_STALE:], strict=False)),
            self._locks[0],
            self._locks[1],
        )


def _class_of(nanoseconds: int) -> int:
    """The place of a time's class among `BOUNDS`."""
    near = nanoseconds >> 10
    if near >= len(_NEAR):
        return bisect_left(BOUNDS, nanoseconds)
    place = _NEAR[near]
    while nanoseconds > BOUNDS[place]:
        place += 1
    return place


def first_word(program: int, version: int, procedure: int) -> int:
    """Where the words of a procedure begin in a row."""
    return _FIRST.get((program, version, procedure), _FIRST_OTHER)


def kept_outcome(first: int, status: int) -> int:
    """Which word counts replies of this status that were kept."""
    return first + _KEPT + _PLACES.get(status, _OTHER)


def status_name(status: int) -> str:
    """What is said of a status: OK, NOENT and so on, by the names of RFC 1813."""
    return STATUSES[_PLACES.get(status, _OTHER)]
