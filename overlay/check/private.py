"""The private attributes of an inode, as a check looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from index import xattrs
from index.identity import Identity
from index.linux.fd import Fd
from index.linux.file_handle import handle_of
from overlay.model.tree import Tree

_NAMES: Final = (
    xattrs.OPAQUE,
    xattrs.REDIRECT,
    xattrs.ORIGIN,
    xattrs.NLINK,
    xattrs.IMPURE,
    xattrs.METACOPY,
    xattrs.FH,
    xattrs.UPPER,
    xattrs.PATH,
    xattrs.LOWER,
    xattrs.SHARES,
)
Attributes = Mapping[bytes, bytes]


def attributes_of(tree: Tree, fd: Fd) -> Attributes:
    """Return the private attributes of an inode, named as in a mount without userxattr."""
    had = xattrs.names(fd)
    aside = tree.index.marks.aside(fd) if had else None
    found = {}
    for name in _NAMES if had else ():
        on_disk = tree.kernel.on_disk(name)
        value = xattrs.get(fd, on_disk) if on_disk in had else None
        if value is None and aside is not None:
            value = xattrs.get(aside, name)
        if value is not None:
            found[name] = value
    is_long = xattrs.REDIRECT not in found and (aside or xattrs.LONG_REDIRECT in had)
    long = tree.index.lower_path_of(fd) if is_long else None
    if long is not None:
        found[xattrs.REDIRECT] = long
    mark = mark_of(found)
    if mark is not None and mark.is_upper and mark.real == handle_of(fd):
        del found[xattrs.FH]  # its own: it would be known without
    if not tree.kernel.has_redirects:
        found.pop(xattrs.METACOPY, None)
        found.pop(xattrs.REDIRECT, None)
    return found


def mark_of(attributes: Attributes) -> Identity | None:
    """Return the object that `fh` names; None if it is absent or damaged."""
    identity = Identity.unpack(attributes.get(xattrs.FH))
    return None if identity is None or identity.is_root else identity
