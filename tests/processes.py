"""Processes that serve one overlay, forked from the test's own as a server forks its workers.

Rule: a process does what it is told by the test and nothing by itself; it ends with the test.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any, Concatenate, ParamSpec, TypeVar

from overlay.base.generations import bump_all
from overlay.filesystem import Overlay
from overlay.model import copy_up_counts
from tests.overlays import Dirs, Served

P = ParamSpec("P")
R = TypeVar("R")
_LIMIT = 120.0  # seconds that an answer may take


class Process:
    """One of several; calls a function of a module with its own `Served`."""

    _ends: list[Connection] = []  # noqa: RUF012 - of the pipes to all of them

    def __init__(self, overlay: Overlay, slot: int, number: int) -> None:
        self._pipe, its_end = Pipe()
        self._ends.append(self._pipe)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for end in self._ends:
                    end.close()
                self._obey(overlay, slot, number, its_end)
            finally:
                os._exit(1)
        its_end.close()

    @staticmethod
    def _obey(overlay: Overlay, slot: int, number: int, pipe: Connection) -> None:
        overlay.join(slot, number)
        copy_up_counts.join(slot)
        served = Served(overlay)
        with suppress(EOFError):
            while True:
                function, arguments = pipe.recv()
                try:
                    pipe.send((function(served, *arguments), None))
                except Exception as problem:
                    pipe.send((None, problem))

    def __call__(
        self,
        function: Callable[Concatenate[Served, P], R],
        *arguments: P.args,
        **_: P.kwargs,
    ) -> R:
        """What the function returns or raises there."""
        self.begin(function, *arguments)
        answer: R = self.end()
        return answer

    def begin(self, function: Callable[..., object], *arguments: object) -> None:
        """Have it begin; `end` waits until it is done."""
        self._pipe.send((function, arguments))

    def end(self) -> Any:  # noqa: ANN401 - by function
        if not self._pipe.poll(_LIMIT):
            raise AssertionError("no answer from the other process")
        answer, problem = self._pipe.recv()
        if problem is not None:
            raise problem
        return answer

    @property
    def is_done(self) -> bool:
        """Whether `end` would not wait."""
        return self._pipe.poll(0.2)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._pipe in self._ends:
            kill(self.pid)
            self._pipe.close()
            self._ends.remove(self._pipe)


def one_that_has(done: Callable[[], object]) -> int:
    """The pid of a process that has done this, and does no more until it is killed."""
    ours, its = Pipe()
    pid = os.fork()
    if pid == 0:
        try:
            done()
            its.send(None)
            signal.pause()
        finally:
            os._exit(0)
    assert ours.poll(_LIMIT), "the other process does not get that far"
    return pid


def kill(pid: int) -> None:
    """kill -9, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@contextmanager
def processes(dirs: Dirs, number: int = 2) -> Iterator[tuple[Overlay, list[Process]]]:
    """The overlay of some directories, served by so many processes for a while."""
    overlay = Overlay.open(dirs.config)
    overlay.share(number)
    bump_all()  # numbers of processes come again here: what they bumped before is no more
    started: list[Process] = []
    try:
        for slot in range(number):
            started.append(Process(overlay, slot, slot + 1))  # noqa: PERF401 - what runs is ended
        yield overlay, started
    finally:
        for process in started:
            process.kill()
        overlay.close()
