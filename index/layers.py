"""Layers as opened directories, and the record of them in the work directory.

A layer's id and its filesystem's number are given once, and handles name it by
them for ever; index.match_layers finds out which layer an opened directory is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from index.identity import BY_PATH, DIRECTORY, NO_HANDLE, UPPER, Identity, fits_wire
from index.index import Index
from index.linux.fd import Fd, components, open_at, open_dir
from index.linux.file_handle import RealHandle, handle_at, handle_of, open_by_handle
from index.origin import Origin, filesystem_uuid
from index.paths import KnownPaths, path_of
from index.seal import Seal
from index.workdir import Workdir

RECORD: Final = b"layers.json"
UPPER_ID: Final = 0
INO_BITS: Final = 56
MAX_FOLDED: Final = 127  # filesystems
HASHED: Final = 1 << 63  # in a number that is a hash


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer, opened: `root` is a directory of a private mount (see clone_mount)."""

    id: int
    filesystem: int
    root: Fd
    path: bytes
    prefix: bytes = b"/"  # where `root` is within its private mount
    is_upper: bool = False
    uuid: bytes | None = None  # the filesystem's, as in `overlay.origin`
    has_handles: bool = True  # that can be opened at any time
    has_equal_handles: bool = True  # else some may be too long to be sent to clients
    seal: Seal | None = None  # for a lower layer that was copied: the identities of its inodes
    is_renumbered: bool = False  # there are inodes whose number for clients is an earlier one
    earlier: tuple[int, ...] = ()  # numbers of the filesystem under which handles name inodes too
    known: KnownPaths | None = None  # of a lower layer
    # Where inodes may have numbers that were those of objects in the index.  What was changed
    # last before the index was begun, in nanoseconds, has not.
    index: Index | None = None
    since: int = 0

    def fileid(self, ino: int) -> int:
        """Return the number clients see for an inode `ino` that is no copy: unique in the export.

        The filesystem's number is folded into the high byte.  Where either is too
        large for that, both are hashed, marked by the top bit.
        """
        if ino >> INO_BITS == 0 and self.filesystem <= MAX_FOLDED:
            return self.filesystem << INO_BITS | ino
        digest = hashlib.blake2b(b"%d:%d" % (self.filesystem, ino), digest_size=8).digest()
        return HASHED | int.from_bytes(digest, "big") >> 1

    def number(self, ino: int) -> int:
        """Return the number clients see for what comes from this inode, also where it is a copy."""
        sealed = self._sealed(ino)
        return self.fileid(ino) if sealed is None else sealed.fileid

    def numbers(self, inos: list[int]) -> list[int]:
        """Return what `number` returns for each inode, at less cost for most."""
        if (
            self.seal is not None
            or self.filesystem > MAX_FOLDED
            or max(inos, default=0) >> INO_BITS
        ):
            return [self.number(ino) for ino in inos]
        first = self.filesystem << INO_BITS
        return [first | ino for ino in inos] if first else inos

    def identity(
        self,
        fd: Fd,
        st: os.stat_result,
        *,
        is_dir: bool,
        parent: Fd | None = None,
        name: bytes = b"",
    ) -> Identity:
        """Return the identity of an object that comes from this inode of this layer.

        `parent` is the directory in which a file was found as `name`, if it was.
        """
        real = handle_of(fd) if self.has_handles else None
        if real is not None and fits_wire(real):
            sealed = self._sealed(st.st_ino, real)
            return sealed or self.own_identity(st, real, is_dir=is_dir)
        path = self.path_of(fd) if parent is None else self.path_in(parent, name)
        own = self.own_identity_by_path(path, is_dir=is_dir)
        return self._sealed(own.fileid) or own

    def _sealed(self, number: int, real: RealHandle | None = None) -> Identity | None:
        return None if self.seal is None else self.seal.identity_of(self.filesystem, number, real)

    def is_doubtful(self, ino: int, directory: Fd, name: bytes) -> bool:
        """Return whether what `number` says for an entry of a directory may be another's number."""
        if self.index is not None and self.index.has_number(self.number(ino)):
            return True
        if self._sealed(ino) is None:
            return False
        return self._sealed(ino, handle_at(directory, name)) is None

    def own_identity(self, st: os.stat_result, real: RealHandle, *, is_dir: bool) -> Identity:
        """Return the identity of an inode that was never copied.

        Where its number was another's, whose object may still live, it has one of its own.
        """
        flags = (DIRECTORY if is_dir else 0) | (UPPER if self.is_upper else 0)
        source = self.id if is_dir else self.filesystem
        identity = Identity(flags, source, self.fileid(st.st_ino), real)
        if self.index is None or self.is_old(st) or not self.index.is_taken(identity):
            return identity
        digest = hashlib.blake2b(real.data, digest_size=8, salt=b"%d" % self.filesystem).digest()
        return Identity(flags, source, HASHED | int.from_bytes(digest, "big") >> 1, real)

    def is_old(self, st: os.stat_result) -> bool:
        """Return whether an inode, and all that a directory has, is older than the index."""
        return st.st_ctime_ns < self.since

    def is_own_number(self, identity: Identity, st: os.stat_result) -> bool:
        """Return whether the number that clients see for an object is its inode's."""
        return identity.fileid == self.fileid(st.st_ino)

    def has_made(self, identity: Identity) -> bool:
        """Return whether the kernel handle in an identity may be of an inode of this very copy."""
        number = identity.fileid >> INO_BITS if identity.is_dir else identity.source
        return number == self.filesystem or number in self.earlier or number > MAX_FOLDED

    def own_identity_by_path(self, path: bytes, *, is_dir: bool) -> Identity:
        """Return the identity of an object of a layer without file handles, by its path."""
        digest = hashlib.blake2b(path, digest_size=16, salt=b"%d" % self.id).digest()
        fileid = HASHED | int.from_bytes(digest[:8], "big") >> 1
        flags = BY_PATH | (DIRECTORY if is_dir else 0)
        return Identity(flags, self.id, fileid, RealHandle(NO_HANDLE, digest))

    def origin(self, fd: Fd) -> bytes | None:
        """Return the value of `overlay.origin` for an inode of this layer.

        None if there is none.
        """
        if self.uuid is None or not self.has_handles:
            return None
        return self.origin_of(handle_of(fd))

    def origin_of(self, real: RealHandle) -> bytes | None:
        """Do as `origin`, for an inode that has this kernel handle."""
        return None if self.uuid is None else Origin(self.uuid, real).pack()

    def open_handle(self, real: RealHandle, flags: int) -> Fd | None:
        """Open an inode of this layer's filesystem; None if it is gone."""
        return open_by_handle(self.root, real, flags)

    def path_of(self, fd: Fd) -> bytes:
        """Return the path of what is opened by way of this layer, from its private mount's root."""
        return path_of(fd, self.known)

    def path_in(self, directory: Fd, name: bytes) -> bytes:
        """Return the path of `name` in a directory that is opened by way of this layer."""
        return self.path_of(directory).rstrip(b"/") + b"/" + name

    def open_path(self, path: bytes, flags: int) -> Fd | None:
        """Open what the layer has at `path`; None if there is nothing."""
        fd, names = self.root, components(path)
        try:
            for name in names[:-1]:
                fd = open_dir(fd, name)
            for name in names[-1:]:
                fd = open_at(fd, name, flags)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return fd


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded of a layer."""

    id: int
    filesystem: int
    path: str
    root: str  # the root inode: filesystem and kernel handle
    copied: bool = False  # since handles of it were given out: index.seal knows its inodes
    earlier: tuple[int, ...] = ()  # numbers that `filesystem` had, of inodes that still are there
    empty: bool | None = None  # whether a lower layer has nothing in it; None: not recorded

    @property
    def root_handle(self) -> RealHandle | None:
        """Return the kernel handle of the root inode; None where the filesystem has none."""
        _, _, inode = self.root.partition(":")
        kind, _, data = inode.partition(":")
        return RealHandle(int(kind), bytes.fromhex(data)) if data else None


@dataclass(frozen=True, slots=True)
class Record:
    """The work directory's memory of the export: who it is and the layers it ever had."""

    export: int
    root: int
    layers: tuple[Known, ...]
    stack: tuple[int, ...] = ()  # ids of the layers last used, from the upper down
    data_only: int = 0  # how many at the end of `stack` are data-only layers
    sealed: bool = False  # new upper inodes are marked with their identity
    since: int = 0  # when the index was begun, in nanoseconds; 0: not known
    # When the last whiteout of the index was made that does not say whose it is, in
    # nanoseconds; 0: there is none, None: what an earlier version recorded.
    unattributed: int | None = 0
    workdir: str = ""  # the root inode of the work directory, as of a layer; empty: not recorded


