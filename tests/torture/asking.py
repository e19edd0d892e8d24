"""What a client asks for, by the names of things.

Rule: each function gives one that looks the names up and returns the call to make; nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nfsd.xdr.generated.nfs3 import (
    DONT_CHANGE,
    EXCLUSIVE,
    GUARDED,
    NF3CHR,
    NF3FIFO,
    SET_TO_CLIENT_TIME,
    UNSTABLE,
    COMMIT3args,
    CREATE3args,
    LINK3args,
    MKDIR3args,
    MKNOD3args,
    READDIRPLUS3args,
    RENAME3args,
    SETATTR3args,
    SYMLINK3args,
    WRITE3args,
    createhow3,
    devicedata3,
    mknoddata3,
    nfstime3,
    sattr3,
    set_atime,
    set_mtime,
    specdata3,
    symlinkdata3,
)
from tests.wire import Wire, sattr

Request = tuple[str, Any]
Ask = Callable[[Wire], Request]
SET_TIME: Final = 1_400_000_000


def write(path: str, stable: int = UNSTABLE) -> Ask:
    data = b"written"
    return lambda wire: (
        "WRITE",
        WRITE3args(wire.lookup(path), 100, len(data), stable, data),
    )


def commit(path: str) -> Ask:
    return lambda wire: ("COMMIT", COMMIT3args(wire.lookup(path), 0, 0))


def attributes(
    mode: int | None = None,
    size: int | None = None,
    uid: int | None = None,
    *,
    times: bool = False,
) -> sattr3:
    """A sattr3; the times are `SET_TIME`."""
    if not times:
        return sattr3(mode, uid, None, size, set_atime(DONT_CHANGE), set_mtime(DONT_CHANGE))
    when = nfstime3(SET_TIME, 0)
    return sattr3(
        mode,
        uid,
        None,
        size,
        set_atime(SET_TO_CLIENT_TIME, when),
        set_mtime(SET_TO_CLIENT_TIME, when),
    )


def setattr(path: str, wanted: sattr3) -> Ask:
    return lambda wire: ("SETATTR", SETATTR3args(wire.lookup(path), wanted, None))


def setattr_guarded(path: str, wanted: sattr3) -> Ask:
    def ask(wire: Wire) -> Request:
        handle = wire.lookup(path)
        return "SETATTR", SETATTR3args(handle, wanted, wire.attributes(handle).ctime)

    return ask


def create(path: str, wanted: sattr3 | None = None, how: int = GUARDED) -> Ask:
    wanted = sattr(0o640) if wanted is None else wanted
    made = createhow3(how, verf=b"verifier") if how == EXCLUSIVE else createhow3(how, wanted)
    return lambda wire: ("CREATE", CREATE3args(wire.parent(path), made))


def mkdir(path: str, wanted: sattr3 | None = None) -> Ask:
    wanted = sattr(0o750) if wanted is None else wanted
    return lambda wire: ("MKDIR", MKDIR3args(wire.parent(path), wanted))


def symlink(path: str) -> Ask:
    data = symlinkdata3(sattr(), b"target")
    return lambda wire: ("SYMLINK", SYMLINK3args(wire.parent(path), data))


def mknod(path: str, kind: int = NF3FIFO) -> Ask:
    what = mknoddata3(kind, pipe_attributes=sattr(0o600))
    if kind == NF3CHR:
        what = mknoddata3(kind, device=devicedata3(sattr(0o600), specdata3(1, 5)))
    return lambda wire: ("MKNOD", MKNOD3args(wire.parent(path), what))


def link(old: str, new: str) -> Ask:
    return lambda wire: ("LINK", LINK3args(wire.lookup(old), wire.parent(new)))


def remove(path: str) -> Ask:
    return lambda wire: ("REMOVE", wire.parent(path))


def rmdir(path: str) -> Ask:
    return lambda wire: ("RMDIR", wire.parent(path))


def rename(old: str, new: str) -> Ask:
    return lambda wire: ("RENAME", RENAME3args(wire.parent(old), wire.parent(new)))


def lookup(path: str) -> Ask:
    return lambda wire: ("LOOKUP", wire.parent(path))


def listing(path: str) -> Ask:
    return lambda wire: (
        "READDIRPLUS",
        READDIRPLUS3args(wire.lookup(path), 0, bytes(8), 1 << 16, 1 << 16),
    )


def first(*requests: Ask) -> Callable[[Wire], None]:
    """Preparation by calls."""

    def prepare(wire: Wire) -> None:
        for request in requests:
            wire.call(*request(wire))

    return prepare
