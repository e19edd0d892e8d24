"""Random stacks of layers as the kernel writes them: served, they are what the kernel shows.

`OVERLAY_STACKS` says how many are tried by hand (`-m torture`), `OVERLAY_STACKS_SEED` from which
seed on; each wrong one is printed with its seed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.property import stack_trial

_COUNT = int(os.environ.get("OVERLAY_STACKS", "4"))
_SEED = int(os.environ.get("OVERLAY_STACKS_SEED", "0"))


def _try(disk: Path, seed: int) -> None:
    place = disk / f"stack{seed}"
    place.mkdir(0o755)
    try:
        stack_trial.run(place, seed)
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("seed", range(40))
def test_stack_is_what_the_kernel_shows(seed: int, ext4: Path) -> None:
    _try(ext4, seed)


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_many_stacks_are_what_the_kernel_shows(kind: str, request: pytest.FixtureRequest) -> None:
    disk: Path = request.getfixturevalue(kind)
    wrong = []
    for seed in range(_SEED, _SEED + _COUNT):
        try:
            _try(disk, seed)
        except stack_trial.WrongError as problem:
            wrong.append(seed)
            print(problem, flush=True)
        if (seed - _SEED) % 100 == 99:
            print(f"{seed - _SEED + 1} stacks, {len(wrong)} wrong", flush=True)
    assert not wrong, f"wrong seeds: {wrong}"
