"""Listing a merged directory, in an order that outlives everything.

Names are ordered by a keyed 63-bit hash, and an entry's cookie is that hash: a
function of the name alone.  A listing therefore goes on correctly after
creations, removals, copy-ups and a restart.  Two names of one directory have
the same hash about once in 2**63 / n**2 directories of n names; the later one
in byte order then takes the next number.

The number shown for an entry is the object's, as GETATTR has it.  Most come
straight from the directory's entries; only where an entry's own inode may not
be the object's origin is the object looked up.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate, islice
from operator import eq
from typing import Final

from index import xattrs
from index.fd import Fd, is_whiteout, open_dir, open_path, proc_path
from index.layers import INO_BITS, MAX_FOLDED
from overlay.blocking import may_block
from overlay.caches import Listed
from overlay.decode import parent_of, resolve
from overlay.listing import Listing
from overlay.lookup import lookup
from overlay.node import DirNode, LowerDir, directory
from overlay.search import is_xattr_whiteout
from overlay.tree import Tree

DOT_COOKIE: Final = 1
DOTDOT_COOKIE: Final = 2
_LAST_HASH: Final = (1 << 63) - 256  # greater ones count as this, with room for neighbours
_STEP: Final = 4096  # names that are worked on without a pause
# A directory whose own inode is larger is read on a thread that may wait.
_QUICK_BYTES: Final = 64 << 10
_ONES: Final = int.from_bytes((b"\x7f" + b"\xff" * 7) * _STEP)


class _Found:
    """What the layers scanned so far have: names, each once, and the numbers of their objects."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.numbers = array("Q")
        self.seen: set[bytes] = set()  # the names again, but for those of the layer being scanned
        # Places of names that are not to be seen, and of those whose entry's own inode
        # may not be the object's origin.
        self.whiteouts: list[int] = []
        self.unsure: list[int] = []


def readdir(tree: Tree, node: DirNode) -> Listing:
    """All entries of a directory, `.` and `..` first."""
    generation = tree.listings.of(node.fileid)
    kept = tree.caches.listings.get(node.handle)
    if kept is not None and kept.generation == generation:
        return kept.listing
    node = directory(resolve(tree, node.handle))  # as it is since the counter was read
    if sum(os.fstat(fd).st_size for fd in _stack(node)) > _QUICK_BYTES:
        may_block()
    listing = _ordered(tree, node, _merge(tree, node))
    tree.caches.listings.put(node.handle, Listed(generation, listing))
    return listing


def name_hashes(key: bytes, names: Sequence[bytes]) -> array[int]:
    """A number below 2**63 for each name."""
    numbers, keyed = array("Q"), blake2b(digest_size=8, key=key).copy
    for begin in range(0, len(names), _STEP):
        digests = []
        for name in names[begin : begin + _STEP]:
            hashed = keyed()  # costs less than to take in the key each time
            hashed.update(name)
            digests.append(hashed.digest())
        size = 8 * len(digests)
        halved = int.from_bytes(b"".join(digests)) >> 1 & _ONES  # all at once
        numbers.frombytes(halved.to_bytes(size))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _ordered(tree: Tree, node: DirNode, found: _Found) -> Listing:
    """What is to be seen as a listing; `found` is used up."""
    above = parent_of(tree, node).fileid
    names, fileids = found.names, array("Q", (node.fileid, above)) + found.numbers
    hashes = array("Q", (DOT_COOKIE, DOTDOT_COOKIE)) + name_hashes(tree.cookie_key, names)
    names[:0] = b".", b".."
    order = _order(hashes)
    cookies = array("Q", map(hashes.__getitem__, order))
    are_distinct = not any(map(eq, cookies, islice(cookies, 1, None)))
    if not are_distinct or tuple(order[:2]) != (0, 1) or cookies[-1] > _LAST_HASH:
        by_name = sorted(order, key=lambda at: (at > 1, min(hashes[at], _LAST_HASH), names[at]))
        order = array("L", by_name)
        hashed = (min(hashes[at], _LAST_HASH) for at in order)
        cookies = array("Q", accumulate(hashed, lambda before, own: max(before + 1, own)))
    return Listing(cookies, order, names, fileids)


