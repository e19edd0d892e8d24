"""NFSv3 as tests speak it: paths and bytes in, plain values out, errors as `NfsError`.

Rule: every call goes over the wire to a running server; nothing is cached here.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from nfsd.xdr.generated.nfs3 import (
    DONT_CHANGE,
    FILE_SYNC,
    GUARDED,
    NFS3_OK,
    COMMIT3args,
    CREATE3args,
    LINK3args,
    MKDIR3args,
    READ3args,
    READDIR3args,
    RENAME3args,
    SETATTR3args,
    SYMLINK3args,
    WRITE3args,
    createhow3,
    diropargs3,
    fattr3,
    sattr3,
    set_atime,
    set_mtime,
    symlinkdata3,
)
from tests.client import Client, auth_sys

_NO_VERIFIER: Final = bytes(8)


class NfsError(Exception):
    """A call's status is not NFS3_OK."""

    def __init__(self, status: int) -> None:
        super().__init__(f"nfsstat3 {int(status)}")
        self.status = int(status)


class Facts(NamedTuple):
    """What must not change while an object lives."""

    handle: bytes
    fileid: int
    type: int


class Entry(NamedTuple):
    """One entry of a listing."""

    name: bytes
    fileid: int
    cookie: int


def sattr(mode: int | None = None, size: int | None = None) -> sattr3:
    """A sattr3 that sets what is given."""
    return sattr3(mode, None, None, size, set_atime(DONT_CHANGE), set_mtime(DONT_CHANGE))


class Wire:
    """A client of one export; paths are relative to its root, parts separated by slashes.

    MOUNT is asked on `mount_port`, of a server that has it on another port than NFS.
    """

    def __init__(
        self,
        port: int,
        export: str = "/",
        *,
        uid: int = 0,
        gid: int = 0,
        mount_port: int | None = None,
    ) -> None:
        self.client = Client(port, cred=auth_sys(uid, gid))
        if mount_port is None:
            self.root = self.client.mount(export)
        else:
            with Client(mount_port, cred=auth_sys(uid, gid)) as other:
                self.root = other.mount(export)

    @classmethod
    def over(cls, client: Client, export: str = "/") -> Wire:
        """Of a client that is connected."""
        wire = cls.__new__(cls)
        wire.client = client
        wire.root = client.mount(export)
        return wire

    def close(self) -> None:
        self.client.close()

    def call(self, name: str, arguments: Any) -> Any:  # noqa: ANN401 - by procedure
        """The resok arm of a call; raises NfsError."""
        result = self.client.nfs(name, arguments)
        if result.status != NFS3_OK:
            raise NfsError(result.status)
        return result.resok

    def status(self, name: str, arguments: Any) -> int:  # noqa: ANN401 - by procedure
        """The status of a call."""
        return int(self.client.nfs(name, arguments).status)

    def lookup(self, path: str | bytes) -> bytes:
        """The handle of a path."""
        handle = self.root
        for name in _bytes(path).split(b"/"):
            if name:
                handle = self.call("LOOKUP", diropargs3(handle, name)).object
        return handle

    def parent(self, path: str | bytes) -> diropargs3:
        """The directory's handle and the name of a path."""
        directory, _, name = _bytes(path).rpartition(b"/")
        return diropargs3(self.lookup(directory), name)

    def attributes(self, handle: bytes) -> fattr3:
        """The attributes of an object."""
        found: fattr3 = self.call("GETATTR", handle)
        return found

    def facts(self, path: str | bytes) -> Facts:
        """Handle, fileid and type of what a path names."""
        handle = self.lookup(path)
        attributes = self.attributes(handle)
        return Facts(handle, attributes.fileid, int(attributes.type))

    def of(self, handle: bytes) -> Facts:
        """The same of what a handle names."""
        attributes = self.attributes(handle)
        return Facts(handle, attributes.fileid, int(attributes.type))

    def read(self, handle: bytes, offset: int = 0, count: int = 1 << 20) -> bytes:
        """A file's data."""
        return bytes(self.call("READ", READ3args(handle, offset, count)).data)

    def write(self, handle: bytes, data: bytes, offset: int = 0, stable: int = FILE_SYNC) -> None:
        """Write all of `data`."""
        self.call("WRITE", WRITE3args(handle, offset, len(data), stable, data))

    def commit(self, handle: bytes) -> bytes:
        """COMMIT; returns the write verifier."""
        return bytes(self.call("COMMIT", COMMIT3args(handle, 0, 0)).verf)

    def create(self, path: str | bytes, data: bytes = b"", mode: int = 0o644) -> bytes:
        """Make a file that must not exist; returns its handle."""
        where = self.parent(path)
        how = createhow3(GUARDED, sattr(mode))
        self.call("CREATE", CREATE3args(where, how))
        handle = self.lookup(path)
        if data:
            self.write(handle, data)
        return handle

    def mkdir(self, path: str | bytes, mode: int = 0o755) -> bytes:
        """Make a directory; returns its handle."""
        self.call("MKDIR", MKDIR3args(self.parent(path), sattr(mode)))
        return self.lookup(path)

    def symlink(self, path: str | bytes, target: str | bytes) -> bytes:
        """Make a symbolic link; returns its handle."""
        data = symlinkdata3(sattr(), _bytes(target))
        self.call("SYMLINK", SYMLINK3args(self.parent(path), data))
        return self.lookup(path)

    def readlink(self, handle: bytes) -> bytes:
        """The target of a symbolic link."""
        return bytes(self.call("READLINK", handle).data)

    def remove(self, path: str | bytes) -> None:
        self.call("REMOVE", self.parent(path))

    def rmdir(self, path: str | bytes) -> None:
        self.call("RMDIR", self.parent(path))

    def rename(self, old: str | bytes, new: str | bytes) -> None:
        self.call("RENAME", RENAME3args(self.parent(old), self.parent(new)))

    def link(self, handle: bytes, path: str | bytes) -> None:
        self.call("LINK", LINK3args(handle, self.parent(path)))

    def setattr(self, handle: bytes, mode: int | None = None, size: int | None = None) -> None:
        """Set what is given."""
        self.call("SETATTR", SETATTR3args(handle, sattr(mode, size), None))

    def page(self, handle: bytes, cookie: int = 0, count: int = 4096) -> tuple[list[Entry], bool]:
        """One READDIR reply: its entries, and whether the listing ends with it."""
        arguments = READDIR3args(handle, cookie, _NO_VERIFIER, count)
        reply = self.call("READDIR", arguments).reply
        return [Entry(bytes(e.name), e.fileid, e.cookie) for e in reply.entries], reply.eof

    def names(self, handle: bytes, count: int = 4096) -> list[bytes]:
        """All names in a directory but `.` and `..`."""
        found: list[bytes] = []
        cookie, eof = 0, False
        while not eof:
            entries, eof = self.page(handle, cookie, count)
            assert entries or eof, "a reply with no entries that is not the last"
            found += [entry.name for entry in entries]
            cookie = entries[-1].cookie if entries else cookie
        return [name for name in found if name not in (b".", b"..")]


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
