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
from overlay.model.node import Node
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
