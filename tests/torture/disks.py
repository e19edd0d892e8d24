"""A filesystem with a journal, in an image in memory, and copies of the image after a power cut.

Rule: a copy is what the disk held at one instant.  What is in memory and was not written is not in
it; the filesystem is not asked to write anything, but for its journal when a test says so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.conformance.machine import program
from tests.property.syscalls import mount, private_mounts, unmount

KINDS: Final = {
    "ext4": ("mkfs.ext4", "e2fsprogs", ("-q", "-F"), 64 << 20),
    "xfs": ("mkfs.xfs", "xfsprogs", ("-q", "-f"), 320 << 20),
    "btrfs": ("mkfs.btrfs", "btrfs-progs", ("-q", "-f"), 256 << 20),
}
# Of these a copy can be mounted beside the disk. There one of btrfs gets another uuid, as if it
# were another filesystem; so the disk has to go while its copy is looked at.
JOURNALED: Final = ("ext4", "xfs")
_OPTIONS: Final = {"xfs": "loop,noatime,nouuid"}
_TRIES: Final = 100
_PATIENCE_SECONDS: Final = 120.0

_libc = ctypes.CDLL(None, use_errno=True)


class Disk:
    """An empty filesystem of one kind, mounted at `path`."""

    def __init__(self, kind: str, place: Path) -> None:
        self._kind = kind
        self._memory = place / "memory"
        self._image = self._memory / "image"
        self._device = ""
        self.path = place / "disk"

    def make(self) -> None:
        """Make and mount it."""
        make, package, options, size = KINDS[self._kind]
        private_mounts()
        for directory in (self._memory, self.path):
            directory.mkdir()
        mount(b"test", os.fsencode(self._memory), b"tmpfs", b"size=2g")
        with self._image.open("wb") as file:
            file.truncate(size)
        _run(program(make, package), *options, str(self._image))
        self._mount_disk()
        (self.path / "other").touch()

    def _mount_disk(self) -> None:
        self._mount(self._image, self.path)
        self._device = self._mounted()

    def _mounted(self) -> str:
        """The device that is mounted last at the disk's place."""
        with open("/proc/self/mountinfo") as mounts:
            line = [line for line in mounts if f" {self.path} " in line][-1]
        return line.split(" - ")[1].split()[1].removeprefix("/dev/")

    def _mount(self, image: Path, at: Path) -> None:
        options = _OPTIONS.get(self._kind, "loop,noatime")
        _run("mount", "-t", self._kind, "-o", options, str(image), str(at))

    def remove(self) -> None:
        """Unmount it, whatever is still open; then it is gone."""
        for directory in (self.path, self._memory):
            unmount(os.fsencode(directory), lazily=True)

    def sync(self) -> None:
        """Bring everything to the disk."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            if _libc.syncfs(fd) < 0:
                raise OSError(ctypes.get_errno(), "syncfs")
        finally:
            os.close(fd)

    def commit(self) -> None:
        """Bring the journal to the disk as far as it has got, and no data that it does not need.

        As happens every few seconds, and whenever somebody syncs a file of his own.
        """
        fd = os.open(self.path / "other", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, b"x")
            os.fsync(fd)
        finally:
            os.close(fd)

    def copy(self, name: str = "copy") -> None:
        """Copy the disk as it is at this instant."""
        copy = self._memory / name
        for _ in range(_TRIES):
            before = self._writes()
            _run("cp", "--sparse=always", "--reflink=auto", str(self._image), str(copy))
            if before == self._writes():
                return
        raise TimeoutError(f"{self._device} is always being written to")

    def _writes(self) -> tuple[str, str]:
        """How often the device was written to, and how many requests are under way."""
        words = Path(f"/sys/block/{self._device}/stat").read_text().split()
        return words[4], words[8]

    @contextmanager
    def copied(self, name: str = "copy") -> Iterator[None]:
        """A copy in the place of the disk: the filesystem replays its journal.

        As after a restart of the machine, paths are the same and device numbers may be others.
        Nobody may use the disk meanwhile.
        """
        copy = self._memory / name
        alone = self._kind not in JOURNALED
        if alone:
            self._unmount_unused()
        self._mount(copy, self.path)
        try:
            yield
        finally:
            if alone:
                self._unmount_unused()
                self._mount_disk()
            else:
                unmount(os.fsencode(self.path), lazily=True)
            copy.unlink()

    def _unmount_unused(self) -> None:
        """Wait for the workers of a server that was killed: they end a moment after it.

        And for the device: until it is free a copy of it is another filesystem for btrfs.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        device = self._mounted()
        while True:
            try:
                unmount(os.fsencode(self.path))
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
        while self._holds(device):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{device} is still in use")
            time.sleep(0.01)

    def _holds(self, device: str) -> bool:
        """Whether a loop device still has a file of this disk's."""
        try:
            file = Path(f"/sys/block/{device}/loop/backing_file").read_text()
        except FileNotFoundError:
            return False
        return file.startswith(str(self._memory))


@contextmanager
def disk(kind: str, place: Path) -> Iterator[Disk]:
    """A disk below the empty directory `place` for a while."""
    made = Disk(kind, place)
    made.make()
    try:
        yield made
    finally:
        made.remove()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=180)
