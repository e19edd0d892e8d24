"""What is cut short by a kill, and what must be there after it: calls, starts, commands.

Of each trial one run is let through, and is the model.  Then it is cut short in other runs, and
what is left is examined:

a call      `check` finds nothing but what a start mends; after a start it finds nothing, and
            `staging/` is empty; the tree that clients see is the one before or the one after, all
            of it; every handle from before is the same object, or STALE if the call removed that;
            the call sent again succeeds, and then the tree is the one after
a start     the next one ends in the same tree, and a check finds nothing
a command   done again it ends in the same layers

Lower layers are never touched.
"""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from nfsd.commands import cli
from nfsd.xdr.generated.nfs3 import NFS3_OK
from overlay.check.problem import Kind
from overlay.check.run import KERNEL_WORK
from tests.torture import seen
from tests.torture.cases import Case
from tests.torture.forked import Forked
from tests.torture.scene import Request, Scene
from tests.torture.seen import Seen, State
from tests.torture.tracer import Tracer

# What a start does away with.
MENDED: Final = frozenset((Kind.LEFTOVER, Kind.REMOVAL_UNFINISHED))
# Nothing is wrong, and it comes about without a crash too: a directory above one that was copied
# up is renamed; a file is copied up by a handle for which no name is known.
NOTES: Final = frozenset((Kind.DIRECTORY_PATH_OLD, Kind.NOT_LINKED_UP))
_CLOCK: Final = 20_000_000  # nanoseconds that a filesystem's clock may be behind

AtStop = Callable[[], None]


@dataclass
class Result:
    """What came of one trial."""

    name: str
    kills: int = 0
    before: int = 0  # times that the tree was the one before
    after: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Count what came of another trial too."""
        self.kills += other.kills
        self.before += other.before
        self.after += other.after
        self.notes.update(other.notes)
        self.failures += other.failures


class Trial(ABC):
    """One thing that is cut short, again and again."""

    def __init__(self, name: str) -> None:
        self.result = Result(name)

    @abstractmethod
    def prepare(self, scene: Scene) -> None:
        """Bring the scene to where it begins."""

    @abstractmethod
    def through(self, scene: Scene) -> None:
        """Do it, and remember what came of it."""

    @abstractmethod
    def cut(self, scene: Scene, tracer: Callable[[int], Tracer]) -> None:
        """Do it under a tracer of the process that does it, which kills that."""

    @abstractmethod
    def examine(self, scene: Scene, *, ended: bool) -> Iterator[str]:
        """What is wrong with what is left; `ended`: it was killed after it was done."""

    def checked(self, scene: Scene, when: str, allowed: frozenset[Kind]) -> Iterator[str]:
        """What `check` says and should not say."""
        for kind, number in scene.problems().items():
            if kind not in allowed:
                yield f"check {when}: {number} {kind}"
            elif when == "at the end":
                self.result.notes[kind] += number

    def started(
        self, scene: Scene, before: frozenset[Kind], after: frozenset[Kind]
    ) -> Iterator[str]:
        """What is wrong before and after a start."""
        yield from self.checked(scene, "before a start", before)
        scene.serve()
        scene.stop()
        yield from self.checked(scene, "after a start", after)
        if left := scene.leftovers():
            yield f"left in staging: {left}"


class CallTrial(Trial):
    """A call of a client."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.name)
        self.case = case
        self._before = self._after = State({}, {})
        self._times: set[int] = set()
        self._since = 0
        self._request: Request

    def prepare(self, scene: Scene) -> None:
        case = self.case
        scene.words = case.words
        if case.plant is not None:
            case.plant(scene)
        scene.serve()
        with scene.wire() as wire:
            case.prepare(wire)
        if case.tamper is not None:
            scene.stop()
            case.tamper(scene)
            scene.serve()
        if not case.is_first_use:
            scene.before = scene.look()
        self._request = Request(scene, case.ask, case.uid)

    def through(self, scene: Scene) -> None:
        self._before = scene.state(scene.before)
        status = self._request.make(scene)
        assert status == NFS3_OK, f"{self.case.name}: status {status}"
        found = scene.look()
        self._after = scene.state(found)
        self._times = {one.mtime for one in found.objects.values() if one is not None}
        scene.stop()
        left = list(self.checked(scene, "without any crash", self._allowed()))
        assert not left, f"{self.case.name}: {left}"

    def _allowed(self) -> frozenset[Kind]:
        # What was done before the first start is no news to any client, and is left alone.
        return KERNEL_WORK if self.case.plant else frozenset()

    def cut(self, scene: Scene, tracer: Callable[[int], Tracer]) -> None:
        self._since = time.time_ns() - _CLOCK
        with self._request.connect(scene.server) as client:
            traced = tracer(scene.server.pid)
            self._request.send(client)
            traced.run(lambda: bool(select.select([client.socket], [], [], 0)[0]))
        scene.killed()

    def examine(self, scene: Scene, *, ended: bool) -> Iterator[str]:
        allowed = NOTES | self._allowed()
        yield from self.started(scene, MENDED | allowed, allowed)
        scene.serve()
        found = scene.look()
        yield from self._looked_at(scene, found, ended=ended)
        status = self._request.make(scene)
        expected = self._after
        if status != NFS3_OK:
            if not scene.lost_power:  # then nobody knows that it was made before
                yield f"sent again: status {status}"
            expected = scene.state(found)
        for line in seen.differences(scene.state(scene.look()), expected):
            yield f"sent again: {line}"
        scene.stop()
        yield from self.checked(scene, "at the end", allowed)

    def _looked_at(self, scene: Scene, found: Seen, *, ended: bool) -> Iterator[str]:
        now = scene.state(found)
        ended = ended and not (scene.lost_power and self.case.is_unstable)
        if now == self._after:
            self.result.after += 1
        elif not ended and now == self._before:
            self.result.before += 1
        elif not ended and self.case.each_by_itself and is_mixed(now, self._before, self._after):
            self.result.notes["attributes partly set"] += 1
        else:
            for line in seen.differences(now, self._before):
                yield f"unlike before: {line}"
            for line in seen.differences(now, self._after):
                yield f"unlike after: {line}"
        yield from seen.wrong_numbers(found, scene.before)
        yield from seen.wrong_times(found, scene.before, self._times, self._since)


