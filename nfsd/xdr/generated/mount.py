"""XDR types of mount.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

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
P_I32s: Final = struct.Struct(">I32s").pack
P_I: Final = struct.Struct(">I").pack
U_32s: Final[Callable[[Buffer, int], tuple[bytes]]] = struct.Struct(">32s").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from


MNTPATHLEN: Final = 1024
MNTNAMLEN: Final = 255
FHSIZE3: Final = 64
FHSIZE: Final = 32
MOUNT_V1: Final = 1
MOUNT_V3: Final = 3
MOUNT_PROGRAM: Final = 100005
MOUNTPROC_NULL: Final = 0
MOUNTPROC_MNT: Final = 1
MOUNTPROC_DUMP: Final = 2
MOUNTPROC_UMNT: Final = 3
MOUNTPROC_UMNTALL: Final = 4
MOUNTPROC_EXPORT: Final = 5
MOUNTPROC3_NULL: Final = 0
MOUNTPROC3_MNT: Final = 1
MOUNTPROC3_DUMP: Final = 2
MOUNTPROC3_UMNT: Final = 3
MOUNTPROC3_UMNTALL: Final = 4
MOUNTPROC3_EXPORT: Final = 5


class mountstat3(IntEnum):
    MNT3_OK = 0
    MNT3ERR_PERM = 1
    MNT3ERR_NOENT = 2
    MNT3ERR_IO = 5
    MNT3ERR_ACCES = 13
    MNT3ERR_NOTDIR = 20
    MNT3ERR_INVAL = 22
    MNT3ERR_NAMETOOLONG = 63
    MNT3ERR_NOTSUPP = 10004
    MNT3ERR_SERVERFAULT = 10006


MNT3_OK: Final = mountstat3.MNT3_OK
MNT3ERR_PERM: Final = mountstat3.MNT3ERR_PERM
MNT3ERR_NOENT: Final = mountstat3.MNT3ERR_NOENT
MNT3ERR_IO: Final = mountstat3.MNT3ERR_IO
MNT3ERR_ACCES: Final = mountstat3.MNT3ERR_ACCES
MNT3ERR_NOTDIR: Final = mountstat3.MNT3ERR_NOTDIR
MNT3ERR_INVAL: Final = mountstat3.MNT3ERR_INVAL
MNT3ERR_NAMETOOLONG: Final = mountstat3.MNT3ERR_NAMETOOLONG
MNT3ERR_NOTSUPP: Final = mountstat3.MNT3ERR_NOTSUPP
MNT3ERR_SERVERFAULT: Final = mountstat3.MNT3ERR_SERVERFAULT
MOUNTSTAT3_VALUES: Final = frozenset((0, 1, 2, 5, 13, 20, 22, 63, 10004, 10006))


fhandle3: TypeAlias = "bytes"


dirpath: TypeAlias = "bytes"


name: TypeAlias = "bytes"


fhandle: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class fhstatus:
    fhs_status: int
    fhs_fhandle: bytes | None

    def __init__(self, fhs_status: int, fhs_fhandle: bytes | None = None) -> None:
        self.fhs_status = fhs_status
        self.fhs_fhandle = fhs_fhandle


@final
@dataclass(slots=True, init=False)
class mountres3_ok:
    fhandle: bytes
    auth_flavors: tuple[int, ...]

    def __init__(self, fhandle: bytes, auth_flavors: tuple[int, ...]) -> None:
        self.fhandle = fhandle
        self.auth_flavors = auth_flavors


@final
@dataclass(slots=True, init=False)
class mountres3:
    fhs_status: int
    mountinfo: mountres3_ok | None

    def __init__(self, fhs_status: int, mountinfo: mountres3_ok | None = None) -> None:
        self.fhs_status = fhs_status
        self.mountinfo = mountinfo


mountlist: TypeAlias = "list[mountbody] | bytes"


@final
@dataclass(slots=True, init=False)
class mountbody:
    ml_hostname: bytes
    ml_directory: bytes

    def __init__(self, ml_hostname: bytes, ml_directory: bytes) -> None:
        self.ml_hostname = ml_hostname
        self.ml_directory = ml_directory


groups: TypeAlias = "list[bytes] | bytes"


groupnode: TypeAlias = "bytes"


exports: TypeAlias = "list[exportnode] | bytes"


@final
@dataclass(slots=True, init=False)
class exportnode:
    ex_dir: bytes
    ex_groups: list[bytes] | bytes

    def __init__(self, ex_dir: bytes, ex_groups: list[bytes] | bytes) -> None:
        self.ex_dir = ex_dir
        self.ex_groups = ex_groups


def pack_fhstatus(value: fhstatus, parts: Parts) -> None:
    fhs_status = value.fhs_status
    if fhs_status == 0:
        fhs_fhandle = value.fhs_fhandle
        if fhs_fhandle is None:
            raise XdrError("fhs_fhandle is missing")
        parts.append(P_I32s(0, fhs_fhandle))
    else:
        parts.append(P_I(fhs_status))


def unpack_fhstatus(buffer: Buffer, at: int) -> tuple[fhstatus, int]:
    (value_fhs_status,) = U_I(buffer, at)
    at += 4
    if value_fhs_status == 0:
        (value_fhs_fhandle,) = U_32s(buffer, at)
        at += 32
        value = fhstatus(value_fhs_status, fhs_fhandle=value_fhs_fhandle)
    else:
        value = fhstatus(value_fhs_status)
    return value, at


def pack_mountres3(value: mountres3, parts: Parts) -> None:
    fhs_status = value.fhs_status
    if fhs_status == 0:
        mountinfo = value.mountinfo
        if mountinfo is None:
            raise XdrError("mountinfo is missing")
        mountinfo_fhandle = mountinfo.fhandle
        mountinfo_fhandle_length = len(mountinfo_fhandle)
        if mountinfo_fhandle_length > 64:
            raise XdrError(f"mountinfo_fhandle_length of {mountinfo_fhandle_length} where 64 is the bound")
        parts.append(P_2I(0, mountinfo_fhandle_length))
        parts.append(mountinfo_fhandle)
        if mountinfo_fhandle_length & 3:
            parts.append(PADDING[mountinfo_fhandle_length & 3])
        mountinfo_auth_flavors = mountinfo.auth_flavors
        mountinfo_auth_flavors_length = len(mountinfo_auth_flavors)
        parts.append(P_I(mountinfo_auth_flavors_length))
        parts.append(struct.pack(f">{mountinfo_auth_flavors_length}i", *mountinfo_auth_flavors))
    else:
        parts.append(P_I(fhs_status))


def unpack_mountres3(buffer: Buffer, at: int) -> tuple[mountres3, int]:
    (value_fhs_status,) = U_I(buffer, at)
    at += 4
    if value_fhs_status not in MOUNTSTAT3_VALUES:
        raise XdrError(f"mountstat3 of {value_fhs_status}")
    if value_fhs_status == 0:
        (value_mountinfo_fhandle_length,) = U_I(buffer, at)
        at += 4
        if value_mountinfo_fhandle_length > 64:
            raise XdrError(f"value_mountinfo_fhandle length of {value_mountinfo_fhandle_length}")
        value_mountinfo_fhandle = taken(buffer, at, value_mountinfo_fhandle_length)
        at += (value_mountinfo_fhandle_length + 3) & -4
        (value_mountinfo_auth_flavors_length,) = U_I(buffer, at)
        at += 4
        value_mountinfo_auth_flavors = struct.unpack_from(f">{value_mountinfo_auth_flavors_length}i", buffer, at)
        at += value_mountinfo_auth_flavors_length * 4
        value = mountres3(value_fhs_status, mountinfo=mountres3_ok(value_mountinfo_fhandle, value_mountinfo_auth_flavors))
    else:
        value = mountres3(value_fhs_status)
    return value, at


def pack_dirpath(value: dirpath, parts: Parts) -> None:
    value_length = len(value)
    if value_length > 1024:
        raise XdrError(f"value_length of {value_length} where 1024 is the bound")
    parts.append(P_I(value_length))
    parts.append(value)
    if value_length & 3:
        parts.append(PADDING[value_length & 3])


def unpack_dirpath(buffer: Buffer, at: int) -> tuple[dirpath, int]:
    (value_length,) = U_I(buffer, at)
    at += 4
    if value_length > 1024:
        raise XdrError(f"value length of {value_length}")
    value = taken(buffer, at, value_length)
    at += (value_length + 3) & -4
    return value, at


def pack_mountlist(value: mountlist, parts: Parts) -> None:
    if isinstance(value, bytes):
        parts.append(value)
    else:
        for mountbody in value:
            pack_mountbody(mountbody, parts)
    parts.append(b'\x00\x00\x00\x00')


def unpack_mountlist(buffer: Buffer, at: int) -> tuple[list[mountbody], int]:
    (value_follows,) = U_I(buffer, at)
    at += 4
    value: list[mountbody] = []
    while value_follows == 1:
        (mountbody_ml_hostname_length,) = U_I(buffer, at)
        at += 4
        if mountbody_ml_hostname_length > 255:
            raise XdrError(f"mountbody_ml_hostname length of {mountbody_ml_hostname_length}")
        mountbody_ml_hostname = taken(buffer, at, mountbody_ml_hostname_length)
        at += (mountbody_ml_hostname_length + 3) & -4
        (mountbody_ml_directory_length,) = U_I(buffer, at)
        at += 4
        if mountbody_ml_directory_length > 1024:
            raise XdrError(f"mountbody_ml_directory length of {mountbody_ml_directory_length}")
        mountbody_ml_directory = taken(buffer, at, mountbody_ml_directory_length)
        at += (mountbody_ml_directory_length + 3) & -4
        (value_follows,) = U_I(buffer, at)
        at += 4
        value.append(mountbody(mountbody_ml_hostname, mountbody_ml_directory))
    if value_follows:
        raise XdrError(f"bool of {value_follows}")
    return value, at


def pack_mountbody(value: mountbody, parts: Parts) -> None:
    ml_hostname = value.ml_hostname
    ml_hostname_length = len(ml_hostname)
    if ml_hostname_length > 255:
        raise XdrError(f"ml_hostname_length of {ml_hostname_length} where 255 is the bound")
    parts.append(P_2I(1, ml_hostname_length))
    parts.append(ml_hostname)
    if ml_hostname_length & 3:
        parts.append(PADDING[ml_hostname_length & 3])
    ml_directory = value.ml_directory
    ml_directory_length = len(ml_directory)
    if ml_directory_length > 1024:
        raise XdrError(f"ml_directory_length of {ml_directory_length} where 1024 is the bound")
    parts.append(P_I(ml_directory_length))
    parts.append(ml_directory)
    if ml_directory_length & 3:
        parts.append(PADDING[ml_directory_length & 3])


def pack_exports(value: exports, parts: Parts) -> None:
    if isinstance(value, bytes):
        parts.append(value)
    else:
        for exportnode in value:
            pack_exportnode(exportnode, parts)
    parts.append(b'\x00\x00\x00\x00')


def unpack_exports(buffer: Buffer, at: int) -> tuple[list[exportnode], int]:
    (value_follows,) = U_I(buffer, at)
    at += 4
    value: list[exportnode] = []
    while value_follows == 1:
        (exportnode_ex_dir_length,) = U_I(buffer, at)
        at += 4
        if exportnode_ex_dir_length > 1024:
            raise XdrError(f"exportnode_ex_dir length of {exportnode_ex_dir_length}")
        exportnode_ex_dir = taken(buffer, at, exportnode_ex_dir_length)
        at += (exportnode_ex_dir_length + 3) & -4
        (exportnode_ex_groups_follows,) = U_I(buffer, at)
        at += 4
        exportnode_ex_groups: list[bytes] = []
        while exportnode_ex_groups_follows == 1:
            (groupnode_length,) = U_I(buffer, at)
            at += 4
            if groupnode_length > 255:
                raise XdrError(f"groupnode length of {groupnode_length}")
            groupnode = taken(buffer, at, groupnode_length)
            at += (groupnode_length + 3) & -4
            (exportnode_ex_groups_follows,) = U_I(buffer, at)
            at += 4
            exportnode_ex_groups.append(groupnode)
        if exportnode_ex_groups_follows:
            raise XdrError(f"bool of {exportnode_ex_groups_follows}")
        (value_follows,) = U_I(buffer, at)
        at += 4
        value.append(exportnode(exportnode_ex_dir, exportnode_ex_groups))
    if value_follows:
        raise XdrError(f"bool of {value_follows}")
    return value, at


def pack_exportnode(value: exportnode, parts: Parts) -> None:
    ex_dir = value.ex_dir
    ex_dir_length = len(ex_dir)
    if ex_dir_length > 1024:
        raise XdrError(f"ex_dir_length of {ex_dir_length} where 1024 is the bound")
    parts.append(P_2I(1, ex_dir_length))
    parts.append(ex_dir)
    if ex_dir_length & 3:
        parts.append(PADDING[ex_dir_length & 3])
    ex_groups = value.ex_groups
    if isinstance(ex_groups, bytes):
        parts.append(ex_groups)
    else:
        for groupnode in ex_groups:
            pack_groupnode(groupnode, parts)
    parts.append(b'\x00\x00\x00\x00')


def pack_groupnode(value: groupnode, parts: Parts) -> None:
    value_length = len(value)
    if value_length > 255:
        raise XdrError(f"value_length of {value_length} where 255 is the bound")
    parts.append(P_2I(1, value_length))
    parts.append(value)
    if value_length & 3:
        parts.append(PADDING[value_length & 3])


MOUNT_V1_SIGNATURES: Final = (
    Signature(0, "MOUNTPROC_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "MOUNTPROC_MNT", pack_dirpath, unpack_dirpath, pack_fhstatus, unpack_fhstatus),
    Signature(2, "MOUNTPROC_DUMP", pack_void, unpack_void, pack_mountlist, unpack_mountlist),
    Signature(3, "MOUNTPROC_UMNT", pack_dirpath, unpack_dirpath, pack_void, unpack_void),
    Signature(4, "MOUNTPROC_UMNTALL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(5, "MOUNTPROC_EXPORT", pack_void, unpack_void, pack_exports, unpack_exports),
)


MOUNT_V3_SIGNATURES: Final = (
    Signature(0, "MOUNTPROC3_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "MOUNTPROC3_MNT", pack_dirpath, unpack_dirpath, pack_mountres3, unpack_mountres3),
    Signature(2, "MOUNTPROC3_DUMP", pack_void, unpack_void, pack_mountlist, unpack_mountlist),
    Signature(3, "MOUNTPROC3_UMNT", pack_dirpath, unpack_dirpath, pack_void, unpack_void),
    Signature(4, "MOUNTPROC3_UMNTALL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(5, "MOUNTPROC3_EXPORT", pack_void, unpack_void, pack_exports, unpack_exports),
)
