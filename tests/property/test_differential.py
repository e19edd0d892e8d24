"""Random sequences on random layers: the server and the kernel's overlay agree."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.property import sequence
from tests.property.layers import Layer, stacks
from tests.property.moved import MovedAtRestart
from tests.property.operations import Step, steps
from tests.property.over_rpc import OverRpc
from tests.property.stack import Stack

_counter = itertools.count()
_LONG = settings(
    max_examples=int(os.environ.get("OVERLAY_SEQUENCES", "60")),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
_SHORT = settings(
    _LONG, max_examples=60, phases=[Phase.explicit, Phase.generate, Phase.shrink], database=None
)


def _run(
    disk: Path,
    stack: tuple[Layer, ...],
    todo: list[Step],
    walk_first: bool,
    *,
    serve: sequence.Serve = sequence.in_process,
    copies: bool = False,
    is_plain: bool = False,
) -> None:
    place = disk / f"sequence{next(_counter)}"
    place.mkdir(0o755)
    try:
        for number, layer in enumerate(stack):
            note(f"lower {number}: {layer}")
        sequence.run(stack, todo, walk_first, place, serve, copies=copies, is_plain=is_plain)
    finally:
        shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(_SHORT)
@given(stack=stacks, todo=st.lists(steps, min_size=8, max_size=24), walk_first=st.booleans())
def test_short_sequences(
    ext4: Path, stack: tuple[Layer, ...], todo: list[Step], walk_first: bool
) -> None:
    _run(ext4, stack, todo, walk_first)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(_SHORT, max_examples=30)
@given(stack=stacks, todo=st.lists(steps, min_size=8, max_size=24), walk_first=st.booleans())
def test_sequences_with_moves(
    ext4: Path, stack: tuple[Layer, ...], todo: list[Step], walk_first: bool
) -> None:
    """Handles and numbers outlive copies of the layers; the inode numbers are not the kernel's."""
    _run(ext4, stack, todo, walk_first, serve=MovedAtRestart, copies=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(_SHORT, max_examples=int(os.environ.get("OVERLAY_SEQUENCES", "20")))
@given(stack=stacks, todo=st.lists(steps, min_size=8, max_size=24), walk_first=st.booleans())
def test_sequences_for_plain_readers(
    ext4: Path, stack: tuple[Layer, ...], todo: list[Step], walk_first: bool
) -> None:
    """What is written without metacopies and redirects is read without following any."""
    _run(ext4, stack, todo, walk_first, is_plain=True)


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@settings(_LONG)
@given(stack=stacks, todo=st.lists(steps, min_size=20, max_size=60), walk_first=st.booleans())
def test_long_sequences_with_moves(
    kind: str,
    request: pytest.FixtureRequest,
    stack: tuple[Layer, ...],
    todo: list[Step],
    walk_first: bool,
) -> None:
    place: Path = request.getfixturevalue(kind)
    _run(place, stack, todo, walk_first, serve=MovedAtRestart, copies=True)


def _over_rpc(stack: Stack) -> OverRpc:
    return OverRpc(stack, stack.work.parent / "log")


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(_SHORT, max_examples=10)
@given(stack=stacks, todo=st.lists(steps, min_size=8, max_size=24), walk_first=st.booleans())
def test_sequences_over_rpc(
    ext4: Path, stack: tuple[Layer, ...], todo: list[Step], walk_first: bool
) -> None:
    _run(ext4, stack, todo, walk_first, serve=_over_rpc)


@pytest.mark.torture
@pytest.mark.timeout(7200)
@settings(_LONG, max_examples=_LONG.max_examples // 10)
@given(stack=stacks, todo=st.lists(steps, min_size=20, max_size=60), walk_first=st.booleans())
def test_long_sequences_over_rpc(
    ext4: Path, stack: tuple[Layer, ...], todo: list[Step], walk_first: bool
) -> None:
    _run(ext4, stack, todo, walk_first, serve=_over_rpc)


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@settings(_LONG)
@given(stack=stacks, todo=st.lists(steps, min_size=20, max_size=60), walk_first=st.booleans())
def test_long_sequences(
    kind: str,
    request: pytest.FixtureRequest,
    stack: tuple[Layer, ...],
    todo: list[Step],
    walk_first: bool,
) -> None:
    _run(request.getfixturevalue(kind), stack, todo, walk_first)
