"""A server of ours as processes of its own, on a port of its own.

Rule: it is started as a user starts it, by its command line, and told apart from the outside only:
by what it prints, its port and its exit status. A traceback in what it printed is a failure.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.conformance.machine import UnavailableError
from tests.conformance.ports import free_port

PROJECT = Path(__file__).resolve().parents[2]
START_LIMIT = 180.0
STOP_LIMIT = 120.0
COMMAND_LIMIT = 180.0
LOCK_OWNER = "overlay-locks\n"
ESTABLISHED = "01"  # in /proc/net/tcp
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
        stack: Stack | None,
        log: Path,
        *,
        export: str = "/",
        arguments: Sequence[str] = (),
        project: Path = PROJECT,
        environment: Mapping[str, str] | None = None,
        listen: bool = True,
        inside: Sequence[str] = (),
        address: str = "127.0.0.1",
    ) -> None:
        """Of these layers under this name; without layers, what the arguments say.

        Without `listen` its configuration says where it listens.
        `inside`: what comes before the command line (tests.conformance.network).
        """
        self._stack = stack
        self.export = export
        self.port = 0
        self.lock_port = 0  # without locks 0
        self.log = log
        self.banner = ""
        self._arguments = list(arguments)
        self._project = project
        self._environment = dict(environment or {})
        self._listen = listen
        self._inside = list(inside)
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it has printed what it serves."""
        if os.geteuid() != 0:
            raise UnavailableError("the server needs root")
        assert self._process is None, "the server runs already"
        begin = self.log.stat().st_size if self.log.exists() else 0
        if self._listen:
            self.port = self.port or free_port()
        words = [sys.executable, "-m", "nfsd", "serve"]
        if self._stack is not None:
            words += [*self._stack.options(), "--export", self.export]
        if self._listen:
            words += ["--listen", f"{self._address}:{self.port}"]
        words += self._arguments
        with self.log.open("ab") as output:
            # setpriv: the server must not outlive a test run that is itself killed.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._inside, *words],
                cwd=self._project,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
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
            if found is not None and text.endswith("\n"):  # all lines are there, each whole
                assert found[1] == found[2], f"NFS and MOUNT on two ports: {found[0]}"
                assert self.port in (0, int(found[1])), f"not the port asked for: {found[0]}"
                self.port, self.banner = int(found[1]), text
                locks = re.search(r"^locks: .* on port (\d+)$", text, re.MULTILINE)
                self.lock_port = int(locks[1]) if locks else 0
                return
            if self._process.poll() is not None:
                status, self._process = self._process.returncode, None
                raise AssertionError(f"the server ended with status {status}:\n{text}")
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"no mount command was printed in {START_LIMIT:.0f} s:\n{text}")

    @property
    def stack(self) -> Stack:
        """The layers."""
        assert self._stack is not None, "the server has a configuration file"
        return self._stack

    @stack.setter
    def stack(self, stack: Stack) -> None:
        self._stack = stack

    @property
    def pid(self) -> int:
        """The pid of the process that was started, the parent of the workers."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def processes(self) -> list[int]:
        """The pids of all processes that the parent has started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return sorted(map(int, children.split()))

    @property
    def workers(self) -> list[int]:
        """The pids of the workers."""
        owner = self.lock_owner if self.lock_port else None
        return [pid for pid in self.processes if pid != owner]

    @property
    def lock_owner(self) -> int:
        """The pid of the process that owns the locks, which is there now or will be soon."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            for pid in self.processes:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if Path(f"/proc/{pid}/comm").read_text() == LOCK_OWNER:
                        return pid
            time.sleep(0.005)
        raise AssertionError("no process owns the locks")

    def worker_of(self, sock: socket.socket) -> int:
        """The pid of the worker that serves a connection, given the client's end of it."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            inode = self._sockets().get(sock.getsockname()[1])
            for pid in self.workers:
                if f"socket:[{inode}]" in _open_files(pid):
                    return pid
            time.sleep(0.01)
        raise AssertionError("no worker has the connection")

    @property
    def connections(self) -> list[int]:
        """How many connections each worker has."""
        sockets = {f"socket:[{inode}]" for inode in self._sockets().values()}
        return [len(sockets & _open_files(pid)) for pid in self.workers]

    def _sockets(self) -> dict[int, str]:
        """The inodes of the server's ends of connections, by the clients' ports."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = [row for row in rows if row[1].endswith(f":{self.port:04X}")]
        return {int(row[2][-4:], 16): row[9] for row in ours if row[3] == ESTABLISHED}

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Ends it as a crash would (SIGKILL); the workers die of that, of themselves."""
        if self._process is not None:
            processes = self.processes if self.running else []
            self._process.kill()
            self._process.wait(timeout=STOP_LIMIT)
            self._process = None
            await_end(processes)

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

    def command(self, *words: str) -> None:
        """Runs another command of the program on the same layers, and checks that it ended well."""
        assert self._process is None, "the server runs"
        done = subprocess.run(
            [sys.executable, "-m", "nfsd", *words, *self.stack.options()],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_LIMIT,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"exit status {done.returncode} of {words}:\n{printed}"

    def output(self) -> str:
        """All that it printed since the test began."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def check_log(self) -> None:
        """Fails if it printed a traceback."""
        text = self.output()
        assert not any(alarm in text for alarm in ALARMS), f"the server printed:\n{text[-6000:]}"


def _open_files(pid: int) -> set[str]:
    """What a process has open, as /proc names it."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(entry))
    return found


def await_end(pids: Sequence[int]) -> None:
    """Waits until none of these processes runs any more."""
    deadline = time.monotonic() + STOP_LIMIT
    while any(map(_runs, pids)):
        assert time.monotonic() < deadline, f"of {pids} some still run"
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"  # a zombie has let go of everything
