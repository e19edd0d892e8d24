"""XDR types of nfsacl.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

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



P_2I84s: Final = struct.Struct(">2I84s").pack
P_2I: Final = struct.Struct(">2I").pack
P_3I: Final = struct.Struct(">3I").pack
P_I: Final = struct.Struct(">I").pack
U_2I: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">2I").unpack_from
U_3I: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">3I").unpack_from
U_84s: Final[Callable[[Buffer, int], tuple[bytes]]] = struct.Struct(">84s").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from


NFSACL_FHSIZE: Final = 64
NFSACL_FATTR3: Final = 84
NFS_ACL_ENTRIES: Final = 1024
NFS_ACL: Final = 1
NFS_ACLCNT: Final = 2
NFS_DFACL: Final = 4
NFS_DFACLCNT: Final = 8
NFS_ACL_DEFAULT: Final = 4096
NFS_ACL_V3: Final = 3
NFS_ACL_PROGRAM: Final = 100227
ACLPROC3_NULL: Final = 0
ACLPROC3_GETACL: Final = 1
ACLPROC3_SETACL: Final = 2


acl_fh3: TypeAlias = "bytes"


acl_post_op_attr: TypeAlias = "bytes | None"


@final
@dataclass(slots=True, init=False)
class aclent:
    type: int
    id: int
    perm: int

    def __init__(self, type: int, id: int, perm: int) -> None:
        self.type = type
        self.id = id
        self.perm = perm


@final
@dataclass(slots=True, init=False)
class secattr:
    mask: int
    aclcnt: int
    aclent_list: list[aclent]
    dfaclcnt: int
    dfaclent_list: list[aclent]

    def __init__(self, mask: int, aclcnt: int, aclent_list: list[aclent], dfaclcnt: int, dfaclent_list: list[aclent]) -> None:
        self.mask = mask
        self.aclcnt = aclcnt
        self.aclent_list = aclent_list
        self.dfaclcnt = dfaclcnt
        self.dfaclent_list = dfaclent_list


@final
@dataclass(slots=True, init=False)
class GETACL3args:
    object: bytes
    mask: int

    def __init__(self, object: bytes, mask: int) -> None:
        self.object = object
        self.mask = mask


@final
@dataclass(slots=True, init=False)
class GETACL3resok:
    obj_attributes: bytes | None
    acl: secattr

    def __init__(self, obj_attributes: bytes | None, acl: secattr) -> None:
        self.obj_attributes = obj_attributes
        self.acl = acl


GETACL3resfail: TypeAlias = "bytes | None"


@final
@dataclass(slots=True, init=False)
class GETACL3res:
    status: int
    resok: GETACL3resok | None
    resfail: bytes | None

    def __init__(self, status: int, resok: GETACL3resok | None = None, resfail: bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class SETACL3args:
    object: bytes
    acl: secattr

    def __init__(self, object: bytes, acl: secattr) -> None:
        self.object = object
        self.acl = acl


SETACL3resok: TypeAlias = "bytes | None"


SETACL3resfail: TypeAlias = "bytes | None"


@final
@dataclass(slots=True, init=False)
class SETACL3res:
    status: int
    resok: bytes | None
    resfail: bytes | None

    def __init__(self, status: int, resok: bytes | None = None, resfail: bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


def pack_GETACL3args(value: GETACL3args, parts: Parts) -> None:
    object = value.object
    object_length = len(object)
    if object_length > 64:
        raise XdrError(f"object_length of {object_length} where 64 is the bound")
    parts.append(P_I(object_length))
    parts.append(object)
    if object_length & 3:
        parts.append(PADDING[object_length & 3])
    parts.append(P_I(value.mask))


def unpack_GETACL3args(buffer: Buffer, at: int) -> tuple[GETACL3args, int]:
    (object_length,) = U_I(buffer, at)
    at += 4
    if object_length > 64:
        raise XdrError(f"object length of {object_length}")
    object = taken(buffer, at, object_length)
    at += (object_length + 3) & -4
    (mask,) = U_I(buffer, at)
    at += 4
    return GETACL3args(object, mask), at


def pack_SETACL3args(value: SETACL3args, parts: Parts) -> None:
    object = value.object
    object_length = len(object)
    if object_length > 64:
        raise XdrError(f"object_length of {object_length} where 64 is the bound")
    parts.append(P_I(object_length))
    parts.append(object)
    if object_length & 3:
        parts.append(PADDING[object_length & 3])
    pack_secattr(value.acl, parts)


def unpack_SETACL3args(buffer: Buffer, at: int) -> tuple[SETACL3args, int]:
    (object_length,) = U_I(buffer, at)
    at += 4
    if object_length > 64:
        raise XdrError(f"object length of {object_length}")
    object = taken(buffer, at, object_length)
    at += (object_length + 3) & -4
    acl, at = unpack_secattr(buffer, at)
    return SETACL3args(object, acl), at


def pack_secattr(value: secattr, parts: Parts) -> None:
    aclent_list = value.aclent_list
    aclent_list_length = len(aclent_list)
    if aclent_list_length > 1024:
        raise XdrError(f"aclent_list_length of {aclent_list_length} where 1024 is the bound")
    parts.append(P_3I(value.mask, value.aclcnt, aclent_list_length))
    for aclent_list_each in aclent_list:
        parts.append(P_3I(aclent_list_each.type, aclent_list_each.id, aclent_list_each.perm))
    dfaclent_list = value.dfaclent_list
    dfaclent_list_length = len(dfaclent_list)
    if dfaclent_list_length > 1024:
        raise XdrError(f"dfaclent_list_length of {dfaclent_list_length} where 1024 is the bound")
    parts.append(P_2I(value.dfaclcnt, dfaclent_list_length))
    for dfaclent_list_each in dfaclent_list:
        parts.append(P_3I(dfaclent_list_each.type, dfaclent_list_each.id, dfaclent_list_each.perm))


def unpack_secattr(buffer: Buffer, at: int) -> tuple[secattr, int]:
    mask, aclcnt, aclent_list_length = U_3I(buffer, at)
    at += 12
    if aclent_list_length > 1024:
        raise XdrError(f"aclent_list length of {aclent_list_length}")
    aclent_list: list[aclent] = []
    for _ in range(aclent_list_length):
        (aclent_list_each_type, aclent_list_each_id, aclent_list_each_perm) = U_3I(buffer, at)
        at += 12
        aclent_list.append(aclent(aclent_list_each_type, aclent_list_each_id, aclent_list_each_perm))
    dfaclcnt, dfaclent_list_length = U_2I(buffer, at)
    at += 8
    if dfaclent_list_length > 1024:
        raise XdrError(f"dfaclent_list length of {dfaclent_list_length}")
    dfaclent_list: list[aclent] = []
    for _ in range(dfaclent_list_length):
        (
            dfaclent_list_each_type, dfaclent_list_each_id, dfaclent_list_each_perm,
        ) = U_3I(buffer, at)
        at += 12
        dfaclent_list.append(aclent(dfaclent_list_each_type, dfaclent_list_each_id, dfaclent_list_each_perm))
    return secattr(mask, aclcnt, aclent_list, dfaclcnt, dfaclent_list), at


def pack_GETACL3res(value: GETACL3res, parts: Parts) -> None:
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            parts.append(P_2I84s(0, 1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        pack_secattr(resok.acl, parts)
    else:
        resfail = value.resfail
        if resfail is not None:
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_GETACL3res(buffer: Buffer, at: int) -> tuple[GETACL3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_obj_attributes: bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            (value_resok_obj_attributes_value,) = U_84s(buffer, at)
            at += 84
            value_resok_obj_attributes = value_resok_obj_attributes_value
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        value_resok_acl, at = unpack_secattr(buffer, at)
        value = GETACL3res(value_status, resok=GETACL3resok(value_resok_obj_attributes, value_resok_acl))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
        at += 4
        value_resfail: bytes | None = None
        if value_resfail_follows == 1:
            (value_resfail_value,) = U_84s(buffer, at)
            at += 84
            value_resfail = value_resfail_value
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = GETACL3res(value_status, resfail=value_resfail)
    return value, at


def pack_SETACL3res(value: SETACL3res, parts: Parts) -> None:
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is not None:
            parts.append(P_2I84s(0, 1, resok))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
    else:
        resfail = value.resfail
        if resfail is not None:
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_SETACL3res(buffer: Buffer, at: int) -> tuple[SETACL3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status == 0:
        (value_resok_follows,) = U_I(buffer, at)
        at += 4
        value_resok: bytes | None = None
        if value_resok_follows == 1:
            (value_resok_value,) = U_84s(buffer, at)
            at += 84
            value_resok = value_resok_value
        elif value_resok_follows:
            raise XdrError(f"bool of {value_resok_follows}")
        value = SETACL3res(value_status, resok=value_resok)
    else:
        (value_resfail_follows,) = U_I(buffer, at)
        at += 4
        value_resfail: bytes | None = None
        if value_resfail_follows == 1:
            (value_resfail_value,) = U_84s(buffer, at)
            at += 84
            value_resfail = value_resfail_value
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = SETACL3res(value_status, resfail=value_resfail)
    return value, at


NFS_ACL_V3_SIGNATURES: Final = (
    Signature(0, "ACLPROC3_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "ACLPROC3_GETACL", pack_GETACL3args, unpack_GETACL3args, pack_GETACL3res, unpack_GETACL3res),
    Signature(2, "ACLPROC3_SETACL", pack_SETACL3args, unpack_SETACL3args, pack_SETACL3res, unpack_SETACL3res),
)
