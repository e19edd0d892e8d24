"""What the system calls of our own do where the kernel says nothing of a failure."""

from __future__ import annotations

import os

import pytest

from index.linux.fd import Fd
from index.linux.syscalls import set_fs_ids

INVALID = 0xFFFFFFFF


@pytest.mark.parametrize(("uid", "gid"), [(INVALID, 1000), (1000, INVALID), (INVALID, INVALID)])
def test_an_id_that_is_none_is_refused_and_changes_nothing(uid: int, gid: int) -> None:
    """setfsuid(2) would leave the user as it is, root for one, and report no error."""
    set_fs_ids(1001, 1002)
    try:
        with pytest.raises(PermissionError):
            set_fs_ids(uid, gid)
        made = os.fstat(Fd(os.memfd_create("made")))
    finally:
        set_fs_ids(0, 0)
    assert (made.st_uid, made.st_gid) == (1001, 1002)
