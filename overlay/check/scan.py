"""One walk over the upper layer, the lower layers, what they show together, and the index.

Rule: it changes nothing, so it does not look names up as the server does
(overlay.lookup.lookup), which adopts and notes on the way.  It is one walk of pairs:
what all layers show at a path, beside what the lower layers alone would show
there; in the many directories where these are the same each name is met once.
Of what lower layers have, only what the upper layer or the index concerns is
kept in memory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from index import xattrs
from index.entry_names import fileid_of, owner_of
from index.identity import Identity
from index.index import GONE, DirectoryEntry
from index.linux.fd import Fd, components, is_whiteout, open_dir, open_name
from index.linux.file_handle import RealHandle, handle_of, unpack_real
from overlay.base.progress import Progress
from overlay.check.private import Attributes, attributes_of, mark_of
from overlay.check.still import StillIndex
from overlay.lookup.adopt import is_impure, kernel_origin
from overlay.lookup.lower import LowerFile, is_redirect, search
from overlay.model.node import LowerDir
from overlay.model.tree import Tree

Stack = tuple[LowerDir, ...]


@dataclass(slots=True)
class UpperFile:
    """A non-directory of the upper layer, with all its names."""

    ino: int
    paths: list[bytes]
    attributes: Attributes
    mark: Identity | None  # what `fh` says
    adoptable: Identity | None  # the kernel's idea of the origin, without `fh`
    data_missing: bool = False  # a metacopy, and no lower file has the data
    data_astray: bool = False  # a metacopy whose data is not where the kernel looks


@dataclass(slots=True)
class UpperDir:
    """A directory of the upper layer, other than its root."""

    path: bytes
    handle: RealHandle
    attributes: Attributes
    mark: Identity | None
    bottom: Identity | None  # the bottommost lower directory that it merges
    holds_origins: bool = False


@dataclass(slots=True)
class IndexEntry:
    """Something in `inodes/`."""

    name: bytes
    fileid: int | None
    st: os.stat_result
    handle: RealHandle
    attributes: Attributes
    fh: Identity | None

    @property
    def where(self) -> bytes:
        return b"inodes/" + self.name

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.st.st_mode)

    @property
    def is_whiteout(self) -> bool:
        return is_whiteout(self.st)

    @property
    def directory(self) -> DirectoryEntry:
        """Return what a directory entry records."""
        values = self.attributes
        return DirectoryEntry(
            unpack_real(values.get(xattrs.UPPER)),
            values.get(xattrs.PATH),
            Identity.unpack(values.get(xattrs.LOWER)),
        )


@dataclass(slots=True)
class Scan:
    """Everything that the checks look at."""

    entries: dict[int, IndexEntry] = field(default_factory=dict)
    misnamed: list[IndexEntry] = field(default_factory=list)
    entry_of_inode: dict[int, IndexEntry] = field(default_factory=dict)
    files: dict[int, UpperFile] = field(default_factory=dict)
    dirs: list[UpperDir] = field(default_factory=list)
    root_impure: bool = True
    # Paths that the lower layers alone would show, by fileid: all of what is in the index,
    # else those that are not shown by the same name now.
    below: dict[int, list[bytes]] = field(default_factory=dict)
    # Lower names that all layers show, of the files that are in the index.
    lower_names: dict[int, list[bytes]] = field(default_factory=dict)
    # The objects that have a name, by fileid: all that come from the upper layer, and
    # those of the lower ones.
    visible: set[int] = field(default_factory=set)
    buried: dict[int, Identity] = field(default_factory=dict)  # but gone, says the index
    # Lower files at a path that an index entry records as its origin's, and the names shown
    # now of those that have several: to find what is meant where the layers were copied.
    recorded: dict[bytes, int] = field(default_factory=dict)
    linked: dict[int, list[bytes]] = field(default_factory=dict)
    broken: list[bytes] = field(default_factory=list)  # redirected into nonsense by a lower layer
    count: int = 0


class _ScannedDir(NamedTuple):
    """A path: its upper directory, the lower ones merged there, and the lower layers' own.

    The path is put together when it is asked for: kept on each level, paths of a deep tree
    would take gigabytes.
    """

    above: _ScannedDir | None
    name: bytes
    upper: Fd | None
    lowers: Stack
    below: Stack
    record: UpperDir | None

    @property
    def path(self) -> bytes:
        names, at = [], self
        while at.above is not None:
            names.append(at.name)
            at = at.above
        return b"".join(b"/" + name for name in reversed(names))


def scan(tree: Tree, progress: Progress) -> Scan:
    """Look at everything; `progress` is told now and then how many names were met."""
    index = tree.use_index(StillIndex(tree.workdir, tree.index.is_gone_of_old))
    try:
        return _Scanner(tree, progress).run()
    finally:
        tree.use_index(index)


class _Scanner:
    """The walk, as it goes."""

    def __init__(self, tree: Tree, progress: Progress) -> None:
        self._tree = tree
        self._data_roots = tuple(map(tree.root_of, tree.layers.data))
        self._progress = progress
        self._scan = Scan()
        self._wanted: set[int] = set()  # fileids whose lower names are all wanted
        self._recorded: set[bytes] = set()  # paths of origins

    def run(self) -> Scan:
        self._read_index()
        root = self._tree.root
        assert root.upper is not None
        start = _ScannedDir(None, b"", root.upper, root.lowers, root.lowers, None)
        # A generator for each directory on the way down, so that only these are open.
        pending = [self._visit(start)]
        while pending:
            scanned = next(pending[-1], None)
            if scanned is None:
                pending.pop()
            else:
                pending.append(self._visit(scanned))
        return self._scan

    def _read_index(self) -> None:
        found = self._scan
        for name, fd, st in self._tree.index.entries():
            owner = owner_of(name)
            if owner is not None and is_whiteout(st):
                continue  # says whose the one is that has but the number
            attributes = attributes_of(self._tree, fd)
            mark = mark_of(attributes)
            entry = IndexEntry(name, fileid_of(name), st, handle_of(fd), attributes, mark)
            if owner is None and entry.fileid is None:
                found.misnamed.append(entry)
            elif entry.fileid is not None:
                found.entries[entry.fileid] = entry
                self._wanted.update((entry.fileid, mark.fileid if mark else entry.fileid))
            if not entry.is_dir and not entry.is_whiteout:
                self._recorded.add(attributes.get(xattrs.REDIRECT, b""))
                known = found.entry_of_inode.get(st.st_ino)
                if known is None or (mark and mark.fileid == entry.fileid):
                    found.entry_of_inode[st.st_ino] = entry
        self._wanted.update(self._in_kernel_index())

    def _in_kernel_index(self) -> Iterator[int]:
        for _, fd, st in self._tree.kernel_index.entries():
            origin = kernel_origin(self._tree, fd, st)
            if origin is not None:
                yield origin[0].fileid

    def _visit(self, scanned: _ScannedDir) -> Iterator[_ScannedDir]:
        names: set[bytes] = set()
        stacks = (
            scanned.lowers if scanned.lowers is scanned.below else scanned.lowers + scanned.below
        )
        for fd in ([] if scanned.upper is None else [scanned.upper]) + [
            lower.fd for lower in stacks
        ]:
            names.update(map(os.fsencode, os.listdir(open_dir(fd, b"."))))
        for name in sorted(names):
            self._scan.count += 1
            if self._scan.count % 1000 == 0:
                self._progress(self._scan.count)
            child = self._name(scanned, name)
            if child is not None:
                yield child

    def _name(self, scanned: _ScannedDir, name: bytes) -> _ScannedDir | None:
        """Scan one name; return the directory to go down to if there is a directory."""
        path = scanned.path + b"/" + name
        merged = self._find(path, scanned.lowers, [name])
        below = merged
        if scanned.below is not scanned.lowers:
            below = self._find(path, scanned.below, [name])
        child = _ScannedDir(
            scanned, name, None, (), below if isinstance(below, tuple) else (), None
        )
        found = None if scanned.upper is None else open_name(scanned.upper, name)
        if found is None:
            if isinstance(merged, LowerFile):
                self._lower_file(path, merged)
            elif merged:
                self._see(merged[-1].identity())
                child = child._replace(lowers=merged)
        elif stat.S_ISDIR(found[1].st_mode):
            child = self._upper_dir(scanned, child, name, found[0])
        elif not is_whiteout(found[1]):
            self._upper_file(scanned, path, *found)
        self._below(path, below, shown=found is None and merged is below)
        return child if child.upper is not None or child.lowers or child.below else None

    def _lower_file(self, path: bytes, found: LowerFile) -> None:
        identity = found.identity()
        fileid = identity.fileid
        self._see(identity)
        if path in self._recorded or found.st.st_nlink > 1:
            self._scan.linked.setdefault(fileid, []).append(path)
        if fileid in self._wanted and self._is_indexed(identity):
            self._scan.lower_names.setdefault(fileid, []).append(path)

    def _below(self, path: bytes, below: LowerFile | Stack, *, shown: bool) -> None:
        if isinstance(below, LowerFile):
            identity = below.identity()
            if path in self._recorded:
                self._scan.recorded[path] = identity.fileid
        elif below:
            identity = below[-1].identity()
        else:
            return
        fileid = identity.fileid
        if (not shown or fileid in self._wanted) and self._is_indexed(identity):
            self._scan.below.setdefault(fileid, []).append(path)

    def _is_indexed(self, identity: Identity) -> bool:
        """Return whether the entry of this number, if there is one, is this object's.

        Another may have got the number.
        """
        entry = self._scan.entries.get(identity.fileid)
        if entry is not None and entry.is_whiteout:
            return self._tree.index.find(identity) == GONE
        return entry is None or entry.fh is None or entry.fh == identity

    def _see(self, *identities: Identity | None) -> None:
        """Note that these objects have a name."""
        for identity in identities:
            if identity is not None:
                self._scan.visible.add(identity.fileid)
                entry = self._scan.entries.get(identity.fileid)
                if entry is not None and entry.is_whiteout and self._is_indexed(identity):
                    self._scan.buried[identity.fileid] = identity

    def _upper_dir(
        self, scanned: _ScannedDir, child: _ScannedDir, name: bytes, fd: Fd
    ) -> _ScannedDir:
        attributes = attributes_of(self._tree, fd)
        lowers = self._lowers_of(child.path, scanned.lowers, attributes)
        if _same(lowers, child.below):
            lowers = child.below
        bottom = lowers[-1].identity() if lowers else None
        mark = mark_of(attributes)
        record = UpperDir(child.path, handle_of(fd), attributes, mark, bottom)
        self._scan.dirs.append(record)
        self._see(mark, bottom)
        self._note_origin(scanned, attributes)
        return child._replace(upper=fd, lowers=lowers, record=record)

    def _lowers_of(self, path: bytes, lowers: Stack, attributes: Attributes) -> Stack:
        """Return what an upper directory merges with."""
        if attributes.get(xattrs.OPAQUE) == b"y":
            return ()
        redirect = attributes.get(xattrs.REDIRECT)
        if redirect is not None and not is_redirect(redirect):
            return ()
        if redirect is not None and redirect.startswith(b"/"):
            found = self._find(path, self._tree.root.lowers, components(redirect))
        else:
            found = self._find(path, lowers, [redirect or path.rpartition(b"/")[2]])
        return () if isinstance(found, LowerFile) else found

    def _find(self, path: bytes, bases: Stack, names: list[bytes]) -> LowerFile | Stack:
        """Return what the lower layers have.

        Nothing where one has a redirect that means nothing.
        """
        try:
            return search(self._tree, bases, names)
        except OSError as problem:
            if problem.errno != errno.EIO:
                raise
            self._scan.broken.append(path)
            return ()

    def _note_origin(self, scanned: _ScannedDir, attributes: Attributes) -> None:
        mark = mark_of(attributes)
        of_upper = xattrs.FH not in attributes or (mark is not None and mark.is_upper)
        if xattrs.ORIGIN not in attributes and of_upper:
            return
        if scanned.record is not None:
            scanned.record.holds_origins = True
        elif not is_impure(self._tree, self._tree.root.real):
            self._scan.root_impure = False

    def _upper_file(self, scanned: _ScannedDir, path: bytes, fd: Fd, st: os.stat_result) -> None:
        file = self._scan.files.get(st.st_ino)
        if file is None:
            attributes = attributes_of(self._tree, fd)
            mark = mark_of(attributes)
            origin = None
            if xattrs.FH not in attributes and xattrs.ORIGIN in attributes:
                origin = kernel_origin(self._tree, fd, st)
            file = UpperFile(st.st_ino, [], attributes, mark, origin[0] if origin else None)
            self._scan.files[st.st_ino] = file
            self._see(mark, file.adoptable)
        file.paths.append(path)
        self._note_origin(scanned, file.attributes)
        if xattrs.METACOPY in file.attributes:
            self._look_for_data(scanned, file)

    def _look_for_data(self, scanned: _ScannedDir, file: UpperFile) -> None:
        """Whether the data of a metacopy is where the kernel looks, or anywhere."""
        path, redirect = file.paths[-1], file.attributes.get(xattrs.REDIRECT)
        found: LowerFile | Stack = ()
        if redirect is not None and redirect.startswith(b"/"):
            bases = self._tree.root.lowers + self._data_roots
            found = self._find(path, bases, components(redirect))
        elif redirect is None or is_redirect(redirect):
            found = self._find(path, scanned.lowers, [redirect or path.rpartition(b"/")[2]])
        origin = file.mark or file.adoptable
        if isinstance(found, LowerFile) and stat.S_ISREG(found.st.st_mode):
            there = found.identity()
            alive = origin is not None and self._tree.open_origin(origin, os.O_PATH)
            file.data_astray |= bool(alive) and there != origin
        elif origin is not None and self._tree.open_origin(origin, os.O_PATH):
            file.data_astray = True
        else:
            file.data_missing = True


def _same(one: Stack, other: Stack) -> bool:
    """Return whether two stacks are of the same directories."""
    return len(one) == len(other) and all(
        a.layer is b.layer and os.path.samestat(os.fstat(a.fd), os.fstat(b.fd))
        for a, b in zip(one, other, strict=True)
    )
