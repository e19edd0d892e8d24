"""Objects by file handle over the wire: a server process of its own, one TCP connection.

A restart ends the server with SIGKILL, so every restart of a sequence is a crash too.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, Final

from nfsd.xdr.generated import nfs3
from nfsd.xdr.generated.nfs3 import diropargs3, sattr3, set_atime, set_mtime, specdata3
from overlay.base.credentials import Credentials
from overlay.model.attributes import Attributes, Changes, Now
from tests.client import Client
from tests.conformance.server import Server
from tests.conformance.server import Stack as Served
from tests.property.objects import Handle
from tests.property.side import When
from tests.property.stack import Stack

_SECOND: Final = 1_000_000_000
_TYPES: Final = {
    nfs3.NF3REG: stat.S_IFREG,
    nfs3.NF3DIR: stat.S_IFDIR,
    nfs3.NF3BLK: stat.S_IFBLK,
    nfs3.NF3CHR: stat.S_IFCHR,
    nfs3.NF3LNK: stat.S_IFLNK,
    nfs3.NF3SOCK: stat.S_IFSOCK,
    nfs3.NF3FIFO: stat.S_IFIFO,
}
_KINDS: Final = {kind: number for number, kind in _TYPES.items()}
# The numbers that are not those of Linux.
_ERRNOS: Final = {
    nfs3.NFS3ERR_NAMETOOLONG: errno.ENAMETOOLONG,
    nfs3.NFS3ERR_NOTEMPTY: errno.ENOTEMPTY,
    nfs3.NFS3ERR_DQUOT: errno.EDQUOT,
    nfs3.NFS3ERR_STALE: errno.ESTALE,
    nfs3.NFS3ERR_BADHANDLE: errno.EBADF,
    nfs3.NFS3ERR_JUKEBOX: errno.EAGAIN,
}


class OverRpc:
    """A running server and a client of it."""

    def __init__(self, stack: Stack, log: Path) -> None:
        self._server = Server(Served(stack.lowers, stack.upper, stack.work), log)
        self._server.start()
        self._client = Client(self._server.port)

    def close(self) -> None:
        self._client.close()
        if self._server.running:
            self._server.stop()
            self._server.check_log()

    def reopen(self) -> None:
        self._client.close()
        self._server.restart(crash=True)
        self._client = Client(self._server.port)

    def _call(self, name: str, arguments: Any, cred: Credentials | None = None) -> Any:  # noqa: ANN401 - by procedure
        who = Credentials(0, 0) if cred is None else cred
        with self._client.acting_as(who.uid, who.gid, sorted(who.groups)):
            result = self._client.nfs(name, arguments)
        if result.status != nfs3.NFS3_OK:
            number = _ERRNOS.get(result.status, int(result.status))
            raise OSError(number, os.strerror(number))
        return result.resok

    def root(self) -> Handle:
        return self._client.mount("/")

    def lookup(self, parent: Handle, name: bytes, cred: Credentials) -> Handle:
        return bytes(self._call("LOOKUP", diropargs3(parent, name), cred).object)

    def getattr(self, handle: Handle) -> Attributes:
        had = self._call("GETATTR", handle)
        return Attributes(
            _TYPES[had.type] | had.mode,
            had.nlink,
            had.uid,
            had.gid,
            had.size,
            had.used,
            os.makedev(had.rdev.specdata1, had.rdev.specdata2),
            had.fileid,
            *(when.seconds * _SECOND + when.nseconds for when in (had.atime, had.mtime, had.ctime)),
        )

    def setattr(self, handle: Handle, cred: Credentials, changes: Changes) -> None:
        self._call("SETATTR", nfs3.SETATTR3args(handle, _sattr(changes), None), cred)

    def access(self, handle: Handle, cred: Credentials) -> int:
        execute = nfs3.ACCESS3_EXECUTE
        if self.getattr(handle).is_dir:
            execute = nfs3.ACCESS3_LOOKUP
        wanted = nfs3.ACCESS3_READ | nfs3.ACCESS3_MODIFY | execute
        held = self._call("ACCESS", nfs3.ACCESS3args(handle, wanted), cred).access
        bits = {nfs3.ACCESS3_READ: os.R_OK, nfs3.ACCESS3_MODIFY: os.W_OK, execute: os.X_OK}
        return sum(bit for granted, bit in bits.items() if held & granted)

    def readlink(self, handle: Handle, cred: Credentials) -> bytes:
        return bytes(self._call("READLINK", handle, cred).data)

    def read(self, handle: Handle, cred: Credentials, offset: int, count: int) -> bytes:
        return bytes(self._call("READ", nfs3.READ3args(handle, offset, count), cred).data)

    def write(self, handle: Handle, cred: Credentials, offset: int, data: bytes) -> None:
        arguments = nfs3.WRITE3args(handle, offset, len(data), nfs3.UNSTABLE, data)
        assert self._call("WRITE", arguments, cred).count == len(data)

    def create(self, parent: Handle, name: bytes, cred: Credentials, mode: int) -> Handle:
        how = nfs3.createhow3(nfs3.GUARDED, _sattr(Changes(mode=mode)))
        arguments = nfs3.CREATE3args(diropargs3(parent, name), how)
        return bytes(self._call("CREATE", arguments, cred).obj)

    def mkdir(self, parent: Handle, name: bytes, cred: Credentials, mode: int) -> Handle:
        arguments = nfs3.MKDIR3args(diropargs3(parent, name), _sattr(Changes(mode=mode)))
        return bytes(self._call("MKDIR", arguments, cred).obj)

    def symlink(self, parent: Handle, name: bytes, cred: Credentials, to: bytes) -> Handle:
        data = nfs3.symlinkdata3(_sattr(Changes()), to)
        arguments = nfs3.SYMLINK3args(diropargs3(parent, name), data)
        return bytes(self._call("SYMLINK", arguments, cred).obj)

    def mknod(
        self, parent: Handle, name: bytes, cred: Credentials, kind: int, mode: int, rdev: int
    ) -> Handle:
        wanted = _sattr(Changes(mode=mode))
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            spec = specdata3(os.major(rdev), os.minor(rdev))
            what = nfs3.mknoddata3(_KINDS[kind], device=nfs3.devicedata3(wanted, spec))
        else:
            what = nfs3.mknoddata3(_KINDS[kind], pipe_attributes=wanted)
        arguments = nfs3.MKNOD3args(diropargs3(parent, name), what)
        return bytes(self._call("MKNOD", arguments, cred).obj)

    def remove(self, parent: Handle, name: bytes, cred: Credentials) -> None:
        self._call("REMOVE", diropargs3(parent, name), cred)

    def rmdir(self, parent: Handle, name: bytes, cred: Credentials) -> None:
        self._call("RMDIR", diropargs3(parent, name), cred)

    def rename(
        self, parent: Handle, name: bytes, to: Handle, new: bytes, cred: Credentials
    ) -> None:
        names = diropargs3(parent, name), diropargs3(to, new)
        self._call("RENAME", nfs3.RENAME3args(*names), cred)

    def link(self, handle: Handle, parent: Handle, name: bytes, cred: Credentials) -> None:
        self._call("LINK", nfs3.LINK3args(handle, diropargs3(parent, name)), cred)

    def readdir(self, handle: Handle, cred: Credentials) -> list[tuple[bytes, int]]:
        entries: list[tuple[bytes, int]] = []
        cookie, eof = 0, False
        while not eof:
            arguments = nfs3.READDIR3args(handle, cookie, bytes(8), 256)
            reply = self._call("READDIR", arguments, cred).reply
            assert reply.entries or reply.eof, "a reply with no entries that is not the last"
            entries += [(bytes(entry.name), entry.fileid) for entry in reply.entries]
            eof = reply.eof
            cookie = reply.entries[-1].cookie if reply.entries else cookie
        return entries

    def xattrs(self, handle: Handle) -> None:
        """NFSv3 has none."""


def _sattr(changes: Changes) -> sattr3:
    return sattr3(
        changes.mode,
        changes.uid,
        changes.gid,
        changes.size,
        set_atime(*_time(changes.atime)),
        set_mtime(*_time(changes.mtime)),
    )


def _time(when: When) -> tuple[int, nfs3.nfstime3 | None]:
    if when is None:
        return nfs3.DONT_CHANGE, None
    if isinstance(when, Now):
        return nfs3.SET_TO_SERVER_TIME, None
    return nfs3.SET_TO_CLIENT_TIME, nfs3.nfstime3(*divmod(when, _SECOND))
