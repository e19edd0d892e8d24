"""The repairs, each of one thing.

Rule: a repair that is cut short leaves a problem that the next check finds and
repairs; what is mended is the index and private attributes, and names are only
ever added, where clients see them already.
"""

from __future__ import annotations

import contextlib
import os

from index import xattrs
from index.identity import Identity
from index.index import DirectoryEntry
from index.linux.fd import Fd, components, open_dir, open_path
from index.linux.file_handle import handle_of, pack_real
from index.linux.syscalls import link_fd
from overlay.check.scan import IndexEntry, Scan, UpperDir, UpperFile
from overlay.lookup import nlink
from overlay.lookup.adopt import adopt_file, mark_impure
from overlay.lookup.lookup import lookup
from overlay.lookup.lower import LowerFile, search
from overlay.lookup.resolve import resolve
from overlay.model.node import Dentry, DirNode, FileNode, Node, directory
from overlay.model.tree import Tree
from overlay.ops import last_name
from overlay.ops.copy_up import link_up
from overlay.ops.copy_up_dir import copy_up_dir

# Ours, on a file or directory that turns out to be an object of its own.
_OWN_MARKS = (
    xattrs.FH,
    xattrs.UPPER,
    xattrs.PATH,
    xattrs.NLINK,
    xattrs.LINKS,
    xattrs.ORIGIN,
)


def open_upper(tree: Tree, path: bytes) -> Fd:
    """Return the object at a path of the upper layer, one component at a time."""
    upper = tree.layers.upper
    assert upper is not None
    fd, names = upper.root, components(path)
    for name in names[:-1]:
        fd = open_dir(fd, name)
    return open_path(fd, names[-1]) if names else fd


class UpperPaths:
    """Opens objects of the upper layer by paths that mostly have much in common with the last."""

    def __init__(self, tree: Tree) -> None:
        assert tree.layers.upper is not None
        self._names: list[bytes] = []  # of the last directory
        self._open = [tree.layers.upper.root]  # on the way to it

    def open(self, path: bytes) -> Fd:
        """Do as `open_upper`."""
        *names, last = components(path)
        same = 0
        for known, name in zip(self._names, names, strict=False):
            if known != name:
                break
            same += 1
        del self._open[same + 1 :]
        for name in names[same:]:
            self._open.append(open_dir(self._open[-1], name))
        self._names = names
        return open_path(self._open[-1], last)


def put_upper(tree: Tree, path: bytes, attribute: bytes, value: bytes | None) -> None:
    """Set or remove a private attribute in the upper layer."""
    fd = open_upper(tree, path)
    if value is None:
        xattrs.drop(fd, tree.kernel.on_disk(attribute))
    else:
        tree.kernel.put(fd, attribute, value)


def be_impure(tree: Tree, path: bytes) -> None:
    """Mark an upper directory as one with entries from lower layers."""
    mark_impure(tree, open_upper(tree, path))


def put_entry(tree: Tree, entry: IndexEntry, attribute: bytes, value: bytes) -> None:
    """Set a private attribute of an index entry."""
    fd = tree.index.open_entry(entry.name)
    if fd is not None:
        tree.index.marks.put(fd, attribute, value)
        _changed(tree, entry)


def _changed(tree: Tree, entry: IndexEntry) -> None:
    if entry.fileid is not None:
        tree.changed_object(entry.fileid)


def node_at(tree: Tree, path: bytes) -> Node | None:
    """Return what clients see at a path."""
    node: Node | None = tree.root
    for name in components(path):
        node = lookup(tree, node, name) if isinstance(node, DirNode) else None
    return node


def origin_identity(tree: Tree, found: Scan, fileid: int, *, is_dir: bool) -> Identity | None:
    """Return the identity of the lower object with this number, if the lower layers show it."""
    for path in found.below.get(fileid, []):
        identity = _lower_identity(tree, path)
        if identity is not None and identity.is_dir == is_dir and identity.fileid == fileid:
            return identity
    return None


def _lower_identity(tree: Tree, path: bytes) -> Identity | None:
    """Return the identity of what the lower layers alone have at a path."""
    below = search(tree, tree.root.lowers, components(path))
    if isinstance(below, LowerFile):
        return below.identity()
    return below[-1].identity() if below else None


def mark_entry(tree: Tree, entry: IndexEntry, identity: Identity) -> None:
    """Write anew whose entry this is."""
    put_entry(tree, entry, xattrs.FH, identity.pack())


def rename_entry(tree: Tree, entry: IndexEntry) -> None:
    """Give an entry the name that its `fh` says, or remove it."""
    if entry.fh is not None:
        with contextlib.suppress(FileExistsError):
            tree.index.move(entry.name, entry.fh)
            tree.changed_object(entry.fh.fileid)
            return
    tree.index.discard(entry.name)


def forget(tree: Tree, identity: Identity) -> None:
    """Take away what the index says of an object."""
    tree.index.forget(identity)
    tree.changed_object(identity.fileid)


def discard(tree: Tree, entry: IndexEntry) -> None:
    """Take away an index entry."""
    tree.index.discard(entry.name)
    _changed(tree, entry)


