"""What clients see of an object, and what they may ask to change.

`Attributes` is the overlay's own stat: `fileid` and `nlink` are those of the
merged object, everything else is the real inode's that holds the data now.
Times are integer nanoseconds since the epoch, sizes are bytes.
"""

from __future__ import annotations

import stat
from enum import Enum
from typing import Final, NamedTuple


class Attributes(NamedTuple):
    """Attributes of one object at one moment (what RFC 1813 section 2.6 calls fattr3)."""

    mode: int  # with the file type bits, as st_mode
    nlink: int
    uid: int
    gid: int
    size: int
    used: int  # bytes allocated
    rdev: int
    fileid: int
    atime: int
    mtime: int
    ctime: int

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Now(Enum):
    """The server's own clock, as a time to set (SET_TO_SERVER_TIME)."""

    NOW = "now"


NOW: Final = Now.NOW


class Changes(NamedTuple):
    """Attributes to set; `None` leaves one alone (RFC 1813 section 2.6, sattr3)."""

    mode: int | None = None  # permission bits, 0 to 0o7777
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | Now | None = None
    mtime: int | Now | None = None


NO_CHANGES: Final = Changes()


class Change(NamedTuple):
    """Attributes of an object just before and just after one operation on it."""

    before: Attributes
    after: Attributes
