"""NFSv3: the contents of files.

READLINK, READ, WRITE, COMMIT (RFC 1813 sections 3.3.5 to 3.3.7 and 3.3.21).
Data read goes into the reply, and data written comes out of the record, as the
buffer that it is in; much data that is in the page cache is not even read, but
sent from there (index.linux.page_cache).
"""

from __future__ import annotations

import errno
from typing import Final

from nfsd.export.exports import Exports
from nfsd.nfs.fattr import attributes_of, wcc_of
from nfsd.rpc.program import Caller
from nfsd.xdr.generated.nfs3 import (
    DATA_SYNC,
    FILE_SYNC,
    UNSTABLE,
    COMMIT3args,
    COMMIT3resok,
    READ3args,
    READ3resok,
    READLINK3resok,
    WRITE3args,
    WRITE3resok,
)
from overlay.base.errors import error
from overlay.model.contents import Stable

_STABLE: Final[dict[int, Stable]] = {
    UNSTABLE: Stable.UNSTABLE,
    DATA_SYNC: Stable.DATA_SYNC,
    FILE_SYNC: Stable.FILE_SYNC,
}


def readlink(exports: Exports, caller: Caller, handle: bytes) -> READLINK3resok:
    """READLINK, RFC 1813 section 3.3.5."""
    overlay, node, cred = exports.enter(caller, handle)
    target = overlay.readlink(node, cred)
    return READLINK3resok(attributes_of(overlay, node), target)


def read(exports: Exports, caller: Caller, arguments: READ3args) -> READ3resok:
    """READ, RFC 1813 section 3.3.6; of more than a transfer's bytes the first are read."""
    overlay, node, cred = exports.enter(caller, arguments.file)
    count = min(arguments.count, caller.transfer_max)
    data, eof = overlay.read(node, cred, arguments.offset, count)
    return READ3resok(attributes_of(overlay, node), len(data), eof, data)


def write(exports: Exports, caller: Caller, arguments: WRITE3args) -> WRITE3resok:
    """WRITE, RFC 1813 section 3.3.7."""
    count, stable, data = arguments.count, arguments.stable, arguments.data
    if count != len(data):
        raise error(errno.EINVAL)
    overlay, node, cred = exports.enter(caller, arguments.file, write=True)
    change = overlay.write(node, cred, arguments.offset, data, _STABLE[stable])
    return WRITE3resok(wcc_of(change, overlay.fsid), count, stable, overlay.write_verifier)


def commit(exports: Exports, caller: Caller, arguments: COMMIT3args) -> COMMIT3resok:
    """COMMIT, RFC 1813 section 3.3.21."""
    overlay, node, _ = exports.enter(caller, arguments.file, write=True)
    change = overlay.commit(node, arguments.offset, arguments.count)
    return COMMIT3resok(wcc_of(change, overlay.fsid), overlay.write_verifier)
