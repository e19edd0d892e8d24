"""What `--restart-command` runs in tests: it asks the test's process, which holds the server.

Rule: one connection, one word, one answer.  The server is started by the thread that runs the test:
it dies with the thread that started it.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conformance.server import Server

_LIMIT = 120.0
_SCRIPT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60) as sock:
    sock.sendall(sys.argv[2].encode())
    sys.exit(sock.recv(100) != b"done")
"""


class Controller:
    """Restarts, kills and drops caches on demand; `command` is what to run for it.

    `meanwhile` is called while the server is stopped for a restart.
    """

    def __init__(self, server: Server, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._server = server
        self._meanwhile = meanwhile
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()

    def command(self, directory: Path) -> str:
        """A command line that hands its last word on."""
        script = directory / "control.py"
        script.write_text(_SCRIPT)
        return f"{sys.executable} {script} {self._listener.getsockname()[1]}"

    def attend(self, process: subprocess.Popen[str], seconds: float) -> None:
        """Do what is asked until `process` ends; it is killed after so many seconds."""
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            with contextlib.suppress(TimeoutError):
                sock, _ = self._listener.accept()
                with sock:
                    sock.settimeout(_LIMIT)
                    self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        word = sock.recv(100).decode()
        if word == "drop":
            Path("/proc/sys/vm/drop_caches").write_text("2")
        elif word == "kill":
            self._server.restart(crash=True)
        else:
            self._server.stop()
            self._meanwhile()
            self._server.start()
        sock.sendall(b"done")
