"""ACLs of the merged tree change, and are inherited, as those of a local directory do."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlay.base.credentials import ROOT, Credentials
from overlay.model.acl import (
    ACCESS_ACL,
    DEFAULT_ACL,
    GROUP,
    GROUP_OBJ,
    MASK,
    NO_ID,
    OTHER,
    USER,
    USER_OBJ,
    Acl,
    AclEntry,
    acl_of_mode,
    pack_acl,
    parse_acl,
)
from overlay.model.attributes import Changes
from tests.overlays import Dirs, Served, make_dirs, served
from tests.property import syscalls
from tests.property.kernel import acting
from tests.property.users import ALICE, BOB, GIDS, UIDS, USERS

PATHS = ("d", "d/f", "d/sub", "d/sub/g", "a", "d/new", "d/sub/new", "new")
Step = tuple[str, str, Credentials, object]
T = TypeVar("T")
State = tuple[int, int, int, Acl, Acl]

_perms = st.integers(0, 7)
_modes = st.integers(0, 0o777)  # mkdir(2) has no other bits


@st.composite
def acls(draw: st.DrawFn) -> Acl:
    """What the kernel takes for an ACL, or now and then would not; or nothing."""
    if draw(st.integers(0, 9)) == 0:
        return ()
    users, groups = draw(st.sets(st.sampled_from(UIDS))), draw(st.sets(st.sampled_from(GIDS)))
    entries = [AclEntry(USER_OBJ, draw(_perms), NO_ID)]
    entries += [AclEntry(USER, draw(_perms), uid) for uid in sorted(users)]
    entries += [AclEntry(GROUP_OBJ, draw(_perms), NO_ID)]
    entries += [AclEntry(GROUP, draw(_perms), gid) for gid in sorted(groups)]
    if draw(st.integers(0, 9)) if users or groups else draw(st.booleans()):
        entries.append(AclEntry(MASK, draw(_perms), NO_ID))
    entries.append(AclEntry(OTHER, draw(_perms), NO_ID))
    return tuple(entries)


_step = st.one_of(
    st.tuples(st.sampled_from(("access", "default")), acls()),
    st.tuples(st.sampled_from(("chmod", "create", "mkdir")), _modes),
    st.tuples(st.just("remove"), st.none()),
)
_steps = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(USERS), _step).map(
        lambda drawn: (drawn[2][0], drawn[0], drawn[1], drawn[2][1])
    ),
    min_size=3,
    max_size=20,
)


@pytest.fixture(scope="module")
def user_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread that loses root's rights while it acts as somebody else."""
    with ThreadPoolExecutor(1, initializer=syscalls.plain_root_rules) as pool:
        yield pool


def prepared(place: Path) -> tuple[Dirs, Path]:
    """A lower layer that belongs to several users, and a local copy of it."""
    place.mkdir(0o755)
    dirs = make_dirs(place)
    for name, cred in (("d", ALICE), ("d/f", ALICE), ("d/sub", BOB), ("d/sub/g", BOB)):
        os.chown(dirs.lower / name, cred.uid, cred.gid)
    (dirs.lower / "d").chmod(0o2775)
    os.setxattr(dirs.lower / "d/sub", DEFAULT_ACL, pack_acl(_INHERITED))
    local = place / "local"
    shutil.copytree(dirs.lower, local, symlinks=True, ignore=shutil.ignore_patterns("p"))
    for name in PATHS[:5]:
        st = (dirs.lower / name).stat()
        os.chown(local / name, st.st_uid, st.st_gid)
        (local / name).chmod(stat.S_IMODE(st.st_mode))
    os.setxattr(local / "d/sub", DEFAULT_ACL, pack_acl(_INHERITED))
    return dirs, local


_INHERITED: Acl = (
    AclEntry(USER_OBJ, 7, NO_ID),
    AclEntry(USER, 6, ALICE.uid),
    AclEntry(GROUP_OBJ, 5, NO_ID),
    AclEntry(MASK, 7, NO_ID),
    AclEntry(OTHER, 1, NO_ID),
)


def ours(tree: Served, step: Step) -> None:
    kind, path, cred, value = step
    overlay = tree.overlay
    if kind in ("create", "mkdir"):
        parent, name = tree.parent(path)
        assert isinstance(value, int)
        if kind == "mkdir":
            overlay.mkdir(parent, name, cred, Changes(mode=value))
        else:
            overlay.create(parent, name, cred, Changes(mode=value), True)
    elif kind == "remove":
        node = tree.node(path)
        (tree.rmdir if node.is_dir else tree.remove)(path)
    elif kind == "chmod":
        assert isinstance(value, int)
        overlay.setattr(tree.node(path), cred, Changes(mode=value))
    else:
        assert isinstance(value, tuple)
        chosen = (value, None) if kind == "access" else (None, value)
        overlay.set_acls(tree.node(path), cred, *chosen)


