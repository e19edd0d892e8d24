"""NFS version 3 (RFC 1813): the table of its 22 procedures.

A handler takes the arguments and returns the `resok` of its reply, or raises
`OSError`.  What the reply says then is decided here, for all procedures alike:
the errno's status, and the `resfail` that the row's last column makes from the
handles in the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from nfsd.export.diagnostics import Diagnostics
from nfsd.export.exports import Exports
from nfsd.nfs import attributes as nfs3_attributes
from nfsd.nfs import io, names, readdir, retry
from nfsd.nfs.fattr import failed_wcc, post_op_attr_of
from nfsd.nfs.retry import Retry
from nfsd.nfs.status import nfsstat3_of
from nfsd.nfs.trace import described
from nfsd.rpc.program import Caller, Procedure, Program, always, nothing, null
from nfsd.xdr.codec import A, R, Signature
from nfsd.xdr.generated import nfs3 as xdr
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_JUKEBOX,
    NFS3ERR_NOENT,
    NFS3ERR_STALE,
    NFS_PROGRAM,
    NFS_V3,
    NFS_V3_SIGNATURES,
)

D = TypeVar("D")  # what a handler returns: the `resok`
Handler: TypeAlias = Callable[[Exports, Caller, A], D]
Handles: TypeAlias = tuple[bytes, ...]
Failure: TypeAlias = Callable[[Exports, Caller, Handles], object]


class Row(NamedTuple, Generic[A, D, R]):
    """A procedure: its handler, the type of its reply, and the body of a reply that fails.

    That is made of the handles in the arguments.  `syncs`: what these name is on disk before
    the reply is given, if the export is `sync`; WRITE and COMMIT say themselves what is stable.
    """

    signature: Signature[A, R]
    handler: Handler[A, D]
    result: Callable[[int, D], R]
    handles: Callable[[A], Handles]
    failure: Failure | None
    retry: Retry[A] | None = None
    moved: Callable[[R], int] = nothing
    is_cacheable: bool = False
    syncs: bool = False


def _handle(handle: bytes) -> Handles:
    """Return the arguments, where they are a handle."""
    return (handle,)


def _object(arguments: xdr.SETATTR3args | xdr.ACCESS3args) -> Handles:
    return (arguments.object,)


def _file(arguments: xdr.READ3args | xdr.WRITE3args | xdr.COMMIT3args) -> Handles:
    return (arguments.file,)


def _directory(
    arguments: xdr.diropargs3 | xdr.READDIR3args | xdr.READDIRPLUS3args,
) -> Handles:
    return (arguments.dir,)


def _where(
    arguments: xdr.CREATE3args | xdr.MKDIR3args | xdr.SYMLINK3args | xdr.MKNOD3args,
) -> Handles:
    return (arguments.where.dir,)


def _both(arguments: xdr.RENAME3args) -> Handles:
    return arguments.from_.dir, arguments.to.dir


def _linked(arguments: xdr.LINK3args) -> Handles:
    return arguments.file, arguments.link.dir


def of_first(exports: Exports, caller: Caller, handles: Handles) -> bytes | None:
    return post_op_attr_of(exports, caller, handles[0])


def _wcc(exports: Exports, caller: Caller, handles: Handles) -> xdr.wcc_data:
    return failed_wcc(exports, caller, handles[0])


def _of_rename(exports: Exports, caller: Caller, handles: Handles) -> xdr.RENAME3resfail:
    return xdr.RENAME3resfail(*(failed_wcc(exports, caller, handle) for handle in handles))


def _of_link(exports: Exports, caller: Caller, handles: Handles) -> xdr.LINK3resfail:
    attributes = post_op_attr_of(exports, caller, handles[0])
    return xdr.LINK3resfail(attributes, failed_wcc(exports, caller, handles[1]))


def _moved(result: xdr.READ3res | xdr.WRITE3res) -> int:
    """Return how many bytes of file contents went from or to the client."""
    return 0 if result.resok is None else result.resok.count


_status_of: Final[Callable[[Any], int]] = attrgetter("status")


def _is_final(status: int) -> bool:
    return status != NFS3ERR_JUKEBOX


def _is_cacheable(status: int) -> bool:
    """Return whether a reply says how things are, rather than that something went wrong."""
    return status in (NFS3_OK, NFS3ERR_NOENT)


def _packed_status(result: bytes) -> int:
    """Return the status that every result of NFSv3 begins with."""
    return int.from_bytes(result[:4], "big")


_V3: Final = NFS_V3_SIGNATURES
_ROWS: Final = (
    Row(_V3[1], nfs3_attributes.getattr, xdr.GETATTR3res, _handle, None, is_cacheable=True),
    Row(_V3[2], nfs3_attributes.setattr, xdr.SETATTR3res, _object, _wcc, retry.SETATTR, syncs=True),
    Row(_V3[3], names.lookup, xdr.LOOKUP3res, _directory, of_first, is_cacheable=True),
    Row(_V3[4], nfs3_attributes.access, xdr.ACCESS3res, _object, of_first, is_cacheable=True),
    Row(_V3[5], io.readlink, xdr.READLINK3res, _handle, of_first, is_cacheable=True),
    Row(_V3[6], io.read, xdr.READ3res, _file, of_first, moved=_moved),
    Row(_V3[7], io.write, xdr.WRITE3res, _file, _wcc, moved=_moved),
    Row(_V3[8], names.create, xdr.CREATE3res, _where, _wcc, retry.CREATE, syncs=True),
    Row(_V3[9], names.mkdir, xdr.MKDIR3res, _where, _wcc, retry.MKDIR, syncs=True),
    Row(_V3[10], names.symlink, xdr.SYMLINK3res, _where, _wcc, retry.SYMLINK, syncs=True),
    Row(_V3[11], names.mknod, xdr.MKNOD3res, _where, _wcc, retry.MKNOD, syncs=True),
    Row(_V3[12], names.remove, xdr.REMOVE3res, _directory, _wcc, retry.REMOVE, syncs=True),
    Row(_V3[13], names.rmdir, xdr.RMDIR3res, _directory, _wcc, retry.RMDIR, syncs=True),
    Row(_V3[14], names.rename, xdr.RENAME3res, _both, _of_rename, retry.RENAME, syncs=True),
    Row(_V3[15], names.link, xdr.LINK3res, _linked, _of_link, retry.LINK, syncs=True),
    Row(_V3[16], readdir.readdir, xdr.READDIR3res, _directory, of_first, is_cacheable=True),
    Row(_V3[17], readdir.readdirplus, xdr.READDIRPLUS3res, _directory, of_first, is_cacheable=True),
    Row(_V3[18], nfs3_attributes.fsstat, xdr.FSSTAT3res, _handle, of_first),
    Row(_V3[19], nfs3_attributes.fsinfo, xdr.FSINFO3res, _handle, of_first, is_cacheable=True),
    Row(_V3[20], nfs3_attributes.pathconf, xdr.PATHCONF3res, _handle, of_first, is_cacheable=True),
    Row(_V3[21], io.commit, xdr.COMMIT3res, _file, _wcc),
)


def program(exports: Exports, diagnostics: Diagnostics) -> Program:
    """NFSv3 on `exports`."""
    procedures = procedures_of(exports, diagnostics, _ROWS)
    return Program(NFS_PROGRAM, NFS_V3, (Procedure(_V3[0], null, always), *procedures))


def procedures_of(
    exports: Exports, diagnostics: Diagnostics, rows: Iterable[Row[Any, Any, Any]]
) -> tuple[Procedure[Any, Any], ...]:
    """Return the procedures of these rows."""
    return tuple(map(partial(_procedure, exports, diagnostics), rows))


def _procedure(exports: Exports, diagnostics: Diagnostics, row: Row[A, D, R]) -> Procedure[A, R]:
    repeat = None
    if row.retry is not None:
        handler = partial(_repeat, row.handler, row.retry)
        repeat = Answer(exports, diagnostics, row, handler)
    return Procedure(
        row.signature,
        Answer(exports, diagnostics, row, row.handler),
        _is_cacheable if row.is_cacheable else None,
        retry=repeat,
        is_final=_is_final,
        status=_status_of,
        packed_status=_packed_status,
        moved=row.moved,
        described=partial(described, diagnostics),
        export=partial(_export_number, exports, row.handles),
    )


def _export_number(exports: Exports, handles: Callable[[A], Handles], arguments: A) -> int:
    """Return the number of the export of a call's first handle (nfsd.rpc.export_stats)."""
    return exports.number(handles(arguments)[0])


