"""The index: from the number of a lower inode to where the object lives now.

`inodes/#FILEID` is, for the lower inode whose number clients see as FILEID:

    a hard link to the upper inode    a non-directory that was copied up
    a directory with xattrs           a directory that was copied up (`upper`, `path`), or
                                      one that a redirect of a lower layer leads to (`lower`),
                                      or a lower metacopy (`data`)
    a whiteout                        an object that had the number is gone
    nothing                           the object still is the lower inode

An inode number comes back, so every entry says whose it is: a link or a directory by
its `fh`, a whiteout by a second link of it that is called `#FILEID.IDENTITY`.  That
name is also where an object has its entry if the number's own name is another's.
If neither says anything, nothing is known.

An entry appears whole, by one link or rename.  For a non-directory this is the
moment its copy-up is done, whatever happens to its names afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from index import xattrs
from index.entry_count import EntryCount
from index.entry_names import fileid_of, number_name, own_name
from index.identity import Identity
from index.linux.fd import Fd, is_whiteout, open_dir, open_name
from index.linux.file_handle import RealHandle, pack_real, unpack_real
from index.linux.syscalls import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    is_there,
    link_fd,
    open_rare_name,
    rename,
)
from index.long_paths import LongPaths
from index.marks import Marks
from index.number_filter import NumberFilter
from index.removals import Removals
from index.workdir import Workdir


@dataclass(frozen=True, slots=True)
class Gone:
    """The index whiteout: every name of the object was removed."""


GONE: Final = Gone()
_LONGEST_PATH: Final = 1000  # bytes in an attribute: ext4 may have 4 KiB for all of an inode


@dataclass(frozen=True, slots=True)
class UpperInode:
    """A copied-up non-directory: the entry is its upper inode."""

    fd: Fd
    st: os.stat_result
    is_marked: bool = True  # else it was being adopted when a server died, or is damaged


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory that was copied up, or a lower object that the index must help to find.

    `path` is None also where it is long.  `lower` is the topmost of the lower
    directories that merge with it, where a redirect among them leads to it; an object
    of a layer without file handles has nothing but its path in the layer
    (`Index.lower_path`), a lower metacopy where it was found (`Index.data_location`).
    """

    upper: RealHandle | None
    path: bytes | None
    lower: Identity | None


Entry = Gone | UpperInode | DirectoryEntry


def noted_path(path: bytes | None) -> bytes | None:
    """Return what of a path goes into the attribute `path`: all or nothing."""
    return None if path is None or len(path) > _LONGEST_PATH else path


def nobody(identity: Identity) -> bool:
    """Whose a whiteout is that does not say it, as earlier versions made them: nobody's."""
    return False


class _Found(NamedTuple):
    """The entry of an object."""

    name: bytes
    fd: Fd
    st: os.stat_result
    is_marked: bool


