"""XDR types of rpc.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

A field of type fattr3 or wcc_data, and a linked list (each element with its leading
TRUE, without the closing FALSE), may also be given already packed, as bytes.
"""

# ruff: noqa: E501, F401, N801, N802, N803, N806, N815, N816, I001, RUF005, RUF022, RUF100, SIM108
# fmt: off

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias, final

from nfsd.xdr.codec import (
    PADDING,
    Buffer,
    Parts,
    Remembered,
    Signature,
    XdrError,
    encode,
    pack_void,
    taken,
    unpack_void,
)



P_2I: Final = struct.Struct(">2I").pack
P_3I: Final = struct.Struct(">3I").pack
P_5I: Final = struct.Struct(">5I").pack
P_6I: Final = struct.Struct(">6I").pack
P_8I: Final = struct.Struct(">8I").pack
P_I: Final = struct.Struct(">I").pack
U_2I: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">2I").unpack_from
U_3I: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">3I").unpack_from
U_6I: Final[Callable[[Buffer, int], tuple[int, int, int, int, int, int]]] = struct.Struct(">6I").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from


RPC_VERSION: Final = 2
MAX_AUTH_BYTES: Final = 400
AUTH_SYS_NAMELEN: Final = 255
AUTH_SYS_GROUPS: Final = 16


class auth_flavor(IntEnum):
    AUTH_NONE = 0
    AUTH_SYS = 1
    AUTH_SHORT = 2
    AUTH_DH = 3
    RPCSEC_GSS = 6


AUTH_NONE: Final = auth_flavor.AUTH_NONE
AUTH_SYS: Final = auth_flavor.AUTH_SYS
AUTH_SHORT: Final = auth_flavor.AUTH_SHORT
AUTH_DH: Final = auth_flavor.AUTH_DH
RPCSEC_GSS: Final = auth_flavor.RPCSEC_GSS
AUTH_FLAVOR_VALUES: Final = frozenset((0, 1, 2, 3, 6))


class msg_type(IntEnum):
    CALL = 0
    REPLY = 1


CALL: Final = msg_type.CALL
REPLY: Final = msg_type.REPLY
MSG_TYPE_VALUES: Final = frozenset((0, 1))


class reply_stat(IntEnum):
    MSG_ACCEPTED = 0
    MSG_DENIED = 1


MSG_ACCEPTED: Final = reply_stat.MSG_ACCEPTED
MSG_DENIED: Final = reply_stat.MSG_DENIED
REPLY_STAT_VALUES: Final = frozenset((0, 1))


class accept_stat(IntEnum):
    SUCCESS = 0
    PROG_UNAVAIL = 1
    PROG_MISMATCH = 2
    PROC_UNAVAIL = 3
    GARBAGE_ARGS = 4
    SYSTEM_ERR = 5


SUCCESS: Final = accept_stat.SUCCESS
PROG_UNAVAIL: Final = accept_stat.PROG_UNAVAIL
PROG_MISMATCH: Final = accept_stat.PROG_MISMATCH
PROC_UNAVAIL: Final = accept_stat.PROC_UNAVAIL
GARBAGE_ARGS: Final = accept_stat.GARBAGE_ARGS
SYSTEM_ERR: Final = accept_stat.SYSTEM_ERR
ACCEPT_STAT_VALUES: Final = frozenset((0, 1, 2, 3, 4, 5))


class reject_stat(IntEnum):
    RPC_MISMATCH = 0
    AUTH_ERROR = 1


RPC_MISMATCH: Final = reject_stat.RPC_MISMATCH
AUTH_ERROR: Final = reject_stat.AUTH_ERROR
REJECT_STAT_VALUES: Final = frozenset((0, 1))


class auth_stat(IntEnum):
    AUTH_OK = 0
    AUTH_BADCRED = 1
    AUTH_REJECTEDCRED = 2
    AUTH_BADVERF = 3
    AUTH_REJECTEDVERF = 4
    AUTH_TOOWEAK = 5
    AUTH_INVALIDRESP = 6
    AUTH_FAILED = 7


AUTH_OK: Final = auth_stat.AUTH_OK
AUTH_BADCRED: Final = auth_stat.AUTH_BADCRED
AUTH_REJECTEDCRED: Final = auth_stat.AUTH_REJECTEDCRED
AUTH_BADVERF: Final = auth_stat.AUTH_BADVERF
AUTH_REJECTEDVERF: Final = auth_stat.AUTH_REJECTEDVERF
AUTH_TOOWEAK: Final = auth_stat.AUTH_TOOWEAK
AUTH_INVALIDRESP: Final = auth_stat.AUTH_INVALIDRESP
AUTH_FAILED: Final = auth_stat.AUTH_FAILED
AUTH_STAT_VALUES: Final = frozenset((0, 1, 2, 3, 4, 5, 6, 7))


