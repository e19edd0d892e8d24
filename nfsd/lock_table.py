"""Byte-range locks on many files, and who waits for them: no I/O, no clock, no wire.

The rules are those of fcntl(2): an owner's locks never conflict with each other,
a new one replaces what it covers (so a lock is upgraded, downgraded, split), and
neighbours of one kind become one.  Who waits is given his lock as soon as nobody's
lock is in its way, the one who has waited longest first.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

END: Final = 1 << 64  # behind the last byte that a lock can cover
LOCKS_MAX: Final = 1 << 18  # held and waited for, of all files


class Client(NamedTuple):
    """A machine, by where it calls from and what it calls itself.

    By both, since addresses are shared behind a translator, and names are often alike.
    """

    address: str
    name: bytes


class Owner(NamedTuple):
    """Whose a lock is: a process of a client, in words that only the client understands."""

    client: Client
    svid: int
    oh: bytes


class Lock(NamedTuple):
    """A lock on the bytes from `begin` up to `end`, not included, which is END if it has none."""

    owner: Owner
    begin: int
    end: int
    exclusive: bool

    def conflicts(self, other: Lock) -> bool:
        """Whether only one of the two can be held."""
        return (
            (self.exclusive or other.exclusive)
            and self.begin < other.end
            and other.begin < self.end
            and self.owner != other.owner
        )


class Outcome(enum.Enum):
    """What becomes of a wish to lock."""

    GRANTED = enum.auto()
    DENIED = enum.auto()  # somebody else has a lock in its way
    WAITS = enum.auto()
    DEADLOCK = enum.auto()  # who has it waits, himself or by others, for the one who asks
    FULL = enum.auto()


class Outside(Protocol):
    """Others who lock the same files, and see the locks of the table as one owner's."""

    def is_open(self, key: bytes) -> bool:
        """Whether they see the locks of a file."""

    def take(self, key: bytes, lock: Lock) -> bool:
        """Lock as the table does; whether none of them is in the way."""

    def give(self, key: bytes, begin: int, end: int) -> None:
        """Unlock what nobody in the table has any more."""

    def holder(self, key: bytes, wanted: Lock) -> Lock | None:
        """The lock of one of them that is in the way."""

    def drop(self, key: bytes) -> None:
        """There are no locks on this file any more."""


class _Nobody:
    """There are no others."""

    def is_open(self, key: bytes) -> bool:
        return True

    def take(self, key: bytes, lock: Lock) -> bool:
        return True

    def give(self, key: bytes, begin: int, end: int) -> None:
        return

    def holder(self, key: bytes, wanted: Lock) -> Lock | None:
        return None

    def drop(self, key: bytes) -> None:
        return


NOBODY: Final[Outside] = _Nobody()


@dataclass(slots=True, eq=False)
class _File:
    """The locks on one file: the owners' own do not overlap and are in their order."""

    held: dict[Owner, list[Lock]] = field(default_factory=dict)
    waiting: list[Lock] = field(default_factory=list)  # the longest first

    def in_the_way_of(self, wanted: Lock) -> Iterable[Lock]:
        for locks in self.held.values():
            yield from (lock for lock in locks[_near(locks, wanted)] if lock.conflicts(wanted))

    def put(self, new: Lock, *, holds: bool) -> int:
        """Have `new` replace what its owner has there, or only take that away.

        Returns how many locks more there are.
        """
        locks = self.held.setdefault(new.owner, [])
        before, near = len(locks), _near(locks, new)
        after = [part for lock in locks[near] for part in _outside(lock, new)]
        if holds:
            after.append(new)
        locks[near] = _joined(sorted(after, key=lambda lock: lock.begin))
        if not locks:
            del self.held[new.owner]
        return len(locks) - before

    def free_parts(self, lock: Lock) -> Iterable[tuple[int, int]]:
        """Begin and end of the parts of a lock's bytes that nobody holds."""
        near = [each for locks in self.held.values() for each in locks[_near(locks, lock)]]
        at = lock.begin
        for each in sorted(near, key=lambda each: each.begin):
            if each.begin > at:
                yield at, min(each.begin, lock.end)
            at = max(at, each.end)
        if at < lock.end:
            yield at, lock.end


def _near(locks: list[Lock], other: Lock) -> slice:
    """Which of an owner's locks overlap or touch another lock."""
    first = bisect_left(locks, other.begin, key=lambda lock: lock.end)
    return slice(first, bisect_right(locks, other.end, key=lambda lock: lock.begin))


def _outside(lock: Lock, other: Lock) -> Iterable[Lock]:
    """What is left of a lock where another one is put."""
    if lock.end <= other.begin or other.end <= lock.begin:
        yield lock
        return
    if lock.begin < other.begin:
        yield lock._replace(end=other.begin)
    if other.end < lock.end:
        yield lock._replace(begin=other.end)


def _joined(locks: Iterable[Lock]) -> list[Lock]:
    """Locks of one owner in their order, those joined that touch and are alike."""
    found: list[Lock] = []
    for lock in locks:
        if found and found[-1].end == lock.begin and found[-1].exclusive == lock.exclusive:
            found[-1] = found[-1]._replace(end=lock.end)
        else:
            found.append(lock)
    return found


