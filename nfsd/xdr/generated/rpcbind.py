"""XDR types of rpcbind.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

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



P_3I: Final = struct.Struct(">3I").pack
P_4I: Final = struct.Struct(">4I").pack
P_5I: Final = struct.Struct(">5I").pack
P_I: Final = struct.Struct(">I").pack
U_3I: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">3I").unpack_from
U_4I: Final[Callable[[Buffer, int], tuple[int, int, int, int]]] = struct.Struct(">4I").unpack_from
U_5I: Final[Callable[[Buffer, int], tuple[int, int, int, int, int]]] = struct.Struct(">5I").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from


PMAP_PORT: Final = 111
PMAPVERS: Final = 2
RPCBVERS: Final = 3
RPCBVERS4: Final = 4
RPCBPROG: Final = 100000
PMAPPROC_NULL: Final = 0
PMAPPROC_SET: Final = 1
PMAPPROC_UNSET: Final = 2
PMAPPROC_GETPORT: Final = 3
PMAPPROC_DUMP: Final = 4
RPCBPROC_NULL: Final = 0
RPCBPROC_SET: Final = 1
RPCBPROC_UNSET: Final = 2
RPCBPROC_GETADDR: Final = 3
RPCBPROC_DUMP: Final = 4
RPCBPROC4_NULL: Final = 0
RPCBPROC4_SET: Final = 1
RPCBPROC4_UNSET: Final = 2
RPCBPROC4_GETADDR: Final = 3
RPCBPROC4_DUMP: Final = 4
RPCBPROC4_GETVERSADDR: Final = 9


@final
@dataclass(slots=True, init=False)
class rpcb:
    r_prog: int
    r_vers: int
    r_netid: bytes
    r_addr: bytes
    r_owner: bytes

    def __init__(self, r_prog: int, r_vers: int, r_netid: bytes, r_addr: bytes, r_owner: bytes) -> None:
        self.r_prog = r_prog
        self.r_vers = r_vers
        self.r_netid = r_netid
        self.r_addr = r_addr
        self.r_owner = r_owner


rpcblist_ptr: TypeAlias = "list[rpcb] | bytes"


rpcbnode: TypeAlias = "rpcb"


universal_address: TypeAlias = "bytes"


port_number: TypeAlias = "int"


@final
@dataclass(slots=True, init=False)
class mapping:
    prog: int
    vers: int
    prot: int
    port: int

    def __init__(self, prog: int, vers: int, prot: int, port: int) -> None:
        self.prog = prog
        self.vers = vers
        self.prot = prot
        self.port = port


pmaplist_ptr: TypeAlias = "list[mapping] | bytes"


pmapnode: TypeAlias = "mapping"


def pack_mapping(value: mapping, parts: Parts) -> None:
    parts.append(P_4I(value.prog, value.vers, value.prot, value.port))


def unpack_mapping(buffer: Buffer, at: int) -> tuple[mapping, int]:
    prog, vers, prot, port = U_4I(buffer, at)
    at += 16
    return mapping(prog, vers, prot, port), at


def pack_bool(value: bool, parts: Parts) -> None:
    parts.append(P_I(value))


def unpack_bool(buffer: Buffer, at: int) -> tuple[bool, int]:
    (value,) = U_I(buffer, at)
    at += 4
    if value > 1:
        raise XdrError(f"bool of {value}")
    return value == 1, at


def pack_port_number(value: port_number, parts: Parts) -> None:
    parts.append(P_I(value))


def unpack_port_number(buffer: Buffer, at: int) -> tuple[port_number, int]:
    (value,) = U_I(buffer, at)
    at += 4
    return value, at


def pack_pmaplist_ptr(value: pmaplist_ptr, parts: Parts) -> None:
    if isinstance(value, bytes):
        parts.append(value)
    else:
        for pmapnode in value:
            pack_pmapnode(pmapnode, parts)
    parts.append(b'\x00\x00\x00\x00')


def unpack_pmaplist_ptr(buffer: Buffer, at: int) -> tuple[list[mapping], int]:
    (value_follows,) = U_I(buffer, at)
    at += 4
    value: list[mapping] = []
    while value_follows == 1:
        (
            pmapnode_prog, pmapnode_vers, pmapnode_prot, pmapnode_port, value_follows,
        ) = U_5I(buffer, at)
        at += 20
        value.append(mapping(pmapnode_prog, pmapnode_vers, pmapnode_prot, pmapnode_port))
    if value_follows:
        raise XdrError(f"bool of {value_follows}")
    return value, at


def pack_pmapnode(value: pmapnode, parts: Parts) -> None:
    parts.append(P_5I(1, value.prog, value.vers, value.prot, value.port))


def pack_rpcb(value: rpcb, parts: Parts) -> None:
    r_netid = value.r_netid
    r_netid_length = len(r_netid)
    parts.append(P_3I(value.r_prog, value.r_vers, r_netid_length))
    parts.append(r_netid)
    if r_netid_length & 3:
        parts.append(PADDING[r_netid_length & 3])
    r_addr = value.r_addr
    r_addr_length = len(r_addr)
    parts.append(P_I(r_addr_length))
    parts.append(r_addr)
    if r_addr_length & 3:
        parts.append(PADDING[r_addr_length & 3])
    r_owner = value.r_owner
    r_owner_length = len(r_owner)
    parts.append(P_I(r_owner_length))
    parts.append(r_owner)
    if r_owner_length & 3:
        parts.append(PADDING[r_owner_length & 3])


def unpack_rpcb(buffer: Buffer, at: int) -> tuple[rpcb, int]:
    r_prog, r_vers, r_netid_length = U_3I(buffer, at)
    at += 12
    r_netid = taken(buffer, at, r_netid_length)
    at += (r_netid_length + 3) & -4
    (r_addr_length,) = U_I(buffer, at)
    at += 4
    r_addr = taken(buffer, at, r_addr_length)
    at += (r_addr_length + 3) & -4
    (r_owner_length,) = U_I(buffer, at)
    at += 4
    r_owner = taken(buffer, at, r_owner_length)
    at += (r_owner_length + 3) & -4
    return rpcb(r_prog, r_vers, r_netid, r_addr, r_owner), at


def pack_universal_address(value: universal_address, parts: Parts) -> None:
    value_length = len(value)
    parts.append(P_I(value_length))
    parts.append(value)
    if value_length & 3:
        parts.append(PADDING[value_length & 3])


def unpack_universal_address(buffer: Buffer, at: int) -> tuple[universal_address, int]:
    (value_length,) = U_I(buffer, at)
    at += 4
    value = taken(buffer, at, value_length)
    at += (value_length + 3) & -4
    return value, at


def pack_rpcblist_ptr(value: rpcblist_ptr, parts: Parts) -> None:
    if isinstance(value, bytes):
        parts.append(value)
    else:
        for rpcbnode in value:
            pack_rpcbnode(rpcbnode, parts)
    parts.append(b'\x00\x00\x00\x00')


def unpack_rpcblist_ptr(buffer: Buffer, at: int) -> tuple[list[rpcb], int]:
    (value_follows,) = U_I(buffer, at)
    at += 4
    value: list[rpcb] = []
    while value_follows == 1:
        (rpcbnode_r_prog, rpcbnode_r_vers, rpcbnode_r_netid_length) = U_3I(buffer, at)
        at += 12
        rpcbnode_r_netid = taken(buffer, at, rpcbnode_r_netid_length)
        at += (rpcbnode_r_netid_length + 3) & -4
        (rpcbnode_r_addr_length,) = U_I(buffer, at)
        at += 4
        rpcbnode_r_addr = taken(buffer, at, rpcbnode_r_addr_length)
        at += (rpcbnode_r_addr_length + 3) & -4
        (rpcbnode_r_owner_length,) = U_I(buffer, at)
        at += 4
        rpcbnode_r_owner = taken(buffer, at, rpcbnode_r_owner_length)
        at += (rpcbnode_r_owner_length + 3) & -4
        (value_follows,) = U_I(buffer, at)
        at += 4
        value.append(rpcb(rpcbnode_r_prog, rpcbnode_r_vers, rpcbnode_r_netid, rpcbnode_r_addr, rpcbnode_r_owner))
    if value_follows:
        raise XdrError(f"bool of {value_follows}")
    return value, at


def pack_rpcbnode(value: rpcbnode, parts: Parts) -> None:
    r_netid = value.r_netid
    r_netid_length = len(r_netid)
    parts.append(P_4I(1, value.r_prog, value.r_vers, r_netid_length))
    parts.append(r_netid)
    if r_netid_length & 3:
        parts.append(PADDING[r_netid_length & 3])
    r_addr = value.r_addr
    r_addr_length = len(r_addr)
    parts.append(P_I(r_addr_length))
    parts.append(r_addr)
    if r_addr_length & 3:
        parts.append(PADDING[r_addr_length & 3])
    r_owner = value.r_owner
    r_owner_length = len(r_owner)
    parts.append(P_I(r_owner_length))
    parts.append(r_owner)
    if r_owner_length & 3:
        parts.append(PADDING[r_owner_length & 3])


PMAPVERS_SIGNATURES: Final = (
    Signature(0, "PMAPPROC_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "PMAPPROC_SET", pack_mapping, unpack_mapping, pack_bool, unpack_bool),
    Signature(2, "PMAPPROC_UNSET", pack_mapping, unpack_mapping, pack_bool, unpack_bool),
    Signature(3, "PMAPPROC_GETPORT", pack_mapping, unpack_mapping, pack_port_number, unpack_port_number),
    Signature(4, "PMAPPROC_DUMP", pack_void, unpack_void, pack_pmaplist_ptr, unpack_pmaplist_ptr),
)


RPCBVERS_SIGNATURES: Final = (
    Signature(0, "RPCBPROC_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "RPCBPROC_SET", pack_rpcb, unpack_rpcb, pack_bool, unpack_bool),
    Signature(2, "RPCBPROC_UNSET", pack_rpcb, unpack_rpcb, pack_bool, unpack_bool),
    Signature(3, "RPCBPROC_GETADDR", pack_rpcb, unpack_rpcb, pack_universal_address, unpack_universal_address),
    Signature(4, "RPCBPROC_DUMP", pack_void, unpack_void, pack_rpcblist_ptr, unpack_rpcblist_ptr),
)


RPCBVERS4_SIGNATURES: Final = (
    Signature(0, "RPCBPROC4_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "RPCBPROC4_SET", pack_rpcb, unpack_rpcb, pack_bool, unpack_bool),
    Signature(2, "RPCBPROC4_UNSET", pack_rpcb, unpack_rpcb, pack_bool, unpack_bool),
    Signature(3, "RPCBPROC4_GETADDR", pack_rpcb, unpack_rpcb, pack_universal_address, unpack_universal_address),
    Signature(4, "RPCBPROC4_DUMP", pack_void, unpack_void, pack_rpcblist_ptr, unpack_rpcblist_ptr),
    Signature(9, "RPCBPROC4_GETVERSADDR", pack_rpcb, unpack_rpcb, pack_universal_address, unpack_universal_address),
)
