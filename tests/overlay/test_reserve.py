"""Users fill a filesystem up to what it keeps for root, by whatever call; root goes on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from index.linux.syscalls import capabilities
from overlay.base.credentials import ROOT, Credentials
from overlay.model.attributes import Changes
from overlay.model.contents import Stable
from tests.overlays import Served, make_dirs, served
from tests.property.disk import filesystem
from tests.property.users import ALICE

_MEGABYTE = 1 << 20
_CAP_SYS_RESOURCE = 24
_SLACK = 64 << 10  # bytes: what the filesystem notes besides


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Served]:
    """On an ext4 that keeps a twentieth for root."""
    with filesystem("ext4", tmp_path) as disk:
        dirs = make_dirs(disk)
        for number in range(3):
            (dirs.lower / f"big{number}").write_bytes(os.urandom(4 * _MEGABYTE))
        dirs.lower.chmod(0o777)
        dirs.upper.chmod(0o777)
        with served(dirs) as overlay:
            yield overlay


def space(tree: Served) -> os.statvfs_result:
    os.sync()
    return tree.overlay.statvfs(tree.overlay.root)


def until_full(fill: Callable[[int], object]) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        deque(map(fill, count()), maxlen=0)


def write(tree: Served, name: bytes, cred: Credentials) -> Callable[[int], object]:
    overlay = tree.overlay
    node = overlay.create(overlay.root, name, cred, Changes(mode=0o600), True).node
    data = b"x" * _MEGABYTE

    def fill(number: int) -> None:
        overlay.write(node, cred, number * _MEGABYTE, data, Stable.UNSTABLE)

    return fill


def copy_up(tree: Served) -> Callable[[int], object]:
    """The first write to a lower file, of which its owner changes a byte."""

    def fill(number: int) -> None:
        node = tree.node(f"big{number}")
        tree.overlay.write(node, ROOT, 0, b"y", Stable.UNSTABLE)

    return fill


def test_users_leave_what_is_kept_for_root(tree: Served) -> None:
    assert not capabilities() >> _CAP_SYS_RESOURCE & 1
    before = space(tree)
    kept = (before.f_bfree - before.f_bavail) * before.f_frsize
    assert kept > 10 * _MEGABYTE
    until_full(write(tree, b"alice", ALICE))
    full = space(tree)
    assert full.f_bavail * full.f_frsize < _MEGABYTE
    assert full.f_bfree * full.f_frsize >= kept - _SLACK
    until_full(copy_up(tree))
    full = space(tree)
    assert full.f_bfree * full.f_frsize >= kept - _SLACK
    until_full(write(tree, b"root", ROOT))
    full = space(tree)
    assert full.f_bfree * full.f_frsize < kept / 2
    tree.overlay.remove(tree.overlay.root, b"alice", ALICE)
    tree.overlay.remove(tree.overlay.root, b"root", ROOT)
    tree.write("a", "again")
    assert tree.read("a").startswith(b"again")