def kernels(root: Path, step: Step) -> None:
    """The same in a local directory; root walks there, and the user does it."""
    kind, path, cred, value = step
    by_name = kind in ("create", "mkdir", "remove")
    place, name = (root / path).parent, os.path.basename(path)
    fd = os.open(place if by_name else root / path, os.O_PATH)
    proc = f"/proc/self/fd/{fd}"
    try:
        if kind == "remove":
            (os.rmdir if (root / path).is_dir() else os.unlink)(name, dir_fd=fd)
            return
        with acting(cred):
            if kind == "create":
                assert isinstance(value, int)
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDONLY, value, dir_fd=fd))
            elif kind == "mkdir":
                assert isinstance(value, int)
                os.mkdir(name, value, dir_fd=fd)
            elif kind == "chmod":
                assert isinstance(value, int)
                os.chmod(proc, value)
            else:
                _set(proc, ACCESS_ACL if kind == "access" else DEFAULT_ACL, value)
    finally:
        os.close(fd)


def _set(path: str, name: bytes, value: object) -> None:
    assert isinstance(value, tuple)
    if value:
        os.setxattr(path, name, pack_acl(value))
        return
    with contextlib.suppress(OSError):  # which has none
        os.getxattr(path, name)
    try:
        os.removexattr(path, name)
    except OSError as problem:
        if problem.errno != errno.ENODATA:
            raise


def outcome(make: Callable[[T, Step], None], where: T, step: Step) -> int:
    """0, or the errno; what is taken may as well be forbidden."""
    try:
        make(where, step)
    except OSError as problem:
        return errno.EACCES if problem.errno == errno.EEXIST else problem.errno or -1
    return 0


def state(root: Path, path: str) -> State | None:
    """Mode, owner, group, access ACL and default ACL of a local file."""
    try:
        st = (root / path).lstat()
    except OSError:
        return None
    access, default = (_local_acl(root / path, name) for name in (ACCESS_ACL, DEFAULT_ACL))
    return st.st_mode, st.st_uid, st.st_gid, access or acl_of_mode(st.st_mode), default or ()


def _local_acl(path: Path, name: bytes) -> Acl | None:
    try:
        return parse_acl(os.getxattr(path, name))
    except OSError as problem:
        if problem.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        return None


def our_state(tree: Served, path: str) -> State | None:
    try:
        node = tree.node(path)
    except OSError:
        return None
    found = tree.overlay.getattr(node)
    return found.mode, found.uid, found.gid, *tree.overlay.get_acls(node)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=_steps)
def test_as_in_a_local_directory(
    tmp_path: Path, user_thread: ThreadPoolExecutor, steps: list[Step]
) -> None:
    place = tmp_path / "case"
    dirs, local = prepared(place)
    try:
        with served(dirs) as tree:
            for step in steps:
                expected = user_thread.submit(outcome, kernels, local, step).result()
                assert outcome(ours, tree, step) == expected, step
                for path in PATHS:
                    assert our_state(tree, path) == state(local, path), (step, path)
    finally:
        shutil.rmtree(place)


def test_a_link_has_none(tmp_path: Path) -> None:
    with served(make_dirs(tmp_path)) as tree:
        link = tree.node("s")
        assert tree.overlay.get_acls(link) == (acl_of_mode(0o777), ())
        with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
            tree.overlay.set_acls(link, ROOT, _INHERITED, None)


def test_permission_follows_at_once(tmp_path: Path) -> None:
    with served(make_dirs(tmp_path)) as tree:
        before = tree.node("a")
        assert tree.overlay.access(before, ALICE) == (os.R_OK,)
        entries = (*_INHERITED[:2], *_INHERITED[2:4], AclEntry(OTHER, 0, NO_ID))
        tree.overlay.set_acls(before, ROOT, entries, None)
        assert tree.overlay.access(before, ALICE) == (os.R_OK | os.W_OK,)
        tree.overlay.set_acls(tree.node("a"), ROOT, acl_of_mode(0o600), None)
        assert tree.overlay.access(before, ALICE) == (0,)
