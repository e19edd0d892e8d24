"""Limits of an upper layer: what is counted is what there is, and no more is ever taken.

BUDGET_OPERATIONS=N does so many random operations, of another seed with BUDGET_SEED.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from index.linux.fd import DIR_FLAGS, Fd
from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.model.attributes import Changes
from overlay.model.budget import Taken
from overlay.model.config import Limits
from overlay.model.contents import Stable
from overlay.model.usage import count
from tests.overlays import Dirs, Served, make_dirs
from tests.property.disk import filesystem

_OPERATIONS: Final = int(os.environ.get("BUDGET_OPERATIONS", "1500"))
_SEED: Final = os.environ.get("BUDGET_SEED", "1")
_MEGABYTE: Final = 1 << 20
_NONE: Final = Limits(1 << 40, 1 << 30)


def opened(dirs: Dirs, limits: Limits = _NONE) -> Served:
    overlay = Overlay.open(dirs.config)
    overlay.limit(limits)
    return Served(overlay)


def taken(tree: Served) -> Taken:
    """What is counted, as FSSTAT tells it."""
    budget = tree.overlay._tree.budget
    assert budget is not None
    return budget.taken


def there(dirs: Dirs) -> Taken:
    inodes = Fd(os.open(dirs.work / "inodes", DIR_FLAGS))
    return count(Fd(os.open(dirs.upper, DIR_FLAGS)), inodes)


def note(dirs: Dirs) -> Path:
    return dirs.work / "identity" / "taken"


def write(tree: Served, path: str, offset: int, size: int) -> None:
    node = tree.node(path)
    for at in range(offset, offset + size, _MEGABYTE):
        data = os.urandom(min(_MEGABYTE, offset + size - at))
        tree.overlay.write(node, ROOT, at, data, Stable.UNSTABLE)


class Work:
    """Random operations, of which some fail."""

    def __init__(self, tree: Served, draw: random.Random) -> None:
        self._tree = tree
        self._draw = draw
        self._new = 0

    def step(self) -> None:
        paths = [path for path in self._tree.paths() if path]
        path, other = self._draw.choice(paths), self._draw.choice(paths)
        directory = path if self._tree.node(path).is_dir else path.rpartition("/")[0]
        self._new += 1
        new = f"{directory}/n{self._new}".lstrip("/")
        tree, size = self._tree, self._draw.choice((0, 1, 5000, 70_000, 300_000))
        verbs: list[Callable[[], object]] = [
            lambda: tree.create(new, "x" * size),
            lambda: tree.mkdir(new),
            lambda: tree.link(path, new),
            lambda: tree.rename(path, new),
            lambda: tree.rename(path, other),
            lambda: tree.remove(path),
            lambda: tree.rmdir(path),
            lambda: tree.chmod(path, 0o700),
            lambda: write(tree, path, size, 10_000),
            lambda: tree.overlay.setattr(tree.node(path), ROOT, Changes(size=size)),
            lambda: tree.overlay.symlink(*tree.parent(new), ROOT, b"t" * 200, Changes(uid=5)),
        ]
        with suppress(OSError):
            self._draw.choice(verbs)()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs"])
def test_what_is_counted_is_what_there_is(tmp_path: Path, kind: str) -> None:
    """Also after a clean end, after which nobody walks, and a crash, after which one does."""
    draw = random.Random(_SEED)
    with filesystem(kind, tmp_path) as disk:
        dirs = make_dirs(disk)
        for _ in range(3):
            tree = opened(dirs)
            assert not note(dirs).exists()
            assert close(taken(tree), there(dirs), kind)
            work = Work(tree, draw)
            for _ in range(_OPERATIONS // 3):
                work.step()
            os.sync()
            assert close(taken(tree), there(dirs), kind)
            tree.overlay.leave()
            assert note(dirs).exists()
            tree.create("after it was noted")
            assert not note(dirs).exists()
            tree.remove("after it was noted")
            tree.overlay.leave()
            tree.overlay.close()
            del tree, work


def close(counted: Taken, found: Taken, kind: str) -> bool:
    """Files are equal; space may differ by blocks of attributes and of directories' own."""
    slack = 0.02 * found.space + (1 << 18 if kind == "xfs" else 1 << 17)
    return counted.files == found.files and abs(counted.space - found.space) <= slack


def until_refused(fill: Callable[[int], object]) -> int:
    """How often it could be done; raises what is no EDQUOT."""
    for number in range(100_000):
        try:
            fill(number)
        except OSError as problem:
            if problem.errno != errno.EDQUOT:
                raise
            return number
    raise AssertionError("there is no end")


