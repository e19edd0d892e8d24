"""What the servers stand on: a filesystem for the run, the layers, a kernel overlay, a plain copy.

Rule: all is in an image of its own, which has no name any more once it is mounted, so nothing is
left behind however the run ends; and waiting for the disk waits for nobody else's data.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from tests.bench import tree
from tests.conformance.machine import command, program
from tests.conformance.server import Stack

_IMAGE_BYTES: Final = 24 << 30  # sparse
_DROP_ALL: Final = "3"  # pages, directory entries and inodes
KERNEL_OPTIONS: Final = "index=on,nfs_export=on,redirect_dir=on"


class Disk:
    """A filesystem of its own, mounted at `at`; `inodes` is how many it is to have room for."""

    def __init__(self, at: Path, scratch: Path | None, inodes: int | None = None) -> None:
        self.at = at
        self.at.mkdir()
        with tempfile.NamedTemporaryFile(prefix="overlay-nfsd-bench.", dir=scratch) as image:
            image.truncate(_IMAGE_BYTES)
            room = [] if inodes is None else ["-N", str(inodes)]
            command([program("mkfs.ext4", "e2fsprogs"), "-q", "-F", *room, image.name], timeout=60)
            # What mkfs left to do is not done while servers are measured.
            options = "loop,noinit_itable"
            command(["mount", "-o", options, image.name, self.at], timeout=60)

    def sync(self) -> None:
        """Wait until all of it is on disk."""
        command(["sync", "--file-system", self.at], timeout=300)

    def chill(self) -> None:
        """Have the kernel forget all that it has cached."""
        self.sync()
        Path("/proc/sys/vm/drop_caches").write_text(_DROP_ALL)


class Ground(Disk):
    """The trees that servers are measured on, on a disk of their own."""

    def __init__(self, at: Path, scratch: Path | None, written: int, gone: int) -> None:
        """`written`, `gone`: how many files and directories there are to be written and removed."""
        super().__init__(at, scratch)
        self._lowers = self.at / "top", self.at / "bottom"
        for each in self._lowers:
            each.mkdir()
        tree.make_layers(*self._lowers, written, gone)
        self.sync()

    def stack(self, name: str) -> Stack:
        """The layers under a new upper."""
        return Stack.over(self._lowers, self.at / name)

    def kernel_overlay(self, name: str) -> Path:
        """The layers under a new upper, merged by the kernel."""
        stack = self.stack(name)
        merged = self.at / name / "merged"
        merged.mkdir()
        layers = ":".join(map(str, stack.lowers))
        options = f"lowerdir={layers},upperdir={stack.upper},workdir={stack.work},{KERNEL_OPTIONS}"
        command(["mount", "-t", "overlay", "overlay", "-o", options, merged], timeout=60)
        return merged

    def plain(self, name: str) -> Path:
        """The same tree as plain files, without the file that only layers make interesting."""
        copy = self.at / name
        copy.mkdir()
        without = shutil.ignore_patterns(tree.LARGE)
        for source in reversed(self._lowers):
            shutil.copytree(source, copy, symlinks=True, ignore=without, dirs_exist_ok=True)
        self.sync()
        return copy
