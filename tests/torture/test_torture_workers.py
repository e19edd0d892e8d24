"""`overlay-nfsd torture` against two workers: its connections are spread over both.

What one call makes another asks for through the other worker at once, so every check is one of what
the workers know of each other's work.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.server import Server
from tests.conftest import Serve
from tests.torture.test_torture import start, torture

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

LIMIT = 120.0
EVERY = 0.7  # seconds between two deaths


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    layers = [tmp_path / "top", tmp_path / "bottom"]
    for seed, layer in enumerate(layers):
        layer.mkdir()
        place = str(layer / "torture")
        done = torture("--prepare", place, "--seed", str(seed), "--files", "80")
        assert done.returncode == 0, done.stderr
    return serve(layers, arguments=["--workers", "2"])


def run(server: Server, *, deaths: bool) -> tuple[Any, int]:
    """What the tool reports, and how many workers were killed meanwhile."""
    words = [f"nfs://127.0.0.1:{server.port}/", "--json", "--seconds", "15", "--seed", "4"]
    process = start(*words, "--lower", "torture", "--expect-replay")
    chance = random.Random(4)
    deadline = time.monotonic() + LIMIT
    killed = 0
    assert server.stack.upper is not None
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(EVERY)
        begun = any(server.stack.upper.iterdir())  # it does not mount any more
        if deaths and begun and process.poll() is None:
            os.kill(chance.choice(server.workers), signal.SIGKILL)
            killed += 1
    output, complaint = process.communicate(timeout=180)
    assert output, complaint
    return json.loads(output), killed


def check(found: Any) -> None:  # noqa: ANN401 - JSON
    assert found["faults"] == []
    assert found["errors"] == 0
    for row in found["scenarios"]:
        assert row["checks"] > 100, row
        assert row["operations"] > 10, row


def test_two_workers_are_one_server(server: Server) -> None:
    found, _ = run(server, deaths=False)
    check(found)
    assert found["resent"] == 0


def test_clients_feel_no_death_of_a_worker(server: Server) -> None:
    found, killed = run(server, deaths=True)
    check(found)
    assert killed > 10
    assert found["resent"] > killed
    assert server.output().count("was ended by SIGKILL") == killed