def _repeat(
    handler: Handler[A, object],
    retry: Retry[A],
    exports: Exports,
    caller: Caller,
    arguments: A,
) -> object:
    """Return what a row's handler does for a call that may have been made before."""
    try:
        return handler(exports, caller, arguments)
    except OSError as problem:
        if problem.errno != retry.errno:
            raise
        return retry.done(exports, caller, arguments)


def _sync(exports: Exports, caller: Caller, handles: Handles) -> None:
    """Bring a change of these objects to stable storage, unless the export is `async`."""
    for handle in handles:
        overlay, _, options = exports.overlay_of(caller, handle)
        if options.sync:
            overlay.sync(handle)


class Answer(Generic[A, R]):
    """A handler of a row, bound to the exports; its reply is made of what it returns or raises."""

    __slots__ = (
        "_diagnostics",
        "_exports",
        "_failure",
        "_handler",
        "_handles",
        "_result",
        "_syncs",
    )

    def __init__(
        self,
        exports: Exports,
        diagnostics: Diagnostics,
        row: Row[A, D, R],
        handler: Handler[A, object],
    ) -> None:
        self._exports = exports
        self._diagnostics = diagnostics
        self._handler = handler
        self._result: Callable[..., R] = row.result
        self._handles = row.handles
        self._failure = row.failure
        self._syncs = exports.access.has_sync and row.syncs

    def __call__(self, caller: Caller, arguments: A) -> R:
        exports = self._exports
        try:
            done = self._handler(exports, caller, arguments)
            if self._syncs:
                _sync(exports, caller, self._handles(arguments))
            return self._result(NFS3_OK, done)
        except OSError as error:
            status = nfsstat3_of(error)
            if status is NFS3ERR_STALE:
                self._diagnostics.stale(caller, self._handles(arguments))
            if self._failure is None:
                return self._result(status)
            failure = self._failure(exports, caller, self._handles(arguments))
            return self._result(status, resfail=failure)
