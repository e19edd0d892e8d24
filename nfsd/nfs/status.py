"""From an errno to the status a client is told: the one table for NFS, and its part for MOUNT."""

from __future__ import annotations

import errno
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from nfsd.xdr.generated.mount import (
    MNT3ERR_ACCES,
    MNT3ERR_INVAL,
    MNT3ERR_IO,
    MNT3ERR_NAMETOOLONG,
    MNT3ERR_NOENT,
    MNT3ERR_NOTDIR,
    MNT3ERR_NOTSUPP,
    MNT3ERR_PERM,
    MNT3ERR_SERVERFAULT,
    mountstat3,
)
from nfsd.xdr.generated.nfs3 import (
    NFS3ERR_ACCES,
    NFS3ERR_BADHANDLE,
    NFS3ERR_BADTYPE,
    NFS3ERR_DQUOT,
    NFS3ERR_EXIST,
    NFS3ERR_FBIG,
    NFS3ERR_INVAL,
    NFS3ERR_IO,
    NFS3ERR_ISDIR,
    NFS3ERR_JUKEBOX,
    NFS3ERR_MLINK,
    NFS3ERR_NAMETOOLONG,
    NFS3ERR_NODEV,
    NFS3ERR_NOENT,
    NFS3ERR_NOSPC,
    NFS3ERR_NOT_SYNC,
    NFS3ERR_NOTDIR,
    NFS3ERR_NOTEMPTY,
    NFS3ERR_NOTSUPP,
    NFS3ERR_NXIO,
    NFS3ERR_PERM,
    NFS3ERR_REMOTE,
    NFS3ERR_ROFS,
    NFS3ERR_STALE,
    NFS3ERR_TOOSMALL,
    NFS3ERR_XDEV,
    nfsstat3,
)

# RFC 1813 section 2.6.  The last group are errnos without a status of their own.
NFSSTAT3: Final[dict[int, nfsstat3]] = {
    errno.EPERM: NFS3ERR_PERM,
    errno.ENOENT: NFS3ERR_NOENT,
    errno.EIO: NFS3ERR_IO,
    errno.ENXIO: NFS3ERR_NXIO,
    errno.EACCES: NFS3ERR_ACCES,
    errno.EEXIST: NFS3ERR_EXIST,
    errno.EXDEV: NFS3ERR_XDEV,
    errno.ENODEV: NFS3ERR_NODEV,
    errno.ENOTDIR: NFS3ERR_NOTDIR,
    errno.EISDIR: NFS3ERR_ISDIR,
    errno.EINVAL: NFS3ERR_INVAL,
    errno.EFBIG: NFS3ERR_FBIG,
    errno.ENOSPC: NFS3ERR_NOSPC,
    errno.EROFS: NFS3ERR_ROFS,
    errno.EMLINK: NFS3ERR_MLINK,
    errno.ENAMETOOLONG: NFS3ERR_NAMETOOLONG,
    errno.ENOTEMPTY: NFS3ERR_NOTEMPTY,
    errno.EDQUOT: NFS3ERR_DQUOT,
    errno.ESTALE: NFS3ERR_STALE,
    errno.EREMOTE: NFS3ERR_REMOTE,
    errno.EBADF: NFS3ERR_BADHANDLE,
    errno.ECANCELED: NFS3ERR_NOT_SYNC,
    errno.EOPNOTSUPP: NFS3ERR_NOTSUPP,
    errno.EMSGSIZE: NFS3ERR_TOOSMALL,
    errno.EPROTOTYPE: NFS3ERR_BADTYPE,
    errno.EAGAIN: NFS3ERR_JUKEBOX,
    # Out of something that comes back: the client asks again, and the call then succeeds.
    errno.ENOMEM: NFS3ERR_JUKEBOX,
    errno.EMFILE: NFS3ERR_JUKEBOX,
    errno.ENFILE: NFS3ERR_JUKEBOX,
    errno.ENOLCK: NFS3ERR_JUKEBOX,
    errno.EINTR: NFS3ERR_JUKEBOX,
    errno.ETIMEDOUT: NFS3ERR_JUKEBOX,
    errno.ENOSYS: NFS3ERR_NOTSUPP,
    errno.EBUSY: NFS3ERR_ACCES,
    errno.ETXTBSY: NFS3ERR_ACCES,
    errno.EUSERS: NFS3ERR_ACCES,
    errno.ELOOP: NFS3ERR_INVAL,
    errno.EOVERFLOW: NFS3ERR_INVAL,
    errno.ENODATA: NFS3ERR_IO,
    errno.EUCLEAN: NFS3ERR_IO,
}

# RFC 1813 section 5.1.5; a path that is not there for any reason is NOENT.
MOUNTSTAT3: Final[dict[int, mountstat3]] = {
    errno.EPERM: MNT3ERR_PERM,
    errno.ENOENT: MNT3ERR_NOENT,
    errno.ESTALE: MNT3ERR_NOENT,
    errno.EIO: MNT3ERR_IO,
    errno.EACCES: MNT3ERR_ACCES,
    errno.EUSERS: MNT3ERR_ACCES,  # each client has an overlay of its own, and there are too many
    errno.EAGAIN: MNT3ERR_SERVERFAULT,
    errno.ENOTDIR: MNT3ERR_NOTDIR,
    errno.EINVAL: MNT3ERR_INVAL,
    errno.ELOOP: MNT3ERR_INVAL,  # symbolic links that lead to each other
    errno.ENAMETOOLONG: MNT3ERR_NAMETOOLONG,
    errno.EOPNOTSUPP: MNT3ERR_NOTSUPP,
}


def nfsstat3_of(error: OSError) -> nfsstat3:
    """Return the status for `error`.

    For an errno that is not in the table that is NFS3ERR_IO, and is logged once.
    """
    status = NFSSTAT3.get(error.errno or 0)
    if status is None:
        _log_unknown(error)
        return NFS3ERR_IO
    return status


def mountstat3_of(error: OSError) -> mountstat3:
    """Return the status for `error`; MNT3ERR_SERVERFAULT, logged once, for any other errno."""
    status = MOUNTSTAT3.get(error.errno or 0)
    if status is None:
        _log_unknown(error)
        return MNT3ERR_SERVERFAULT
    return status


def _log_unknown(error: OSError) -> None:
    if ONCE.first("errno", str(error.errno)):
        LOGGER.error("an error that has no status of its own: %s", error, exc_info=error)
