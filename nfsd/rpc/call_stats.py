"""What is counted of calls, in memory that the processes of a server share.

See overlay.model.copy_up_counts.

A cached reply costs no more than an item in a list: such replies are
counted by the batch that they were given in, and share the time that the batch took
besides its other calls.  Each worker has two rows, one for its event loop's thread,
which needs no lock, and one for its other threads, which do.

Rule: a writer knows what is in its words, which nobody else writes, so it never reads them
there: it counts in a list, and puts what is new into the shared memory before it answers.
"""

from __future__ import annotations

import mmap
import threading
from bisect import bisect_left
from time import monotonic_ns
from typing import Final, NamedTuple

from nfsd.rpc.duplicate_entry import Fate
from nfsd.rpc.export_stats import ERRORS, READ, WRITTEN, ExportStats
from nfsd.rpc.export_stats import WIDTH as EXPORT_WIDTH
from nfsd.xdr.generated.mount import (
    MOUNT_PROGRAM,
    MOUNT_V1,
    MOUNT_V1_SIGNATURES,
    MOUNT_V3,
    MOUNT_V3_SIGNATURES,
)
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM, NFS_V3, NFS_V3_SIGNATURES, NFSPROC3_READ, nfsstat3
from nfsd.xdr.generated.nfsacl import NFS_ACL_PROGRAM, NFS_ACL_V3, NFS_ACL_V3_SIGNATURES
from nfsd.xdr.generated.nlm3 import (
    NLM_PROG,
    NLM_VERS,
    NLM_VERS_SIGNATURES,
    NLM_VERSX,
    NLM_VERSX_SIGNATURES,
)
from nfsd.xdr.generated.nlm4 import NLM4_PROGRAM, NLM4_V4, NLM4_V4_SIGNATURES
from nfsd.xdr.generated.nsm import SM_PROG, SM_VERS, SM_VERS_SIGNATURES
from overlay.base.counters import PROCESSES, Rows
from overlay.model.outcomes import Cause

# Upper bounds of the classes of a histogram, in nanoseconds; above the last is one more.
BOUNDS: Final[tuple[int, ...]] = (
    *(5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000),
    *(1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000),
    *(100_000_000, 200_000_000, 500_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000),
)
# By their column in a row: of MOUNT the numbers mean the same (RFC 1813 appendix I).
STATUSES: Final = (
    *(each.name.removeprefix("NFS3_").removeprefix("NFS3ERR_") for each in nfsstat3),
    "OTHER",
)
REFUSALS: Final = (
    *("NOT_A_CALL", "RPC_MISMATCH", "AUTH_ERROR", "PROG_UNAVAIL", "PROG_MISMATCH"),
    *("PROC_UNAVAIL", "GARBAGE_ARGS", "SYSTEM_ERR"),
)
# Of a call that came again: what the duplicate request cache knew of it.
REPETITIONS: Final = (Fate.DONE, Fate.RUNNING, Fate.UNKNOWN)
CAUSES: Final = tuple(Cause)

_COLUMNS: Final = {int(status): column for column, status in enumerate(nfsstat3)}
_OTHER: Final = len(_COLUMNS)
_CLASSES: Final = len(BOUNDS) + 1
# What is counted of each procedure, in this order: nanoseconds, bytes of file contents, the
# calls that were made and those that were answered by a cached reply, by status, and
# all of them by the class of their time.
_NANOSECONDS: Final = 0
_DATA: Final = 1
_MADE: Final = 2
_CACHED: Final = _MADE + len(STATUSES)
_TIMES: Final = _CACHED + len(STATUSES)
WIDTH: Final = _TIMES + _CLASSES
_FEW: Final = 8  # words, of which it takes longer to find those that are the same

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
# By program and procedure, and last one for any other.
_NAMES: Final = (
    *((program, each.name.partition("_")[2]) for program, _, _, each in _DECLARED),
    ("other", "OTHER"),
)
_FIRST: Final = {
    (program, version, each.number): row * WIDTH
    for row, (_, program, version, each) in enumerate(_DECLARED)
}
_FIRST_OTHER: Final = len(_DECLARED) * WIDTH
# Behind the procedures: what happened to calls besides being made.
_REFUSED: Final = len(_NAMES) * WIDTH
_REPEATED: Final = len(REFUSALS)
_STALE: Final = _REPEATED + len(REPETITIONS)
_READ: Final = _FIRST[NFS_PROGRAM, NFS_V3, NFSPROC3_READ]
_REST: Final = _STALE + len(CAUSES)


class Counted(NamedTuple):
    """What was counted of one procedure."""

    program: str
    procedure: str
    made: list[int]  # by status
    cached: list[int]  # by status
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


class _Words:
    """Words in shared memory that one thread at a time counts in; no other writes them."""

    def __init__(self, shared: memoryview) -> None:
        self._shared: Final = shared
        self._counts: list[int] = list(shared)  # what is in them, once `put` was called
        self._changed: list[int] = []  # since then; a word may be named several times

    def add(self, word: int, number: int) -> None:
        """Count so many more in a word, for `put`."""
        self._counts[word] += number
        self._changed.append(word)

    def put(self) -> None:
        """Put into the shared memory what is new."""
        changed = self._changed
        for word in changed if len(changed) < _FEW else list(set(changed)):
            self._shared[word] = self._counts[word]
        changed.clear()


