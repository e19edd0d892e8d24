"""Kill the server at every step of every operation, and look at what is left.

    python -m tests.torture.crash [--filesystem ext4|xfs] [--power] [--every-call] [WORD...]

Each trial (tests.torture.trials) is let through once.  Then it is done again and again on fresh
layers, and the process is killed before its 1st, 2nd, 3rd, ... system call that changes something
on disk or sends something, until it is done, and once when it is done.  Between two such calls the
disk is the same, so these are all the states that a kill can leave.

With `--power` the machine loses its power there: the journal is brought to the disk as far as it
has got, then the disk is copied, and what is examined is the copy.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.torture.cases import Case
from tests.torture.disks import KINDS, Disk, disk
from tests.torture.offline import CASES_TO_START_AFTER, start_after, trials
from tests.torture.scene import Scene
from tests.torture.tracer import Tracer
from tests.torture.trials import Result, Trial

_SHOWN: Final = 40  # lines for one trial
_PER_KILL: Final = 6
# Of the calls that a run makes, the numbers of those to be killed before.
Pick = Callable[[Sequence[str]], Iterable[int]]


class Crash:
    """All runs of one trial on one disk."""

    _numbers = itertools.count()

    def __init__(
        self, trial: Trial, disk: Disk, *, power: bool = False, every: bool = False
    ) -> None:
        self._trial, self._disk, self._power, self._every = trial, disk, power, every

    def run(self) -> Result:
        """Let it through, then kill at one point after the other until it runs through."""
        self.model()
        for point in itertools.count(1):
            if not self._kill(point).was_cut:
                break
        return self._trial.result

    def model(self) -> None:
        """Let it through, for what is done later to be compared with."""
        with self._scene() as scene:
            self._trial.through(scene)

    def some(self, pick: Pick) -> Result:
        """Kill when it is done, and at the points that are picked."""
        for point in pick(self._kill(None).calls):
            self._kill(point)
        return self._trial.result

    @contextmanager
    def _scene(self) -> Iterator[Scene]:
        scene = Scene(self._disk.path / f"run{next(self._numbers)}")
        try:
            self._trial.prepare(scene)
            yield scene
        finally:
            scene.close()

    def _cut(self, scene: Scene, point: int | None) -> Tracer:
        """Let the trial go on to the point, or to its end."""
        made: list[Tracer] = []

        def tracer(group: int) -> Tracer:
            made.append(Tracer(group, point, every=self._every, at_stop=self._stopped))
            return made[0]

        if self._power:
            self._disk.sync()
        self._trial.cut(scene, tracer)
        return made[0]

    def _stopped(self) -> None:
        if self._power:
            self._disk.commit()
            self._disk.copy()

    @contextmanager
    def _remains(self, scene: Scene) -> Iterator[None]:
        """While entered, the layers are as the crash left them."""
        if not self._power:
            yield
            return
        with self._disk.copied():
            scene.lost_power = True
            try:
                yield
            finally:
                scene.end()

    def _kill(self, point: int | None) -> Tracer:
        """Kill before this call, or when it is done, and examine what is left."""
        trial, result = self._trial, self._trial.result
        with self._scene() as scene:
            tracer = self._cut(scene, point)
            result.kills += 1
            try:
                with self._remains(scene):
                    wrong = list(trial.examine(scene, ended=not tracer.was_cut))
                    if not scene.is_untouched():
                        wrong.append("a lower layer was changed")
            except Exception as problem:  # told as a failure, and the next point is tried
                wrong = [f"{type(problem).__name__}: {problem}"]
        where = "killed when it was done"
        if tracer.was_cut:
            where = f"killed before call {point}, {tracer.calls[-1]}"
        result.failures += [f"{where}: {each}" for each in wrong[:_PER_KILL]]
        return tracer


def starts_after(case: Case, disk: Disk) -> Result:
    """Cut a call short at each point, and the start that follows at each of its points."""
    total = Result(f"a start after: {case.name}")
    for point in itertools.count(1):
        trial = start_after(case, point)
        total.add(Crash(trial, disk).run())
        if not trial.was_cut:
            return total
    raise AssertionError


def table(results: Sequence[Result]) -> Table:
    """One line for each operation."""
    shown = Table("operation")
    for heading in ("kills", "before", "after", "failures"):
        shown.add_column(heading, justify="right")
    shown.add_column("notes")
    rows = [(one.kills, one.before, one.after, len(one.failures)) for one in results]
    for one, row in zip(results, rows, strict=True):
        notes = ", ".join(f"{number} {kind}" for kind, number in sorted(one.notes.items()))
        shown.add_row(one.name, *map(str, row), notes)
    sums = [str(sum(column)) for column in zip(*rows, strict=True)]
    shown.add_row("all", *sums, "", style="bold")
    return shown


def _selected(options: argparse.Namespace, on: Disk) -> Iterator[tuple[str, Callable[[], Result]]]:
    """The names and the runs of the trials that are asked for."""
    runs: dict[str, Callable[[], Result]] = {}
    for trial in trials():
        crash = Crash(trial, on, power=options.power, every=options.every_call)
        runs[trial.result.name] = crash.run
    for case in CASES_TO_START_AFTER:
        runs[f"a start after: {case.name}"] = partial(starts_after, case, on)
    for name, run in runs.items():
        if not options.words or any(word in name for word in options.words):
            yield name, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials whose names have one of the words; returns 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.crash")
    parser.add_argument("--filesystem", default="ext4", choices=sorted(KINDS))
    parser.add_argument("--power", action="store_true", help="cut the power, not only the server")
    parser.add_argument("--every-call", action="store_true", help="also those that change nothing")
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a name")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory() as place, disk(options.filesystem, Path(place)) as on:
        for name, run in _selected(options, on):
            begin = time.monotonic()
            result = run()
            results.append(result)
            counts = f"{result.kills} kills, {len(result.failures)} failures"
            print(f"{name}: {counts}, {time.monotonic() - begin:.1f} s", flush=True)
            for line in result.failures[:_SHOWN]:
                print(f"    {line}", flush=True)
    Console().print(table(results))
    return int(any(one.failures for one in results))


if __name__ == "__main__":
    sys.exit(main())
