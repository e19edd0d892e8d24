"""Immutable and append-only objects: what they take and refuse is what a kernel mount does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from overlay.base.credentials import ROOT
from overlay.model.acl import acl_of_mode
from overlay.model.attributes import NOW, Changes
from overlay.model.contents import Stable
from tests.overlays import Dirs, Served, make_dirs, mounted, served
from tests.property.disk import filesystem

_GETFLAGS: Final = 0x80086601
_SETFLAGS: Final = 0x40086602
_FLAGS: Final = {"i": 0x10, "a": 0x20, "ia": 0x30}
_ACL: Final = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, perm, 0xFFFFFFFF) for tag, perm in ((1, 7), (4, 5), (32, 0))
)
_FILES: Final = ("file", "dir/in", "dir/sub/deep", "upper", "upper-dir/in")
_DIRECTORIES: Final = ("dir", "dir/sub", "upper-dir")


def set_flags(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        had = struct.unpack("l", fcntl.ioctl(fd, _GETFLAGS, bytes(8)))[0] & ~0x30
        fcntl.ioctl(fd, _SETFLAGS, struct.pack("l", had | flags))
    finally:
        os.close(fd)


_Ours = Callable[[Served, str], object]
_Kernels = Callable[[Path], object]


def _append(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"x")


def _touch(path: Path) -> None:
    os.utime(path)


def _beside(path: str) -> str:
    return f"{path}-beside"


def _replace(tree: Served, path: str) -> None:
    """Rename a new object of the same type over it."""
    if tree.node(path).is_dir:
        tree.mkdir(_beside(path))
    else:
        tree.create(_beside(path))
    tree.rename(_beside(path), path)


def _kernel_replace(path: Path) -> None:
    beside = Path(_beside(str(path)))
    if path.is_dir():
        beside.mkdir()
    else:
        beside.touch()
    beside.rename(path)


_ON_ANY: Final[dict[str, tuple[_Ours, _Kernels]]] = {
    "chmod": (
        lambda tree, path: tree.overlay.setattr(tree.node(path), ROOT, Changes(mode=0o700)),
        lambda path: path.chmod(0o700),
    ),
    "chown": (
        lambda tree, path: tree.overlay.setattr(tree.node(path), ROOT, Changes(uid=5)),
        lambda path: os.chown(path, 5, -1),
    ),
    "times": (
        lambda tree, path: tree.overlay.setattr(tree.node(path), ROOT, Changes(atime=1, mtime=2)),
        lambda path: os.utime(path, ns=(1, 2)),
    ),
    "touch": (
        lambda tree, path: tree.overlay.setattr(
            tree.node(path), ROOT, Changes(atime=NOW, mtime=NOW)
        ),
        _touch,
    ),
    "acl": (
        lambda tree, path: tree.overlay.set_acls(tree.node(path), ROOT, acl_of_mode(0o750), None),
        lambda path: os.setxattr(path, "system.posix_acl_access", _ACL),
    ),
    "rename": (
        lambda tree, path: tree.rename(path, path + "-renamed"),
        lambda path: path.rename(f"{path}-renamed"),
    ),
    "replace": (_replace, _kernel_replace),
}
_ON_FILES: Final[dict[str, tuple[_Ours, _Kernels]]] = {
    "write": (lambda tree, path: tree.write(path, "x"), _append),
    "truncate": (
        lambda tree, path: tree.overlay.setattr(tree.node(path), ROOT, Changes(size=1)),
        lambda path: os.truncate(path, 1),
    ),
    "link": (
        lambda tree, path: tree.link(path, path + "-linked"),
        lambda path: os.link(path, f"{path}-linked"),
    ),
    "remove": (lambda tree, path: tree.remove(path), lambda path: path.unlink()),
}
_IN_DIRECTORIES: Final[dict[str, tuple[_Ours, _Kernels]]] = {
    "create in": (
        lambda tree, path: tree.create(path + "/new"),
        lambda path: (path / "new").touch(),
    ),
    "mkdir in": (
        lambda tree, path: tree.mkdir(path + "/newdir"),
        lambda path: (path / "newdir").mkdir(),
    ),
    "rmdir": (lambda tree, path: tree.rmdir(path), lambda path: path.rmdir()),
}


def result(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]
    return "done"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with filesystem("ext4", tmp_path_factory.mktemp("protection")) as place:
        yield place


@contextlib.contextmanager
def layers(place: Path, target: str, flags: int) -> Iterator[Dirs]:
    """Layers in which one object is protected, in the upper one by the kernel's overlayfs."""
    os.umask(0o022)  # an overlay that was opened before has set it to zero
    place.mkdir()
    dirs = make_dirs(place)
    (dirs.lower / "dir/sub").mkdir(parents=True)
    for path in ("file", "dir/in", "dir/sub/deep"):
        (dirs.lower / path).write_text("lower")
    (dirs.upper / "upper-dir").mkdir()
    for path in ("upper", "upper-dir/in"):
        (dirs.upper / path).write_text("upper")
    real = dirs.lower / target
    if target.startswith("upper"):
        with mounted(dirs) as kernel:
            set_flags(kernel / target, flags)
    else:
        set_flags(real, flags)
    try:
        yield dirs
    finally:
        if not target.startswith("upper"):
            set_flags(real, 0)


