"""A system call that fails leaves the tree before or after, and what the client was told is true.

Rule: by default a call of each of some operations fails, picked by its name; FAILING_TESTS=full in
the environment takes every call of every operation with every error, on ext4 and XFS.  The table
is printed by `python -m tests.torture.failing`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from overlay.model.tree import Tree
from overlay.startup import recover
from tests.torture.cases import CASES, Case
from tests.torture.disks import JOURNALED, Disk, disk
from tests.torture.failing import Failing, points, seed_of

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]

FULL = os.environ.get("FAILING_TESTS") == "full"
FILESYSTEMS = JOURNALED if FULL else ["ext4"]
# One of each kind: of what is made, moved, removed, and of what it is made to.
SOME = (
    "write a lower file",
    "write a lower hard link",
    "truncate a lower file",
    "truncate a metacopy",
    "chmod a lower directory",
    "chmod a lower FIFO",
    "mkdir over a whiteout",
    "create over a whiteout",
    "link a lower file over a whiteout",
    "remove a lower file",
    "remove a copied-up file",
    "rmdir a directory with whiteouts",
    "rename lower over lower",
    "rename a lower directory over an upper one",
)
_CALLS = 1


@pytest.fixture(scope="session", params=FILESYSTEMS)
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A disk of its own."""
    with disk(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.mark.parametrize(
    "case", [case for case in CASES if FULL or case.name in SOME], ids=lambda case: case.name
)
def test_what_a_client_is_told_is_so(case: Case, on: Disk) -> None:
    failing = Failing(case, on)
    seed = seed_of(case.name)
    picked = list(points(failing.model(), "all" if FULL else "one", seed, changing=not FULL))
    if not FULL:
        picked = random.Random(seed).sample(picked, min(_CALLS, len(picked)))
    assert failing.run(picked).failures == []


def test_what_is_not_taken_back_is_noticed(on: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is forked from this process, and so has what is planted here."""

    def nothing(_: Tree) -> None:
        pass

    monkeypatch.setattr(recover, "_take_back", nothing)
    failing = Failing(next(case for case in CASES if case.name == "remove a lower file"), on)
    for point in points(failing.model(), "all", 2, changing=True):
        if any("left in staging" in failure for failure in failing.run([point]).failures):
            return
    pytest.fail("nothing was left")
