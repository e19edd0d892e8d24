"""The directories above the exports, where no export has the path `/` itself.

A client that mounts `/`, or another directory above exports, sees the way to those
that it is let into, and nothing else; all of it is read-only.  A LOOKUP of an export's
name leads into the export, which has another fsid: there clients mount it for
themselves, as they do below an export of the kernel's server with `crossmnt`.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from array import array
from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from typing import Final, TypeAlias

from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.model.acl import Acl, acl_of_mode
from overlay.model.attributes import Attributes
from overlay.model.contents import Buffer
from overlay.model.listing import Listing, Place, Rows
from overlay.model.node import DirNode, Node, bare_directory

Path: TypeAlias = tuple[bytes, ...]  # the names from the root on

EXPORT_ID: Final = bytes(4)  # as it is in handles; no overlay has it
FSID: Final = 0
_HEAD: Final = b"\1\3\0\0" + EXPORT_ID
_SPACE: Final = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, os.ST_RDONLY, 255))


class PseudoRoot:
    """What leads to all exports; `seen` is what one client sees of it."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """`paths` are those of the exports, by position."""
        self._positions = {path: position for position, path in enumerate(paths)}
        self._made = time.time_ns()

    def has(self, path: Path) -> bool:
        """Return whether this directory leads to an export."""
        return any(each[: len(path)] == path for each in self._positions)

    def seen(self, let_in: Collection[int], enter: Callable[[int], Node]) -> SeenRoot:
        """For a client that is let into these exports, and then enters them at their roots."""
        exports = {path: at for path, at in self._positions.items() if at in let_in}
        return SeenRoot(exports, enter, self._made)


class SeenRoot:
    """The part that one client sees: a filesystem that can only be read."""

    read_only: Final = True
    fsid: Final = FSID

    def __init__(self, exports: dict[Path, int], enter: Callable[[int], Node], made: int) -> None:
        self._exports = exports
        self._enter = enter
        self._made = made
        above = {path[:depth] for path in exports for depth in range(len(path))}
        self._paths = {_handle(path): path for path in above}

    def directory(self, path: Path) -> DirNode:
        """Return the directory at a path.

        Raises EACCES if there is nothing below for this client.
        """
        handle = _handle(path)
        if handle not in self._paths:
            raise error(errno.EACCES)
        return bare_directory(handle, _number(path))

    def resolve(self, handle: bytes) -> DirNode:
        """Return the directory of a handle; raises ESTALE if it leads nowhere for this client."""
        path = self._paths.get(handle)
        if path is None:
            raise error(errno.ESTALE)
        return self.directory(path)

    def _path(self, node: Node) -> Path:
        """Of a directory of ours; raises EXDEV for what lies in an export."""
        path = self._paths.get(node.handle)
        if path is None:
            raise error(errno.EXDEV)
        return path

    def getattr(self, node: Node) -> Attributes:
        """Return the attributes of a directory of ours, not of one that was entered from it."""
        made, mode = self._made, stat.S_IFDIR | 0o555
        fileid = _number(self._path(node))
        return Attributes(mode, 2, 0, 0, 4096, 0, 0, fileid, made, made, made)

    def access(self, node: Node, cred: Credentials) -> tuple[int, ...]:
        """Everybody may look."""
        return (os.R_OK | os.X_OK,)

    def get_acls(self, node: Node) -> tuple[Acl, Acl]:
        """Return the ACL that the mode is, and no default ACL."""
        return acl_of_mode(self.getattr(node).mode), ()

    def lookup(self, parent: Node, name: bytes, cred: Credentials) -> Node:
        """Return a directory, or the root of the export that begins there."""
        node = self.find(parent, name)
        if node is None:
            raise error(errno.ENOENT)
        return node

    def find(self, parent: Node, name: bytes, place: Place | None = None) -> Node | None:
        """Return the same, None where there is none."""
        path = self._path(parent)
        if name in (b".", b".."):
            return self.directory(path[: len(path) - (name == b"..")] if path else path)
        path = (*path, name)
        if path in self._exports:
            return self._enter(self._exports[path])
        return self.directory(path) if _handle(path) in self._paths else None

    def readdir(self, node: Node, cred: Credentials) -> Listing:
        """Return the names that lead on, in the order of their cookies."""
        path = self._path(node)
        depth = len(path)
        below = {each[depth] for each in self._exports if each[:depth] == path}
        rows = Rows()
        names = sorted(below)
        numbers = [_number((*path, name)) for name in names]
        rows.extend(names, numbers, array("Q", map(_digest, names)))
        return Listing((_number(path), _number(path[:-1])), rows, range(len(rows)))

    def readlink(self, node: Node, cred: Credentials) -> bytes:
        """There are no symbolic links."""
        raise error(errno.EINVAL)

    def read(self, node: Node, cred: Credentials, offset: int, count: int) -> tuple[Buffer, bool]:
        """There are no files."""
        raise error(errno.EISDIR)

    def statvfs(self, node: Node) -> os.statvfs_result:
        """There is no space, and none is taken."""
        return _SPACE


def _digest(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") >> 1


def _number(path: Path) -> int:
    """Return the fileid of a directory."""
    return _digest(b"/" + b"/".join(path)) | 1


def _handle(path: Path) -> bytes:
    return _HEAD + _number(path).to_bytes(8, "big")
