"""Deep trees with full attributes, as random as they come.

`OVERLAY_DEEP` says how many are tried by hand (`-m torture`), `OVERLAY_DEEP_SEED` from which seed
on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.property.deep import Size, Trial, WrongError
from tests.property.disk import filesystem

_COUNT = int(os.environ.get("OVERLAY_DEEP", "1"))
_SEED = int(os.environ.get("OVERLAY_DEEP_SEED", "0"))
_SMALL = Size(levels=40, changes=60)
_LARGE = Size(levels=600, changes=300)


@pytest.fixture(scope="module")
def tmpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with filesystem("tmpfs", tmp_path_factory.mktemp("tmpfs")) as disk:
        yield disk


def _try(disk: Path, seed: int, size: Size) -> None:
    place = Path(tempfile.mkdtemp(prefix=f"deep{seed}-", dir=disk))
    place.chmod(0o755)
    trial = Trial(place, seed, size)
    try:
        trial.run()
    finally:
        trial.clear()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs"])
def test_deep_tree_is_as_the_model(kind: str, seed: int, request: pytest.FixtureRequest) -> None:
    disk: Path = request.getfixturevalue(kind)
    _try(disk, seed, _SMALL)


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs"])
def test_many_deep_trees_are_as_the_model(kind: str, request: pytest.FixtureRequest) -> None:
    disk: Path = request.getfixturevalue(kind)
    wrong = []
    for seed in range(_SEED, _SEED + _COUNT):
        try:
            _try(disk, seed, _LARGE if seed % 4 == 0 else _SMALL)
        except (WrongError, OSError) as problem:
            wrong.append(seed)
            print(seed, str(problem)[:300], flush=True)
    assert not wrong, f"wrong seeds: {wrong}"
