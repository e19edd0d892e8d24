"""A server of ours as a process of its own, on a port of its own.

Rule: it is started as a user starts it, by its command line, and told apart from the outside only:
by what it prints, its port and its exit status. A traceback in what it printed is a failure.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.conformance.machine import UnavailableError

PROJECT = Path(__file__).resolve().parents[2]
START_LIMIT = 30.0
STOP_LIMIT = 15.0
ALARMS = ("Traceback (most recent call last)", "was never retrieved", "was never awaited")


@dataclass(frozen=True)
class Stack:
    """The directories of an overlay, lowers topmost first; without upper it is read-only."""

    lowers: tuple[Path, ...]
    upper: Path | None = None
    work: Path | None = None

    @classmethod
    def over(cls, lowers: Sequence[Path], at: Path) -> "Stack":
        """A fresh upper and workdir under `at`."""
        upper, work = at / "upper", at / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        return cls(tuple(lowers), upper, work)

    def options(self) -> list[str]:
        """The server's options that name these directories."""
        words = ["--lowerdir", ":".join(str(path) for path in self.lowers)]
        if self.upper is not None and self.work is not None:
            words += ["--upperdir", str(self.upper), "--workdir", str(self.work)]
        return words


class Server:
    """The server process; `port` stays the same over restarts. `project` is a checkout of it."""

    def __init__(
        self,
        stack: Stack,
        log: Path,
        *,
        export: str = "/",
        arguments: Sequence[str] = (),
        project: Path = PROJECT,
    ) -> None:
        self.stack = stack
        self.export = export
        self.port = 0
        self.log = log
        self.banner = ""
        self._arguments = list(arguments)
        self._project = project
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it has printed what it serves."""
        if os.geteuid() != 0:
            raise UnavailableError("the server needs root")
        assert self._process is None, "the server runs already"
        begin = self.log.stat().st_size if self.log.exists() else 0
        words = [sys.executable, "-m", "nfsd", "serve", *self.stack.options()]
        words += ["--export", self.export, "--listen", f"127.0.0.1:{self.port}", *self._arguments]
        with self.log.open("ab") as output:
            # setpriv: the server must not outlive a test run that is itself killed.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *words],
                cwd=self._project,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        with self.log.open("rb") as printed:
            printed.seek(begin)
            self._await_banner(printed)

    def _await_banner(self, printed: IO[bytes]) -> None:
        assert self._process is not None
        text = ""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            text += printed.read().decode(errors="replace")
            found = re.search(r"\bport=(\d+),mountport=(\d+)\b.*\n", text)
            if found is not None:
                assert found[1] == found[2], f"NFS and MOUNT on two ports: {found[0]}"
                assert self.port in (0, int(found[1])), f"not the port asked for: {found[0]}"
                self.port, self.banner = int(found[1]), text
                return
            if self._process.poll() is not None:
                status, self._process = self._process.returncode, None
                raise AssertionError(f"the server ended with status {status}:\n{text}")
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"no mount command was printed in {START_LIMIT:.0f} s:\n{text}")

    @property
    def pid(self) -> int:
        """The pid of the process that was started."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Ends it as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=STOP_LIMIT)
            self._process = None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it as an operator would, and checks that it ended well."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(how)
        try:
            status = self._process.wait(timeout=STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{how.name} did not stop it:\n{self.output()}") from None
        self._process = None
        assert status == 0, f"exit status {status} after {how.name}:\n{self.output()}"
        self.check_log()

    def restart(self, *, crash: bool = False) -> None:
        """Ends it, by SIGKILL if `crash`, and starts it again on the same port."""
        if crash:
            self.kill()
        else:
            self.stop()
        self.start()

    def output(self) -> str:
        """All that it printed since the test began."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def check_log(self) -> None:
        """Fails if it printed a traceback."""
        text = self.output()
        assert not any(alarm in text for alarm in ALARMS), f"the server printed:\n{text[-6000:]}"
