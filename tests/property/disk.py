"""Real filesystems to test on, each in an image that lies in memory and is mounted for the session.

Rule: what is mounted here is unmounted here, and goes with the process if that is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.property.syscalls import mount, private_mounts, unmount

_MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-O", "^has_journal"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
}
_SIZE = 400 << 20
KINDS = ("ext4", "xfs", "btrfs", "tmpfs")


@contextlib.contextmanager
def filesystem(kind: str, place: Path, *options: str) -> Iterator[Path]:
    """An empty filesystem of `kind`, mounted below the empty directory `place`.

    `options` are of the program that makes it.
    """
    private_mounts()
    memory = place / "memory"
    memory.mkdir()
    mount(b"test", os.fsencode(memory), b"tmpfs", b"size=1g")
    try:
        if kind == "tmpfs":
            yield memory
            return
        with _image(kind, memory / "image", place / "disk", options) as disk:
            yield disk
    finally:
        # After a failure a traceback may hold files open.
        unmount(os.fsencode(memory), lazily=True)


def takes(step: Callable[[], object]) -> bool:
    """Whether there was space for something."""
    try:
        step()
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        return False
    return True


def fill(directory: Path, files: int = 0) -> None:
    """Take all blocks of a filesystem; then so many inodes, as far as those can be had without."""
    with (directory / "blocks").open("wb", buffering=0) as file:
        size = 0
        for more in (16 << 20, 1 << 20, 64 << 10, 4 << 10):
            while takes(partial(os.posix_fallocate, file.fileno(), size, more)):
                size += more
    for number in range(files):
        if not takes((directory / f"{number:0200}").touch):
            return


@contextlib.contextmanager
def _image(kind: str, image: Path, disk: Path, own: tuple[str, ...]) -> Iterator[Path]:
    with open(image, "wb") as file:
        file.truncate(_SIZE)
    subprocess.run([*_MAKE[kind], *own, str(image)], check=True, capture_output=True, timeout=180)
    disk.mkdir()
    options = ["mount", "-t", kind, "-o", "loop,noatime", str(image), str(disk)]
    subprocess.run(options, check=True, capture_output=True, timeout=180)
    try:
        yield disk
    finally:
        # The loop device goes with the last user of the filesystem.
        unmount(os.fsencode(disk), lazily=True)