class LockTable:
    """The locks of all files, each known by the bytes of its handle.

    `granted` is told file and lock when somebody who waits is given his.
    """

    def __init__(
        self,
        granted: Callable[[bytes, Lock], None],
        locks_max: int = LOCKS_MAX,
        outside: Outside = NOBODY,
    ) -> None:
        self._granted = granted
        self._outside = outside
        self._locks_max = locks_max
        self._files: dict[bytes, _File] = {}
        self._waits: dict[Owner, list[tuple[_File, Lock]]] = {}  # the same as in the files
        self._count = 0

    def test(self, key: bytes, wanted: Lock) -> Lock | None:
        """A lock that is in the way, if there is one."""
        file = self._files.get(key)
        found = None if file is None else next(iter(file.in_the_way_of(wanted)), None)
        if found is None:
            found = self._outside.holder(key, wanted)
            if file is None:
                self._outside.drop(key)
        return found

    def lock(self, key: bytes, wanted: Lock, *, wait: bool) -> Outcome:
        """Lock, or wait in the queue for it; asked again by who waits, he keeps his place."""
        if self._count >= self._locks_max:
            return Outcome.FULL
        file = self._files.setdefault(key, _File())
        holders = {lock.owner for lock in file.in_the_way_of(wanted)}
        if not holders and self._outside.take(key, wanted):
            self._forget_waiting(file, wanted)
            self._count += file.put(wanted, holds=True)
            self._wake(key, file)
            return Outcome.GRANTED
        if not wait:
            self._drop_if_empty(key, file)
            return Outcome.DENIED
        if wanted in file.waiting:
            return Outcome.WAITS
        if self._wait_for(holders, wanted.owner):
            return Outcome.DEADLOCK
        file.waiting.append(wanted)
        self._waits.setdefault(wanted.owner, []).append((file, wanted))
        self._count += 1
        return Outcome.WAITS

    def holds(self, key: bytes, lock: Lock) -> bool:
        """Whether an owner has a lock, of this kind on all of these bytes."""
        file = self._files.get(key)
        held = [] if file is None else file.held.get(lock.owner, [])
        return any(
            each.begin <= lock.begin and lock.end <= each.end and each.exclusive == lock.exclusive
            for each in held[_near(held, lock)]
        )

    def unlock(self, key: bytes, lock: Lock) -> None:
        """Take away what its owner has on these bytes, of whichever kind."""
        file = self._files.get(key)
        if file is not None:
            self._count += file.put(lock, holds=False)
            self._give(key, file, (lock,))
            self._wake(key, file)

    def cancel(self, key: bytes, wanted: Lock) -> bool:
        """Wait no more; whether somebody did wait for exactly this."""
        file = self._files.get(key)
        if file is None or not self._forget_waiting(file, wanted):
            return False
        self._drop_if_empty(key, file)
        return True

    def free(self, client: Client) -> None:
        """Take away all that a client's processes have and wait for."""
        for key, file in list(self._files.items()):
            for lock in [each for each in file.waiting if each.owner.client == client]:
                self._forget_waiting(file, lock)
            gone: list[Lock] = []
            for owner in [each for each in file.held if each.client == client]:
                gone += file.held.pop(owner)
            self._count -= len(gone)
            self._give(key, file, gone)
            self._wake(key, file)

    def look_outside(self) -> None:
        """Have others see what they did not, and give who waits for them what they have let go."""
        for key, file in list(self._files.items()):
            if not self._outside.is_open(key):
                for lock in [each for locks in file.held.values() for each in locks]:
                    self._outside.take(key, lock)
            if file.waiting:
                self._wake(key, file)

    def all(self) -> Iterator[tuple[bytes, Lock]]:
        """Every lock with its file: those of a file that are held, then who waits, in order."""
        for key, file in self._files.items():
            for held in file.held.values():
                yield from ((key, lock) for lock in held)
            yield from ((key, lock) for lock in file.waiting)

    def clients(self) -> set[Client]:
        """Whoever has a lock or waits for one."""
        found = {owner.client for file in self._files.values() for owner in file.held}
        return found | {lock.owner.client for file in self._files.values() for lock in file.waiting}

    def __len__(self) -> int:
        """How many locks there are, held and waited for."""
        return self._count

    def _forget_waiting(self, file: _File, wanted: Lock) -> bool:
        if wanted not in file.waiting:
            return False
        file.waiting.remove(wanted)
        others = [each for each in self._waits.pop(wanted.owner) if each != (file, wanted)]
        if others:
            self._waits[wanted.owner] = others
        self._count -= 1
        return True

    def _give(self, key: bytes, file: _File, gone: Iterable[Lock]) -> None:
        for lock in gone:
            for begin, end in file.free_parts(lock):
                self._outside.give(key, begin, end)

    def _is_free(self, key: bytes, file: _File, lock: Lock) -> bool:
        return not any(file.in_the_way_of(lock)) and self._outside.take(key, lock)

    def _wake(self, key: bytes, file: _File) -> None:
        """Give their locks to those who need not wait any longer."""
        while True:
            free = (lock for lock in file.waiting if self._is_free(key, file, lock))
            lock = next(free, None)
            if lock is None:
                break
            self._forget_waiting(file, lock)
            self._count += file.put(lock, holds=True)
            self._granted(key, lock)
        self._drop_if_empty(key, file)

    def _drop_if_empty(self, key: bytes, file: _File) -> None:
        if not file.held and not file.waiting:
            del self._files[key]
            self._outside.drop(key)

    def _wait_for(self, holders: set[Owner], owner: Owner) -> bool:
        """Whether one of the holders waits for something that `owner` has, or others who do."""
        seen: set[Owner] = set()
        unseen = set(holders)
        while unseen:
            holder = unseen.pop()
            if holder == owner:
                return True
            seen.add(holder)
            for file, lock in self._waits.get(holder, ()):
                unseen |= {each.owner for each in file.in_the_way_of(lock)} - seen
        return False
