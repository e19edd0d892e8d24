"""Lower layers whose kernel file handles do not fit into the ones that clients get.

An overlay mount with nfs_export has handles of 24 bytes and those of the layer of an object: 36
on tmpfs, where 34 fit. What has such a handle is known by its path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.identity import fits_wire
from index.linux.fd import Fd
from index.linux.file_handle import handle_of
from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from tests.overlays import Served
from tests.property import syscalls
from tests.property.random_stack import mount_options
from tests.property.stack import Stack

_FILES = {"file": b"content", "dir/file": b"in a directory", "dir/sub/deep": b"deep"}


def _fits(path: Path) -> bool:
    return fits_wire(handle_of(Fd(os.open(path, os.O_PATH))))


def _fill(root: Path, *, prefix: str = "") -> None:
    for path, content in _FILES.items():
        (root / prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (root / prefix / path).write_bytes(content)


@pytest.fixture
def lower(tmp_path: Path) -> Iterator[Path]:
    """An overlay mount: all that is below `short` has short handles, all else has long ones."""
    syscalls.private_mounts()
    memory, base, mount = (tmp_path / name for name in ("memory", "base", "mount"))
    for path in (memory, base, mount):
        path.mkdir()
    syscalls.mount(b"test", os.fsencode(memory), b"tmpfs", b"size=8m,mode=755")
    for name in ("upper", "work"):
        (memory / name).mkdir()
    (base / "short").mkdir()
    _fill(base, prefix="short")
    options = mount_options([base], [], (memory / "upper", memory / "work"))
    syscalls.mount(b"test", os.fsencode(mount), b"overlay", options + b",index=on,nfs_export=on")
    _fill(mount)
    yield mount
    syscalls.unmount(os.fsencode(mount), lazily=True)
    syscalls.unmount(os.fsencode(memory), lazily=True)


@pytest.mark.parametrize("below", ["", "short"])
def test_everything_is_served(lower: Path, tmp_path: Path, below: str) -> None:
    assert not _fits(lower / "file")
    if not _fits(lower / "short/file"):
        pytest.skip("the temporary directory is on a filesystem with long handles itself")
    stack = Stack.make(tmp_path / "served", 0)
    stack = Stack((lower / below,), stack.upper, stack.work)
    overlay = Overlay.open(stack.config)
    served = Served(overlay)
    handles = served.handles()
    numbers = {path: served.attributes(path).fileid for path in handles}
    for path in handles:
        node = served.node(path)
        if node.is_dir:
            for _, number, name in served.listed(node)[2:]:
                assert number == numbers[f"{path}/{os.fsdecode(name)}".lstrip("/")]
    overlay.close()
    assert len(set(numbers.values())) == len(handles) >= 6
    for path, handle in handles.items():
        overlay = Overlay.open(stack.config)
        assert overlay.getattr(overlay.resolve(handle)).fileid == numbers[path]
        overlay.close()


def test_everything_can_be_changed(lower: Path, tmp_path: Path) -> None:
    stack = Stack.make(tmp_path / "served", 0)
    stack = Stack((lower,), stack.upper, stack.work)
    overlay = Overlay.open(stack.config)
    served = Served(overlay)
    handles = served.handles()
    served.write("file", "C")
    served.rename("dir", "moved")
    served.chmod("moved/sub/deep", 0o600)
    served.remove("short/file")
    served.create("short/dir/new", "new")
    overlay.close()
    overlay = Overlay.open(stack.config)
    for path, content in (("file", b"Content"), ("dir/sub/deep", b"deep")):
        node = overlay.resolve(handles[path])
        assert bytes(overlay.read(node, ROOT, 0, 100)[0]) == content
    for path, names in (("dir", {b"file", b"sub"}), ("short/dir", {b"file", b"sub", b"new"})):
        entries = overlay.readdir(overlay.resolve(handles[path]), ROOT).after(0)
        assert {name for *_, name in entries} - {b".", b".."} == names
    overlay.close()