class Index:
    """The entries of one work directory."""

    def __init__(
        self, workdir: Workdir, is_gone_of_old: Callable[[Identity], bool] = nobody
    ) -> None:
        """`is_gone_of_old`: whether a whiteout that does not say whose it is means an object."""
        self._workdir = workdir
        self._inodes = workdir.inodes
        self._numbers = NumberFilter(_numbers_in(workdir.inodes))
        self._long_paths = LongPaths(workdir)
        self.is_gone_of_old = is_gone_of_old
        self.marks = Marks(workdir)
        self.entry_count = EntryCount(workdir.inodes)
        self.removals = Removals(workdir)

    def _open(self, identity: Identity) -> _Found | None:
        """Return the entry of an object."""
        return self._look(identity)[0]

    def _look(self, identity: Identity) -> tuple[_Found | None, bool]:
        """Return the entry of an object, and whether the index has anything of its number."""
        if not self._numbers.may_have(identity.fileid):
            return None, False
        name = number_name(identity.fileid)
        found = open_rare_name(self._inodes, name)
        if found is None:
            return None, False
        is_gone = is_whiteout(found[1])
        mark = None if is_gone else self.marks.get(found[0], xattrs.FH)
        if mark == identity.pack():
            return _Found(name, *found, True), True
        if not is_gone and Identity.unpack(mark) is None:
            return _Found(name, *found, False), True
        own = own_name(identity)
        of_its_own = open_rare_name(self._inodes, own)
        if of_its_own is not None:
            return _Found(own, *of_its_own, True), True
        is_old = is_gone and self.is_gone_of_old(identity)
        return (_Found(name, *found, True) if is_old else None), True

    def _place(self, identity: Identity) -> tuple[_Found | None, bytes]:
        """Return the entry of an object, and the name that this has or is to get."""
        found, is_taken = self._look(identity)
        if found is not None:
            return found, found.name
        if is_taken:
            return None, own_name(identity)
        self._numbers.add(identity.fileid)
        return None, number_name(identity.fileid)

    def _name_for(self, identity: Identity) -> bytes:
        """Return the name of an object's entry, or of the one that it is to get."""
        return self._place(identity)[1]

    def find(self, identity: Identity) -> Entry | None:
        """Return what is known of an object; None if nothing ever happened to it."""
        found = self._open(identity)
        if found is None:
            return None
        fd, st = found.fd, found.st
        if is_whiteout(st):
            return GONE
        if not stat.S_ISDIR(st.st_mode):
            return UpperInode(fd, st, found.is_marked)
        return DirectoryEntry(
            unpack_real(xattrs.get(fd, xattrs.UPPER)),
            xattrs.get(fd, xattrs.PATH),
            Identity.unpack(xattrs.get(fd, xattrs.LOWER)),
        )

    def is_taken(self, identity: Identity) -> bool:
        """Return whether the number that its inode would give this object is or was another's."""
        found, is_taken = self._look(identity)
        return is_taken and found is None

    def has_number(self, fileid: int) -> bool:
        """Return whether the index has anything of this number."""
        return self._numbers.may_have(fileid) and is_there(self._inodes, number_name(fileid))

    def commit(self, identity: Identity, fd: Fd, aside: bytes | None = None) -> None:
        """Make the finished inode behind `fd` the entry of an object: its copy-up is done.

        `aside`: the name that it has in `staging/` becomes the entry, so that it has none
        too many for a moment.  Raises EEXIST when an inode is the entry already.
        """
        found, name = self._place(identity)
        is_found_by_path = found is not None and stat.S_ISDIR(found.st.st_mode)
        staging = self._workdir.staging
        if not is_found_by_path and aside is None:
            link_fd(fd, self._inodes, name)
            return
        if aside is None:
            aside = self._workdir.new_name()
            link_fd(fd, staging, aside)
        if is_found_by_path:
            rename(staging, aside, self._inodes, name, RENAME_EXCHANGE)
            self._workdir.finish_discarding(aside)
        else:
            rename(staging, aside, self._inodes, name, RENAME_NOREPLACE)

    def lower_path(self, identity: Identity) -> bytes | None:
        """Return the recorded path of the lower inode in its layer; None if there is none."""
        found = self._open(identity)
        return None if found is None else self.lower_path_of(found.fd)

    def lower_path_of(self, fd: Fd) -> bytes | None:
        """Return the path of the lower inode as recorded on an entry; None if there is none."""
        path = self.marks.get(fd, xattrs.REDIRECT)
        digest = self.marks.get(fd, xattrs.LONG_REDIRECT) if path is None else None
        return path if digest is None else self._long_paths.get(digest)

    def put_lower_path(self, fd: Fd, path: bytes, *, is_open: bool) -> None:
        """Record it on an inode that is to be an entry, however long it is.

        `is_open`: as for `xattrs.put`.
        """
        if len(path) <= _LONGEST_PATH:
            with contextlib.suppress(xattrs.NoXattrSpaceError):
                xattrs.put(fd, xattrs.REDIRECT, path, is_open=is_open)
                return
        self.marks.put(fd, xattrs.LONG_REDIRECT, self._long_paths.put(path))

    def note_path(self, fd: Fd, path: bytes | None, *, is_open: bool = False) -> None:
        """Record where an indexed object is in the upper layer, or that this is not recorded.

        `is_open`: as for `xattrs.put`.
        """
        self.marks.hint(fd, xattrs.PATH, noted_path(path), is_open=is_open)

    def data_location(self, identity: Identity) -> bytes | None:
        """Return where a lower metacopy was found, if recorded (overlay.lookup.metacopy)."""
        found = self._open(identity)
        return None if found is None else xattrs.get(found.fd, xattrs.DATA)

    def put_directory(
        self,
        identity: Identity,
        *,
        upper: RealHandle | None = None,
        path: bytes | None = None,
        redirect: bytes | None = None,
        lower: Identity | None = None,
        data: bytes | None = None,
    ) -> None:
        """Record where the directory with this origin is, replacing what was recorded before."""
        values = {
            xattrs.FH: identity.pack(),
            xattrs.UPPER: None if upper is None else pack_real(upper),
            xattrs.LOWER: None if lower is None else lower.pack(),
            xattrs.DATA: data,
        }
        name = self._workdir.new_name()
        os.mkdir(name, 0o700, dir_fd=self._workdir.staging)
        entry = open_dir(self._workdir.staging, name)
        for key, value in values.items():
            if value is not None:
                xattrs.put(entry, key, value)
        if redirect is not None:
            self.put_lower_path(entry, redirect, is_open=True)
        self.note_path(entry, path)
        rename(self._workdir.staging, name, self._inodes, self._name_for(identity))

    def lead_directory_to(self, identity: Identity, upper: RealHandle, path: bytes | None) -> None:
        """Let the entry of an indexed directory lead to another inode."""
        fd = self._directory(identity)
        if fd is not None:
            self.note_path(fd, path)
            xattrs.put(fd, xattrs.UPPER, pack_real(upper))

    def move_directory(self, identity: Identity, path: bytes | None) -> None:
        """Record the new path of an indexed directory; `upper` stays what counts."""
        fd = self._directory(identity)
        if fd is not None:
            self.note_path(fd, path)

    def _directory(self, identity: Identity) -> Fd | None:
        found = self._open(identity)
        return found.fd if found is not None and stat.S_ISDIR(found.st.st_mode) else None

    def forget_upper(self, identity: Identity) -> None:
        """Let the entry of a directory lead to no upper one; it goes, unless it says more."""
        found = self._open(identity)
        if found is None:
            return
        if identity.is_by_path or xattrs.get(found.fd, xattrs.LOWER) is not None:
            xattrs.drop(found.fd, xattrs.PATH)
            xattrs.drop(found.fd, xattrs.UPPER)
        else:
            self.discard(found.name)

    def bury(self, identity: Identity) -> None:
        """Record for ever that an object is gone."""
        self._numbers.add(identity.fileid)
        found = self._open(identity)
        name = number_name(identity.fileid)
        self._put_whiteout(own_name(identity))
        if found is None:
            with contextlib.suppress(FileExistsError):  # another's
                self._workdir.link_whiteout(self._inodes, name)
        elif found.name == name:
            self._put_whiteout(name)

    def _put_whiteout(self, name: bytes) -> None:
        try:
            self._workdir.link_whiteout(self._inodes, name)
        except FileExistsError:
            whiteout = self._workdir.new_whiteout()
            rename(self._workdir.staging, whiteout, self._inodes, name, RENAME_EXCHANGE)
            self._workdir.finish_discarding(whiteout)

    # What follows is for check and repair.

    def entries(self) -> Iterator[tuple[bytes, Fd, os.stat_result]]:
        """Yield everything in the index by name, whatever it is."""
        for raw in os.listdir(self._inodes):
            name = os.fsencode(raw)
            found = open_name(self._inodes, name)
            if found is not None:
                yield name, *found

    def open(self, identity: Identity) -> Fd | None:
        """Return the inode or directory that is the entry of an object."""
        found = self._open(identity)
        return None if found is None else found.fd

    def open_entry(self, name: bytes) -> Fd | None:
        """Return what is in the index under a name, whosever it is."""
        found = open_name(self._inodes, name)
        return None if found is None else found[0]

    def discard(self, name: bytes) -> None:
        """Take an entry away, with all that is below it."""
        aside = self._workdir.new_name()
        rename(self._inodes, name, self._workdir.staging, aside)
        self._workdir.finish_discarding(aside)

    def forget(self, identity: Identity) -> None:
        """Take the entry of an object away, if there is one: nothing is known of it then."""
        found = self._open(identity)
        if found is None:
            return
        name = number_name(identity.fileid)
        self.discard(found.name)
        # What else is buried under the number has lost its inode to this object.
        if found.name != name and is_whiteout(found.st):
            self.discard(name)

    def move(self, name: bytes, identity: Identity) -> None:
        """Make the entry called `name` the one of an object; raises EEXIST when that has one."""
        if self._open(identity) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        rename(self._inodes, name, self._inodes, self._name_for(identity), RENAME_NOREPLACE)

    def replace(self, identity: Identity, fd: Fd) -> None:
        """Make the inode behind `fd` the entry of an object, whatever was before."""
        name, staging = self._workdir.new_name(), self._workdir.staging
        link_fd(fd, staging, name)
        entry = self._name_for(identity)
        try:
            rename(staging, name, self._inodes, entry, RENAME_NOREPLACE)
        except FileExistsError:
            rename(staging, name, self._inodes, entry, RENAME_EXCHANGE)
            self._workdir.finish_discarding(name)


def _numbers_in(inodes: Fd) -> Iterator[int]:
    """Yield the numbers that have entries."""
    with os.scandir(open_dir(inodes, b".")) as entries:
        for entry in entries:
            number = fileid_of(os.fsencode(entry.name))
            if number is not None:
                yield number
