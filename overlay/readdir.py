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
from hashlib import blake2b
from typing import Final, NamedTuple

from index import xattrs
from index.fd import Fd, is_whiteout, open_path
from index.layers import Layer
from overlay.blocking import may_block
from overlay.decode import parent_of, resolve
from overlay.listing import Listing
from overlay.lookup import lookup
from overlay.node import DirNode, directory
from overlay.search import is_xattr_whiteout
from overlay.tree import Tree

DOT_COOKIE: Final = 1
DOTDOT_COOKIE: Final = 2
_FIRST_COOKIE: Final = 3
_COOKIE_BITS: Final = 63
# A directory whose own inode is larger is read on a thread that may wait.
_QUICK_BYTES: Final = 64 << 10


class _Seen(NamedTuple):
    """The topmost entry of a name while the layers are gone through."""

    fileid: int
    is_dir: bool
    sure: bool  # fileid is the object's


def readdir(tree: Tree, node: DirNode) -> Listing:
    """All entries of a directory, `.` and `..` first."""
    generation = tree.listings.of(node.fileid)
    kept = tree.kept_listings.get(node.handle)
    if kept is not None and kept[0] == generation:
        return kept[1]
    node = directory(resolve(tree, node.handle))  # as it is since the counter was read
    if sum(os.fstat(fd).st_size for fd in _stack(node)) > _QUICK_BYTES:
        may_block()
    entries = _merge(tree, node)
    keyed = sorted((name_cookie(tree.cookie_key, name), name, fileid) for name, fileid in entries)
    cookies = [DOT_COOKIE, DOTDOT_COOKIE]
    for cookie, _, _ in keyed:
        cookies.append(max(cookie, cookies[-1] + 1))
    listing = Listing(
        tuple(cookies),
        (b".", b"..", *(name for _, name, _ in keyed)),
        (node.fileid, parent_of(tree, node).fileid, *(fileid for _, _, fileid in keyed)),
    )
    tree.kept_listings.put(node.handle, (generation, listing), len(entries) + 1)
    return listing


def name_cookie(key: bytes, name: bytes) -> int:
    """The cookie of a name: 3 to 2**63 - 1."""
    digest = blake2b(name, digest_size=8, key=key).digest()
    value = int.from_bytes(digest, "big") >> (64 - _COOKIE_BITS)
    # Room for neighbours at both ends.
    return min(max(value, _FIRST_COOKIE), (1 << _COOKIE_BITS) - 256)


def _stack(node: DirNode) -> list[Fd]:
    return ([] if node.upper is None else [node.upper]) + [lower.fd for lower in node.lowers]


def _merge(tree: Tree, node: DirNode) -> list[tuple[bytes, int]]:
    """The visible names with their fileids."""
    seen: dict[bytes, _Seen | None] = {}  # None: a whiteout
    if node.upper is not None:
        assert tree.layers.upper is not None
        impure = tree.kernel.get(node.upper, xattrs.IMPURE) is not None
        _scan(tree, seen, node.upper, tree.layers.upper, impure, merges=impure or bool(node.lowers))
    bottom = tree.layers.lowers[-1]
    for lower in node.lowers:
        _scan(
            tree,
            seen,
            lower.fd,
            lower.layer,
            False,
            merges=lower.layer is not bottom,
            xwhiteouts=lower.xwhiteouts,
        )
    entries = []
    for name, entry in seen.items():
        if entry is None:
            continue
        if entry.sure:
            entries.append((name, entry.fileid))
        else:
            found = lookup(tree, node, name)
            if found is not None:
                entries.append((name, found.fileid))
    return entries


def _scan(
    tree: Tree,
    seen: dict[bytes, _Seen | None],
    fd: Fd,
    layer: Layer,
    impure: bool,
    *,
    merges: bool,
    xwhiteouts: bool = False,
) -> None:
    """Add what one layer has; a directory may have another origin if the layer `merges`."""
    own = Fd(os.open(b".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd))
    with os.scandir(own) as scan:
        for item in scan:
            name = os.fsencode(item.name)
            if name in seen:
                continue
            is_dir = item.is_dir(follow_symlinks=False)
            if not is_dir and (_is_whiteout(item) or (xwhiteouts and _has_mark(tree, own, item))):
                seen[name] = None
                continue
            sure = layer.has_handles and not (merges if is_dir else impure)
            seen[name] = _Seen(layer.fileid(item.inode()), is_dir, sure)


def _has_mark(tree: Tree, directory: Fd, item: os.DirEntry[str]) -> bool:
    fd = open_path(directory, os.fsencode(item.name))
    return is_xattr_whiteout(tree, fd, os.fstat(fd))


def _is_whiteout(item: os.DirEntry[str]) -> bool:
    if item.is_file(follow_symlinks=False) or item.is_symlink():
        return False  # known from the directory entry alone
    return is_whiteout(item.stat(follow_symlinks=False))
