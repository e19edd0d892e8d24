"""One walk over the upper layer and the index, after layers were copied.

Every upper inode with a mark (`fh`) becomes the index entry of its object again,
or the entry leads to it again.  A copy that lost hard links has made files of
their own of them; where they still are equal they become one file again.  The
kernel's `origin` and its index follow the lower layers where they are now.

Rule: each step can be repeated, and none changes what clients see.
"""

from __future__ import annotations

import os
import stat

from index import xattrs
from index.identity import Identity
from index.index import DirectoryEntry, UpperInode
from index.linux.fd import Fd, is_whiteout, open_name
from index.linux.file_handle import handle_of, pack_real
from index.linux.syscalls import link_fd, rename
from overlay.base.progress import Progress
from overlay.lookup.adopt import is_copy
from overlay.lookup.lookup import is_entry_of, lookup
from overlay.model.node import DirNode
from overlay.model.tree import Tree
from overlay.ops.copy_up_dir import put_origin

# Ours, on a copy that became a file of its own.
_OBJECT_MARKS = (xattrs.FH, xattrs.UPPER, xattrs.PATH, xattrs.NLINK, xattrs.LINKS)


class UpperWalk:
    """The walk over one upper layer."""

    def __init__(self, tree: Tree, progress: Progress) -> None:
        self._tree = tree
        self._progress = progress
        self._marks = tree.index.marks
        self._seen: dict[int, int] = {}  # inode numbers of files with a name, by fileid
        self._names = 0
        self.unmarked = 0  # objects whose handles cannot be found again

    def find_marks(self) -> None:
        """Find the inodes of a copied layer again that have no room for their marks."""
        for name, _, aside in list(self._marks.all()):
            identity = Identity.unpack(xattrs.get(aside, xattrs.FH))
            fd = None if identity is None else self._marked(identity, aside)
            if fd is not None:
                self._marks.move(name, fd)

    def _marked(self, identity: Identity, aside: Fd) -> Fd | None:
        """The inode is the index entry, but a directory's is known by its path alone."""
        entry = self._tree.index.find(identity)
        if isinstance(entry, UpperInode):
            return entry.fd
        path = xattrs.get(aside, xattrs.PATH)
        if path is None and isinstance(entry, DirectoryEntry):
            path = entry.path
        upper = self._tree.layers.upper
        return None if path is None or upper is None else upper.open_path(path, os.O_PATH)

    def run(self) -> None:
        """Walk it all."""
        way = [self._tree.root]
        while way:
            way += self._directory(way.pop())
        self._nameless()
        self._kernel_index()

    def _directory(self, parent: DirNode) -> list[DirNode]:
        assert parent.upper is not None
        below: list[DirNode] = []
        for raw in os.listdir(parent.upper):
            name = os.fsencode(raw)
            found = open_name(parent.upper, name)
            if found is None or is_whiteout(found[1]):
                continue
            fd, st = found
            if stat.S_ISDIR(st.st_mode):
                node = lookup(self._tree, parent, name)
                if isinstance(node, DirNode) and node.upper is not None:
                    self._upper_dir(node, node.upper, self._path(parent.upper, name))
                    below.append(node)
            else:
                self._upper_file(parent.upper, name, fd, st)
        self._names += len(below)
        self._progress(self._names)
        return below

    def _path(self, directory: Fd, name: bytes) -> bytes | None:
        return self._tree.upper_path_in(directory, name)

    def _upper_dir(self, node: DirNode, upper: Fd, path: bytes | None) -> None:
        if node.is_indexed:
            index, real = self._tree.index, handle_of(upper)
            if isinstance(index.find(node.identity), DirectoryEntry):
                index.lead_directory_to(node.identity, real, path)
            else:
                index.put_directory(node.identity, upper=real, path=path)
        elif self._marks.get(upper, xattrs.FH) is None:
            self.unmarked += 1
        if node.lowers and self._tree.kernel.get(upper, xattrs.ORIGIN) is not None:
            top = node.lowers[0]
            self._put_origin(upper, top.layer.origin(top.fd))

    def _upper_file(self, directory: Fd, name: bytes, fd: Fd, st: os.stat_result) -> None:
        self._names += 1
        identity = Identity.unpack(self._marks.get(fd, xattrs.FH))
        if identity is None:
            self.unmarked += 1
            return
        if identity.is_upper and not is_copy(fd, identity):
            return
        entry = self._tree.index.find(identity)
        if not isinstance(entry, UpperInode) or not os.path.samestat(entry.st, st):
            if identity.fileid in self._seen:
                self._lost_link(directory, name, fd, st, identity)
                return
            self._tree.index.replace(identity, fd)
        self._seen[identity.fileid] = st.st_ino
        self._relocate_file(fd)
        self._tree.index.note_path(fd, self._path(directory, name))
        self._renew_origin(fd, identity)

    def _relocate_file(self, fd: Fd) -> None:
        own = pack_real(handle_of(fd))
        if self._marks.get(fd, xattrs.UPPER) != own:
            self._marks.put(fd, xattrs.UPPER, own)

    def _lost_link(
        self, directory: Fd, name: bytes, fd: Fd, st: os.stat_result, identity: Identity
    ) -> None:
        """A second file with the mark of an object: once a hard link, if it still is equal."""
        entry = self._tree.index.find(identity)
        if not isinstance(entry, UpperInode) or not _equal(entry.st, st):
            for attribute in _OBJECT_MARKS:
                self._marks.drop(fd, attribute)
            return
        workdir, times = self._tree.workdir, os.fstat(directory)
        aside = workdir.new_name()
        link_fd(entry.fd, workdir.staging, aside)
        rename(workdir.staging, aside, directory, name)
        os.utime(directory, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _renew_origin(self, fd: Fd, identity: Identity) -> None:
        if not identity.is_upper and self._tree.kernel.get(fd, xattrs.ORIGIN) is not None:
            self._put_origin(fd, self._origin(identity))

    def _origin(self, identity: Identity) -> bytes | None:
        opened = self._tree.open_origin(identity, os.O_PATH)
        return None if opened is None else opened[0].origin(opened[1])

    def _put_origin(self, fd: Fd, value: bytes | None) -> None:
        if value is not None and value != self._tree.kernel.get(fd, xattrs.ORIGIN):
            put_origin(self._tree, fd, value)

    def _nameless(self) -> None:
        """Files that were copied up without a name, by their handle, are in the index alone."""
        for _, fd, st in self._tree.index.entries():
            if not stat.S_ISDIR(st.st_mode) and not is_whiteout(st):
                identity = Identity.unpack(self._marks.get(fd, xattrs.FH))
                if identity is not None and identity.fileid not in self._seen:
                    self._relocate_file(fd)
                    self._renew_origin(fd, identity)

    def _kernel_index(self) -> None:
        """Name the entries of the kernel's index after the new origins."""
        kernel_index = self._tree.kernel_index
        for name, fd, st in list(kernel_index.entries()):
            identity = Identity.unpack(self._marks.get(fd, xattrs.FH))
            entry = None if identity is None else self._tree.index.find(identity)
            if identity is None or not isinstance(entry, UpperInode):
                continue
            origin = self._origin(identity) if is_entry_of(self._tree, entry, identity) else None
            if origin is None:
                continue
            if name != origin.hex().encode() or not os.path.samestat(st, entry.st):
                kernel_index.discard(name)
                kernel_index.enter(origin, entry.fd)


def _equal(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether two files look like copies of one."""
    return (one.st_mode, one.st_uid, one.st_gid, one.st_size, one.st_mtime_ns) == (
        other.st_mode,
        other.st_uid,
        other.st_gid,
        other.st_size,
        other.st_mtime_ns,
    )
