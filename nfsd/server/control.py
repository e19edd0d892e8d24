"""How `overlay-nfsd reload` and `check-config` talk to the server that serves a configuration file.

The server listens on a socket in the runtime directory whose name is made of the file's
path.  Root and the server's own user alone can connect.  A request is a word, the answer
all that comes until the connection ends.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from index.linux.fd import Fd, proc_path
from nfsd.base.log import LOGGER
from nfsd.net.acceptor import Acceptor
from nfsd.net.event_loop import READABLE, Loop
from overlay.model.config import ConfigError
from overlay.model.state_directory import open_private

RELOAD: Final = b"reload"
HELD: Final = b"held"
_DIRECTORY: Final = "/run/overlay-nfsd"
_BACKLOG: Final = 8
_REQUEST_MAX: Final = 64  # bytes
_SEND_SECONDS: Final = 1.0  # for one answer: the server has other things to do
_CURE: Final = "set RUNTIME_DIRECTORY to a directory that root alone can write to"
_GONE: Final = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)


class Control:
    """The server's end, on the parent's event loop."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        reload: Callable[[], None],
        held: Callable[[], bytes],
    ) -> None:
        """`reload` has the configuration read again soon, `held` says what is in use here."""
        self._loop = loop
        self._reload = reload
        self._held = held
        self._silent: set[socket.socket] = set()  # that have asked for nothing yet
        self._asked: list[socket.socket] = []  # for a reload that has not begun
        self._acceptor = Acceptor(loop, self._accepted)
        self._acceptor.listen((listener,))

    def _accepted(self, sock: socket.socket) -> None:
        self._silent.add(sock)
        self._loop.watch(sock.fileno(), READABLE, partial(self._take, sock))

    def _take(self, sock: socket.socket, _: int) -> None:
        self._silent.discard(sock)
        self._loop.forget(sock.fileno())
        sock.settimeout(_SEND_SECONDS)
        request = b""
        with suppress(OSError):
            request = sock.recv(_REQUEST_MAX)
        if request == RELOAD:
            self._asked.append(sock)
            self._reload()
        else:
            _answer(sock, self._held() if request == HELD else b"")

    def begun(self) -> Callable[[bytes], None]:
        """Begin a reload: what is returned tells the processes that asked for it how it went."""
        asked, self._asked = self._asked, []

        def tell(verdict: bytes) -> None:
            for sock in asked:
                _answer(sock, verdict)

        return tell

    def close(self) -> None:
        """Close its sockets, in a process just forked, where they stay the parent's."""
        self._acceptor.close()
        for sock in (*self._silent, *self._asked):
            sock.close()


def _answer(sock: socket.socket, answer: bytes) -> None:
    with sock, suppress(OSError):  # the asking process may be gone
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_RDWR)  # a process forked meanwhile has it, too


def control_listener(file: str) -> socket.socket | None:
    """Return a socket that listens for requests about a configuration file.

    None if there can be none.

    Then the log says why.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        directory = open_private(os.fsencode(_directory()), _CURE, make=True)
        if ask(file, b"") is not None:
            raise ConfigError(f"another server serves {file}, and is the one that is asked")
        with suppress(FileNotFoundError):
            os.unlink(_name(file), dir_fd=directory)
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(_path(directory, file))
    except (OSError, ConfigError) as problem:
        sock.close()
        LOGGER.warning("`overlay-nfsd reload` cannot reach this server, SIGHUP can: %s", problem)
        return None
    sock.listen(_BACKLOG)
    sock.setblocking(False)
    return sock


def forget(file: str) -> None:
    """Remove the socket that `control_listener` has made."""
    with suppress(OSError):  # it is in nobody's way
        os.unlink(os.path.join(_directory(), _name(file)))


def ask(file: str, request: bytes) -> bytes | None:
    """Return what the server of a configuration file answers, however long that takes.

    None without one.

    Raises OSError, EACCES where it may not be asked.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            directory = Fd(os.open(_directory(), os.O_PATH | os.O_DIRECTORY))
            sock.connect(_path(directory, file))
        except OSError as problem:
            if problem.errno in _GONE:
                return None
            raise
        if not request:
            return b""
        answer = []
        with suppress(ConnectionError):  # the server ends: what it has said is all there is
            sock.sendall(request)
            while received := sock.recv(1 << 16):
                answer.append(received)
        return b"".join(answer)


def _directory() -> str:
    return os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or _DIRECTORY


def _name(file: str) -> str:
    path = os.fsencode(os.path.abspath(file))
    return f"control-{hashlib.blake2b(path, digest_size=8).hexdigest()}"


def _path(directory: Fd, file: str) -> str:
    """Short enough for a socket's address, wherever the directory is."""
    return f"{os.fsdecode(proc_path(directory))}/{_name(file)}"
