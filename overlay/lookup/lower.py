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
from index.identity import Identity
from index.layers import Layer
from index.linux.fd import Fd, components, is_whiteout, open_name
from index.linux.syscalls import open_rare_name
from overlay.base.errors import error
from overlay.model.node import LowerDir
from overlay.model.tree import Tree


@dataclass(slots=True, init=False)
class Below:
    """Where the search for a file goes on in the layers below the one that has it.

    That is where the data of a metacopy is, if the file does not say otherwise itself.
    """

    bases: Final[Sequence[LowerDir]]
    path: Final[list[bytes]]

    def __init__(self, bases: Sequence[LowerDir], path: list[bytes]) -> None:
        self.bases = bases  # written out: quicker (overlay.model.attributes)
        self.path = path


@dataclass(slots=True, init=False)
class LowerFile:
    """A non-directory found in a lower layer."""

    layer: Final[Layer]
    fd: Final[Fd]
    st: Final[os.stat_result]
    parent: Final[Fd | None]  # the layer's own directory that has it, where it was found by name
    below: Final[Below | None]  # None: it was opened by its handle

    def __init__(
        self,
        layer: Layer,
        fd: Fd,
        st: os.stat_result,
        parent: Fd | None = None,
        below: Below | None = None,
    ) -> None:
        self.layer = layer
        self.fd = fd
        self.st = st
        self.parent = parent
        self.below = below

    def identity(self) -> Identity:
        """Return the identity of an object that comes from it."""
        parent, name = self.parent, b"" if self.below is None else self.below.path[-1]
        return self.layer.identity(self.fd, self.st, is_dir=False, parent=parent, name=name)

    def path(self) -> bytes:
        """Return where it is in its layer; of one that was found by name this has no limit."""
        if self.parent is None or self.below is None:
            return self.layer.path_of(self.fd)
        return self.layer.path_in(self.parent, self.below.path[-1])


@dataclass(slots=True, init=False)
class _Step:
    """What one layer says of a path: the object if it has it, and where to go on below."""

    found: Final[tuple[Fd, os.stat_result] | None]
    stop: Final[bool]
    path: Final[list[bytes] | None]  # None: the same
    is_absolute: Final[bool]  # a redirect was: the layers below are searched from their roots
    xwhiteouts: Final[bool]
    parent: Final[Fd | None]

    def __init__(
        self,
        found: tuple[Fd, os.stat_result] | None,
        stop: bool,
        path: list[bytes] | None = None,
        is_absolute: bool = False,
        xwhiteouts: bool = False,
        parent: Fd | None = None,
    ) -> None:
        self.found = found
        self.stop = stop
        self.path = path
        self.is_absolute = is_absolute
        self.xwhiteouts = xwhiteouts
        self.parent = parent


def find_lower(
    tree: Tree, lowers: Sequence[LowerDir], name: bytes
) -> LowerFile | tuple[LowerDir, ...]:
    """Return what the lower layers alone have under `name`: a file, or a stack of directories."""
    return search(tree, lowers, [name])


def search(
    tree: Tree, bases: Sequence[LowerDir], path: list[bytes], *, is_there: bool = False
) -> LowerFile | tuple[LowerDir, ...]:
    """Return what lower layers have under `path` below `bases`, one directory a layer.

    `is_there`: the first of these has it.
    """
    stack: list[LowerDir] = []
    is_redirected = False
    position = 0
    while position < len(bases):
        base = bases[position]
        position += 1
        is_rare = position < len(bases) and not is_there
        step, is_there = _look_in_layer(tree, base, path, is_rare=is_rare), False
        if step.found is not None:
            fd, st = step.found
            if not stat.S_ISDIR(st.st_mode):
                if stack:
                    break
                below = bases[position:]
                if step.is_absolute:
                    below = roots_below(tree, base.layer)
                return LowerFile(base.layer, fd, st, step.parent, Below(below, step.path or path))
            stack.append(LowerDir(base.layer, fd, step.xwhiteouts, is_redirected))
        if step.stop:
            break
        if step.path is not None:
            is_redirected = True
            path = step.path
            if step.is_absolute:
                bases = roots_below(tree, base.layer)
                position = 0
    return tuple(stack)


