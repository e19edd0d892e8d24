"""NFSv3: attributes, permission, and what is to be known of the filesystem.

GETATTR, SETATTR, ACCESS, FSSTAT, FSINFO, PATHCONF (RFC 1813 sections 3.3.1,
3.3.2, 3.3.4 and 3.3.18 to 3.3.20).
"""

from __future__ import annotations

import os
from typing import Final

from nfsd.export.exports import Exports
from nfsd.nfs.fattr import attributes_of, changes_of, nanoseconds_of, wcc_of
from nfsd.rpc.program import Caller
from nfsd.xdr.generated.nfs3 import (
    ACCESS3_DELETE,
    ACCESS3_EXECUTE,
    ACCESS3_EXTEND,
    ACCESS3_LOOKUP,
    ACCESS3_MODIFY,
    ACCESS3_READ,
    FSF3_CANSETTIME,
    FSF3_HOMOGENEOUS,
    FSF3_LINK,
    FSF3_SYMLINK,
    ACCESS3args,
    ACCESS3resok,
    FSINFO3resok,
    FSSTAT3resok,
    PATHCONF3resok,
    SETATTR3args,
    nfstime3,
)

DIRECTORY_MAX: Final = 64 << 10  # bytes of one READDIR or READDIRPLUS reply
_TRANSFER_MULTIPLE: Final = 4096
_FILE_MAX: Final = (1 << 63) - 1
_LINK_MAX: Final = 65000  # ext4's, the least of the filesystems that uppers are on
_NAME_MAX: Final = 255

# Bits of os.R_OK, W_OK and X_OK that each bit of ACCESS takes, for a directory.
_DIRECTORY: Final = (
    (ACCESS3_READ, os.R_OK),
    (ACCESS3_LOOKUP, os.X_OK),
    (ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_DELETE, os.W_OK | os.X_OK),
)
_FILE: Final = (
    (ACCESS3_READ, os.R_OK),
    (ACCESS3_MODIFY | ACCESS3_EXTEND, os.W_OK),
    (ACCESS3_EXECUTE, os.X_OK),
)


def _table(rules: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Return the ACCESS bits for each of the eight sets of rights."""
    return tuple(
        sum(bits for bits, needed in rules if needed & rights == needed) for rights in range(8)
    )


_DIRECTORY_ACCESS: Final = _table(_DIRECTORY)
_FILE_ACCESS: Final = _table(_FILE)


def getattr(exports: Exports, caller: Caller, handle: bytes) -> bytes:
    """GETATTR, RFC 1813 section 3.3.1."""
    overlay, node, _ = exports.enter(caller, handle)
    return attributes_of(overlay, node)


def setattr(exports: Exports, caller: Caller, arguments: SETATTR3args) -> bytes:
    """SETATTR, RFC 1813 section 3.3.2."""
    overlay, node, cred = exports.enter(caller, arguments.object, write=True)
    guard = None if arguments.guard is None else nanoseconds_of(arguments.guard)
    changes = changes_of(arguments.new_attributes)
    change = overlay.setattr(node, cred, changes, guard)
    return wcc_of(change, overlay.fsid)


def access(exports: Exports, caller: Caller, arguments: ACCESS3args) -> ACCESS3resok:
    """ACCESS, RFC 1813 section 3.3.4.

    Deleting is the directory's affair, so a file never has ACCESS3_DELETE; and
    the answer is what the mode says, also to the owner, whom READ and WRITE
    let pass.
    """
    overlay, node, cred, may_write = exports.enter_with_rights(caller, arguments.object)
    allowed = 7 if may_write else 7 & ~os.W_OK
    table = _DIRECTORY_ACCESS if node.is_dir else _FILE_ACCESS
    granted = 0
    for rights in overlay.access(node, cred):
        granted |= table[rights & allowed]
    return ACCESS3resok(attributes_of(overlay, node), granted & arguments.access)


def fsstat(exports: Exports, caller: Caller, handle: bytes) -> FSSTAT3resok:
    """FSSTAT, RFC 1813 section 3.3.18."""
    overlay, node, _ = exports.enter(caller, handle)
    space = overlay.statvfs(node)
    return FSSTAT3resok(
        obj_attributes=attributes_of(overlay, node),
        tbytes=space.f_blocks * space.f_frsize,
        fbytes=space.f_bfree * space.f_frsize,
        abytes=space.f_bavail * space.f_frsize,
        tfiles=space.f_files,
        ffiles=space.f_ffree,
        afiles=space.f_favail,
        invarsec=0,
    )


def fsinfo(exports: Exports, caller: Caller, handle: bytes) -> FSINFO3resok:
    """FSINFO, RFC 1813 section 3.3.19."""
    overlay, node, _ = exports.enter(caller, handle)
    return FSINFO3resok(
        obj_attributes=attributes_of(overlay, node),
        rtmax=caller.transfer_max,
        rtpref=caller.transfer_max,
        rtmult=_TRANSFER_MULTIPLE,
        wtmax=caller.transfer_max,
        wtpref=caller.transfer_max,
        wtmult=_TRANSFER_MULTIPLE,
        dtpref=min(DIRECTORY_MAX, caller.transfer_max),
        maxfilesize=_FILE_MAX,
        time_delta=nfstime3(0, 1),
        properties=FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME,
    )


def pathconf(exports: Exports, caller: Caller, handle: bytes) -> PATHCONF3resok:
    """PATHCONF, RFC 1813 section 3.3.20."""
    overlay, node, _ = exports.enter(caller, handle)
    return PATHCONF3resok(
        obj_attributes=attributes_of(overlay, node),
        linkmax=_LINK_MAX,
        name_max=_NAME_MAX,
        no_trunc=True,
        chown_restricted=True,
        case_insensitive=False,
        case_preserving=True,
    )
