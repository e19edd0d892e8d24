"""What the parts stand on: a disk, the load generator, servers that are started and stopped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_IFREG
from typing import Final

from tests.bench.ground import Disk
from tests.bench.growth.aims import Aim
from tests.bench.load import Generator, Outcome, Plan, Shape, write_plan
from tests.bench.measure import Placement
from tests.bench.processes import cpu_seconds, family, pin
from tests.conformance.server import Server, Stack

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Effort:
    """How much there is of everything: names, copied-up files, bytes of a large file, seconds."""

    names: int
    copied: int
    large_bytes: int
    seconds: float


class GrowthSite:
    """A disk with trees, and servers of them."""

    def __init__(self, disk: Disk, effort: Effort) -> None:
        self.disk = disk
        self.effort = effort
        # In memory: not even to begin has it to wait for the disk.
        self._beside = Path(tempfile.mkdtemp(dir="/run"))
        self.generator = Generator(self._beside)
        self.placement = Placement(frozenset(os.sched_getaffinity(0)))
        self.aims: list[Aim] = []  # that parts have
        self._stacks = 0

    def aim(self, what: str, most: float, found: float, unit: str) -> None:
        """Something is to be no more than so much."""
        self.aims.append(Aim(what, most, found, unit))

    def directory(self, name: str) -> Path:
        """A new directory on the disk."""
        path = self.disk.at / name
        path.mkdir(parents=True)
        return path

    def stack(self, lowers: Sequence[Path]) -> Stack:
        """Layers under a new upper."""
        self._stacks += 1
        return Stack.over(lowers, self.disk.at / f"stack{self._stacks}")

    @contextmanager
    def serving(self, stack: Stack, *arguments: str) -> Iterator[Server]:
        """A server, as a user starts it, and stopped at the end."""
        server = Server(stack, self.disk.at / "server.log", arguments=arguments)
        server.start()
        try:
            yield server
            server.stop()
        finally:
            server.kill()

    def run(
        self,
        server: Server,
        plan: Plan,
        shape: Shape,
        seconds: float,
        *,
        placed: Shape | None = None,
    ) -> tuple[Outcome, float]:
        """Make a plan's calls; what was found, and CPU seconds of the server for each of them.

        The two ends run where those of `placed` would.
        """
        path = self._beside / "plan"
        write_plan(plan, shape, path)
        processes = family(server.pid)
        pin(processes, self.placement.server(placed or shape))
        begun = cpu_seconds(processes)
        cpus = self.placement.generator(placed or shape)
        outcome = self.generator.run(server.port, path, seconds, cpus)
        return outcome, (cpu_seconds(processes) - begun) / outcome.made


def make_files(directory: Path, names: Iterator[str] | Sequence[str]) -> None:
    """Empty files, the quickest way there is."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            os.mknod(name, 0o644 | S_IFREG, dir_fd=fd)
    finally:
        os.close(fd)
