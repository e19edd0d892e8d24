"""Looking for a path in the lower layers alone, which never change.

The rules are the kernel's (fs/overlayfs/namei.c, overlayfs.rst): the topmost
layer that has the name decides.  A whiteout hides what is below it; a directory
merges with directories below it until one is opaque or something else is met;
a redirect says under what name or path the layers below are searched.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from index import xattrs
from index.fd import Fd, components, is_whiteout, open_name
from index.layers import Layer
from index.syscalls import open_rare_name
from overlay.errors import error
from overlay.node import LowerDir
from overlay.tree import Tree


@dataclass(slots=True, init=False)
class LowerFile:
    """A non-directory found in a lower layer."""

    layer: Final[Layer]
    fd: Final[Fd]
    st: Final[os.stat_result]

    def __init__(self, layer: Layer, fd: Fd, st: os.stat_result) -> None:
        self.layer = layer  # written out: quicker (overlay.attributes)
        self.fd = fd
        self.st = st


@dataclass(slots=True, init=False)
class _Step:
    """What one layer says of a path: the object if it has it, and where to go on below."""

    found: Final[tuple[Fd, os.stat_result] | None]
    stop: Final[bool]
    redirect: Final[bytes | None]
    xwhiteouts: Final[bool]

    def __init__(
        self,
        found: tuple[Fd, os.stat_result] | None,
        stop: bool,
        redirect: bytes | None = None,
        xwhiteouts: bool = False,
    ) -> None:
        self.found = found
        self.stop = stop
        self.redirect = redirect
        self.xwhiteouts = xwhiteouts


def find_lower(
    tree: Tree, lowers: Sequence[LowerDir], name: bytes
) -> LowerFile | tuple[LowerDir, ...]:
    """What the lower layers alone have under `name`: a file, or a stack of directories."""
    return search(tree, lowers, [name])


def search(
    tree: Tree, bases: Sequence[LowerDir], path: list[bytes]
) -> LowerFile | tuple[LowerDir, ...]:
    """What lower layers have under `path` below `bases`, one directory a layer."""
    stack: list[LowerDir] = []
    redirected: list[LowerDir] = []  # directories of the stack that redirect the search below
    position = 0
    while position < len(bases):
        base = bases[position]
        position += 1
        step = _look_in_layer(tree, base, path, is_last=position == len(bases))
        if step.found is not None:
            fd, st = step.found
            if not stat.S_ISDIR(st.st_mode):
                return tuple(stack) if stack else LowerFile(base.layer, fd, st)
            here = LowerDir(base.layer, fd, step.xwhiteouts)
            stack.append(here)
            for source in redirected[-1:]:
                _note_redirect(tree, source, here)
            if step.redirect is not None:
                redirected.append(here)
        if step.stop:
            break
        if step.redirect is not None:
            path = components(step.redirect)
            if step.redirect.startswith(b"/"):
                bases = _roots_below(tree, base.layer)
                position = 0
    return tuple(stack)


def _look_in_layer(tree: Tree, base: LowerDir, path: list[bytes], *, is_last: bool) -> _Step:
    """Walk `path` below one directory of one layer; in all but the last it mostly leads nowhere."""
    opened = open_name if is_last else open_rare_name
    fd, st, last = base.fd, None, base.layer is tree.layers.lowers[-1]
    xwhiteouts = base.xwhiteouts
    redirect: bytes | None = None
    stop = False
    for depth, name in enumerate(path):
        found = opened(fd, name)
        if found is None:
            return _Step(None, stop, redirect)
        fd, st = found
        if is_whiteout(st) or (xwhiteouts and is_xattr_whiteout(tree, fd, st)):
            return _Step(None, True)
        if not stat.S_ISDIR(st.st_mode):
            at_end = depth == len(path) - 1
            return _Step((fd, st), True) if at_end else _Step(None, True)
        if last:
            continue  # nothing below to merge with
        opaque = tree.kernel.get(fd, xattrs.OPAQUE)
        xwhiteouts = opaque == b"x"
        if opaque == b"y":
            stop = True
            continue
        value = redirect_of(tree, fd)
        if value is not None:
            redirect = _replaced(path, depth, value)
            # An absolute path leads out from below an opaque ancestor.
            stop = stop and not value.startswith(b"/")
    assert st is not None
    return _Step((fd, st), stop, redirect, xwhiteouts)


def _replaced(path: list[bytes], depth: int, redirect: bytes) -> bytes:
    """The path to search below, when the component at `depth` is redirected."""
    rest = path[depth + 1 :]
    if redirect.startswith(b"/"):
        return b"/".join([redirect, *rest])
    return b"/".join([*path[:depth], redirect, *rest])


def _roots_below(tree: Tree, layer: Layer) -> tuple[LowerDir, ...]:
    lowers = tree.root.lowers
    above = [lower.layer for lower in lowers].index(layer)
    return lowers[above + 1 :]


def _note_redirect(tree: Tree, source: LowerDir, target: LowerDir) -> None:
    """Record which directory of a higher layer leads to `target`, so that it can be found again."""
    identity = target.identity()
    if tree.index.find(identity) is not None:
        return
    with tree.changing():
        if tree.index.find(identity) is None:
            path = target.layer.path_of(target.fd)
            tree.index.put_directory(identity, lower=source.identity(), redirect=path)


def redirect_of(tree: Tree, fd: Fd) -> bytes | None:
    """Where the layers below have this directory or data; raises EIO for nonsense."""
    value = xattrs.get(fd, xattrs.REDIRECT) if tree.kernel.has_redirects else None
    if value is not None and not is_redirect(value):
        raise error(errno.EIO)
    return value


def is_redirect(value: bytes) -> bool:
    """Whether the kernel takes this for a redirect (ovl_get_redirect_xattr)."""
    names = value[1:].split(b"/") if value.startswith(b"/") else [value]
    return all(name not in (b"", b".", b"..") and b"/" not in name for name in names)


def is_opaque(tree: Tree, fd: Fd) -> bool:
    """Whether a directory hides what is below it."""
    return tree.kernel.get(fd, xattrs.OPAQUE) == b"y"


def is_xattr_whiteout(tree: Tree, fd: Fd, st: os.stat_result) -> bool:
    """Whether an entry of an `opaque=x` directory is a whiteout: an empty file with an xattr."""
    return (
        stat.S_ISREG(st.st_mode)
        and st.st_size == 0
        and tree.kernel.get(fd, xattrs.WHITEOUT) is not None
    )
