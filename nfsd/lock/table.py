"""Byte-range locks on many files, and the waiters for them: no I/O, no clock, no wire.

The rules are those of fcntl(2): an owner's locks never conflict with each other,
a new one replaces what it covers (so a lock is upgraded, downgraded, split), and
neighbours of one kind become one.  A waiting owner gets its lock as soon as no other
lock conflicts; the owner that has waited longest comes first.

Rule: each call costs O(log n), however many locks there are.  Of what a call releases, a few locks
are removed at once; the rest is left for `work`, and conflicts with nothing meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeAlias

from nfsd.lock.accounts import Accounts
from nfsd.lock.budget import Budget
from nfsd.lock.deadlock import Search
from nfsd.lock.file import Account, File, Holding, Queue, Waiter
from nfsd.lock.intervals import Span
from nfsd.lock.outside import NOBODY, Outside
from nfsd.lock.types import Client, Lock, Outcome, Owner, TryLaterError

AT_ONCE: Final = 32  # steps of `work` that a call does itself
_FILES: Final = 256  # whose locks local processes are shown in one go
_STEPS: Final = 64  # of each kind, in one go of `work`

# Is called with file, lock, and how to notify its owner, when a waiting owner gets a lock.
Granted: TypeAlias = Callable[[bytes, Lock, Any], None]


class FileState(NamedTuple):
    """The locks on one file, for another table: in few objects, as there may be many."""

    key: bytes
    held: list[tuple[Client, int, bytes, list[tuple[int, int, bool]]]]  # by owner
    waiting: list[tuple[Lock, Any]]  # with how to notify the owner of each, in order


class LockTable:
    """The locks on all files; the key of a file is its handle."""

    def __init__(
        self,
        granted: Granted,
        outside: Outside = NOBODY,
        memory: Budget | None = None,
        waiters: Budget | None = None,
    ) -> None:
        """`memory` is a budget that locks share with other things."""
        self._granted = granted
        self._outside = outside
        self._files: dict[bytes, File] = {}
        self._accounts = Accounts(memory, waiters)
        # Work that is left.
        self._leaving: deque[Account] = deque()
        self._doomed: deque[tuple[File, Span]] = deque()
        self._awake: dict[File, None] = {}  # with waiters that are to be checked again
        self._stuck: dict[File, None] = {}  # with waiters for locks of local processes
        self._unseen: deque[File] = deque()  # whose locks local processes may not see yet
        self._owed: deque[tuple[File, int, int]] = deque()  # bytes to unlock there

    def test(self, key: bytes, wanted: Lock) -> Lock | None:
        """Return a lock that conflicts, if there is one; raises TryLaterError."""
        file = self._files.get(key)
        span = None
        if file is not None:
            span = self._in_the_way(file, wanted, self._holding(file, wanted.owner))
            self._drop_if_empty(file)
        if span is not None:
            return _lock_of(span)
        found = self._outside.holder(key, wanted)
        if key not in self._files:
            self._outside.drop(key)
        return found

    def lock(self, key: bytes, wanted: Lock, *, wait: bool, how: object = None) -> Outcome:
        """Lock, or queue for the lock; an owner that asks again keeps its turn."""
        file = self._files.setdefault(key, File(key))
        try:
            return self._lock(file, wanted, wait=wait, how=how)
        except TryLaterError:
            return Outcome.LATER
        finally:
            self._drop_if_empty(file)

    def _lock(self, file: File, wanted: Lock, *, wait: bool, how: object) -> Outcome:
        holding, waiter = self._holding(file, wanted.owner), self._waiter(file, wanted)
        span = self._in_the_way(file, wanted, holding)
        if (
            waiter is None
            and (span is None or wait)
            and not self._accounts.may_have_more(wanted.owner, wait=span is not None)
        ):
            return Outcome.FULL
        if span is None and self._outside.take(file.key, wanted):
            if waiter is not None:
                self._accounts.forget(waiter)
            self._put(file, wanted.owner, wanted.begin, wanted.end, wanted.exclusive)
            self._wake(file, AT_ONCE)
            return Outcome.GRANTED
        if not wait:
            return Outcome.DENIED
        if waiter is not None:
            waiter.how = how
            return Outcome.WAITS
        search = Search(self._accounts.waits, wanted.owner)
        if span is not None and search.closes_circle(file, wanted):
            return Outcome.DEADLOCK
        self._accounts.wait(file, wanted, how).wait_in(self._queue(file, span))
        return Outcome.WAITS

    def holds(self, key: bytes, lock: Lock) -> bool:
        """Return whether an owner has a lock of this kind on all these bytes."""
        file = self._files.get(key)
        holding = None if file is None else self._holding(file, lock.owner)
        return holding is not None and holding.has(lock.begin, lock.end, exclusive=lock.exclusive)

    def unlock(self, key: bytes, lock: Lock) -> None:
        """Release the locks of the owner on these bytes, of either kind."""
        file = self._files.get(key)
        if file is not None and self._holding(file, lock.owner) is not None:
            self._put(file, lock.owner, lock.begin, lock.end, None)
            self._wake(file, AT_ONCE)
            self._give_owed(AT_ONCE)
            self._drop_if_empty(file)

    def cancel(self, key: bytes, wanted: Lock) -> bool:
        """Wait no more; return whether there was a waiter for exactly this lock."""
        file = self._files.get(key)
        waiter = None if file is None else self._waiter(file, wanted)
        if waiter is None:
            return False
        self._accounts.forget(waiter)
        self._drop_if_empty(waiter.file)
        return True

    def free(self, client: Client) -> None:
        """Release all locks of a client, and remove its waiters."""
        account = self._accounts.of(client)
        if account is not None:
            self._accounts.close(account)
            if self._let_go_of(account, AT_ONCE):
                self._leaving.append(account)
            self._give_owed(AT_ONCE)

    def work(self) -> bool:
        """Do some of the work that calls have left; return whether there is more."""
        steps = _STEPS
        while self._leaving and steps > 0:
            if not self._let_go_of(self._leaving[0], AT_ONCE):
                self._leaving.popleft()
            steps -= AT_ONCE
        for _ in range(min(_STEPS, len(self._doomed))):
            file, span = self._doomed.popleft()
            self._take_out(file, span)
            self._drop_if_empty(file)
        steps = _STEPS
        while self._awake and steps > 0:
            file = next(iter(self._awake))
            del self._awake[file]  # it comes behind all others, if it is not done
            steps -= self._wake(file, AT_ONCE)
            self._drop_if_empty(file)
        self._give_owed(_STEPS)
        return self.has_work

    @property
    def has_work(self) -> bool:
        """Return whether there is work left."""
        return bool(self._leaving or self._doomed or self._awake or self._owed)

    def look_outside(self) -> None:
        """Show local processes locks that they do not see yet; grant waiters what they released.

        Of many files each call checks some.
        """
        if not self._unseen:
            self._unseen.extend(self._files.values())
        for _ in range(min(_FILES, len(self._unseen))):
            file = self._unseen.popleft()
            if not self._outside.is_open(file.key):
                for holding in file.holdings.values():
                    for span in holding.spans:
                        self._outside.take(file.key, _lock_of(span))
                if self._files.get(file.key) is not file:
                    self._outside.drop(file.key)
        stuck, self._stuck = self._stuck, {}
        for file in stuck:
            queue, file.stuck = file.stuck, {}
            self._look_again(file, queue)
            self._wake(file, AT_ONCE)
            self._drop_if_empty(file)

    def all(self) -> Iterator[FileState]:
        """Yield the state of every file that has locks."""
        for file in self._files.values():
            held = [
                (*holding.owner, [(each.begin, each.end, each.exclusive) for each in holding.spans])
                for holding in file.holdings.values()
                if not holding.account.is_gone
            ]
            waiting = [each for each in file.waiting.values() if not each.account.is_gone]
            yield FileState(file.key, held, [(each.lock, each.how) for each in waiting])

    def restore(self, state: FileState) -> None:
        """Restore the locks on a file from what `all` has yielded, in linear time."""
        file = self._files[state.key] = File(state.key)
        spans = []
        for client, svid, oh, pieces in state.held:
            owner = Owner(client, svid, oh)
            holding = self._accounts.hold(file, owner)
            holding.spans = [Span(holding, *piece) for piece in pieces]
            spans += holding.spans
            self._accounts.count(holding, len(pieces))
            if self._outside is not NOBODY:
                for piece in pieces:
                    self._outside.take(file.key, Lock(owner, *piece))
        file.have(spans)
        queue: Queue = {}
        for lock, how in state.waiting:
            self._accounts.wait(file, lock, how).wait_in(queue)
        self._look_again(file, queue)
        self._drop_if_empty(file)

    def clients(self, address: str) -> set[Client]:
        """Return the clients at an address that have a lock or wait for one."""
        return self._accounts.at(address)

    def has(self, client: Client) -> bool:
        """Return whether a client has a lock or waits for one."""
        return self._accounts.of(client) is not None

    @property
    def counts(self) -> tuple[int, int]:
        """Return how many locks are held, and waited for."""
        return self._accounts.counts

    def __len__(self) -> int:
        """Return the sum of the two."""
        return len(self._accounts)

    def _in_the_way(self, file: File, wanted: Lock, holding: Holding | None) -> Span | None:
        """Return a span that conflicts with a lock; raises TryLaterError."""
        for _ in range(AT_ONCE):
            span = file.conflicting(wanted, holding)
            if span is None or not _is_gone(span):
                return span
            self._take_out(file, span)
        raise TryLaterError

    def _holding(self, file: File, owner: Owner) -> Holding | None:
        """Return the holding of an owner on a file; one that its client has left is removed."""
        found = file.holdings.get(owner)
        if found is not None and found.account.is_gone:
            self._let_go(found)
            return None
        return found

    def _waiter(self, file: File, wanted: Lock) -> Waiter | None:
        """Return the waiter for exactly this lock."""
        found = file.waiting.get(wanted)
        if found is not None and found.account.is_gone:
            self._accounts.forget(found)
            return None
        return found

    def _put(self, file: File, owner: Owner, begin: int, end: int, exclusive: bool | None) -> None:
        """Have an owner lock bytes so, or not at all (None)."""
        holding = file.holdings.get(owner) or self._accounts.hold(file, owner)
        came, went = holding.replace(begin, end, exclusive)
        for span in came:
            file.kind(span).add(span)
        self._accounts.count(holding, len(came))
        if not holding.spans:
            self._accounts.release(holding)
        self._doom(file, went)

    def _let_go(self, holding: Holding) -> int:
        """Release all locks of an owner on a file; return how many steps that took."""
        self._accounts.release(holding)
        self._doom(holding.file, holding.spans)
        return min(len(holding.spans), AT_ONCE)

    def _let_go_of(self, account: Account, steps: int) -> bool:
        """Release some locks of a client that is gone; return whether there are more."""
        files: dict[File, None] = {}
        while steps > 0 and not account.is_empty:
            if account.waiters:
                waiter = next(iter(account.waiters.values()))
                files[waiter.file] = None
                self._accounts.forget(waiter)
                steps -= 1
            else:
                holding = next(iter(account.holdings))
                files[holding.file] = None
                steps -= self._let_go(holding)
        for file in files:  # the longest waiting comes first
            self._wake(file, AT_ONCE)
            self._drop_if_empty(file)
        return not account.is_empty

    def _doom(self, file: File, spans: list[Span]) -> None:
        """Mark spans as released, and remove a few of them from the tree."""
        for span in spans:
            span.is_doomed = True
        for span in spans[:AT_ONCE]:
            self._take_out(file, span)
        self._doomed.extend(zip(repeat(file), spans[AT_ONCE:], strict=False))

    def _take_out(self, file: File, span: Span) -> None:
        """Remove a span from the tree, unless it was; its waiters are checked again."""
        if span.holder is None:
            return
        file.kind(span).remove(span)
        self._accounts.count(span.holder, -1)
        span.holder = None
        if span.queue:
            self._look_again(file, span.queue)
            span.queue = None
        if self._outside is not NOBODY:
            self._owed.append((file, span.begin, span.end))

    def _look_again(self, file: File, queue: Queue) -> None:
        if queue:
            file.look_again(queue)
            self._awake[file] = None

    def _wake(self, file: File, steps: int) -> int:
        """Grant locks to waiters that no lock conflicts with any more; return the steps taken."""
        taken = 0
        while file.ready and taken < steps:
            taken += 1
            waiter = file.next_ready()
            if waiter.is_done:
                continue
            if waiter.account.is_gone:
                self._accounts.forget(waiter)
                continue
            try:
                span = self._in_the_way(file, waiter.lock, self._holding(file, waiter.lock.owner))
            except TryLaterError:
                file.look_again({waiter.order: waiter})
                break
            if span is None and self._outside.take(file.key, waiter.lock):
                self._accounts.forget(waiter)
                self._put(file, *waiter.lock)
                self._granted(file.key, waiter.lock, waiter.how)
            else:
                waiter.wait_in(self._queue(file, span))
        if file.ready:
            self._awake[file] = None
        else:
            self._awake.pop(file, None)
        return taken

    def _queue(self, file: File, span: Span | None) -> Queue:
        """Return the queue for a span, or for a lock of a local process."""
        if span is None:
            self._stuck[file] = None
            return file.stuck
        if span.queue is None:
            span.queue = {}
        return span.queue

    def _give_owed(self, steps: int) -> None:
        """Unlock for local processes what no client has locked any more."""
        while self._owed and steps > 0:
            file, at, end = self._owed.popleft()
            if self._files.get(file.key) is not file:
                continue  # it was dropped
            while at < end and steps > 0:
                steps -= 1
                begin, behind = file.gap(at, end)
                if begin < behind:
                    self._outside.give(file.key, begin, behind)
                at = behind
            if at < end:
                self._owed.appendleft((file, at, end))

    def _drop_if_empty(self, file: File) -> None:
        if file.is_empty and self._files.get(file.key) is file:
            del self._files[file.key]
            self._awake.pop(file, None)
            self._outside.drop(file.key)


def _is_gone(span: Span) -> bool:
    """Return whether a span was released, and is still to be removed from its tree."""
    return span.is_doomed or span.holder.account.is_gone


def _lock_of(span: Span) -> Lock:
    return Lock(span.holder.owner, span.begin, span.end, span.exclusive)
