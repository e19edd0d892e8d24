"""The locks on one file and the waiters for them, as the table (nfsd.lock.table) keeps them.

Rules: the spans of one holding are in order and do not overlap, and spans that touch are of
different kinds.  A waiter is in the queue of one span that conflicts, or among those that are to be
checked again, the longest waiting first.  A span that was released is doomed: it conflicts with
nothing, and is removed from the tree later.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, TypeAlias

from nfsd.lock.intervals import Intervals, Span
from nfsd.lock.types import Client, Lock, Owner

Queue: TypeAlias = dict[int, Any]  # Waiters, in the order in which they came
Piece: TypeAlias = tuple[int, int, bool]  # begin, end, exclusive


class Account:
    """The locks that one client holds and waits for."""

    __slots__ = ("client", "holdings", "is_gone", "waiters")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.holdings: dict[Holding, None] = {}
        self.waiters: dict[int, Waiter] = {}
        self.is_gone = False  # the client has released all of it

    @property
    def is_empty(self) -> bool:
        return not self.holdings and not self.waiters


class Holding:
    """The locks of one owner on one file."""

    __slots__ = ("account", "file", "owner", "spans")

    def __init__(self, account: Account, file: File, owner: Owner) -> None:
        self.account = account
        self.file = file
        self.owner = owner
        self.spans: list[Span] = []

    def near(self, begin: int, end: int) -> slice:
        """Return the range of its spans that overlap or touch these bytes."""
        first = bisect_left(self.spans, begin, key=lambda span: span.end)
        return slice(first, bisect_right(self.spans, end, key=lambda span: span.begin))

    def has(self, begin: int, end: int, *, exclusive: bool) -> bool:
        """Return whether all these bytes are locked, by this kind of lock."""
        return any(
            each.begin <= begin and end <= each.end and each.exclusive == exclusive
            for each in self.spans[self.near(begin, end)]
        )

    def replace(
        self, begin: int, end: int, exclusive: bool | None
    ) -> tuple[list[Span], list[Span]]:
        """Lock these bytes so, or not at all (None); returns the spans that are new and the old."""
        near = self.near(begin, end)
        old = self.spans[near]
        pieces: list[Piece] = []
        if old and old[0].begin < begin:
            pieces.append((old[0].begin, min(old[0].end, begin), old[0].exclusive))
        if exclusive is not None:
            pieces.append((begin, end, exclusive))
        if old and old[-1].end > end:
            pieces.append((max(old[-1].begin, end), old[-1].end, old[-1].exclusive))
        found = [self._span(piece, old) for piece in _joined(pieces)]
        self.spans[near] = found
        ends = old if len(old) < 2 else [old[0], old[-1]]
        went = [span for span in ends if span not in found] + old[1:-1]
        came = [span for span in found if span not in ends]
        for span in went:
            if span.queue:
                _pass_on(span, came)
        return came, went

    def _span(self, piece: Piece, old: list[Span]) -> Span:
        """Return the span of a piece: the old one, if it is the same."""
        for span in (*old[:1], *old[-1:]):
            if (span.begin, span.end, span.exclusive) == piece:
                return span
        return Span(self, *piece)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces in order; those of one kind that touch are joined."""
    found: list[Piece] = []
    for begin, end, exclusive in pieces:
        if found and found[-1][1] == begin and found[-1][2] == exclusive:
            begin = found.pop()[0]
        found.append((begin, end, exclusive))
    return found


def _pass_on(old: Span, spans: list[Span]) -> None:
    """Move the waiters of a span to the larger one that replaces it."""
    for new in spans:
        if new.begin <= old.begin and old.end <= new.end and new.exclusive == old.exclusive:
            less, more = old.queue or {}, new.queue or {}
            if len(less) > len(more):
                less, more = more, less
            for waiter in less.values():
                waiter.queue = more
            more.update(less)
            old.queue, new.queue = None, more
            return


class Waiter:
    """An owner that waits for a lock; `how`: the way in which its client is notified."""

    __slots__ = ("account", "file", "how", "is_done", "lock", "order", "queue")

    def __init__(self, account: Account, file: File, lock: Lock, order: int, how: object) -> None:
        self.account = account
        self.file = file
        self.lock = lock
        self.order = order
        self.how = how
        self.queue: Queue = {}
        self.is_done = False

    def wait_in(self, queue: Queue) -> None:
        """Wait in a queue: this waiter is checked again when the queue is."""
        self.queue = queue
        queue[self.order] = self


class File:
    """All locks on one file."""

    __slots__ = ("exclusive", "holdings", "key", "ready", "shared", "stuck", "waiting")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.shared = Intervals()
        self.exclusive = Intervals()
        self.holdings: dict[Owner, Holding] = {}
        self.waiting: dict[Lock, Waiter] = {}
        self.stuck: Queue = {}  # waiters for locks that others than clients hold
        # To be checked again: lists of waiters, the longest waiting last; a heap (heapq).
        self.ready: list[tuple[int, list[tuple[int, Waiter]]]] = []

    @property
    def is_empty(self) -> bool:
        return not (self.holdings or self.waiting or self.shared or self.exclusive)

    def kind(self, span: Span) -> Intervals:
        """Return the tree that a span is in."""
        return self.exclusive if span.exclusive else self.shared

    def conflicting(self, lock: Lock, holding: Holding | None) -> Span | None:
        """Return the first span that conflicts with a lock of the owner that has `holding`."""
        _, begin, end, exclusive = lock
        found = self.exclusive.of_another(begin, end, holding)
        other = self.shared.of_another(begin, end, holding) if exclusive else None
        if found is None or (other is not None and other.begin < found.begin):
            return other
        return found

    def gap(self, at: int, end: int) -> tuple[int, int]:
        """Return begin and end of the next bytes without a lock; both are `end` if there are none.

        This is one step of a search, which goes on where the bytes that it returns end.
        """
        farthest = max(self.shared.farthest_end(at), self.exclusive.farthest_end(at))
        if farthest > at:
            return min(farthest, end), min(farthest, end)
        return at, self.exclusive.next_after(at, self.shared.next_after(at, end))

    def have(self, spans: Sequence[Span]) -> None:
        """Make the trees of these spans."""
        self.shared = Intervals([each for each in spans if not each.exclusive])
        self.exclusive = Intervals([each for each in spans if each.exclusive])

    def look_again(self, queue: Queue) -> None:
        """Have all waiters in a queue checked again."""
        if queue:
            run = sorted(queue.items(), reverse=True)
            heapq.heappush(self.ready, (run[-1][0], run))

    def next_ready(self) -> Waiter:
        """Return the longest waiting of those to be checked again; there is at least one."""
        _, run = self.ready[0]
        _, waiter = run.pop()
        if run:
            heapq.heapreplace(self.ready, (run[-1][0], run))
        else:
            heapq.heappop(self.ready)
        return waiter
