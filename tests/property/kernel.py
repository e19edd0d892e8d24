"""The oracle: a kernel overlay mount of the layers.

Every operation runs on one thread that becomes its user towards filesystems. Where NFSv3 differs
from a local caller (side.py), the operation is what knfsd does: the lookup as the user, then the
file opened with root's rights, then the data changed as the user.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Final, TypeVar

from overlay.base.credentials import ROOT, Credentials
from overlay.model.attributes import Now
from tests.property import syscalls
from tests.property.side import Path, When, rights_needed
from tests.property.stack import Stack
from tests.property.trees import Entry, Tree, past, public_xattrs

T = TypeVar("T")
_OPTIONS: Final = b"index=on,nfs_export=off,xino=off"


def fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def proc(fd: int) -> bytes:
    return b"/proc/self/fd/%d" % fd


@contextmanager
def acting(cred: Credentials) -> Iterator[None]:
    """Be the user; anybody but root is bound by permissions."""
    syscalls.become(cred.uid, cred.gid, cred.groups)
    try:
        yield
    finally:
        syscalls.become(0, 0, frozenset())


@contextmanager
def opened(root: int, path: Path) -> Iterator[int]:
    """A descriptor that names the object, walked to one component at a time."""
    fd = os.dup(root)
    try:
        for name in path:
            following = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = following
        yield fd
    finally:
        os.close(fd)


@contextmanager
def data_of(fd: int, cred: Credentials, flags: int) -> Iterator[int]:
    """The regular file behind `fd` opened, by the customs of NFSv3."""
    st = os.fstat(fd)
    if not stat.S_ISREG(st.st_mode):
        raise fail(errno.EISDIR if stat.S_ISDIR(st.st_mode) else errno.EINVAL)
    try:
        file = os.open(proc(fd), flags)
    except PermissionError:
        custom = cred.uid == st.st_uid or (
            flags == os.O_RDONLY and os.access(proc(fd), os.X_OK, effective_ids=True)
        )
        if not custom:
            raise
        syscalls.become(0, 0, frozenset())
        file = os.open(proc(fd), flags)
        syscalls.become(cred.uid, cred.gid, cred.groups)
    try:
        yield file
    finally:
        os.close(file)


class KernelSide:
    """A mount of the layers, until `close`."""

    def __init__(self, stack: Stack, mountpoint: FilePath, *, metacopy: bool = False) -> None:
        syscalls.private_mounts()
        self._thread = ThreadPoolExecutor(1, "kernel", initializer=syscalls.plain_root_rules)
        self._mountpoint = os.fsencode(mountpoint)
        arguments = b"oracle", self._mountpoint, b"overlay", _options(stack, metacopy)
        self._thread.submit(syscalls.mount, *arguments).result()
        self._root = os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self._root)
        self._thread.submit(syscalls.unmount, self._mountpoint).result()
        self._thread.shutdown()

    def _run(self, path: Path, cred: Credentials, work: Callable[[int], T]) -> T:
        """Have `work` done, as the user, on a descriptor of the object."""

        def job() -> T:
            with acting(cred), opened(self._root, path) as fd:
                return work(fd)

        return self._thread.submit(job).result()

    def create(self, path: Path, cred: Credentials, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL

        def work(fd: int) -> None:
            os.close(os.open(path[-1], flags, mode, dir_fd=fd))

        self._run(path[:-1], cred, work)

    def mkdir(self, path: Path, cred: Credentials, mode: int) -> None:
        self._run(path[:-1], cred, lambda fd: os.mkdir(path[-1], mode, dir_fd=fd))

    def symlink(self, path: Path, cred: Credentials, target: bytes) -> None:
        self._run(path[:-1], cred, lambda fd: os.symlink(target, path[-1], dir_fd=fd))

    def mknod(self, path: Path, cred: Credentials, kind: int, mode: int, rdev: int) -> None:
        self._run(path[:-1], cred, lambda fd: os.mknod(path[-1], kind | mode, rdev, dir_fd=fd))

    def write(self, path: Path, cred: Credentials, offset: int, data: bytes) -> None:
        def work(fd: int) -> None:
            with data_of(fd, cred, os.O_WRONLY) as file:
                os.pwrite(file, data, offset)

        self._run(path, cred, work)

    def truncate(self, path: Path, cred: Credentials, size: int) -> None:
        def work(fd: int) -> None:
            with data_of(fd, cred, os.O_WRONLY) as file:
                os.ftruncate(file, size)

        self._run(path, cred, work)

    def chmod(self, path: Path, cred: Credentials, mode: int) -> None:
        self._run(path, cred, lambda fd: os.chmod(proc(fd), mode))

    def chown(self, path: Path, cred: Credentials, uid: int | None, gid: int | None) -> None:
        numbers = [-1 if number is None else number for number in (uid, gid)]
        self._run(path, cred, lambda fd: os.chown(proc(fd), *numbers))

    def utimes(self, path: Path, cred: Credentials, atime: When, mtime: When) -> None:
        times = [_time(when) for when in (atime, mtime)]
        self._run(path, cred, lambda fd: syscalls.set_times(fd, *times))

    def link(self, path: Path, new: Path, cred: Credentials) -> None:
        def work(fd: int) -> None:
            with opened(self._root, new[:-1]) as parent, syscalls.OwnerRights():
                os.link(proc(fd), new[-1], dst_dir_fd=parent, follow_symlinks=True)

        self._run(path, cred, work)

    def rename(self, path: Path, new: Path, cred: Credentials) -> None:
        def work(fd: int) -> None:
            before = os.fstat(fd)
            with opened(self._root, new[:-1]) as parent:
                try:
                    os.rename(path[-1], new[-1], src_dir_fd=fd, dst_dir_fd=parent)
                except OSError as problem:
                    if problem.errno == errno.ENOTEMPTY:
                        _restore_times(fd, before)
                    raise

        self._run(path[:-1], cred, work)

    def unlink(self, path: Path, cred: Credentials) -> None:
        self._run(path[:-1], cred, lambda fd: os.unlink(path[-1], dir_fd=fd))

    def rmdir(self, path: Path, cred: Credentials) -> None:
        self._run(path[:-1], cred, lambda fd: os.rmdir(path[-1], dir_fd=fd))

    def read(self, path: Path, cred: Credentials, offset: int, count: int) -> bytes:
        def work(fd: int) -> bytes:
            with data_of(fd, cred, os.O_RDONLY) as file:
                return os.pread(file, count, offset)

        return self._run(path, cred, work)

    def readlink(self, path: Path, cred: Credentials) -> bytes:
        def work(fd: int) -> bytes:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                raise fail(errno.EINVAL)
            return os.readlink(b"", dir_fd=fd)

        return self._run(path, cred, work)

    def readdir(self, path: Path, cred: Credentials) -> tuple[bytes, ...]:
        return self._run(path, cred, _names)

    def access(self, path: Path, cred: Credentials) -> int:
        def work(fd: int) -> int:
            needs = rights_needed(stat.S_ISDIR(os.fstat(fd).st_mode))
            return sum(bit for bit, need in needs if os.access(proc(fd), need, effective_ids=True))

        return self._run(path, cred, work)

    def tree(self) -> Tree:
        tree: dict[Path, Entry] = {}
        first: dict[int, Path] = {}
        pending: list[Path] = [()]
        while pending:
            path = pending.pop()
            number, tree[path] = self._run(path, ROOT, _entry)
            first[number] = min(path, first.get(number, path))
            tree[path] = tree[path]._replace(same_as=(b"%d" % number,))
            if stat.S_ISDIR(tree[path].type):
                pending += [(*path, name) for name in self.readdir(path, ROOT)]
        return {
            path: entry._replace(same_as=first[int(entry.same_as[0])])
            for path, entry in tree.items()
        }

    def type(self, path: Path) -> int:
        """The type of the object at `path`, 0 if there is none."""
        st = self._stat(path)
        return 0 if st is None else stat.S_IFMT(st.st_mode)

    def number(self, path: Path) -> int | None:
        """The inode number of the object at `path`, None if there is none."""
        st = self._stat(path)
        return None if st is None else st.st_ino

    def _stat(self, path: Path) -> os.stat_result | None:
        try:
            return self._run(path, ROOT, os.fstat)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def paths(self) -> tuple[list[Path], list[Path]]:
        """All paths, sorted, and those of directories."""
        found: list[Path] = [()]
        directories = []
        for path in found:
            st = self._run(path, ROOT, os.fstat)
            if stat.S_ISDIR(st.st_mode):
                directories.append(path)
                found += [(*path, name) for name in self.readdir(path, ROOT)]
        return sorted(found[1:]), sorted(directories)


def _options(stack: Stack, metacopy: bool) -> bytes:
    lowers = b":".join(os.fsencode(lower) for lower in stack.lowers)
    lowers = b"::".join([lowers, *(os.fsencode(layer) for layer in stack.data)])
    upper, work = os.fsencode(stack.upper), os.fsencode(stack.work)
    switches = b"metacopy=on" if metacopy else b"metacopy=off"
    switches += b",redirect_dir=nofollow" if stack.is_plain else b",redirect_dir=on"
    parts = b"lowerdir=%s,upperdir=%s,workdir=%s,%s,%s"
    return parts % (lowers, upper, work, _OPTIONS, switches)


def _time(when: When) -> int:
    if when is None:
        return syscalls.UTIME_OMIT
    return syscalls.UTIME_NOW if isinstance(when, Now) else when


def _restore_times(directory: int, before: os.stat_result) -> None:
    """Undo what ext4 does to the old parent before it finds that the target is not empty."""
    if os.fstat(directory).st_mtime_ns != before.st_mtime_ns:
        syscalls.become(0, 0, frozenset())
        syscalls.set_times(directory, before.st_atime_ns, before.st_mtime_ns)


def _names(fd: int) -> tuple[bytes, ...]:
    """The names in a directory.

    A directory that merges with nothing is listed by the kernel as it is in its layer, with
    whiteouts, which then cannot be looked up (docs/differences.md).
    """
    directory = os.open(proc(fd), os.O_RDONLY | os.O_DIRECTORY)
    try:
        syscalls.become(0, 0, frozenset())
        return tuple(sorted(filter(lambda name: _exists(directory, name), _listed(directory))))
    finally:
        os.close(directory)


def _listed(directory: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(directory)]


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _entry(fd: int) -> tuple[int, Entry]:
    """An object's inode number and what can be seen of it."""
    st = os.fstat(fd)
    content = b""
    if stat.S_ISREG(st.st_mode):
        with open(proc(fd), "rb") as file:
            content = file.read()
    elif stat.S_ISLNK(st.st_mode):
        content = os.readlink(b"", dir_fd=fd)
    return st.st_ino, Entry(
        stat.S_IFMT(st.st_mode),
        stat.S_IMODE(st.st_mode),
        st.st_nlink,
        st.st_uid,
        st.st_gid,
        0 if stat.S_ISDIR(st.st_mode) else st.st_size,
        st.st_rdev,
        past(st.st_atime_ns),
        past(st.st_mtime_ns),
        content,
        public_xattrs(proc(fd)),
        (),
    )
