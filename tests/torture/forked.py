"""The server in a process forked from this one, which has imported it already.

Rule: it is the program's own `main` with the words of a command line.  What a fork saves is the
time that the interpreter and the imports take, and it is started thousands of times.
"""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401 - a server would import it at every start
import gc
import mmap
import os
import re
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from nfsd.commands import cli
from overlay.base import generations
from tests.conformance.server import ALARMS, Stack

_PR_SET_PDEATHSIG: Final = 1
_SECONDS: Final = 180.0
_READY: Final = re.compile(rb"\bport=(\d+),mountport=\d+\b.*\n")

for command in ("serve", "check", "index"):
    cli.command_parser(command)  # is made once, before any fork, not at every start


class Forked:
    """A process that runs one function, the leader of a process group of its own."""

    def __init__(self, work: Callable[[], int], log: Path, *, held: bool = False) -> None:
        """With `held` the function is not begun before `release`."""
        log.touch()
        self._log = log
        self._begin = log.stat().st_size
        gate, self._gate = os.pipe()
        sys.stdout.flush()
        gc.freeze()  # what is here already is not the child's to collect
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            _become(work, log, gate)
        gc.unfreeze()
        os.close(gate)
        os.setpgid(self.pid, self.pid)
        self._is_there = True
        if not held:
            self.release()

    def release(self) -> None:
        """Let it begin."""
        os.write(self._gate, b"!")
        os.close(self._gate)

    def printed(self) -> bytes:
        """What it has printed."""
        with self._log.open("rb") as file:
            file.seek(self._begin)
            return file.read()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._is_there:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Its exit status once it has ended; raises TimeoutError."""
        deadline = time.monotonic() + _SECONDS
        pidfd = os.pidfd_open(self.pid)
        try:
            if not select.select([pidfd], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError(f"process {self.pid} does not end:\n{self.printed().decode()}")
        finally:
            os.close(pidfd)
        _, status = os.waitpid(self.pid, 0)
        self._is_there = False
        return os.waitstatus_to_exitcode(status)

    def is_reaped(self) -> None:
        """Somebody else has waited for its end."""
        self._is_there = False

    def check_log(self) -> None:
        """Fail if it printed a traceback."""
        text = self.printed().decode(errors="replace")
        assert not any(alarm in text for alarm in ALARMS), f"it printed:\n{text[-4000:]}"


class ForkedServer(Forked):
    """`overlay-nfsd serve` over a stack of layers."""

    def __init__(
        self, stack: Stack, log: Path, *, held: bool = False, words: Sequence[str] = ()
    ) -> None:
        # More workers make no other states on the disk.
        arguments = ["serve", *stack.options(), "--listen", "127.0.0.1:0", "--workers", "1", *words]
        self.port = 0
        super().__init__(partial(_serve, arguments), log, held=held)
        if not held:
            self.await_port()

    def processes(self) -> list[int]:
        """The parent and its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [self.pid, *map(int, children.split())]

    def is_listening(self) -> bool:
        """Whether it has printed where it listens."""
        return _READY.search(self.printed()) is not None

    def await_port(self) -> None:
        """Wait for that."""
        deadline = time.monotonic() + _SECONDS
        while (found := _READY.search(self.printed())) is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._is_there = False
                raise AssertionError(f"it ended ({status:#x}):\n{self.printed().decode()}")
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError("the server does not start")
            time.sleep(0.005)
        self.port = int(found[1])

    def stop(self) -> None:
        """End it as an operator would, and see that it ended well."""
        os.kill(self.pid, signal.SIGTERM)
        status = self.wait()
        assert status == 0, f"exit status {status}:\n{self.printed().decode()}"
        self.check_log()


def _serve(arguments: Sequence[str]) -> int:
    """Serve, with the counters as they are in a process that has just begun.

    They are shared with the servers that were forked before: a worker would store the very numbers
    in them that one of another server has stored.
    """
    counters = generations._WORDS.obj
    assert isinstance(counters, mmap.mmap)
    counters.madvise(mmap.MADV_REMOVE)
    return cli.main(arguments)


def _become(work: Callable[[], int], log: Path, gate: int) -> NoReturn:
    """What the forked process does; it never returns into its parent's code."""
    status = 70
    try:
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        os.read(gate, 1)
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
