"""Kill the server at every step of every operation, and look at what is left.

    python -m tests.torture.crash [--filesystem ext4 xfs] [--power] [--every-call] [--part WORD...]

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
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.torture.cases import Case
from tests.torture.disks import JOURNALED, Disk, disk
from tests.torture.offline import CASES_TO_START_AFTER, start_after, trials
from tests.torture.scene import Scene
from tests.torture.tracer import Tracer
from tests.torture.trials import Result, Trial

_SHOWN: Final = 40  # lines for one trial
_PER_KILL: Final = 6
# Of the calls that a run makes, the numbers of those to be killed before.
Pick = Callable[[Sequence[str]], Iterable[int]]
Run = Callable[[], Result]


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


def everything(on: Disk, *, power: bool, every: bool) -> Iterator[tuple[str, Run]]:
    """The names of all trials, and what runs them on a disk."""
    for trial in trials():
        yield trial.result.name, Crash(trial, on, power=power, every=every).run
    if not power:
        for case in CASES_TO_START_AFTER:
            yield f"a start after: {case.name}", partial(starts_after, case, on)


def markdown(columns: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """One line for each operation: kills by column, and failures; the last one sums up."""
    rows: dict[str, dict[str, Result]] = {}
    for column, results in columns.items():
        for one in results:
            rows.setdefault(one.name, {})[column] = one
    yield f"| operation | {' | '.join(columns)} | failures |"
    yield "|---|" + "---:|" * (len(columns) + 1)
    for name, row in rows.items():
        kills = [str(row[column].kills) if column in row else "" for column in columns]
        failures = sum(len(one.failures) for one in row.values())
        yield f"| {name} | {' | '.join(kills)} | {failures} |"
    sums = [f"{sum(one.kills for one in results):,}" for results in columns.values()]
    failures = sum(len(one.failures) for results in columns.values() for one in results)
    yield f"| **all** | {' | '.join(sums)} | **{failures}** |"


def _told(run: Run) -> Result:
    begin = time.monotonic()
    result = run()
    notes = "".join(f", {number} {kind}" for kind, number in sorted(result.notes.items()))
    print(
        f"{result.name}: {result.kills} kills, before {result.before}, after {result.after}, "
        f"{len(result.failures)} failures{notes} ({time.monotonic() - begin:.1f} s)"
    )
    for line in result.failures[:_SHOWN]:
        print(f"    {line}")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials whose names have one of the words; returns 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.crash")
    parser.add_argument("--filesystem", nargs="+", default=["ext4"], choices=JOURNALED)
    parser.add_argument("--power", action="store_true", help="cut the power too")
    parser.add_argument("--every-call", action="store_true", help="also those that change nothing")
    parser.add_argument("--part", nargs="+", default=[""], help="of the names of operations")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and clean up
    columns: dict[str, list[Result]] = {}
    for kind in options.filesystem:
        for power in (False, True) if options.power else (False,):
            title = f"power cuts, {kind}" if power else f"kills, {kind}"
            print(f"\n{title}\n", flush=True)
            with tempfile.TemporaryDirectory() as place, disk(kind, Path(place)) as on:
                columns[title] = [
                    _told(run)
                    for name, run in everything(on, power=power, every=options.every_call)
                    if any(part in name for part in options.part)
                ]
    print(*("", *markdown(columns)), sep="\n")
    return int(any(one.failures for results in columns.values() for one in results))


if __name__ == "__main__":
    sys.exit(main())