def targets() -> Iterator[tuple[str, str]]:
    for target in _FILES:
        for action in (*_ON_ANY, *_ON_FILES):
            yield target, action
    for target in _DIRECTORIES:
        for action in (*_ON_ANY, *_IN_DIRECTORIES):
            yield target, action


@pytest.mark.parametrize("letters", _FLAGS)
@pytest.mark.parametrize("protected", [*_FILES, *_DIRECTORIES])
def test_as_the_kernel(disk: Path, letters: str, protected: str) -> None:
    """Every action on every object, each in fresh directories of ours and for a kernel mount."""
    actions = {**_ON_ANY, **_ON_FILES, **_IN_DIRECTORIES}
    differences = []
    related = [each for each in targets() if each[0].startswith(protected.split("/")[0])]
    place = disk / f"{letters}-{protected.replace('/', '-')}"
    place.mkdir()
    for number, (target, action) in enumerate(related):
        act, kernel_act = actions[action]
        ours, kernels = place / f"{number}-ours", place / f"{number}-kernels"
        with layers(ours, protected, _FLAGS[letters]) as dirs, served(dirs) as tree:
            found = result(partial(act, tree, target))
            assert {path.name for path in (dirs.work / "staging").iterdir()} <= {"whiteout"}
        with layers(kernels, protected, _FLAGS[letters]) as dirs, mounted(dirs) as kernel:
            expected = result(partial(kernel_act, kernel / target))
        if found != expected:
            differences.append((target, action, found, expected))
    assert differences == []


@pytest.mark.parametrize("letters", _FLAGS)
def test_a_copied_directory_stays_protected(disk: Path, letters: str) -> None:
    """What is below it may be changed, which copies it up; the kernel and we then read the same."""
    with layers(disk / f"copied-{letters}", "dir", _FLAGS[letters]) as dirs:
        for _ in range(2):
            with served(dirs) as tree:
                tree.write("dir/sub/deep", "changed")
                assert result(partial(tree.remove, "dir/in")) == "EPERM"
                assert result(partial(tree.chmod, "dir", 0o700)) == "EPERM"
                assert (tree.overlay.access(tree.node("dir"), ROOT) == (7,)) == (letters == "a")
            value = os.getxattr(dirs.upper / "dir", "trusted.overlay.protattr")
            assert sorted(value) == sorted(letters.encode())
            with mounted(dirs) as kernel:
                assert (kernel / "dir/sub/deep").read_text().startswith("changed")
                assert result((kernel / "dir/in").unlink) == "EPERM"


def test_access_and_data_of_protected_files(disk: Path) -> None:
    for letters in _FLAGS:
        with layers(disk / f"access-{letters}", "file", _FLAGS[letters]) as dirs:
            with served(dirs) as tree:
                (rights,) = tree.overlay.access(tree.node("file"), ROOT)
                assert rights & (os.R_OK | os.W_OK) == os.R_OK
                assert tree.read("file") == b"lower"
                with pytest.raises(PermissionError):
                    tree.overlay.write(tree.node("file"), ROOT, 5, b"x", Stable.UNSTABLE)
            assert {path.name for path in dirs.upper.iterdir()} == {"upper", "upper-dir"}
