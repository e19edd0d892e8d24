"""What an object is, for ever, and the file handle that says so to clients.

An object's identity is the inode it comes from (its origin): the lower inode
if it comes from one, else its upper inode.  The wire handle is the identity,
the export it belongs to and a keyed MAC, at most 64 bytes (RFC 1813 section
2.3.3, nfs_fh3):

    version 1 . flags 1 . source 2 . export 4 . fileid 8 . handle type 1 .
    handle length 1 . kernel file handle . MAC 12

`source` says where the kernel handle can be opened: for a directory the id of
its layer, for anything else the number of its filesystem, because hard links
of one inode may lie in several layers and are one object all the same.

In a layer whose filesystem has no file handles, or longer ones than fit, an object is
named by a hash of its path in place of a kernel handle, and `source` is always the
layer's id.

open_by_handle_at(2) opens any inode of a filesystem, also outside the layers,
so a handle whose MAC is wrong goes no further than `Signer.decode`.
"""

from __future__ import annotations

import errno
import hmac
import os
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from index.linux.file_handle import RealHandle

VERSION: Final = 1
MAC_SIZE: Final = 12
MAX_WIRE: Final = 64
ROOT: Final = 1
DIRECTORY: Final = 2
UPPER: Final = 4
BY_PATH: Final = 8
NO_HANDLE: Final = 0xFF  # FILEID_INVALID, the type in place of a kernel handle's

_HEAD: Final = struct.Struct(">BBHIQBB")
_MAX_REAL: Final = MAX_WIRE - _HEAD.size - MAC_SIZE


@dataclass(slots=True, init=False)
class Identity:
    """The origin of an object: where it came from and its number for clients.

    It is not to be changed.
    """

    flags: Final[int]
    source: Final[int]
    fileid: Final[int]
    real: Final[RealHandle]

    def __init__(self, flags: int, source: int, fileid: int, real: RealHandle) -> None:
        self.flags = flags  # written out: quicker (overlay.model.attributes)
        self.source = source
        self.fileid = fileid
        self.real = real

    @property
    def is_root(self) -> bool:
        return bool(self.flags & ROOT)

    @property
    def is_dir(self) -> bool:
        return bool(self.flags & DIRECTORY)

    @property
    def is_upper(self) -> bool:
        return bool(self.flags & UPPER)

    @property
    def is_by_path(self) -> bool:
        return bool(self.flags & BY_PATH)

    def pack(self, export: int = 0) -> bytes:
        """Return the bytes that stand for this identity in an xattr, and in a handle.

        Raises EOVERFLOW for a kernel handle too long to be sent to clients.
        """
        real = self.real
        if len(real.data) > _MAX_REAL or not 0 <= real.type <= NO_HANDLE:
            raise OSError(errno.EOVERFLOW, os.strerror(errno.EOVERFLOW))
        head = _HEAD.pack(
            VERSION,
            self.flags,
            self.source,
            export,
            self.fileid,
            real.type,
            len(real.data),
        )
        return head + real.data

    @classmethod
    def unpack(cls, data: bytes | None) -> Identity | None:
        """Return the identity that `pack` made these bytes of; None if it did not."""
        if data is None or len(data) < _HEAD.size:
            return None
        version, flags, source, _, fileid, real_type, size = _HEAD.unpack_from(data)
        real = data[_HEAD.size :]
        if version != VERSION or len(real) != size:
            return None
        return cls(flags, source, fileid, RealHandle(real_type, real))


def fits_wire(real: RealHandle) -> bool:
    """Return whether a kernel handle is of a type and length that can be sent to clients."""
    return len(real.data) <= _MAX_REAL and 0 <= real.type < NO_HANDLE


def export_of(handle: bytes) -> bytes:
    """Return the export that what begins like a handle names, 4 bytes."""
    return handle[4:8]


class Signer:
    """Makes and checks the wire handles of one export."""

    def __init__(self, key: bytes, export: int) -> None:
        self._keyed = blake2b(digest_size=MAC_SIZE, key=key)
        self.export = export
        self._export_bytes = export.to_bytes(4, "big")

    def _mac(self, body: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(body)
        return mac.digest()

    def encode(self, identity: Identity) -> bytes:
        """Return the wire handle of an object; the same object always has the same bytes."""
        body = identity.pack(self.export)
        return body + self._mac(body)

    def is_of(self, handle: bytes) -> bool:
        """Return whether what begins like a handle names this export; it may be forged."""
        return export_of(handle) == self._export_bytes

    def decode(self, handle: bytes) -> Identity:
        """Return the identity in a wire handle; raises EBADF unless this export signed it."""
        body = handle[:-MAC_SIZE]
        if (
            len(handle) <= MAX_WIRE
            and export_of(body) == self._export_bytes
            and hmac.compare_digest(self._mac(body), handle[-MAC_SIZE:])
            and (identity := Identity.unpack(body)) is not None
        ):
            return identity
        raise OSError(errno.EBADF, "not a file handle of this export")
