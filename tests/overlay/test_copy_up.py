"""Copy-up keeps everything that can be seen of an object, and happens at the first change only."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from index.linux.fd import Fd
from index.linux.file_handle import handle_of
from index.origin import Origin
from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.lookup.resolve import resolve
from overlay.maintenance.seal import seal_overlay
from overlay.model.attributes import Changes
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from overlay.model.node import Node
from overlay.model.tree import Tree
from overlay.ops import copy_up
from tests.overlays import Dirs, Served, make_dirs, served
from tests.property.layers import DEVICE, DIR_XATTRS, FILE_XATTRS, TIME
from tests.property.trees import public_xattrs

_TYPES = ("a", "b", "s", "p", "device", "d", "d/sub")
_KIB = 1 << 10
FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_IMMUTABLE_FL = 0x10


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    dirs = make_dirs(tmp_path)
    os.mknod(dirs.lower / "device", stat.S_IFCHR | 0o640, DEVICE)
    for number, path in enumerate(sorted(dirs.lower.rglob("*"))):
        os.chown(path, number, 100 + number, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o640 + number % 8)
        os.utime(path, ns=(TIME + number, TIME - number), follow_symlinks=False)
    return dirs


@pytest.fixture
def tree(dirs: Dirs) -> Iterator[Served]:
    with served(dirs) as overlay:
        yield overlay


def _touch(tree: Served, path: str) -> None:
    """Change nothing but the access time."""
    tree.overlay.setattr(tree.node(path), ROOT, Changes(atime=TIME + 5))


@pytest.mark.parametrize("path", _TYPES)
def test_everything_is_kept(dirs: Dirs, tree: Served, path: str) -> None:
    before, handle = tree.attributes(path), tree.node(path).handle
    parent = tree.attributes(os.path.dirname(path))
    _touch(tree, path)
    after = tree.attributes(path)
    changed = {"atime": TIME + 5, "ctime": after.ctime, "used": after.used}
    if after.is_dir:  # these are the filesystem's own business
        changed |= {"size": after.size, "nlink": after.nlink}
    assert after == replace(before, **changed)
    assert tree.node(path).handle == handle
    assert stat.S_IFMT((dirs.upper / path).lstat().st_mode) == stat.S_IFMT(before.mode)
    shown = tree.attributes(os.path.dirname(path))
    assert (shown.atime, shown.mtime) == (parent.atime, parent.mtime) or not os.path.dirname(path)


@pytest.mark.parametrize("path", _TYPES)
def test_looking_copies_nothing(dirs: Dirs, tree: Served, path: str) -> None:
    node = tree.node(path)
    tree.overlay.access(node, ROOT)
    if node.is_dir:
        tree.overlay.readdir(node, ROOT)
    assert list(dirs.upper.iterdir()) == []


@pytest.mark.parametrize("xattrs", FILE_XATTRS)
@pytest.mark.parametrize("whole", [False, True], ids=["metadata", "data"])
def test_attributes_of_files_are_kept(
    dirs: Dirs, tree: Served, xattrs: tuple[tuple[bytes, bytes], ...], whole: bool
) -> None:
    for name, value in xattrs:
        os.setxattr(dirs.lower / "a", name, value)
    before = public_xattrs(os.fsencode(dirs.lower / "a"))
    mode = (dirs.lower / "a").stat().st_mode
    if whole:
        tree.overlay.write(tree.node("a"), ROOT, 0, b"", Stable.UNSTABLE)
    else:
        _touch(tree, "a")
    assert public_xattrs(os.fsencode(dirs.upper / "a")) == before
    assert tree.attributes("a").mode == mode


def test_a_write_takes_file_capabilities_away(dirs: Dirs, tree: Served) -> None:
    capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
    os.setxattr(dirs.lower / "a", b"security.capability", capability)
    _touch(tree, "a")
    assert "security.capability" in os.listxattr(dirs.upper / "a")
    tree.write("a", "x")
    assert "security.capability" not in os.listxattr(dirs.upper / "a")


@pytest.mark.parametrize("xattrs", DIR_XATTRS)
def test_attributes_of_directories_are_kept(
    dirs: Dirs, tree: Served, xattrs: tuple[tuple[bytes, bytes], ...]
) -> None:
    for name, value in xattrs:
        os.setxattr(dirs.lower / "d/sub", name, value)
    before = public_xattrs(os.fsencode(dirs.lower / "d/sub"))
    tree.create("d/sub/new")
    assert public_xattrs(os.fsencode(dirs.upper / "d/sub")) == before


def test_holes_stay_holes(dirs: Dirs, tree: Served) -> None:
    with open(dirs.lower / "sparse", "wb") as file:
        file.truncate(64 << 20)
        for offset in (1 << 20, 40 << 20):
            file.seek(offset)
            file.write(b"data" * _KIB)
    tree.write("sparse", "x")
    upper = (dirs.upper / "sparse").stat()
    assert upper.st_size == 64 << 20
    assert upper.st_blocks * 512 < 256 * _KIB
    expected = bytearray((dirs.lower / "sparse").read_bytes())
    expected[0:1] = b"x"
    assert (dirs.upper / "sparse").read_bytes() == expected


@pytest.mark.parametrize("path", ["a", "empty"])
def test_truncating_to_the_size_that_it_has_is_a_change(
    dirs: Dirs, tree: Served, path: str
) -> None:
    (dirs.lower / "empty").touch()
    os.utime(dirs.lower / "empty", ns=(TIME, TIME))
    had = tree.attributes(path)
    tree.overlay.setattr(tree.node(path), ROOT, Changes(size=had.size))
    assert tree.attributes(path).mtime > had.mtime
    assert tree.read(path) == (dirs.lower / path).read_bytes()


@pytest.mark.parametrize("size", [0, 3, 100, 4096, 10_000])
def test_truncating_copies_only_what_stays(dirs: Dirs, tree: Served, size: int) -> None:
    data = os.urandom(5000)
    (dirs.lower / "random").write_bytes(data)
    tree.overlay.setattr(tree.node("random"), ROOT, Changes(size=size))
    assert (dirs.upper / "random").read_bytes() == data[:size].ljust(size, b"\0")
    assert tree.attributes("random").size == size


@pytest.mark.parametrize("metacopy", [True, False])
def test_what_fails_after_a_file_was_cut_is_done_again(
    dirs: Dirs, monkeypatch: pytest.MonkeyPatch, metacopy: bool
) -> None:
    """An error would say that it has the size that it had."""
    failed: list[bytes] = []

    def once(tree: Tree, handle: bytes) -> Node:
        if not failed and (dirs.upper / "a").exists() and (dirs.upper / "a").stat().st_size == 1:
            failed.append(handle)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return resolve(tree, handle)

    monkeypatch.setattr(copy_up, "resolve", once)
    overlay = Overlay.open(replace(dirs.config, metacopy=metacopy))
    try:
        tree = Served(overlay)
        tree.overlay.setattr(tree.node("a"), ROOT, Changes(size=1))
        assert tree.attributes("a").size == 1
    finally:
        overlay.close()
    assert bool(failed) is not metacopy


@pytest.mark.parametrize(
    "changes", [Changes(mode=0o600), Changes(uid=7), Changes(gid=7), Changes(mtime=TIME)], ids=repr
)
def test_a_change_of_metadata_copies_no_data(dirs: Dirs, tree: Served, changes: Changes) -> None:
    content = (dirs.lower / "a").read_bytes()
    tree.overlay.setattr(tree.node("a"), ROOT, changes)
    with open(dirs.upper / "a", "rb") as file, pytest.raises(OSError, match="No such device") as no:
        os.lseek(file.fileno(), 0, os.SEEK_DATA)
    assert no.value.errno == errno.ENXIO
    assert tree.read("a") == content
    tree.write("a", "X")
    assert (dirs.upper / "a").read_bytes() == b"X" + content[1:]
    assert tree.read("a") == b"X" + content[1:]


def test_a_rename_copies_no_data(dirs: Dirs, tree: Served) -> None:
    content = (dirs.lower / "d/f").read_bytes()
    tree.rename("d/f", "e/new")
    tree.rename("d", "e/d2")
    with open(dirs.upper / "e/new", "rb") as file, pytest.raises(OSError, match="No such device"):
        os.lseek(file.fileno(), 0, os.SEEK_DATA)
    assert tree.read("e/new") == content


def test_nothing_is_left_in_staging(dirs: Dirs, tree: Served) -> None:
    for path in _TYPES:
        _touch(tree, path)
    tree.remove("a")
    assert set(os.listdir(dirs.work / "staging")) <= {"whiteout"}


def test_without_an_upper_layer_nothing_is_changed(
    dirs: Dirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    overlay = Overlay.open(OverlayConfig(dirs.config.lowerdirs))
    try:
        with pytest.raises(OSError, match="Read-only") as refused:
            overlay.setattr(Served(overlay).node("a"), ROOT, Changes(mode=0))
        assert refused.value.errno == errno.EROFS
    finally:
        overlay.close()


def test_a_file_that_is_written_by_its_handle_gets_its_upper_name(tmp_path: Path) -> None:
    """In whichever layer it is; the server knows nothing of it but the handle."""
    layers = [tmp_path / name for name in ("top", "bottom", "upper", "work")]
    for layer in layers:
        layer.mkdir()
    for layer in layers[:2]:
        (layer / "d").mkdir()
        (layer / "d" / layer.name).write_text("lower")
    top, bottom, upper, work = map(os.fsencode, layers)
    config = OverlayConfig((top, bottom), upper, work)
    overlay = Overlay.open(config)
    directory = overlay.lookup(overlay.root, b"d", ROOT)
    handles = [overlay.lookup(directory, name, ROOT).handle for name in (b"top", b"bottom")]
    overlay.close()
    overlay = Overlay.open(config)
    for handle in handles:
        overlay.write(overlay.resolve(handle), ROOT, 0, b"UP", Stable.UNSTABLE)
    overlay.close()
    for name in ("top", "bottom"):
        assert (layers[2] / "d" / name).read_text() == "UPwer"


@contextmanager
def unchangeable(directory: Path) -> Iterator[None]:
    """Names in a directory cannot be made for a while (chattr +i)."""
    fd = os.open(directory, os.O_RDONLY)
    flags = struct.pack("l", 0)
    (had,) = struct.unpack("l", fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags))
    try:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", had | FS_IMMUTABLE_FL))
        yield
    finally:
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", had))
        os.close(fd)


def test_a_copy_whose_name_cannot_be_made_is_the_object(dirs: Dirs, tree: Served) -> None:
    tree.chmod("d", 0o700)
    tree.read("d/f")
    with unchangeable(dirs.upper / "d"), pytest.raises(PermissionError):
        tree.write("d/f", "X")
    assert not (dirs.upper / "d/f").exists()
    tree.write("d/f", "Y")
    assert tree.read("d/f").startswith(b"Yower")
    assert (dirs.lower / "d/f").read_bytes().startswith(b"lower")


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("by", ["name", "handle"])
def test_the_origin_is_the_inode_that_was_copied(dirs: Dirs, copied: bool, by: str) -> None:
    """Also in a copy of a layer, where handles say what inode it was before."""
    with served(dirs) as tree:
        handle = tree.node("a").handle
    if copied:
        seal_overlay(dirs.config)
        dirs.lower.rename(dirs.place / "before")
        subprocess.run(["cp", "-a", dirs.place / "before", dirs.lower], check=True, timeout=60)
        subprocess.run(["rm", "-r", dirs.place / "before"], check=True, timeout=60)
    with served(dirs) as tree:
        node = tree.overlay.resolve(handle) if by == "handle" else tree.node("a")
        assert node.handle == handle
        tree.overlay.write(node, ROOT, 0, b"x", Stable.UNSTABLE)
        assert tree.node("a").handle == handle
    lower = Fd(os.open(dirs.lower / "a", os.O_PATH))
    said = Origin.unpack(os.getxattr(dirs.upper / "a", "trusted.overlay.origin"))
    assert said is not None
    assert said.real == handle_of(lower)
