"""A network of its own: where a server has port 111 to itself, and can call its clients back.

Rule: all of it lies in a network namespace and a mount namespace that one process holds open, so
nothing of it is seen outside, and all of it is gone with that process. In them /run is empty.

    with Network() as network:
        subprocess.run([*network.inside, "rpcbind"])
        with network.entered():
            sock = socket.create_connection((network.ADDRESS, 2049))

There is a bridge with the server's addresses, and on it a tap device for each guest. Sockets of the
test itself may be bound to ADDRESS or to CLIENT, a second address that stands for another machine.
"""

import contextlib
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from tests.conformance.machine import UnavailableError, command, program

T = TypeVar("T")
_START_LIMIT = 120.0
_COMMAND_LIMIT = 120.0
_CLONE_NEWNET = 0x40000000
_READY = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add name lan type bridge
ip link set lan up
ip address add {address}/24 dev lan
ip address add {client}/24 dev lan
ip -6 address add {address6}/64 dev lan nodad
echo ready
exec sleep infinity
"""


class Network:
    """The namespaces, and whatever is started in them; they end with the `with` block."""

    ADDRESS: Final = "10.77.0.1"
    CLIENT: Final = "10.77.0.2"
    ADDRESS6: Final = "fd77::1"

    def __init__(self) -> None:
        self._taps = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise UnavailableError("network namespaces need root")
        script = _READY.format(address=self.ADDRESS, client=self.CLIENT, address6=self.ADDRESS6)
        program("ip", "iproute2")
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._holder.stdout is not None
        printed = self._holder.stdout.readline()
        if printed != b"ready\n":
            said = printed + self._holder.stdout.read()
            self._holder.wait()
            self._holder.stdout.close()
            raise UnavailableError(f"no network namespace: {said.decode(errors='replace').strip()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._processes):
            self.end(process)
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    @property
    def pid(self) -> int:
        """The process that holds the namespaces."""
        return self._holder.pid

    @property
    def inside(self) -> list[str]:
        """The words before a command line that has it run there, in the project's directory."""
        place = f"--wd={Path(__file__).parents[2]}"
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", place, "--"]

    def run(self, *words: str | Path) -> str:
        """The output of a command in the namespaces, which has to succeed."""
        return command([*self.inside, *words], timeout=_COMMAND_LIMIT)

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """A program that goes on in the namespaces until it is ended, or the network is."""
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *self.inside, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a program that was started."""
        process.kill()
        process.wait()

    def rpcbind(self) -> subprocess.Popen[bytes]:
        """The system's rpcbind; it answers when this returns."""
        process = self.start(program("rpcbind", "rpcbind"), "-f")
        info = program("rpcinfo", "rpcbind")

        def answers() -> bool:
            with contextlib.suppress(UnavailableError):
                return "portmapper" in self.run(info, "-p", self.ADDRESS)
            return False

        wait_for(answers, "rpcbind")
        return process

    def tap(self) -> tuple[str, str, str]:
        """A device for one more guest, and the guest's addresses, of IPv4 and of IPv6."""
        self._taps += 1
        name = f"guest{self._taps}"
        self.run("ip", "tuntap", "add", "dev", name, "mode", "tap")
        self.run("ip", "link", "set", name, "master", "lan", "up")
        return name, f"10.77.0.{self._taps + 10}", f"fd77::{self._taps + 10:x}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens within are of the network, and stay so."""
        with (
            open(f"/proc/{self._holder.pid}/ns/net", "rb") as there,
            open(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net", "rb") as here,
        ):
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(here.fileno())


def _set_namespace(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def wait_for(condition: Callable[[], T], what: str, seconds: float = _START_LIMIT) -> T:
    """What the condition returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not in {seconds:.0f} s"
        time.sleep(0.05)
    return found
