"""NFSv3 calls as values: what to send, and what came back.

A task is a generator that yields calls and is sent their replies; it never
waits by itself, so that thousands of tasks share a few connections.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NamedTuple, TypeAlias

from nfsd.xdr.generated.nfs3 import (
    DONT_CHANGE,
    FILE_SYNC,
    GUARDED,
    NF3FIFO,
    NFS3_OK,
    NFS_V3_SIGNATURES,
    CREATE3args,
    LINK3args,
    MKDIR3args,
    MKNOD3args,
    READ3args,
    READDIR3args,
    READDIRPLUS3args,
    RENAME3args,
    SETATTR3args,
    SYMLINK3args,
    WRITE3args,
    createhow3,
    diropargs3,
    mknoddata3,
    nfsstat3,
    sattr3,
    set_atime,
    set_mtime,
    symlinkdata3,
)

NUMBERS: Final = {each.name.removeprefix("NFSPROC3_"): each.number for each in NFS_V3_SIGNATURES}
# The status of a call that has no nfsstat3: RPC refused it, or the answer cannot be read.
NO_STATUS: Final = -1
NO_VERIFIER: Final = bytes(8)


class Call(NamedTuple):
    """One call to make."""

    procedure: str
    arguments: Any


class Reply(NamedTuple):
    """What came back: the status and, by status, the resok arm or words about the failure."""

    status: int
    ok: Any = None
    resent: bool = False  # the call was sent again, so its work may have been done before
    failure: str = ""

    @property
    def good(self) -> bool:
        """Return whether the call succeeded."""
        return self.status == NFS3_OK

    def __str__(self) -> str:
        return self.failure or status_name(self.status)


Task: TypeAlias = Generator[Call, Reply, None]


def status_name(status: int) -> str:
    """Return the status in the RFC's words."""
    try:
        return nfsstat3(status).name
    except ValueError:
        return f"status {status}"


def _attributes(mode: int | None = None, size: int | None = None) -> sattr3:
    return sattr3(mode, None, None, size, set_atime(DONT_CHANGE), set_mtime(DONT_CHANGE))


def getattr_(handle: bytes) -> Call:
    return Call("GETATTR", handle)


def lookup(directory: bytes, name: bytes) -> Call:
    return Call("LOOKUP", diropargs3(directory, name))


def read(handle: bytes, offset: int, count: int) -> Call:
    return Call("READ", READ3args(handle, offset, count))


def readlink(handle: bytes) -> Call:
    return Call("READLINK", handle)


def write(handle: bytes, offset: int, data: bytes) -> Call:
    """Return a stable write: data that the server may lose in a crash would prove nothing."""
    return Call("WRITE", WRITE3args(handle, offset, len(data), FILE_SYNC, data))


def set_mode(handle: bytes, mode: int) -> Call:
    return Call("SETATTR", SETATTR3args(handle, _attributes(mode=mode), None))


def set_size(handle: bytes, size: int) -> Call:
    return Call("SETATTR", SETATTR3args(handle, _attributes(size=size), None))


def create(directory: bytes, name: bytes) -> Call:
    how = createhow3(GUARDED, _attributes(mode=0o644))
    return Call("CREATE", CREATE3args(diropargs3(directory, name), how))


def mkdir(directory: bytes, name: bytes) -> Call:
    return Call("MKDIR", MKDIR3args(diropargs3(directory, name), _attributes(mode=0o755)))


def symlink(directory: bytes, name: bytes, target: bytes) -> Call:
    data = symlinkdata3(_attributes(mode=0o777), target)
    return Call("SYMLINK", SYMLINK3args(diropargs3(directory, name), data))


def mkfifo(directory: bytes, name: bytes) -> Call:
    what = mknoddata3(NF3FIFO, pipe_attributes=_attributes(mode=0o644))
    return Call("MKNOD", MKNOD3args(diropargs3(directory, name), what))


def remove(directory: bytes, name: bytes) -> Call:
    return Call("REMOVE", diropargs3(directory, name))


def rmdir(directory: bytes, name: bytes) -> Call:
    return Call("RMDIR", diropargs3(directory, name))


def rename(old_dir: bytes, old: bytes, new_dir: bytes, new: bytes) -> Call:
    return Call("RENAME", RENAME3args(diropargs3(old_dir, old), diropargs3(new_dir, new)))


def link(handle: bytes, directory: bytes, name: bytes) -> Call:
    return Call("LINK", LINK3args(handle, diropargs3(directory, name)))


def readdir(directory: bytes, cookie: int, verifier: bytes, count: int) -> Call:
    return Call("READDIR", READDIR3args(directory, cookie, verifier, count))


def fsstat(handle: bytes) -> Call:
    return Call("FSSTAT", handle)


def readdirplus(directory: bytes, cookie: int, verifier: bytes, count: int) -> Call:
    return Call("READDIRPLUS", READDIRPLUS3args(directory, cookie, verifier, count // 2, count))
