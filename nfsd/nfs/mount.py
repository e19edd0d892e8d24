"""MOUNT: from a path to the first file handle (RFC 1813 appendix I, RFC 1094 appendix A)."""

from __future__ import annotations

import errno
from typing import Final, TypeAlias

from nfsd.base.log import LOGGER, ONCE, brief, shown
from nfsd.export.exports import Exports
from nfsd.export.mount_path import components
from nfsd.nfs.mount_list import Mounts
from nfsd.nfs.status import mountstat3_of
from nfsd.rpc.program import Caller, Handler, Procedure, Program, null
from nfsd.xdr.codec import A, R, Signature
from nfsd.xdr.generated.mount import (
    MNT3_OK,
    MOUNT_PROGRAM,
    MOUNT_V1,
    MOUNT_V1_SIGNATURES,
    MOUNT_V3,
    MOUNT_V3_SIGNATURES,
    exportnode,
    fhstatus,
    mountbody,
    mountres3,
    mountres3_ok,
)
from nfsd.xdr.generated.rpc import AUTH_NONE, AUTH_SYS
from overlay.base.errors import error
from overlay.model.node import Node

# In the order of preference, which RFC 1813 section 5.2.1 asks for.
_AUTH_FLAVORS: Final = (int(AUTH_SYS), int(AUTH_NONE))
_Signatures: TypeAlias = tuple[
    Signature[None, None],
    Signature[bytes, R],
    Signature[None, list[mountbody]],
    Signature[bytes, None],
    Signature[None, None],
    Signature[None, list[exportnode]],
]
_ROOT_PORT: Final = 1  # any from which only a machine's root calls


class MountService:
    """The procedures of both versions, and the list of mounts that they share."""

    def __init__(self, exports: Exports, mounts: Mounts) -> None:
        self._exports = exports
        self._mounts = mounts

    def programs(self) -> tuple[Program, Program]:
        """MOUNT version 1 and version 3."""
        return (
            self._program(MOUNT_V1, MOUNT_V1_SIGNATURES, self._mnt1),
            self._program(MOUNT_V3, MOUNT_V3_SIGNATURES, self._mnt),
        )

    def _program(self, version: int, signatures: _Signatures[R], mnt: Handler[bytes, R]) -> Program:
        """Return one version: they differ in what MNT returns."""
        null_, mount, dump, umnt, umntall, export = signatures
        rows = (
            _row(null_, null),
            _row(mount, mnt),
            _row(dump, self._dump),
            _row(umnt, self._umnt),
            _row(umntall, self._umntall),
            _row(export, self._export),
        )
        return Program(MOUNT_PROGRAM, version, rows)

    def _mnt(self, caller: Caller, path: bytes) -> mountres3:
        """MNT, RFC 1813 section 5.2.1."""
        try:
            node = self._walk(caller, path)
        except OSError as problem:
            # Too many clients, EUSERS, is told with its cure already (nfsd.export.client_overlays).
            if problem.errno != errno.EUSERS and ONCE.first(
                "mount refused", caller.address, problem.errno
            ):
                why = problem.strerror
                LOGGER.warning("%s %s: mount refused: %s", caller.address, brief(path), why)
            return mountres3(mountstat3_of(problem))
        self._mounts.enter(_entry(caller, path))
        if ONCE.first("mounted", caller.address, path):
            LOGGER.info("%s %s: mounted", caller.address, brief(path))
        return mountres3(MNT3_OK, mountres3_ok(node.handle, _AUTH_FLAVORS))

    def _mnt1(self, caller: Caller, path: bytes) -> fhstatus:
        """MNT of version 1, RFC 1094 section A.5.2: its 32 bytes cannot hold a handle of NFSv3.

        The status is an errno; a path that is not exported is told apart.
        """
        try:
            self._walk(caller, path)
        except OSError as problem:
            return fhstatus(problem.errno or errno.EIO)
        return fhstatus(errno.EOPNOTSUPP)

    def _walk(self, caller: Caller, path: bytes) -> Node:
        """Return the directory at `path`."""
        node = self._exports.walk(caller, path)
        if not node.is_dir:
            raise error(errno.ENOTDIR)
        return node

    def _dump(self, caller: Caller, arguments: None) -> list[mountbody]:
        """DUMP, RFC 1813 section 5.2.2; to a machine that is let in nowhere there is none."""
        lets_in = self._exports.access.lets_in(caller.address, _ROOT_PORT)
        return self._mounts.all() if lets_in else []

    def _umnt(self, caller: Caller, path: bytes) -> None:
        """UMNT, RFC 1813 section 5.2.3."""
        self._mounts.remove(_entry(caller, path))
        if ONCE.first("unmounted", caller.address, path):
            LOGGER.info("%s %s: unmounted", caller.address, brief(path))

    def _umntall(self, caller: Caller, arguments: None) -> None:
        """UMNTALL, RFC 1813 section 5.2.4."""
        self._mounts.remove_all_of(caller.address.encode())

    def _export(self, caller: Caller, arguments: None) -> list[exportnode]:
        """EXPORT, RFC 1813 section 5.2.5; the groups are the patterns of clients."""
        return [
            exportnode(export.path, [pattern.text.encode() for pattern, _ in export.clients.rows])
            for export in self._exports.all
        ]


def _row(signature: Signature[A, R], handler: Handler[A, R]) -> Procedure[A, R]:
    return Procedure(signature, handler, status=_status, described=_described)


def _status(result: object) -> int:
    return result.fhs_status if isinstance(result, mountres3 | fhstatus) else 0


def _described(caller: Caller, arguments: object) -> str:
    return shown(arguments) if isinstance(arguments, bytes) else ""


def _entry(caller: Caller, path: bytes) -> mountbody:
    """Return one line of the list; the same path written in another way is the same mount."""
    return mountbody(caller.address.encode(), b"/" + b"/".join(components(path)))
