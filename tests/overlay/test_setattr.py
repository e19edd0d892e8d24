"""Writing, truncating and changing modes take setuid and setgid away where the kernel does."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT, Credentials
from overlay.model.attributes import Changes
from overlay.model.contents import Stable
from overlay.model.node import FileNode, Node
from tests.overlays import Served, make_dirs, served
from tests.property import syscalls
from tests.property.kernel import acting

_OWNER, _GROUP = 1000, 2000
_CREDS = {
    "root": ROOT,
    "in the group": Credentials(_OWNER, 1000, frozenset({_GROUP})),
    "outside the group": Credentials(_OWNER, 1000),
}
_MODES = (0o6777, 0o2666, 0o2676, 0o4711, 0o6600, 0o0777)
_Ours = Callable[[Served, Node, Credentials], object]
_Kernels = Callable[[Path], object]


def _write(tree: Served, node: Node, cred: Credentials) -> None:
    tree.overlay.write(node, cred, 0, b"x", Stable.UNSTABLE)


def _kernel_write(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"x")


_ACTIONS: dict[str, tuple[_Ours, _Kernels]] = {
    "write": (_write, _kernel_write),
    "truncate": (
        lambda tree, node, cred: tree.overlay.setattr(node, cred, Changes(size=1)),
        lambda path: os.truncate(path, 1),
    ),
    "chmod": (
        lambda tree, node, cred: tree.overlay.setattr(node, cred, Changes(mode=0o6755)),
        lambda path: path.chmod(0o6755),
    ),
    "chgrp": (
        lambda tree, node, cred: tree.overlay.setattr(node, cred, Changes(gid=1000)),
        lambda path: os.chown(path, -1, 1000),
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Every mode as a file of a lower layer."""
    place = tmp_path_factory.mktemp("setattr")
    dirs = make_dirs(place)
    for name in (f"{action}-{cred}" for action in _ACTIONS for cred in _CREDS):
        for mode in _MODES:
            path = dirs.lower / f"{name}-{mode:o}"
            path.write_bytes(b"content")
            os.chown(path, _OWNER, _GROUP)
            path.chmod(mode)
    with served(dirs) as overlay:
        yield overlay


@pytest.mark.parametrize("mode", _MODES, ids=oct)
@pytest.mark.parametrize("cred", _CREDS)
@pytest.mark.parametrize("action", _ACTIONS)
def test_mode_afterwards(
    tree: Served, tmp_path_factory: pytest.TempPathFactory, action: str, cred: str, mode: int
) -> None:
    plain = tmp_path_factory.mktemp("plain") / "file"
    plain.write_bytes(b"content")
    os.chown(plain, _OWNER, _GROUP)
    plain.chmod(mode)
    ours, kernels = _ACTIONS[action]
    name = f"{action}-{cred}-{mode:o}"
    ours(tree, tree.node(name), _CREDS[cred])
    fd = os.open(plain, os.O_PATH)

    def act() -> None:
        with acting(_CREDS[cred]):
            kernels(Path(f"/proc/self/fd/{fd}"))

    try:
        with ThreadPoolExecutor(1, initializer=syscalls.plain_root_rules) as thread:
            thread.submit(act).result()
    finally:
        os.close(fd)
    assert oct(tree.attributes(name).mode) == oct(plain.stat().st_mode)
    assert stat.S_ISREG(plain.stat().st_mode)


def test_what_is_changed_again_is_changed_through_a_descriptor(tmp_path: Path) -> None:
    """One that is opened, not each time by a path; of what cannot be opened, by the path."""
    dirs = make_dirs(tmp_path)
    with served(dirs) as tree:
        tree.create("new")
        for name, is_opened in (("new", True), ("d", True), ("p", False), ("s", False)):
            node = _changed_twice(tree, name)
            assert isinstance(node.target, int) is is_opened
            assert os.stat(node.target).st_ino == (dirs.upper / name).lstat().st_ino
            assert tree.attributes(name).uid == 2000


def _changed_twice(tree: Served, name: str) -> Node:
    tree.overlay.setattr(tree.node(name), ROOT, Changes(uid=1))  # copied up
    tree.overlay._tree.caches.nodes.clear()
    node = tree.node(name)
    for uid in (1000, 2000):
        tree.overlay.setattr(node, ROOT, Changes(uid=uid))
    return node


def test_the_data_of_a_metacopy_is_never_what_is_changed(tmp_path: Path) -> None:
    """Although that is opened, to read it."""
    dirs = make_dirs(tmp_path)
    with served(dirs) as tree:
        tree.chmod("a", 0o600)
        tree.overlay._tree.caches.nodes.clear()
        node = tree.node("a")
        assert isinstance(node, FileNode)
        assert node.is_metacopy
        content = (dirs.lower / "a").read_bytes()
        for mode in (0o640, 0o604, 0o611):
            assert tree.read("a") == content
            tree.overlay.setattr(node, ROOT, Changes(mode=mode))
            assert stat.S_IMODE((dirs.upper / "a").stat().st_mode) == mode
        assert stat.S_IMODE((dirs.lower / "a").stat().st_mode) == 0o644
