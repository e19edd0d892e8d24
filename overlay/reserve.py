"""Space that a filesystem keeps for root: what clients write does not come to lie in it.

Ext4 lets those have it who act as root, whatever capabilities they have.  So data is
written as another user.  To become one takes 4 us, a fifth of a small WRITE, and is done
only where that space is near.
"""

from __future__ import annotations

import os
import time
from typing import Final

from index.fd import Fd
from index.syscalls import set_fs_user
from overlay.credentials import Credentials

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
    """What is kept for root on the filesystem of a directory."""

    __slots__ = ("_directory", "_is_near", "_looked")

    def __init__(self, directory: Fd) -> None:
        self._directory: Final = directory
        self._is_near = False
        self._looked = 0.0

    def left_by(self, cred: Credentials) -> _Acting:
        """To be held while data is written for somebody; root may have it."""
        return _AS_ROOT if cred.is_root or not self._is_at_hand() else _Acting(cred.uid)

    def left(self) -> _Acting:
        """To be held while data is copied, for whoever."""
        return _AS_NOBODY if self._is_at_hand() else _AS_ROOT

    def _is_at_hand(self) -> bool:
        """Whether so little other space is free that data could come to lie in it."""
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            space = os.fstatvfs(self._directory)
            is_kept = space.f_bfree > space.f_bavail
            self._is_near = is_kept and space.f_bavail * space.f_frsize < _NEAR
            self._looked = now
        return self._is_near
