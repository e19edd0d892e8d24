"""The filesystem that is served, as procedures see it: what can be read of an overlay.

`Exports.enter` (nfsd.export.exports) returns one with each object. There are two: an overlay
(overlay.filesystem.Overlay), and the directories above all exports
(nfsd.export.pseudo_root.SeenRoot). What changes objects only an overlay has; it is there.

Of all methods:

* A `node` is an object, as `resolve`, `lookup` or `find` of the same filesystem returned it.
  It may be kept: what was found out about it is found out again when it holds no longer.
* `cred` is whom the call acts for (nfsd.export.access). Permission is checked in the method; those
  without `cred` check none.
* Names are single components. Names, handles and targets of links are bytes.
* Sizes, offsets and counts are bytes; times are nanoseconds since the epoch.
* An error is an OSError with the errno that a local filesystem gives (overlay.base.errors lists
  those that stand for something else). Each method that is given a node raises ESTALE, too, if
  the object is gone, and what a layer below it fails with, such as EIO.
* Any thread may call. On the thread of the event loop, what would have to wait raises
  WouldBlock; the same call is then made on a thread that may wait (overlay.base.blocking).
"""

from __future__ import annotations

import os
from typing import Protocol

from overlay.base.credentials import Credentials
from overlay.model.acl import Acl
from overlay.model.attributes import Attributes
from overlay.model.contents import Buffer
from overlay.model.listing import Listing
from overlay.model.node import Node


class Filesystem(Protocol):
    """One tree of objects with an fsid of its own."""

    @property
    def fsid(self) -> int:
        """Return the number that clients tell filesystems apart by, of 64 bits."""

    @property
    def read_only(self) -> bool:
        """Return whether nothing in it can be changed, whoever asks."""

    def resolve(self, handle: bytes) -> Node:
        """Return the object of a file handle; raises EBADF if it is none, ESTALE if it is gone."""

    def getattr(self, node: Node) -> Attributes:
        """Return the attributes as they are now."""

    def access(self, node: Node, cred: Credentials) -> tuple[int, ...]:
        """Return what `cred` may do: sets of os.R_OK, W_OK and X_OK, each granted together.

        That an export is read-only is not considered.
        """

    def get_acls(self, node: Node) -> tuple[Acl, Acl]:
        """Return the access ACL and the default ACL.

        Where there is none, the former is made of the mode, and the latter is nothing.
        """

    def lookup(self, parent: Node, name: bytes, cred: Credentials) -> Node:
        """Return the object called `name`; `.` and `..` too, and the root's `..` is the root.

        Where an export begins, it is of another filesystem, and the methods of this one raise
        EXDEV for it. Raises ENOENT, ENOTDIR, EACCES, EINVAL for what cannot be a name,
        ENAMETOOLONG.
        """

    def find(self, parent: Node, name: bytes) -> Node | None:
        """Return the same for listings: without a permission check, and None if there is none."""

    def readdir(self, node: Node, cred: Credentials) -> Listing:
        """Return all entries of a directory in the order of their cookies.

        Raises ENOTDIR, EACCES.
        """

    def readlink(self, node: Node, cred: Credentials) -> bytes:
        """Return the target of a symbolic link; raises EINVAL for anything else."""

    def read(self, node: Node, cred: Credentials, offset: int, count: int) -> tuple[Buffer, bool]:
        """Return up to `count` bytes from `offset`, and whether the file ends there.

        Less is read only where the file ends. Raises EACCES, EISDIR, and EINVAL for what is
        neither a directory nor a regular file.
        """

    def statvfs(self, node: Node) -> os.statvfs_result:
        """Return the space that there is for new data, in blocks, as statvfs(3) does."""
