"""An object of the merged tree, as the server has it in hand.

Nodes are facts, not the truth: each can be thrown away at any time and made
again from its handle.  `generation` is the object's counter as it stood before
the facts were learnt; when the counter has moved on the node is no longer used.
A node is never changed, but for the attributes, paths and descriptors it keeps at hand.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final, NamedTuple

from index.identity import DIRECTORY, Identity
from index.layers import Layer
from index.linux.fd import Fd, proc_path, reopen
from index.linux.file_handle import RealHandle
from overlay.model.acl import Acl
from overlay.model.attributes import Attributes

KEPT_PATH_MAX: Final = 512  # bytes of the path that a directory keeps; few are longer


class LowerDir(NamedTuple):
    """One read-only directory of a merged directory's stack."""

    layer: Layer
    fd: Fd
    xwhiteouts: bool = False  # may have whiteouts that are files with an xattr
    is_redirected: bool = False  # a redirect of a layer above leads to it

    def identity(self) -> Identity:
        """Return the identity of a merged directory that has this one at the bottom."""
        return self.layer.identity(self.fd, os.fstat(self.fd), is_dir=True)


@dataclass(slots=True, init=False)
class Dentry:
    """A name in the merged tree, as the kernel's dentry: the parent's handle and the name in it."""

    parent: Final[bytes]
    name: Final[bytes]

    def __init__(self, parent: bytes, name: bytes) -> None:
        self.parent = parent
        self.name = name


class _Object:
    """What every object has: its identity and the handle made of it."""

    __slots__ = (
        "cached_acl",
        "cached_attributes",
        "dentry",
        "generation",
        "handle",
        "identity",
        "number",
        "protection",
        "was_copied",
    )

    def __init__(
        self,
        identity: Identity,
        handle: bytes,
        generation: int,
        dentry: Dentry | None,
        *,
        was_copied: bool,
    ) -> None:
        self.identity = identity
        self.number = identity.fileid  # for clients; the tree may have a shorter one for them
        self.handle = handle
        self.generation = generation
        # Where the object was found.  Of a lower directory this cannot change, as
        # renaming would copy it up; of a lower file it is one of its names.
        self.dentry = dentry
        # The attributes last read, and the counter as it stood before.
        self.cached_attributes: tuple[int, Attributes] | None = None
        # Its access ACL, in the same way.
        self.cached_acl: tuple[int, Acl | None] | None = None
        # What it is protected from (overlay.model.protection), once that was asked for.
        self.protection: int | None = None
        # An upper object whose inode is a copy of the one that its identity names.
        self.was_copied = was_copied

    @property
    def is_indexed(self) -> bool:
        """Return whether its handle leads to the index, or the index will have to bury it."""
        return self.was_copied or not self.identity.is_upper

    @property
    def fileid(self) -> int:
        return self.identity.fileid


