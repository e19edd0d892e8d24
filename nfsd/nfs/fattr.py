"""Attributes between the overlay and the wire (RFC 1813 section 2.6).

Attributes and wcc_data are packed here straight from the overlay's, in one call
of one struct, because nearly every reply has them.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Final

from nfsd.export.exports import Exports, Readable
from nfsd.rpc.program import Caller
from nfsd.xdr.generated.nfs3 import (
    DONT_CHANGE,
    nfstime3,
    sattr3,
    wcc_data,
)
from nfsd.xdr.generated.nfs3 import P_5I2Q2I2Q6I as PACK_FATTR3
from overlay.base.errors import WouldBlock, error
from overlay.model.attributes import NOW, Attributes, Change, Changes, Now
from overlay.model.node import Node

SECOND: Final = 1_000_000_000  # in nanoseconds
_PACK_HAD: Final = struct.Struct(">IQ5I").pack  # a pre_op_attr, and that a post_op_attr follows
_NOT_HAD: Final = struct.pack(">II", 0, 1)  # the same where that is not known
_U32: Final = 0xFFFFFFFF
# ftype3 by the file type bits of a mode: FIFO, CHR, DIR, BLK, REG, LNK, SOCK.
_FTYPE3: Final[tuple[int, ...]] = (0, 7, 4, 0, 2, 0, 3, 0, 1, 0, 5, 0, 6, 0, 0, 0)


def pack_attributes(attributes: Attributes, fsid: int) -> bytes:
    """Return a packed fattr3, 84 bytes.

    Times outside of what 32 bits of seconds hold wrap around, as they do in
    other servers.
    """
    mode, rdev = attributes.mode, attributes.rdev
    atime, mtime, ctime = attributes.atime, attributes.mtime, attributes.ctime
    return PACK_FATTR3(
        _FTYPE3[mode >> 12],
        mode & 0o7777,
        attributes.nlink,
        attributes.uid,
        attributes.gid,
        attributes.size,
        attributes.used,
        os.major(rdev) if rdev else 0,
        os.minor(rdev) if rdev else 0,
        fsid,
        attributes.fileid,
        atime // SECOND & _U32,
        atime % SECOND,
        mtime // SECOND & _U32,
        mtime % SECOND,
        ctime // SECOND & _U32,
        ctime % SECOND,
    )


def attributes_of(overlay: Readable, node: Node) -> bytes:
    """Return the object's attributes now, as a packed fattr3."""
    return pack_attributes(overlay.getattr(node), overlay.fsid)


def known_attributes(overlay: Readable, node: Node) -> bytes | None:
    """Return the same, or None where they cannot be had at once.

    This is for replies to calls that have done their work: they must not fail
    any more, nor be made a second time because this one would block.
    """
    try:
        return attributes_of(overlay, node)
    except (OSError, WouldBlock):
        return None


def post_op_attr_of(exports: Exports, caller: Caller, handle: bytes) -> bytes | None:
    """Return the attributes for a reply that says why a call failed, if they can be had."""
    try:
        overlay, node, _ = exports.enter(caller, handle)
        return attributes_of(overlay, node)
    except (OSError, WouldBlock):
        return None


def failed_wcc(exports: Exports, caller: Caller, handle: bytes) -> wcc_data:
    """wcc_data for such a reply; what was before is not known any more."""
    return wcc_data(None, post_op_attr_of(exports, caller, handle))


def wcc_of(change: Change, fsid: int) -> bytes:
    """Packed wcc_data of a change the overlay made (RFC 1813 section 2.6)."""
    before = change.before
    if before is None:
        return _NOT_HAD + pack_attributes(change.after, fsid)
    had = _PACK_HAD(
        1,
        before.size,
        before.mtime // SECOND & _U32,
        before.mtime % SECOND,
        before.ctime // SECOND & _U32,
        before.ctime % SECOND,
        1,
    )
    return had + pack_attributes(change.after, fsid)


def changes_of(wanted: sattr3) -> Changes:
    """Return what a sattr3 asks for; raises EINVAL for a time that is none.

    The user and group -1 are nobody's: to set them is to leave them alone, as
    chown(2) has it.
    """
    atime, mtime = wanted.atime, wanted.mtime
    return Changes(
        None if wanted.mode is None else wanted.mode & 0o7777,
        None if wanted.uid == _U32 else wanted.uid,
        None if wanted.gid == _U32 else wanted.gid,
        wanted.size,
        None if atime.set_it == DONT_CHANGE else _time_wanted(atime.atime),
        None if mtime.set_it == DONT_CHANGE else _time_wanted(mtime.mtime),
    )


def _time_wanted(time: nfstime3 | None) -> int | Now:
    """Return the client's time, or the server's where it sent none (SET_TO_SERVER_TIME)."""
    return NOW if time is None else nanoseconds_of(time)


def nanoseconds_of(time: nfstime3) -> int:
    """Return a time of NFS in nanoseconds; raises EINVAL for a second's worth of them or more."""
    if time.nseconds >= SECOND:
        raise error(errno.EINVAL)
    return time.seconds * SECOND + time.nseconds
