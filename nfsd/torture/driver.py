"""Keeps one scenario going, wave after wave: some operations, many checks.

Operations and checks of a wave are on their way together, but never two on one
object.  What an operation touched is looked at from every side in the next
wave; all other handles, of the living and the dead, have their turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from nfsd.torture import checks
from nfsd.torture.calls import Task
from nfsd.torture.checks import Listing
from nfsd.torture.engine import Engine
from nfsd.torture.model import Object
from nfsd.torture.scenarios import Scenario
from nfsd.torture.scripts import Mix
from nfsd.torture.work import Work

_LIVE: Final = 40  # objects that have their turn in a wave
_DEAD: Final = 16
_LOOSE: Final = 16
_PAGES: Final = (512, 800, 1500, 4096)
_PLUS_PAGES: Final = (1500, 3000, 8192)  # handles and attributes take their place


class Stops(Protocol):
    """What a driver asks of its run."""

    def stopping(self) -> bool:
        """Return whether to end."""

    def ask(self, kind: str, then: Callable[[], None]) -> None:
        """Let something happen to the server."""


class Driver:
    """One scenario at work in an engine, a stage for its script."""

    def __init__(self, scenario: Scenario, work: Work, engine: Engine, run: Stops) -> None:
        self.scenario = scenario
        self.work = work
        self.sweep_due = False
        self._engine = engine
        self._run = run
        # Of its own: how often all is checked depends on time, what is done must not.
        self.random = random.Random(scenario.name)
        self._steps = scenario.script(self)
        self._touched: list[Object] = []
        self._live_at = 0
        self._dead_at = 0
        self._loose_at = 0

    def start(self) -> None:
        """The first step."""
        self._step()

    def _next(self) -> None:
        world = self.work.world
        self._touched = sorted(
            (each for each in world.busy if isinstance(each, Object)), key=lambda o: o.number
        )
        world.next_wave()
        self._step()

    def _step(self) -> None:
        step = next(self._steps, None)
        if step is None:
            self._engine.add(self.sweep(), lambda: None)
        elif isinstance(step, str):
            self._run.ask(step, self._engine.held(self._step))
        else:
            self._engine.add(step, self._next)

    def stopping(self) -> bool:
        """Return whether the run is to end."""
        return self._run.stopping()

    def usual(self) -> list[Task]:
        """Return a wave of the scenario's mix, or a sweep if one is due."""
        if not self.sweep_due:
            return self.wave(self.scenario.mix)
        self.sweep_due = False
        return self.sweep()

    def wave(self, mix: Mix) -> list[Task]:
        """Some operations, and many checks."""
        world = self.work.world
        tasks = [checks.attributes(self.work, self.work.world.roots[0])]
        operations, weights = list(mix), list(mix.values())
        for _ in range(self.scenario.operations if mix else 0):
            plan = world.random.choices(operations, weights)[0]
            task = plan(self.work)
            if task is not None:
                tasks.append(task)
        tasks += self._checks()
        tasks += self._listings()
        # Not in the order of planning: operations and checks shall meet.
        self.random.shuffle(tasks)
        return tasks

    def _checks(self) -> Iterator[Task]:
        world = self.work.world
        for found in self._touched:
            yield from self._all_of(found)
        for found in self._turn(list(world.live), _LIVE, self._live_at):
            yield from self._some_of(found)
        self._live_at += _LIVE
        for found in self._turn(world.dead, _DEAD, self._dead_at):
            yield from self._of_dead(found)
        self._dead_at += _DEAD
        for found in self._turn(list(world.loose), _LOOSE, self._loose_at):
            yield from self._of_loose(found)
        self._loose_at += _LOOSE

    @staticmethod
    def _turn(among: list[Object], count: int, begin: int) -> list[Object]:
        if len(among) <= count:
            return list(among)
        begin %= len(among)
        return (among[begin : begin + count] + among[:count])[:count]

    def sweep(self) -> list[Task]:
        """Checks of everything, the living and the dead."""
        return list(self._everything()) or [checks.attributes(self.work, self.work.world.roots[0])]

    def _everything(self) -> Iterator[Task]:
        for found in list(self.work.world.live):
            yield from self._all_of(found)
        for found in self.work.world.dead:
            yield from self._of_dead(found)
        for found in self.work.world.loose:
            yield from self._of_loose(found)

    def _ready(self, found: Object) -> bool:
        return bool(found.handle) and not found.lost and self.work.world.free(found)

    def _all_of(self, found: Object) -> Iterator[Task]:
        if not self._ready(found):
            return
        if not found.alive:
            yield checks.dead(self.work, found)
            return
        yield checks.attributes(self.work, found)
        yield from self._by_name(found)
        yield from self._by_content(found)

    def _some_of(self, found: Object) -> Iterator[Task]:
        if not self._ready(found):
            return
        yield checks.attributes(self.work, found)
        chance = self.random.random()
        if chance < 0.5:
            yield from self._by_name(found)
        elif chance < 0.8:
            yield from self._by_content(found)

    def _by_name(self, found: Object) -> Iterator[Task]:
        world = self.work.world
        for entry in found.names[:3]:
            parent = entry[0]
            if world.free(entry) and parent not in world.closed and not parent.lost:
                yield checks.name(self.work, found, *entry)

    def _by_content(self, found: Object) -> Iterator[Task]:
        if found.is_link or found.is_file:
            size = len(found.content)
            far = size > 10_000 and self.random.random() < 0.5
            yield checks.content(self.work, found, self.random.randrange(size) if far else 0)

    def _of_loose(self, found: Object) -> Iterator[Task]:
        if found.handle and not found.lost:
            yield checks.loose(self.work, found)

    def _of_dead(self, found: Object) -> Iterator[Task]:
        if not self._ready(found):
            return
        yield checks.dead(self.work, found)
        if found.is_dir and self.random.random() < 0.3:
            yield checks.dead_use(self.work, found)

    def _listings(self) -> Iterator[Task]:
        world = self.work.world
        for _ in range(self.scenario.listings):
            found = self.random.choice(world.directories)
            if (
                found in world.closed
                or not found.handle
                or any(child.lost for child in found.children.values())
            ):
                continue
            changing = {key[1] for key in world.busy if isinstance(key, tuple) and key[0] is found}
            changing |= {name for name, child in found.children.items() if child in world.loose}
            standing = {
                name: child for name, child in found.children.items() if name not in changing
            }
            plus = self.random.random() < 0.4
            page = self.random.choice(_PLUS_PAGES if plus else _PAGES)
            yield checks.listing(
                self.work, Listing(found, standing, frozenset(changing), page, plus)
            )
