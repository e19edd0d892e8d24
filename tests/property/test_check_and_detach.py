"""After random sequences: nothing to repair, and what `detach` leaves is the same to the kernel."""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from overlay.check.problem import Kind
from overlay.check.run import check
from overlay.maintenance.detach import detach
from tests.property import differences, layers, sequence
from tests.property.kernel import KernelSide
from tests.property.layers import Layer, stacks
from tests.property.objects import InProcess
from tests.property.operations import Step, steps
from tests.property.served import ServedSide
from tests.property.stack import Stack
from tests.property.trees import raw

_counter = itertools.count()
_SHORT = settings(
    max_examples=int(os.environ.get("OVERLAY_CHECKS", "40")),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    database=None,
)
# What a removal before the first start is to a check.
_NEWS = {Kind.HIDDEN}


@pytest.mark.slow
@pytest.mark.timeout(600)
@_SHORT
@given(stack=stacks, todo=st.lists(steps, min_size=8, max_size=24))
def test_short_sequences(ext4: Path, stack: tuple[Layer, ...], todo: list[Step]) -> None:
    place = ext4 / f"check{next(_counter)}"
    place.mkdir(0o755)
    try:
        for number, layer in enumerate(stack):
            note(f"lower {number}: {layer}")
        _run(place, stack, todo)
    finally:
        shutil.rmtree(place)


def _run(place: Path, stack: tuple[Layer, ...], todo: list[Step]) -> None:
    mountpoint = place / "mnt"
    mountpoint.mkdir()
    served, mounted = (Stack.make(place / name, len(stack)) for name in ("served", "mounted"))
    for one in (served, mounted):
        for layer, root in zip(stack, one.lowers, strict=True):
            layers.build(layer, root)
    log: list[str] = []
    linked = any(item.kind == "link" for layer in stack for item in layer)
    try:
        ours, kernels = sequence.both(served, mounted, mountpoint, todo, False, linked, log)
    finally:
        note("\n".join(log))
    before = [raw(lower) for lower in served.lowers]
    # A lower inode that has hidden names, too, outlives its last visible one.
    known = {Kind.NAMELESS} if linked else set()
    found = [one for one in check(served.config, repair=False) if not one.harmless]
    assert {one.kind for one in found} <= known
    list(check(served.config, repair=True))
    assert [one for one in check(served.config, repair=False) if one.repairable] == []
    with closing(InProcess(served.config)) as objects:
        assert differences.of_trees(ServedSide(objects).tree(), kernels) == []
    with closing(InProcess(mounted.config)) as objects:
        ServedSide(objects).tree()
    assert {one.kind for one in check(mounted.config, repair=True)} <= _NEWS
    detach(served.config, copy_data=False)
    with closing(KernelSide(served, mountpoint, metacopy=True)) as kernel:
        assert differences.of_trees(ours, kernel.tree()) == []
    assert before == [raw(lower) for lower in served.lowers]
