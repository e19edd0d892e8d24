"""The overlay in this process, whose layers are copied at every restart.

Now all of them, now only the lower ones, now only the upper one and the workdir; the originals are
removed, so that their inode numbers are used again.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

from overlay.maintenance.seal import seal_overlay
from tests.property.objects import InProcess
from tests.property.stack import Stack


class MovedAtRestart(InProcess):
    """Sealed layers that are never twice in the same inodes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        upper = (stack.upper, stack.work)
        self._parts = itertools.cycle(((*stack.lowers, *upper), stack.lowers, upper))
        seal_overlay(stack.config)
        super().__init__(stack.config)

    def reopen(self) -> None:
        self.close()
        _replace_by_copies(next(self._parts), self._stack.work.parent / "copies")
        super().reopen()


def _replace_by_copies(directories: tuple[Path, ...], aside: Path) -> None:
    aside.mkdir()
    # At once, as the upper layer and the workdir share hard links.
    subprocess.run(["cp", "-a", "--", *directories, aside], check=True, timeout=180)
    for directory in directories:
        shutil.rmtree(directory)
        (aside / directory.name).rename(directory)
    aside.rmdir()
