"""The course of a scenario: waves of calls, and what is to happen to the server between them.

A script yields the tasks of a wave, or the name of an event; it goes on when that is done.
One that has acts ends them when the run is to stop, so that even a short run sees each act.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from nfsd.torture import change, create, discover, names, space
from nfsd.torture.calls import Task
from nfsd.torture.work import Work

if TYPE_CHECKING:
    from nfsd.torture.model import Object

Operation: TypeAlias = Callable[[Work], Task | None]
Mix: TypeAlias = dict[Operation, int]
Step: TypeAlias = "list[Task] | str"

_WAVES: Final = 25  # of an act
_FILLING: Final = 400  # waves in which the disk must get full
_FULL: Final = 12  # waves with refusals, after which it is
_EMPTYING: Final = 2_000  # waves in which all must go
_WRITING: Final = 6
_FILL: Final[Mix] = {
    create.large: 8,
    create.file: 3,
    create.directory: 3,
    create.other_kind: 2,
    create.hard_link: 2,
    change.write: 3,
    change.truncate: 1,
    change.mode: 2,
    change.any_fresh: 6,
    names.rename_across: 2,
    names.rename_directory: 2,
    names.rename_over: 2,
}
_LAST: Final[Mix] = {create.large: 1}  # takes the last blocks
_WRITE: Final[Mix] = {create.large: 4, create.file: 3, create.directory: 2, change.write: 1}


class Stage(Protocol):
    """What a script works with."""

    work: Work
    random: random.Random  # of what may depend on time

    def wave(self, mix: Mix) -> list[Task]:
        """Some operations, and many checks."""

    def sweep(self) -> list[Task]:
        """Checks of everything."""

    def usual(self) -> list[Task]:
        """Return a wave of the scenario's mix, or a sweep if one is due."""

    def stopping(self) -> bool:
        """Return whether the run is to end."""


def endless(stage: Stage) -> Iterator[Step]:
    """Yield usual waves until the run is to end."""
    while not stage.stopping():
        yield stage.usual()


def full_disk(stage: Stage) -> Iterator[Step]:
    """Fill the disk; what was acknowledged stays; empty it; write again."""
    work = stage.work
    free = space.Free()
    yield [space.measured(work, free)]
    while True:
        yield from _filled(stage)
        yield stage.sweep()
        yield stage.random.choice(("restart", "kill"))
        yield stage.wave(_LAST)
        yield stage.sweep()
        yield from _emptied(stage)
        yield [space.regained(work, free)]
        work.may_refuse = False
        for _ in range(_WRITING):
            yield stage.wave(_WRITE)
        work.may_refuse = True
        if stage.stopping():
            return


def _filled(stage: Stage) -> Iterator[Step]:
    full = 0
    for _ in range(_FILLING):
        before = stage.work.ledger.refused
        yield stage.wave(_FILL)
        full += stage.work.ledger.refused > before
        if full >= _FULL:
            return
    space.never_full(stage.work)


def _emptied(stage: Stage) -> Iterator[Step]:
    """Remove everything, but as long as the run goes on some of the lower layer's directories."""
    world = stage.work.world
    lower: list[Object] = [each for root in world.roots[1:] for each in root.children.values()]
    kept = [] if stage.stopping() else [each for each in lower if stage.random.random() < 0.5]
    for _ in range(_EMPTYING):
        going = names.emptying(stage.work, kept)
        if not going:
            return
        yield [*going, *stage.wave({})]


def layer_out(stage: Stage) -> Iterator[Step]:
    """A layer is left out, and comes back: every handle works again."""
    world = stage.work.world
    while True:
        yield from (stage.usual() for _ in range(_WAVES))
        yield stage.sweep()
        world.loosen()
        yield "out"
        yield from (stage.usual() for _ in range(_WAVES))
        yield stage.sweep()
        yield "in"
        world.tighten()
        yield stage.sweep()
        if stage.stopping():
            return


def image_replaced(stage: Stage) -> Iterator[Step]:
    """A layer is deleted, and another one has its place and its inodes."""
    work = stage.work
    while True:
        yield from (stage.usual() for _ in range(_WAVES))
        yield stage.sweep()
        work.world.loosen(for_good=True)
        yield "replace"
        yield [discover.renewed(work)]
        work.world.forget()
        yield stage.sweep()
        if stage.stopping():
            return
