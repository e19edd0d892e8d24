"""The index: from the number of a lower inode to where the object lives now.

`inodes/#FILEID` is, for the lower inode whose number clients see as FILEID:

    a hard link to the upper inode    a non-directory that was copied up
    a directory with xattrs           a directory that was copied up (`upper`, `path`), or
                                      one that a redirect of a lower layer leads to (`lower`)
    a whiteout                        the object is gone: its handles are stale for ever
    nothing                           the object still is the lower inode

An entry appears whole, by one link or rename.  For a non-directory this is the
moment its copy-up is done, whatever happens to its names afterwards.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from index import xattrs
from index.census import Census
from index.fd import Fd, is_whiteout, open_dir, open_name
from index.handles import RealHandle
from index.identity import Identity
from index.long_paths import LongPaths
from index.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, link_fd, open_rare_name, rename
from index.workdir import REMOVING, Workdir


@dataclass(frozen=True, slots=True)
class Gone:
    """The index whiteout: every name of the object was removed."""


GONE: Final = Gone()
_LONGEST_LINK: Final = 1000  # bytes; XFS allows 1024
_LONGEST_PATH: Final = 1000  # bytes in an attribute: ext4 may have 4 KiB for all of an inode


@dataclass(frozen=True, slots=True)
class UpperInode:
    """A copied-up non-directory: the entry is its upper inode."""

    fd: Fd
    st: os.stat_result


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory that was copied up, or a lower object that the index must help to find.

    `path` is None also where it is long.  `lower` is the directory whose redirect
    leads to it, until it was copied up; an
    object of a layer without file handles has nothing but its path in the layer
    (`Index.lower_path`).
    """

    upper: RealHandle | None
    path: bytes | None
    lower: Identity | None


Entry = Gone | UpperInode | DirectoryEntry


@dataclass(frozen=True, slots=True)
class Removal:
    """A removal that may or may not have happened when the server died."""

    fileid: int
    parent: RealHandle
    path: bytes | None  # of the parent, should the upper layer be copied before the next start
    name: bytes


def noted_path(path: bytes | None) -> bytes | None:
    """What of a path goes into the attribute `path`: all or nothing."""
    return None if path is None or len(path) > _LONGEST_PATH else path


def note_path(fd: Fd, path: bytes | None) -> None:
    """Record where an indexed object is in the upper layer, or that this is not recorded."""
    noted = noted_path(path)
    if noted is None:
        xattrs.drop(fd, xattrs.PATH)
    else:
        xattrs.put(fd, xattrs.PATH, noted)


def _entry_name(fileid: int) -> bytes:
    return b"#%d" % fileid


def fileid_of(name: bytes) -> int | None:
    """The number in the name of an entry; None if it is not one."""
    digits = name[1:]
    if digits.isdigit() and int(digits) < 1 << 64 and name == _entry_name(int(digits)):
        return int(digits)
    return None


def pack_real(real: RealHandle) -> bytes:
    """A kernel handle as the value of an xattr: one byte of type, then the handle."""
    return bytes((real.type,)) + real.data


def unpack_real(value: bytes | None) -> RealHandle | None:
    """What `pack_real` packed."""
    return RealHandle(value[0], value[1:]) if value else None


