"""An overlay that is closed lets go of its layers at once, and does not wait for the collector."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from overlay.check.run import check
from overlay.filesystem import Overlay
from tests.overlays import Served, make_dirs


def descriptors() -> dict[str, str]:
    """What this process has open, but for the directory that is read here."""
    with os.scandir("/proc/self/fd") as found:
        links = {each.name: os.readlink(each.path) for each in found}
    return {name: target for name, target in links.items() if not target.endswith("/fd")}


def test_nothing_stays_open(tmp_path: Path) -> None:
    dirs = make_dirs(tmp_path)
    (dirs.lower / "d/f").write_text("lower")
    gc.collect()
    before = descriptors()
    gc.disable()
    try:
        overlay = Overlay.open(dirs.config)
        at = Served(overlay)
        at.write("d/f", "upper")
        assert "d/f" in at.paths()
        assert overlay.index_entries(1.0) is not None
        assert descriptors() != before
        overlay.close()
        del overlay, at
        assert descriptors() == before
        assert list(check(dirs.config, repair=False)) == []
        assert descriptors() == before
    finally:
        gc.enable()
