"""The permission function answers what the kernel answers for the same inode and credentials."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overlay.base.credentials import ROOT, Credentials
from overlay.model import acl as acls
from overlay.model.acl import ACCESS_ACL, parse_acl
from overlay.model.attributes import Attributes, Changes
from overlay.model.permission import granted, permits, require_unsticky
from overlay.ops.setattr import check_owner_change
from tests.property import syscalls
from tests.property.kernel import acting
from tests.property.layers import acl
from tests.property.users import ALICE, EVE

_NOBODY = 0xFFFFFFFF
_ids = st.sampled_from((0, 1000, 1001, 2000))
_creds = st.builds(Credentials, _ids, _ids, st.frozensets(_ids, max_size=3))
_rights = st.integers(0, 7)


@st.composite
def _acls(draw: st.DrawFn) -> bytes | None:
    """A valid access ACL that is more than the mode, or none."""
    users = draw(st.lists(st.sampled_from((1000, 1001, 2000)), unique=True, max_size=2))
    groups = draw(st.lists(st.sampled_from((1000, 1001, 2000)), unique=True, max_size=3))
    if not users + groups:
        return None
    entries = [(acls.USER_OBJ, draw(_rights), _NOBODY)]
    entries += [(acls.USER, draw(_rights), uid) for uid in sorted(users)]
    entries += [(acls.GROUP_OBJ, draw(_rights), _NOBODY)]
    entries += [(acls.GROUP, draw(_rights), gid) for gid in sorted(groups)]
    entries += [(acls.MASK, draw(_rights), _NOBODY)]
    entries += [(acls.OTHER, draw(_rights), _NOBODY)]
    return acl(*entries)


# One group may write, the other search, and nobody both.
_TWO_GROUPS = acl(
    (acls.USER_OBJ, 7, _NOBODY),
    (acls.GROUP_OBJ, 0, _NOBODY),
    (acls.GROUP, 2, 1000),
    (acls.GROUP, 1, 2000),
    (acls.MASK, 7, _NOBODY),
    (acls.OTHER, 7, _NOBODY),
)


@pytest.fixture(scope="module")
def user_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread that loses root's rights while it acts as somebody else."""
    with ThreadPoolExecutor(1, initializer=syscalls.plain_root_rules) as pool:
        yield pool


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inodes")


def _kernel_rights(fd: int, cred: Credentials, is_dir: bool) -> set[int]:
    """The sets of rights that access(2) grants, checked against open(2)."""
    path = b"/proc/self/fd/%d" % fd
    with acting(cred):
        held = {bits for bits in range(8) if os.access(path, bits, effective_ids=True)}
        assert _opens(path, os.O_RDONLY) == (os.R_OK in held)
        assert is_dir or _opens(path, os.O_WRONLY) == (os.W_OK in held)
        assert is_dir or _opens(path, os.O_RDWR) == (os.R_OK | os.W_OK in held)
    return held


def _opens(path: bytes, flags: int) -> bool:
    try:
        os.close(os.open(path, flags))
    except PermissionError:
        return False
    return True


@settings(max_examples=400)
@given(
    mode=st.integers(0, 0o777), uid=_ids, gid=_ids, value=_acls(), cred=_creds, is_dir=st.booleans()
)
@example(0o070, 0, 2000, None, Credentials(1000, 1000, frozenset({2000})), False)
@example(0o777, 0, 0, _TWO_GROUPS, Credentials(1000, 1000, frozenset({2000})), True)
def test_rights_are_the_kernels(
    place: Path,
    user_thread: ThreadPoolExecutor,
    mode: int,
    uid: int,
    gid: int,
    value: bytes | None,
    cred: Credentials,
    is_dir: bool,
) -> None:
    path = place / "inode"
    if is_dir:
        path.mkdir()
    else:
        path.touch()
    fd = os.open(path, os.O_PATH)
    try:
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        if value is not None:
            os.setxattr(path, ACCESS_ACL, value)
        inode = os.stat(path)
        kernels = user_thread.submit(_kernel_rights, fd, cred, is_dir).result()
        parsed = None if value is None else parse_acl(value)
        rights = granted(inode.st_mode, uid, gid, parsed, cred)
        assert {wanted for wanted in range(8) if permits(rights, wanted)} == kernels
    finally:
        os.close(fd)
        path.rmdir() if is_dir else path.unlink()


@settings(max_examples=200)
@given(
    owner=st.tuples(_ids, _ids),
    new=st.tuples(st.none() | _ids, st.none() | _ids).filter(lambda ids: ids != (None, None)),
    cred=_creds,
)
def test_who_may_change_owners(
    place: Path,
    user_thread: ThreadPoolExecutor,
    owner: tuple[int, int],
    new: tuple[int | None, int | None],
    cred: Credentials,
) -> None:
    path = place / "owned"
    path.touch()
    fd = os.open(path, os.O_PATH)
    os.chown(path, *owner)
    numbers = [-1 if number is None else number for number in new]

    def change() -> None:
        with acting(cred):
            os.chown(b"/proc/self/fd/%d" % fd, *numbers)

    try:
        kernels = _errno(lambda: user_thread.submit(change).result())
        changes = Changes(uid=new[0], gid=new[1])
        assert _errno(lambda: check_owner_change(*owner, changes, cred)) == kernels
    finally:
        os.close(fd)
        path.unlink()


def _errno(work: Callable[[], object]) -> int:
    try:
        work()
    except OSError as problem:
        return problem.errno or 0
    return 0


def _owned_by(uid: int, mode: int) -> Attributes:
    return Attributes(mode, 1, uid, 0, 0, 0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("cred", "allowed"),
    [(ROOT, True), (ALICE, True), (Credentials(1001, 0), True), (EVE, False)],
)
def test_sticky_directory(cred: Credentials, allowed: bool) -> None:
    sticky = _owned_by(ALICE.uid, stat.S_IFDIR | 0o1777)
    victim = _owned_by(1001, stat.S_IFREG | 0o666)
    code = _errno(lambda: require_unsticky(sticky, victim, cred))
    assert code == (0 if allowed else errno.EPERM)
    require_unsticky(_owned_by(ALICE.uid, stat.S_IFDIR | 0o777), victim, EVE)


@pytest.mark.parametrize(
    "value", [b"", b"\1\0\0\0", b"\2\0\0\0\1\0", b"\2\0\0\0" + b"\0" * 9], ids=repr
)
def test_a_damaged_acl_is_refused(value: bytes) -> None:
    assert _errno(lambda: parse_acl(value)) == errno.EINVAL
