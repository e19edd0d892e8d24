"""XDR types of nlm4.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

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
P_2IiI: Final = struct.Struct(">2IiI").pack
P_2Q: Final = struct.Struct(">2Q").pack
P_3I: Final = struct.Struct(">3I").pack
P_I: Final = struct.Struct(">I").pack
P_Ii: Final = struct.Struct(">Ii").pack
P_i2Q: Final = struct.Struct(">i2Q").pack
P_i2QIi: Final = struct.Struct(">i2QIi").pack
P_i: Final = struct.Struct(">i").pack
U_2I: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">2I").unpack_from
U_2Q: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">2Q").unpack_from
U_3I: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">3I").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from
U_Ii: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">Ii").unpack_from
U_IiI: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">IiI").unpack_from
U_i2Q: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">i2Q").unpack_from
U_i2QIi: Final[Callable[[Buffer, int], tuple[int, int, int, int, int]]] = struct.Struct(">i2QIi").unpack_from
U_i: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">i").unpack_from


LM_MAXSTRLEN: Final = 1024
MAXNETOBJ_SZ: Final = 1024
NLM4_V4: Final = 4
NLM4_PROGRAM: Final = 100021
NLMPROC4_NULL: Final = 0
NLMPROC4_TEST: Final = 1
NLMPROC4_LOCK: Final = 2
NLMPROC4_CANCEL: Final = 3
NLMPROC4_UNLOCK: Final = 4
NLMPROC4_GRANTED: Final = 5
NLMPROC4_TEST_MSG: Final = 6
NLMPROC4_LOCK_MSG: Final = 7
NLMPROC4_CANCEL_MSG: Final = 8
NLMPROC4_UNLOCK_MSG: Final = 9
NLMPROC4_GRANTED_MSG: Final = 10
NLMPROC4_TEST_RES: Final = 11
NLMPROC4_LOCK_RES: Final = 12
NLMPROC4_CANCEL_RES: Final = 13
NLMPROC4_UNLOCK_RES: Final = 14
NLMPROC4_GRANTED_RES: Final = 15
NLMPROC4_SHARE: Final = 20
NLMPROC4_UNSHARE: Final = 21
NLMPROC4_NM_LOCK: Final = 22
NLMPROC4_FREE_ALL: Final = 23


class nlm4_stats(IntEnum):
    NLM4_GRANTED = 0
    NLM4_DENIED = 1
    NLM4_DENIED_NOLOCKS = 2
    NLM4_BLOCKED = 3
    NLM4_DENIED_GRACE_PERIOD = 4
    NLM4_DEADLCK = 5
    NLM4_ROFS = 6
    NLM4_STALE_FH = 7
    NLM4_FBIG = 8
    NLM4_FAILED = 9


NLM4_GRANTED: Final = nlm4_stats.NLM4_GRANTED
NLM4_DENIED: Final = nlm4_stats.NLM4_DENIED
NLM4_DENIED_NOLOCKS: Final = nlm4_stats.NLM4_DENIED_NOLOCKS
NLM4_BLOCKED: Final = nlm4_stats.NLM4_BLOCKED
NLM4_DENIED_GRACE_PERIOD: Final = nlm4_stats.NLM4_DENIED_GRACE_PERIOD
NLM4_DEADLCK: Final = nlm4_stats.NLM4_DEADLCK
NLM4_ROFS: Final = nlm4_stats.NLM4_ROFS
NLM4_STALE_FH: Final = nlm4_stats.NLM4_STALE_FH
NLM4_FBIG: Final = nlm4_stats.NLM4_FBIG
NLM4_FAILED: Final = nlm4_stats.NLM4_FAILED
NLM4_STATS_VALUES: Final = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 8, 9))


class fsh4_mode(IntEnum):
    FSM_DN = 0
    FSM_DR = 1
    FSM_DW = 2
    FSM_DRW = 3


FSM_DN: Final = fsh4_mode.FSM_DN
FSM_DR: Final = fsh4_mode.FSM_DR
FSM_DW: Final = fsh4_mode.FSM_DW
FSM_DRW: Final = fsh4_mode.FSM_DRW
FSH4_MODE_VALUES: Final = frozenset((0, 1, 2, 3))


class fsh4_access(IntEnum):
    FSA_NONE = 0
    FSA_R = 1
    FSA_W = 2
    FSA_RW = 3


FSA_NONE: Final = fsh4_access.FSA_NONE
FSA_R: Final = fsh4_access.FSA_R
FSA_W: Final = fsh4_access.FSA_W
FSA_RW: Final = fsh4_access.FSA_RW
FSH4_ACCESS_VALUES: Final = frozenset((0, 1, 2, 3))


netobj: TypeAlias = "bytes"


lmname: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class nlm4_holder:
    exclusive: bool
    svid: int
    oh: bytes
    l_offset: int
    l_len: int

    def __init__(self, exclusive: bool, svid: int, oh: bytes, l_offset: int, l_len: int) -> None:
        self.exclusive = exclusive
        self.svid = svid
        self.oh = oh
        self.l_offset = l_offset
        self.l_len = l_len


@final
@dataclass(slots=True, init=False)
class nlm4_lock:
    caller_name: bytes
    fh: bytes
    oh: bytes
    svid: int
    l_offset: int
    l_len: int

    def __init__(self, caller_name: bytes, fh: bytes, oh: bytes, svid: int, l_offset: int, l_len: int) -> None:
        self.caller_name = caller_name
        self.fh = fh
        self.oh = oh
        self.svid = svid
        self.l_offset = l_offset
        self.l_len = l_len


@final
@dataclass(slots=True, init=False)
class nlm4_share:
    caller_name: bytes
    fh: bytes
    oh: bytes
    mode: int
    access: int

    def __init__(self, caller_name: bytes, fh: bytes, oh: bytes, mode: int, access: int) -> None:
        self.caller_name = caller_name
        self.fh = fh
        self.oh = oh
        self.mode = mode
        self.access = access


@final
@dataclass(slots=True, init=False)
class nlm4_res:
    cookie: bytes
    stat: int

    def __init__(self, cookie: bytes, stat: int) -> None:
        self.cookie = cookie
        self.stat = stat


@final
@dataclass(slots=True, init=False)
class nlm4_testrply:
    stat: int
    holder: nlm4_holder | None

    def __init__(self, stat: int, holder: nlm4_holder | None = None) -> None:
        self.stat = stat
        self.holder = holder


@final
@dataclass(slots=True, init=False)
class nlm4_testres:
    cookie: bytes
    test_stat: nlm4_testrply

    def __init__(self, cookie: bytes, test_stat: nlm4_testrply) -> None:
        self.cookie = cookie
        self.test_stat = test_stat


@final
@dataclass(slots=True, init=False)
class nlm4_lockargs:
    cookie: bytes
    block: bool
    exclusive: bool
    alock: nlm4_lock
    reclaim: bool
    state: int

    def __init__(self, cookie: bytes, block: bool, exclusive: bool, alock: nlm4_lock, reclaim: bool, state: int) -> None:
        self.cookie = cookie
        self.block = block
        self.exclusive = exclusive
        self.alock = alock
        self.reclaim = reclaim
        self.state = state


@final
@dataclass(slots=True, init=False)
class nlm4_cancargs:
    cookie: bytes
    block: bool
    exclusive: bool
    alock: nlm4_lock

    def __init__(self, cookie: bytes, block: bool, exclusive: bool, alock: nlm4_lock) -> None:
        self.cookie = cookie
        self.block = block
        self.exclusive = exclusive
        self.alock = alock


@final
@dataclass(slots=True, init=False)
class nlm4_testargs:
    cookie: bytes
    exclusive: bool
    alock: nlm4_lock

    def __init__(self, cookie: bytes, exclusive: bool, alock: nlm4_lock) -> None:
        self.cookie = cookie
        self.exclusive = exclusive
        self.alock = alock


@final
@dataclass(slots=True, init=False)
class nlm4_unlockargs:
    cookie: bytes
    alock: nlm4_lock

    def __init__(self, cookie: bytes, alock: nlm4_lock) -> None:
        self.cookie = cookie
        self.alock = alock


@final
@dataclass(slots=True, init=False)
class nlm4_shareargs:
    cookie: bytes
    share: nlm4_share
    reclaim: bool

    def __init__(self, cookie: bytes, share: nlm4_share, reclaim: bool) -> None:
        self.cookie = cookie
        self.share = share
        self.reclaim = reclaim


@final
@dataclass(slots=True, init=False)
class nlm4_shareres:
    cookie: bytes
    stat: int
    sequence: int

    def __init__(self, cookie: bytes, stat: int, sequence: int) -> None:
        self.cookie = cookie
        self.stat = stat
        self.sequence = sequence


@final
@dataclass(slots=True, init=False)
class nlm4_notify:
    name: bytes
    state: int

    def __init__(self, name: bytes, state: int) -> None:
        self.name = name
        self.state = state


def pack_nlm4_res(value: nlm4_res, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    parts.append(P_I(value.stat))


def unpack_nlm4_res(buffer: Buffer, at: int) -> tuple[nlm4_res, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    (stat,) = U_I(buffer, at)
    at += 4
    if stat not in NLM4_STATS_VALUES:
        raise XdrError(f"nlm4_stats of {stat}")
    return nlm4_res(cookie, stat), at


def pack_nlm4_testres(value: nlm4_testres, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    test_stat_stat = value.test_stat.stat
    if test_stat_stat == 1:
        test_stat_holder = value.test_stat.holder
        if test_stat_holder is None:
            raise XdrError("holder is missing")
        test_stat_holder_oh = test_stat_holder.oh
        test_stat_holder_oh_length = len(test_stat_holder_oh)
        if test_stat_holder_oh_length > 1024:
            raise XdrError(f"test_stat_holder_oh_length of {test_stat_holder_oh_length} where 1024 is the bound")
        parts.append(P_2IiI(
            1, test_stat_holder.exclusive, test_stat_holder.svid, test_stat_holder_oh_length,
        ))
        parts.append(test_stat_holder_oh)
        if test_stat_holder_oh_length & 3:
            parts.append(PADDING[test_stat_holder_oh_length & 3])
        parts.append(P_2Q(test_stat_holder.l_offset, test_stat_holder.l_len))
    else:
        parts.append(P_I(test_stat_stat))


def unpack_nlm4_testres(buffer: Buffer, at: int) -> tuple[nlm4_testres, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    (test_stat_stat,) = U_I(buffer, at)
    at += 4
    if test_stat_stat not in NLM4_STATS_VALUES:
        raise XdrError(f"nlm4_stats of {test_stat_stat}")
    if test_stat_stat == 1:
        (
            test_stat_holder_exclusive, test_stat_holder_svid, test_stat_holder_oh_length,
        ) = U_IiI(buffer, at)
        at += 12
        if test_stat_holder_exclusive > 1:
            raise XdrError(f"bool of {test_stat_holder_exclusive}")
        if test_stat_holder_oh_length > 1024:
            raise XdrError(f"test_stat_holder_oh length of {test_stat_holder_oh_length}")
        test_stat_holder_oh = taken(buffer, at, test_stat_holder_oh_length)
        at += (test_stat_holder_oh_length + 3) & -4
        test_stat_holder_l_offset, test_stat_holder_l_len = U_2Q(buffer, at)
        at += 16
        test_stat = nlm4_testrply(test_stat_stat, holder=nlm4_holder(test_stat_holder_exclusive == 1, test_stat_holder_svid, test_stat_holder_oh, test_stat_holder_l_offset, test_stat_holder_l_len))
    else:
        test_stat = nlm4_testrply(test_stat_stat)
    return nlm4_testres(cookie, test_stat), at


def pack_nlm4_lockargs(value: nlm4_lockargs, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    alock_caller_name = value.alock.caller_name
    alock_caller_name_length = len(alock_caller_name)
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name_length of {alock_caller_name_length} where 1024 is the bound")
    parts.append(P_3I(value.block, value.exclusive, alock_caller_name_length))
    parts.append(alock_caller_name)
    if alock_caller_name_length & 3:
        parts.append(PADDING[alock_caller_name_length & 3])
    alock_fh = value.alock.fh
    alock_fh_length = len(alock_fh)
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh_length of {alock_fh_length} where 1024 is the bound")
    parts.append(P_I(alock_fh_length))
    parts.append(alock_fh)
    if alock_fh_length & 3:
        parts.append(PADDING[alock_fh_length & 3])
    alock_oh = value.alock.oh
    alock_oh_length = len(alock_oh)
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh_length of {alock_oh_length} where 1024 is the bound")
    parts.append(P_I(alock_oh_length))
    parts.append(alock_oh)
    if alock_oh_length & 3:
        parts.append(PADDING[alock_oh_length & 3])
    parts.append(P_i2QIi(
        value.alock.svid, value.alock.l_offset, value.alock.l_len, value.reclaim, value.state,
    ))


def unpack_nlm4_lockargs(buffer: Buffer, at: int) -> tuple[nlm4_lockargs, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    block, exclusive, alock_caller_name_length = U_3I(buffer, at)
    at += 12
    if block > 1:
        raise XdrError(f"bool of {block}")
    if exclusive > 1:
        raise XdrError(f"bool of {exclusive}")
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name length of {alock_caller_name_length}")
    alock_caller_name = taken(buffer, at, alock_caller_name_length)
    at += (alock_caller_name_length + 3) & -4
    (alock_fh_length,) = U_I(buffer, at)
    at += 4
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh length of {alock_fh_length}")
    alock_fh = taken(buffer, at, alock_fh_length)
    at += (alock_fh_length + 3) & -4
    (alock_oh_length,) = U_I(buffer, at)
    at += 4
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh length of {alock_oh_length}")
    alock_oh = taken(buffer, at, alock_oh_length)
    at += (alock_oh_length + 3) & -4
    alock_svid, alock_l_offset, alock_l_len, reclaim, state = U_i2QIi(buffer, at)
    at += 28
    if reclaim > 1:
        raise XdrError(f"bool of {reclaim}")
    return nlm4_lockargs(cookie, block == 1, exclusive == 1, nlm4_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len), reclaim == 1, state), at


def pack_nlm4_cancargs(value: nlm4_cancargs, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    alock_caller_name = value.alock.caller_name
    alock_caller_name_length = len(alock_caller_name)
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name_length of {alock_caller_name_length} where 1024 is the bound")
    parts.append(P_3I(value.block, value.exclusive, alock_caller_name_length))
    parts.append(alock_caller_name)
    if alock_caller_name_length & 3:
        parts.append(PADDING[alock_caller_name_length & 3])
    alock_fh = value.alock.fh
    alock_fh_length = len(alock_fh)
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh_length of {alock_fh_length} where 1024 is the bound")
    parts.append(P_I(alock_fh_length))
    parts.append(alock_fh)
    if alock_fh_length & 3:
        parts.append(PADDING[alock_fh_length & 3])
    alock_oh = value.alock.oh
    alock_oh_length = len(alock_oh)
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh_length of {alock_oh_length} where 1024 is the bound")
    parts.append(P_I(alock_oh_length))
    parts.append(alock_oh)
    if alock_oh_length & 3:
        parts.append(PADDING[alock_oh_length & 3])
    parts.append(P_i2Q(value.alock.svid, value.alock.l_offset, value.alock.l_len))


def unpack_nlm4_cancargs(buffer: Buffer, at: int) -> tuple[nlm4_cancargs, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    block, exclusive, alock_caller_name_length = U_3I(buffer, at)
    at += 12
    if block > 1:
        raise XdrError(f"bool of {block}")
    if exclusive > 1:
        raise XdrError(f"bool of {exclusive}")
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name length of {alock_caller_name_length}")
    alock_caller_name = taken(buffer, at, alock_caller_name_length)
    at += (alock_caller_name_length + 3) & -4
    (alock_fh_length,) = U_I(buffer, at)
    at += 4
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh length of {alock_fh_length}")
    alock_fh = taken(buffer, at, alock_fh_length)
    at += (alock_fh_length + 3) & -4
    (alock_oh_length,) = U_I(buffer, at)
    at += 4
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh length of {alock_oh_length}")
    alock_oh = taken(buffer, at, alock_oh_length)
    at += (alock_oh_length + 3) & -4
    alock_svid, alock_l_offset, alock_l_len = U_i2Q(buffer, at)
    at += 20
    return nlm4_cancargs(cookie, block == 1, exclusive == 1, nlm4_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len)), at


def pack_nlm4_testargs(value: nlm4_testargs, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    alock_caller_name = value.alock.caller_name
    alock_caller_name_length = len(alock_caller_name)
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name_length of {alock_caller_name_length} where 1024 is the bound")
    parts.append(P_2I(value.exclusive, alock_caller_name_length))
    parts.append(alock_caller_name)
    if alock_caller_name_length & 3:
        parts.append(PADDING[alock_caller_name_length & 3])
    alock_fh = value.alock.fh
    alock_fh_length = len(alock_fh)
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh_length of {alock_fh_length} where 1024 is the bound")
    parts.append(P_I(alock_fh_length))
    parts.append(alock_fh)
    if alock_fh_length & 3:
        parts.append(PADDING[alock_fh_length & 3])
    alock_oh = value.alock.oh
    alock_oh_length = len(alock_oh)
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh_length of {alock_oh_length} where 1024 is the bound")
    parts.append(P_I(alock_oh_length))
    parts.append(alock_oh)
    if alock_oh_length & 3:
        parts.append(PADDING[alock_oh_length & 3])
    parts.append(P_i2Q(value.alock.svid, value.alock.l_offset, value.alock.l_len))


def unpack_nlm4_testargs(buffer: Buffer, at: int) -> tuple[nlm4_testargs, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    exclusive, alock_caller_name_length = U_2I(buffer, at)
    at += 8
    if exclusive > 1:
        raise XdrError(f"bool of {exclusive}")
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name length of {alock_caller_name_length}")
    alock_caller_name = taken(buffer, at, alock_caller_name_length)
    at += (alock_caller_name_length + 3) & -4
    (alock_fh_length,) = U_I(buffer, at)
    at += 4
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh length of {alock_fh_length}")
    alock_fh = taken(buffer, at, alock_fh_length)
    at += (alock_fh_length + 3) & -4
    (alock_oh_length,) = U_I(buffer, at)
    at += 4
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh length of {alock_oh_length}")
    alock_oh = taken(buffer, at, alock_oh_length)
    at += (alock_oh_length + 3) & -4
    alock_svid, alock_l_offset, alock_l_len = U_i2Q(buffer, at)
    at += 20
    return nlm4_testargs(cookie, exclusive == 1, nlm4_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len)), at


def pack_nlm4_unlockargs(value: nlm4_unlockargs, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    alock_caller_name = value.alock.caller_name
    alock_caller_name_length = len(alock_caller_name)
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name_length of {alock_caller_name_length} where 1024 is the bound")
    parts.append(P_I(alock_caller_name_length))
    parts.append(alock_caller_name)
    if alock_caller_name_length & 3:
        parts.append(PADDING[alock_caller_name_length & 3])
    alock_fh = value.alock.fh
    alock_fh_length = len(alock_fh)
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh_length of {alock_fh_length} where 1024 is the bound")
    parts.append(P_I(alock_fh_length))
    parts.append(alock_fh)
    if alock_fh_length & 3:
        parts.append(PADDING[alock_fh_length & 3])
    alock_oh = value.alock.oh
    alock_oh_length = len(alock_oh)
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh_length of {alock_oh_length} where 1024 is the bound")
    parts.append(P_I(alock_oh_length))
    parts.append(alock_oh)
    if alock_oh_length & 3:
        parts.append(PADDING[alock_oh_length & 3])
    parts.append(P_i2Q(value.alock.svid, value.alock.l_offset, value.alock.l_len))


def unpack_nlm4_unlockargs(buffer: Buffer, at: int) -> tuple[nlm4_unlockargs, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    (alock_caller_name_length,) = U_I(buffer, at)
    at += 4
    if alock_caller_name_length > 1024:
        raise XdrError(f"alock_caller_name length of {alock_caller_name_length}")
    alock_caller_name = taken(buffer, at, alock_caller_name_length)
    at += (alock_caller_name_length + 3) & -4
    (alock_fh_length,) = U_I(buffer, at)
    at += 4
    if alock_fh_length > 1024:
        raise XdrError(f"alock_fh length of {alock_fh_length}")
    alock_fh = taken(buffer, at, alock_fh_length)
    at += (alock_fh_length + 3) & -4
    (alock_oh_length,) = U_I(buffer, at)
    at += 4
    if alock_oh_length > 1024:
        raise XdrError(f"alock_oh length of {alock_oh_length}")
    alock_oh = taken(buffer, at, alock_oh_length)
    at += (alock_oh_length + 3) & -4
    alock_svid, alock_l_offset, alock_l_len = U_i2Q(buffer, at)
    at += 20
    return nlm4_unlockargs(cookie, nlm4_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len)), at


def pack_nlm4_shareargs(value: nlm4_shareargs, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    share_caller_name = value.share.caller_name
    share_caller_name_length = len(share_caller_name)
    if share_caller_name_length > 1024:
        raise XdrError(f"share_caller_name_length of {share_caller_name_length} where 1024 is the bound")
    parts.append(P_I(share_caller_name_length))
    parts.append(share_caller_name)
    if share_caller_name_length & 3:
        parts.append(PADDING[share_caller_name_length & 3])
    share_fh = value.share.fh
    share_fh_length = len(share_fh)
    if share_fh_length > 1024:
        raise XdrError(f"share_fh_length of {share_fh_length} where 1024 is the bound")
    parts.append(P_I(share_fh_length))
    parts.append(share_fh)
    if share_fh_length & 3:
        parts.append(PADDING[share_fh_length & 3])
    share_oh = value.share.oh
    share_oh_length = len(share_oh)
    if share_oh_length > 1024:
        raise XdrError(f"share_oh_length of {share_oh_length} where 1024 is the bound")
    parts.append(P_I(share_oh_length))
    parts.append(share_oh)
    if share_oh_length & 3:
        parts.append(PADDING[share_oh_length & 3])
    parts.append(P_3I(value.share.mode, value.share.access, value.reclaim))


def unpack_nlm4_shareargs(buffer: Buffer, at: int) -> tuple[nlm4_shareargs, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    (share_caller_name_length,) = U_I(buffer, at)
    at += 4
    if share_caller_name_length > 1024:
        raise XdrError(f"share_caller_name length of {share_caller_name_length}")
    share_caller_name = taken(buffer, at, share_caller_name_length)
    at += (share_caller_name_length + 3) & -4
    (share_fh_length,) = U_I(buffer, at)
    at += 4
    if share_fh_length > 1024:
        raise XdrError(f"share_fh length of {share_fh_length}")
    share_fh = taken(buffer, at, share_fh_length)
    at += (share_fh_length + 3) & -4
    (share_oh_length,) = U_I(buffer, at)
    at += 4
    if share_oh_length > 1024:
        raise XdrError(f"share_oh length of {share_oh_length}")
    share_oh = taken(buffer, at, share_oh_length)
    at += (share_oh_length + 3) & -4
    share_mode, share_access, reclaim = U_3I(buffer, at)
    at += 12
    if share_mode not in FSH4_MODE_VALUES:
        raise XdrError(f"fsh4_mode of {share_mode}")
    if share_access not in FSH4_ACCESS_VALUES:
        raise XdrError(f"fsh4_access of {share_access}")
    if reclaim > 1:
        raise XdrError(f"bool of {reclaim}")
    return nlm4_shareargs(cookie, nlm4_share(share_caller_name, share_fh, share_oh, share_mode, share_access), reclaim == 1), at


def pack_nlm4_shareres(value: nlm4_shareres, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    parts.append(P_Ii(value.stat, value.sequence))


def unpack_nlm4_shareres(buffer: Buffer, at: int) -> tuple[nlm4_shareres, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    stat, sequence = U_Ii(buffer, at)
    at += 8
    if stat not in NLM4_STATS_VALUES:
        raise XdrError(f"nlm4_stats of {stat}")
    return nlm4_shareres(cookie, stat, sequence), at


def pack_nlm4_notify(value: nlm4_notify, parts: Parts) -> None:
    name = value.name
    name_length = len(name)
    if name_length > 1024:
        raise XdrError(f"name_length of {name_length} where 1024 is the bound")
    parts.append(P_I(name_length))
    parts.append(name)
    if name_length & 3:
        parts.append(PADDING[name_length & 3])
    parts.append(P_i(value.state))


def unpack_nlm4_notify(buffer: Buffer, at: int) -> tuple[nlm4_notify, int]:
    (name_length,) = U_I(buffer, at)
    at += 4
    if name_length > 1024:
        raise XdrError(f"name length of {name_length}")
    name = taken(buffer, at, name_length)
    at += (name_length + 3) & -4
    (state,) = U_i(buffer, at)
    at += 4
    return nlm4_notify(name, state), at


NLM4_V4_SIGNATURES: Final = (
    Signature(0, "NLMPROC4_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "NLMPROC4_TEST", pack_nlm4_testargs, unpack_nlm4_testargs, pack_nlm4_testres, unpack_nlm4_testres),
    Signature(2, "NLMPROC4_LOCK", pack_nlm4_lockargs, unpack_nlm4_lockargs, pack_nlm4_res, unpack_nlm4_res),
    Signature(3, "NLMPROC4_CANCEL", pack_nlm4_cancargs, unpack_nlm4_cancargs, pack_nlm4_res, unpack_nlm4_res),
    Signature(4, "NLMPROC4_UNLOCK", pack_nlm4_unlockargs, unpack_nlm4_unlockargs, pack_nlm4_res, unpack_nlm4_res),
    Signature(5, "NLMPROC4_GRANTED", pack_nlm4_testargs, unpack_nlm4_testargs, pack_nlm4_res, unpack_nlm4_res),
    Signature(6, "NLMPROC4_TEST_MSG", pack_nlm4_testargs, unpack_nlm4_testargs, pack_void, unpack_void),
    Signature(7, "NLMPROC4_LOCK_MSG", pack_nlm4_lockargs, unpack_nlm4_lockargs, pack_void, unpack_void),
    Signature(8, "NLMPROC4_CANCEL_MSG", pack_nlm4_cancargs, unpack_nlm4_cancargs, pack_void, unpack_void),
    Signature(9, "NLMPROC4_UNLOCK_MSG", pack_nlm4_unlockargs, unpack_nlm4_unlockargs, pack_void, unpack_void),
    Signature(10, "NLMPROC4_GRANTED_MSG", pack_nlm4_testargs, unpack_nlm4_testargs, pack_void, unpack_void),
    Signature(11, "NLMPROC4_TEST_RES", pack_nlm4_testres, unpack_nlm4_testres, pack_void, unpack_void),
    Signature(12, "NLMPROC4_LOCK_RES", pack_nlm4_res, unpack_nlm4_res, pack_void, unpack_void),
    Signature(13, "NLMPROC4_CANCEL_RES", pack_nlm4_res, unpack_nlm4_res, pack_void, unpack_void),
    Signature(14, "NLMPROC4_UNLOCK_RES", pack_nlm4_res, unpack_nlm4_res, pack_void, unpack_void),
    Signature(15, "NLMPROC4_GRANTED_RES", pack_nlm4_res, unpack_nlm4_res, pack_void, unpack_void),
    Signature(20, "NLMPROC4_SHARE", pack_nlm4_shareargs, unpack_nlm4_shareargs, pack_nlm4_shareres, unpack_nlm4_shareres),
    Signature(21, "NLMPROC4_UNSHARE", pack_nlm4_shareargs, unpack_nlm4_shareargs, pack_nlm4_shareres, unpack_nlm4_shareres),
    Signature(22, "NLMPROC4_NM_LOCK", pack_nlm4_lockargs, unpack_nlm4_lockargs, pack_nlm4_res, unpack_nlm4_res),
    Signature(23, "NLMPROC4_FREE_ALL", pack_nlm4_notify, unpack_nlm4_notify, pack_void, unpack_void),
)
