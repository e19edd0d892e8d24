"""The alerts for Prometheus: of numbers that there are, and tried where promtool is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nfsd.metrics.metrics import FAMILIES
from tests.conformance.server import PROJECT

pytestmark = pytest.mark.once

RULES = PROJECT / "packaging" / "prometheus-rules.yml"
TRIALS = Path(__file__).with_name("prometheus-rules.test.yml")


def test_every_number_that_is_asked_for_exists() -> None:
    told = {name for family in FAMILIES for name in family.series}
    for file in (RULES, TRIALS):
        asked = set(re.findall(r"overlay_nfsd_\w+", file.read_text()))
        assert asked
        assert asked <= told


def test_every_alert_is_tried() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert alerts == set(re.findall(r'alertname="(\w+)"', TRIALS.read_text()))


def test_promtool() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: it is in Debian's package prometheus")
    for arguments in (("check", "rules", str(RULES)), ("test", "rules", str(TRIALS))):
        done = subprocess.run(
            [promtool, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