class Row:
    """Counts calls into the words of one row, for one thread at a time."""

    def __init__(self) -> None:
        nothing = memoryview(bytearray())
        self.begin(nothing.cast("Q"), nothing.cast("Q"))
        # Of the batch under way: the outcomes of cached replies, which the caller that sends
        # one appends, and the nanoseconds of other calls.
        self.cached: list[int] = []
        self._others = 0

    def begin(self, words: memoryview, exports: memoryview) -> None:
        """Go on counting in these words, and in those of exports (nfsd.rpc.export_stats)."""
        self.words, self._exports = _Words(words), _Words(exports)

    def count(self, first: int, status: int, nanoseconds: int, data: int, export: int = 0) -> None:
        """A call was made of the procedure whose words begin at `first`, in an export."""
        words, exports, at = self.words, self._exports, export * EXPORT_WIDTH
        exports.add(at, 1)
        if status:
            words.add(first + _MADE + _COLUMNS.get(status, _OTHER), 1)
            exports.add(at + ERRORS, 1)
        else:
            words.add(first + _MADE, 1)
        if data:
            words.add(first + _DATA, data)
            exports.add(at + (READ if first == _READ else WRITTEN), data)
        words.add(first + _NANOSECONDS, nanoseconds)
        words.add(first + _TIMES + bisect_left(BOUNDS, nanoseconds), 1)
        self._others += nanoseconds

    def put(self) -> None:
        """Show what was counted to whoever reads the words."""
        self.words.put()
        self._exports.put()

    def batch(self, begun: int) -> None:
        """Record that the calls of a batch are answered, which began then by time.monotonic_ns."""
        cached = self.cached
        if cached:
            number = len(cached)
            share = (monotonic_ns() - begun - self._others) // number
            outcome = cached[0]
            if number > 1 and cached.count(outcome) < number:
                for outcome in set(cached):
                    self._count_cached(outcome, cached.count(outcome), share)
            else:  # the usual case
                self._count_cached(outcome, number, share)
            cached.clear()
        self._others = 0
        self.put()

    def _count_cached(self, outcome: int, number: int, share: int) -> None:
        at, outcome = outcome // _REFUSED * EXPORT_WIDTH, outcome % _REFUSED
        words, first = self.words, outcome - outcome % WIDTH
        words.add(outcome, number)
        self._exports.add(at, number)
        if outcome != first + _CACHED:
            self._exports.add(at + ERRORS, number)
        words.add(first + _NANOSECONDS, share * number)
        words.add(first + _TIMES + bisect_left(BOUNDS, share), number)


class CallStats:
    """What all workers count."""

    def __init__(self) -> None:
        self._locks = memoryview(mmap.mmap(-1, 16)).cast("Q")
        self._rows = Rows(_REFUSED + _REST, 2 * PROCESSES)
        self.exports = ExportStats()
        self.loop = Row()
        self._slow = Row()
        self._lock = threading.Lock()
        self.join(0)

    def join(self, slot: int) -> None:
        """Be the worker in this slot, from 0, alone in it."""
        self._lock = threading.Lock()
        for row, writer in ((self.loop, 2 * slot), (self._slow, 2 * slot + 1)):
            row.begin(self._rows.row(writer), self.exports.row(writer))

    def count_slow(
        self, first: int, status: int, nanoseconds: int, data: int, export: int = 0
    ) -> None:
        """Do as Row.count, on a thread that is not the event loop's."""
        with self._lock:
            self._slow.count(first, status, nanoseconds, data, export)
            self._slow.put()

    def refused(self, reason: str) -> None:
        """Record that a call was answered by RPC itself, or not at all."""
        self._count(REFUSALS.index(reason))

    def repeated(self, fate: Fate) -> None:
        """Record that a call came again."""
        self._count(_REPEATED + REPETITIONS.index(fate))

    def stale(self, cause: Cause) -> None:
        """Record that a handle was stale."""
        self._count(_STALE + CAUSES.index(cause))

    def _count(self, word: int) -> None:
        with self._lock:
            self._slow.words.add(_REFUSED + word, 1)
            self._slow.put()

    def locks_are(self, held: int, waiting: int) -> None:
        """So many locks are held now, and waited for; for the one process that owns them."""
        self._locks[0], self._locks[1] = held, waiting

    def totals(self) -> Totals:
        """Return what all workers have counted so far."""
        sums = self._rows.sums()
        procedures = []
        for first, names in zip(range(0, _REFUSED, WIDTH), _NAMES, strict=True):
            words = sums[first : first + WIDTH]
            made, cached = words[_MADE:_CACHED], words[_CACHED:_TIMES]
            spent, data = words[_NANOSECONDS], words[_DATA]
            procedures.append(Counted(*names, made, cached, words[_TIMES:], spent, data))
        rest = sums[_REFUSED:]
        return Totals(
            procedures,
            dict(zip(REFUSALS, rest, strict=False)),
            dict(zip(REPETITIONS, rest[_REPEATED:], strict=False)),
            dict(zip(CAUSES, rest[_STALE:], strict=False)),
            self._locks[0],
            self._locks[1],
        )


def first_word(program: int, version: int, procedure: int) -> int:
    """Return where the words of a procedure begin in a row."""
    return _FIRST.get((program, version, procedure), _FIRST_OTHER)


def cached_outcome(first: int, status: int, export: int = 0) -> int:
    """Return where cached replies of this status are counted: a word, and an export's number."""
    return export * _REFUSED + first + _CACHED + _COLUMNS.get(status, _OTHER)


def status_name(status: int) -> str:
    """Return what is said of a status: OK, NOENT and so on, by the names of RFC 1813."""
    return STATUSES[_COLUMNS.get(status, _OTHER)]