class Index:
    """The entries of one work directory."""

    def __init__(self, workdir: Workdir) -> None:
        self._workdir = workdir
        self._inodes = workdir.inodes
        self._long_paths = LongPaths(workdir)
        self.census = Census(workdir.inodes)

    def find(self, fileid: int) -> Entry | None:
        """What is known of lower inode `fileid`; None if nothing ever happened to it."""
        found = open_rare_name(self._inodes, _entry_name(fileid))
        if found is None:
            return None
        fd, st = found
        if is_whiteout(st):
            return GONE
        if not stat.S_ISDIR(st.st_mode):
            return UpperInode(fd, st)
        lower = xattrs.get(fd, xattrs.LOWER)
        return DirectoryEntry(
            unpack_real(xattrs.get(fd, xattrs.UPPER)),
            xattrs.get(fd, xattrs.PATH),
            None if lower is None else Identity.unpack(lower),
        )

    def commit(self, fileid: int, fd: Fd) -> None:
        """Make the finished inode behind `fd` the entry of `fileid`: its copy-up is done.

        Raises EEXIST when an inode is the entry already.
        """
        entry = _entry_name(fileid)
        if not isinstance(self.find(fileid), DirectoryEntry):
            link_fd(fd, self._inodes, entry)
            return
        name, staging = self._workdir.new_name(), self._workdir.staging
        link_fd(fd, staging, name)
        rename(staging, name, self._inodes, entry, RENAME_EXCHANGE)
        self._workdir.discard(name)

    def lower_path(self, fileid: int) -> bytes | None:
        """The recorded path of the lower inode in its layer; None if there is none."""
        found = open_name(self._inodes, _entry_name(fileid))
        return None if found is None else self.lower_path_of(found[0])

    def lower_path_of(self, fd: Fd) -> bytes | None:
        """The same, as recorded on an entry."""
        path = xattrs.get(fd, xattrs.REDIRECT)
        digest = xattrs.get(fd, xattrs.LONG_REDIRECT) if path is None else None
        return path if digest is None else self._long_paths.get(digest)

    def put_lower_path(self, fd: Fd, path: bytes) -> None:
        """Record it on an inode that is to be an entry, however long it is."""
        if len(path) <= _LONGEST_PATH:
            xattrs.put(fd, xattrs.REDIRECT, path)
        else:
            xattrs.put(fd, xattrs.LONG_REDIRECT, self._long_paths.put(path))

    def put_directory(
        self,
        identity: Identity,
        *,
        upper: RealHandle | None = None,
        path: bytes | None = None,
        redirect: bytes | None = None,
        lower: Identity | None = None,
    ) -> None:
        """Record where the directory with this origin is, replacing what was recorded before."""
        values = {
            xattrs.FH: identity.pack(),
            xattrs.UPPER: None if upper is None else pack_real(upper),
            xattrs.PATH: noted_path(path),
            xattrs.LOWER: None if lower is None else lower.pack(),
        }
        name = self._workdir.new_name()
        os.mkdir(name, 0o700, dir_fd=self._workdir.staging)
        entry = open_dir(self._workdir.staging, name)
        for key, value in values.items():
            if value is not None:
                xattrs.put(entry, key, value)
        if redirect is not None:
            self.put_lower_path(entry, redirect)
        rename(self._workdir.staging, name, self._inodes, _entry_name(identity.fileid))

    def place_directory(self, fileid: int, upper: RealHandle, path: bytes | None) -> None:
        """Let the entry of an indexed directory lead to another inode."""
        found = open_name(self._inodes, _entry_name(fileid))
        if found is not None and stat.S_ISDIR(found[1].st_mode):
            note_path(found[0], path)
            xattrs.put(found[0], xattrs.UPPER, pack_real(upper))

    def move_directory(self, fileid: int, path: bytes | None) -> None:
        """Record the new path of an indexed directory; `upper` stays what counts."""
        found = open_name(self._inodes, _entry_name(fileid))
        if found is not None and stat.S_ISDIR(found[1].st_mode):
            note_path(found[0], path)

    def forget_upper(self, identity: Identity) -> None:
        """Let the entry of a directory lead to no upper one; it goes, unless it says more."""
        entry = _entry_name(identity.fileid)
        found = open_name(self._inodes, entry)
        if found is None:
            return
        if identity.is_by_path or xattrs.get(found[0], xattrs.LOWER) is not None:
            xattrs.drop(found[0], xattrs.PATH)
            xattrs.drop(found[0], xattrs.UPPER)
        else:
            self.discard(entry)

    def bury(self, fileid: int) -> None:
        """Record for ever that the object of lower inode `fileid` is gone."""
        entry = _entry_name(fileid)
        whiteout = self._workdir.new_whiteout()
        staging = self._workdir.staging
        try:
            rename(staging, whiteout, self._inodes, entry, RENAME_NOREPLACE)
        except FileExistsError:
            rename(staging, whiteout, self._inodes, entry, RENAME_EXCHANGE)
            self._workdir.discard(whiteout)

    # What follows is for check and repair.

    def entries(self) -> Iterator[tuple[bytes, Fd, os.stat_result]]:
        """Everything in the index by name, whatever it is."""
        for raw in os.listdir(self._inodes):
            name = os.fsencode(raw)
            found = open_name(self._inodes, name)
            if found is not None:
                yield name, *found

    def open(self, fileid: int) -> Fd | None:
        """The inode or directory that is the entry of `fileid`."""
        found = open_name(self._inodes, _entry_name(fileid))
        return None if found is None else found[0]

    def discard(self, name: bytes) -> None:
        """Take an entry away, with all that is below it."""
        aside = self._workdir.new_name()
        rename(self._inodes, name, self._workdir.staging, aside)
        self._workdir.discard(aside)

    def forget(self, fileid: int) -> None:
        """Take the entry of `fileid` away, if there is one: nothing is known of it then."""
        with contextlib.suppress(FileNotFoundError):
            self.discard(_entry_name(fileid))

    def move(self, name: bytes, fileid: int) -> None:
        """Make the entry called `name` the one of `fileid`; raises EEXIST when that has one."""
        rename(self._inodes, name, self._inodes, _entry_name(fileid), RENAME_NOREPLACE)

    def replace(self, fileid: int, fd: Fd) -> None:
        """Make the inode behind `fd` the entry of `fileid`, whatever was before."""
        name, staging = self._workdir.new_name(), self._workdir.staging
        link_fd(fd, staging, name)
        try:
            rename(staging, name, self._inodes, _entry_name(fileid), RENAME_NOREPLACE)
        except FileExistsError:
            rename(staging, name, self._inodes, _entry_name(fileid), RENAME_EXCHANGE)
            self._workdir.discard(name)

    # Intents, for a start after a crash to go by.

    def begin_removal(self, removal: Removal) -> None:
        """Note that the last name of an object is about to go."""
        parent = b"%d:%s" % (removal.parent.type, removal.parent.data.hex().encode())
        target = parent + (removal.path or b"") + b"/" + removal.name
        if len(target) > _LONGEST_LINK:
            target = parent + b"/" + removal.name
        os.symlink(target, REMOVING + b"%d" % removal.fileid, dir_fd=self._workdir.staging)

    def end_removal(self, fileid: int) -> None:
        """Forget an intent: whether the object is gone is settled."""
        os.unlink(REMOVING + b"%d" % fileid, dir_fd=self._workdir.staging)

    def unfinished_removals(self) -> list[Removal]:
        """The intents that a dead process left."""
        removals = []
        for name in self._workdir.leftovers():
            if name.startswith(REMOVING):
                target = os.readlink(name, dir_fd=self._workdir.staging)
                where, _, removed = target.rpartition(b"/")
                handle, slash, path = where.partition(b"/")
                handle_type, _, data = handle.partition(b":")
                parent = RealHandle(int(handle_type), bytes.fromhex(data.decode()))
                fileid = int(name.removeprefix(REMOVING))
                removals.append(Removal(fileid, parent, slash + path or None, removed))
        return removals
