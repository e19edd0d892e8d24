"""One run: a directory of its own below the export, all scenarios in it, and a report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nfsd.torture.calls import Task
from nfsd.torture.channel import LostError
from nfsd.torture.driver import Driver
from nfsd.torture.engine import PATIENCE, Engine
from nfsd.torture.events import TIMED, Controller, Events
from nfsd.torture.ground import Ground
from nfsd.torture.ledger import Column, Ledger
from nfsd.torture.model import Registry, World
from nfsd.torture.own_layers import SMALL
from nfsd.torture.own_server import OwnServer
from nfsd.torture.report import Line, Report
from nfsd.torture.scenarios import Needs, Scenario
from nfsd.torture.target import Target, mount
from nfsd.torture.wire import Packer, credentials
from nfsd.torture.work import Work
from overlay.base.refusal import Refusal

_START_PATIENCE: Final = 10.0
_END_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    target: Target
    scenarios: Sequence[Scenario]
    seconds: float
    seed: int
    lower: bytes | None = None
    controller: Controller | None = None
    own: OwnServer | None = None  # the controller, if the test has started the server
    restart_every: float = 20.0
    expect_replay: bool = False
    uid: int = 0
    gid: int = 0


class Run:
    """A run of a plan; `watch` is called now and then with the run."""

    def __init__(self, plan: Plan, watch: Callable[[Run], None] = lambda run: None) -> None:
        self._plan = plan
        self._watch = watch
        self._cred = credentials(plan.uid, plan.gid)
        address = (plan.target.host, plan.target.port)
        self._engine = Engine(address, Packer(self._cred), self._tick)
        self._drivers: list[Driver] = []
        self._server = Ledger("(the server)")
        self._skipped: list[str] = []
        self._directory = b"torture-" + os.urandom(4).hex().encode()
        self._begun = self._end = time.monotonic()
        self._going = False
        kinds = [each.event for each in plan.scenarios if each.event] or TIMED
        self._events: Events | None = None
        if plan.controller is not None:
            self._events = Events(plan.controller, kinds, plan.restart_every, self._happened)
        small = [each for each in plan.scenarios if each.needs is Needs.SMALL]
        usual = [each for each in plan.scenarios if each.needs is not Needs.SMALL]
        self._grounds = {False: self._ground(plan.target, usual)}
        if plan.own is not None and small:
            self._grounds[True] = self._ground(plan.own.export(SMALL), small)

    def _ground(self, target: Target, scenarios: Sequence[Scenario]) -> Ground:
        names = [each.name.encode() for each in scenarios]
        return Ground(target, mount(target, self._cred), self._directory, names)

    def run(self) -> None:
        """Run everything; raises Refusal if it cannot begin, EventError if the command fails."""
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
            for ground in self._grounds.values():
                self._do(ground.remove(left))
        except (LostError, OSError) as error:
            left.append(str(error))
        return not left

    @property
    def directory(self) -> str:
        """Return the directory that the run works in, below the export."""
        return os.fsdecode(self._directory)

    @property
    def event(self) -> str:
        """Return what the restart command does at the moment."""
        return "" if self._events is None else self._events.running

    def report(self) -> Report:
        """Return what is known so far."""
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
            options=self._options(),
            seconds=now - self._begun,
            lines=lines,
            calls=self._engine.calls,
            resent=self._engine.resent,
            delayed=self._engine.delayed,
            events={} if self._events is None else dict(self._events.counts),
            skipped=self._skipped,
        )

    def _options(self) -> str:
        own = self._plan.own
        seed = f"--seed {self._plan.seed}"
        return seed if own is None else f"{seed} --files {own.layers.files}"

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
        for ground in self._grounds.values():
            self._do(ground.make())
            if self._plan.lower is not None:
                self._do(ground.find(self._plan.lower))
        if self._plan.lower is not None and not any(g.lowers for g in self._grounds.values()):
            text = os.fsdecode(self._plan.lower)
            raise Refusal(f"--lower {text}: not there, or not prepared with --prepare")
        tasks: list[Task] = []
        for scenario in self._plan.scenarios:
            reason = self._why_not(scenario)
            if reason:
                self._skipped.append(f"{scenario.name} ({reason})")
                continue
            ground = self._grounds[scenario.needs is Needs.SMALL]
            work = self._work(scenario, ground.registry)
            self._drivers.append(Driver(scenario, work, self._engine, self))
            name = scenario.name.encode()
            tasks.append(ground.adopt(work, name, self._own_paths(scenario)))
        if not self._drivers:
            raise Refusal(f"nothing to run: {', '.join(self._skipped)}")
        self._engine.add(tasks, lambda: None)
        self._engine.run()
        for driver in self._drivers:
            # What came before is not counted: it is the ground that the run stands on.
            driver.work.ledger.operations = 0

    def _work(self, scenario: Scenario, registry: Registry) -> Work:
        return Work(
            World(scenario.name, self._plan.seed, registry, scenario.deepest),
            Ledger(scenario.name),
            expect_replay=self._plan.expect_replay,
            refusals=scenario.refusals,
        )

    def _why_not(self, scenario: Scenario) -> str:
        if scenario.needs is not Needs.ANY and self._plan.own is None:
            return f"needs --serve, {scenario.needs.value}"
        ground = self._grounds[scenario.needs is Needs.SMALL]
        if scenario.lower_only and scenario.name.encode() not in ground.lowers:
            return "needs --lower"
        if scenario.event and self._events is None:
            return "needs --restart-command"
        return ""

    def stopping(self) -> bool:
        """Return whether the time is over."""
        return time.monotonic() >= self._end

    def ask(self, kind: str, then: Callable[[], None]) -> None:
        """Let something happen to the server, then go on."""
        assert self._events is not None, "the scenario needs a controller"
        self._events.ask(kind, then)

    def _own_paths(self, scenario: Scenario) -> frozenset[bytes]:
        """Return what comes and goes with the layer of a scenario."""
        own = self._plan.own
        return frozenset() if own is None else own.layers.own_paths(scenario)
