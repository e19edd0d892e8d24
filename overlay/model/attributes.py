"""What clients see of an object, and what they may ask to change.

`Attributes` is the overlay's own stat: `fileid` and `nlink` are those of the
merged object, everything else is the real inode's that holds the data now.
Times are integer nanoseconds since the epoch, sizes are bytes.

Several of these values are made for each call.  Their `__init__` are written out
because those that `dataclass` makes are slow where this module is compiled.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from enum import Enum
from typing import Final


@dataclass(slots=True, init=False)
class Attributes:
    """Attributes of one object at one moment (what RFC 1813 section 2.6 calls fattr3)."""

    mode: Final[int]  # with the file type bits, as st_mode
    nlink: Final[int]
    uid: Final[int]
    gid: Final[int]
    size: Final[int]
    used: Final[int]  # bytes allocated
    rdev: Final[int]
    fileid: Final[int]
    atime: Final[int]
    mtime: Final[int]
    ctime: Final[int]

    def __init__(
        self,
        mode: int,
        nlink: int,
        uid: int,
        gid: int,
        size: int,
        used: int,
        rdev: int,
        fileid: int,
        atime: int,
        mtime: int,
        ctime: int,
    ) -> None:
        self.mode = mode
        self.nlink = nlink
        self.uid = uid
        self.gid = gid
        self.size = size
        self.used = used
        self.rdev = rdev
        self.fileid = fileid
        self.atime = atime
        self.mtime = mtime
        self.ctime = ctime

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Now(Enum):
    """The server's own clock, as a time to set (SET_TO_SERVER_TIME)."""

    NOW = "now"


NOW: Final = Now.NOW


@dataclass(slots=True, init=False)
class Changes:
    """Attributes to set; `None` leaves one alone (RFC 1813 section 2.6, sattr3)."""

    mode: Final[int | None]  # permission bits, 0 to 0o7777
    uid: Final[int | None]
    gid: Final[int | None]
    size: Final[int | None]
    atime: Final[int | Now | None]
    mtime: Final[int | Now | None]

    def __init__(
        self,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        size: int | None = None,
        atime: int | Now | None = None,
        mtime: int | Now | None = None,
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.atime = atime
        self.mtime = mtime

    def __bool__(self) -> bool:
        """Return whether anything is to be set."""
        return not (
            self.mode is None
            and self.uid is None
            and self.gid is None
            and self.size is None
            and self.atime is None
            and self.mtime is None
        )

    def with_mode(self, mode: int | None) -> Changes:
        """Return these changes with another mode, or with none."""
        return Changes(mode, self.uid, self.gid, self.size, self.atime, self.mtime)

    def without_size(self) -> Changes:
        """Return these changes without the size."""
        return Changes(self.mode, self.uid, self.gid, None, self.atime, self.mtime)


@dataclass(slots=True, init=False)
class Change:
    """Attributes of an object just before and just after one operation on it.

    `before` is None where others changed it at the same time.
    """

    before: Final[Attributes | None]
    after: Final[Attributes]

    def __init__(self, before: Attributes | None, after: Attributes) -> None:
        self.before = before
        self.after = after
