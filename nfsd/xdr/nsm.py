"""XDR types of nsm.x, generated from it: `python -m nfsd.xdr.generate`.

A field of type fattr3 or wcc_data, and a linked list (each element with its leading
TRUE, without the closing FALSE), may also be given already packed, as bytes.
"""

# ruff: noqa: E501, F401, N801, N802, N803, N806, N815, N816, I001, RUF005, RUF022, RUF100, SIM108
# fmt: off

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from nfsd.xdr.codec import (
    PADDING,
    Buffer,
    Parts,
    Remembered,
    Signature,
    XdrError,
    encode,
    pack_void,
    unpack_void,
)



S_3i = struct.Struct(">3i")
S_3i16s = struct.Struct(">3i16s")
S_I = struct.Struct(">I")
S_Ii = struct.Struct(">Ii")
S_i = struct.Struct(">i")


SM_MAXSTRLEN: Final = 1024
SM_PRIV_SIZE: Final = 16
SM_VERS: Final = 1
SM_PROG: Final = 100024
SM_NULL: Final = 0
SM_STAT: Final = 1
SM_MON: Final = 2
SM_UNMON: Final = 3
SM_UNMON_ALL: Final = 4
SM_SIMU_CRASH: Final = 5
SM_NOTIFY: Final = 6


class sm_res(IntEnum):
    STAT_SUCC = 0
    STAT_FAIL = 1


STAT_SUCC: Final = sm_res.STAT_SUCC
STAT_FAIL: Final = sm_res.STAT_FAIL
SM_RES_VALUES: Final = frozenset((0, 1))


smname: TypeAlias = "bytes"


sm_name: TypeAlias = "bytes"


class my_id(NamedTuple):
    my_name: bytes
    my_prog: int
    my_vers: int
    my_proc: int


class mon_id(NamedTuple):
    mon_name: bytes
    my: my_id


class mon(NamedTuple):
    id: mon_id
    priv: bytes


sm_stat: TypeAlias = "int"


class sm_stat_res(NamedTuple):
    res_stat: int
    state: int


class stat_chge(NamedTuple):
    mon_name: bytes
    state: int


def pack_smname(value: smname, parts: Parts) -> None:
    put = parts.append
    value_length = len(value)
    if value_length > 1024:
        raise XdrError(f"value_length of {value_length} where 1024 is the bound")
    put(S_I.pack(value_length))
    put(value)
    if value_length & 3:
        put(PADDING[value_length & 3])


