"""Where the server keeps its own: directories that nobody else may write to.

A user that could put another directory in place of one of these, at any height of its
path, could plant a key and so forge handles of any file of the filesystem.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import stat
from typing import Final

from index.linux.fd import DIR_FLAGS, Fd, components, open_at, open_dir, open_path
from index.linux.syscalls import rename
from overlay.model.config import ConfigError

# Where an export without an upper layer keeps its key and its layers' ids.
STATE_DIRECTORY: Final = b"/var/lib/overlay-nfsd"
KEY: Final = b"key"
_CURE: Final = "set STATE_DIRECTORY to a directory that root alone can write to"
_NAME: Final = b"export"  # whose a state directory is
_LOGGER: Final = logging.getLogger("overlay-nfsd.start")
_LINKS_MAX: Final = 40  # symbolic links in a path, as the kernel has it
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OURS: Final = (b"inodes", b"staging", b"identity", b"marks")


def state_directory(path: bytes, name: bytes = b"") -> Fd:
    """Return where to keep state that has no work directory, for each `path` and `name` with it.

    The first that comes with a path has the directory that is called by that alone.
    Raises ConfigError if it cannot be made, or if others may change what is in it.
    """
    paths = _paths(path, name)
    try:
        if state_base() == STATE_DIRECTORY:
            _close_left_open(STATE_DIRECTORY)
        if os.path.isdir(paths[1]):
            return open_private(paths[1], _CURE)
        first = open_private(paths[0], _CURE, make=True)
        return first if _is_of(first, name) else open_private(paths[1], _CURE, make=True)
    except OSError as problem:
        raise _cannot_make(paths[0], problem) from problem


def look_for_state_directory(path: bytes, name: bytes = b"") -> Fd | None:
    """Return what `state_directory` would give; None, if it would make it.  Raises ConfigError."""
    paths = _paths(path, name)
    try:
        if os.path.isdir(paths[1]):
            return open_private(paths[1], _CURE)
        if os.path.isdir(paths[0]):
            first = open_private(paths[0], _CURE)
            return first if _name_of(first) in (None, name) else None
        there = paths[0]
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        above = open_private(there, _CURE)
        if os.fstatvfs(above).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    except OSError as problem:
        raise _cannot_make(paths[0], problem) from problem
    return None


def _paths(path: bytes, name: bytes) -> list[bytes]:
    """Return where the state of a path may be, with this name: alone, or beside others."""
    bottom = os.path.realpath(path)
    return [os.path.join(state_base(), _hash(text)) for text in (bottom, bottom + b"\0" + name)]


def _cannot_make(path: bytes, problem: OSError) -> ConfigError:
    return ConfigError(
        f"cannot make {os.fsdecode(path)}, where the server keeps its own: "
        f"{problem.strerror}; set STATE_DIRECTORY to a directory that can be written"
    )


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()


def _is_of(directory: Fd, name: bytes) -> bool:
    """Return whether a state directory is of this name, as it is from now on if it was of none."""
    if _name_of(directory) is None:
        _write_name(directory, name)
    return _name_of(directory) == name


def _name_of(directory: Fd) -> bytes | None:
    try:
        with open(os.dup(open_at(directory, _NAME, os.O_RDONLY)), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write_name(directory: Fd, name: bytes) -> None:
    temporary = b"%s.%d" % (_NAME, os.getpid())
    fd = open_at(directory, temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, name)
    os.fsync(fd)
    rename(directory, temporary, directory, _NAME)


def state_base() -> bytes:
    """Return the directory that holds them all."""
    return os.fsencode(os.environ.get("STATE_DIRECTORY", "")) or STATE_DIRECTORY


def open_private(path: bytes, cure: str, *, make: bool = False) -> Fd:
    """Open a directory that only root and this process's user can change or replace.

    With `make` what is missing of the path is made, for this user alone.  Raises OSError,
    or ConfigError, with the cure, where others may write to it or to a directory above.
    """
    names = components(os.path.abspath(path))[::-1]
    fd, at, links = Fd(os.open(b"/", os.O_RDONLY | os.O_DIRECTORY)), b"", 0
    _check(fd, b"/", cure, is_last=not names)
    while names:
        name = names.pop()
        if make:
            _make(fd, name)
        there = open_path(fd, name)
        st = os.fstat(there)
        if stat.S_ISLNK(st.st_mode):
            _check_owner(st, at + b"/" + name, cure)
            links += 1
            if links > _LINKS_MAX:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(b"", dir_fd=there)
            names += components(target)[::-1]
            if target.startswith(b"/"):
                fd, at = Fd(os.open(b"/", os.O_RDONLY | os.O_DIRECTORY)), b""
        elif name != b".":
            fd, at = open_dir(fd, name), at + b"/" + name
            _check(fd, at, cure, is_last=not names)
    return fd


def check_workdir(work: Fd, where: str, *, is_looking: bool = False) -> None:
    """Have what is ours in a work directory be out of the reach of others; raises ConfigError.

    Directories that they can merely read are closed, unless this is but a look; what they may
    have changed is refused.
    """
    for name in _OURS:
        try:
            fd = open_dir(work, name)
        except FileNotFoundError:
            continue
        path = os.fsencode(where) + b"/" + name
        _check(fd, path, "put another upper and workdir in their path", is_last=True)
        if os.fstat(fd).st_mode & _OTHERS and not is_looking:
            os.chmod(fd, 0o700)
        if name == b"identity":
            _check_key(fd, where)


def _check_key(identity: Fd, where: str) -> None:
    try:
        key = open_at(identity, KEY, os.O_PATH)
    except FileNotFoundError:
        return
    st = os.fstat(key)
    is_own = st.st_uid in _owners() and stat.S_ISREG(st.st_mode)
    if not is_own or st.st_mode & _OTHERS:
        raise ConfigError(
            f"{where}/identity/key, which signs the file handles, is not a file of root's that "
            "nobody else may read: remove it, which makes all handles void, or, if nobody "
            "can have read it, run overlay-nfsd check --repair"
        )


def _close_left_open(base: bytes) -> None:
    """Close the directory that earlier versions made for everybody, if nobody has been there."""
    try:
        fd = Fd(os.open(base, DIR_FLAGS))
    except (FileNotFoundError, NotADirectoryError):
        return  # a symbolic link is followed with more care
    found = [os.fstat(fd), *(os.lstat(os.path.join(base, name)) for name in os.listdir(base))]
    if found[0].st_mode & _OTHERS_WRITE and all(st.st_uid in _owners() for st in found):
        os.chmod(fd, 0o700)  # what is planted after the look is not ours, and refused
        _LOGGER.warning("%s was writable for other users: now it is not", os.fsdecode(base))


def _make(directory: Fd, name: bytes) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=directory)
        os.chmod(open_dir(directory, name), 0o700)  # whatever the umask is


def _owners() -> tuple[int, int]:
    return 0, os.geteuid()


def _check(fd: Fd, path: bytes, cure: str, *, is_last: bool) -> None:
    """Refuse a directory whose entries others may replace."""
    st = os.fstat(fd)
    _check_owner(st, path, cure)
    is_sticky = bool(st.st_mode & stat.S_ISVTX) and not is_last
    if st.st_mode & _OTHERS_WRITE and not is_sticky:
        raise ConfigError(
            f"{os.fsdecode(path)} can be written to by others than root, who could plant a key "
            f"that signs file handles: look what is in it, then chmod go-w it, or {cure}"
        )


def _check_owner(st: os.stat_result, path: bytes, cure: str) -> None:
    if st.st_uid not in _owners():
        raise ConfigError(
            f"{os.fsdecode(path)} belongs to uid {st.st_uid}, who could plant a key that signs "
            f"file handles: look what is in it, then chown it to root, or {cure}"
        )
