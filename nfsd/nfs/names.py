"""NFSv3: names.

LOOKUP, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK (RFC 1813
sections 3.3.3 and 3.3.8 to 3.3.15).  The overlay checks names and permission;
here are only the rules of the protocol itself.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from nfsd.export.exports import Exports
from nfsd.nfs.fattr import attributes_of, changes_of, known_attributes, wcc_of
from nfsd.rpc.program import Caller
from nfsd.xdr.generated.nfs3 import (
    GUARDED,
    NF3BLK,
    NF3CHR,
    NF3FIFO,
    NF3SOCK,
    CREATE3args,
    CREATE3resok,
    LINK3args,
    LINK3resok,
    LOOKUP3resok,
    MKDIR3args,
    MKDIR3resok,
    MKNOD3args,
    MKNOD3resok,
    RENAME3args,
    RENAME3resok,
    SYMLINK3args,
    SYMLINK3resok,
    diropargs3,
    specdata3,
)
from overlay.base.errors import error
from overlay.model.attributes import Changes

_PATH_MAX: Final = 4095  # bytes in a symbolic link
_MAJOR_MAX: Final = (1 << 12) - 1
_MINOR_MAX: Final = (1 << 20) - 1
_TYPES: Final[dict[int, int]] = {
    NF3CHR: stat.S_IFCHR,
    NF3BLK: stat.S_IFBLK,
    NF3SOCK: stat.S_IFSOCK,
    NF3FIFO: stat.S_IFIFO,
}


def lookup(exports: Exports, caller: Caller, what: diropargs3) -> LOOKUP3resok:
    """LOOKUP, RFC 1813 section 3.3.3."""
    overlay, directory, cred = exports.enter(caller, what.dir)
    node = overlay.lookup(directory, what.name, cred)
    return LOOKUP3resok(
        node.handle, known_attributes(overlay, node), attributes_of(overlay, directory)
    )


def create(exports: Exports, caller: Caller, arguments: CREATE3args) -> CREATE3resok:
    """CREATE, RFC 1813 section 3.3.8."""
    where, how = arguments.where, arguments.how
    overlay, directory, cred = exports.enter(caller, where.dir, write=True)
    if how.verf is not None:
        made = overlay.create_exclusive(directory, where.name, cred, how.verf)
    else:
        changes = Changes() if how.obj_attributes is None else changes_of(how.obj_attributes)
        guarded = how.mode == GUARDED
        made = overlay.create(directory, where.name, cred, changes, guarded)
    attributes = known_attributes(overlay, made.node)
    return CREATE3resok(made.node.handle, attributes, wcc_of(made.parent, overlay.fsid))


def mkdir(exports: Exports, caller: Caller, arguments: MKDIR3args) -> MKDIR3resok:
    """MKDIR, RFC 1813 section 3.3.9."""
    where = arguments.where
    overlay, directory, cred = exports.enter(caller, where.dir, write=True)
    made = overlay.mkdir(directory, where.name, cred, changes_of(arguments.attributes))
    attributes = known_attributes(overlay, made.node)
    return MKDIR3resok(made.node.handle, attributes, wcc_of(made.parent, overlay.fsid))


def symlink(exports: Exports, caller: Caller, arguments: SYMLINK3args) -> SYMLINK3resok:
    """SYMLINK, RFC 1813 section 3.3.10."""
    where, target = arguments.where, arguments.symlink.symlink_data
    if not target or b"\0" in target:
        raise error(errno.EINVAL)
    if len(target) > _PATH_MAX:
        raise error(errno.ENAMETOOLONG)
    overlay, directory, cred = exports.enter(caller, where.dir, write=True)
    changes = changes_of(arguments.symlink.symlink_attributes)
    made = overlay.symlink(directory, where.name, cred, target, changes)
    attributes = known_attributes(overlay, made.node)
    return SYMLINK3resok(made.node.handle, attributes, wcc_of(made.parent, overlay.fsid))


def mknod(exports: Exports, caller: Caller, arguments: MKNOD3args) -> MKNOD3resok:
    """MKNOD, RFC 1813 section 3.3.11."""
    where, what = arguments.where, arguments.what
    overlay, directory, cred = exports.enter(caller, where.dir, write=True)
    rdev, wanted = 0, what.pipe_attributes
    if what.device is not None:
        rdev = _device(what.device.spec)
        wanted = what.device.dev_attributes
    if wanted is None:
        raise error(errno.EPROTOTYPE)  # files, directories and links have procedures of their own
    changes = changes_of(wanted)
    made = overlay.mknod(directory, where.name, cred, _TYPES[what.type], rdev, changes)
    attributes = known_attributes(overlay, made.node)
    return MKNOD3resok(made.node.handle, attributes, wcc_of(made.parent, overlay.fsid))


def _device(spec: specdata3) -> int:
    """Return a device number; raises EINVAL for one that Linux does not have."""
    if spec.specdata1 > _MAJOR_MAX or spec.specdata2 > _MINOR_MAX:
        raise error(errno.EINVAL)
    return os.makedev(spec.specdata1, spec.specdata2)


def remove(exports: Exports, caller: Caller, what: diropargs3) -> bytes:
    """REMOVE, RFC 1813 section 3.3.12."""
    overlay, directory, cred = exports.enter(caller, what.dir, write=True)
    return wcc_of(overlay.remove(directory, what.name, cred), overlay.fsid)


def rmdir(exports: Exports, caller: Caller, what: diropargs3) -> bytes:
    """RMDIR, RFC 1813 section 3.3.13, which has a status of its own for `..`."""
    overlay, directory, cred = exports.enter(caller, what.dir, write=True)
    if what.name == b"..":
        raise error(errno.EEXIST)
    return wcc_of(overlay.rmdir(directory, what.name, cred), overlay.fsid)


def rename(exports: Exports, caller: Caller, arguments: RENAME3args) -> RENAME3resok:
    """RENAME, RFC 1813 section 3.3.14."""
    old, new = arguments.from_, arguments.to
    overlay, old_dir, cred = exports.enter(caller, old.dir, write=True)
    other, new_dir = overlay, old_dir
    if new.dir != old.dir:
        other, new_dir, _ = exports.enter(caller, new.dir, write=True)
    if overlay is not other:
        raise error(errno.EXDEV)
    one, other_one = overlay.rename(old_dir, old.name, new_dir, new.name, cred)
    wcc = wcc_of(one, overlay.fsid)
    return RENAME3resok(wcc, wcc if one is other_one else wcc_of(other_one, overlay.fsid))


def link(exports: Exports, caller: Caller, arguments: LINK3args) -> LINK3resok:
    """LINK, RFC 1813 section 3.3.15."""
    where = arguments.link
    overlay, node, cred = exports.enter(caller, arguments.file, write=True)
    other, directory, _ = exports.enter(caller, where.dir, write=True)
    if overlay is not other:
        raise error(errno.EXDEV)
    change = overlay.link(node, directory, where.name, cred)
    return LINK3resok(known_attributes(overlay, node), wcc_of(change, overlay.fsid))
