"""Listing a merged directory, in an order that outlives everything.

Names are ordered by a keyed 63-bit hash, and an entry's cookie is that hash: a
function of the name alone.  A listing therefore goes on correctly after
creations, removals, copy-ups and a restart.  Two names of one directory have
the same hash about once in 2**63 / n**2 directories of n names; overlay.model.listing
tells them apart.

The number shown for an entry is the object's, as GETATTR has it.  Most come
straight from the directory's entries; only where an entry's own inode may not
be the object's origin is the object looked up.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import filterfalse, islice
from typing import Final

from index.linux.fd import Fd, is_whiteout, open_dir, open_path, proc_path
from overlay.base.blocking import may_block
from overlay.lookup.adopt import is_impure
from overlay.lookup.lookup import lookup
from overlay.lookup.lower import is_xattr_whiteout
from overlay.lookup.oci_whiteouts import tell_of
from overlay.lookup.resolve import parent_of, resolve
from overlay.model.caches import Listed
from overlay.model.listing import Listing, Rows
from overlay.model.node import DirNode, LowerDir, directory
from overlay.model.tree import Tree

_STEP: Final = 4096  # entries that are worked on without a pause
# A directory whose own inode is larger is read on a thread that may wait.
_QUICK_BYTES: Final = 64 << 10
_ONES: Final = int.from_bytes((b"\x7f" + b"\xff" * 7) * _STEP)


class _Found:
    """What the layers scanned so far have: names, each once, and the numbers of their objects."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.seen: set[bytes] = set()  # names that are not to be found again in further layers
        # Positions of names that are not to be seen, and of those whose entry's own inode
        # may not be the object's origin.
        self.whiteouts: list[int] = []
        self.unsure: list[int] = []


def readdir(tree: Tree, node: DirNode) -> Listing:
    """Return all entries of a directory, `.` and `..` first."""
    generation = tree.listing_counters.of(node.fileid)
    cached = tree.caches.listings.get(node.handle)
    if cached is not None and cached.generation == generation:
        return cached.listing
    node = directory(resolve(tree, node.handle))  # as it is since the counter was read
    if sum(os.fstat(fd).st_size for fd in _stack(node)) > _QUICK_BYTES:
        may_block()
    found = _merge(tree, node)
    hidden = _resolve_unsure(tree, node, found)
    positions = range(len(found.rows))
    if tree.short_numbers is not None:
        for at in filterfalse(hidden.__contains__, positions):
            found.rows.fileids[at] = tree.short_numbers.of(found.rows.fileids[at])
    shown = filterfalse(hidden.__contains__, positions)
    listing = Listing((node.number, parent_of(tree, node).number), found.rows, shown, generation)
    tree.caches.listings.put(node.handle, Listed(generation, listing))
    return listing


def name_hashes(key: bytes, names: Sequence[bytes]) -> array[int]:
    """Return a number below 2**63 for each of at most _STEP names."""
    digests, keyed = [], blake2b(digest_size=8, key=key).copy
    for name in names:
        hashed = keyed()  # costs less than to take in the key each time
        hashed.update(name)
        digests.append(hashed.digest())
    halved = int.from_bytes(b"".join(digests)) >> 1 & _ONES  # all at once
    numbers = array("Q", halved.to_bytes(8 * len(digests)))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _stack(node: DirNode) -> list[Fd]:
    return ([] if node.upper is None else [node.upper]) + [lower.fd for lower in node.lowers]


def _merge(tree: Tree, node: DirNode) -> _Found:
    """Return the names of all layers, with the numbers that their entries say."""
    found = _Found() if node.upper is None else _in_upper(tree, node, node.upper)
    bottom = tree.layers.lowers[-1]
    for lower in node.lowers:
        is_last = lower is node.lowers[-1]
        _scan(tree, found, lower, False, merges=lower.layer is not bottom, is_last=is_last)
    return found


def _in_upper(tree: Tree, node: DirNode, fd: Fd) -> _Found:
    """Return the names of the upper layer.

    A directory is marked before the first entry comes for which that is done, and stays so.
    What had no mark yet after it was read can have had no such entry.
    """
    assert tree.layers.upper is not None
    upper, is_last = LowerDir(tree.layers.upper, fd), not node.lowers
    impure = is_impure(tree, fd)
    while True:
        found, merges = _Found(), impure or not is_last
        _scan(tree, found, upper, impure, merges=merges, is_last=is_last)
        if impure or not is_impure(tree, fd):
            return found
        impure = True


def _resolve_unsure(tree: Tree, node: DirNode, found: _Found) -> set[int]:
    """Look up what is not sure; returns the positions of what is not to be seen."""
    hidden = set(found.whiteouts)
    for at in found.unsure:
        child = lookup(tree, node, found.rows.name(at))
        if child is None:
            hidden.add(at)
        else:
            found.rows.fileids[at] = child.fileid
    return hidden


def _scan(
    tree: Tree, found: _Found, real: LowerDir, impure: bool, *, merges: bool, is_last: bool
) -> None:
    """Add what one layer has; a directory may have another origin if the layer `merges`."""
    layer = real.layer
    own = open_dir(real.fd, b".")  # `real.fd` has one position for all readers
    certain = layer.has_handles and layer.has_equal_handles
    certain = certain and not (layer.is_upper and layer.is_renumbered)
    sure, sure_dirs = certain and not impure, certain and not merges
    is_old = layer.is_upper or layer.is_old(os.fstat(own))
    # Of files there is nothing to be found out.
    is_plain = sure and not real.xwhiteouts and is_old
    for items in _new(own, found.seen):
        begin, names = len(found.rows), [item.name for item in items]
        if not layer.is_upper:
            tell_of(layer, own, names)
        for at, item in enumerate(items, begin):
            if is_plain and item.is_file(follow_symlinks=False):
                continue
            if item.is_dir(follow_symlinks=False):
                is_sure = sure_dirs
            elif _is_hidden(tree, own, real, item):
                found.whiteouts.append(at)
                is_sure = True
            else:
                is_sure = sure
            if is_sure and not is_old:
                is_sure = not layer.is_doubtful(item.inode(), own, item.name)
            if not is_sure:
                found.unsure.append(at)
        hashes = name_hashes(tree.cookie_key, names)
        found.rows.extend(names, layer.numbers([item.inode() for item in items]), hashes)
        if not is_last:
            found.seen.update(names)
    found.rows.end(layer)


def _new(directory: Fd, seen: set[bytes]) -> Iterator[list[os.DirEntry[bytes]]]:
    """Yield the entries of a real directory whose names were not seen before it was begun with."""
    is_first = not seen
    with os.scandir(proc_path(directory)) as scan:
        while items := list(islice(scan, _STEP)):
            yield items if is_first else [each for each in items if each.name not in seen]


def _is_hidden(tree: Tree, directory: Fd, real: LowerDir, item: os.DirEntry[bytes]) -> bool:
    """Return whether an entry is a whiteout, or has gone since the directory was read.

    What goes from an upper directory leaves a whiteout wherever a lower one has the name.
    """
    try:
        # What is a file or a symbolic link is known from the directory entry alone.
        if not (item.is_file(follow_symlinks=False) or item.is_symlink()):
            return is_whiteout(item.stat(follow_symlinks=False))
        if real.xwhiteouts:
            fd = open_path(directory, item.name)
            return is_xattr_whiteout(tree, fd, os.fstat(fd))
    except FileNotFoundError:
        return True
    return False
