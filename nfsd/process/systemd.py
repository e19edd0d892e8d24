"""What a service manager tells its service and wants to hear of it, without any library of its own.

sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3) are a datagram socket and
some environment variables.  Started by anybody else, none of this does anything.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from overlay.base.refusal import Refusal

_FIRST_FD: Final = 3
_SIGNS: Final = 8  # of life, at most, in the time that the watchdog has
_SEND_SECONDS: Final = 1.0  # for a manager that is busy; then it does not hear it


class Notifier:
    """Tells the service manager how it goes; the variables are taken out of `environment`."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        # A name that begins with @ is in the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environment.pop("WATCHDOG_USEC", "")
        is_ours = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Within so many seconds it must be told that all is well; None if it need not be.
        self.watchdog = int(usec) / 1e6 if usec.isdigit() and int(usec) and is_ours else None
        self._status = ""
        self._said = 0.0  # when the last sign of life was given, by the monotonic clock

    @property
    def is_heard(self) -> bool:
        """Return whether there is anybody to tell."""
        return bool(self._address)

    def ready(self) -> None:
        """Clients can connect; or all is as it should be again, after `reloading`."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` says when that is done."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the service stops."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Say that all is well: the watchdog has to wait for its time again.

        However often this is called, it is said some times in that time only.
        """
        now = time.monotonic()
        if self.watchdog is not None and now - self._said >= self.watchdog / _SIGNS:
            self._said = now
            self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Send one line for people, unless it is the last one again."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_SEND_SECONDS)
                sock.connect(self._address)
                sock.send(message.encode(errors="replace"))
        except OSError as problem:
            if ONCE.first("notify", "", problem.errno):
                LOGGER.warning("the service manager cannot be told: %s", problem)


def passed_sockets(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """Return the listening sockets that a `.socket` unit has made for this process, in its order.

    Raises Refusal if one is of another kind.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for number, fd in enumerate(range(_FIRST_FD, _FIRST_FD + int(count))):
        os.set_inheritable(fd, False)
        sock = _listening(fd)
        if sock is None:
            name = names[number] if number < len(names) else "unknown"
            raise Refusal(
                f"socket {fd} ({name}) that systemd passes does not listen for TCP: "
                "give the .socket unit ListenStream= with a port alone, and Accept=no"
            )
        sock.setblocking(False)
        found.append(sock)
    return found


def _listening(fd: int) -> socket.socket | None:
    """Return the socket, if it is one of TCP that listens."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
    if is_tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return sock
    sock.detach()
    return None
