"""The seal: which object every name of the lower layers is, so that layers can be copied.

A handle names an inode by its number and kernel handle.  A copy has others, but
the names stay.  The seal is an LMDB file in the work directory with

    names    layer, number of the directory, name -> what is there and its identity
    numbers  filesystem, inode number             -> the identity, where it is not the inode's own
    places   identity                             -> layer and kernel handle, for the same

(on a filesystem without handles: the hash of the path, and the path).
`names` is written once, because lower layers never change, and tells the mending
after a copy (overlay.startup.relocate) which identity each of the new inodes has; `numbers`
and `places` are what the server asks from then on.

Rule: the file is written only while nobody is served, under the work directory's
exclusive lock.  So it needs no locks of its own, and readers may be forked.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import lmdb

from index.identity import Identity
from index.linux.fd import Fd, proc_path
from index.linux.file_handle import RealHandle

FILE: Final = b"seal"
# The number of a layer's root in keys: its inode number changes when it is copied.
ROOT_NUMBER: Final = 0
_DATABASES: Final = (b"names", b"numbers", b"places", b"done")
_MAP_SIZE: Final = 1 << 40  # bytes of address space, not of memory or disk
_BATCH: Final = 50_000  # changes between two commits: a second's work
_NAME_KEY: Final = struct.Struct(">QQ")  # of a name: layer, number of the directory
_NUMBER: Final = struct.Struct(">HQ")  # filesystem, inode number
_WHERE: Final = struct.Struct(">HB")  # layer, type of the kernel handle
_SEALED: Final = b"sealed"
_TASK: Final = b"task"


class Sealed(NamedTuple):
    """What a layer has under a name; a whiteout has no identity that counts."""

    type: int  # stat.S_IFMT, 0 for a whiteout
    opaque: bool
    identity: Identity

    def pack(self) -> bytes:
        return bytes((stat.S_IFMT(self.type) >> 12, self.opaque)) + self.identity.pack()

    @classmethod
    def unpack(cls, data: bytes) -> Sealed:
        identity = Identity.unpack(data[2:])
        assert identity is not None
        return cls(data[0] << 12, bool(data[1]), identity)


class Seal:
    """The seal of one work directory, opened."""

    def __init__(self, path: bytes) -> None:
        """Open the file at `path`, made if there is none."""
        self._env = lmdb.open(
            os.fsdecode(path),
            map_size=_MAP_SIZE,
            subdir=False,
            lock=False,
            max_dbs=len(_DATABASES),
            mode=0o600,
        )
        self._names, self._numbers, self._locations, self._done = map(self._env.open_db, _DATABASES)
        self._file = _which(os.stat(path))
        _OPEN[self._file] = self

    @classmethod
    def within(cls, directory: Fd) -> Seal:
        """Return the file `seal` in `directory`, made if there is none."""
        opened = open_seal(directory)
        return cls(proc_path(directory) + b"/" + FILE) if opened is None else opened

    def nameless_copy(self, directory: Fd) -> Seal:
        """Return a copy in a nameless file of that directory's filesystem, so that none is left.

        Raises OSError.
        """
        flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        return self._copied_into(Fd(os.open(b".", flags, 0o600, dir_fd=directory)))

    def _copied_into(self, fd: Fd) -> Seal:
        self._env.copyfd(int(fd))
        return Seal(proc_path(fd))

    def close(self) -> None:
        self._env.close()
        _OPEN.pop(self._file, None)

    def identity_of(
        self, filesystem: int, ino: int, real: RealHandle | None = None
    ) -> Identity | None:
        """Return the identity of a copied inode; None if it is the inode's own.

        By its number alone; with `real`, None if that now is another inode's.
        """
        with self._env.begin() as transaction:
            found = transaction.get(_NUMBER.pack(filesystem, ino), db=self._numbers)
            if found is None:
                return None
            location = None if real is None else transaction.get(found, db=self._locations)
        if real is not None and (location is None or _real_of(location) != real):
            return None
        return Identity.unpack(found)

    def location_of(self, identity: Identity) -> tuple[int, RealHandle] | None:
        """Layer id and kernel handle of the inode that has this identity though not as its own."""
        with self._env.begin(self._locations) as transaction:
            found = transaction.get(identity.pack())
        if found is None:
            return None
        return _WHERE.unpack_from(found)[0], _real_of(found)

    def children(self, layer: int, number: int) -> dict[bytes, Sealed]:
        """Return the sealed names of one directory of one layer."""
        with self._env.begin(self._names) as transaction:
            return dict(_children(transaction, layer, number))

    def is_sealed(self, layer: int) -> bool:
        """Return whether all names of a layer are known."""
        with self._env.begin() as transaction:
            return transaction.get(_SEALED + b"%d" % layer) is not None

    def count(self) -> int:
        """Return how many names are sealed."""
        with self._env.begin(self._names) as transaction:
            return int(transaction.stat(self._names)["entries"])

    def writer(self) -> SealWriter:
        """Return a context in which the seal is written; what was committed outlives a crash."""
        return SealWriter(self._env, self._names, self._numbers, self._locations, self._done)


class SealWriter:
    """Writes in batches, each whole or not at all, and sees what it wrote."""

    def __init__(
        self,
        env: lmdb.Environment,
        names: lmdb._Database,
        numbers: lmdb._Database,
        locations: lmdb._Database,
        done: lmdb._Database,
    ) -> None:
        self._env = env
        self._names = names
        self._numbers = numbers
        self._locations = locations
        self._done = done
        self._changes = 0

    def __enter__(self) -> SealWriter:
        self._transaction = self._env.begin(write=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._transaction.commit()
        else:
            self._transaction.abort()

    def begin(self, task: bytes) -> None:
        """Go on with this task where a crash cut it short; forget what was done of another."""
        if self._transaction.get(_TASK) != task:
            self._transaction.drop(self._done, delete=False)
            self._transaction.put(_TASK, task)

    def end(self) -> None:
        """Record that the task is done."""
        self._transaction.drop(self._done, delete=False)
        self._transaction.delete(_TASK)

    def children(self, layer: int, number: int) -> dict[bytes, Sealed]:
        """Return the sealed names of one directory of one layer."""
        return dict(_children(self._transaction, layer, number, self._names))

    def put_name(self, layer: int, number: int, name: bytes, sealed: Sealed) -> None:
        """What is there under a name of directory `number` of a layer."""
        self._put(self._names, _NAME_KEY.pack(layer, number) + name, sealed.pack())

    def put_inode(
        self, filesystem: int, ino: int, layer: int, real: RealHandle, identity: Identity
    ) -> None:
        """Record that an inode has an identity that is not its own."""
        packed = identity.pack()
        self._put(self._numbers, _NUMBER.pack(filesystem, ino), packed)
        self._put(self._locations, packed, _WHERE.pack(layer, real.type) + real.data)

    def finish_directory(self, layer: int, number: int) -> None:
        """Record that all names of a directory are written; a commit may follow."""
        self._put(self._done, _NAME_KEY.pack(layer, number), b"")
        if self._changes >= _BATCH:
            self._transaction.commit()
            self._transaction = self._env.begin(write=True)
            self._changes = 0

    def is_finished(self, layer: int, number: int) -> bool:
        """Return whether a directory was written before a crash cut the task short."""
        return self._transaction.get(_NAME_KEY.pack(layer, number), db=self._done) is not None

    def finish_layer(self, layer: int) -> None:
        """Record that all names of a layer are known from now on."""
        self._transaction.put(_SEALED + b"%d" % layer, b"")

    def _put(self, database: lmdb._Database, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=database)
        self._changes += 1


def _real_of(location: bytes) -> RealHandle:
    return RealHandle(_WHERE.unpack_from(location)[1], location[_WHERE.size :])


def _children(
    transaction: lmdb.Transaction,
    layer: int,
    number: int,
    database: lmdb._Database | None = None,
) -> Iterator[tuple[bytes, Sealed]]:
    prefix = _NAME_KEY.pack(layer, number)
    with transaction.cursor(database) as cursor:
        if not cursor.set_range(prefix):
            return
        for key, value in cursor.iternext():
            name = bytes(key)
            if not name.startswith(prefix):
                return
            yield name[_NAME_KEY.size :], Sealed.unpack(bytes(value))


def _which(st: os.stat_result) -> tuple[int, int]:
    return st.st_dev, st.st_ino


# Those that are open in this process, by device and inode: LMDB opens a file once.
_OPEN: Final = WeakValueDictionary[tuple[int, int], Seal]()


def open_seal(directory: Fd) -> Seal | None:
    """Return the seal in `directory`, shared if it is open already; None if there is none."""
    try:
        st = os.stat(FILE, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return _OPEN.get(_which(st)) or Seal(proc_path(directory) + b"/" + FILE)
