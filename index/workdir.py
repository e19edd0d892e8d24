"""The work directory: what an export must remember, and the place where things are made.

    inodes/     the index: an entry `#FILEID` for every lower inode that moved or is gone
    staging/    objects being made, not yet visible; empty while nothing happens
    identity/   key (secret of the handles' MAC), layers.json, and what else outlives a server
    spare/      space that is set aside for removals (see index.spare)
    retired-exports   the ids of exports that used the directory before it was begun anew

The kernel's own `work/` and `index/` may lie beside them.  All of it is on the
upper filesystem, so that an object made in `staging` can be linked and renamed
into the upper layer.  A crash may leave things in `staging`: a removal whose intent
is there is finished at start (see index.removals), all else is thrown away.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import secrets
import stat
from collections.abc import Callable
from functools import partial
from typing import Final

from index.linux.fd import Fd, open_at, open_dir
from index.linux.file_lock import LockFile, ProcessLock, hold
from index.linux.remove_tree import remove_tree
from index.linux.syscalls import RENAME_NOREPLACE, rename
from index.spare import Spare
from index.unfinished import Unfinished

# Raised when an earlier version would misread what is recorded here or in attributes.
FORMAT: Final = "1"
KEY: Final = b"key"
KEY_SIZE: Final = 32
REMOVING: Final = b"removing#"
LAST_MOUNT: Final = b"kernel-work"  # in identity/: the kernel mount that was last seen
NUMBERS: Final = b"numbers"  # short ones of objects (index.numbers)
PATHS: Final = b"paths"  # those that no attribute can hold (index.long_paths)
COPIED: Final = b"copied"  # in its place: layers were copied that were not sealed
_MARKS: Final = b"marks"  # attributes that upper inodes have no room for (index.marks)
_FORMAT: Final = b"format"
_WHITEOUT: Final = b"whiteout"
_RETIRED: Final = b"detached"
_LOCKS: Final = b"locks"
_RETIRED_EXPORTS: Final = b"retired-exports"
_SPARE: Final = b"spare"
_APART: Final = b".apart"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_LOGGER: Final = logging.getLogger("overlay-nfsd.workdir")


class Workdir:
    """One export's work directory, held exclusively while it is open."""

    def __init__(self, root: Fd) -> None:
        """Open `root` as a work directory, making what is missing.

        Raises EBUSY when another server has it open, EPROTONOSUPPORT when a later version,
        whose records this one would misread, has written to it.
        """
        hold(root)
        recorded = check_format(root)
        self.root = root
        self.is_new = b"identity" not in map(os.fsencode, os.listdir(root))
        self.inodes = _subdirectory(root, b"inodes")
        self.staging = _subdirectory(root, b"staging")
        self.identity = _subdirectory(root, b"identity")
        self.marks = _subdirectory(root, _MARKS)
        self._locks = LockFile(self.identity, _LOCKS)
        self.spare = Spare(_subdirectory(root, _SPARE))
        self.unfinished = Unfinished()
        self._counter = itertools.count()
        self._apart: list[bytes] = []  # that could not be discarded yet
        self.repaired: Fd | None = None  # where a repair puts what it takes away
        if recorded is None:
            self.write(_FORMAT, os.fsencode(f"{FORMAT}\n"))

    def key(self) -> bytes:
        """Return the secret that signs handles: made once, kept for ever, for root alone."""
        key = self.read(KEY)
        if key is not None and len(key) == KEY_SIZE:
            return key
        self.write(KEY, secrets.token_bytes(KEY_SIZE))
        return self.key()

    def read(self, name: bytes) -> bytes | None:
        """Return the contents of a file in `identity/`, None if there is none."""
        return read_file(self.identity, name)

    def write(self, name: bytes, data: bytes) -> None:
        """Replace a file in `identity/`, whole or not at all, on stable storage."""
        self._write(self.identity, name, data)

    def append(self, name: bytes, data: bytes) -> None:
        """Write behind what is in a file in `identity/`, on stable storage.

        Raises OSError, and some of it may be there then.
        """
        fd = open_at(self.identity, name, os.O_WRONLY | os.O_APPEND)
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)

    def _write(self, directory: Fd, name: bytes, data: bytes) -> None:
        try:
            self._replace(directory, name, data)
        except OSError as problem:
            if problem.errno not in _FULL:
                raise
            self._release_spare()  # it is taken for a moment only
            self._replace(directory, name, data)

    def _replace(self, directory: Fd, name: bytes, data: bytes) -> None:
        temporary = self.new_name_apart()
        try:
            fd = open_at(self.staging, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(os.dup(fd), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            rename(self.staging, temporary, directory, name)
        except OSError:
            self.discard_apart(temporary)
            raise
        os.fsync(directory)

    def retired_exports(self) -> frozenset[int]:
        """Return the ids of exports that are no more: their handles are stale."""
        return retired_exports(self.root)

    def retire_export(self, export: int) -> None:
        """Have the handles of an export be stale for ever; `dissolve` leaves that be."""
        ids = sorted(self.retired_exports() | {export})
        self._write(self.root, _RETIRED_EXPORTS, b"".join(b"%d\n" % each for each in ids))

    def open_state(self, name: bytes) -> Fd:
        """Return a file in `identity/` to read and write in place; made empty if it is missing."""
        return open_at(self.identity, name, os.O_RDWR | os.O_CREAT, 0o600)

    def lock(self, byte: int) -> ProcessLock:
        """Return a lock, not taken yet, between processes of a server (index.linux.file_lock)."""
        return ProcessLock(self.open_state(_LOCKS), byte)

    def lock_of_one_thread(self, byte: int, *, wait: bool) -> ProcessLock:
        """Do as `lock`, more quickly, for a lock that one thread of a process wants at a time."""
        return self._locks.lock(byte, wait=wait)

    def new_name(self) -> bytes:
        """Return a name in `staging/` that nothing else uses.

        The namespace lock is held: what is made there does not outlive that (`unfinished`).
        """
        name = b"%d.%d" % (os.getpid(), next(self._counter))
        self.unfinished.names.append(name)
        return name

    def new_name_apart(self) -> bytes:
        """Return such a name without the namespace lock; call `discard_apart` for it in the end."""
        for left in self._apart[:]:
            self.discard_apart(left)
        return b"%d.%d%s" % (os.getpid(), next(self._counter), _APART)

    def discard_apart(self, name: bytes) -> None:
        """Remove what is called so, if it still is there, now or at the next opportunity."""
        self._apart = [left for left in self._apart if left != name]
        for _ in range(2):
            with contextlib.suppress(OSError):
                self._discard_if_there(name)
                return
        self._apart.append(name)

    def finish(self, step: Callable[[], None]) -> None:
        """Take a step that belongs to a change that was made: the change has not failed by it.

        It may be taken again, and is where it fails.  The namespace lock is held; should the step
        fail again it is left to the next holder of that (overlay.startup.recover).
        """
        for _ in range(2):
            try:
                step()
                return
            except OSError as problem:
                failure = problem
                self.unfinished.has_failed = True
                if problem.errno in _FULL:
                    self._release_spare()
        _LOGGER.warning("a change is unfinished until the next one: %s", failure)
        self.unfinished.is_left = True

    def _release_spare(self) -> None:
        with contextlib.suppress(OSError):  # what wants it says what is wrong
            self.spare.release(1, last=True)

    def finish_discarding(self, name: bytes) -> None:
        """Remove `name` from `staging/`, if it is there, as a step that belongs to a change."""
        self.finish(partial(self._discard_if_there, name))

    def _discard_if_there(self, name: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.discard(name)

    def discard_of(self, pid: int) -> None:
        """Remove what a process that is dead was making in `staging/`."""
        own = open_dir(self.staging, b".")  # processes share the position of `staging` itself
        for name in map(os.fsencode, os.listdir(own)):
            if name.startswith(b"%d." % pid):
                self._discard_if_there(name)  # overlay.startup.recover may be faster

    def new_whiteout(self) -> bytes:
        """Return the name, in `staging/`, of a whiteout ready to be moved where it is wanted."""
        name = self.new_name()
        self.link_whiteout(self.staging, name)
        return name

    def link_whiteout(self, directory: Fd, name: bytes) -> None:
        """Make a whiteout; raises EEXIST where something has the name.

        All whiteouts are links of one inode as long as the filesystem allows it.
        """
        while True:
            try:
                os.link(
                    _WHITEOUT,
                    name,
                    src_dir_fd=self.staging,
                    dst_dir_fd=directory,
                    follow_symlinks=False,
                )
            except FileNotFoundError:
                self._make_whiteout()
            except OSError as problem:
                if problem.errno != errno.EMLINK:
                    raise
                os.unlink(_WHITEOUT, dir_fd=self.staging)
            else:
                return

    def _make_whiteout(self) -> None:
        name = self.new_name()
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=self.staging)
        try:
            rename(self.staging, name, self.staging, _WHITEOUT, RENAME_NOREPLACE)
        except FileExistsError:
            self.finish_discarding(name)

    def last_whiteout(self) -> int:
        """Return when the last whiteout was made, in nanoseconds; 0 if none was."""
        try:
            return os.stat(_WHITEOUT, dir_fd=self.staging, follow_symlinks=False).st_ctime_ns
        except FileNotFoundError:
            return 0

    def tidy(self) -> None:
        """Throw away what was being made, but for the intents of removals."""
        for name in self.leftovers():
            if not name.startswith(REMOVING):
                self.discard(name)

    def leftovers(self) -> list[bytes]:
        """Return the names in `staging/`: what an earlier process was making when it died."""
        own = open_dir(self.staging, b".")  # processes share the position of `staging` itself
        return [name for name in map(os.fsencode, os.listdir(own)) if name != _WHITEOUT]

    @staticmethod
    def is_apart(name: bytes) -> bool:
        """Return whether a name in `staging/` may be of a thread without the namespace lock."""
        return name.endswith(_APART)

    def retire_index(self) -> None:
        """Put the index out of use, in one instant; `dissolve` removes it."""
        rename(self.root, b"inodes", self.root, _RETIRED)

    @property
    def is_retired(self) -> bool:
        """Return whether an index was put out of use and there is nothing in a new one."""
        return _RETIRED in map(os.fsencode, os.listdir(self.root)) and not os.listdir(self.inodes)

    def dissolve(self) -> None:
        """Remove everything of ours; what the kernel keeps beside it stays."""
        for name in (_RETIRED, PATHS, NUMBERS, _MARKS, b"inodes", b"staging", b"identity", _SPARE):
            with contextlib.suppress(FileNotFoundError):
                remove_tree(self.root, name)

    def discard(self, name: bytes) -> None:
        """Remove `name` from `staging/` with all that is below it, unless it is to be kept."""
        if self.repaired is None:
            remove_tree(self.staging, name)
        else:
            self.unlink(self.staging, name)

    def unlink(self, directory: Fd, name: bytes) -> None:
        """Remove the name of a non-directory, unless what is taken away is to be kept."""
        if self.repaired is None:
            os.unlink(name, dir_fd=directory)
        else:
            rename(directory, name, self.repaired, b"%d.%s" % (next(self._counter), name))


def check_format(root: Fd) -> str | None:
    """Return the recorded format; raises EPROTONOSUPPORT for one of a later version."""
    recorded = recorded_format(root)
    if recorded not in (None, FORMAT):
        raise OSError(
            errno.EPROTONOSUPPORT,
            f"a later version has written it, in format {recorded}, and this one knows "
            f"{FORMAT}: run that version",
        )
    return recorded


def recorded_format(root: Fd) -> str | None:
    """Return the format in which a work directory is kept, a number.

    None if it is not recorded yet.
    """
    try:
        text = read_file(open_dir(root, b"identity"), _FORMAT)
    except FileNotFoundError:
        return None
    return None if text is None else os.fsdecode(text).strip()


def retired_exports(root: Fd) -> frozenset[int]:
    """Return the ids of exports that used a work directory before it was begun anew."""
    return frozenset(map(int, (read_file(root, _RETIRED_EXPORTS) or b"").split()))


def read_file(directory: Fd, name: bytes) -> bytes | None:
    """Return the contents of a file, None if there is none."""
    try:
        fd = open_at(directory, name, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with open(os.dup(fd), "rb") as file:
        return file.read()


def _subdirectory(parent: Fd, name: bytes) -> Fd:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return open_dir(parent, name)
