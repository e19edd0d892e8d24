"""One object, one handle: by every route, after every change, for ever (I1 to I5)."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.model.attributes import Changes
from tests.overlays import Dirs, Served, make_dirs, served
from tests.property.disk import filesystem

_Change = Callable[[Served], None]


def _copy_up(tree: Served) -> None:
    for path in ("a", "d/f", "d", "p"):
        tree.chmod(path, 0o700)


def _rename(tree: Served) -> None:
    for path in ("a", "d", "s", "p"):
        tree.rename(path, f"e/{path}")


# Each leaves `a`, `d`, `d/f`, `d/sub`, `d/sub/g`, `s` and `p` at the paths in `_MOVED`.
_CHANGES: dict[str, _Change] = {
    "nothing": lambda _: None,
    "copy-up": _copy_up,
    "rename": _rename,
    "rename below": lambda tree: tree.rename("d/sub", "e/sub"),
    "link": lambda tree: tree.link("a", "e/a"),
}


def _unmoved(path: str) -> str:
    return path


_MOVED: dict[str, Callable[[str], str]] = {
    "rename": lambda path: f"e/{path}",
    "rename below": lambda path: path.replace("d/sub", "e/sub"),
}
_OBJECTS = ("", "a", "d", "d/f", "d/sub", "d/sub/g", "s", "p")


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return make_dirs(tmp_path)


@pytest.fixture
def tree(dirs: Dirs) -> Iterator[Served]:
    with served(dirs) as overlay:
        yield overlay


def _errno(tree: Served, handle: bytes) -> int:
    """The error of using a handle, 0 if it leads to an object."""
    try:
        tree.overlay.getattr(tree.overlay.resolve(handle))
    except OSError as problem:
        return problem.errno or 0
    return 0


@pytest.mark.parametrize("change", _CHANGES)
@pytest.mark.parametrize("walked", [True, False], ids=["walked", "from handles"])
def test_handles_survive(dirs: Dirs, change: str, walked: bool) -> None:
    """...the change, and a restart; also when nothing was looked up before they are used."""
    moved = _MOVED.get(change, _unmoved)
    with served(dirs) as tree:
        handles = {path: tree.node(path).handle for path in _OBJECTS}
        before = {path: tree.attributes(path) for path in _OBJECTS}
        _CHANGES[change](tree)
        for path, handle in handles.items():
            assert tree.node(moved(path) if path else "").handle == handle, path
    with served(dirs) as tree:
        if walked:
            tree.paths()
        for path, handle in handles.items():
            node = tree.overlay.resolve(handle)
            assert (node.handle, node.type) == (handle, before[path].mode & 0o170000), path
            assert tree.overlay.getattr(node).fileid == before[path].fileid, path
        entries = tree.listed(tree.overlay.resolve(handles["d/sub"]))
        assert [name for _, _, name in entries[2:]] == [b"g"]


def test_a_new_layer_on_top_changes_no_handle(dirs: Dirs) -> None:
    with served(dirs) as tree:
        handles = tree.handles()
    top = dirs.place / "top"
    (top / "d").mkdir(parents=True)
    (top / "d/added").touch()
    config = replace(dirs.config, lowerdirs=(os.fsencode(top), *dirs.config.lowerdirs))
    with closing(Overlay.open(config)) as overlay:
        tree = Served(overlay)
        assert tree.read("d/added") == b""
        now = tree.handles()
        assert {path: now[path] for path in handles} == handles
        for handle in handles.values():
            assert _errno(tree, handle) == 0


@pytest.mark.parametrize("path", ["a", "d/f", "s", "p"])
@pytest.mark.parametrize("copied", [False, True], ids=["lower", "upper"])
def test_removed_is_stale_for_ever(dirs: Dirs, path: str, copied: bool) -> None:
    with served(dirs) as tree:
        handle = tree.node(path).handle
        if copied:
            tree.overlay.setattr(tree.node(path), ROOT, Changes(uid=1))
        tree.remove(path)
        assert _errno(tree, handle) == errno.ESTALE
        tree.create(path)
        assert tree.node(path).handle != handle
    with served(dirs) as tree:
        assert _errno(tree, handle) == errno.ESTALE


@pytest.mark.parametrize("path", ["gone/in", "gone"])
def test_removed_directory_is_stale_for_ever(dirs: Dirs, path: str) -> None:
    with served(dirs) as tree:
        handle = tree.node(path).handle
        for name in ("gone/x", "gone/in/y"):
            tree.remove(name)
        tree.rmdir("gone/in")
        if path == "gone":
            tree.rmdir("gone")
            tree.mkdir("gone")
        else:
            tree.mkdir("gone/in")
        assert tree.node(path).handle != handle
        assert _errno(tree, handle) == errno.ESTALE
    with served(dirs) as tree:
        assert _errno(tree, handle) == errno.ESTALE


def test_moved_out_of_a_directory_that_is_then_replaced(dirs: Dirs) -> None:
    """What was below it lives on elsewhere, found past an ancestor that is gone."""
    with served(dirs) as tree:
        handle = tree.node("d/sub").handle
        tree.mkdir("kept")
        tree.rename("d/sub/g", "kept/g")
        tree.rename("d", "kept/d")
        below = tree.node("gone/in").handle
        tree.remove("gone/x")
        tree.rename("gone/in/y", "kept/y")
        tree.rename("gone/in", "kept/in")
        tree.rename("opened", "gone")
    with served(dirs) as tree:
        assert tree.overlay.resolve(handle).handle == tree.node("kept/d/sub").handle
        assert tree.overlay.resolve(below).handle == tree.node("kept/in").handle


def test_uncopied_below_one_moved_out_of_a_replaced_one(dirs: Dirs) -> None:
    (dirs.lower / "gone/in/deep/deeper").mkdir(parents=True)
    with served(dirs) as tree:
        handle = tree.node("gone/in/deep/deeper").handle
        tree.rename("gone/in", "in")
        tree.remove("gone/x")
        tree.rename("opened", "gone")
    with served(dirs) as tree:
        assert tree.overlay.resolve(handle).handle == handle
        assert tree.node("in/deep/deeper").handle == handle


def test_replaced_is_stale(tree: Served) -> None:
    file, directory = tree.node("a").handle, tree.node("d/sub").handle
    tree.rename("c", "a")
    assert _errno(tree, file) == errno.ESTALE
    tree.remove("d/sub/g")
    tree.mkdir("fresh")
    tree.rename("fresh", "d/sub")
    assert _errno(tree, directory) == errno.ESTALE


def _let_inodes_go(disk: Path) -> None:
    """XFS frees the inodes of removed files some time later, and at the latest when asked this."""
    os.statvfs(disk)
    os.sync()
    time.sleep(0.2)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs"])
def test_stale_also_when_the_inode_number_is_used_again(kind: str, tmp_path: Path) -> None:
    with filesystem(kind, tmp_path) as disk:
        dirs = make_dirs(disk)
        with served(dirs) as tree:
            tree.create("new")
            number, handle = tree.attributes("new").fileid, tree.node("new").handle
            tree.remove("new")
            if kind == "xfs":
                _let_inodes_go(disk)
            names = [f"new{attempt}" for attempt in range(100)]
            for name in names:
                tree.create(name)
            again = [name for name in names if tree.attributes(name).fileid == number]
            assert again or kind == "tmpfs", "the test is void: the number was not used again"
            assert all(tree.node(name).handle != handle for name in again)
            assert _errno(tree, handle) == errno.ESTALE
        del tree


def test_every_altered_byte_is_noticed(tree: Served) -> None:
    handle = tree.node("d/f").handle
    assert len(handle) <= 64
    for position in range(len(handle)):
        for bit in (1, 128):
            forged = bytearray(handle)
            forged[position] ^= bit
            assert _errno(tree, bytes(forged)) == errno.EBADF
    for cut in (handle[:-1], handle + b"\0", b"", handle * 2):
        assert _errno(tree, cut) == errno.EBADF


def test_another_export_does_not_take_the_handle(tree: Served, tmp_path: Path) -> None:
    handle = tree.node("d/f").handle
    place = tmp_path / "another"
    place.mkdir(0o755)
    with served(make_dirs(place)) as another:
        assert _errno(another, handle) == errno.EBADF


def test_below_a_directory_that_moved_out_of_one_that_is_gone(dirs: Dirs) -> None:
    (dirs.lower / "outer/inner/deep").mkdir(parents=True)
    with served(dirs) as tree:
        handle = tree.node("outer/inner/deep").handle
        tree.rename("outer/inner", "e/inner")
        tree.rmdir("outer")
        assert tree.node("e/inner/deep").handle == handle
    with served(dirs) as tree:
        assert tree.overlay.resolve(handle).handle == handle
