"""What a new object gets: type by type, by whoever and wherever, as from a kernel overlay mount.

There the same is done by the calls that a program makes: it creates the object, gives it
away if an owner is asked for, and sets the mode again.  INITIAL_ATTRIBUTES=N tries so many
objects, of another seed with INITIAL_ATTRIBUTES_SEED.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from overlay.base.credentials import ROOT, Credentials
from overlay.model.attributes import Changes
from overlay.model.node import Node
from tests.overlays import Dirs, Served, make_dirs, mounted, served
from tests.property import syscalls
from tests.property.kernel import acting
from tests.property.users import ALICE, GIDS, STAFF, UIDS, USERS

_NUMBER: Final = int(os.environ.get("INITIAL_ATTRIBUTES", "600"))
_SEED: Final = os.environ.get("INITIAL_ATTRIBUTES_SEED", "1")
_TYPES: Final = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK)
_SET_IDS: Final = stat.S_ISUID | stat.S_ISGID
_TIMES: Final = (1_234_567_890_000_000_001, 987_654_321_000_000_002)
_RDEV: Final = os.makedev(1, 3)


@dataclass(frozen=True)
class Wish:
    """One object to be made."""

    type: int
    parent: str
    cred: Credentials
    mode: int
    uid: int | None
    gid: int | None
    size: int | None
    has_times: bool

    @classmethod
    def any(cls, draw: random.Random, parents: list[str]) -> Wish:
        cred = draw.choice(USERS)
        devices = (stat.S_IFCHR, stat.S_IFBLK) if cred.is_root else ()
        return cls(
            draw.choice(_TYPES + devices),
            draw.choice(parents),
            cred,
            draw.randrange(0o10000) if draw.random() < 0.5 else draw.choice((0o6755, 0o2644)),
            draw.choice((None, None, cred.uid, *UIDS)),
            draw.choice((None, None, cred.gid, *GIDS)),
            draw.choice((None, None, 0, 5, 1 << 63)),
            draw.random() < 0.3,
        )

    @property
    def changes(self) -> Changes:
        atime, mtime = _TIMES if self.has_times else (None, None)
        return Changes(self.mode, self.uid, self.gid, self.size, atime, mtime)


def ours(tree: Served, wish: Wish, name: bytes) -> Node:
    overlay, parent, cred, changes = tree.overlay, tree.node(wish.parent), wish.cred, wish.changes
    if wish.type == stat.S_IFREG:
        return overlay.create(parent, name, cred, changes, True).node
    if wish.type == stat.S_IFDIR:
        return overlay.mkdir(parent, name, cred, changes).node
    if wish.type == stat.S_IFLNK:
        return overlay.symlink(parent, name, cred, b"target", changes).node
    rdev = _RDEV if wish.type in (stat.S_IFCHR, stat.S_IFBLK) else 0
    return overlay.mknod(parent, name, cred, wish.type, rdev, changes).node


def kernels(wish: Wish, path: Path) -> None:
    """The same by system calls, as the user."""
    if wish.type == stat.S_IFDIR:
        path.mkdir(wish.mode)
    elif wish.type == stat.S_IFLNK:
        path.symlink_to("target")
    elif wish.type == stat.S_IFREG:
        if wish.size is not None and wish.size >= 1 << 63:
            raise OSError(errno.EFBIG, "")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, wish.mode))
    else:
        rdev = _RDEV if wish.type in (stat.S_IFCHR, stat.S_IFBLK) else 0
        os.mknod(path, wish.type | wish.mode, rdev)
    _give_away(wish, path)
    if wish.type == stat.S_IFREG and wish.size:
        with acting(ROOT):  # it need not be writable for who makes it
            os.truncate(path, wish.size)
    if wish.has_times:
        os.utime(path, ns=_TIMES, follow_symlinks=False)


def _give_away(wish: Wish, path: Path) -> None:
    st = path.lstat()
    mode = stat.S_IMODE(st.st_mode)
    is_given = wish.uid not in (None, st.st_uid) or wish.gid not in (None, st.st_gid)
    if is_given:
        uid, gid = (-1 if each is None else each for each in (wish.uid, wish.gid))
        os.chown(path, uid, gid, follow_symlinks=False)
    if wish.type == stat.S_IFDIR:
        if wish.mode & _SET_IDS & ~mode:  # what mkdir(2) does not set; setgid it may inherit
            path.chmod(mode | wish.mode & _SET_IDS)
            if mode & stat.S_ISGID:
                with acting(ROOT):
                    path.chmod(mode | wish.mode & _SET_IDS)
    elif is_given and mode & _SET_IDS:
        with acting(ROOT):  # the owner may be another by now
            path.chmod(mode)


def seen(st: os.stat_result, has_times: bool) -> tuple[object, ...]:
    times = (st.st_atime_ns, st.st_mtime_ns) if has_times else ()
    size = st.st_size if stat.S_ISREG(st.st_mode) else None
    return oct(st.st_mode), st.st_uid, st.st_gid, size, st.st_rdev, times


def result(make: Callable[[], object]) -> str:
    try:
        make()
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]
    return "made"


@pytest.fixture
def both(tmp_path: Path) -> tuple[Dirs, Dirs]:
    """The same layers twice, with directories of several owners and groups, setgid or not."""
    pair = []
    for name in ("ours", "kernels"):
        (tmp_path / name).mkdir()
        dirs = make_dirs(tmp_path / name)
        for gid in (0, ALICE.gid, STAFF, 3000):
            for special in (0, stat.S_ISGID):
                path = dirs.lower / f"p{gid}-{special:o}"
                path.mkdir()
                os.chown(path, 0, gid)
                path.chmod(0o777 | special)
        pair.append(dirs)
    return pair[0], pair[1]


def compared(
    tree: Served, theirs: Path, made: Path, wish: Wish, thread: Executor
) -> tuple[object, object]:
    """What became of one wish, here and there."""
    fd = os.open(theirs.parent, os.O_PATH)  # what leads to it need not be open to all

    def act() -> str:
        with acting(wish.cred):
            return result(lambda: kernels(wish, Path(f"/proc/self/fd/{fd}") / theirs.name))

    try:
        told = result(lambda: ours(tree, wish, os.fsencode(made.name)))
        expected = thread.submit(act).result()
    finally:
        os.close(fd)
    if told != expected or told != "made":
        assert told == "made" or not os.path.lexists(made)
        return told, expected
    return seen(made.lstat(), wish.has_times), seen(theirs.lstat(), wish.has_times)


def test_initial_attributes(both: tuple[Dirs, Dirs]) -> None:
    draw = random.Random(_SEED)
    parents = sorted(path.name for path in both[0].lower.glob("p*-*"))
    wishes = [Wish.any(draw, parents) for _ in range(_NUMBER)]
    differences = []
    with (
        served(both[0]) as tree,
        mounted(both[1]) as kernel,
        ThreadPoolExecutor(1, initializer=syscalls.plain_root_rules) as thread,
    ):
        for number, wish in enumerate(wishes):
            where = Path(wish.parent) / f"n{number}"
            pair = compared(tree, kernel / where, both[0].upper / where, wish, thread)
            if pair[0] != pair[1]:
                differences.append((wish, *pair))
    assert not differences[:5], f"{len(differences)} of {_NUMBER}"
    assert list((both[0].work / "staging").iterdir()) == []
