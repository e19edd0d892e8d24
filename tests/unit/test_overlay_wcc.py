"""What a reply says of before and after a change leaves no room for anybody else's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from overlay.attributes import Attributes, Change, Changes
from overlay.credentials import ROOT
from overlay.data import Stable
from overlay.writers import Writers
from tests.compiled import only_interpreted
from tests.unit.overlays import Served, make_dirs, served
from tests.unit.processes import processes

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
    places = [writers.enter(number) for number in range(1, 10)]
    assert not writers.is_alone(1, places[0])
    for number, place in enumerate(places[7:], 8):
        writers.leave(place, number)
    assert writers.is_alone(1, places[0])
    again = writers.enter(1)
    assert not writers.is_alone(1, places[0])
    assert not writers.is_alone(1, again)
    writers.leave(again, 1)
    for number, place in enumerate(places[:7], 1):
        writers.leave(place, number)
    place = writers.enter(5)
    assert writers.is_alone(5, place)
    writers.leave(place, 5)


def test_those_of_other_processes_are_seen_at_one_object_alone() -> None:
    writers = Writers()
    writers.join(3)
    other = writers.enter(7)
    writers.join(1)
    place = writers.enter(5)
    assert writers.is_alone(5, place)
    writers.leave(place, 5)
    place = writers.enter(7)
    assert not writers.is_alone(7, place)
    writers.leave(other, 7)
    assert writers.is_alone(7, place)


def test_each_thread_has_a_place_of_its_own() -> None:
    writers, taken = Writers(), list[int]()

    def come_and_go(number: int) -> bool:
        for _ in range(3000):
            place = writers.enter(number)
            is_alone = writers.is_alone(number, place)
            taken.append(place)
            if is_alone and taken.count(place) > 1:
                return False
            taken.remove(place)
            writers.leave(place, number)
        return True

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(_THREADS) as threads:
            assert all(threads.map(come_and_go, [7] * _THREADS))
    finally:
        sys.setswitchinterval(before)
    last = writers.enter(7)
    assert writers.is_alone(7, last), "a place was not given back"


@pytest.mark.parametrize("crowd", [0, 7, 9])
def test_who_has_left_meanwhile_is_known(crowd: int) -> None:
    """His bump may be followed at once by that of who asks, and cannot be seen then."""
    writers = Writers()
    for each in range(crowd):
        writers.enter(1000 + each)
    before = writers.ended(7)
    writers.leave(writers.enter(8), 8)
    assert writers.ended(7) == before
    writers.leave(writers.enter(7), 7)
    assert writers.ended(7) != before


def test_a_change_between_two_looks_is_seen(tree: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else changes the object wholly between a look at the counter and its bump."""
    inner = tree.overlay._tree
    only_interpreted(inner.stats)
    tree.write("a", "x")
    bump, others = inner.stats.bump, [b"other"]

    def bump_late(number: int) -> int:
        if others:
            tree.overlay.write(tree.node("a"), ROOT, 20_000, others.pop(), Stable.UNSTABLE)
        return bump(number)

    monkeypatch.setattr(inner.stats, "bump", bump_late)
    change = tree.overlay.write(tree.node("a"), ROOT, 10_000, b"x", Stable.UNSTABLE)
    assert change.after.size > 20_000
    assert change.before is None
