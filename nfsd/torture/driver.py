"""Keeps one scenario going, wave after wave: some operations, many checks.

Operations and checks of a wave are on their way together, but never two on one
object.  What an operation touched is looked at from every side in the next
wave; all other handles, of the living and the dead, have their turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from nfsd.torture import checks
from nfsd.torture.calls import Task
from nfsd.torture.checks import Listing
from nfsd.torture.engine import Engine
from nfsd.torture.model import Object
from nfsd.torture.scenarios import Scenario
from nfsd.torture.work import Work

_LIVE: Final = 40  # objects that have their turn in a wave
_DEAD: Final = 16
_PAGES: Final = (512, 800, 1500, 4096)
_PLUS_PAGES: Final = (1500, 3000, 8192)  # handles and attributes take their place


class Driver:
    """One scenario at work in an engine until `stopping` says so."""

    def __init__(
        self, scenario: Scenario, work: Work, engine: Engine, stopping: Callable[[], bool]
    ) -> None:
        self.scenario = scenario
        self.work = work
        self.sweep_due = False
        self._engine = engine
        self._stopping = stopping
        self._operations = list(scenario.mix)
        self._weights = list(scenario.mix.values())
        # Of its own: how often all is checked depends on time, what is done must not.
        self._random = random.Random(scenario.name)
        self._touched: list[Object] = []
        self._live_at = 0
        self._dead_at = 0

    def start(self) -> None:
        """The first wave."""
        self._engine.add(self._wave(), self._next)

    def _next(self) -> None:
        world = self.work.world
        self._touched = sorted(
            (each for each in world.busy if isinstance(each, Object)), key=lambda o: o.number
        )
        world.next_wave()
        if self._stopping():
            self._engine.add(list(self._sweep()) or [self._root()], lambda: None)
        elif self.sweep_due:
            self.sweep_due = False
            self._engine.add(list(self._sweep()) or [self._root()], self._next)
        else:
            self._engine.add(self._wave(), self._next)

    def _root(self) -> Task:
        return checks.attributes(self.work, self.work.world.roots[0])

    def _wave(self) -> list[Task]:
        world = self.work.world
        tasks = [self._root()]
        for _ in range(self.scenario.operations):
            plan = world.random.choices(self._operations, self._weights)[0]
            task = plan(self.work)
            if task is not None:
                tasks.append(task)
        tasks += self._checks()
        tasks += self._listings()
        # Not in the order of planning: operations and checks shall meet.
        self._random.shuffle(tasks)
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

    @staticmethod
    def _turn(among: list[Object], count: int, begin: int) -> list[Object]:
        if len(among) <= count:
            return list(among)
        begin %= len(among)
        return (among[begin : begin + count] + among[:count])[:count]

    def _sweep(self) -> Iterator[Task]:
        """Everything, the living and the dead."""
        for found in list(self.work.world.live):
            yield from self._all_of(found)
        for found in self.work.world.dead:
            yield from self._of_dead(found)

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
        chance = self._random.random()
        if chance < 0.5:
            yield from self._by_name(found)
        elif chance < 0.8:
            yield from self._by_content(found)

    def _by_name(self, found: Object) -> Iterator[Task]:
        world = self.work.world
        for place in found.names[:3]:
            parent = place[0]
            if world.free(place) and parent not in world.closed and not parent.lost:
                yield checks.name(self.work, found, *place)

    def _by_content(self, found: Object) -> Iterator[Task]:
        if found.is_link or found.is_file:
            size = len(found.content)
            far = size > 10_000 and self._random.random() < 0.5
            yield checks.content(self.work, found, self._random.randrange(size) if far else 0)

    def _of_dead(self, found: Object) -> Iterator[Task]:
        if not self._ready(found):
            return
        yield checks.dead(self.work, found)
        if found.is_dir and self._random.random() < 0.3:
            yield checks.dead_use(self.work, found)

    def _listings(self) -> Iterator[Task]:
        world = self.work.world
        for _ in range(self.scenario.listings):
            found = self._random.choice(world.directories)
            if (
                found in world.closed
                or not found.handle
                or any(child.lost for child in found.children.values())
            ):
                continue
            changing = {key[1] for key in world.busy if isinstance(key, tuple) and key[0] is found}
            standing = {
                name: child for name, child in found.children.items() if name not in changing
            }
            plus = self._random.random() < 0.4
            page = self._random.choice(_PLUS_PAGES if plus else _PAGES)
            yield checks.listing(
                self.work, Listing(found, standing, frozenset(changing), page, plus)
            )
