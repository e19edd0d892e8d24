"""XDR types of nsm.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

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



P_3i16s: Final = struct.Struct(">3i16s").pack
P_3i: Final = struct.Struct(">3i").pack
P_I: Final = struct.Struct(">I").pack
P_Ii: Final = struct.Struct(">Ii").pack
P_i: Final = struct.Struct(">i").pack
U_3i16s: Final[Callable[[Buffer, int], tuple[int, int, int, bytes]]] = struct.Struct(">3i16s").unpack_from
U_3i: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">3i").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from
U_Ii: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">Ii").unpack_from
U_i: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">i").unpack_from


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


@final
@dataclass(slots=True, init=False)
class my_id:
    my_name: bytes
    my_prog: int
    my_vers: int
    my_proc: int

    def __init__(self, my_name: bytes, my_prog: int, my_vers: int, my_proc: int) -> None:
        self.my_name = my_name
        self.my_prog = my_prog
        self.my_vers = my_vers
        self.my_proc = my_proc


@final
@dataclass(slots=True, init=False)
class mon_id:
    mon_name: bytes
    my: my_id

    def __init__(self, mon_name: bytes, my: my_id) -> None:
        self.mon_name = mon_name
        self.my = my


@final
@dataclass(slots=True, init=False)
class mon:
    id: mon_id
    priv: bytes

    def __init__(self, id: mon_id, priv: bytes) -> None:
        self.id = id
        self.priv = priv


sm_stat: TypeAlias = "int"


@final
@dataclass(slots=True, init=False)
class sm_stat_res:
    res_stat: int
    state: int

    def __init__(self, res_stat: int, state: int) -> None:
        self.res_stat = res_stat
        self.state = state


@final
@dataclass(slots=True, init=False)
class stat_chge:
    mon_name: bytes
    state: int

    def __init__(self, mon_name: bytes, state: int) -> None:
        self.mon_name = mon_name
        self.state = state


def pack_smname(value: smname, parts: Parts) -> None:
    value_length = len(value)
    if value_length > 1024:
        raise XdrError(f"value_length of {value_length} where 1024 is the bound")
    parts.append(P_I(value_length))
    parts.append(value)
    if value_length & 3:
        parts.append(PADDING[value_length & 3])


def unpack_smname(buffer: Buffer, at: int) -> tuple[smname, int]:
    (value_length,) = U_I(buffer, at)
    at += 4
    if value_length > 1024:
        raise XdrError(f"value length of {value_length}")
    value = taken(buffer, at, value_length)
    at += (value_length + 3) & -4
    return value, at


def pack_mon(value: mon, parts: Parts) -> None:
    id_mon_name = value.id.mon_name
    id_mon_name_length = len(id_mon_name)
    if id_mon_name_length > 1024:
        raise XdrError(f"id_mon_name_length of {id_mon_name_length} where 1024 is the bound")
    parts.append(P_I(id_mon_name_length))
    parts.append(id_mon_name)
    if id_mon_name_length & 3:
        parts.append(PADDING[id_mon_name_length & 3])
    id_my_my_name = value.id.my.my_name
    id_my_my_name_length = len(id_my_my_name)
    if id_my_my_name_length > 1024:
        raise XdrError(f"id_my_my_name_length of {id_my_my_name_length} where 1024 is the bound")
    parts.append(P_I(id_my_my_name_length))
    parts.append(id_my_my_name)
    if id_my_my_name_length & 3:
        parts.append(PADDING[id_my_my_name_length & 3])
    parts.append(P_3i16s(
        value.id.my.my_prog, value.id.my.my_vers, value.id.my.my_proc, value.priv,
    ))


def unpack_mon(buffer: Buffer, at: int) -> tuple[mon, int]:
    (id_mon_name_length,) = U_I(buffer, at)
    at += 4
    if id_mon_name_length > 1024:
        raise XdrError(f"id_mon_name length of {id_mon_name_length}")
    id_mon_name = taken(buffer, at, id_mon_name_length)
    at += (id_mon_name_length + 3) & -4
    (id_my_my_name_length,) = U_I(buffer, at)
    at += 4
    if id_my_my_name_length > 1024:
        raise XdrError(f"id_my_my_name length of {id_my_my_name_length}")
    id_my_my_name = taken(buffer, at, id_my_my_name_length)
    at += (id_my_my_name_length + 3) & -4
    id_my_my_prog, id_my_my_vers, id_my_my_proc, priv = U_3i16s(buffer, at)
    at += 28
    return mon(mon_id(id_mon_name, my_id(id_my_my_name, id_my_my_prog, id_my_my_vers, id_my_my_proc)), priv), at


def pack_int(value: int, parts: Parts) -> None:
    parts.append(P_i(value))


def unpack_int(buffer: Buffer, at: int) -> tuple[int, int]:
    (value,) = U_i(buffer, at)
    at += 4
    return value, at


def pack_sm_stat_res(value: sm_stat_res, parts: Parts) -> None:
    parts.append(P_Ii(value.res_stat, value.state))


def unpack_sm_stat_res(buffer: Buffer, at: int) -> tuple[sm_stat_res, int]:
    res_stat, state = U_Ii(buffer, at)
    at += 8
    if res_stat not in SM_RES_VALUES:
        raise XdrError(f"sm_res of {res_stat}")
    return sm_stat_res(res_stat, state), at


def pack_stat_chge(value: stat_chge, parts: Parts) -> None:
    mon_name = value.mon_name
    mon_name_length = len(mon_name)
    if mon_name_length > 1024:
        raise XdrError(f"mon_name_length of {mon_name_length} where 1024 is the bound")
    parts.append(P_I(mon_name_length))
    parts.append(mon_name)
    if mon_name_length & 3:
        parts.append(PADDING[mon_name_length & 3])
    parts.append(P_i(value.state))


def unpack_stat_chge(buffer: Buffer, at: int) -> tuple[stat_chge, int]:
    (mon_name_length,) = U_I(buffer, at)
    at += 4
    if mon_name_length > 1024:
        raise XdrError(f"mon_name length of {mon_name_length}")
    mon_name = taken(buffer, at, mon_name_length)
    at += (mon_name_length + 3) & -4
    (state,) = U_i(buffer, at)
    at += 4
    return stat_chge(mon_name, state), at


def pack_mon_id(value: mon_id, parts: Parts) -> None:
    mon_name = value.mon_name
    mon_name_length = len(mon_name)
    if mon_name_length > 1024:
        raise XdrError(f"mon_name_length of {mon_name_length} where 1024 is the bound")
    parts.append(P_I(mon_name_length))
    parts.append(mon_name)
    if mon_name_length & 3:
        parts.append(PADDING[mon_name_length & 3])
    my_my_name = value.my.my_name
    my_my_name_length = len(my_my_name)
    if my_my_name_length > 1024:
        raise XdrError(f"my_my_name_length of {my_my_name_length} where 1024 is the bound")
    parts.append(P_I(my_my_name_length))
    parts.append(my_my_name)
    if my_my_name_length & 3:
        parts.append(PADDING[my_my_name_length & 3])
    parts.append(P_3i(value.my.my_prog, value.my.my_vers, value.my.my_proc))


def unpack_mon_id(buffer: Buffer, at: int) -> tuple[mon_id, int]:
    (mon_name_length,) = U_I(buffer, at)
    at += 4
    if mon_name_length > 1024:
        raise XdrError(f"mon_name length of {mon_name_length}")
    mon_name = taken(buffer, at, mon_name_length)
    at += (mon_name_length + 3) & -4
    (my_my_name_length,) = U_I(buffer, at)
    at += 4
    if my_my_name_length > 1024:
        raise XdrError(f"my_my_name length of {my_my_name_length}")
    my_my_name = taken(buffer, at, my_my_name_length)
    at += (my_my_name_length + 3) & -4
    my_my_prog, my_my_vers, my_my_proc = U_3i(buffer, at)
    at += 12
    return mon_id(mon_name, my_id(my_my_name, my_my_prog, my_my_vers, my_my_proc)), at


def pack_my_id(value: my_id, parts: Parts) -> None:
    my_name = value.my_name
    my_name_length = len(my_name)
    if my_name_length > 1024:
        raise XdrError(f"my_name_length of {my_name_length} where 1024 is the bound")
    parts.append(P_I(my_name_length))
    parts.append(my_name)
    if my_name_length & 3:
        parts.append(PADDING[my_name_length & 3])
    parts.append(P_3i(value.my_prog, value.my_vers, value.my_proc))


def unpack_my_id(buffer: Buffer, at: int) -> tuple[my_id, int]:
    (my_name_length,) = U_I(buffer, at)
    at += 4
    if my_name_length > 1024:
        raise XdrError(f"my_name length of {my_name_length}")
    my_name = taken(buffer, at, my_name_length)
    at += (my_name_length + 3) & -4
    my_prog, my_vers, my_proc = U_3i(buffer, at)
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
