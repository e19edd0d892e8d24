"""A Linux client with eight connections, and two workers that may die under it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conformance.guest import Guest
from tests.conftest import Serve

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("guest_ready"),
]

SHELLS = 8
ROUNDS = 12

# In a lower directory of files `low.SHELL.ROUND`: shells at once, so that all connections are used.
WORK = """
set -e
cd /mnt/{place}
work() {{
  for i in $(seq {rounds}); do
    echo "$1 $i" >new.$1.$i
    mkdir d.$1.$i
    mv new.$1.$i d.$1.$i/f
    ln d.$1.$i/f link.$1.$i
    echo more >>d.$1.$i/f
    rm d.$1.$i/f
    rmdir d.$1.$i
    mv link.$1.$i made.$1.$i
    chmod 600 low.$1.$i
    echo more >>low.$1.$i
    mv low.$1.$i moved.$1.$i
  done
}}
for n in $(seq {shells}); do work $n & pids="$pids $!"; done
for p in $pids; do wait $p; done
"""


def names() -> list[tuple[int, int]]:
    return [(shell, i) for shell in range(1, SHELLS + 1) for i in range(1, ROUNDS + 1)]


def fill(place: Path) -> None:
    place.mkdir(parents=True)
    for shell, i in names():
        (place / f"low.{shell}.{i}").write_text(f"lower {shell} {i}\n")


def check(guest: Guest, upper: Path, place: str) -> None:
    """What the work has made, as the client sees it and as it lies in the upper layer."""
    expected = {f"made.{shell}.{i}": f"{shell} {i}\nmore\n" for shell, i in names()}
    expected |= {f"moved.{shell}.{i}": f"lower {shell} {i}\nmore\n" for shell, i in names()}
    listed = guest.run(f"ls /mnt/{place}").check().split()
    assert sorted(listed) == sorted(expected)
    for name, content in expected.items():
        assert (upper / place / name).read_text() == content
    shown = guest.run(f"cd /mnt/{place} && cat $(ls | sort)").check()
    assert shown == "".join(expected[name] for name in sorted(expected))


def test_eight_connections(serve: Serve, tmp_path: Path) -> None:
    for place in ("first", "second"):
        fill(tmp_path / "lower" / place)
    server = serve([tmp_path / "lower"], arguments=["--workers", "2"])
    assert server.stack.upper is not None
    with Guest(server.port, options="nconnect=8") as guest:
        for place in ("first", "second"):
            script = WORK.format(place=place, rounds=ROUNDS, shells=SHELLS)
            guest.run(script, timeout=300).check()
            # One of the client's may have come while another that it closed still counted.
            assert sum(server.connections) == SHELLS
            assert min(server.connections) >= SHELLS // 2 - 1
            check(guest, server.stack.upper, place)
            os.kill(server.workers[0], signal.SIGKILL)
            while len(server.workers) < 2:
                time.sleep(0.01)
