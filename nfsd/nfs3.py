"""NFS version 3 (RFC 1813): the table of its 22 procedures.

A handler takes the arguments and returns the `resok` of its reply, or raises
`OSError`.  What the reply says then is decided here, for all procedures alike:
the errno's status, and the `resfail` that the row's last column makes from the
handles in the arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from nfsd import nfs3_again, nfs3_attributes, nfs3_data, nfs3_directory, nfs3_names
from nfsd.attributes import failed_wcc, post_op_attr_of
from nfsd.exports import Exports
from nfsd.nfs3_again import Again
from nfsd.program import Caller, Effect, Procedure, Program, nothing, null
from nfsd.status import nfsstat3_of
from nfsd.trace import described
from nfsd.xdr import nfs3 as xdr
from nfsd.xdr.nfs3 import (
    NFS3_OK,
    NFS3ERR_JUKEBOX,
    NFS3ERR_NOENT,
    NFS3ERR_STALE,
    NFS_PROGRAM,
    NFS_V3,
    NFS_V3_SIGNATURES,
)

Handler: TypeAlias = Callable[[Exports, Caller, Any], Any]
Handles: TypeAlias = tuple[bytes, ...]
Failure: TypeAlias = Callable[[Exports, Caller, Handles], Any]


class Row(NamedTuple):
    """A handler, the type of its reply, what it does, and the body of a reply that fails.

    That is made of the handles in the arguments, which also are what a change that
    is not idempotent changes.
    """

    handler: Handler
    result: Callable[..., Any]
    effect: Effect
    handles: Callable[[Any], Handles]
    failure: Failure | None
    again: Again | None = None
    moved: Callable[[Any], int] = nothing


def _handle(handle: bytes) -> Handles:
    """The arguments, where they are a handle."""
    return (handle,)


def of_object(arguments: Any) -> Handles:  # noqa: ANN401 - of several procedures
    return (arguments.object,)


def _file(arguments: Any) -> Handles:  # noqa: ANN401 - of several procedures
    return (arguments.file,)


def _directory(arguments: Any) -> Handles:  # noqa: ANN401 - of several procedures
    return (arguments.dir,)


def _where(arguments: Any) -> Handles:  # noqa: ANN401 - of several procedures
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


def _moved(result: Any) -> int:  # noqa: ANN401 - of READ or WRITE
    """Bytes of file contents that went from or to the client."""
    count: int = 0 if result.resok is None else result.resok.count
    return count


status_of: Final[Callable[[Any], int]] = attrgetter("status")


def _is_final(result: Any) -> bool:  # noqa: ANN401 - the row's own type
    return bool(result.status != NFS3ERR_JUKEBOX)


def _is_lasting(result: Any) -> bool:  # noqa: ANN401 - the row's own type
    """Whether a reply says how things are, rather than that something went wrong."""
    return result.status in (NFS3_OK, NFS3ERR_NOENT)


_READS: Final = Effect.NONE
_LASTS: Final = Effect.LASTS
_WRITES: Final = Effect.MUTATES
_ONCE: Final = Effect.MUTATES | Effect.REPLAY_CACHED

# In the order of the procedures' numbers, from GETATTR on.
_ROWS: Final = (
    Row(nfs3_attributes.getattr, xdr.GETATTR3res, _LASTS, _handle, None),
    Row(nfs3_attributes.setattr, xdr.SETATTR3res, _ONCE, of_object, _wcc, nfs3_again.SETATTR),
    Row(nfs3_names.lookup, xdr.LOOKUP3res, _LASTS, _directory, of_first),
    Row(nfs3_attributes.access, xdr.ACCESS3res, _LASTS, of_object, of_first),
    Row(nfs3_data.readlink, xdr.READLINK3res, _LASTS, _handle, of_first),
    Row(nfs3_data.read, xdr.READ3res, _READS, _file, of_first, moved=_moved),
    Row(nfs3_data.write, xdr.WRITE3res, _WRITES, _file, _wcc, moved=_moved),
    Row(nfs3_names.create, xdr.CREATE3res, _ONCE, _where, _wcc, nfs3_again.CREATE),
    Row(nfs3_names.mkdir, xdr.MKDIR3res, _ONCE, _where, _wcc, nfs3_again.MKDIR),
    Row(nfs3_names.symlink, xdr.SYMLINK3res, _ONCE, _where, _wcc, nfs3_again.SYMLINK),
    Row(nfs3_names.mknod, xdr.MKNOD3res, _ONCE, _where, _wcc, nfs3_again.MKNOD),
    Row(nfs3_names.remove, xdr.REMOVE3res, _ONCE, _directory, _wcc, nfs3_again.REMOVE),
    Row(nfs3_names.rmdir, xdr.RMDIR3res, _ONCE, _directory, _wcc, nfs3_again.RMDIR),
    Row(nfs3_names.rename, xdr.RENAME3res, _ONCE, _both, _of_rename, nfs3_again.RENAME),
    Row(nfs3_names.link, xdr.LINK3res, _ONCE, _linked, _of_link, nfs3_again.LINK),
    Row(nfs3_directory.readdir, xdr.READDIR3res, _LASTS, _directory, of_first),
    Row(nfs3_directory.readdirplus, xdr.READDIRPLUS3res, _LASTS, _directory, of_first),
    Row(nfs3_attributes.fsstat, xdr.FSSTAT3res, _READS, _handle, of_first),
    Row(nfs3_attributes.fsinfo, xdr.FSINFO3res, _LASTS, _handle, of_first),
    Row(nfs3_attributes.pathconf, xdr.PATHCONF3res, _LASTS, _handle, of_first),
    Row(nfs3_data.commit, xdr.COMMIT3res, _WRITES, _file, _wcc),
)


def program(exports: Exports) -> Program:
    """NFSv3 on `exports`."""
    procedures = [Procedure.of(NFS_V3_SIGNATURES[0], null, Effect.LASTS)]
    for signature, row in zip(NFS_V3_SIGNATURES[1:], _ROWS, strict=True):
        run = Answer(exports, row, row.handler)
        again = None
        if row.again is not None:
            again = Answer(exports, row, partial(_repeat, row.handler, row.again))
        procedures.append(
            Procedure.of(
                signature,
                run,
                row.effect,
                again=again,
                is_final=_is_final,
                is_lasting=_is_lasting,
                status=status_of,
                moved=row.moved,
                described=partial(described, exports),
            )
        )
    return Program(NFS_PROGRAM, NFS_V3, tuple(procedures))


def _repeat(
    handler: Handler,
    again: Again,
    exports: Exports,
    caller: Caller,
    arguments: Any,  # noqa: ANN401 - the row's
) -> Any:  # noqa: ANN401
    """What a row's handler does for a call that may have been made before."""
    try:
        return handler(exports, caller, arguments)
    except OSError as problem:
        if problem.errno != again.errno:
            raise
        return again.done(exports, caller, arguments)


class Answer:
    """A handler of a row, bound to the exports; its reply is made of what it returns or raises."""

    __slots__ = ("_exports", "_failure", "_handler", "_handles", "_result", "_settles")

    def __init__(self, exports: Exports, row: Row, handler: Handler) -> None:
        self._exports = exports
        self._handler = handler
        self._result = row.result
        self._handles = row.handles
        self._failure = row.failure
        # WRITE and COMMIT say themselves what is stable.
        self._settles = exports.has_sync and row.effect is _ONCE

    def __call__(self, caller: Caller, arguments: Any) -> Any:  # noqa: ANN401 - the row's own types
        exports = self._exports
        try:
            done = self._handler(exports, caller, arguments)
            if self._settles:
                exports.settle(caller, self._handles(arguments))
            return self._result(NFS3_OK, done)
        except OSError as error:
            status = nfsstat3_of(error)
            if status is NFS3ERR_STALE:
                exports.stale(caller, self._handles(arguments))
            if self._failure is None:
                return self._result(status)
            failure = self._failure(exports, caller, self._handles(arguments))
            return self._result(status, resfail=failure)
