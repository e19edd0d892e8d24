"""Directories as deep as one likes: no operation has PATH_MAX, nor a recursion, for its limit."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from index.linux.fd import Fd, open_dir
from index.linux.remove_tree import remove_tree
from index.long_paths import LongPaths
from index.paths import KnownPaths, holds, name_in, path_of, way_up
from index.workdir import Workdir
from overlay.base.credentials import ROOT
from overlay.check.run import check
from overlay.filesystem import Overlay
from overlay.maintenance.detach import detach
from overlay.maintenance.seal import seal_overlay
from overlay.model.attributes import Changes
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from overlay.model.node import Node
from tests.overlays import Dirs, Served, mounted, served

LEVELS = 60
_NAME = b"d" * 200  # the kernel tells the path of twenty of them
_FILE = Changes(mode=0o644)
_DIR = Changes(mode=0o755)


def _opened(path: Path) -> Fd:
    return Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def _plant(top: Path, levels: int, name: bytes = _NAME) -> list[Fd]:
    """Directories in directories, each with a file `f`; all of them, opened."""
    opened = [_opened(top)]
    for _ in range(levels):
        os.mkdir(name, dir_fd=opened[-1])
        opened.append(open_dir(opened[-1], name))
        file = os.open(b"f", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=opened[-1])
        os.write(file, b"lower")
        os.close(file)
    return opened


@pytest.fixture
def dirs(tmp_path: Path) -> Iterator[Dirs]:
    made = Dirs(tmp_path)
    for path in (made.lower, made.upper, made.work):
        path.mkdir()
    yield made
    for path in (made.lower, made.upper, made.work):
        remove_tree(_opened(tmp_path), os.fsencode(path.name))  # pytest would use paths


def _walk(tree: Served, name: bytes = _NAME, levels: int = LEVELS) -> list[Node]:
    nodes: list[Node] = [tree.overlay.root]
    for _ in range(levels):
        nodes.append(tree.overlay.lookup(nodes[-1], name, ROOT))
    return nodes


def _names(tree: Served, node: Node) -> list[bytes]:
    return [name for _, _, name in tree.listed(node)[2:]]


@contextmanager
def opened(config: OverlayConfig) -> Iterator[Served]:
    overlay = Overlay.open(config)
    try:
        yield Served(overlay)
    finally:
        overlay.close()


def _is_sound(dirs: Dirs) -> bool:
    return not list(check(dirs.config, repair=False))


def test_a_path_has_no_limit(tmp_path: Path) -> None:
    opened = _plant(tmp_path, LEVELS)
    try:
        base, known = os.fsencode(tmp_path), KnownPaths()
        for level, fd in enumerate(opened):
            wanted = base + level * (b"/" + _NAME)
            assert path_of(fd) == path_of(fd, known) == path_of(fd, known) == wanted
        assert [name for _, name in way_up(opened[-1], opened[0])] == [_NAME] * LEVELS
        assert holds(opened[3], opened[-1])
        assert holds(opened[3], opened[3])
        assert not holds(opened[-1], opened[3])
        os.mkdir(b"aside", dir_fd=opened[0])
        assert not holds(opened[3], open_dir(opened[0], b"aside"))
    finally:
        for name in os.listdir(tmp_path):
            remove_tree(opened[0], os.fsencode(name))


def test_a_directory_without_a_name_is_stale(tmp_path: Path) -> None:
    (tmp_path / "removed").mkdir()
    removed, top = _opened(tmp_path / "removed"), _opened(tmp_path)
    (tmp_path / "removed").rmdir()
    (tmp_path / "removed").mkdir()
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        name_in(top, removed)


@pytest.mark.parametrize("length", [1, 799, 800, 801, 1700, 50_000])
def test_long_paths_are_kept(tmp_path: Path, length: int) -> None:
    paths = LongPaths(Workdir(_opened(tmp_path)))
    path = b"".join(b"/" + b"%d" % i * (i % 50 + 1) for i in range(length))[:length].rstrip(b"/")
    path = path or b"/x"
    called = paths.put(path)
    assert paths.put(path) == called
    assert paths.get(called) == path
    assert paths.put(path + b"/more") != called
    assert paths.get(called) == path
    assert paths.get(b"0123456789abcdef") is None


def test_a_deep_tree_is_made_used_and_removed_by_handle(dirs: Dirs) -> None:
    (dirs.lower / "f").write_text("lower")
    with served(dirs) as tree:
        nodes: list[Node] = [tree.overlay.root]
        for _ in range(LEVELS):
            nodes.append(tree.overlay.mkdir(nodes[-1], _NAME, ROOT, _DIR).node)
        handles = [node.handle for node in nodes]
        _use(tree, handles)
    with served(dirs) as tree:
        assert [tree.overlay.resolve(handle).handle for handle in reversed(handles)]
        _use(tree, handles)
    with served(dirs) as tree:
        assert [node.handle for node in _walk(tree)] == handles
    assert _is_sound(dirs)
    seal_overlay(dirs.config)
    with served(dirs) as tree:
        for above in reversed(handles[:-1]):
            tree.overlay.rmdir(tree.overlay.resolve(above), _NAME, ROOT)
        assert _names(tree, tree.overlay.root) == [b"f"]
    assert _is_sound(dirs)


def _use(tree: Served, handles: list[bytes]) -> None:
    """Every kind of change in the deepest directory, which is as it was afterwards."""
    overlay, deep = tree.overlay, tree.overlay.resolve(handles[-1])
    made = overlay.create(deep, b"file", ROOT, _FILE, True).node
    assert sorted(_names(tree, deep)) == [b"file"]
    assert overlay.lookup(deep, b"..", ROOT).handle == handles[-2]
    overlay.rename(deep, b"file", deep, b"file2", ROOT)
    overlay.link(made, deep, b"file3", ROOT)
    sub = overlay.mkdir(deep, b"sub", ROOT, _DIR).node
    overlay.rename(deep, b"sub", overlay.resolve(handles[-9]), b"sub2", ROOT)
    assert overlay.lookup(sub, b"..", ROOT).handle == handles[-9]
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        overlay.rename(overlay.resolve(handles[3]), _NAME, deep, b"in itself", ROOT)
    overlay.rename(overlay.resolve(handles[-9]), b"sub2", deep, b"sub", ROOT)
    overlay.rmdir(deep, b"sub", ROOT)
    lower = overlay.lookup(overlay.root, b"f", ROOT)
    overlay.rename(overlay.root, b"f", deep, b"f", ROOT)
    overlay.setattr(lower, ROOT, Changes(mode=0o600))
    overlay.rename(deep, b"f", overlay.root, b"f", ROOT)
    for name in (b"file2", b"file3"):
        overlay.remove(deep, name, ROOT)
    assert _names(tree, deep) == []


def test_a_deep_lower_tree_is_copied_up(dirs: Dirs) -> None:
    _plant(dirs.lower, LEVELS)
    with served(dirs) as tree:
        nodes = _walk(tree)
        handles = [node.handle for node in nodes]
        files = [tree.overlay.lookup(node, b"f", ROOT).handle for node in nodes[1:]]
    with served(dirs) as tree:
        for handle in (handles[-1], handles[25], handles[1]):
            assert tree.overlay.resolve(handle).handle == handle
        deepest = tree.overlay.resolve(handles[-1])
        tree.overlay.create(deepest, b"new", ROOT, _FILE, True)
    with served(dirs) as tree:
        for handle in reversed(files):
            tree.overlay.setattr(tree.overlay.resolve(handle), ROOT, Changes(mode=0o600))
        for node in _walk(tree)[1:]:
            tree.overlay.rename(node, b"f", node, b"g", ROOT)
    assert _is_sound(dirs)
    with served(dirs) as tree:
        nodes = _walk(tree)
        assert [node.handle for node in nodes] == handles
        found = [tree.overlay.lookup(node, b"g", ROOT) for node in nodes[1:]]
        assert [node.handle for node in found] == files
        for node in found:
            assert tree.overlay.getattr(node).mode & 0o777 == 0o600
            assert bytes(tree.overlay.read(node, ROOT, 0, 10)[0]) == b"lower"
    seal_overlay(dirs.config)
    detach(dirs.config, copy_data=False)
    assert not os.listdir(dirs.work)


def test_what_is_renamed_deep_down_takes_no_longer_than_its_depth(dirs: Dirs) -> None:
    """The namespace lock is held meanwhile, so a thousand levels may not cost a million steps."""
    levels = 1200
    with served(dirs) as tree:
        nodes: list[Node] = [tree.overlay.root]
        for _ in range(levels):
            nodes.append(tree.overlay.mkdir(nodes[-1], b"d", ROOT, _DIR).node)
        times = {}
        for depth in (levels // 4, levels):
            tree.overlay.mkdir(nodes[depth], b"sub", ROOT, _DIR)
            begin = time.process_time()
            for number in range(5):
                old, new = (nodes[depth], nodes[depth - 1])[:: 1 - number % 2 * 2]
                tree.overlay.rename(old, b"sub", new, b"sub", ROOT)
            times[depth] = time.process_time() - begin
    assert times[levels] < 10 * times[levels // 4] + 0.1


def test_a_deep_layer_without_file_handles_is_known_by_its_paths(dirs: Dirs) -> None:
    """A kernel mount without `nfs_export` has none."""
    below = Dirs(dirs.place / "below")
    for path in (below.place, below.lower, below.upper, below.work):
        path.mkdir()
    _plant(below.lower, LEVELS)
    with mounted(below) as layer:
        try:
            _use_by_paths(replace(dirs.config, lowerdirs=(os.fsencode(layer),)))
        finally:
            remove_tree(_opened(below.place), b"lower")


def _use_by_paths(config: OverlayConfig) -> None:
    with opened(config) as tree:
        nodes = _walk(tree)
        handles = [node.handle for node in nodes]
        files = [tree.overlay.lookup(node, b"f", ROOT).handle for node in nodes[1:]]
    for handle in (handles[-1], files[-1], files[2], handles[30]):
        with opened(config) as tree:
            assert tree.overlay.resolve(handle).handle == handle
    with opened(config) as tree:
        assert sorted(_names(tree, tree.overlay.resolve(handles[40]))) == [_NAME, b"f"]
        for file in (files[-1], files[1]):
            tree.overlay.setattr(tree.overlay.resolve(file), ROOT, Changes(mode=0o600))
        deep = tree.overlay.resolve(handles[-1])
        tree.overlay.rename(deep, b"f", tree.overlay.root, b"g", ROOT)
    with opened(config) as tree:
        assert tree.overlay.lookup(tree.overlay.root, b"g", ROOT).handle == files[-1]
        assert _names(tree, tree.overlay.resolve(handles[-1])) == []
        tree.overlay.write(tree.overlay.resolve(files[-1]), ROOT, 0, b"UPPER", Stable.UNSTABLE)
        assert tree.read("g") == b"UPPER"
    assert not list(check(config, repair=False))