def bury(tree: Tree, identity: Identity) -> None:
    """Make the handles of an object stale for ever."""
    last_name.bury(tree, identity)
    tree.changed_object(identity.fileid)


def bury_lower(tree: Tree, path: bytes) -> None:
    """Make the handles of an object stale that the lower layers alone have at a path."""
    identity = _lower_identity(tree, path)
    if identity is not None:
        bury(tree, identity)


def enter_file(tree: Tree, file: UpperFile, identity: Identity, names: int) -> None:
    """Make an upper inode that has `names` visible names the index entry of its object."""
    fd = open_upper(tree, file.paths[0])
    write_nlink(tree, fd, identity, names)
    tree.index.marks.put(fd, xattrs.UPPER, pack_real(handle_of(fd)))
    tree.index.replace(identity, fd)
    tree.changed_object(identity.fileid)


def write_nlink(tree: Tree, fd: Fd, identity: Identity, names: int) -> None:
    """Record how many names a file has, relative to the lower inode's link count."""
    if not identity.is_upper:
        links, marks = nlink.lower_nlink(tree, identity), tree.index.marks
        marks.put(fd, xattrs.LINKS, b"%d" % links)
        marks.put(fd, xattrs.NLINK, b"L%+d" % (names - links))


def count_names(tree: Tree, identity: Identity, names: int) -> None:
    """Record how many names an indexed file has."""
    fd = tree.index.open(identity)
    if fd is not None:
        write_nlink(tree, fd, identity, names)
        tree.changed_object(identity.fileid)


def enter_dir(tree: Tree, record: UpperDir, identity: Identity) -> None:
    """Enter an upper directory into the index and mark it, with what is known of its origin."""
    fd = open_dir(open_upper(tree, record.path), b".")
    opened = tree.open_origin(identity, os.O_PATH | os.O_DIRECTORY)
    redirect = tree.index.lower_path(identity)
    known = tree.index.find(identity)
    lower = known.lower if isinstance(known, DirectoryEntry) else None
    if opened is not None and not identity.is_by_path:
        redirect = opened[0].path_of(opened[1])
    if not isinstance(known, DirectoryEntry):
        tree.index.forget(identity)  # a directory cannot replace it
    tree.index.put_directory(
        identity, upper=handle_of(fd), path=record.path, redirect=redirect, lower=lower
    )
    tree.index.marks.put(fd, xattrs.FH, identity.pack())
    tree.changed_object(identity.fileid)


def be_own_object(tree: Tree, path: bytes) -> None:
    """Make a copy of another upper object one of its own."""
    fd = open_upper(tree, path)
    for attribute in _OWN_MARKS:
        tree.index.marks.drop(fd, tree.kernel.on_disk(attribute))
    tree.index.marks.forget(fd)


def renew_mark(tree: Tree, found: Scan, path: bytes, bottom: Identity | None) -> None:
    """Replace a damaged `fh` by what the origin says, or remove it."""
    fd = open_upper(tree, path)
    tree.index.marks.drop(fd, xattrs.FH)
    if bottom is not None:
        enter_dir(tree, UpperDir(path, handle_of(fd), {}, None, bottom), bottom)
        return
    st = os.fstat(fd)
    adopt_file(tree, fd, st)


def renew_redirect(tree: Tree, found: Scan, record: UpperDir) -> None:
    """Let a directory lead to its lower directories again, or to none for good."""
    fd = open_upper(tree, record.path)
    paths = found.below.get(record.mark.fileid) if record.mark is not None else None
    if paths:
        xattrs.put(fd, xattrs.REDIRECT, paths[0])
    else:
        tree.kernel.put(fd, xattrs.OPAQUE, b"y")
        xattrs.drop(fd, xattrs.REDIRECT)


def link_names(tree: Tree, identity: Identity, paths: list[bytes]) -> None:
    """Give an indexed file the upper links for its lower names."""
    for path in paths:
        parent_path, _, name = path.rpartition(b"/")
        parent = node_at(tree, parent_path)
        node = resolve(tree, tree.signer.encode(identity))
        if isinstance(parent, DirNode) and isinstance(node, FileNode):
            link_up(tree, node, Dentry(parent.handle, name))


def link_copied(tree: Tree, identity: Identity, paths: list[bytes], names: int) -> None:
    """Give an indexed file upper links for names of the copy of its lower file.

    In the end it has `names` names.
    """
    fd = tree.index.open(identity)
    for path in paths:
        parent_path, _, name = path.rpartition(b"/")
        parent = node_at(tree, parent_path)
        if fd is not None and parent is not None:
            upper = copy_up_dir(tree, directory(parent)).upper
            assert upper is not None
            _link(tree, fd, upper, name)
    count_names(tree, identity, names)


def _link(tree: Tree, fd: Fd, upper: Fd, name: bytes) -> None:
    """Add an upper name that clients see already: the directory's times stay."""
    times = os.fstat(upper)
    mark_impure(tree, upper)
    with contextlib.suppress(FileExistsError):
        link_fd(fd, upper, name)
    os.utime(upper, ns=(times.st_atime_ns, times.st_mtime_ns))