@dataclass(frozen=True, slots=True)
class Opened:
    """A layer before it has its id."""

    root: Fd
    path: bytes
    prefix: bytes = b"/"
    is_upper: bool = False
    has_handles: bool = True
    has_equal_handles: bool = True


def load_record(workdir: Workdir) -> Record | None:
    """Return what an earlier run recorded; None at the first start."""
    data = workdir.read(RECORD)
    return None if data is None else parse_record(data)


def up_to_date(record: Record | None, workdir: Workdir) -> Record | None:
    """Return the record, with what one of an earlier version does not say yet."""
    if record is None or record.unattributed is not None:
        return record
    return replace(record, unattributed=workdir.last_whiteout())


def parse_record(data: bytes) -> Record:
    """Return the record in the contents of its file; raises ValueError, KeyError or TypeError."""
    fields = json.loads(data)
    layers = tuple(_known(**known) for known in fields["layers"])
    stack = tuple(fields.get("stack", ()))
    data_only, sealed = fields.get("data_only", 0), fields.get("sealed", False)
    since, unattributed = fields.get("since", 0), fields.get("unattributed")
    return Record(
        fields["export"],
        fields["root"],
        layers,
        stack,
        data_only,
        sealed,
        since=since,
        unattributed=unattributed,
        workdir=fields.get("workdir", ""),
    )


def _known(*, earlier: Sequence[int] = (), **fields: Any) -> Known:  # noqa: ANN401 - JSON
    return Known(**fields, earlier=tuple(earlier))


def save_record(workdir: Workdir, record: Record) -> None:
    """Keep a record, whole or not at all."""
    workdir.write(RECORD, json.dumps(asdict(record), indent=1).encode())


def make_layers(
    opened: Sequence[Opened],
    known: Sequence[Known],
    seal: Seal | None,
    index: Index | None = None,
    record: Record | None = None,
) -> list[Layer]:
    """Return the opened directories as the layers that they are known to be."""
    since = 0 if record is None else record.since
    lower = () if record is None else [one.filesystem for one in record.layers if one.id]
    return [
        Layer(
            found.id,
            found.filesystem,
            one.root,
            one.path,
            one.prefix,
            one.is_upper,
            filesystem_uuid(one.root),
            one.has_handles,
            one.has_equal_handles,
            seal if found.copied and not one.is_upper else None,
            found.copied or bool(found.earlier),
            found.earlier,
            None if one.is_upper else KnownPaths(),
            # An upper inode has a number that was another's only where lower ones are beside it.
            index if not one.is_upper or found.filesystem in lower else None,
            0 if one.is_upper else since,
        )
        for one, found in zip(opened, known, strict=True)
    ]
