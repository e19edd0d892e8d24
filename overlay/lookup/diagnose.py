"""What people are told of a handle in numbers and logs: never for a decision.

Why it is stale, and what the object is called.
"""

from __future__ import annotations

from index.identity import Identity
from index.index import GONE, UpperInode
from index.layers import Layer
from index.linux.fd import DIR_FLAGS
from overlay.base.errors import WouldBlock
from overlay.lookup.resolve import resolve
from overlay.model.node import DirNode
from overlay.model.outcomes import Cause
from overlay.model.tree import Tree


def cause(tree: Tree, handle: bytes) -> Cause:
    """Why `handle` was stale just now; raises EBADF for what is no handle of this export."""
    identity = tree.signer.decode(handle)
    entry = tree.index.find(identity)
    if entry == GONE:
        return Cause.REMOVED
    try:
        tree.attributes(resolve(tree, handle))
    except OSError:
        pass
    else:
        return Cause.PASSED
    if isinstance(entry, UpperInode):
        return Cause.REMOVED
    if identity.is_upper:
        upper = tree.layers.upper
        if upper is None:
            return Cause.LAYER
        return Cause.REMOVED if upper.has_made(identity) else Cause.INODE
    if _layer(tree, identity) is None:
        return Cause.LAYER
    if identity.is_dir and tree.open_origin(identity, DIR_FLAGS) is not None:
        return Cause.PLACE
    return Cause.INODE


def where(tree: Tree, handle: bytes) -> bytes | None:
    """Return a path of an object from the root; None where none is known without a search."""
    names: list[bytes] = []
    while handle != tree.root.handle:
        try:
            node = resolve(tree, handle)
        except (OSError, WouldBlock):
            return None
        upper = node.upper if isinstance(node, DirNode) else node.fd if node.is_upper else None
        path = None if upper is None else tree.upper_path(upper)
        if path is not None:
            return b"/".join((path.rstrip(b"/"), *reversed(names)))
        if node.dentry is None:
            return None
        names.append(node.dentry.name)
        handle = node.dentry.parent
    return b"/" + b"/".join(reversed(names))


def _layer(tree: Tree, identity: Identity) -> Layer | None:
    """Return the lower layer that an object's origin is in, or one of its filesystem."""
    if identity.is_dir or identity.is_by_path:
        return tree.layers.by_id(identity.source)
    return tree.layers.on_filesystem(identity.source)
