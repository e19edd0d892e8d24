"""Whether the index agrees with the names that there are.

An object that has a name is served, one that has none is buried, and the link
count is the number of names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from index import xattrs
from index.identity import Identity
from index.origin import Origin
from overlay.check import repair
from overlay.check.problem import Finding, Kind
from overlay.check.scan import IndexEntry, Scan
from overlay.lookup import nlink
from overlay.lookup.adopt import kernel_origin
from overlay.model.tree import Tree

_NLINK: Final = re.compile(rb"[UL][+-]?[0-9]{1,9}")


def name_findings(tree: Tree, found: Scan) -> Iterator[Finding]:
    """Yield the problems with what has names and what has none."""
    marked = {one.mark.fileid for one in found.dirs if one.mark is not None}
    reached = {one.handle for one in found.dirs}
    at = {one.path for one in found.dirs}
    for fileid, entry in found.entries.items():
        if entry.is_whiteout:
            if fileid in found.buried:
                mend = partial(repair.forget, tree, found.buried[fileid])
                yield Finding(Kind.BURIED_VISIBLE, entry.where, mend, fileid)
        elif entry.is_dir:
            leads = entry.directory
            if leads.upper is None or leads.upper in reached or fileid in marked:
                continue
            if leads.path not in at:
                yield _nowhere(tree, found, fileid, entry)
        elif entry.fh is not None and entry.fh.fileid == fileid:
            yield from _file(tree, found, fileid, entry, entry.fh)
    yield from _hidden(tree, found)
    yield from _kernel_index(tree, found)


def _nowhere(tree: Tree, found: Scan, fileid: int, entry: IndexEntry) -> Finding:
    if fileid in found.visible or entry.fh is None:
        mend = partial(repair.discard, tree, entry)
        return Finding(Kind.ENTRY_NOWHERE, entry.where, mend, fileid)
    return Finding(Kind.NAMELESS, entry.where, partial(repair.bury, tree, entry.fh), fileid)


def _file(
    tree: Tree, found: Scan, fileid: int, entry: IndexEntry, identity: Identity
) -> Iterator[Finding]:
    file = found.files.get(entry.st.st_ino)
    upper = [] if file is None else file.paths
    lower = found.lower_names.get(fileid, [])
    if upper or lower:
        yield from _nlink(tree, found, fileid, entry, len(upper) + len(lower))
    if upper:
        if not identity.is_upper and tree.open_origin(identity, os.O_PATH) is None:
            yield _without_origin(tree, found, fileid, entry, len(upper))
    elif not lower:
        yield _nameless(tree, found, fileid, entry, identity)
    elif not _held_by_kernel(tree, entry):
        mend = partial(repair.link_names, tree, identity, lower)
        yield Finding(Kind.NOT_LINKED_UP, lower[0], mend, fileid)


def _nameless(
    tree: Tree, found: Scan, fileid: int, entry: IndexEntry, identity: Identity
) -> Finding:
    """Return an upper inode without any name: removed, unless its lower file was.

    Where the layers were copied, or one was taken out, the lower file is not known by its
    number; it may be there by its path.  What nobody removed is never thrown away.
    """
    fd = tree.index.open(identity)
    sound = _NLINK.fullmatch(entry.attributes.get(xattrs.NLINK, nlink.INITIAL))
    gone = sound and fd is not None and nlink.count(tree, identity, fd, entry.st) <= 0
    if fileid in found.below or gone:
        return Finding(Kind.NAMELESS, entry.where, partial(repair.bury, tree, identity), fileid)
    return _without_origin(tree, found, fileid, entry, 0)


def _without_origin(tree: Tree, found: Scan, fileid: int, entry: IndexEntry, names: int) -> Finding:
    """A file with this many upper names whose lower file is not known by its number any more."""
    recorded = entry.attributes.get(xattrs.REDIRECT, b"")
    now = found.recorded.get(recorded, fileid)
    paths = [] if now in found.entries else found.linked.get(now, [])
    if not paths or entry.fh is None:
        return Finding(Kind.ORIGIN_GONE, entry.where, None, fileid)
    mend = partial(repair.link_copied, tree, entry.fh, paths, names + len(paths))
    return Finding(Kind.NOT_LINKED_UP, paths[0], mend, fileid)


def _held_by_kernel(tree: Tree, entry: IndexEntry) -> bool:
    """Return whether the kernel's index leads from the lower names to the inode, as ours does."""
    origin = entry.attributes.get(xattrs.ORIGIN)
    held = None if origin is None else tree.kernel_index.find(origin)
    return held is not None and os.path.samestat(os.fstat(held), entry.st)


def _nlink(
    tree: Tree, found: Scan, fileid: int, entry: IndexEntry, names: int
) -> Iterator[Finding]:
    identity = entry.fh
    assert identity is not None
    value = entry.attributes.get(xattrs.NLINK)
    mend = partial(repair.count_names, tree, identity, names)
    if value is not None and not _NLINK.fullmatch(value):
        yield Finding(Kind.NLINK_MALFORMED, entry.where, mend, fileid)
        return
    fd = tree.index.open(identity)
    if fd is None:
        return
    recorded = nlink.recorded(tree, identity, fd, entry.st)
    # A lower inode may have names outside what the lower layers show; they are counted
    # too, as they were before it was copied up.
    linked = nlink.lower_nlink(tree, identity)
    outside = linked - len(found.below.get(fileid, [])) if linked > 1 else 0
    if not names <= recorded <= names + max(outside, 0):
        yield Finding(Kind.NLINK_WRONG, entry.where, mend, fileid)


def _hidden(tree: Tree, found: Scan) -> Iterator[Finding]:
    # Where layers were copied, an upper file's origin has another number now.
    replaced = {
        entry.attributes.get(xattrs.REDIRECT)
        for entry in found.entries.values()
        if not entry.is_whiteout
    }
    for fileid, paths in found.below.items():
        if fileid in found.visible or fileid in found.entries or replaced.intersection(paths):
            continue
        yield Finding(Kind.HIDDEN, paths[0], partial(repair.bury_lower, tree, paths[0]), fileid)


def _kernel_index(tree: Tree, found: Scan) -> Iterator[Finding]:
    for name, fd, st in tree.kernel_index.entries():
        if st.st_ino in found.files or st.st_ino in found.entry_of_inode:
            continue
        origin = kernel_origin(tree, fd, st)
        if origin is not None and _is_hex(name) and origin[0].fileid in found.visible:
            continue
        mend = partial(tree.kernel_index.discard, name)
        yield Finding(Kind.KERNEL_ENTRY_ORPHAN, b"index/" + name, mend)


def _is_hex(name: bytes) -> bool:
    try:
        return Origin.unpack(bytes.fromhex(name.decode())) is not None
    except ValueError:
        return False
