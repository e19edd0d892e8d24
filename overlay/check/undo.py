"""Taking a repair back: every name that it changed is as it was before.

Rule: it is all verified first, and refused if anything of it was changed since.  Each step
leaves an object as it was before the repair or after it, so that what was cut short can
be done again.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from typing import Final

from index import xattrs
from index.linux.fd import Fd, components, open_at, open_dir, open_path, proc_path
from index.linux.syscalls import is_there, rename
from index.workdir import Workdir
from overlay.check.image import REPAIRED, UPPER, WORK, Image, Thing, take, which_inode
from overlay.check.keep import CHANGES, KEPT, unpacked
from overlay.model.config import ConfigError, OverlayConfig
from overlay.startup.directories import open_upper
from overlay.startup.open import take_rights

_UNDONE: Final = b".undone"
_PRIVATE: Final = (xattrs.PREFIX, xattrs.USER_PREFIX)


@dataclass(frozen=True, slots=True)
class Change:
    """A name that a repair changed."""

    path: bytes
    before: Thing | None
    after: Thing | None
    source: bytes | None  # another name of the inode that it had before


def undo(config: OverlayConfig, folder: bytes) -> int:
    """Take back the repair that is kept in a folder; how many names it had changed.

    Raises ConfigError if it cannot be: a server runs, or something was changed since.
    """
    if config.upperdir is None or config.workdir is None:
        raise ConfigError("name the layers with --upperdir and --workdir")
    take_rights()
    opened, work = open_upper(config.upperdir, config.workdir)
    try:
        workdir = Workdir(work)
    except OSError as problem:
        cure = "stop the server that uses it" if problem.errno == errno.EBUSY else "look at it"
        raise ConfigError(f"cannot use the workdir: {problem.strerror}: {cure}") from problem
    name = os.path.basename(folder.rstrip(b"/"))
    kept, changes = _read(workdir.root, name, opened.root)
    undoing = _Undoing(opened.root, workdir.root, kept)
    undoing.verify(changes)
    undoing.run(changes)
    above = open_dir(workdir.root, REPAIRED)
    os.rename(name, name + _UNDONE, src_dir_fd=above, dst_dir_fd=above)
    return len(changes)


def _read(work: Fd, name: bytes, upper: Fd) -> tuple[Fd, list[Change]]:
    where = os.fsdecode(name)
    try:
        opened = open_dir(open_dir(work, REPAIRED), name)
        with open(os.dup(open_at(opened, CHANGES, os.O_RDONLY)), "rb") as file:
            first, *rows = map(json.loads, file)
        kept = open_dir(opened, KEPT)
    except FileNotFoundError as problem:
        raise ConfigError(
            f"{where} is not of a repair that has ended: name a folder in repaired/ of the workdir "
            "that has `changes` in it"
        ) from problem
    if first["upper"] != which_inode(upper):
        raise ConfigError(f"{where} is of another upper layer: name the right one")
    return kept, [
        Change(
            os.fsencode(row["path"]),
            unpacked(row["before"]),
            unpacked(row["after"]),
            None if row["source"] is None else os.fsencode(row["source"]),
        )
        for row in rows
    ]


class _Undoing:
    """The work of it."""

    def __init__(self, upper: Fd, work: Fd, kept: Fd) -> None:
        self._tops = {UPPER: upper, WORK: work}
        self._kept = kept
        self._by_inode = {
            which_inode(open_path(kept, name)): name for name in map(os.fsencode, os.listdir(kept))
        }

        self._linked: set[bytes] = set()  # of what is kept, what has a name again

    def verify(self, changes: list[Change]) -> None:
        now = self._image()
        for change in changes:
            there = now.get(change.path)
            as_after = there is None if change.after is None else change.after.is_like(there)
            if not as_after and not _is_restored(change, there):
                raise ConfigError(
                    f"{os.fsdecode(change.path)} was changed since the repair, which can be taken "
                    "back no more; what it took away is still in the folder"
                )

    def run(self, changes: list[Change]) -> None:
        now = self._image()
        other = [each for each in changes if not _is_restored(each, now.get(each.path))]
        for change in sorted(other, key=lambda each: each.path, reverse=True):
            if change.path in now and not _is_one_object(change):
                self._take_away(change.path, now[change.path])
        for change in sorted(other, key=lambda each: each.path):
            if change.before is not None and not _is_one_object(change):
                self._bring_back(change, change.before)
        for change in changes:
            if change.before is not None:
                self._restore_attributes(change.path, change.before)
        for change in sorted(changes, key=lambda each: each.path, reverse=True):
            if change.before is not None:
                _set_time(self._open(change.path), change.before.mtime)
        for name in self._linked:
            os.unlink(name, dir_fd=self._kept)

    def _image(self) -> Image:
        return take(self._tops[UPPER], self._tops[WORK])

    def _parent_and_name(self, path: bytes) -> tuple[Fd, bytes]:
        top, *names = components(path)
        fd = self._tops[top]
        for name in names[:-1]:
            fd = open_dir(fd, name)
        return fd, names[-1] if names else b"."

    def _open(self, path: bytes) -> Fd:
        return open_path(*self._parent_and_name(path))

    def _take_away(self, path: bytes, thing: Thing) -> None:
        """Remove a name that the repair made; never the last one of a file."""
        directory, name = self._parent_and_name(path)
        if thing.is_dir:
            os.rmdir(name, dir_fd=directory)
            return
        last = os.stat(name, dir_fd=directory, follow_symlinks=False).st_nlink == 1
        if last and stat.S_ISREG(thing.mode):
            rename(directory, name, self._kept, b"made." + thing.inode.encode())
        else:
            os.unlink(name, dir_fd=directory)

    def _bring_back(self, change: Change, thing: Thing) -> None:
        directory, name = self._parent_and_name(change.path)
        if is_there(directory, name):
            return  # it came with the directory that it is in
        kept = self._by_inode.get(thing.inode)
        if kept is not None and thing.is_dir:
            rename(self._kept, kept, directory, name)
        elif thing.is_dir:
            os.mkdir(name, stat.S_IMODE(thing.mode), dir_fd=directory)
        elif kept is not None and not thing.is_whiteout:
            _link(self._kept, kept, directory, name)
            self._linked.add(kept)
        elif change.source is not None:
            _link(*self._parent_and_name(change.source), directory, name)
        elif thing.is_whiteout:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=directory)
        elif stat.S_ISLNK(thing.mode) and thing.content is not None:
            os.symlink(thing.content, name, dir_fd=directory)
        elif thing.content is not None:
            fd = open_at(directory, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(os.dup(fd), "wb") as file:
                file.write(thing.content)
        else:
            raise ConfigError(f"{os.fsdecode(change.path)}: what it was is not to be found")

    def _restore_attributes(self, path: bytes, thing: Thing) -> None:
        fd = self._open(path)
        _set_owner(fd, thing)
        had = {name for name in xattrs.names(fd) if name.startswith(_PRIVATE)}
        for name in had - thing.attributes.keys():
            xattrs.drop(fd, name)
        for name, value in thing.attributes.items():
            if xattrs.get(fd, name) != value:
                xattrs.put(fd, name, value)


def _set_owner(fd: Fd, thing: Thing) -> None:
    st = os.fstat(fd)
    if (st.st_uid, st.st_gid) != (thing.uid, thing.gid):
        os.chown(proc_path(fd), thing.uid, thing.gid)
    if st.st_mode != thing.mode and not stat.S_ISLNK(st.st_mode):
        os.chmod(proc_path(fd), stat.S_IMODE(thing.mode))


def _set_time(fd: Fd, mtime: int) -> None:
    os.utime(proc_path(fd), ns=(os.fstat(fd).st_atime_ns, mtime))


def _is_one_object(change: Change) -> bool:
    """Return whether the name was of one object all the time, and only attributes changed."""
    before, after = change.before, change.after
    if before is None or after is None or before.content != after.content:
        return False
    return before.inode == after.inode and stat.S_IFMT(before.mode) == stat.S_IFMT(after.mode)


def _is_restored(change: Change, there: Thing | None) -> bool:
    """Return whether a name is as before the repair, as after an undoing that was cut short."""
    if change.before is None or there is None:
        return change.before is there
    before = change.before
    is_file = stat.S_ISREG(before.mode)  # which it is counts; anything else may be made anew
    return before.is_like(there if is_file else there._replace(inode=before.inode))


def _link(source: Fd, old: bytes, directory: Fd, name: bytes) -> None:
    os.link(old, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
