"""A Linux client at work while the server is killed and started again, ten times: it feels nothing.

Rule: each kill takes with it the answer to a call that was done, of another procedure each time.
The next comes only when every loop has ended the pass that the last one fell into.
"""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.conformance.client_work import LOOPS, PASS_LIMIT, check_appended, check_kernel_log
from tests.conformance.guest import Guest
from tests.conformance.layers import Layers
from tests.conformance.loops import SHARE, Loops
from tests.conformance.server import Server
from tests.conftest import Serve
from tests.torture.proxy import Proxy

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("guest_ready"),
]

CALL_LIMIT = 120.0

# Each takes its turn to be the one whose answer is lost.
PROCEDURES = (
    *("CREATE", "MKDIR", "SYMLINK", "MKNOD", "LINK"),
    *("REMOVE", "RMDIR", "RENAME", "SETATTR", "WRITE"),
)


class Crash:
    """Kills the server as it answers a call of a certain procedure; the answer is lost."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._procedure: str | None = None
        self._happened = threading.Event()

    def loses(self, procedure: str) -> bool:
        """For the proxy, on its thread: whether this answer is lost."""
        if procedure != self._procedure:
            return False
        self._procedure = None
        os.kill(self._server.pid, signal.SIGKILL)
        self._happened.set()
        return True

    def happen(self, procedure: str) -> None:
        """Waits until the client has made such a call, and the server is gone."""
        self._happened.clear()
        self._procedure = procedure
        assert self._happened.wait(CALL_LIMIT), f"no {procedure} in {CALL_LIMIT:.0f} s"
        self._server.kill()


@pytest.mark.usefixtures("unchanged_lowers")
def test_a_client_feels_no_crash(serve: Serve, real_layers: Layers, tmp_path: Path) -> None:
    server = serve(real_layers.lowers)
    loops = Loops(tmp_path / "loops", LOOPS)
    crash = Crash(server)
    with (
        Proxy(server.port, lose=crash.loses) as proxy,
        Guest(proxy.port, options="hard", shares={SHARE: loops.directory}) as guest,
    ):
        loops.start(guest)
        loops.await_passes(PASS_LIMIT)
        for number, procedure in enumerate(PROCEDURES):
            crash.happen(procedure)
            time.sleep(number % 3)  # The client finds it back at once, or finds it away.
            server.start()
            loops.await_passes(PASS_LIMIT)
        passes = loops.stop(PASS_LIMIT)
        check_kernel_log(guest)
    assert server.stack.upper is not None
    check_appended(server.stack.upper, passes["append"])
    server.stop()
    server.command("check")
