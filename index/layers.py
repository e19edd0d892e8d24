"""Layers as opened directories, and the small ids by which handles name them for ever.

A layer's id and its filesystem's number are given once and recorded in the
work directory.  At the next start a layer is recognised by the identity of its
root inode, else by its path, so that layers may be added, removed or reordered.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from index.fd import Fd, path_of
from index.identity import BY_PATH, DIRECTORY, UPPER, Identity
from index.origin import Origin, filesystem_uuid
from index.syscalls import RealHandle, handle_of, open_by_handle
from index.workdir import Workdir

RECORD: Final = b"layers.json"
UPPER_ID: Final = 0
INO_BITS: Final = 56
_MAX_FILESYSTEM: Final = 127
_NO_HANDLE: Final = 0xFF  # FILEID_INVALID


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

    def fileid(self, ino: int) -> int:
        """The number clients see for inode `ino`: unique in the export, constant for ever.

        The filesystem's number is folded into the high byte.  An inode number
        that reaches into that byte is hashed, marked by the top bit.
        """
        if ino >> INO_BITS == 0:
            return self.filesystem << INO_BITS | ino
        digest = hashlib.blake2b(b"%d:%d" % (self.filesystem, ino), digest_size=8).digest()
        return 1 << 63 | int.from_bytes(digest, "big") >> 1

    def identity(self, fd: int, st: os.stat_result, *, is_dir: bool) -> Identity:
        """The identity of an object that comes from this inode of this layer."""
        flags = (DIRECTORY if is_dir else 0) | (UPPER if self.is_upper else 0)
        if not self.has_handles:
            return self._identity_by_path(path_of(fd), flags)
        source = self.id if is_dir else self.filesystem
        return Identity(flags, source, self.fileid(st.st_ino), handle_of(fd))

    def _identity_by_path(self, path: bytes, flags: int) -> Identity:
        digest = hashlib.blake2b(path, digest_size=16, salt=b"%d" % self.id).digest()
        fileid = 1 << 63 | int.from_bytes(digest[:8], "big") >> 1
        return Identity(flags | BY_PATH, self.id, fileid, RealHandle(_NO_HANDLE, digest))

    def origin(self, real: RealHandle) -> bytes | None:
        """The value of `overlay.origin` for an inode of this layer; None if there is none."""
        if self.uuid is None or not self.has_handles:
            return None
        return Origin(self.uuid, real).pack()

    def open_handle(self, real: RealHandle, flags: int) -> Fd:
        """Open an inode of this layer's filesystem; raises ESTALE when it is gone."""
        return open_by_handle(self.root, real, flags)


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded of a layer."""

    id: int
    filesystem: int
    path: str
    root: str  # the root inode: filesystem id and kernel handle


@dataclass(frozen=True, slots=True)
class Record:
    """The work directory's memory of the export: who it is and the layers it ever had."""

    export: int
    root: int
    layers: tuple[Known, ...]
    stack: tuple[int, ...] = ()  # ids of the layers last used, from the upper down
    data_only: int = 0  # how many at the end of `stack` are data-only layers


@dataclass(frozen=True, slots=True)
class Opened:
    """A layer before it has its id."""

    root: Fd
    path: bytes
    prefix: bytes = b"/"
    is_upper: bool = False
    has_handles: bool = True


def load_record(workdir: Workdir) -> Record | None:
    """What an earlier run recorded; None at the first start."""
    data = workdir.read(RECORD)
    return None if data is None else parse_record(data)


def parse_record(data: bytes) -> Record:
    """The record in the contents of its file; raises ValueError, KeyError or TypeError."""
    fields = json.loads(data)
    layers = tuple(Known(**known) for known in fields["layers"])
    stack = tuple(fields.get("stack", ()))
    return Record(fields["export"], fields["root"], layers, stack, fields.get("data_only", 0))


def identify(
    workdir: Workdir, opened: Sequence[Opened], *, bottom: int
) -> tuple[Record, list[Layer]]:
    """Give every opened layer the id it has always had, or a new one, and record it.

    `opened` runs from the upper (if there is one) down; the inode number of the
    root of the one at `bottom` becomes that of the export's root, for good.
    """
    record = load_record(workdir)
    book = _Book(record.layers if record else ())
    layers = book.identify(opened)
    if record is None:
        root = layers[bottom].fileid(os.fstat(layers[bottom].root).st_ino)
        updated = Record(secrets.randbits(32), root, tuple(book.known))
    else:
        updated = Record(record.export, record.root, tuple(book.known))
    stack = tuple(layer.id for layer in layers)
    updated = replace(updated, stack=stack, data_only=len(opened) - bottom - 1)
    if updated != record:
        workdir.write(RECORD, json.dumps(asdict(updated), indent=1).encode())
    return updated, layers


class _Book:
    """The recorded layers while new ones are entered."""

    def __init__(self, known: Iterable[Known]) -> None:
        self.known = list(known)

    def identify(self, opened: Sequence[Opened]) -> list[Layer]:
        roots = [_root_identity(one) for one in opened]
        found = self._recognise(opened, roots)
        devices = {os.fstat(opened[i].root).st_dev: known.filesystem for i, known in found.items()}
        layers = []
        for i, one in enumerate(opened):
            known = found.get(i) or self._enter(one, roots[i], devices)
            layers.append(
                Layer(
                    known.id,
                    known.filesystem,
                    one.root,
                    one.path,
                    one.prefix,
                    one.is_upper,
                    filesystem_uuid(one.root),
                    one.has_handles,
                )
            )
        return layers

    def _recognise(self, opened: Sequence[Opened], roots: list[str]) -> dict[int, Known]:
        """Which recorded layer each opened one is, by position; the surest sign first."""
        found: dict[int, Known] = {}
        for by_root, by_path in ((True, True), (True, False), (False, True)):
            for i, one in enumerate(opened):
                path = os.fsdecode(one.path)
                for known in self.known:
                    if (
                        i not in found
                        and known not in found.values()
                        and (known.id == UPPER_ID) == one.is_upper
                        and (not by_root or known.root == roots[i])
                        and (not by_path or known.path == path)
                    ):
                        current = Known(known.id, known.filesystem, path, roots[i])
                        self.known[self.known.index(known)] = found[i] = current
        return found

    def _enter(self, opened: Opened, root: str, devices: dict[int, int]) -> Known:
        st = os.fstat(opened.root)
        layer_id = UPPER_ID
        if not opened.is_upper:
            layer_id = 1 + max((known.id for known in self.known), default=UPPER_ID)
        used = [known.filesystem for known in self.known]
        filesystem = devices.setdefault(st.st_dev, max(used, default=-1) + 1)
        if filesystem > _MAX_FILESYSTEM or layer_id > 0xFFFF:
            raise OSError(errno.EOVERFLOW, "too many different layers used with this workdir")
        known = Known(layer_id, filesystem, os.fsdecode(opened.path), root)
        self.known.append(known)
        return known


def _root_identity(opened: Opened) -> str:
    filesystem = f"{os.fstatvfs(opened.root).f_fsid:x}"
    if not opened.has_handles:
        return f"{filesystem}:inode {os.fstat(opened.root).st_ino}"
    real = handle_of(opened.root)
    return f"{filesystem}:{real.type}:{real.data.hex()}"