@final
@dataclass(slots=True, init=False)
class opaque_auth:
    flavor: int
    body: bytes

    def __init__(self, flavor: int, body: bytes) -> None:
        self.flavor = flavor
        self.body = body


@final
@dataclass(slots=True, init=False)
class call_body:
    rpcvers: int
    prog: int
    vers: int
    proc: int
    cred: opaque_auth
    verf: opaque_auth

    def __init__(self, rpcvers: int, prog: int, vers: int, proc: int, cred: opaque_auth, verf: opaque_auth) -> None:
        self.rpcvers = rpcvers
        self.prog = prog
        self.vers = vers
        self.proc = proc
        self.cred = cred
        self.verf = verf


@final
@dataclass(slots=True, init=False)
class mismatch_info:
    low: int
    high: int

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high


@final
@dataclass(slots=True, init=False)
class accepted_reply_data:
    stat: int
    versions: mismatch_info | None

    def __init__(self, stat: int, versions: mismatch_info | None = None) -> None:
        self.stat = stat
        self.versions = versions


@final
@dataclass(slots=True, init=False)
class accepted_reply:
    verf: opaque_auth
    reply_data: accepted_reply_data

    def __init__(self, verf: opaque_auth, reply_data: accepted_reply_data) -> None:
        self.verf = verf
        self.reply_data = reply_data


@final
@dataclass(slots=True, init=False)
class rejected_reply:
    stat: int
    versions: mismatch_info | None
    why: int | None

    def __init__(self, stat: int, versions: mismatch_info | None = None, why: int | None = None) -> None:
        self.stat = stat
        self.versions = versions
        self.why = why


@final
@dataclass(slots=True, init=False)
class reply_body:
    stat: int
    areply: accepted_reply | None
    rreply: rejected_reply | None

    def __init__(self, stat: int, areply: accepted_reply | None = None, rreply: rejected_reply | None = None) -> None:
        self.stat = stat
        self.areply = areply
        self.rreply = rreply


@final
@dataclass(slots=True, init=False)
class rpc_msg_body:
    mtype: int
    cbody: call_body | None
    rbody: reply_body | None

    def __init__(self, mtype: int, cbody: call_body | None = None, rbody: reply_body | None = None) -> None:
        self.mtype = mtype
        self.cbody = cbody
        self.rbody = rbody


@final
@dataclass(slots=True, init=False)
class rpc_msg:
    xid: int
    body: rpc_msg_body

    def __init__(self, xid: int, body: rpc_msg_body) -> None:
        self.xid = xid
        self.body = body


@final
@dataclass(slots=True, init=False)
class authsys_parms:
    stamp: int
    machinename: bytes
    uid: int
    gid: int
    gids: tuple[int, ...]

    def __init__(self, stamp: int, machinename: bytes, uid: int, gid: int, gids: tuple[int, ...]) -> None:
        self.stamp = stamp
        self.machinename = machinename
        self.uid = uid
        self.gid = gid
        self.gids = gids


