"""The run: every workload in every shape, on all servers in turn, round after round.

Rule: within one workload and shape the servers alternate, and each round begins with another one;
a server that fails a workload is told with its reason, and the run goes on.  Where caches are to be
warm, a round that is not counted comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.ground import Ground
from tests.bench.large import change_large
from tests.bench.load import Generator, LoadError, Responder, Shape, write_plan
from tests.bench.measure import COLD_SHAPE, SHAPES, Key, Placement, Process, Sample, sample
from tests.bench.peers import Peer
from tests.bench.processes import family, resident_bytes
from tests.bench.site import Site
from tests.bench.stream import UNPACED, chosen, stream
from tests.bench.workloads import Workload
from tests.client import RpcError
from tests.wire import NfsError

RESPONDER: Final = "responder"
_COLD_SECONDS: Final = 4  # times the seconds of a warm run, at most
_FAILURES: Final = (LoadError, NfsError, RpcError, EOFError, OSError)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a run takes: seconds a cell, rounds, and how often all that is done."""

    seconds: float
    rounds: int
    starts: int = 1


@dataclass(slots=True)
class Results:
    """What a run found.

    `streams` are bytes a second of plain TCP, `unpaced` the same without pacing, `memory` the bytes
    held at the start and after each workload, `large` the seconds of each change of a large file.
    """

    samples: dict[Key, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[Key, str] = field(default_factory=dict)
    streams: dict[Shape, list[float]] = field(default_factory=lambda: defaultdict(list))
    unpaced: dict[Shape, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    large: dict[str, dict[str, float]] = field(default_factory=dict)


class Contest:
    """Servers that run, and what was measured of them so far."""

    def __init__(
        self, peers: Sequence[Peer], ground: Ground, placement: Placement, effort: Effort
    ) -> None:
        self.results = Results()
        self._peers = {each.name: each for each in peers}
        self._ground = ground
        self._placement = placement
        self._effort = effort
        self._generator = Generator(ground.at)
        self._sites = {each.name: Site(each.wire()) for each in peers}
        self._plans: dict[Key, Path] = {}
        self._weigh()

    def runs(self, workload: Workload) -> int:
        """How many runs a workload takes."""
        entrants = len(self._peers) + (workload.ceiling is not None)
        return len(_shapes(workload)) * (self._effort.rounds + _warm_ups(workload)) * entrants

    def run(self, workload: Workload, done: Callable[[], None]) -> None:
        """Measure one workload; `done` is called after each of its runs."""
        for shape in _shapes(workload):
            with ExitStack() as stack:
                entrants: list[tuple[str, Process]] = [*self._peers.items()]
                if workload.ceiling is not None:
                    responder = Responder(self._generator, workload.ceiling)
                    stack.callback(responder.stop)
                    entrants.append((RESPONDER, responder))
                for number in range(-_warm_ups(workload), self._effort.rounds):
                    if workload.ceiling and number >= 0:
                        self._stream(shape)
                    first = number % len(entrants)
                    for name, server in entrants[first:] + entrants[:first]:
                        key = Key(workload.name, shape, name, workload.cold)
                        found = self._sample(key, workload, server)
                        if found is not None and number >= 0:
                            self.results.samples[key].append(found)
                        done()
            for key in [*self._plans]:
                self._plans.pop(key).unlink()
        self._weigh()

    def start_anew(self, time: int) -> None:
        """Start all servers again, each time another one first: what they have cached is gone.

        How memory fell to a process makes it slower or quicker for as long as it lives.
        """
        names = [*self._peers]
        first = time % len(names)
        for name in names[first:] + names[:first]:
            self._restart(name)

    def change_large(self) -> None:
        """Measure the changes of a large file, on each server once."""
        for name, peer in self._peers.items():
            self._ground.sync()
            self.results.large[name] = change_large(peer.wire())

    def _sample(self, key: Key, workload: Workload, server: Process) -> Sample | None:
        """One round; None if it failed, or one before did."""
        if key in self.results.failures:
            return None
        seconds = self._effort.seconds * (_COLD_SECONDS if key.cold else 1)
        try:
            plan = self._plan(key, workload)
            if key.cold:
                self._restart(key.server, chill=True)
            self._ground.sync()  # no run writes back what another one wrote
            return sample(self._generator, server, plan, key.shape, self._placement, seconds)
        except _FAILURES as error:
            self.results.failures[key] = str(error) or type(error).__name__
            return None

    def _plan(self, key: Key, workload: Workload) -> Path:
        if key not in self._plans or workload.fresh:
            # The responder looks at no handle, so any server's plan will do.
            site = self._sites.get(key.server) or next(iter(self._sites.values()))
            path = self._ground.at / f"plan of {key.server}"
            write_plan(workload.plan(site, key.shape), key.shape, path)
            self._plans[key] = path
        return self._plans[key]

    def _restart(self, name: str, *, chill: bool = False) -> None:
        self._peers[name].stop()
        if chill:
            self._ground.chill()
        self._peers[name].start()
        self._sites[name].wire = self._peers[name].wire()

    def _stream(self, shape: Shape) -> None:
        sender, receiver = self._placement.server(shape), self._placement.generator(shape)
        for found, control in (
            (self.results.streams, chosen()),
            (self.results.unpaced, UNPACED),
        ):
            found[shape].append(stream(self._effort.seconds, sender, receiver, control))

    def _weigh(self) -> None:
        for name, peer in self._peers.items():
            self.results.memory[name].append(resident_bytes(family(peer.pid)))


def _shapes(workload: Workload) -> Sequence[Shape]:
    return (COLD_SHAPE,) if workload.cold else SHAPES


def _warm_ups(workload: Workload) -> int:
    """Rounds before those that count: where each round is to find what the last one left."""
    return 0 if workload.cold or workload.fresh else 1
