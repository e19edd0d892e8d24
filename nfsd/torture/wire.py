"""RPC headers as a client has them: calls packed fast, replies taken apart.

All calls of one run carry the same credentials, so the header of a procedure is
packed once; a reply that is a plain success is known by its first bytes.
"""

from __future__ import annotations

import struct
from typing import Final

from nfsd.torture.calls import NO_STATUS, NUMBERS, Call, Reply
from nfsd.xdr.codec import Buffer, Parts, XdrError, encode
from nfsd.xdr.nfs3 import NFS3_OK, NFS_PROGRAM, NFS_V3, NFS_V3_SIGNATURES
from nfsd.xdr.rpc import (
    AUTH_NONE,
    AUTH_SYS,
    CALL,
    MSG_ACCEPTED,
    REPLY,
    RPC_VERSION,
    SUCCESS,
    accept_stat,
    authsys_parms,
    call_body,
    opaque_auth,
    pack_authsys_parms,
    pack_rpc_msg,
    rpc_msg,
    rpc_msg_body,
    unpack_rpc_msg,
)

_XID: Final = struct.Struct(">I")
_PLAIN: Final = struct.pack(">5I", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, SUCCESS)
_NO_AUTH: Final = opaque_auth(AUTH_NONE, b"")


class RefusedError(Exception):
    """RPC itself refused a call; the text says how."""


def credentials(uid: int, gid: int) -> opaque_auth:
    """AUTH_SYS credentials."""
    parms = authsys_parms(0, b"torture", uid, gid, ())
    return opaque_auth(AUTH_SYS, encode(pack_authsys_parms, parms))


def header(program: int, version: int, procedure: int, cred: opaque_auth) -> bytes:
    """A call's header without its xid."""
    body = call_body(RPC_VERSION, program, version, procedure, cred, _NO_AUTH)
    return encode(pack_rpc_msg, rpc_msg(0, rpc_msg_body(CALL, cbody=body)))[4:]


def results(record: Buffer) -> tuple[int, int]:
    """The xid of a reply, and where its results begin; raises RefusedError and XdrError."""
    if len(record) < 4:
        raise XdrError(f"a record of {len(record)} bytes")
    (xid,) = _XID.unpack_from(record)
    if bytes(record[4:24]) == _PLAIN:
        return xid, 24
    try:
        message, at = unpack_rpc_msg(record, 0)
    except struct.error as error:
        raise XdrError(f"truncated: {error}") from error
    reply = message.body.rbody
    if reply is None or reply.areply is None:
        raise RefusedError(f"RPC: the call is denied: {reply}")
    stat = reply.areply.reply_data.stat
    if stat != SUCCESS:
        raise RefusedError(f"RPC: {accept_stat(stat).name}")
    return xid, at


class Packer:
    """Packs NFSv3 calls and reads their replies."""

    def __init__(self, cred: opaque_auth) -> None:
        self._headers = [
            header(NFS_PROGRAM, NFS_V3, each.number, cred) for each in NFS_V3_SIGNATURES
        ]

    def pack(self, xid: int, call: Call) -> bytes:
        """The record of a call, without its mark."""
        number = NUMBERS[call.procedure]
        parts: Parts = [_XID.pack(xid), self._headers[number]]
        NFS_V3_SIGNATURES[number].pack_arguments(call.arguments, parts)
        return b"".join(parts)

    def unpack(self, record: Buffer, call: Call, resent: bool) -> Reply:
        """What a reply says; a reply that says nothing sensible is a reply with no status."""
        signature = NFS_V3_SIGNATURES[NUMBERS[call.procedure]]
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