def is_mixed(now: State, before: State, after: State) -> bool:
    """Whether every attribute is as before or as after."""
    if now.names != before.names:
        return False
    for called, one in now.objects.items():
        old, new = before.objects[called], after.objects[called]
        if one is None or old is None or new is None:
            return False
        if any(value not in pair for value, *pair in zip(one, old, new, strict=True)):
            return False
    return True


class StartTrial(Trial):
    """A start of the server."""

    def __init__(
        self,
        name: str,
        prepare: Callable[[Scene], bool | None],
        allowed: frozenset[Kind] = frozenset(),
    ) -> None:
        """`prepare` may say whether what it does was cut short."""
        super().__init__(name)
        self._prepare = prepare
        self._was_cut = False
        self._allowed = allowed | MENDED | NOTES
        self._after: State

    def prepare(self, scene: Scene) -> None:
        self._was_cut = bool(self._prepare(scene))

    def through(self, scene: Scene) -> None:
        scene.serve()
        self._after = scene.state(scene.look())
        scene.stop()
        assert set(scene.problems()) <= NOTES

    @property
    def was_cut(self) -> bool:
        """Whether what goes before the start was cut short, rather than done."""
        return self._was_cut

    def cut(self, scene: Scene, tracer: Callable[[int], Tracer]) -> None:
        server = scene.serve(held=True)
        traced = tracer(server.pid)
        server.release()
        traced.run(server.is_listening)
        scene.killed()

    def examine(self, scene: Scene, *, ended: bool) -> Iterator[str]:
        yield from self.started(scene, self._allowed, NOTES)
        scene.serve()
        found = scene.look()
        now = scene.state(found)
        self.result.after += now == self._after
        yield from seen.differences(now, self._after)
        yield from seen.wrong_numbers(found, scene.before)
        scene.stop()
        yield from self.checked(scene, "at the end", NOTES)


class CommandTrial(Trial):
    """A command that works on layers that nobody serves."""

    def __init__(
        self,
        name: str,
        words: tuple[str, ...],
        prepare: Callable[[Scene], None],
        outcome: Callable[[Scene], object],
    ) -> None:
        super().__init__(name)
        self._words, self._prepare, self._outcome = words, prepare, outcome
        self._expected: object

    def prepare(self, scene: Scene) -> None:
        self._prepare(scene)

    def through(self, scene: Scene) -> None:
        self._run(scene).wait()
        self._expected = self._outcome(scene)

    def cut(self, scene: Scene, tracer: Callable[[int], Tracer]) -> None:
        process = self._run(scene, held=True)
        traced = tracer(process.pid)
        process.release()
        traced.run(None)
        process.is_reaped()

    def _run(self, scene: Scene, *, held: bool = False) -> Forked:
        words = [*self._words, *scene.stack.options()]
        return Forked(lambda: cli.main(words), scene.place / "log", held=held)

    def examine(self, scene: Scene, *, ended: bool) -> Iterator[str]:
        again = self._run(scene)
        again.wait()
        again.check_log()
        found = self._outcome(scene)
        if found == self._expected:
            self.result.after += 1
        else:
            yield f"done again: {found}, expected {self._expected}"
