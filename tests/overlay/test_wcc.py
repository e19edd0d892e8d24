"""What a reply says of before and after a change leaves no room for anybody else's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.model.attributes import Attributes, Change, Changes
from overlay.model.contents import Stable
from overlay.model.writers import Writers
from tests.compiled import only_interpreted
from tests.overlays import Served, make_dirs, served
from tests.processes import processes

_WRITES = 150
_THREADS = 4
_State = tuple[int, int, int]
_Step = tuple[int, _State | None, _State]  # the size written up to, before, after


def state(of: Attributes) -> _State:
    return of.size, of.mtime, of.ctime


def told(change: Change, end: int) -> _Step:
    return end, None if change.before is None else state(change.before), state(change.after)


def write_all(tree: Served, path: str, first: int, step: int) -> list[_Step]:
    """Many writes by some threads, each beyond all that it has written before."""
    ends = count(first, step)

    def write(_: int) -> _Step:
        at = next(ends)
        change = tree.overlay.write(tree.node(path), ROOT, at, b"x", Stable.UNSTABLE)
        return told(change, at + 1)

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(write, range(_WRITES)))


def check(steps: list[_Step]) -> None:
    """Whose reply says what was before was alone: the size says so."""
    known = [step for step in steps if step[1] is not None]
    for end, before, after in known:
        assert before is not None
        assert after[0] == max(before[0], end)
    followed = [before[0] for _, before, after in known if before and after[0] > before[0]]
    assert len(set(followed)) == len(followed), "two claim to follow the same state"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Served]:
    with served(make_dirs(tmp_path)) as overlay:
        yield overlay


@pytest.mark.parametrize("path", ["a", "b", "new"])
def test_one_after_the_other(tree: Served, path: str) -> None:
    """Each is told what the last one left."""
    tree.create("new")
    for number in range(5):
        had = tree.attributes(path)
        copied = path != "new" and number == 0
        change = tree.overlay.write(tree.node(path), ROOT, number, b"x", Stable.UNSTABLE)
        assert change.before is not None
        assert (change.before.size, change.before.mtime) == (had.size, had.mtime)
        assert copied or change.before.ctime == had.ctime
        assert state(change.after) == state(tree.attributes(path))
        had = tree.attributes(path)
        change = tree.overlay.setattr(tree.node(path), ROOT, Changes(mode=0o600 + number))
        assert change.before is not None
        assert state(change.before) == state(had)
        change = tree.overlay.commit(tree.node(path), 0, 0)
        assert change.before is not None
        assert state(change.before) == state(change.after) == state(tree.attributes(path))


def test_cutting_a_lower_file_is_not_told_as_two_changes(tree: Served) -> None:
    change = tree.overlay.setattr(tree.node("a"), ROOT, Changes(size=3))
    assert change.before is None
    assert change.after.size == 3


def test_many_threads_write(tree: Served) -> None:
    for path in ("a", "new"):
        if path == "new":
            tree.create("new")
        check(write_all(tree, path, 10_000, 1))


def test_many_processes_write(tmp_path: Path) -> None:
    """Among them the first writes to a lower file."""
    with processes(make_dirs(tmp_path)) as (_, both):
        for path in ("a", "b", "c"):
            for number, each in enumerate(both):
                each.begin(write_all, path, 10_000 + number, len(both))
            check([step for each in both for step in each.end()])


def test_who_has_no_place_is_alone_with_nobody() -> None:
    writers = Writers()
    entered = [writers.enter(number) for number in range(1, 10)]
    crowd, others = entered[7:], entered[:7]
    assert not any(writers.is_alone(at, writers.seen(at)) for at in crowd)
    again = writers.enter(1)  # one more of them
    assert not writers.is_alone(others[0], writers.seen(others[0]))
    for at in (again, *crowd):
        writers.leave(at)
    for at in others:
        assert writers.is_alone(at, writers.seen(at))
        writers.leave(at)
    at = writers.enter(5)
    assert writers.is_alone(at, writers.seen(at))
    writers.leave(at)


def test_those_of_other_processes_are_seen_at_objects_of_a_kind_alone() -> None:
    writers = Writers()
    writers.join(3)
    other = writers.enter(7)
    writers.join(1)
    at = writers.enter(5)
    assert writers.is_alone(at, writers.seen(at))
    writers.leave(at)
    at = writers.enter(7)
    assert not writers.is_alone(at, writers.seen(at))
    writers.leave(other)
    assert writers.is_alone(at, writers.seen(at))


def test_who_has_died_is_at_nothing_any_more() -> None:
    writers = Writers()
    writers.join(1)
    at = writers.enter(7)
    if not (pid := os.fork()):
        writers.join(3)
        writers.enter(7)
        os._exit(0)
    os.waitpid(pid, 0)
    assert not writers.is_alone(at, writers.seen(at))
    writers.died(pid)
    assert writers.is_alone(at, writers.seen(at))


def test_each_thread_has_a_place_of_its_own() -> None:
    writers, taken = Writers(), list[int]()

    def come_and_go(number: int) -> bool:
        for _ in range(3000):
            at = writers.enter(number)
            seen = writers.seen(at)
            taken.append(at)
            if writers.is_alone(at, seen) and taken.count(at) > 1:
                return False
            taken.remove(at)
            writers.leave(at)
        return True

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(_THREADS) as threads:
            assert all(threads.map(come_and_go, [7] * _THREADS))
    finally:
        sys.setswitchinterval(before)
    last = writers.enter(7)
    assert writers.is_alone(last, writers.seen(last)), "a slot was not given back"


@pytest.mark.parametrize("crowd", [0, 6, 8])
def test_who_has_left_meanwhile_is_known(crowd: int) -> None:
    """Its bump may be followed at once by that of who asks, and cannot be seen then."""
    writers = Writers()
    at = writers.enter(7)
    for each in range(crowd):
        writers.enter(1000 + each)
    seen = writers.seen(at)
    writers.leave(writers.enter(8))
    assert writers.is_alone(at, seen)
    writers.leave(writers.enter(7))
    assert not writers.is_alone(at, seen)


def test_a_change_between_two_looks_is_seen(tree: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else changes the object wholly between a look at the counter and its bump."""
    inner = tree.overlay._tree
    only_interpreted(inner.attribute_counters)
    tree.write("a", "x")
    bump, others = inner.attribute_counters.bump, [b"other"]

    def bump_late(number: int) -> int:
        if others:
            tree.overlay.write(tree.node("a"), ROOT, 20_000, others.pop(), Stable.UNSTABLE)
        return bump(number)

    monkeypatch.setattr(inner.attribute_counters, "bump", bump_late)
    change = tree.overlay.write(tree.node("a"), ROOT, 10_000, b"x", Stable.UNSTABLE)
    assert change.after.size > 20_000
    assert change.before is None