class FileNode(_Object):
    """Anything but a directory: `fd` names the inode that holds the data now."""

    __slots__ = (
        "_reader",
        "_was_changed",
        "_writer",
        "data",
        "fd",
        "lacks_data",
        "layer",
        "mode",
        "nlink_adjust",
    )

    def __init__(
        self,
        identity: Identity,
        handle: bytes,
        generation: int,
        dentry: Dentry | None,
        *,
        layer: Layer,
        fd: Fd,
        mode: int,
        nlink_adjust: int,
        data: Fd | None = None,
        lacks_data: bool = False,
        was_copied: bool = False,
    ) -> None:
        super().__init__(identity, handle, generation, dentry, was_copied=was_copied)
        self.layer = layer
        self.fd = fd
        self.mode = mode  # the file type; the permission bits may have changed since
        self.nlink_adjust = nlink_adjust  # what to add to the real inode's st_nlink
        self.data = data  # the inode that has the data, where `fd` is a metacopy
        self.lacks_data = lacks_data  # a metacopy whose data is in no layer
        self._reader: Fd | None = None
        self._writer: Fd | None = None
        self._was_changed = False  # attributes of it, by whoever has this node at hand

    @property
    def is_dir(self) -> bool:
        return False

    @property
    def type(self) -> int:
        return stat.S_IFMT(self.mode)

    @property
    def is_upper(self) -> bool:
        return self.layer.is_upper

    @property
    def is_metacopy(self) -> bool:
        """Return whether `fd` has the metadata alone."""
        return self.data is not None or self.lacks_data

    @property
    def real(self) -> Fd:
        """Return the inode that attributes are read from."""
        return self.fd

    def attributes(self, st: os.stat_result) -> Attributes:
        """Return the object's attributes from its real inode's."""
        blocks = st.st_blocks if self.data is None else os.fstat(self.data).st_blocks
        return _attributes(self, st, st.st_nlink + self.nlink_adjust, blocks)

    @property
    def target(self) -> Fd | bytes:
        """Return the inode for chmod(2) and the like, which do not take what only names it.

        Like `proc_path` it means that inode only as long as somebody holds the node.
        """
        opened = self._writer
        if opened is None and not self.is_metacopy:
            opened = self._reader
        return proc_path(self.fd) if opened is None else opened

    def changing_target(self) -> Fd | bytes:
        """Return `target`, opened if this is not the first change and it is a regular file.

        To open it takes as long as to be led to it once by a path below /proc.
        """
        if self._was_changed and stat.S_ISREG(self.mode) and not self.is_metacopy:
            self.reader()
        self._was_changed = True
        return self.target

    def opened_for_both(self, fd: Fd) -> None:
        """Take a descriptor of a regular upper file, just made, to read and write with."""
        self._reader = self._writer = fd

    def reader(self) -> Fd:
        """Return a descriptor to read a regular file's data with.

        Raises EIO where that is missing.
        """
        reader = self._reader
        if reader is None:
            if self.lacks_data:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fd = reopen(self.fd if self.data is None else self.data, os.O_RDONLY)
            reader = self._reader  # of another thread that was quicker: this one must stay
            if reader is None:
                self._reader = reader = fd
        return reader

    def writer(self) -> Fd:
        """Return a descriptor to write the data of a regular upper file, which has it (copy_up)."""
        writer = self._writer
        if writer is None:
            fd = reopen(self.fd, os.O_WRONLY)
            writer = self._writer
            if writer is None:
                self._writer = writer = fd
        return writer


class DirNode(_Object):
    """A directory: its upper directory and the stack of lower ones that it merges."""

    __slots__ = ("is_impure", "lower_path", "lowers", "upper")

    def __init__(
        self,
        identity: Identity,
        handle: bytes,
        generation: int,
        dentry: Dentry | None,
        *,
        upper: Fd | None,
        lowers: tuple[LowerDir, ...],
        was_copied: bool = False,
    ) -> None:
        super().__init__(identity, handle, generation, dentry, was_copied=was_copied)
        self.upper = upper
        self.lowers = lowers
        # By which the lower layers have them, once that was asked for (overlay.lookup.redirect).
        self.lower_path: bytes | None = None
        # Known to be marked so (overlay.lookup.adopt), which is for ever.
        self.is_impure = False

    @property
    def is_dir(self) -> bool:
        return True

    @property
    def type(self) -> int:
        return stat.S_IFDIR

    @property
    def is_upper(self) -> bool:
        return self.upper is not None

    @property
    def real(self) -> Fd:
        """Return the topmost real directory, the one that attributes are read from."""
        return self.lowers[0].fd if self.upper is None else self.upper

    @property
    def target(self) -> Fd | bytes:
        """Return the inode for chmod(2) and the like."""
        return self.real

    def changing_target(self) -> Fd | bytes:
        """Return `target`."""
        return self.real

    @property
    def is_merged(self) -> bool:
        return len(self.lowers) + (self.upper is not None) > 1

    def attributes(self, st: os.stat_result) -> Attributes:
        """Return the object's attributes from its real inode's.

        A merged directory has one link, as in the kernel's overlayfs, which does
        not count its subdirectories either.
        """
        nlink = 1 if st.st_nlink and self.is_merged else st.st_nlink
        return _attributes(self, st, nlink, st.st_blocks)


Node = FileNode | DirNode


def bare_directory(handle: bytes, fileid: int) -> DirNode:
    """Return a directory that no layer has: one of a server's own, above all overlays."""
    identity = Identity(DIRECTORY, 0, fileid, RealHandle(0, b""))
    return DirNode(identity, handle, 0, None, upper=None, lowers=())


def _attributes(node: Node, st: os.stat_result, nlink: int, blocks: int) -> Attributes:
    return Attributes(
        st.st_mode,
        nlink,
        st.st_uid,
        st.st_gid,
        st.st_size,
        blocks * 512,
        st.st_rdev,
        node.number,
        st.st_atime_ns,
        st.st_mtime_ns,
        st.st_ctime_ns,
    )


def directory(node: Node) -> DirNode:
    """`node` as a directory; raises ENOTDIR."""
    if not isinstance(node, DirNode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return node
