"""What the documents have a newcomer type, on a fresh Debian 12; all of it: fresh_machine.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.fresh_machine import run, steps

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]


def test_first_steps(tmp_path: Path) -> None:
    """Without python3-venv and with it, on overlayfs, and with the rights of a container."""
    number = 0
    for root, todo in steps(tmp_path):
        for step in todo:
            if not step.takes_long:
                assert run(root, step, tmp_path / "log") == "", step
                number += 1
    assert number > 6