def unpack_smname(buffer: Buffer, at: int) -> tuple[smname, int]:
    (value_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_length > 1024:
        raise XdrError(f"value length of {value_length}")
    value = bytes(buffer[at : at + value_length])
    at += (value_length + 3) & -4
    return value, at


def pack_mon(value: mon, parts: Parts) -> None:
    put = parts.append
    id_mon_name = value.id.mon_name
    id_mon_name_length = len(id_mon_name)
    if id_mon_name_length > 1024:
        raise XdrError(f"id_mon_name_length of {id_mon_name_length} where 1024 is the bound")
    put(S_I.pack(id_mon_name_length))
    put(id_mon_name)
    if id_mon_name_length & 3:
        put(PADDING[id_mon_name_length & 3])
    id_my_my_name = value.id.my.my_name
    id_my_my_name_length = len(id_my_my_name)
    if id_my_my_name_length > 1024:
        raise XdrError(f"id_my_my_name_length of {id_my_my_name_length} where 1024 is the bound")
    put(S_I.pack(id_my_my_name_length))
    put(id_my_my_name)
    if id_my_my_name_length & 3:
        put(PADDING[id_my_my_name_length & 3])
    put(S_3i16s.pack(value.id.my.my_prog, value.id.my.my_vers, value.id.my.my_proc, value.priv))


def unpack_mon(buffer: Buffer, at: int) -> tuple[mon, int]:
    (id_mon_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if id_mon_name_length > 1024:
        raise XdrError(f"id_mon_name length of {id_mon_name_length}")
    id_mon_name = bytes(buffer[at : at + id_mon_name_length])
    at += (id_mon_name_length + 3) & -4
    (id_my_my_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if id_my_my_name_length > 1024:
        raise XdrError(f"id_my_my_name length of {id_my_my_name_length}")
    id_my_my_name = bytes(buffer[at : at + id_my_my_name_length])
    at += (id_my_my_name_length + 3) & -4
    id_my_my_prog, id_my_my_vers, id_my_my_proc, priv = S_3i16s.unpack_from(buffer, at)
    at += 28
    return mon(mon_id(id_mon_name, my_id(id_my_my_name, id_my_my_prog, id_my_my_vers, id_my_my_proc)), priv), at


def pack_int(value: int, parts: Parts) -> None:
    put = parts.append
    put(S_i.pack(value))


def unpack_int(buffer: Buffer, at: int) -> tuple[int, int]:
    (value,) = S_i.unpack_from(buffer, at)
    at += 4
    return value, at


def pack_sm_stat_res(value: sm_stat_res, parts: Parts) -> None:
    put = parts.append
    put(S_Ii.pack(value.res_stat, value.state))


def unpack_sm_stat_res(buffer: Buffer, at: int) -> tuple[sm_stat_res, int]:
    res_stat, state = S_Ii.unpack_from(buffer, at)
    at += 8
    if res_stat not in SM_RES_VALUES:
        raise XdrError(f"sm_res of {res_stat}")
    return sm_stat_res(res_stat, state), at


def pack_stat_chge(value: stat_chge, parts: Parts) -> None:
    put = parts.append
    mon_name = value.mon_name
    mon_name_length = len(mon_name)
    if mon_name_length > 1024:
        raise XdrError(f"mon_name_length of {mon_name_length} where 1024 is the bound")
    put(S_I.pack(mon_name_length))
    put(mon_name)
    if mon_name_length & 3:
        put(PADDING[mon_name_length & 3])
    put(S_i.pack(value.state))


def unpack_stat_chge(buffer: Buffer, at: int) -> tuple[stat_chge, int]:
    (mon_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if mon_name_length > 1024:
        raise XdrError(f"mon_name length of {mon_name_length}")
    mon_name = bytes(buffer[at : at + mon_name_length])
    at += (mon_name_length + 3) & -4
    (state,) = S_i.unpack_from(buffer, at)
    at += 4
    return stat_chge(mon_name, state), at


def pack_mon_id(value: mon_id, parts: Parts) -> None:
    put = parts.append
    mon_name = value.mon_name
    mon_name_length = len(mon_name)
    if mon_name_length > 1024:
        raise XdrError(f"mon_name_length of {mon_name_length} where 1024 is the bound")
    put(S_I.pack(mon_name_length))
    put(mon_name)
    if mon_name_length & 3:
        put(PADDING[mon_name_length & 3])
    my_my_name = value.my.my_name
    my_my_name_length = len(my_my_name)
    if my_my_name_length > 1024:
        raise XdrError(f"my_my_name_length of {my_my_name_length} where 1024 is the bound")
    put(S_I.pack(my_my_name_length))
    put(my_my_name)
    if my_my_name_length & 3:
        put(PADDING[my_my_name_length & 3])
    put(S_3i.pack(value.my.my_prog, value.my.my_vers, value.my.my_proc))


def unpack_mon_id(buffer: Buffer, at: int) -> tuple[mon_id, int]:
    (mon_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if mon_name_length > 1024:
        raise XdrError(f"mon_name length of {mon_name_length}")
    mon_name = bytes(buffer[at : at + mon_name_length])
    at += (mon_name_length + 3) & -4
    (my_my_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if my_my_name_length > 1024:
        raise XdrError(f"my_my_name length of {my_my_name_length}")
    my_my_name = bytes(buffer[at : at + my_my_name_length])
    at += (my_my_name_length + 3) & -4
    my_my_prog, my_my_vers, my_my_proc = S_3i.unpack_from(buffer, at)
    at += 12
    return mon_id(mon_name, my_id(my_my_name, my_my_prog, my_my_vers, my_my_proc)), at


def pack_my_id(value: my_id, parts: Parts) -> None:
    put = parts.append
    my_name = value.my_name
    my_name_length = len(my_name)
    if my_name_length > 1024:
        raise XdrError(f"my_name_length of {my_name_length} where 1024 is the bound")
    put(S_I.pack(my_name_length))
    put(my_name)
    if my_name_length & 3:
        put(PADDING[my_name_length & 3])
    put(S_3i.pack(value.my_prog, value.my_vers, value.my_proc))


def unpack_my_id(buffer: Buffer, at: int) -> tuple[my_id, int]:
    (my_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if my_name_length > 1024:
        raise XdrError(f"my_name length of {my_name_length}")
    my_name = bytes(buffer[at : at + my_name_length])
    at += (my_name_length + 3) & -4
    my_prog, my_vers, my_proc = S_3i.unpack_from(buffer, at)
    at += 12
    return my_id(my_name, my_prog, my_vers, my_proc), at


SM_VERS_SIGNATURES: Final = (
    Signature(0, "SM_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "SM_STAT", pack_smname, unpack_smname, pack_sm_stat_res, unpack_sm_stat_res),
    Signature(2, "SM_MON", pack_mon, unpack_mon, pack_sm_stat_res, unpack_sm_stat_res),
    Signature(3, "SM_UNMON", pack_mon_id, unpack_mon_id, pack_int, unpack_int),
    Signature(4, "SM_UNMON_ALL", pack_my_id, unpack_my_id, pack_int, unpack_int),
    Signature(5, "SM_SIMU_CRASH", pack_void, unpack_void, pack_void, unpack_void),
    Signature(6, "SM_NOTIFY", pack_stat_chge, unpack_stat_chge, pack_void, unpack_void),
)
