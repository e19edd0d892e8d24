"""The mix has the shares that it should, and processes are measured whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from tests.bench import mix, tree
from tests.bench.processes import cpu_seconds, family, pin, resident_bytes

pytestmark = pytest.mark.once

BUSY = """
import os, sys, time
child = os.fork()
while time.process_time() < 0.2:
    pass
held = bytearray(64 << 20)
print(child, flush=True) if child else None
sys.stdin.read()
"""


def test_the_mix_is_a_hundred_per_cent() -> None:
    assert sum(mix.SHARES.values()) == 100


@pytest.mark.parametrize("seed", range(20))
def test_the_mix_makes_before_it_removes(seed: int) -> None:
    names = mix.procedures(random.Random(seed))
    assert Counter(names) == {name: 2 * share for name, share in mix.SHARES.items()}
    paired = [name for name in names if name in ("CREATE", "REMOVE")]
    assert paired == ["CREATE", "REMOVE"] * 2


def test_files_are_spread_over_the_directories() -> None:
    paths = tree.files()
    assert len(set(paths)) == tree.FILES
    counts = Counter(path.rpartition("/")[0] for path in paths)
    assert set(counts.values()) == {tree.FILES // tree.DIRECTORIES}


def test_a_process_is_measured_with_its_children() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert family(process.pid) == [process.pid, child]
        assert cpu_seconds([process.pid]) >= 0.2
        assert cpu_seconds(family(process.pid)) > cpu_seconds([process.pid])
        assert resident_bytes([process.pid]) > 64 << 20
        pin([child], frozenset([0]))
        assert os.sched_getaffinity(child) == {0}
        process.communicate("")
