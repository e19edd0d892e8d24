"""A kill or a power cut at any step leaves nothing that the next start does not mend.

Rule: by default each trial is cut short at a few points, picked by its name, where a name has just
changed on disk; CRASH_TESTS=full in the environment takes every point.  The table for all of them
is printed by `python -m tests.torture.crash`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

import pytest

from overlay import filesystem
from tests.torture.cases import CASES, Case
from tests.torture.crash import Crash, starts_after
from tests.torture.disks import JOURNALED, KINDS, Disk, disk
from tests.torture.offline import CASES_TO_START_AFTER, start_after, trials
from tests.torture.outage import Outage
from tests.torture.promises import HOW, PROMISES, Promise, broken
from tests.torture.scene import Scene
from tests.torture.trials import CallTrial, Trial

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]

FULL = os.environ.get("CRASH_TESTS") == "full"
FILESYSTEMS = JOURNALED if FULL else ["ext4"]
_NAMING = ("renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "symlinkat", "mknodat")
_AT_ONCE = 2


@pytest.fixture(scope="session", params=FILESYSTEMS)
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A disk of its own."""
    with disk(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(scope="session", params=KINDS if FULL else ["ext4", "btrfs"])
def anywhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    """The same, where fsync takes less along too."""
    with disk(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


def pick(calls: Sequence[str]) -> list[int]:
    """A few points right behind a call that changed a name, else any."""
    points = [number + 1 for number in range(1, len(calls)) if calls[number - 1] in _NAMING]
    points = points or list(range(1, len(calls) + 1))
    return random.Random(repr(calls)).sample(points, min(_AT_ONCE, len(points)))


def first(calls: Sequence[str]) -> list[int]:
    return pick(calls)[:1]


@pytest.mark.parametrize("trial", list(trials()), ids=lambda trial: trial.result.name)
def test_a_kill_leaves_nothing_between(trial: Trial, on: Disk) -> None:
    crash, outage = Crash(trial, on), Crash(trial, on, power=True)
    if FULL:
        crash.run()
        outage.run()
    else:
        crash.model()
        crash.some(pick)
        outage.some(first)
    assert trial.result.failures == []


@pytest.mark.parametrize("case", CASES_TO_START_AFTER, ids=lambda case: case.name)
def test_a_kill_of_the_start_after_a_kill(case: Case, on: Disk) -> None:
    if FULL:
        assert starts_after(case, on).failures == []
        return
    for point in random.Random(case.name).sample(range(1, 12), 2):
        trial = start_after(case, point)
        crash = Crash(trial, on)
        crash.model()
        crash.some(pick)
        assert trial.result.failures == [], f"killed before call {point}"


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_stable_data_outlives_a_power_cut(promise: Promise, how: str, anywhere: Disk) -> None:
    scene = Scene(anywhere.path / "promise")
    try:
        assert list(broken(promise, how, anywhere, scene)) == []
    finally:
        scene.close()


@pytest.mark.parametrize("seed", range(20 if FULL else 3))
def test_random_work_outlives_power_cuts(seed: int, on: Disk) -> None:
    scene = Scene(on.path / "outage")
    outage = Outage(on, scene, seed)
    try:
        outage.run(operations=500, copies=20)
        assert list(outage.examine()) == []
    finally:
        scene.close()


@pytest.mark.parametrize("name", ["remove a lower file", "chmod a lower directory"])
def test_a_start_that_mends_nothing_is_noticed(
    name: str, on: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is forked from this process, and so has what is planted here."""
    monkeypatch.setattr(filesystem, "recover", lambda _: None)
    trial = CallTrial(next(case for case in CASES if case.name == name))
    result = Crash(trial, on).run()
    assert any("left in staging" in failure for failure in result.failures)