def pack_rpc_msg(value: rpc_msg, parts: Parts) -> None:
    body_mtype = value.body.mtype
    if body_mtype == 0:
        body_cbody = value.body.cbody
        if body_cbody is None:
            raise XdrError("cbody is missing")
        body_cbody_cred_body = body_cbody.cred.body
        body_cbody_cred_body_length = len(body_cbody_cred_body)
        if body_cbody_cred_body_length > 400:
            raise XdrError(f"body_cbody_cred_body_length of {body_cbody_cred_body_length} where 400 is the bound")
        parts.append(P_8I(
            value.xid, 0, body_cbody.rpcvers, body_cbody.prog, body_cbody.vers, body_cbody.proc,
            body_cbody.cred.flavor, body_cbody_cred_body_length,
        ))
        parts.append(body_cbody_cred_body)
        if body_cbody_cred_body_length & 3:
            parts.append(PADDING[body_cbody_cred_body_length & 3])
        body_cbody_verf_body = body_cbody.verf.body
        body_cbody_verf_body_length = len(body_cbody_verf_body)
        if body_cbody_verf_body_length > 400:
            raise XdrError(f"body_cbody_verf_body_length of {body_cbody_verf_body_length} where 400 is the bound")
        parts.append(P_2I(body_cbody.verf.flavor, body_cbody_verf_body_length))
        parts.append(body_cbody_verf_body)
        if body_cbody_verf_body_length & 3:
            parts.append(PADDING[body_cbody_verf_body_length & 3])
    elif body_mtype == 1:
        body_rbody = value.body.rbody
        if body_rbody is None:
            raise XdrError("rbody is missing")
        body_rbody_stat = body_rbody.stat
        if body_rbody_stat == 0:
            body_rbody_areply = body_rbody.areply
            if body_rbody_areply is None:
                raise XdrError("areply is missing")
            body_rbody_areply_verf_body = body_rbody_areply.verf.body
            body_rbody_areply_verf_body_length = len(body_rbody_areply_verf_body)
            if body_rbody_areply_verf_body_length > 400:
                raise XdrError(f"body_rbody_areply_verf_body_length of {body_rbody_areply_verf_body_length} where 400 is the bound")
            parts.append(P_5I(
                value.xid, 1, 0, body_rbody_areply.verf.flavor,
                body_rbody_areply_verf_body_length,
            ))
            parts.append(body_rbody_areply_verf_body)
            if body_rbody_areply_verf_body_length & 3:
                parts.append(PADDING[body_rbody_areply_verf_body_length & 3])
            body_rbody_areply_reply_data_stat = body_rbody_areply.reply_data.stat
            if body_rbody_areply_reply_data_stat == 2:
                body_rbody_areply_reply_data_versions = body_rbody_areply.reply_data.versions
                if body_rbody_areply_reply_data_versions is None:
                    raise XdrError("versions is missing")
                parts.append(P_3I(
                    2, body_rbody_areply_reply_data_versions.low,
                    body_rbody_areply_reply_data_versions.high,
                ))
            else:
                parts.append(P_I(body_rbody_areply_reply_data_stat))
        elif body_rbody_stat == 1:
            body_rbody_rreply = body_rbody.rreply
            if body_rbody_rreply is None:
                raise XdrError("rreply is missing")
            body_rbody_rreply_stat = body_rbody_rreply.stat
            if body_rbody_rreply_stat == 0:
                body_rbody_rreply_versions = body_rbody_rreply.versions
                if body_rbody_rreply_versions is None:
                    raise XdrError("versions is missing")
                parts.append(P_6I(
                    value.xid, 1, 1, 0, body_rbody_rreply_versions.low,
                    body_rbody_rreply_versions.high,
                ))
            elif body_rbody_rreply_stat == 1:
                body_rbody_rreply_why = body_rbody_rreply.why
                if body_rbody_rreply_why is None:
                    raise XdrError("why is missing")
                parts.append(P_5I(value.xid, 1, 1, 1, body_rbody_rreply_why))
            else:
                raise XdrError(f"rejected_reply of {body_rbody_rreply_stat}")
        else:
            raise XdrError(f"reply_body of {body_rbody_stat}")
    else:
        raise XdrError(f"rpc_msg_body of {body_mtype}")


