"""Space that is set aside so that a full layer can be emptied.

To remove a name of a lower layer takes space in the upper one: a whiteout, an entry of
the index, perhaps the directories above.  `spare/` in the work directory holds so many
files of a fixed size; some of them are removed when there is no space for a removal, and
made again when there is.  An inode goes with each, as a filesystem may lack those alone.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final

from index.linux.fd import Fd, open_at, open_dir

PIECE_BYTES: Final = 16 << 10
PIECES_MAX: Final = 128  # 2 MiB
_SHARE: Final = 256  # of the filesystem: of a small one what is spare takes so much less
_LAST: Final = 4  # pieces for what takes space for a moment only
_FREE_SHARE: Final = 4  # it is filled where that part of the filesystem is free
# Between two looks at that: each takes as long as several removals.
_PAUSE_SECONDS: Final = 0.1


class Spare:
    """The files in `spare/`.  To change any takes the namespace lock."""

    def __init__(self, directory: Fd, pause: float = _PAUSE_SECONDS) -> None:
        self._directory = directory
        self._pause = pause
        self._is_short = True  # some of it may have been released
        self._next_fill = 0.0  # by time.monotonic, where there is not plenty of space

    def is_due(self) -> bool:
        """Return whether it is time to `fill` it."""
        return self._is_short and time.monotonic() >= self._next_fill

    def release(self, pieces: int, *, last: bool = False) -> bool:
        """Give back so many pieces; returns whether there was one.

        `last`: the last ones too, for what makes at least as much space as it takes.
        """
        self._is_short = True
        names = self._names()
        released = names[: max(0, min(pieces, len(names) - (0 if last else _LAST)))]
        for name in released:
            with suppress(FileNotFoundError):  # another process was faster
                os.unlink(name, dir_fd=self._directory)
        return bool(released)

    def fill(self, at_once: int = PIECES_MAX) -> None:
        """Set aside some of what is missing, where there is plenty of space; else another time."""
        self._next_fill = time.monotonic() + self._pause
        with suppress(OSError):
            st = os.fstatvfs(self._directory)
            wanted = min(PIECES_MAX, st.f_blocks * st.f_frsize // _SHARE // PIECE_BYTES)
            missing = sorted(set(map(_name, range(wanted))) - set(self._names()))
            if missing and st.f_bavail * _FREE_SHARE < st.f_blocks:
                return
            for name in missing[:at_once]:
                self._make(name)
            self._is_short = len(missing) > at_once
            self._next_fill = 0.0

    def _make(self, name: bytes) -> None:
        piece = open_at(self._directory, name, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(piece, 0, PIECE_BYTES)
        except OSError:
            with suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
            raise

    def _names(self) -> list[bytes]:
        own = open_dir(self._directory, b".")  # processes share the position of the other
        return sorted(map(os.fsencode, os.listdir(own)), reverse=True)


def _name(number: int) -> bytes:
    return b"%03d" % number
