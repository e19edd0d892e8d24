"""RPC headers as a client has them: calls packed fast, replies taken apart.

All calls of one run carry the same credentials, so the header of a procedure is
packed once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from nfsd.rpc.client import RefusedError, header, results
from nfsd.torture.calls import NO_STATUS, NUMBERS, Call, Reply
from nfsd.xdr.codec import Buffer, Parts, Signature, XdrError, encode
from nfsd.xdr.generated.nfs3 import NFS3_OK, NFS_PROGRAM, NFS_V3, NFS_V3_SIGNATURES
from nfsd.xdr.generated.rpc import AUTH_SYS, authsys_parms, opaque_auth, pack_authsys_parms

_XID: Final = struct.Struct(">I")
_SIGNATURES: Final[Sequence[Signature[Any, Any]]] = NFS_V3_SIGNATURES


def credentials(uid: int, gid: int) -> opaque_auth:
    """AUTH_SYS credentials."""
    parms = authsys_parms(0, b"torture", uid, gid, ())
    return opaque_auth(AUTH_SYS, encode(pack_authsys_parms, parms))


class Packer:
    """Packs NFSv3 calls and reads their replies."""

    def __init__(self, cred: opaque_auth) -> None:
        self._headers = [
            header(NFS_PROGRAM, NFS_V3, each.number, cred) for each in NFS_V3_SIGNATURES
        ]

    def pack(self, xid: int, call: Call) -> bytes:
        """Return the record of a call, without its mark."""
        number = NUMBERS[call.procedure]
        parts: Parts = [_XID.pack(xid), self._headers[number]]
        _SIGNATURES[number].pack_arguments(call.arguments, parts)
        return b"".join(parts)

    def unpack(self, record: Buffer, call: Call, resent: bool) -> Reply:
        """Return what a reply says.

        A reply that says nothing sensible is a reply with no status.
        """
        signature = _SIGNATURES[NUMBERS[call.procedure]]
        try:
            _, at = results(record)
            value, end = signature.unpack_results(record, at)
            # Bytes too many are no clients' concern, some servers send them; too few are.
            if end > len(record):
                raise XdrError("truncated")
        except (RefusedError, XdrError, struct.error) as error:
            return Reply(NO_STATUS, None, resent, f"{call.procedure}: {error}")
        status = int(value.status)
        return Reply(status, value.resok if status == NFS3_OK else None, resent)