def assert_refused(act: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EDQUOT)):
        act()


def test_space_is_limited(tmp_path: Path) -> None:
    dirs = make_dirs(tmp_path)
    (dirs.lower / "big").write_bytes(os.urandom(8 * _MEGABYTE))
    tree = opened(dirs, Limits(space=6 * _MEGABYTE))
    tree.create("f")
    number = until_refused(lambda at: write(tree, "f", at * 100_000, 100_000))
    assert 5 * _MEGABYTE < number * 100_000 <= 6 * _MEGABYTE
    end = number * 100_000 // 4096 * 4096
    until_refused(lambda at: write(tree, "f", end + at * 4096, 4096))
    write(tree, "f", 0, _MEGABYTE)  # what is there may be written again
    for grown in (
        lambda: tree.mkdir("new"),
        lambda: tree.create("new"),
        lambda: write(tree, "big", 0, 1),
        lambda: write(tree, "f", 1 << 30, 5000),
    ):
        assert_refused(grown)
    space = tree.overlay.statvfs(tree.overlay.root)
    assert space.f_blocks * space.f_frsize == 6 * _MEGABYTE
    assert space.f_bavail * space.f_frsize < 200_000
    assert there(dirs).space <= 6 * _MEGABYTE
    tree.remove("b")  # a lower file with two names has to be copied up for that
    tree.overlay.setattr(tree.node("f"), ROOT, Changes(size=1000))
    assert tree.overlay.statvfs(tree.overlay.root).f_bavail * space.f_frsize > 5 * _MEGABYTE
    write(tree, "f", 0, 3 * _MEGABYTE)
    tree.remove("f")
    tree.create("new", "again")
    tree.overlay.close()


def test_files_are_limited(tmp_path: Path) -> None:
    dirs = make_dirs(tmp_path)
    tree = opened(dirs, Limits(files=50))
    assert until_refused(lambda number: tree.create(f"f{number}")) == 50
    space = tree.overlay.statvfs(tree.overlay.root)
    assert (space.f_files, space.f_ffree, space.f_favail) == (50, 0, 0)
    for made in (
        lambda: tree.mkdir("new"),
        lambda: tree.overlay.symlink(tree.overlay.root, b"new", ROOT, b"x", Changes()),
        lambda: tree.chmod("a", 0o600),
    ):
        assert_refused(made)
    write(tree, "f0", 0, 100_000)
    tree.link("f0", "another name")
    tree.remove("another name")
    assert taken(tree).files == 50
    tree.remove("b")
    tree.remove("d/f")
    assert tree.overlay.statvfs(tree.overlay.root).f_ffree == 0
    for number in range(50):
        tree.remove(f"f{number}")
    assert taken(tree).files == there(dirs).files
    tree.create("new")
    tree.overlay.close()


def test_threads_do_not_take_more_together(tmp_path: Path) -> None:
    dirs = make_dirs(tmp_path)
    tree = opened(dirs, Limits(space=8 * _MEGABYTE, files=40))

    def fill(thread: int) -> None:
        with suppress(OSError):
            for number in range(100):
                tree.create(f"t{thread}-{number}")
                write(tree, f"t{thread}-{number}", 0, 400_000)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fill, range(8)))
    os.sync()
    found = there(dirs)
    assert found.space <= 8 * _MEGABYTE
    assert found.files <= 40
    assert close(taken(tree), found, "ext4")
    tree.overlay.close()


def test_a_note_counts_once_and_only_if_all_is_as_it_was(tmp_path: Path) -> None:
    dirs = make_dirs(tmp_path)
    tree = opened(dirs)
    write(tree, "a", 0, 100_000)
    tree.overlay.leave()
    tree.overlay.close()
    first, _, state = note(dirs).read_bytes().partition(b"\n")
    assert first.split()[1] == b"%d" % there(dirs).files
    for text, is_believed in (
        (b"7000 7\n" + state, True),
        (b"7000 7\n" + state[1:], False),
        (b"7000\n" + state, False),
        (b"7000 x\n" + state, False),
        (b"", False),
    ):
        note(dirs).write_bytes(text)
        tree = opened(dirs)
        assert (taken(tree) == Taken(7000, 7)) == is_believed
        assert not note(dirs).exists()
        tree.overlay.close()
    note(dirs).write_bytes(b"7000 7\n" + state)
    overlay = Overlay.open(dirs.config)
    overlay.limit(Limits())  # from now on nobody counts
    overlay.close()
    assert not note(dirs).exists()