def _order(hashes: array[int]) -> array[int]:
    """The places of hashes in their order.

    They are shared out by their first bits and then sorted in small parts, as no
    other thread can go on while one sorts.
    """
    bits = max(0, len(hashes).bit_length() - _STEP.bit_length())
    shift = 63 - bits
    parts: list[list[int]] = [[] for _ in range(1 << bits)]
    for at, each in enumerate(hashes):
        parts[each >> shift].append(at)
    order = array("L")
    for part in parts:
        part.sort(key=hashes.__getitem__)
        order.extend(part)
    return order[:]  # without room to grow


def _stack(node: DirNode) -> list[Fd]:
    return ([] if node.upper is None else [node.upper]) + [lower.fd for lower in node.lowers]


def _merge(tree: Tree, node: DirNode) -> _Found:
    """The visible names with the numbers of their objects."""
    found = _Found()
    if node.upper is not None:
        assert tree.layers.upper is not None
        impure = tree.kernel.get(node.upper, xattrs.IMPURE) is not None
        merges = impure or bool(node.lowers)
        _scan(tree, found, LowerDir(tree.layers.upper, node.upper), impure, merges=merges)
    bottom = tree.layers.lowers[-1]
    for lower in node.lowers:
        _scan(tree, found, lower, False, merges=lower.layer is not bottom)
    found.seen.clear()
    gone = set(found.whiteouts)
    for at in found.unsure:
        child = lookup(tree, node, found.names[at])
        if child is None:
            gone.add(at)
        else:
            found.numbers[at] = child.fileid
    if gone:
        left = [at for at in range(len(found.names)) if at not in gone]
        found.names = [found.names[at] for at in left]
        found.numbers = array("Q", [found.numbers[at] for at in left])
    return found


def _scan(tree: Tree, found: _Found, real: LowerDir, impure: bool, *, merges: bool) -> None:
    """Add what one layer has; a directory may have another origin if the layer `merges`."""
    own = open_dir(real.fd, b".")  # `real.fd` has one position for all who read it
    _add(tree, found, real._replace(fd=own), impure, merges=merges)


def _add(tree: Tree, found: _Found, real: LowerDir, impure: bool, *, merges: bool) -> None:
    """The same for a directory that is read by nobody else."""
    layer = real.layer
    certain = layer.has_handles and not (layer.is_upper and layer.is_renumbered)
    sure, sure_dirs = certain and not impure, certain and not merges
    is_plain = layer.seal is None and layer.filesystem <= MAX_FOLDED
    first, limit = layer.filesystem << INO_BITS, 1 << INO_BITS if is_plain else 0
    names, numbers, seen = found.names, found.numbers, found.seen
    seen.update(names[len(seen) :])
    with os.scandir(proc_path(real.fd)) as scan:
        for item in (each for each in scan if each.name not in seen) if seen else scan:
            if item.is_file(follow_symlinks=False) and not real.xwhiteouts:
                is_sure = sure
            elif item.is_dir(follow_symlinks=False):
                is_sure = sure_dirs
            elif _is_whiteout(item) or (real.xwhiteouts and _has_mark(tree, real.fd, item.name)):
                found.whiteouts.append(len(names))
                is_sure = True
            else:
                is_sure = sure
            if not is_sure:
                found.unsure.append(len(names))
            names.append(item.name)
            number = item.inode()  # for most what Layer.number does, but a million times
            numbers.append(first | number if number < limit else layer.number(number))


def _has_mark(tree: Tree, directory: Fd, name: bytes) -> bool:
    fd = open_path(directory, name)
    return is_xattr_whiteout(tree, fd, os.fstat(fd))


def _is_whiteout(item: os.DirEntry[bytes]) -> bool:
    if item.is_file(follow_symlinks=False) or item.is_symlink():
        return False  # known from the directory entry alone
    return is_whiteout(item.stat(follow_symlinks=False))