def search_below(tree: Tree, found: LowerFile) -> LowerFile | tuple[LowerDir, ...]:
    """Return what the layers below have under the path by which a file was found."""
    return () if found.below is None else search(tree, found.below.bases, found.below.path)


def _look_in_layer(tree: Tree, base: LowerDir, path: list[bytes], *, is_rare: bool) -> _Step:
    """Walk `path` below one directory of one layer; mostly it leads nowhere if it `is_rare`."""
    opened = open_rare_name if is_rare else open_name
    fd, st, bottom = base.fd, None, base.layer is tree.layers.lowers[-1]
    xwhiteouts = base.xwhiteouts
    above: list[bytes] = []  # what the layers below have in place of the names so far
    is_redirected = is_absolute = stop = False
    at_end = len(path) - 1
    for depth, name in enumerate(path):
        found = opened(fd, name)
        if found is None:
            rest = [*above, *path[depth:]] if is_redirected else None
            return _Step(None, stop, rest, is_absolute)
        parent = fd
        fd, st = found
        if is_whiteout(st) or (xwhiteouts and is_xattr_whiteout(tree, fd, st)):
            return _Step(None, True)
        if not stat.S_ISDIR(st.st_mode):
            if depth < at_end:
                return _Step(None, True)
            rest = [*above, name] if is_redirected else None
            return _Step((fd, st), True, rest, is_absolute, parent=parent)
        if bottom:
            continue  # nothing below to merge with
        opaque = tree.kernel.get(fd, xattrs.OPAQUE)
        xwhiteouts = opaque == b"x"
        stop = stop or opaque == b"y"
        redirect = None if opaque == b"y" else redirect_of(tree, fd)
        if redirect is None:
            above.append(name)
        elif redirect.startswith(b"/"):
            above = components(redirect)
            stop = False  # an absolute path leads out from below an opaque ancestor
            is_redirected = is_absolute = True
        else:
            above.append(redirect)
            is_redirected = True
    assert st is not None
    return _Step((fd, st), stop, above if is_redirected else None, is_absolute, xwhiteouts)


def roots_below(tree: Tree, layer: Layer) -> tuple[LowerDir, ...]:
    """Return the roots of the layers below one that shows names; none for a data-only layer."""
    lowers = tree.root.lowers
    for above, lower in enumerate(lowers, 1):
        if lower.layer is layer:
            return lowers[above:]
    return ()


def redirect_of(tree: Tree, fd: Fd) -> bytes | None:
    """Return where the layers below have this directory or data; raises EIO for nonsense."""
    value = xattrs.get(fd, xattrs.REDIRECT) if tree.kernel.has_redirects else None
    if value is not None and not is_redirect(value):
        raise error(errno.EIO)
    return value


def is_redirect(value: bytes) -> bool:
    """Return whether the kernel takes this for a redirect (ovl_get_redirect_xattr)."""
    names = value[1:].split(b"/") if value.startswith(b"/") else [value]
    return all(name not in (b"", b".", b"..") and b"/" not in name for name in names)


def is_opaque(tree: Tree, fd: Fd) -> bool:
    """Return whether a directory hides what is below it."""
    return tree.kernel.get(fd, xattrs.OPAQUE) == b"y"


def is_xattr_whiteout(tree: Tree, fd: Fd, st: os.stat_result) -> bool:
    """Return whether an entry of an `opaque=x` directory is a whiteout: empty, with an xattr."""
    return (
        stat.S_ISREG(st.st_mode)
        and st.st_size == 0
        and tree.kernel.get(fd, xattrs.WHITEOUT) is not None
    )
