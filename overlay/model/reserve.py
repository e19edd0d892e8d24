"""Space that a filesystem reserves for root: data of clients does not take it.

Ext4 gives it to processes that act as root, whatever capabilities they have.  So data is
written as another user.  To become one takes 4 us, a fifth of a small WRITE, and is done
only while little other space is free.
"""

from __future__ import annotations

import os
import time
from typing import Final

from index.linux.fd import Fd
from index.linux.syscalls import set_fs_user
from overlay.base.credentials import Credentials

_ROOT: Final = 0
_NOBODY: Final = 65534
_NEAR: Final = 512 << 20  # bytes, more than is written in the time between two looks
_LOOK_SECONDS: Final = 0.05


class _Acting:
    """While entered, this thread acts as a user towards filesystems, with all its rights."""

    __slots__ = ("_uid",)

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def __enter__(self) -> None:
        if self._uid != _ROOT:
            set_fs_user(self._uid)

    def __exit__(self, *_: object) -> None:
        if self._uid != _ROOT:
            set_fs_user(_ROOT)


_AS_ROOT: Final = _Acting(_ROOT)
_AS_NOBODY: Final = _Acting(_NOBODY)


class Reserve:
    """The space reserved for root on the filesystem of a directory."""

    __slots__ = ("_directory", "_is_near", "_looked")

    def __init__(self, directory: Fd) -> None:
        self._directory: Final = directory
        self._is_near = False
        self._looked = 0.0

    def left_by(self, cred: Credentials) -> _Acting:
        """Return what to hold while data is written for a user; root may use the space."""
        return _AS_ROOT if cred.is_root or not self._is_at_hand() else _Acting(cred.uid)

    def left(self) -> _Acting:
        """Return what to hold while data is copied, for any user."""
        return _AS_NOBODY if self._is_at_hand() else _AS_ROOT

    def _is_at_hand(self) -> bool:
        """Return whether so little other space is free that data might take it."""
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            space = os.fstatvfs(self._directory)
            is_reserved = space.f_bfree > space.f_bavail
            self._is_near = is_reserved and space.f_bavail * space.f_frsize < _NEAR
            self._looked = now
        return self._is_near
