"""Have each system call of each operation fail once, and look at what is true then.

    python -m tests.torture.failing [--filesystem ext4 xfs] [--errors all|two|one] [--part WORD...]

Each operation (tests.torture.cases) is let through once.  Then it is done again and again on fresh
layers, with two workers, and its 1st, 2nd, 3rd, ... call that can fail (tests.torture.injector)
does.  After each:

* what the client was told is so, for it and for a client of the other worker: the tree is the one
  after if the answer was good, else the one before (docs/crash.md has the exceptions);
* nothing is left in `staging/`, no file without a name is held open, no worker is busy;
* the same call sent again succeeds, and then the tree is the one after;
* it is so after a restart, and `check` finds nothing.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import re
import select
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from nfsd.xdr.generated.nfs3 import NFS3_OK
from tests.torture import seen
from tests.torture.cases import CASES, Case
from tests.torture.disks import JOURNALED, Disk, disk
from tests.torture.injector import Failable, Injector
from tests.torture.scene import Request, Scene
from tests.torture.seen import State
from tests.torture.trials import NOTES, Result, is_mixed
from tests.wire import Wire

_TWO: Final = ("--workers", "2", "--locks", "off")
_SHOWN: Final = 40  # lines for one operation
_PER_RUN: Final = 6
_BUSY_SECONDS: Final = 0.05
_BUSY_SHARE: Final = 0.6
_UNNAMED: Final = re.compile(r"/#\d+ \(deleted\)$")


class Failing:
    """All runs of one operation on one disk."""

    _numbers = itertools.count()

    def __init__(self, case: Case, disk_: Disk) -> None:
        self.case, self._disk = case, disk_
        self.result = Result(case.name)
        self._before = self._after = State({}, {})

    def model(self) -> list[Failable]:
        """Let it through; returns the calls that can fail."""
        with self._scene() as scene:
            self._before = scene.state(scene.before)
            status, injector = self._ask(scene, None, 0)
            assert status == NFS3_OK, f"{self.case.name}: status {status}"
            self._after = scene.state(scene.look())
            scene.stop()
        if self.case.is_first_use:
            self._before = self._after  # nothing that a client sees
        return injector.met

    def run(self, points: Iterable[tuple[int, int]]) -> Result:
        """Have call number so-and-so fail with this error, one after the other."""
        for number, error in points:
            self.fail(number, error)
        return self.result

    def fail(self, number: int, error: int) -> None:
        """One run, in which one call fails."""
        try:
            with self._scene() as scene:
                status, injector = self._ask(scene, number, error)
                if injector.failed is None:
                    return  # it makes fewer calls than the model did
                name, error = injector.failed.name, injector.error
                self.result.kills += 1
                wrong = list(self._examine(scene, status, restart_first=bool(number & 1)))
        except Exception as problem:  # told as a failure, and the next point is tried
            name, status = "a call", -1
            wrong = [f"{type(problem).__name__}: {problem}"]
        where = f"call {number}, {name}, {errno.errorcode[error]}, told {status}"
        self.result.failures += [f"{where}: {each}" for each in wrong[:_PER_RUN]]

    @contextmanager
    def _scene(self) -> Iterator[Scene]:
        scene = Scene(self._disk.path / f"failing{next(self._numbers)}")
        try:
            self._prepare(scene)
            yield scene
        except Exception:
            scene.server.check_log()  # what it has printed says more
            raise
        finally:
            scene.close()

    def _prepare(self, scene: Scene) -> None:
        case = self.case
        scene.words = case.words
        if case.plant is not None:
            case.plant(scene)
        scene.serve(words=_TWO)
        with scene.wire() as wire:
            case.prepare(wire)
        if case.tamper is not None:
            scene.stop()
            case.tamper(scene)
            scene.serve(words=_TWO)
        if not case.is_first_use:
            scene.before = scene.look()

    def _ask(self, scene: Scene, fail_at: int | None, error: int) -> tuple[int, Injector]:
        request = Request(scene, self.case.ask, self.case.uid)
        with request.connect(scene.server) as client:
            injector = Injector(scene.server.pid, fail_at, error)
            request.send(client)
            injector.go_on(lambda: bool(select.select([client.socket], [], [], 0)[0]))
            return request.status(client), injector

    def _examine(self, scene: Scene, status: int, *, restart_first: bool) -> Iterator[str]:
        if left := scene.leftovers():
            yield f"left in staging: {left}"
        yield from _busy(scene)
        yield from _held(scene)
        yield from self._look(scene, status, "at once", clients=2)
        if restart_first:
            yield from self._restarted(scene)
            yield from self._look(scene, status, "after a restart")
        if status != NFS3_OK:
            again = Request(scene, self.case.ask, self.case.uid, xid=1000).make(scene)
            if again != NFS3_OK:
                yield f"sent again: status {again}"
        if not restart_first:
            yield from self._restarted(scene)
        if status != NFS3_OK or not restart_first:
            yield from self._look(scene, NFS3_OK, "at the end")
        scene.server.check_log()
        scene.end()
        yield from self._checked(scene)

    def _restarted(self, scene: Scene) -> Iterator[str]:
        scene.server.check_log()
        scene.end()
        yield from self._checked(scene)
        scene.serve(words=_TWO)

    def _checked(self, scene: Scene) -> Iterator[str]:
        for kind, number in scene.problems().items():
            if kind in NOTES:
                self.result.notes[kind] += number
            else:
                yield f"check: {number} {kind}"

    def _look(self, scene: Scene, status: int, when: str, clients: int = 1) -> Iterator[str]:
        """What clients, each of another worker, see is what the client was told."""
        expected = self._after if status == NFS3_OK else self._before
        with ExitStack() as stack:
            wires = [stack.enter_context(scene.wire()) for _ in range(clients)]
            for number, wire in enumerate(wires, 1):
                for line in self._looked_at(scene, wire, status, expected):
                    yield f"{when}, client {number}: {line}"

    def _looked_at(self, scene: Scene, wire: Wire, status: int, expected: State) -> Iterator[str]:
        try:
            found = seen.look(wire, scene.before.objects)
        except Exception as problem:  # another view is worth having
            yield f"{type(problem).__name__}: {problem}"
            return
        yield from seen.wrong_numbers(found, scene.before)
        now = scene.state(found)
        if now == expected:
            return
        if status != NFS3_OK and self._is_allowed(now):
            self.result.notes["partly done"] += 1
        elif now in (self._after, self._before):
            yield f"the tree is the one {'after' if now == self._after else 'before'}"
        else:
            yield from seen.differences(now, expected)

    def _is_allowed(self, now: State) -> bool:
        """Whether it is what a call that failed may leave: see docs/crash.md."""
        case = self.case
        return (case.each_by_itself or case.is_stable) and is_mixed(now, self._before, self._after)


def _busy(scene: Scene) -> Iterator[str]:
    """Whether a worker does something though nobody asks."""
    used = _processor_seconds(scene)
    time.sleep(_BUSY_SECONDS)
    if _processor_seconds(scene) - used > _BUSY_SECONDS * _BUSY_SHARE:
        yield "a worker is busy"


def _processor_seconds(scene: Scene) -> float:
    total = 0
    for process in scene.server.processes():
        words = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
        total += int(words[11]) + int(words[12])
    return total / os.sysconf("SC_CLK_TCK")


def _held(scene: Scene) -> Iterator[str]:
    """Whether a worker holds a file open that never had a name."""
    for process in scene.server.processes():
        for fd in Path(f"/proc/{process}/fd").iterdir():
            try:
                path = os.readlink(fd)
            except OSError:
                continue
            if str(scene.place) in path and _UNNAMED.search(path):
                yield f"held open: {path}"


def points(
    calls: Sequence[Failable], errors: str, seed: int, *, changing: bool = False
) -> Iterator[tuple[int, int]]:
    """Of each call all errors that it can have, or two, or one, another each time.

    Or of those alone that change something (`changing`).
    """
    for number, call in enumerate(calls, 1):
        if changing and errno.ENOSPC not in call.errors:
            continue
        if errors == "all":
            yield from ((number, error) for error in call.errors)
            continue
        yield number, call.errors[(seed + number) % len(call.errors)]
        if errors == "two" and len(call.errors) > 2:
            yield number, call.errors[(seed + number + len(call.errors) // 2) % len(call.errors)]


def seed_of(name: str) -> int:
    """A number that an operation has always."""
    return zlib.crc32(name.encode())


def markdown(columns: dict[str, list[Result]]) -> Iterator[str]:
    """One line for each operation."""
    rows: dict[str, dict[str, Result]] = {}
    for column, results in columns.items():
        for one in results:
            rows.setdefault(one.name, {})[column] = one
    yield f"| operation | {' | '.join(columns)} | failures |"
    yield "|---|" + "---:|" * (len(columns) + 1)
    for name, row in rows.items():
        runs = [str(row[column].kills) if column in row else "" for column in columns]
        yield f"| {name} | {' | '.join(runs)} | {sum(len(one.failures) for one in row.values())} |"
    sums = [f"{sum(one.kills for one in results):,}" for results in columns.values()]
    failures = sum(len(one.failures) for results in columns.values() for one in results)
    yield f"| **all** | {' | '.join(sums)} | **{failures}** |"


def _told(case: Case, on: Disk, errors: str, *, changing: bool) -> Result:
    begin = time.monotonic()
    failing = Failing(case, on)
    result = failing.run(points(failing.model(), errors, seed_of(case.name), changing=changing))
    notes = "".join(f", {number} {kind}" for kind, number in sorted(result.notes.items()))
    print(
        f"{result.name}: {result.kills} calls failed, {len(result.failures)} failures{notes} "
        f"({time.monotonic() - begin:.1f} s)",
        flush=True,
    )
    for line in result.failures[:_SHOWN]:
        print(f"    {line}", flush=True)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operations whose names have one of the words; returns 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.failing")
    parser.add_argument("--filesystem", nargs="+", default=["ext4"], choices=JOURNALED)
    parser.add_argument("--errors", default="two", choices=("all", "two", "one"))
    parser.add_argument("--changing", action="store_true", help="calls that change something alone")
    parser.add_argument("--part", nargs="+", default=[""], help="of the names of operations")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and clean up
    columns: dict[str, list[Result]] = {}
    for kind in options.filesystem:
        print(f"\nfailing calls, {kind}\n", flush=True)
        with tempfile.TemporaryDirectory() as place, disk(kind, Path(place)) as on:
            columns[kind] = [
                _told(case, on, options.errors, changing=options.changing)
                for case in CASES
                if any(part in case.name for part in options.part)
            ]
    print(*("", *markdown(columns)), sep="\n")
    return int(any(one.failures for results in columns.values() for one in results))


if __name__ == "__main__":
    sys.exit(main())
