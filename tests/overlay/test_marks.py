"""Inodes whose own attributes leave ours no room: ext4 has 4 KiB for all of an inode.

What can be copied up by the kernel's overlayfs can be copied up here, up to the limit.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from index import xattrs
from overlay.base.credentials import ROOT
from overlay.check.run import check
from overlay.maintenance.detach import detach
from overlay.maintenance.seal import seal_overlay
from overlay.model.acl import (
    ACCESS_ACL,
    GROUP_OBJ,
    MASK,
    NO_ID,
    OTHER,
    USER,
    USER_OBJ,
    AclEntry,
    pack_acl,
)
from tests.overlays import Dirs, Served, kernel_tree, mounted, served
from tests.property.disk import filesystem

_LESS = (None, 400, 250, 190, 160, 130, 100, 80, 60, 40, 20, 0)  # bytes than there may be
_NAMES = {"f": "user.a", "l": "user.a", "d": "user.a", "s": "trusted.a", "p": "trusted.a"}


def _plant(dirs: Dirs, size: int) -> None:
    """A file, one with two names, a directory with a file, a link and a FIFO."""
    for path in (dirs.lower, dirs.upper, dirs.work):
        path.mkdir(parents=True)
    for name in ("f", "l"):
        (dirs.lower / name).write_text("lower")
    os.link(dirs.lower / "l", dirs.lower / "l2")
    (dirs.lower / "d").mkdir()
    (dirs.lower / "d/in").write_text("in")
    (dirs.lower / "made").mkdir()
    os.symlink("f", dirs.lower / "s")
    os.mkfifo(dirs.lower / "p")
    for name, attribute in _NAMES.items() if size else ():
        os.setxattr(dirs.lower / name, attribute, b"a" * size, follow_symlinks=False)


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with filesystem("ext4", tmp_path_factory.mktemp("ext4")) as disk:
        yield disk


@pytest.fixture(scope="module")
def limit(ext4: Path) -> int:
    """How long the only attribute of a file can be."""
    (ext4 / "probe").touch()
    for size in range(4096, 0, -4):
        try:
            os.setxattr(ext4 / "probe", "user.a", b"a" * size)
        except OSError:
            continue
        return size
    raise AssertionError


@pytest.fixture(params=_LESS)
def dirs(ext4: Path, limit: int, request: pytest.FixtureRequest) -> Dirs:
    made = Dirs(ext4 / f"{request.node.name}")
    _plant(made, 0 if request.param is None else limit - request.param)
    return made


def _own(dirs: Dirs) -> bytes:
    """The attribute that files were planted with."""
    had = "user.a" in os.listxattr(dirs.lower / "f")
    return os.getxattr(dirs.lower / "f", "user.a") if had else b""


def _has_its_own(dirs: Dirs, path: Path, name: str) -> bool:
    wanted = os.listxattr(dirs.lower / name, follow_symlinks=False)
    had = os.listxattr(path, follow_symlinks=False)
    return set(wanted) <= set(had)


def _is_sound(dirs: Dirs) -> bool:
    return not list(check(dirs.config, repair=False))


def _work(tree: Served) -> None:
    tree.chmod("f", 0o600)
    tree.chmod("l", 0o640)
    tree.rename("l2", "l3")
    tree.link("l", "made/l4")
    tree.chmod("d", 0o700)
    tree.write("d/in", "IN")
    tree.rename("s", "made/s")
    tree.rename("p", "p2")
    tree.create("d/new", "new")


def _where(tree: Served) -> dict[str, bytes]:
    paths = ("f", "l", "l3", "made/l4", "d", "d/in", "made/s", "p2", "d/new")
    return {path: tree.node(path).handle for path in paths}


def test_they_are_changed_and_known_again(dirs: Dirs) -> None:
    with served(dirs) as tree:
        before = {name: tree.node(name).handle for name in ("f", "l", "d", "d/in", "s", "p")}
        _work(tree)
        seen, handles = tree.tree(), _where(tree)
    for old, new in {"f": "f", "l": "made/l4", "d": "d", "s": "made/s", "p": "p2"}.items():
        assert handles[new] == before[old]
        assert _has_its_own(dirs, dirs.upper / new, old)
    assert _is_sound(dirs)
    for path, handle in handles.items():
        with served(dirs) as tree:
            number = tree.overlay.getattr(tree.overlay.resolve(handle)).fileid
            assert number == seen[path][6]
    with served(dirs) as tree:
        assert _where(tree) == handles
        assert tree.tree() == seen
        tree.write("f", "upper")
        for name in ("l", "l3", "made/l4"):
            assert tree.attributes(name).nlink
            tree.remove(name)
        for name in ("f", "made/s", "p2", "d/in", "d/new"):
            tree.remove(name)
        tree.rmdir("d")
    assert _is_sound(dirs)
    with served(dirs) as tree:
        assert tree.paths() == ["", "made"]
        for handle in handles.values():
            with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
                tree.overlay.getattr(tree.overlay.resolve(handle))
    assert not os.listdir(dirs.work / "marks")


def test_a_copy_of_the_layers_is_known_again(dirs: Dirs, limit: int) -> None:
    with served(dirs) as tree:
        _work(tree)
    seal_overlay(dirs.config)
    with served(dirs) as tree:
        seen, handles = tree.tree(), _where(tree)
    there = Dirs(dirs.place.parent / f"{dirs.place.name} copied")
    command = ["rsync", "-aHAX", f"{dirs.place}/", f"{there.place}"]
    if subprocess.run(command, capture_output=True, timeout=180, check=False).returncode:
        assert limit - len(_own(dirs)) < 300  # rsync finds no room, as it goes by another order
        return
    subprocess.run(["rm", "-rf", dirs.place], check=True, timeout=180)
    with served(there) as tree:
        assert _where(tree) == handles
        assert tree.tree() == seen
        tree.chmod("f", 0o604)
    with served(there) as tree:
        for path, handle in handles.items():
            assert tree.overlay.getattr(tree.overlay.resolve(handle)).fileid == seen[path][6]
    assert _is_sound(there)


def test_the_kernel_takes_over_what_is_detached(dirs: Dirs, limit: int) -> None:
    with served(dirs) as tree:
        _work(tree)
        seen = tree.tree()
    detach(dirs.config, copy_data=False)
    assert not {name for name in os.listdir(dirs.work) if name not in ("index", "work")}
    with mounted(dirs) as root:
        now = kernel_tree(root)
    # Its link count is an attribute as well.
    ours = {"l", "l3", "made/l4"} if limit - len(_own(dirs)) < 170 else set()
    for path in seen | now:
        assert seen[path][0] == now[path][0]
        assert seen[path][2:6] == now[path][2:6]
        assert seen[path][1] == now[path][1] or path in ours


def test_an_acl_goes_before_ours(dirs: Dirs) -> None:
    """As much of one as the file could have without us."""
    plain = dirs.place / "plain"
    subprocess.run(["cp", "-a", dirs.lower / "f", plain], check=True, timeout=180)
    plain.write_text("upper")
    with served(dirs) as tree:
        tree.write("f", "upper")
        if "trusted.overlay.origin" in os.listxattr(dirs.upper / "f"):
            origin = os.getxattr(dirs.upper / "f", xattrs.ORIGIN)
            os.setxattr(plain, xattrs.ORIGIN, origin)
        handle = tree.node("f").handle
        for count in range(1, 30):
            could, can = True, True
            try:
                os.setxattr(plain, ACCESS_ACL, pack_acl(_acl(count)))
            except OSError:
                could = False
            try:
                tree.overlay.set_acls(tree.node("f"), ROOT, _acl(count), None)
            except OSError:
                can = False
            assert could <= can
    with served(dirs) as tree:
        assert tree.node("f").handle == handle
    assert _is_sound(dirs)


def test_an_acl_goes_before_the_path_to_the_data(ext4: Path, limit: int) -> None:
    """A file that only has its metadata then gets its data."""
    dirs = Dirs(ext4 / "metacopy")
    _plant(dirs, 0)
    way = "/".join("n" * 250 for _ in range(limit * 8 // 10 // 251))
    (dirs.lower / way).mkdir(parents=True)
    (dirs.lower / way / "f").write_text("lower")
    with served(dirs) as tree:
        tree.chmod(f"{way}/f", 0o600)
        assert "trusted.overlay.metacopy" in os.listxattr(dirs.upper / way / "f")
        tree.overlay.set_acls(tree.node(f"{way}/f"), ROOT, _acl(limit // 3 // 8), None)
        handle = tree.node(f"{way}/f").handle
    assert "trusted.overlay.metacopy" not in os.listxattr(dirs.upper / way / "f")
    with served(dirs) as tree:
        assert tree.node(f"{way}/f").handle == handle
        assert tree.read(f"{way}/f") == b"lower"
    assert _is_sound(dirs)


def _acl(count: int) -> tuple[AclEntry, ...]:
    return (
        AclEntry(USER_OBJ, 6, NO_ID),
        *(AclEntry(USER, 4, 1000 + number) for number in range(count)),
        AclEntry(GROUP_OBJ, 4, NO_ID),
        AclEntry(MASK, 4, NO_ID),
        AclEntry(OTHER, 0, NO_ID),
    )


def test_a_file_of_an_inode_that_is_no_more_is_thrown_away(ext4: Path, limit: int) -> None:
    dirs = Dirs(ext4 / "no more")
    _plant(dirs, limit)
    marks = dirs.work / "marks"
    with served(dirs) as tree:
        tree.chmod("f", 0o600)
    (known,) = marks.iterdir()
    (marks / "00").touch()
    (marks / "no handle").touch()
    with served(dirs) as tree:
        assert tree.attributes("f").mode & 0o777 == 0o600
    assert list(marks.iterdir()) == [known]
    assert os.getxattr(known, xattrs.FH)
