"""A server of ours that the test starts, stops, kills, and gives other layers."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from nfsd.torture.events import TIMED, EventError
from nfsd.torture.own_layers import OwnLayers
from nfsd.torture.target import Target

_LIMIT: Final = 60.0  # seconds to start or to stop
_STEP: Final = 0.05
_HOST: Final = "127.0.0.1"
_SERVES: Final = b"\nmount it with\n"  # it prints that when it is ready
_DROP: Final = Path("/proc/sys/vm/drop_caches")
_NAMES_AND_INODES: Final = "2"


class OwnServer:
    """A controller (nfsd.torture.events) of this server, over `layers`."""

    kinds: Final = (*TIMED, "out", "in", "replace")

    def __init__(self, layers: OwnLayers) -> None:
        self.layers = layers
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def export(self, name: str) -> Target:
        """Return the export of this name, as a run is told of it."""
        return Target(_HOST, self._port, f"/{name}".encode(), None)

    def start(self) -> None:
        """Start it, and wait until it serves; raises EventError."""
        for _ in self._started():
            time.sleep(_STEP)

    def steps(self, kind: str) -> Iterator[None]:
        """Do what is asked for; raises EventError."""
        if kind == "drop":
            _DROP.write_text(_NAMES_AND_INODES)
            yield
            return
        meanwhile: dict[str, Callable[[], None]] = {
            "out": self.layers.leave_out,
            "in": self.layers.put_back,
            "replace": self.layers.replace,
        }
        yield from self._ended(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        if kind in meanwhile:
            meanwhile[kind]()
        yield from self._started()

    def break_off(self) -> None:
        """Nothing of its own goes on when its steps are not asked for."""

    def stop(self) -> None:
        """End it as an operator would; raises EventError if it ends badly."""
        for _ in self._ended(signal.SIGTERM):
            time.sleep(_STEP)

    def kill(self) -> None:
        """End it in any case."""
        for _ in self._ended(signal.SIGKILL):
            time.sleep(_STEP)

    @property
    def complaint(self) -> bool:
        """Return whether it has logged an exception."""
        return b"Traceback (most recent call last)" in self.layers.log.read_bytes()

    def _started(self) -> Iterator[None]:
        words = [sys.executable, "-m", "nfsd", "serve", "--config"]
        file = self.layers.configuration_file
        file.write_text(self.layers.configuration(self._port))
        with self.layers.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [*words, str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _LIMIT
        while _SERVES not in self.layers.log.read_bytes()[begin:]:
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                what = "does not answer" if status is None else f"ended with status {status}"
                raise EventError(f"the server {what}: see {self.layers.log}")
            yield

    def _ended(self, how: signal.Signals) -> Iterator[None]:
        """End it, and wait until none of its processes is left."""
        if self._process is None:
            return
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        pids = children.read_text().split() if self._process.poll() is None else []
        self._process.send_signal(how)
        deadline = time.monotonic() + _LIMIT
        while (status := self._process.poll()) is None or any(map(_runs, pids)):
            if time.monotonic() > deadline:
                raise EventError(f"the server did not end: see {self.layers.log}")
            yield
        self._process = None
        if status not in (0, -signal.SIGKILL):
            raise EventError(f"the server ended with status {status}: see {self.layers.log}")


def _free_port() -> int:
    with socket.create_server((_HOST, 0)) as sock:
        return int(sock.getsockname()[1])


def _runs(pid: str) -> bool:
    """Return whether a process is there, and not dead already."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
