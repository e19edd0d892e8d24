"""What a stack of layers shows: by a kernel mount, and by the server, by name and by handle.

Both are plain values that must be equal.  Data that is missing (a metacopy whose data layer is not
there) is `MISSING`: the kernel then shows the name alone, the server the attributes too.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from tests.property.trees import past, public_xattrs

MISSING: Final = b"(its data is missing)"
_CHUNK: Final = 1 << 20
_PRIVATE: Final = (b"trusted.overlay.", b"user.overlay.")
Name = tuple[bytes, ...]


class Seen(NamedTuple):
    """What can be seen of one name."""

    kind: int
    mode: int
    nlink: int  # 0 for directories
    owner: tuple[int, int]
    size: int
    rdev: int
    mtime: int | None
    content: bytes | tuple[bytes, ...]  # data, target, or names
    xattrs: tuple[tuple[bytes, bytes], ...]


View = Mapping[Name, Seen | None]  # None: it is listed, and that is all


def differences(ours: View, kernels: View, *, counted: bool = True) -> list[str]:
    """A line for each; `counted`: link counts must agree too."""
    lines = []
    broken = {path for path, seen in kernels.items() if seen is None}
    ours = _without(
        ours, {path for path in ours.keys() - kernels.keys() if _lacks_data(ours[path])}
    )
    for path in sorted(ours.keys() | kernels.keys()):
        if any(path[:depth] in broken for depth in range(len(path))):
            continue  # the kernel cannot list a directory for one broken name in it
        name = os.fsdecode(b"/" + b"/".join(path))
        if path not in ours or path not in kernels:
            lines.append(f"{name}: only the {'kernel' if path in kernels else 'server'} shows it")
            continue
        one, other = ours[path], kernels[path]
        if other is None and one is not None and _may_be_broken(ours, path, one):
            continue
        if one is None or other is None:
            lines.append(f"{name}: server {one}, kernel {other}")
            continue
        if not counted:
            one, other = one._replace(nlink=0), other._replace(nlink=0)
        lines += [
            f"{name}: {field}: server {shown!r}, kernel {expected!r}"
            for field, shown, expected in zip(Seen._fields, one, other, strict=True)
            if shown != expected
        ]
    return lines


def _lacks_data(seen: Seen | None) -> bool:
    return seen is not None and seen.content == MISSING


def _without(view: View, hidden: set[Name]) -> View:
    """A view without names: where a directory is impure, the kernel lists none that is broken."""
    kept: dict[Name, Seen | None] = {}
    for path, seen in view.items():
        if path in hidden:
            continue
        if seen is not None and isinstance(seen.content, tuple):
            names = tuple(name for name in seen.content if (*path, name) not in hidden)
            seen = seen._replace(content=names)
        kept[path] = seen
    return kept


def _may_be_broken(view: View, path: Name, seen: Seen) -> bool:
    """Whether the kernel fails here: data is missing, or that of something in the directory."""
    if not isinstance(seen.content, tuple):
        return seen.content == MISSING
    children = (view.get((*path, name)) for name in seen.content)
    return any(child is not None and child.content == MISSING for child in children)


def of_kernel(root: Path) -> View:
    """What a mount shows."""
    view: dict[Name, Seen | None] = {}
    pending: list[Name] = [()]
    while pending:
        path = pending.pop()
        where = os.path.join(os.fsencode(root), *path)
        try:
            st = os.lstat(where)
            content = _content(where, st)
            fd = os.open(where, os.O_PATH | os.O_NOFOLLOW)
        except OSError as problem:
            if problem.errno == errno.ENOENT and path:
                continue  # a whiteout that is listed (docs/differences.md)
            if problem.errno not in (errno.EIO, errno.ESTALE):
                raise
            view[path] = None
            continue
        try:
            xattrs = _public(b"/proc/self/fd/%d" % fd)
        finally:
            os.close(fd)
        view[path] = _seen(st, content, xattrs)
        if isinstance(content, tuple):
            pending += [(*path, name) for name in content]
    return _consistent(view)


def _consistent(view: dict[Name, Seen | None]) -> View:
    """Listings without what cannot be looked up."""
    for path, seen in view.items():
        if seen is not None and isinstance(seen.content, tuple):
            names = tuple(name for name in seen.content if (*path, name) in view)
            view[path] = seen._replace(content=names)
    return view


def _content(where: bytes, st: os.stat_result) -> bytes | tuple[bytes, ...]:
    if stat.S_ISDIR(st.st_mode):
        return tuple(sorted(os.listdir(where)))
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(where)
    if stat.S_ISREG(st.st_mode):
        try:
            with open(where, "rb") as file:
                return _as_long(file.read(), st.st_size)
        except OSError as problem:
            if problem.errno not in (errno.EIO, errno.ENOENT):
                raise
            return MISSING
    return b""


def _as_long(data: bytes, size: int) -> bytes:
    """What is read of a file that says so of its size: a metacopy's data may be shorter, or longer.

    It is so where a layer was edited.
    """
    return data[:size].ljust(size, b"\0")


def _public(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(pair for pair in public_xattrs(path) if not pair[0].startswith(_PRIVATE))


def _seen(
    st: os.stat_result,
    content: bytes | tuple[bytes, ...],
    xattrs: tuple[tuple[bytes, bytes], ...],
) -> Seen:
    is_dir = stat.S_ISDIR(st.st_mode)
    return Seen(
        stat.S_IFMT(st.st_mode),
        stat.S_IMODE(st.st_mode),
        0 if is_dir else st.st_nlink,
        (st.st_uid, st.st_gid),
        0 if is_dir else st.st_size,
        st.st_rdev,
        past(st.st_mtime_ns),
        content,
        xattrs,
    )


class Served:
    """An overlay that is open, seen by name and by handle."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay

    def handles(self) -> dict[Name, bytes]:
        """The handle of everything, by name."""
        found: dict[Name, bytes] = {}
        pending: list[tuple[Name, bytes]] = [((), self.overlay.root.handle)]
        while pending:
            path, handle = pending.pop()
            found[path] = handle
            node = self.overlay.resolve(handle)
            if not node.is_dir:
                continue
            for _, fileid, name in list(self.overlay.readdir(node, ROOT).after(0)):
                if name in (b".", b".."):
                    continue
                child = self.overlay.lookup(node, name, ROOT)
                shown = self.overlay.getattr(child).fileid
                assert shown == fileid, f"{path} {name!r}: READDIR {fileid}, GETATTR {shown}"
                pending.append(((*path, name), child.handle))
        return found

    def seen(self, handle: bytes) -> Seen:
        """What is seen of an object, by its handle alone."""
        overlay = self.overlay
        node = overlay.resolve(handle)
        had = overlay.getattr(node)
        content: bytes | tuple[bytes, ...] = b""
        if node.is_dir:
            entries = overlay.readdir(node, ROOT).after(0)
            content = tuple(sorted(name for *_, name in entries if name not in (b".", b"..")))
        elif stat.S_ISLNK(had.mode):
            content = overlay.readlink(node, ROOT)
        elif stat.S_ISREG(had.mode):
            content = self._data(handle, had.size)
        xattrs = _public(b"/proc/self/fd/%d" % overlay.resolve(handle).real)
        return Seen(
            stat.S_IFMT(had.mode),
            stat.S_IMODE(had.mode),
            0 if node.is_dir else had.nlink,
            (had.uid, had.gid),
            0 if node.is_dir else had.size,
            had.rdev,
            past(had.mtime),
            content,
            xattrs,
        )

    def _data(self, handle: bytes, size: int) -> bytes:
        try:
            data = self.overlay.read(self.overlay.resolve(handle), ROOT, 0, _CHUNK)[0]
            return _as_long(bytes(data), size)
        except OSError as problem:
            if problem.errno != errno.EIO:
                raise
            return MISSING

    def forget(self) -> None:
        """Have seen nothing."""
        caches = self.overlay._tree.caches
        caches.nodes.clear()
        caches.names.clear()
        caches.listings.clear()

    def view(self, handles: Mapping[Name, bytes], *, forgetful: bool = False) -> View:
        """Everything by its handle; `forgetful`: each as in a process that has seen nothing."""
        view: dict[Name, Seen | None] = {}
        for path, handle in handles.items():
            if forgetful:
                self.forget()
            try:
                view[path] = self.seen(handle)
            except OSError as problem:
                if problem.errno != errno.ESTALE:
                    raise OSError(problem.errno, f"{path}: {problem}") from problem
                view[path] = None
        return view