def unpack_rpc_msg(buffer: Buffer, at: int) -> tuple[rpc_msg, int]:
    xid, body_mtype = U_2I(buffer, at)
    at += 8
    if body_mtype == 0:
        (
            body_cbody_rpcvers, body_cbody_prog, body_cbody_vers, body_cbody_proc,
            body_cbody_cred_flavor, body_cbody_cred_body_length,
        ) = U_6I(buffer, at)
        at += 24
        if body_cbody_cred_body_length > 400:
            raise XdrError(f"body_cbody_cred_body length of {body_cbody_cred_body_length}")
        body_cbody_cred_body = taken(buffer, at, body_cbody_cred_body_length)
        at += (body_cbody_cred_body_length + 3) & -4
        body_cbody_verf_flavor, body_cbody_verf_body_length = U_2I(buffer, at)
        at += 8
        if body_cbody_verf_body_length > 400:
            raise XdrError(f"body_cbody_verf_body length of {body_cbody_verf_body_length}")
        body_cbody_verf_body = taken(buffer, at, body_cbody_verf_body_length)
        at += (body_cbody_verf_body_length + 3) & -4
        body = rpc_msg_body(body_mtype, cbody=call_body(body_cbody_rpcvers, body_cbody_prog, body_cbody_vers, body_cbody_proc, opaque_auth(body_cbody_cred_flavor, body_cbody_cred_body), opaque_auth(body_cbody_verf_flavor, body_cbody_verf_body)))
    elif body_mtype == 1:
        (body_rbody_stat,) = U_I(buffer, at)
        at += 4
        if body_rbody_stat == 0:
            (body_rbody_areply_verf_flavor, body_rbody_areply_verf_body_length) = U_2I(buffer, at)
            at += 8
            if body_rbody_areply_verf_body_length > 400:
                raise XdrError(f"body_rbody_areply_verf_body length of {body_rbody_areply_verf_body_length}")
            body_rbody_areply_verf_body = taken(buffer, at, body_rbody_areply_verf_body_length)
            at += (body_rbody_areply_verf_body_length + 3) & -4
            (body_rbody_areply_reply_data_stat,) = U_I(buffer, at)
            at += 4
            if body_rbody_areply_reply_data_stat not in ACCEPT_STAT_VALUES:
                raise XdrError(f"accept_stat of {body_rbody_areply_reply_data_stat}")
            if body_rbody_areply_reply_data_stat == 2:
                (
                    body_rbody_areply_reply_data_versions_low,
                    body_rbody_areply_reply_data_versions_high,
                ) = U_2I(buffer, at)
                at += 8
                body_rbody_areply_reply_data = accepted_reply_data(body_rbody_areply_reply_data_stat, versions=mismatch_info(body_rbody_areply_reply_data_versions_low, body_rbody_areply_reply_data_versions_high))
            else:
                body_rbody_areply_reply_data = accepted_reply_data(body_rbody_areply_reply_data_stat)
            body_rbody = reply_body(body_rbody_stat, areply=accepted_reply(opaque_auth(body_rbody_areply_verf_flavor, body_rbody_areply_verf_body), body_rbody_areply_reply_data))
        elif body_rbody_stat == 1:
            (body_rbody_rreply_stat,) = U_I(buffer, at)
            at += 4
            if body_rbody_rreply_stat == 0:
                (
                    body_rbody_rreply_versions_low, body_rbody_rreply_versions_high,
                ) = U_2I(buffer, at)
                at += 8
                body_rbody_rreply = rejected_reply(body_rbody_rreply_stat, versions=mismatch_info(body_rbody_rreply_versions_low, body_rbody_rreply_versions_high))
            elif body_rbody_rreply_stat == 1:
                (body_rbody_rreply_why,) = U_I(buffer, at)
                at += 4
                if body_rbody_rreply_why not in AUTH_STAT_VALUES:
                    raise XdrError(f"auth_stat of {body_rbody_rreply_why}")
                body_rbody_rreply = rejected_reply(body_rbody_rreply_stat, why=body_rbody_rreply_why)
            else:
                raise XdrError(f"rejected_reply of {body_rbody_rreply_stat}")
            body_rbody = reply_body(body_rbody_stat, rreply=body_rbody_rreply)
        else:
            raise XdrError(f"reply_body of {body_rbody_stat}")
        body = rpc_msg_body(body_mtype, rbody=body_rbody)
    else:
        raise XdrError(f"rpc_msg_body of {body_mtype}")
    return rpc_msg(xid, body), at


def pack_authsys_parms(value: authsys_parms, parts: Parts) -> None:
    machinename = value.machinename
    machinename_length = len(machinename)
    if machinename_length > 255:
        raise XdrError(f"machinename_length of {machinename_length} where 255 is the bound")
    parts.append(P_2I(value.stamp, machinename_length))
    parts.append(machinename)
    if machinename_length & 3:
        parts.append(PADDING[machinename_length & 3])
    gids = value.gids
    gids_length = len(gids)
    if gids_length > 16:
        raise XdrError(f"gids_length of {gids_length} where 16 is the bound")
    parts.append(P_3I(value.uid, value.gid, gids_length))
    parts.append(struct.pack(f">{gids_length}I", *gids))


def unpack_authsys_parms(buffer: Buffer, at: int) -> tuple[authsys_parms, int]:
    stamp, machinename_length = U_2I(buffer, at)
    at += 8
    if machinename_length > 255:
        raise XdrError(f"machinename length of {machinename_length}")
    machinename = taken(buffer, at, machinename_length)
    at += (machinename_length + 3) & -4
    uid, gid, gids_length = U_3I(buffer, at)
    at += 12
    if gids_length > 16:
        raise XdrError(f"gids length of {gids_length}")
    gids = struct.unpack_from(f">{gids_length}I", buffer, at)
    at += gids_length * 4
    return authsys_parms(stamp, machinename, uid, gid, gids), at
