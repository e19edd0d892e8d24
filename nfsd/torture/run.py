"""One run: a directory of its own below the export, all scenarios in it, and a report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nfsd.options import Refusal
from nfsd.torture import calls, discover
from nfsd.torture.calls import NO_VERIFIER, Call, Reply, Task
from nfsd.torture.channel import LostError
from nfsd.torture.driver import Driver
from nfsd.torture.engine import PATIENCE, Engine
from nfsd.torture.events import EVENTS, Events
from nfsd.torture.ledger import Column, Ledger
from nfsd.torture.model import Registry, World
from nfsd.torture.report import Line, Report
from nfsd.torture.scenarios import Scenario
from nfsd.torture.target import Target, mount
from nfsd.torture.wire import Packer, credentials
from nfsd.torture.work import Work
from nfsd.xdr.nfs3 import NF3DIR, NFS3ERR_NOENT

_START_PATIENCE: Final = 10.0
_END_PATIENCE: Final = 30.0
_ENTRIES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    target: Target
    scenarios: Sequence[Scenario]
    seconds: float
    seed: int
    lower: bytes | None = None
    restart_command: str | None = None
    restart_every: float = 20.0
    expect_replay: bool = False
    uid: int = 0
    gid: int = 0


class Run:
    """A run of a plan; `watch` is called now and then with the run."""

    def __init__(self, plan: Plan, watch: Callable[[Run], None] = lambda run: None) -> None:
        self._plan = plan
        self._watch = watch
        cred = credentials(plan.uid, plan.gid)
        self._root = mount(plan.target, cred)
        address = (plan.target.host, plan.target.port)
        self._engine = Engine(address, Packer(cred), self._tick)
        self._drivers: list[Driver] = []
        self._server = Ledger("(the server)")
        self._skipped: list[str] = []
        self._place = b""
        self._begun = self._end = time.monotonic()
        self._going = False
        kinds = [each.event for each in plan.scenarios if each.event] or EVENTS
        self._events: Events | None = None
        if plan.restart_command is not None:
            self._events = Events(
                plan.restart_command, list(kinds), plan.restart_every, self._happened
            )

    def run(self) -> None:
        """All of it; raises Refusal if it cannot begin, EventError if the command fails."""
        self._engine.patience = _START_PATIENCE
        try:
            self._set_up()
        except LostError as error:
            raise Refusal(f"{self._plan.target}: {error}: is the server running?") from error
        self._engine.patience = PATIENCE
        self._begun = time.monotonic()
        self._end = self._begun + self._plan.seconds
        self._going = True
        try:
            for driver in self._drivers:
                driver.start()
            self._engine.run()
            self._last_event()
        except LostError as error:
            self._server.fail(
                Column.OTHER, str(self._plan.target), [], "an answer", str(error), "no answer"
            )
        finally:
            self._going = False
            self._end = time.monotonic()
            if self._events is not None:
                self._events.stop()

    def clean_up(self) -> bool:
        """Remove what the run has made; whether nothing is left."""
        self._engine.patience = _END_PATIENCE
        left: list[str] = []
        try:
            self._engine.abandon()
            self._do(_remove_tree(self._root, self._place, left))
        except (LostError, OSError) as error:
            left.append(str(error))
        return not left

    @property
    def place(self) -> str:
        """The directory that the run works in, below the export."""
        return os.fsdecode(self._place)

    @property
    def event(self) -> str:
        """What the restart command does at the moment."""
        return "" if self._events is None else self._events.running

    def report(self) -> Report:
        """What is known so far."""
        lines = [
            Line(each.work.ledger, len(each.work.world.live), len(each.work.world.dead))
            for each in self._drivers
        ]
        if self._server.wrong:
            lines.append(Line(self._server, 0, 0))
        now = time.monotonic() if self._going else self._end
        return Report(
            target=str(self._plan.target),
            seed=self._plan.seed,
            seconds=now - self._begun,
            lines=lines,
            calls=self._engine.calls,
            resent=self._engine.resent,
            delayed=self._engine.delayed,
            events={} if self._events is None else dict(self._events.counts),
            skipped=self._skipped,
        )

    def _tick(self) -> None:
        if self._going and self._events is not None:
            self._events.poll(start=time.monotonic() < self._end)
        self._watch(self)

    def _last_event(self) -> None:
        """The command that the end has met is still to be waited for."""
        while self._events is not None and self._events.running:
            self._events.poll(start=False)
            time.sleep(0.05)

    def _happened(self, kind: str) -> None:
        for driver in self._drivers:
            driver.sweep_due = driver.sweep_due or driver.scenario.event == kind

    def _do(self, task: Task) -> None:
        self._engine.add([task], lambda: None)
        self._engine.run()

    def _set_up(self) -> None:
        """The directories; raises Refusal."""
        self._place = b"torture-" + os.urandom(4).hex().encode()
        made: dict[bytes, bytes] = {}
        below = [each.name.encode() for each in self._plan.scenarios]
        self._do(_make_directories(self._root, self._place, below, made))
        lowers: dict[bytes, bytes] = {}
        if self._plan.lower is not None:
            self._do(_find_directories(self._root, self._plan.lower, below, lowers))
            if not lowers:
                text = os.fsdecode(self._plan.lower)
                raise Refusal(f"--lower {text}: not there, or not prepared with --prepare")
        registry = Registry()
        tasks: list[Task] = []
        for scenario in self._plan.scenarios:
            name = scenario.name.encode()
            reason = self._why_not(scenario, name in lowers)
            if reason:
                self._skipped.append(f"{scenario.name} ({reason})")
                continue
            world = World(scenario.name, self._plan.seed, registry, scenario.deepest)
            work = Work(
                world,
                Ledger(scenario.name),
                expect_replay=self._plan.expect_replay,
                refusals=scenario.refusals,
            )
            driver = Driver(scenario, work, self._engine, self._stopping)
            self._drivers.append(driver)
            tasks.append(_adopt(work, made[name], lowers.get(name)))
        if not self._drivers:
            raise Refusal(f"nothing to run: {', '.join(self._skipped)}")
        self._engine.add(tasks, lambda: None)
        self._engine.run()
        for driver in self._drivers:
            # What came before is not counted: it is the ground that the run stands on.
            driver.work.ledger.operations = 0

    def _why_not(self, scenario: Scenario, lower: bool) -> str:
        if scenario.lower_only and not lower:
            return "needs --lower"
        if scenario.event and self._events is None:
            return "needs --restart-command"
        return ""

    def _stopping(self) -> bool:
        return time.monotonic() >= self._end


def _need(reply: Reply, what: str) -> None:
    if not reply.good:
        raise Refusal(f"{what}: {reply}")


def _make_directories(
    root: bytes, place: bytes, below: list[bytes], made: dict[bytes, bytes]
) -> Task:
    _need((yield calls.mkdir(root, place)), f"MKDIR of {os.fsdecode(place)} in the export")
    reply = yield calls.lookup(root, place)
    _need(reply, f"LOOKUP of {os.fsdecode(place)}")
    top = reply.ok.object
    for name in below:
        _need((yield calls.mkdir(top, name)), f"MKDIR of {os.fsdecode(name)}")
        reply = yield calls.lookup(top, name)
        _need(reply, f"LOOKUP of {os.fsdecode(name)}")
        made[name] = reply.ok.object


def _find_directories(
    root: bytes, lower: bytes, below: list[bytes], found: dict[bytes, bytes]
) -> Task:
    here = root
    for part in lower.split(b"/"):
        if part:
            reply = yield calls.lookup(here, part)
            if not reply.good:
                return
            here = reply.ok.object
    for name in below:
        reply = yield calls.lookup(here, name)
        if reply.good:
            found[name] = reply.ok.object


def _adopt(work: Work, own: bytes, lower: bytes | None) -> Task:
    """The roots of a scenario, and what is below the lower one."""
    for handle in (own, lower):
        if handle is None:
            continue
        reply = yield calls.getattr_(handle)
        _need(reply, "GETATTR of a scenario's directory")
        root = work.world.new(NF3DIR)
        root.mode = reply.ok.mode & 0o7777
        work.world.roots.append(root)
        work.learn(root, handle, reply.ok)
        if handle is lower:
            yield from discover.tree(work, root)


def _remove_tree(parent: bytes, name: bytes, left: list[str]) -> Task:
    """Remove a directory and what is in it, however deep, a page at a time from its beginning."""
    found = yield calls.lookup(parent, name)
    if not found.good:
        left.append(f"{name!r}: {found}")
        return
    above = [(parent, name, found.ok.object)]
    for _ in range(_ENTRIES):
        here = above[-1][2]
        reply = yield calls.readdir(here, 0, NO_VERIFIER, 8192)
        entries = reply.ok.reply.entries if reply.good else []
        names = [bytes(each.name) for each in entries if each.name not in (b".", b"..")]
        for each in names:
            found = yield calls.lookup(here, each)
            about = (yield calls.getattr_(found.ok.object)) if found.good else found
            if about.good and about.ok.type == NF3DIR:
                above.append((here, each, found.ok.object))
                break
            yield from _try(calls.remove(here, each), left)
        else:
            if not names:
                yield from _try(calls.rmdir(*above.pop()[:2]), left)
        if left or not above:
            return


def _try(call: Call, left: list[str]) -> Task:
    reply = yield call
    if not reply.good and not (reply.resent and reply.status == NFS3ERR_NOENT):
        left.append(f"{call.procedure}: {reply}")
