"""The first thing that a newcomer does: `make run`, and a mount from a Linux machine."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.guest import Guest
from tests.conformance.machine import UnavailableError, program
from tests.conformance.server import ALARMS, PROJECT

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
]

# `make run` is for what somebody works on, also where these tests are in the copy that is compiled.
CHECKOUT = PROJECT.parents[1] if PROJECT.parts[-2:] == ("build", "compiled") else PROJECT

# It may have to make the virtual environment first.
START_LIMIT = 180.0

SCRIPT = """
set -e
cd /mnt
cat etc/motd etc/colour
test ! -e doc/old
echo changed >doc/readme
cat doc/readme-link
mkdir new && mv doc new/doc && ls new/doc
"""


@pytest.fixture
def demonstration(tmp_path: Path) -> Iterator[int]:
    """The port of a server that `make run` started over its demonstration overlay."""
    if os.geteuid() != 0:
        raise UnavailableError("the server needs root")
    words = [program("make", "make"), "run", f"DEMO={tmp_path / 'demo'}", "LISTEN=127.0.0.1:0"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        # A session of its own, so that make and all that it started can be ended.
        process = subprocess.Popen(
            words,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield await_port(process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=180)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=180)
    text = log.read_text(errors="replace")
    assert not any(alarm in text for alarm in ALARMS), text


def await_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port in the mount command that the server prints."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        found = re.search(r"mount -t nfs -o \S*\bport=(\d+),mountport=\1\b", text)
        if found is not None:
            return int(found[1])
        assert process.poll() is None, f"make run ended:\n{text}"
        time.sleep(0.05)
    raise AssertionError(f"make run printed no mount command:\n{log.read_text(errors='replace')}")


@pytest.mark.usefixtures("guest_ready")
def test_make_run_can_be_mounted(demonstration: int) -> None:
    with Guest(demonstration) as guest:
        lines = guest.run(SCRIPT).check().splitlines()
    assert lines[:3] == ["from the bottom layer", "blue, from the top layer", "changed"]
    assert sorted(lines[3:]) == ["motd", "readme", "readme-link"]
