"""`python -m tests.bench` measures a server of ours, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.workloads import COLD, WARM
from tests.conformance.machine import UnavailableError, program
from tests.conformance.server import PROJECT

# In mounts of its own, as others mount things meanwhile; what is mounted afterwards is told.
LEFT = "left mounted:"
ALONE = f"""
before=$(sort /proc/self/mounts)
"$@"
echo {LEFT} $(comm -13 <(echo "$before") <(sort /proc/self/mounts))
"""

pytestmark = [pytest.mark.conformance, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_every_workload_gives_a_figure(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        raise UnavailableError("the server needs root")
    program("cc", "gcc")
    words = ["-m", "tests.bench", "--rounds", "1", "--seconds", "0.5", "--servers", "overlay-nfsd"]
    words += ["--scratch", str(tmp_path), "--report", str(tmp_path / "report.md")]
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-ec", ALONE, "bash", sys.executable, *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=1100,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.md").read_text()
    assert "What failed" not in text, text
    warm = text.split("## Rates, caches warm")[1].split("## ")[0]
    cold = text.split("## Caches cold")[1].split("## ")[0]
    for workload in WARM:
        assert re.search(rf"^\| {re.escape(workload.name)} \|[^-]*$", warm, re.M), warm
    for workload in COLD:
        assert re.search(rf"^\| {re.escape(workload.name)} \|[^-]*$", cold, re.M), cold
    assert {each.name for each in tmp_path.iterdir()} == {"report.md", "report.svg"}
    assert done.stdout.endswith(f"{LEFT}\n"), done.stdout


def test_growth_is_measured(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        raise UnavailableError("the server needs root")
    program("cc", "gcc")
    words = ["-m", "tests.bench.growth", "--seconds", "0.5", "--names", "1000", "--copied", "500"]
    words += ["--large", "8", "--scratch", str(tmp_path), "--report", str(tmp_path / "report.md")]
    done = subprocess.run(
        [sys.executable, *words], cwd=PROJECT, capture_output=True, text=True, timeout=1100
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.md").read_text()
    titles = ["Aims", "Layers", "Directories", "Connections", "Workers", "Trees", "Start"]
    titles += ["Slow beside fast"]
    assert re.findall("^## (.*)$", text, re.M) == titles
    assert {each.name for each in tmp_path.iterdir()} == {"report.md"}
