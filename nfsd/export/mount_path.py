"""From the root of an export to what MNT names, by way of symbolic links within the export.

A link is followed as by a program that has the export as its root, so that it never
leads out: an absolute target begins at that root, or names the export as clients do.
One that goes up beyond the root is refused, as is such a path.
"""

from __future__ import annotations

import errno
import stat
from typing import Final

from overlay.base.credentials import ROOT
from overlay.base.errors import error
from overlay.filesystem import Overlay
from overlay.model.node import Node

_LINKS_MAX: Final = 40  # that Linux follows on the way of one path


def components(path: bytes) -> list[bytes]:
    """Return the names in a path."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def walk(overlay: Overlay, export: bytes, names: list[bytes]) -> Node:
    """Return what these names lead to from the root of an export, whose path is `export`.

    Raises ENOENT and ENOTDIR, EACCES for what leads out of the export, ELOOP.
    """
    above = components(export)
    left, links = names[::-1], 0
    node: Node = overlay.root
    way: list[Node] = []
    while left:
        name = left.pop()
        if name == b"..":
            if not node.is_dir:
                raise error(errno.ENOTDIR)
            if not way:
                raise error(errno.EACCES)
            node = way.pop()
            continue
        found = overlay.lookup(node, name, ROOT)
        if not stat.S_ISLNK(found.type):
            way.append(node)
            node = found
            continue
        links += 1
        if links > _LINKS_MAX:
            raise error(errno.ELOOP)
        target = overlay.readlink(found, ROOT)
        names = components(target)
        if target.startswith(b"/"):
            node, way = overlay.root, []
            if names[: len(above)] == above:
                del names[: len(above)]
        left += names[::-1]
    return node
