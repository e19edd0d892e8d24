"""Layers of a kernel mount with `userxattr`: private attributes are `user.overlay.*`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from overlay.filesystem import Overlay
from tests.overlays import Dirs, Served, make_dirs
from tests.property import syscalls


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    dirs = make_dirs(tmp_path)
    os.setxattr(dirs.lower / "opened", "user.overlay.opaque", b"y")
    return dirs


@contextmanager
def serving(dirs: Dirs) -> Iterator[Served]:
    overlay = Overlay.open(replace(dirs.config, userxattr=True))
    try:
        yield Served(overlay)
    finally:
        overlay.close()


@contextmanager
def mounted(dirs: Dirs) -> Iterator[Path]:
    view = dirs.place / "view"
    view.mkdir(exist_ok=True)
    options = f"lowerdir={dirs.lower},upperdir={dirs.upper},workdir={dirs.work},userxattr"
    syscalls.mount(b"overlay", os.fsencode(view), b"overlay", options.encode())
    try:
        yield view
    finally:
        syscalls.unmount(os.fsencode(view))


def test_what_we_write_the_kernel_reads(dirs: Dirs) -> None:
    with serving(dirs) as served:
        fileid = served.node("d/f").fileid
        served.chmod("d/f", 0o600)
        served.remove("gone/x")
        served.remove("gone/in/y")
        served.rmdir("gone/in")
        served.rmdir("gone")
        served.mkdir("gone")
        served.rename("s", "e/s")
        with pytest.raises(OSError, match="cross-device") as refused:
            served.rename("d", "moved")
        assert refused.value.errno == errno.EXDEV
    assert "user.overlay.origin" in os.listxattr(dirs.upper / "d" / "f")
    assert os.getxattr(dirs.upper / "gone", "user.overlay.opaque") == b"y"
    with mounted(dirs) as view:
        assert (view / "d" / "f").stat().st_mode & 0o777 == 0o600
        assert (view / "d" / "f").stat().st_ino == fileid
        assert (view / "d" / "f").read_bytes() == (dirs.lower / "d" / "f").read_bytes()
        assert os.listdir(view / "gone") == []
        assert os.readlink(view / "e" / "s") == "a"


def test_what_the_kernel_writes_we_read(dirs: Dirs) -> None:
    with serving(dirs) as served:
        file, gone = served.node("d/f").handle, served.node("gone/x").handle
    with mounted(dirs) as view:
        (view / "d" / "f").write_bytes(b"by the kernel")
        (view / "d" / "f").rename(view / "moved")
        (view / "gone" / "x").unlink()
    with serving(dirs) as served:
        assert served.node("moved").handle == file
        assert served.overlay.resolve(file) == served.node("moved")
        assert served.read("moved") == b"by the kernel"
        with pytest.raises(OSError, match="Stale") as stale:
            served.overlay.resolve(gone)
        assert stale.value.errno == errno.ESTALE
