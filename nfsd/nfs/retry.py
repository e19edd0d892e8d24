"""NFSv3: calls that come again after the server died, perhaps in the middle of them.

Each is made again as if it were new.  If that fails in the one way in which it
must fail after it was done (REMOVE finds no such name, MKDIR finds the name
taken, by a directory), then it was done, and the client is told so.  A SETATTR
whose guard does not hold any more may be half done, and is done whole.  The caller
knows that the call had been begun (nfsd.rpc.duplicate_cache); without that, such an error is
an error.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from typing import Final, Generic, NamedTuple

from nfsd.export.exports import Exports
from nfsd.nfs import attributes as nfs3_attributes
from nfsd.nfs.fattr import failed_wcc, known_attributes
from nfsd.rpc.program import Caller
from nfsd.xdr.codec import A
from nfsd.xdr.generated.nfs3 import (
    CREATE3args,
    CREATE3resok,
    LINK3args,
    LINK3resok,
    MKDIR3args,
    MKDIR3resok,
    MKNOD3args,
    MKNOD3resok,
    RENAME3args,
    RENAME3resok,
    SETATTR3args,
    SYMLINK3args,
    SYMLINK3resok,
    diropargs3,
    wcc_data,
)
from overlay.base.errors import error


class Retry(NamedTuple, Generic[A]):
    """The errno that a call's own success explains, and the `resok` it then gets."""

    errno: int
    done: Callable[[Exports, Caller, A], object]


def _setattr(exports: Exports, caller: Caller, arguments: SETATTR3args) -> bytes:
    """Set what may be set already: the guard held, or the ctime would not be another now.

    It may be another because of a part of the work alone, so all of it is done.
    """
    unguarded = SETATTR3args(arguments.object, arguments.new_attributes, None)
    return nfs3_attributes.setattr(exports, caller, unguarded)


def _gone(exports: Exports, caller: Caller, what: diropargs3) -> wcc_data:
    return failed_wcc(exports, caller, what.dir)


def _made(
    exports: Exports, caller: Caller, where: diropargs3, type_: int | None
) -> tuple[bytes, bytes | None, wcc_data]:
    """Return what the reply to a call that made an object says.

    Raises EEXIST for another object.
    """
    overlay, directory, cred = exports.enter(caller, where.dir)
    node = overlay.lookup(directory, where.name, cred)
    if type_ is not None and node.type != type_:
        raise error(errno.EEXIST)
    return node.handle, known_attributes(overlay, node), failed_wcc(exports, caller, where.dir)


def _create(exports: Exports, caller: Caller, arguments: CREATE3args) -> CREATE3resok:
    return CREATE3resok(*_made(exports, caller, arguments.where, stat.S_IFREG))


def _mkdir(exports: Exports, caller: Caller, arguments: MKDIR3args) -> MKDIR3resok:
    return MKDIR3resok(*_made(exports, caller, arguments.where, stat.S_IFDIR))


def _symlink(exports: Exports, caller: Caller, arguments: SYMLINK3args) -> SYMLINK3resok:
    return SYMLINK3resok(*_made(exports, caller, arguments.where, stat.S_IFLNK))


def _mknod(exports: Exports, caller: Caller, arguments: MKNOD3args) -> MKNOD3resok:
    return MKNOD3resok(*_made(exports, caller, arguments.where, None))


def _rename(exports: Exports, caller: Caller, arguments: RENAME3args) -> RENAME3resok:
    old, new = arguments.from_, arguments.to
    overlay, directory, cred = exports.enter(caller, new.dir)
    overlay.lookup(directory, new.name, cred)
    return RENAME3resok(failed_wcc(exports, caller, old.dir), failed_wcc(exports, caller, new.dir))


def _link(exports: Exports, caller: Caller, arguments: LINK3args) -> LINK3resok:
    made, attributes, wcc = _made(exports, caller, arguments.link, None)
    if made != arguments.file:
        raise error(errno.EEXIST)
    return LINK3resok(attributes, wcc)


SETATTR: Final = Retry(errno.ECANCELED, _setattr)
CREATE: Final = Retry(errno.EEXIST, _create)
MKDIR: Final = Retry(errno.EEXIST, _mkdir)
SYMLINK: Final = Retry(errno.EEXIST, _symlink)
MKNOD: Final = Retry(errno.EEXIST, _mknod)
REMOVE: Final = Retry(errno.ENOENT, _gone)
RMDIR: Final = Retry(errno.ENOENT, _gone)
RENAME: Final = Retry(errno.ENOENT, _rename)
LINK: Final = Retry(errno.EEXIST, _link)
