"""Objects by file handle: what a client of the server can ask for, and no more.

`Objects` is the seam between the tests and the way to the server: in this process, or over RPC.
Handles are all that is kept between calls, as a client does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from overlay.base.credentials import Credentials
from overlay.filesystem import Overlay
from overlay.model.attributes import Attributes, Changes
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from overlay.model.permission import permits
from tests.property.side import rights_needed
from tests.property.trees import public_xattrs

Handle = bytes


class Objects(Protocol):
    """The procedures of NFSv3, on handles."""

    def root(self) -> Handle: ...
    def lookup(self, parent: Handle, name: bytes, cred: Credentials) -> Handle: ...
    def getattr(self, handle: Handle) -> Attributes: ...
    def setattr(self, handle: Handle, cred: Credentials, changes: Changes) -> None: ...
    def access(self, handle: Handle, cred: Credentials) -> int: ...
    def readlink(self, handle: Handle, cred: Credentials) -> bytes: ...
    def read(self, handle: Handle, cred: Credentials, offset: int, count: int) -> bytes: ...
    def write(self, handle: Handle, cred: Credentials, offset: int, data: bytes) -> None: ...
    def create(self, parent: Handle, name: bytes, cred: Credentials, mode: int) -> Handle: ...
    def mkdir(self, parent: Handle, name: bytes, cred: Credentials, mode: int) -> Handle: ...
    def symlink(self, parent: Handle, name: bytes, cred: Credentials, to: bytes) -> Handle: ...
    def mknod(
        self, parent: Handle, name: bytes, cred: Credentials, kind: int, mode: int, rdev: int
    ) -> Handle: ...
    def remove(self, parent: Handle, name: bytes, cred: Credentials) -> None: ...
    def rmdir(self, parent: Handle, name: bytes, cred: Credentials) -> None: ...
    def rename(
        self, parent: Handle, name: bytes, to: Handle, new: bytes, cred: Credentials
    ) -> None: ...
    def link(self, handle: Handle, parent: Handle, name: bytes, cred: Credentials) -> None: ...
    def readdir(self, handle: Handle, cred: Credentials) -> list[tuple[bytes, int]]:
        """Names and fileids, `.` and `..` too."""

    def xattrs(self, handle: Handle) -> tuple[tuple[bytes, bytes], ...] | None:
        """The attributes that a kernel mount would show; None where they cannot be seen."""

    def reopen(self) -> None:
        """Restart the server."""

    def close(self) -> None: ...


class InProcess:
    """The overlay in this process."""

    def __init__(self, config: OverlayConfig) -> None:
        self._config = config
        self._open: Overlay | None = Overlay.open(config)

    @property
    def overlay(self) -> Overlay:
        assert self._open is not None
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None  # the work directory is free when the last descriptor is closed

    def reopen(self) -> None:
        self.close()
        self._open = Overlay.open(self._config)

    def root(self) -> Handle:
        return self.overlay.root.handle

    def lookup(self, parent: Handle, name: bytes, cred: Credentials) -> Handle:
        return self.overlay.lookup(self.overlay.resolve(parent), name, cred).handle

    def getattr(self, handle: Handle) -> Attributes:
        return self.overlay.getattr(self.overlay.resolve(handle))

    def setattr(self, handle: Handle, cred: Credentials, changes: Changes) -> None:
        self.overlay.setattr(self.overlay.resolve(handle), cred, changes)

    def access(self, handle: Handle, cred: Credentials) -> int:
        node = self.overlay.resolve(handle)
        rights = self.overlay.access(node, cred)
        needs = rights_needed(node.is_dir)
        return sum(bit for bit, need in needs if permits(rights, need))

    def readlink(self, handle: Handle, cred: Credentials) -> bytes:
        return self.overlay.readlink(self.overlay.resolve(handle), cred)

    def read(self, handle: Handle, cred: Credentials, offset: int, count: int) -> bytes:
        return bytes(self.overlay.read(self.overlay.resolve(handle), cred, offset, count)[0])

    def write(self, handle: Handle, cred: Credentials, offset: int, data: bytes) -> None:
        node = self.overlay.resolve(handle)
        self.overlay.write(node, cred, offset, data, Stable.UNSTABLE)

    def create(self, parent: Handle, name: bytes, cred: Credentials, mode: int) -> Handle:
        node = self.overlay.resolve(parent)
        return self.overlay.create(node, name, cred, Changes(mode=mode), True).node.handle

    def mkdir(self, parent: Handle, name: bytes, cred: Credentials, mode: int) -> Handle:
        node = self.overlay.resolve(parent)
        return self.overlay.mkdir(node, name, cred, Changes(mode=mode)).node.handle

    def symlink(self, parent: Handle, name: bytes, cred: Credentials, to: bytes) -> Handle:
        node = self.overlay.resolve(parent)
        return self.overlay.symlink(node, name, cred, to, Changes()).node.handle

    def mknod(
        self, parent: Handle, name: bytes, cred: Credentials, kind: int, mode: int, rdev: int
    ) -> Handle:
        node = self.overlay.resolve(parent)
        return self.overlay.mknod(node, name, cred, kind, rdev, Changes(mode=mode)).node.handle

    def remove(self, parent: Handle, name: bytes, cred: Credentials) -> None:
        self.overlay.remove(self.overlay.resolve(parent), name, cred)

    def rmdir(self, parent: Handle, name: bytes, cred: Credentials) -> None:
        self.overlay.rmdir(self.overlay.resolve(parent), name, cred)

    def rename(
        self, parent: Handle, name: bytes, to: Handle, new: bytes, cred: Credentials
    ) -> None:
        nodes = self.overlay.resolve(parent), self.overlay.resolve(to)
        self.overlay.rename(nodes[0], name, nodes[1], new, cred)

    def link(self, handle: Handle, parent: Handle, name: bytes, cred: Credentials) -> None:
        nodes = self.overlay.resolve(handle), self.overlay.resolve(parent)
        self.overlay.link(nodes[0], nodes[1], name, cred)

    def readdir(self, handle: Handle, cred: Credentials) -> list[tuple[bytes, int]]:
        listing = self.overlay.readdir(self.overlay.resolve(handle), cred)
        entries = list(listing.after(0))
        assert all(a[0] < b[0] for a, b in pairwise(entries))
        return [(name, fileid) for _, fileid, name in entries]

    def xattrs(self, handle: Handle) -> tuple[tuple[bytes, bytes], ...] | None:
        node = self.overlay.resolve(handle)
        return public_xattrs(b"/proc/self/fd/%d" % node.real)
