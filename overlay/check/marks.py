"""Whether upper inodes and index entries name each other.

An upper file that comes from a lower inode is the index entry of that inode's
number; an upper directory is named by the entry's `upper`.  Both have the
identity in `fh`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from index import xattrs
from index.identity import Identity
from index.index import noted_path
from index.linux.file_handle import pack_real
from overlay.check import repair
from overlay.check.problem import Finding, Kind
from overlay.check.scan import IndexEntry, Scan, UpperDir, UpperFile
from overlay.lookup.adopt import adopt_file
from overlay.model.tree import Tree


def mark_findings(tree: Tree, found: Scan) -> Iterator[Finding]:
    """Yield the problems with index entries, with `fh`, and what only a kernel mount knows of."""
    for entry in found.misnamed:
        yield Finding(Kind.ENTRY_NAME, entry.where, partial(repair.rename_entry, tree, entry))
    directories = _Directories(tree, found)
    claimed: set[int] = set()
    for file in found.files.values():
        yield from _file(tree, found, file, claimed)
    for fileid, entry in found.entries.items():
        if not entry.is_whiteout and fileid not in claimed:
            yield from _entry(tree, found, directories, fileid, entry)
    for record in found.dirs:
        yield from directories.findings(record)


def _entry(
    tree: Tree, found: Scan, directories: _Directories, fileid: int, entry: IndexEntry
) -> Iterator[Finding]:
    file = found.files.get(entry.st.st_ino)
    if file is not None and file.adoptable is not None and file.adoptable.fileid == fileid:
        # Its adoption was not finished when a server died.
        yield Finding(Kind.FILE_NOT_ADOPTED, file.paths[0], partial(_adopt, tree, file.paths[0]))
    elif entry.fh is None:
        identity = directories.identity_for(fileid) if entry.is_dir else None
        if identity is None:
            identity = repair.origin_identity(tree, found, fileid, is_dir=entry.is_dir)
        mend = None if identity is None else partial(repair.mark_entry, tree, entry, identity)
        damaged = xattrs.FH in entry.attributes and not entry.is_dir
        kind = Kind.FH_MALFORMED if damaged else Kind.ENTRY_NO_FH
        yield Finding(kind, entry.where, mend, fileid)
    elif entry.fh.fileid != fileid:
        mend = partial(repair.rename_entry, tree, entry)
        yield Finding(Kind.ENTRY_FH_OTHER, entry.where, mend, fileid)
    elif not entry.is_dir:
        own = pack_real(entry.handle)
        if entry.attributes.get(xattrs.UPPER) != own:
            mend = partial(repair.put_entry, tree, entry, xattrs.UPPER, own)
            yield Finding(Kind.ENTRY_UPPER_OTHER, entry.where, mend)


def _file(tree: Tree, found: Scan, file: UpperFile, claimed: set[int]) -> Iterator[Finding]:
    path = file.paths[0]
    if file.ino in found.entry_of_inode:
        return  # its `fh` was looked at there
    if file.mark is not None:
        yield _unindexed(tree, found, file, file.mark, claimed)
    elif xattrs.FH in file.attributes:
        mend = partial(repair.renew_mark, tree, found, path, None)
        yield Finding(Kind.FH_MALFORMED, path, mend)
    elif file.adoptable is not None and file.adoptable.fileid not in found.entries:
        yield Finding(Kind.FILE_NOT_ADOPTED, path, partial(_adopt, tree, path))


def _adopt(tree: Tree, path: bytes) -> None:
    fd = repair.open_upper(tree, path)
    adopt_file(tree, fd, os.fstat(fd))


def _unindexed(
    tree: Tree, found: Scan, file: UpperFile, mark: Identity, claimed: set[int]
) -> Finding:
    path, fileid = file.paths[0], mark.fileid
    entry = found.entries.get(fileid)
    elsewhere = entry is not None and not entry.is_dir and entry.st.st_ino in found.files
    if fileid in claimed or elsewhere:
        return Finding(Kind.FH_OF_ANOTHER, path, partial(repair.be_own_object, tree, path))
    claimed.add(fileid)
    names = len(file.paths) + len(found.lower_names.get(fileid, []))
    mend = partial(repair.enter_file, tree, file, mark, names)
    kind = Kind.ENTRY_MISSING
    if entry is not None and entry.is_whiteout:
        kind = Kind.BURIED_VISIBLE
    return Finding(kind, path, mend, fileid)


class _Directories:
    """The upper directories and the index entries that lead to them."""

    def __init__(self, tree: Tree, found: Scan) -> None:
        self._tree = tree
        self._found = found
        self._by_handle = {record.handle: record for record in found.dirs}
        self._entry_to: dict[bytes, tuple[int, IndexEntry]] = {}
        by_path = {record.path: record for record in found.dirs}
        for fileid, entry in found.entries.items():
            if not entry.is_dir:
                continue
            leads = entry.directory
            record = self._by_handle.get(leads.upper) if leads.upper is not None else None
            if record is None and leads.upper is not None and leads.path is not None:
                there = by_path.get(leads.path)
                # Copied layers: `upper` is stale, `path` is right, if nothing contradicts it.
                if there is not None and (there.mark is None or there.mark.fileid == fileid):
                    record = there
            known = self._entry_to.get(record.path) if record is not None else None
            if record is not None and (known is None or _is_marked(record, fileid)):
                self._entry_to[record.path] = fileid, entry

    def identity_for(self, fileid: int) -> Identity | None:
        """Return the identity that the directory has that the entry of `fileid` leads to."""
        for record in self._found.dirs:
            if self._entry_to.get(record.path, (None,))[0] == fileid:
                for identity in (record.mark, record.bottom):
                    if identity is not None and identity.fileid == fileid:
                        return identity
        return None

    def findings(self, record: UpperDir) -> Iterator[Finding]:
        """Yield the problems of one upper directory."""
        known = self._entry_to.get(record.path)
        if known is not None:
            yield from self._indexed(record, *known)
        elif record.mark is not None:
            yield self._unindexed(record, record.mark)
        elif xattrs.FH in record.attributes:
            mend = partial(repair.renew_mark, self._tree, self._found, record.path, record.bottom)
            yield Finding(Kind.FH_MALFORMED, record.path, mend)
        elif record.bottom is not None and xattrs.SHARES not in record.attributes:
            mend = partial(repair.enter_dir, self._tree, record, record.bottom)
            yield Finding(Kind.DIRECTORY_NOT_ADOPTED, record.path, mend)

    def _indexed(self, record: UpperDir, fileid: int, entry: IndexEntry) -> Iterator[Finding]:
        identity = entry.fh
        if identity is None or identity.fileid != fileid:
            return  # the entry was found damaged already
        leads = entry.directory
        enter = partial(repair.enter_dir, self._tree, record, identity)
        if record.mark != identity:
            kind = Kind.DIRECTORY_FH_OTHER
            if record.mark is None and xattrs.FH in record.attributes:
                kind = Kind.FH_MALFORMED
            elif record.mark is None and record.bottom == identity:
                kind = Kind.DIRECTORY_NOT_ADOPTED  # or not quite, when a server died
            yield Finding(kind, record.path, enter, fileid)
        elif leads.upper != record.handle:
            yield Finding(Kind.DIRECTORY_UPPER_STALE, record.path, enter)
        elif leads.path not in (None, noted_path(record.path)):
            yield Finding(Kind.DIRECTORY_PATH_OLD, record.path, enter)

    def _unindexed(self, record: UpperDir, mark: Identity) -> Finding:
        enter = partial(repair.enter_dir, self._tree, record, mark)
        entry = self._found.entries.get(mark.fileid)
        if entry is None or not entry.is_dir:
            buried = entry is not None and entry.is_whiteout
            kind = Kind.BURIED_VISIBLE if buried else Kind.ENTRY_MISSING
            return Finding(kind, record.path, enter, mark.fileid)
        if any(known[0] == mark.fileid for known in self._entry_to.values()):
            mend = partial(repair.be_own_object, self._tree, record.path)
            return Finding(Kind.FH_OF_ANOTHER, record.path, mend)
        kind = Kind.ENTRY_MISSING
        if entry.directory.upper is not None:
            kind = Kind.DIRECTORY_UPPER_STALE
        return Finding(kind, record.path, enter, mark.fileid)


def _is_marked(record: UpperDir, fileid: int) -> bool:
    return record.mark is not None and record.mark.fileid == fileid
