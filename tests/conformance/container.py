"""A machine in systemd-nspawn, booted with systemd, for the service to run in; of this one's files.

Rule: what is changed there is gone afterwards, and everything has an end: the files are a kernel
overlay with a tmpfs on top, the processes die with the container. The network is this machine's, so
clients are out here. Nothing that this machine starts at boot is started there.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.conformance.machine import UnavailableError, command, program
from tests.conformance.server import PROJECT, STOP_LIMIT, await_end

T = TypeVar("T")
LIMIT = 120.0
CHECKOUT = "/opt/checkout"  # this one, in there
TARGET = """[Unit]
Description=Nothing but what a test asks for
DefaultDependencies=no
Wants=systemd-journald.service
"""
# Where systemd is not this machine's own, a container has to be told apart by hand.
GROUPS = [Path("/sys/fs/cgroup", name) for name in ("", "unified", "systemd")]


class Container:
    """The container; `served`, a directory out here, is at /srv and /data in there.

    It has the files of this machine, or those below `base`.
    """

    def __init__(self, place: Path, served: Path, base: Path = Path("/")) -> None:
        if os.geteuid() != 0:
            raise UnavailableError("a container needs root")
        self._nspawn = program("systemd-nspawn", "systemd-container")
        self._top = place / "top"
        self._served = served
        self._base = base
        self.root = place / "root"
        self._log = place / "nspawn.log"
        self._group = f"overlay-nfsd-test-{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        for directory in (self._top, self.root):
            directory.mkdir()
        command(["mount", "-t", "tmpfs", "overlay-nfsd-test", self._top], timeout=180)
        try:
            for name in ("upper", "work"):
                (self._top / name).mkdir()
            layers = f"lowerdir={self._base},upperdir={self._top}/upper,workdir={self._top}/work"
            command(["mount", "-t", "overlay", "-o", layers, "overlay", self.root], timeout=180)
            self.write("/etc/machine-id", f"{secrets.token_hex(16)}\n")
            self.write("/etc/systemd/system/bare.target", TARGET)
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._clean()

    def _end(self) -> None:
        """End the processes: with its init all of a container's are gone."""
        if self._process is None:
            return
        leader = self._leader or self._find_leader()
        if leader:
            os.kill(leader, signal.SIGKILL)
            await_end([leader])
        self._process.kill()
        self._process.wait(timeout=STOP_LIMIT)
        self._process = None

    def _clean(self) -> None:
        for mount in (self.root, self._top):
            if mount.is_mount():
                await_(partial(_unmounted, mount), "its files are in use")
        for group in GROUPS:
            await_(partial(_removed, group / self._group), "its group is in use")

    def write(self, path: str, text: str) -> None:
        """A file in the container."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def install(self, *settings: str) -> None:
        """`make install` of this checkout, into the container's files; compiling takes too long."""
        python = os.path.realpath(sys.executable)
        words = ["make", "install", f"DESTDIR={self.root}", "PREFIX=/usr", f"PYTHON={python}"]
        words += ["HOME_PYTHON=yes", *settings]
        command(["env", "OVERLAY_NFSD_COMPILE=0", *words], timeout=300, cwd=PROJECT)
        sysusers = program("systemd-sysusers", "systemd")
        command([sysusers, f"--root={self.root}", "overlay-nfsd.conf"], timeout=180)

    def uninstall(self) -> list[str]:
        """`make uninstall` in there; what it leaves of what was put there or made for it."""
        self.run("make", "--directory", CHECKOUT, "uninstall", "PREFIX=/usr")
        places = [str(self._top / "upper" / name) for name in ("usr", "etc")]
        named = [*places, "(", "-name", "*overlay-nfsd*", "-o", "-lname", "*overlay-nfsd*", ")"]
        left = command(["find", *named, "!", "-type", "c"], timeout=180).split()
        accounts = (self.root / "etc" / "passwd").read_text().splitlines()
        return left + [line for line in accounts if line.startswith("overlay-nfsd:")]

    def boot(self) -> None:
        """Start systemd, and nothing that this machine would start."""
        words = [self._nspawn, "--quiet", f"--directory={self.root}", "--boot", "--register=no"]
        words += ["--link-journal=no", "--console=pipe"]
        words += [f"--bind={self._served}:{at}" for at in ("/srv", "/data")]
        words.append(f"--bind-ro={PROJECT}:{CHECKOUT}")
        enter = ""
        if not Path("/run/systemd/system").is_dir():
            words.append("--keep-unit")
            for group in GROUPS:
                if (group / "cgroup.procs").exists():
                    (group / self._group).mkdir()
                    enter += f"echo $$ >{group / self._group}/cgroup.procs; "
        words.append("systemd.unit=bare.target")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c", f'{enter}exec "$@"', "sh", *words],
                # Else nspawn's own filter of system calls leaves out open_by_handle_at.
                env={**os.environ, "SYSTEMD_SECCOMP": "0"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._leader = await_(self._await_leader, "it has no init")
            await_(lambda: self.try_("systemctl", "is-active", "bare.target")[0] == 0, "no boot")
        except AssertionError as error:
            printed = self._log.read_text(errors="replace")[-4000:]
            self._end()
            raise UnavailableError(f"systemd-nspawn: {error}: {printed}") from error

    def _await_leader(self) -> int:
        assert self._process is not None
        assert self._process.poll() is None, "it has ended"
        return self._find_leader()

    def _find_leader(self) -> int:
        """The process that is number 1 in there."""
        assert self._process is not None
        pending = [self._process.pid]
        while pending:
            pid = pending.pop()
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:"))
                if numbers.split()[2:] == ["1"]:
                    return pid
                pending += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return 0

    def try_(self, *words: str, limit: float = LIMIT) -> tuple[int, str]:
        """Run a command in there: its exit status, and what it printed."""
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", "--all", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout

    def run(self, *words: str, limit: float = LIMIT) -> str:
        """What a command in there prints, which must succeed."""
        status, printed = self.try_(*words, limit=limit)
        assert status == 0, f"{words}: exit status {status}:\n{printed}\n{self.journal()}"
        return printed

    def journal(self) -> str:
        """What was logged in there."""
        return self.try_("journalctl", "--no-pager", "-o", "short-monotonic")[1]

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()


def await_(what: Callable[[], T], complaint: str) -> T:
    """What is found at last."""
    deadline = time.monotonic() + LIMIT
    while not (found := what()):
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)
    return found


def _removed(group: Path) -> bool:
    """Whether a group is gone, with those in it, once their processes are."""
    for directory, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            os.rmdir(directory)
    return not group.exists()


def _unmounted(mount: Path) -> bool:
    return subprocess.run(["umount", "-R", mount], capture_output=True, check=False).returncode == 0
