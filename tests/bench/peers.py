"""The servers that are measured, ours and others: how each is started, asked and stopped.

Rule: every server runs with the settings it comes with, as root, without squashing root; it is
started as its manual says and ended by its pid.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from tests.conformance.machine import UnavailableError, command, program
from tests.conformance.server import Server, Stack
from tests.wire import Wire

START_LIMIT: Final = 30.0
STOP_LIMIT: Final = 30.0


class Peer(Protocol):
    """A server over a tree."""

    name: str  # as in the tables
    version: str

    @property
    def port(self) -> int: ...

    @property
    def pid(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def wire(self) -> Wire: ...


class Ours:
    """This server, from this checkout or from another one."""

    def __init__(
        self, name: str, project: Path, stack: Stack, log: Path, more: Sequence[str]
    ) -> None:
        self.name = name
        described = command(["git", "describe", "--always", "--dirty"], timeout=10, cwd=project)
        is_compiled = any(project.glob("overlay/*.so"))
        self.version = described.strip() + (", compiled" if is_compiled else "")
        self._server = Server(stack, log, arguments=more, project=project)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def pid(self) -> int:
        return self._server.pid

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def wire(self) -> Wire:
        return Wire(self.port)


class Daemon(ABC):
    """A server of another project; it stays in the foreground, and its files are below /run."""

    def __init__(self, name: str, export: Path, port: int) -> None:
        self.name = name
        self.port = port
        self.export = export
        self.directory = Path(tempfile.mkdtemp(dir="/run"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def mount_port(self) -> int:
        """Where it answers MOUNT."""
        return self.port + 1

    @abstractmethod
    def words(self) -> list[str]:
        """The command that runs it."""

    def start(self) -> None:
        """Start it and wait until it accepts connections; raises UnavailableError."""
        with (self.directory / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.words()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_LIMIT
        while not (_accepts(self.port) and _accepts(self.mount_port)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise UnavailableError(f"{self.name} did not start:\n{self._said()}")
            time.sleep(0.05)

    def _said(self) -> str:
        logs = [each.read_text(errors="replace") for each in self.directory.glob("*log*")]
        return "".join(logs)[-2000:]

    def stop(self) -> None:
        """End it."""
        assert self._process is not None, f"{self.name} is not running"
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def wire(self) -> Wire:
        return Wire(self.port, str(self.export), mount_port=self.mount_port)


class Ganesha(Daemon):
    """NFS-Ganesha with its VFS back end; it wants a portmapper (`Portmapper`).

    What it exports is made only when the program is there.
    """

    def __init__(self, name: str, export: Callable[[], Path], port: int) -> None:
        self._program = program("ganesha.nfsd", "nfs-ganesha nfs-ganesha-vfs")
        super().__init__(name, export(), port)
        self.version = command([self._program, "-v"], timeout=10).replace(" Release =", "").strip()
        (self.directory / "ganesha.conf").write_text(f"""\
NFS_CORE_PARAM {{
  Protocols = 3; NFS_Port = {self.port}; MNT_Port = {self.mount_port};
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
}}
NFSv4 {{ Graceless = true; RecoveryRoot = {self.directory}; }}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT {{
  Export_Id = 1; Path = {self.export}; Pseudo = /export; Filesystem_Id = 192.168;
  Protocols = 3; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
  FSAL {{ Name = VFS; }}
}}
""")

    def words(self) -> list[str]:
        at = self.directory
        files = ["-L", f"{at}/ganesha.log", "-f", f"{at}/ganesha.conf", "-p", f"{at}/pid"]
        return [self._program, "-F", *files]


class Unfs3(Daemon):
    """unfs3."""

    def __init__(self, name: str, export: Callable[[], Path], port: int) -> None:
        found = shutil.which("unfsd")
        if found is None:  # Debian 12 has no package of it
            raise UnavailableError("unfsd is not installed")
        self._program = found
        self.version = "as installed"
        super().__init__(name, export(), port)
        (self.directory / "exports").write_text(f'"{self.export}" (rw,no_root_squash,insecure)\n')

    def words(self) -> list[str]:
        ports = ["-n", str(self.port), "-m", str(self.mount_port)]
        return [self._program, "-d", "-t", "-p", *ports, "-e", str(self.directory / "exports")]


class Portmapper:
    """rpcbind, where programs that insist on one can register; for a network namespace."""

    PORT: Final = 111

    def __init__(self) -> None:
        words = [program("rpcbind", "rpcbind"), "-f", "-w"]
        self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *words])
        deadline = time.monotonic() + START_LIMIT
        while not _accepts(self.PORT):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise UnavailableError("rpcbind did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
