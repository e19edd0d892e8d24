"""XDR types of nlm3.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

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
P_3I: Final = struct.Struct(">3I").pack
P_I: Final = struct.Struct(">I").pack
P_Ii: Final = struct.Struct(">Ii").pack
P_i2I: Final = struct.Struct(">i2I").pack
P_i3Ii: Final = struct.Struct(">i3Ii").pack
P_i: Final = struct.Struct(">i").pack
U_2I: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">2I").unpack_from
U_3I: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">3I").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from
U_Ii: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">Ii").unpack_from
U_IiI: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">IiI").unpack_from
U_i2I: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">i2I").unpack_from
U_i3Ii: Final[Callable[[Buffer, int], tuple[int, int, int, int, int]]] = struct.Struct(">i3Ii").unpack_from
U_i: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">i").unpack_from


LM_MAXSTRLEN: Final = 1024
MAXNETOBJ_SZ: Final = 1024
NLM_VERS: Final = 1
NLM_VERSX: Final = 3
NLM_PROG: Final = 100021
NLMPROC_NULL: Final = 0
NLMPROC_TEST: Final = 1
NLMPROC_LOCK: Final = 2
NLMPROC_CANCEL: Final = 3
NLMPROC_UNLOCK: Final = 4
NLMPROC_GRANTED: Final = 5
NLMPROC_TEST_MSG: Final = 6
NLMPROC_LOCK_MSG: Final = 7
NLMPROC_CANCEL_MSG: Final = 8
NLMPROC_UNLOCK_MSG: Final = 9
NLMPROC_GRANTED_MSG: Final = 10
NLMPROC_TEST_RES: Final = 11
NLMPROC_LOCK_RES: Final = 12
NLMPROC_CANCEL_RES: Final = 13
NLMPROC_UNLOCK_RES: Final = 14
NLMPROC_GRANTED_RES: Final = 15
NLMPROC3_NULL: Final = 0
NLMPROC3_TEST: Final = 1
NLMPROC3_LOCK: Final = 2
NLMPROC3_CANCEL: Final = 3
NLMPROC3_UNLOCK: Final = 4
NLMPROC3_GRANTED: Final = 5
NLMPROC3_TEST_MSG: Final = 6
NLMPROC3_LOCK_MSG: Final = 7
NLMPROC3_CANCEL_MSG: Final = 8
NLMPROC3_UNLOCK_MSG: Final = 9
NLMPROC3_GRANTED_MSG: Final = 10
NLMPROC3_TEST_RES: Final = 11
NLMPROC3_LOCK_RES: Final = 12
NLMPROC3_CANCEL_RES: Final = 13
NLMPROC3_UNLOCK_RES: Final = 14
NLMPROC3_GRANTED_RES: Final = 15
NLMPROC3_SHARE: Final = 20
NLMPROC3_UNSHARE: Final = 21
NLMPROC3_NM_LOCK: Final = 22
NLMPROC3_FREE_ALL: Final = 23


class nlm_stats(IntEnum):
    LCK_GRANTED = 0
    LCK_DENIED = 1
    LCK_DENIED_NOLOCKS = 2
    LCK_BLOCKED = 3
    LCK_DENIED_GRACE_PERIOD = 4
    LCK_DEADLCK = 5


LCK_GRANTED: Final = nlm_stats.LCK_GRANTED
LCK_DENIED: Final = nlm_stats.LCK_DENIED
LCK_DENIED_NOLOCKS: Final = nlm_stats.LCK_DENIED_NOLOCKS
LCK_BLOCKED: Final = nlm_stats.LCK_BLOCKED
LCK_DENIED_GRACE_PERIOD: Final = nlm_stats.LCK_DENIED_GRACE_PERIOD
LCK_DEADLCK: Final = nlm_stats.LCK_DEADLCK
NLM_STATS_VALUES: Final = frozenset((0, 1, 2, 3, 4, 5))


class fsh_mode(IntEnum):
    FSM_DN = 0
    FSM_DR = 1
    FSM_DW = 2
    FSM_DRW = 3


FSM_DN: Final = fsh_mode.FSM_DN
FSM_DR: Final = fsh_mode.FSM_DR
FSM_DW: Final = fsh_mode.FSM_DW
FSM_DRW: Final = fsh_mode.FSM_DRW
FSH_MODE_VALUES: Final = frozenset((0, 1, 2, 3))


class fsh_access(IntEnum):
    FSA_NONE = 0
    FSA_R = 1
    FSA_W = 2
    FSA_RW = 3


FSA_NONE: Final = fsh_access.FSA_NONE
FSA_R: Final = fsh_access.FSA_R
FSA_W: Final = fsh_access.FSA_W
FSA_RW: Final = fsh_access.FSA_RW
FSH_ACCESS_VALUES: Final = frozenset((0, 1, 2, 3))


netobj: TypeAlias = "bytes"


lmname: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class nlm_holder:
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
class nlm_lock:
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
class nlm_share:
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
class nlm_res:
    cookie: bytes
    stat: int

    def __init__(self, cookie: bytes, stat: int) -> None:
        self.cookie = cookie
        self.stat = stat


@final
@dataclass(slots=True, init=False)
class nlm_testrply:
    stat: int
    holder: nlm_holder | None

    def __init__(self, stat: int, holder: nlm_holder | None = None) -> None:
        self.stat = stat
        self.holder = holder


@final
@dataclass(slots=True, init=False)
class nlm_testres:
    cookie: bytes
    test_stat: nlm_testrply

    def __init__(self, cookie: bytes, test_stat: nlm_testrply) -> None:
        self.cookie = cookie
        self.test_stat = test_stat


@final
@dataclass(slots=True, init=False)
class nlm_lockargs:
    cookie: bytes
    block: bool
    exclusive: bool
    alock: nlm_lock
    reclaim: bool
    state: int

    def __init__(self, cookie: bytes, block: bool, exclusive: bool, alock: nlm_lock, reclaim: bool, state: int) -> None:
        self.cookie = cookie
        self.block = block
        self.exclusive = exclusive
        self.alock = alock
        self.reclaim = reclaim
        self.state = state


@final
@dataclass(slots=True, init=False)
class nlm_cancargs:
    cookie: bytes
    block: bool
    exclusive: bool
    alock: nlm_lock

    def __init__(self, cookie: bytes, block: bool, exclusive: bool, alock: nlm_lock) -> None:
        self.cookie = cookie
        self.block = block
        self.exclusive = exclusive
        self.alock = alock


@final
@dataclass(slots=True, init=False)
class nlm_testargs:
    cookie: bytes
    exclusive: bool
    alock: nlm_lock

    def __init__(self, cookie: bytes, exclusive: bool, alock: nlm_lock) -> None:
        self.cookie = cookie
        self.exclusive = exclusive
        self.alock = alock


@final
@dataclass(slots=True, init=False)
class nlm_unlockargs:
    cookie: bytes
    alock: nlm_lock

    def __init__(self, cookie: bytes, alock: nlm_lock) -> None:
        self.cookie = cookie
        self.alock = alock


@final
@dataclass(slots=True, init=False)
class nlm_shareargs:
    cookie: bytes
    share: nlm_share
    reclaim: bool

    def __init__(self, cookie: bytes, share: nlm_share, reclaim: bool) -> None:
        self.cookie = cookie
        self.share = share
        self.reclaim = reclaim


@final
@dataclass(slots=True, init=False)
class nlm_shareres:
    cookie: bytes
    stat: int
    sequence: int

    def __init__(self, cookie: bytes, stat: int, sequence: int) -> None:
        self.cookie = cookie
        self.stat = stat
        self.sequence = sequence


@final
@dataclass(slots=True, init=False)
class nlm_notify:
    name: bytes
    state: int

    def __init__(self, name: bytes, state: int) -> None:
        self.name = name
        self.state = state


def pack_nlm_res(value: nlm_res, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    parts.append(P_I(value.stat))


def unpack_nlm_res(buffer: Buffer, at: int) -> tuple[nlm_res, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    (stat,) = U_I(buffer, at)
    at += 4
    if stat not in NLM_STATS_VALUES:
        raise XdrError(f"nlm_stats of {stat}")
    return nlm_res(cookie, stat), at


def pack_nlm_testres(value: nlm_testres, parts: Parts) -> None:
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
        parts.append(P_2I(test_stat_holder.l_offset, test_stat_holder.l_len))
    else:
        parts.append(P_I(test_stat_stat))


def unpack_nlm_testres(buffer: Buffer, at: int) -> tuple[nlm_testres, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    (test_stat_stat,) = U_I(buffer, at)
    at += 4
    if test_stat_stat not in NLM_STATS_VALUES:
        raise XdrError(f"nlm_stats of {test_stat_stat}")
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
        test_stat_holder_l_offset, test_stat_holder_l_len = U_2I(buffer, at)
        at += 8
        test_stat = nlm_testrply(test_stat_stat, holder=nlm_holder(test_stat_holder_exclusive == 1, test_stat_holder_svid, test_stat_holder_oh, test_stat_holder_l_offset, test_stat_holder_l_len))
    else:
        test_stat = nlm_testrply(test_stat_stat)
    return nlm_testres(cookie, test_stat), at


def pack_nlm_lockargs(value: nlm_lockargs, parts: Parts) -> None:
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
    parts.append(P_i3Ii(
        value.alock.svid, value.alock.l_offset, value.alock.l_len, value.reclaim, value.state,
    ))


def unpack_nlm_lockargs(buffer: Buffer, at: int) -> tuple[nlm_lockargs, int]:
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
    alock_svid, alock_l_offset, alock_l_len, reclaim, state = U_i3Ii(buffer, at)
    at += 20
    if reclaim > 1:
        raise XdrError(f"bool of {reclaim}")
    return nlm_lockargs(cookie, block == 1, exclusive == 1, nlm_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len), reclaim == 1, state), at


def pack_nlm_cancargs(value: nlm_cancargs, parts: Parts) -> None:
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
    parts.append(P_i2I(value.alock.svid, value.alock.l_offset, value.alock.l_len))


def unpack_nlm_cancargs(buffer: Buffer, at: int) -> tuple[nlm_cancargs, int]:
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
    alock_svid, alock_l_offset, alock_l_len = U_i2I(buffer, at)
    at += 12
    return nlm_cancargs(cookie, block == 1, exclusive == 1, nlm_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len)), at


def pack_nlm_testargs(value: nlm_testargs, parts: Parts) -> None:
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
    parts.append(P_i2I(value.alock.svid, value.alock.l_offset, value.alock.l_len))


def unpack_nlm_testargs(buffer: Buffer, at: int) -> tuple[nlm_testargs, int]:
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
    alock_svid, alock_l_offset, alock_l_len = U_i2I(buffer, at)
    at += 12
    return nlm_testargs(cookie, exclusive == 1, nlm_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len)), at


def pack_nlm_unlockargs(value: nlm_unlockargs, parts: Parts) -> None:
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
    parts.append(P_i2I(value.alock.svid, value.alock.l_offset, value.alock.l_len))


def unpack_nlm_unlockargs(buffer: Buffer, at: int) -> tuple[nlm_unlockargs, int]:
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
    alock_svid, alock_l_offset, alock_l_len = U_i2I(buffer, at)
    at += 12
    return nlm_unlockargs(cookie, nlm_lock(alock_caller_name, alock_fh, alock_oh, alock_svid, alock_l_offset, alock_l_len)), at


def pack_nlm_shareargs(value: nlm_shareargs, parts: Parts) -> None:
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


def unpack_nlm_shareargs(buffer: Buffer, at: int) -> tuple[nlm_shareargs, int]:
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
    if share_mode not in FSH_MODE_VALUES:
        raise XdrError(f"fsh_mode of {share_mode}")
    if share_access not in FSH_ACCESS_VALUES:
        raise XdrError(f"fsh_access of {share_access}")
    if reclaim > 1:
        raise XdrError(f"bool of {reclaim}")
    return nlm_shareargs(cookie, nlm_share(share_caller_name, share_fh, share_oh, share_mode, share_access), reclaim == 1), at


def pack_nlm_shareres(value: nlm_shareres, parts: Parts) -> None:
    cookie = value.cookie
    cookie_length = len(cookie)
    if cookie_length > 1024:
        raise XdrError(f"cookie_length of {cookie_length} where 1024 is the bound")
    parts.append(P_I(cookie_length))
    parts.append(cookie)
    if cookie_length & 3:
        parts.append(PADDING[cookie_length & 3])
    parts.append(P_Ii(value.stat, value.sequence))


def unpack_nlm_shareres(buffer: Buffer, at: int) -> tuple[nlm_shareres, int]:
    (cookie_length,) = U_I(buffer, at)
    at += 4
    if cookie_length > 1024:
        raise XdrError(f"cookie length of {cookie_length}")
    cookie = taken(buffer, at, cookie_length)
    at += (cookie_length + 3) & -4
    stat, sequence = U_Ii(buffer, at)
    at += 8
    if stat not in NLM_STATS_VALUES:
        raise XdrError(f"nlm_stats of {stat}")
    return nlm_shareres(cookie, stat, sequence), at


def pack_nlm_notify(value: nlm_notify, parts: Parts) -> None:
    name = value.name
    name_length = len(name)
    if name_length > 1024:
        raise XdrError(f"name_length of {name_length} where 1024 is the bound")
    parts.append(P_I(name_length))
    parts.append(name)
    if name_length & 3:
        parts.append(PADDING[name_length & 3])
    parts.append(P_i(value.state))


def unpack_nlm_notify(buffer: Buffer, at: int) -> tuple[nlm_notify, int]:
    (name_length,) = U_I(buffer, at)
    at += 4
    if name_length > 1024:
        raise XdrError(f"name length of {name_length}")
    name = taken(buffer, at, name_length)
    at += (name_length + 3) & -4
    (state,) = U_i(buffer, at)
    at += 4
    return nlm_notify(name, state), at


NLM_VERS_SIGNATURES: Final = (
    Signature(0, "NLMPROC_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "NLMPROC_TEST", pack_nlm_testargs, unpack_nlm_testargs, pack_nlm_testres, unpack_nlm_testres),
    Signature(2, "NLMPROC_LOCK", pack_nlm_lockargs, unpack_nlm_lockargs, pack_nlm_res, unpack_nlm_res),
    Signature(3, "NLMPROC_CANCEL", pack_nlm_cancargs, unpack_nlm_cancargs, pack_nlm_res, unpack_nlm_res),
    Signature(4, "NLMPROC_UNLOCK", pack_nlm_unlockargs, unpack_nlm_unlockargs, pack_nlm_res, unpack_nlm_res),
    Signature(5, "NLMPROC_GRANTED", pack_nlm_testargs, unpack_nlm_testargs, pack_nlm_res, unpack_nlm_res),
    Signature(6, "NLMPROC_TEST_MSG", pack_nlm_testargs, unpack_nlm_testargs, pack_void, unpack_void),
    Signature(7, "NLMPROC_LOCK_MSG", pack_nlm_lockargs, unpack_nlm_lockargs, pack_void, unpack_void),
    Signature(8, "NLMPROC_CANCEL_MSG", pack_nlm_cancargs, unpack_nlm_cancargs, pack_void, unpack_void),
    Signature(9, "NLMPROC_UNLOCK_MSG", pack_nlm_unlockargs, unpack_nlm_unlockargs, pack_void, unpack_void),
    Signature(10, "NLMPROC_GRANTED_MSG", pack_nlm_testargs, unpack_nlm_testargs, pack_void, unpack_void),
    Signature(11, "NLMPROC_TEST_RES", pack_nlm_testres, unpack_nlm_testres, pack_void, unpack_void),
    Signature(12, "NLMPROC_LOCK_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
    Signature(13, "NLMPROC_CANCEL_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
    Signature(14, "NLMPROC_UNLOCK_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
    Signature(15, "NLMPROC_GRANTED_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
)


NLM_VERSX_SIGNATURES: Final = (
    Signature(0, "NLMPROC3_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "NLMPROC3_TEST", pack_nlm_testargs, unpack_nlm_testargs, pack_nlm_testres, unpack_nlm_testres),
    Signature(2, "NLMPROC3_LOCK", pack_nlm_lockargs, unpack_nlm_lockargs, pack_nlm_res, unpack_nlm_res),
    Signature(3, "NLMPROC3_CANCEL", pack_nlm_cancargs, unpack_nlm_cancargs, pack_nlm_res, unpack_nlm_res),
    Signature(4, "NLMPROC3_UNLOCK", pack_nlm_unlockargs, unpack_nlm_unlockargs, pack_nlm_res, unpack_nlm_res),
    Signature(5, "NLMPROC3_GRANTED", pack_nlm_testargs, unpack_nlm_testargs, pack_nlm_res, unpack_nlm_res),
    Signature(6, "NLMPROC3_TEST_MSG", pack_nlm_testargs, unpack_nlm_testargs, pack_void, unpack_void),
    Signature(7, "NLMPROC3_LOCK_MSG", pack_nlm_lockargs, unpack_nlm_lockargs, pack_void, unpack_void),
    Signature(8, "NLMPROC3_CANCEL_MSG", pack_nlm_cancargs, unpack_nlm_cancargs, pack_void, unpack_void),
    Signature(9, "NLMPROC3_UNLOCK_MSG", pack_nlm_unlockargs, unpack_nlm_unlockargs, pack_void, unpack_void),
    Signature(10, "NLMPROC3_GRANTED_MSG", pack_nlm_testargs, unpack_nlm_testargs, pack_void, unpack_void),
    Signature(11, "NLMPROC3_TEST_RES", pack_nlm_testres, unpack_nlm_testres, pack_void, unpack_void),
    Signature(12, "NLMPROC3_LOCK_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
    Signature(13, "NLMPROC3_CANCEL_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
    Signature(14, "NLMPROC3_UNLOCK_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
    Signature(15, "NLMPROC3_GRANTED_RES", pack_nlm_res, unpack_nlm_res, pack_void, unpack_void),
    Signature(20, "NLMPROC3_SHARE", pack_nlm_shareargs, unpack_nlm_shareargs, pack_nlm_shareres, unpack_nlm_shareres),
    Signature(21, "NLMPROC3_UNSHARE", pack_nlm_shareargs, unpack_nlm_shareargs, pack_nlm_shareres, unpack_nlm_shareres),
    Signature(22, "NLMPROC3_NM_LOCK", pack_nlm_lockargs, unpack_nlm_lockargs, pack_nlm_res, unpack_nlm_res),
    Signature(23, "NLMPROC3_FREE_ALL", pack_nlm_notify, unpack_nlm_notify, pack_void, unpack_void),
)
