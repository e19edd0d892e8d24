"""XDR types of nfs3.x, generated from it: `python -m nfsd.xdr.generate`.

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



S_2I = struct.Struct(">2I")
S_2I84s = struct.Struct(">2I84s")
S_2I8s = struct.Struct(">2I8s")
S_3I = struct.Struct(">3I")
S_5I2Q2I2Q6I = struct.Struct(">5I2Q2I2Q6I")
S_6I = struct.Struct(">6I")
S_6QI = struct.Struct(">6QI")
S_7IQ3I = struct.Struct(">7IQ3I")
S_8s = struct.Struct(">8s")
S_8sI = struct.Struct(">8sI")
S_I = struct.Struct(">I")
S_I84s = struct.Struct(">I84s")
S_I8s = struct.Struct(">I8s")
S_IQ = struct.Struct(">IQ")
S_IQ4I = struct.Struct(">IQ4I")
S_IQI = struct.Struct(">IQI")
S_Q = struct.Struct(">Q")
S_Q3I = struct.Struct(">Q3I")
S_Q4I = struct.Struct(">Q4I")
S_Q8s2I = struct.Struct(">Q8s2I")
S_Q8sI = struct.Struct(">Q8sI")
S_QI = struct.Struct(">QI")
S_QI84s = struct.Struct(">QI84s")


NFS3_FHSIZE: Final = 64
NFS3_COOKIEVERFSIZE: Final = 8
NFS3_CREATEVERFSIZE: Final = 8
NFS3_WRITEVERFSIZE: Final = 8
NFS_V3: Final = 3
NFS_PROGRAM: Final = 100003
ACCESS3_READ: Final = 1
ACCESS3_LOOKUP: Final = 2
ACCESS3_MODIFY: Final = 4
ACCESS3_EXTEND: Final = 8
ACCESS3_DELETE: Final = 16
ACCESS3_EXECUTE: Final = 32
FSF3_LINK: Final = 1
FSF3_SYMLINK: Final = 2
FSF3_HOMOGENEOUS: Final = 8
FSF3_CANSETTIME: Final = 16
NFSPROC3_NULL: Final = 0
NFSPROC3_GETATTR: Final = 1
NFSPROC3_SETATTR: Final = 2
NFSPROC3_LOOKUP: Final = 3
NFSPROC3_ACCESS: Final = 4
NFSPROC3_READLINK: Final = 5
NFSPROC3_READ: Final = 6
NFSPROC3_WRITE: Final = 7
NFSPROC3_CREATE: Final = 8
NFSPROC3_MKDIR: Final = 9
NFSPROC3_SYMLINK: Final = 10
NFSPROC3_MKNOD: Final = 11
NFSPROC3_REMOVE: Final = 12
NFSPROC3_RMDIR: Final = 13
NFSPROC3_RENAME: Final = 14
NFSPROC3_LINK: Final = 15
NFSPROC3_READDIR: Final = 16
NFSPROC3_READDIRPLUS: Final = 17
NFSPROC3_FSSTAT: Final = 18
NFSPROC3_FSINFO: Final = 19
NFSPROC3_PATHCONF: Final = 20
NFSPROC3_COMMIT: Final = 21


class nfsstat3(IntEnum):
    NFS3_OK = 0
    NFS3ERR_PERM = 1
    NFS3ERR_NOENT = 2
    NFS3ERR_IO = 5
    NFS3ERR_NXIO = 6
    NFS3ERR_ACCES = 13
    NFS3ERR_EXIST = 17
    NFS3ERR_XDEV = 18
    NFS3ERR_NODEV = 19
    NFS3ERR_NOTDIR = 20
    NFS3ERR_ISDIR = 21
    NFS3ERR_INVAL = 22
    NFS3ERR_FBIG = 27
    NFS3ERR_NOSPC = 28
    NFS3ERR_ROFS = 30
    NFS3ERR_MLINK = 31
    NFS3ERR_NAMETOOLONG = 63
    NFS3ERR_NOTEMPTY = 66
    NFS3ERR_DQUOT = 69
    NFS3ERR_STALE = 70
    NFS3ERR_REMOTE = 71
    NFS3ERR_BADHANDLE = 10001
    NFS3ERR_NOT_SYNC = 10002
    NFS3ERR_BAD_COOKIE = 10003
    NFS3ERR_NOTSUPP = 10004
    NFS3ERR_TOOSMALL = 10005
    NFS3ERR_SERVERFAULT = 10006
    NFS3ERR_BADTYPE = 10007
    NFS3ERR_JUKEBOX = 10008


NFS3_OK: Final = nfsstat3.NFS3_OK
NFS3ERR_PERM: Final = nfsstat3.NFS3ERR_PERM
NFS3ERR_NOENT: Final = nfsstat3.NFS3ERR_NOENT
NFS3ERR_IO: Final = nfsstat3.NFS3ERR_IO
NFS3ERR_NXIO: Final = nfsstat3.NFS3ERR_NXIO
NFS3ERR_ACCES: Final = nfsstat3.NFS3ERR_ACCES
NFS3ERR_EXIST: Final = nfsstat3.NFS3ERR_EXIST
NFS3ERR_XDEV: Final = nfsstat3.NFS3ERR_XDEV
NFS3ERR_NODEV: Final = nfsstat3.NFS3ERR_NODEV
NFS3ERR_NOTDIR: Final = nfsstat3.NFS3ERR_NOTDIR
NFS3ERR_ISDIR: Final = nfsstat3.NFS3ERR_ISDIR
NFS3ERR_INVAL: Final = nfsstat3.NFS3ERR_INVAL
NFS3ERR_FBIG: Final = nfsstat3.NFS3ERR_FBIG
NFS3ERR_NOSPC: Final = nfsstat3.NFS3ERR_NOSPC
NFS3ERR_ROFS: Final = nfsstat3.NFS3ERR_ROFS
NFS3ERR_MLINK: Final = nfsstat3.NFS3ERR_MLINK
NFS3ERR_NAMETOOLONG: Final = nfsstat3.NFS3ERR_NAMETOOLONG
NFS3ERR_NOTEMPTY: Final = nfsstat3.NFS3ERR_NOTEMPTY
NFS3ERR_DQUOT: Final = nfsstat3.NFS3ERR_DQUOT
NFS3ERR_STALE: Final = nfsstat3.NFS3ERR_STALE
NFS3ERR_REMOTE: Final = nfsstat3.NFS3ERR_REMOTE
NFS3ERR_BADHANDLE: Final = nfsstat3.NFS3ERR_BADHANDLE
NFS3ERR_NOT_SYNC: Final = nfsstat3.NFS3ERR_NOT_SYNC
NFS3ERR_BAD_COOKIE: Final = nfsstat3.NFS3ERR_BAD_COOKIE
NFS3ERR_NOTSUPP: Final = nfsstat3.NFS3ERR_NOTSUPP
NFS3ERR_TOOSMALL: Final = nfsstat3.NFS3ERR_TOOSMALL
NFS3ERR_SERVERFAULT: Final = nfsstat3.NFS3ERR_SERVERFAULT
NFS3ERR_BADTYPE: Final = nfsstat3.NFS3ERR_BADTYPE
NFS3ERR_JUKEBOX: Final = nfsstat3.NFS3ERR_JUKEBOX
NFSSTAT3_VALUES: Final = frozenset((0, 1, 2, 5, 6, 13, 17, 18, 19, 20, 21, 22, 27, 28, 30, 31, 63, 66, 69, 70, 71, 10001, 10002, 10003, 10004, 10005, 10006, 10007, 10008))


class ftype3(IntEnum):
    NF3REG = 1
    NF3DIR = 2
    NF3BLK = 3
    NF3CHR = 4
    NF3LNK = 5
    NF3SOCK = 6
    NF3FIFO = 7


NF3REG: Final = ftype3.NF3REG
NF3DIR: Final = ftype3.NF3DIR
NF3BLK: Final = ftype3.NF3BLK
NF3CHR: Final = ftype3.NF3CHR
NF3LNK: Final = ftype3.NF3LNK
NF3SOCK: Final = ftype3.NF3SOCK
NF3FIFO: Final = ftype3.NF3FIFO
FTYPE3_VALUES: Final = frozenset((1, 2, 3, 4, 5, 6, 7))


class time_how(IntEnum):
    DONT_CHANGE = 0
    SET_TO_SERVER_TIME = 1
    SET_TO_CLIENT_TIME = 2


DONT_CHANGE: Final = time_how.DONT_CHANGE
SET_TO_SERVER_TIME: Final = time_how.SET_TO_SERVER_TIME
SET_TO_CLIENT_TIME: Final = time_how.SET_TO_CLIENT_TIME
TIME_HOW_VALUES: Final = frozenset((0, 1, 2))


class stable_how(IntEnum):
    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


UNSTABLE: Final = stable_how.UNSTABLE
DATA_SYNC: Final = stable_how.DATA_SYNC
FILE_SYNC: Final = stable_how.FILE_SYNC
STABLE_HOW_VALUES: Final = frozenset((0, 1, 2))


class createmode3(IntEnum):
    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


UNCHECKED: Final = createmode3.UNCHECKED
GUARDED: Final = createmode3.GUARDED
EXCLUSIVE: Final = createmode3.EXCLUSIVE
CREATEMODE3_VALUES: Final = frozenset((0, 1, 2))


uint64: TypeAlias = "int"


int64: TypeAlias = "int"


uint32: TypeAlias = "int"


int32: TypeAlias = "int"


filename3: TypeAlias = "bytes"


nfspath3: TypeAlias = "bytes"


fileid3: TypeAlias = "int"


cookie3: TypeAlias = "int"


cookieverf3: TypeAlias = "bytes"


createverf3: TypeAlias = "bytes"


writeverf3: TypeAlias = "bytes"


uid3: TypeAlias = "int"


gid3: TypeAlias = "int"


size3: TypeAlias = "int"


offset3: TypeAlias = "int"


mode3: TypeAlias = "int"


count3: TypeAlias = "int"


class specdata3(NamedTuple):
    specdata1: int
    specdata2: int


nfs_fh3: TypeAlias = "bytes"


class nfstime3(NamedTuple):
    seconds: int
    nseconds: int


class fattr3(NamedTuple):
    type: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    used: int
    rdev: specdata3
    fsid: int
    fileid: int
    atime: nfstime3
    mtime: nfstime3
    ctime: nfstime3


post_op_attr: TypeAlias = "fattr3 | bytes | None"


class wcc_attr(NamedTuple):
    size: int
    mtime: nfstime3
    ctime: nfstime3


pre_op_attr: TypeAlias = "wcc_attr | None"


class wcc_data(NamedTuple):
    before: wcc_attr | None
    after: fattr3 | bytes | None


post_op_fh3: TypeAlias = "bytes | None"


set_mode3: TypeAlias = "int | None"


set_uid3: TypeAlias = "int | None"


set_gid3: TypeAlias = "int | None"


set_size3: TypeAlias = "int | None"


class set_atime(NamedTuple):
    set_it: int
    atime: nfstime3 | None = None


class set_mtime(NamedTuple):
    set_it: int
    mtime: nfstime3 | None = None


class sattr3(NamedTuple):
    mode: int | None
    uid: int | None
    gid: int | None
    size: int | None
    atime: set_atime
    mtime: set_mtime


class diropargs3(NamedTuple):
    dir: bytes
    name: bytes


GETATTR3args: TypeAlias = "bytes"


GETATTR3resok: TypeAlias = "fattr3 | bytes"


class GETATTR3res(NamedTuple):
    status: int
    resok: fattr3 | bytes | None = None


sattrguard3: TypeAlias = "nfstime3 | None"


class SETATTR3args(NamedTuple):
    object: bytes
    new_attributes: sattr3
    guard: nfstime3 | None


SETATTR3resok: TypeAlias = "wcc_data | bytes"


SETATTR3resfail: TypeAlias = "wcc_data | bytes"


class SETATTR3res(NamedTuple):
    status: int
    resok: wcc_data | bytes | None = None
    resfail: wcc_data | bytes | None = None


LOOKUP3args: TypeAlias = "diropargs3"


class LOOKUP3resok(NamedTuple):
    object: bytes
    obj_attributes: fattr3 | bytes | None
    dir_attributes: fattr3 | bytes | None


LOOKUP3resfail: TypeAlias = "fattr3 | bytes | None"


class LOOKUP3res(NamedTuple):
    status: int
    resok: LOOKUP3resok | None = None
    resfail: fattr3 | bytes | None = None


class ACCESS3args(NamedTuple):
    object: bytes
    access: int


class ACCESS3resok(NamedTuple):
    obj_attributes: fattr3 | bytes | None
    access: int


ACCESS3resfail: TypeAlias = "fattr3 | bytes | None"


class ACCESS3res(NamedTuple):
    status: int
    resok: ACCESS3resok | None = None
    resfail: fattr3 | bytes | None = None


READLINK3args: TypeAlias = "bytes"


class READLINK3resok(NamedTuple):
    symlink_attributes: fattr3 | bytes | None
    data: bytes


READLINK3resfail: TypeAlias = "fattr3 | bytes | None"


class READLINK3res(NamedTuple):
    status: int
    resok: READLINK3resok | None = None
    resfail: fattr3 | bytes | None = None


class READ3args(NamedTuple):
    file: bytes
    offset: int
    count: int  # type: ignore[assignment]


class READ3resok(NamedTuple):
    file_attributes: fattr3 | bytes | None
    count: int  # type: ignore[assignment]
    eof: bool
    data: Buffer


READ3resfail: TypeAlias = "fattr3 | bytes | None"


class READ3res(NamedTuple):
    status: int
    resok: READ3resok | None = None
    resfail: fattr3 | bytes | None = None


class WRITE3args(NamedTuple):
    file: bytes
    offset: int
    count: int  # type: ignore[assignment]
    stable: int
    data: Buffer


class WRITE3resok(NamedTuple):
    file_wcc: wcc_data | bytes
    count: int  # type: ignore[assignment]
    committed: int
    verf: bytes


WRITE3resfail: TypeAlias = "wcc_data | bytes"


class WRITE3res(NamedTuple):
    status: int
    resok: WRITE3resok | None = None
    resfail: wcc_data | bytes | None = None


class createhow3(NamedTuple):
    mode: int
    obj_attributes: sattr3 | None = None
    verf: bytes | None = None


class CREATE3args(NamedTuple):
    where: diropargs3
    how: createhow3


class CREATE3resok(NamedTuple):
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes


CREATE3resfail: TypeAlias = "wcc_data | bytes"


class CREATE3res(NamedTuple):
    status: int
    resok: CREATE3resok | None = None
    resfail: wcc_data | bytes | None = None


class MKDIR3args(NamedTuple):
    where: diropargs3
    attributes: sattr3


class MKDIR3resok(NamedTuple):
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes


MKDIR3resfail: TypeAlias = "wcc_data | bytes"


class MKDIR3res(NamedTuple):
    status: int
    resok: MKDIR3resok | None = None
    resfail: wcc_data | bytes | None = None


class symlinkdata3(NamedTuple):
    symlink_attributes: sattr3
    symlink_data: bytes


class SYMLINK3args(NamedTuple):
    where: diropargs3
    symlink: symlinkdata3


class SYMLINK3resok(NamedTuple):
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes


SYMLINK3resfail: TypeAlias = "wcc_data | bytes"


class SYMLINK3res(NamedTuple):
    status: int
    resok: SYMLINK3resok | None = None
    resfail: wcc_data | bytes | None = None


class devicedata3(NamedTuple):
    dev_attributes: sattr3
    spec: specdata3


class mknoddata3(NamedTuple):
    type: int
    device: devicedata3 | None = None
    pipe_attributes: sattr3 | None = None


class MKNOD3args(NamedTuple):
    where: diropargs3
    what: mknoddata3


class MKNOD3resok(NamedTuple):
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes


MKNOD3resfail: TypeAlias = "wcc_data | bytes"


class MKNOD3res(NamedTuple):
    status: int
    resok: MKNOD3resok | None = None
    resfail: wcc_data | bytes | None = None


REMOVE3args: TypeAlias = "diropargs3"


REMOVE3resok: TypeAlias = "wcc_data | bytes"


REMOVE3resfail: TypeAlias = "wcc_data | bytes"


class REMOVE3res(NamedTuple):
    status: int
    resok: wcc_data | bytes | None = None
    resfail: wcc_data | bytes | None = None


RMDIR3args: TypeAlias = "diropargs3"


RMDIR3resok: TypeAlias = "wcc_data | bytes"


RMDIR3resfail: TypeAlias = "wcc_data | bytes"


class RMDIR3res(NamedTuple):
    status: int
    resok: wcc_data | bytes | None = None
    resfail: wcc_data | bytes | None = None


class RENAME3args(NamedTuple):
    from_: diropargs3
    to: diropargs3


class RENAME3resok(NamedTuple):
    fromdir_wcc: wcc_data | bytes
    todir_wcc: wcc_data | bytes


class RENAME3resfail(NamedTuple):
    fromdir_wcc: wcc_data | bytes
    todir_wcc: wcc_data | bytes


class RENAME3res(NamedTuple):
    status: int
    resok: RENAME3resok | None = None
    resfail: RENAME3resfail | None = None


class LINK3args(NamedTuple):
    file: bytes
    link: diropargs3


class LINK3resok(NamedTuple):
    file_attributes: fattr3 | bytes | None
    linkdir_wcc: wcc_data | bytes


class LINK3resfail(NamedTuple):
    file_attributes: fattr3 | bytes | None
    linkdir_wcc: wcc_data | bytes


class LINK3res(NamedTuple):
    status: int
    resok: LINK3resok | None = None
    resfail: LINK3resfail | None = None


class READDIR3args(NamedTuple):
    dir: bytes
    cookie: int
    cookieverf: bytes
    count: int  # type: ignore[assignment]


class entry3(NamedTuple):
    fileid: int
    name: bytes
    cookie: int


class dirlist3(NamedTuple):
    entries: list[entry3] | bytes
    eof: bool


class READDIR3resok(NamedTuple):
    dir_attributes: fattr3 | bytes | None
    cookieverf: bytes
    reply: dirlist3


READDIR3resfail: TypeAlias = "fattr3 | bytes | None"


class READDIR3res(NamedTuple):
    status: int
    resok: READDIR3resok | None = None
    resfail: fattr3 | bytes | None = None


class READDIRPLUS3args(NamedTuple):
    dir: bytes
    cookie: int
    cookieverf: bytes
    dircount: int
    maxcount: int


class entryplus3(NamedTuple):
    fileid: int
    name: bytes
    cookie: int
    name_attributes: fattr3 | bytes | None
    name_handle: bytes | None


class dirlistplus3(NamedTuple):
    entries: list[entryplus3] | bytes
    eof: bool


class READDIRPLUS3resok(NamedTuple):
    dir_attributes: fattr3 | bytes | None
    cookieverf: bytes
    reply: dirlistplus3


READDIRPLUS3resfail: TypeAlias = "fattr3 | bytes | None"


class READDIRPLUS3res(NamedTuple):
    status: int
    resok: READDIRPLUS3resok | None = None
    resfail: fattr3 | bytes | None = None


FSSTAT3args: TypeAlias = "bytes"


class FSSTAT3resok(NamedTuple):
    obj_attributes: fattr3 | bytes | None
    tbytes: int
    fbytes: int
    abytes: int
    tfiles: int
    ffiles: int
    afiles: int
    invarsec: int


FSSTAT3resfail: TypeAlias = "fattr3 | bytes | None"


class FSSTAT3res(NamedTuple):
    status: int
    resok: FSSTAT3resok | None = None
    resfail: fattr3 | bytes | None = None


FSINFO3args: TypeAlias = "bytes"


class FSINFO3resok(NamedTuple):
    obj_attributes: fattr3 | bytes | None
    rtmax: int
    rtpref: int
    rtmult: int
    wtmax: int
    wtpref: int
    wtmult: int
    dtpref: int
    maxfilesize: int
    time_delta: nfstime3
    properties: int


FSINFO3resfail: TypeAlias = "fattr3 | bytes | None"


class FSINFO3res(NamedTuple):
    status: int
    resok: FSINFO3resok | None = None
    resfail: fattr3 | bytes | None = None


PATHCONF3args: TypeAlias = "bytes"


class PATHCONF3resok(NamedTuple):
    obj_attributes: fattr3 | bytes | None
    linkmax: int
    name_max: int
    no_trunc: bool
    chown_restricted: bool
    case_insensitive: bool
    case_preserving: bool


PATHCONF3resfail: TypeAlias = "fattr3 | bytes | None"


class PATHCONF3res(NamedTuple):
    status: int
    resok: PATHCONF3resok | None = None
    resfail: fattr3 | bytes | None = None


class COMMIT3args(NamedTuple):
    file: bytes
    offset: int
    count: int  # type: ignore[assignment]


class COMMIT3resok(NamedTuple):
    file_wcc: wcc_data | bytes
    verf: bytes


COMMIT3resfail: TypeAlias = "wcc_data | bytes"


class COMMIT3res(NamedTuple):
    status: int
    resok: COMMIT3resok | None = None
    resfail: wcc_data | bytes | None = None


_SATTR3: Final = Remembered[sattr3](28)


def pack_nfs_fh3(value: nfs_fh3, parts: Parts) -> None:
    put = parts.append
    value_length = len(value)
    if value_length > 64:
        raise XdrError(f"value_length of {value_length} where 64 is the bound")
    put(S_I.pack(value_length))
    put(value)
    if value_length & 3:
        put(PADDING[value_length & 3])


def unpack_nfs_fh3(buffer: Buffer, at: int) -> tuple[nfs_fh3, int]:
    (value_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_length > 64:
        raise XdrError(f"value length of {value_length}")
    value = bytes(buffer[at : at + value_length])
    at += (value_length + 3) & -4
    return value, at


def pack_SETATTR3args(value: SETATTR3args, parts: Parts) -> None:
    put = parts.append
    object = value.object
    object_length = len(object)
    if object_length > 64:
        raise XdrError(f"object_length of {object_length} where 64 is the bound")
    put(S_I.pack(object_length))
    put(object)
    if object_length & 3:
        put(PADDING[object_length & 3])
    pack_sattr3(value.new_attributes, parts)
    guard = value.guard
    if guard is not None:
        put(S_3I.pack(1, guard.seconds, guard.nseconds))
    else:
        put(b'\x00\x00\x00\x00')


def unpack_SETATTR3args(buffer: Buffer, at: int) -> tuple[SETATTR3args, int]:
    (object_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if object_length > 64:
        raise XdrError(f"object length of {object_length}")
    object = bytes(buffer[at : at + object_length])
    at += (object_length + 3) & -4
    new_attributes, at = unpack_sattr3(buffer, at)
    (guard_follows,) = S_I.unpack_from(buffer, at)
    at += 4
    guard: nfstime3 | None = None
    if guard_follows == 1:
        guard_seconds, guard_nseconds = S_2I.unpack_from(buffer, at)
        at += 8
        guard = nfstime3(guard_seconds, guard_nseconds)
    elif guard_follows:
        raise XdrError(f"bool of {guard_follows}")
    return SETATTR3args(object, new_attributes, guard), at


def pack_sattr3(value: sattr3, parts: Parts) -> None:
    put = parts.append
    mode = value.mode
    if mode is not None:
        put(S_2I.pack(1, mode))
    else:
        put(b'\x00\x00\x00\x00')
    uid = value.uid
    if uid is not None:
        put(S_2I.pack(1, uid))
    else:
        put(b'\x00\x00\x00\x00')
    gid = value.gid
    if gid is not None:
        put(S_2I.pack(1, gid))
    else:
        put(b'\x00\x00\x00\x00')
    size = value.size
    if size is not None:
        put(S_IQ.pack(1, size))
    else:
        put(b'\x00\x00\x00\x00')
    atime_set_it = value.atime.set_it
    if atime_set_it == 2:
        atime_atime = value.atime.atime
        if atime_atime is None:
            raise XdrError("atime is missing")
        put(S_3I.pack(2, atime_atime.seconds, atime_atime.nseconds))
    else:
        put(S_I.pack(atime_set_it))
    mtime_set_it = value.mtime.set_it
    if mtime_set_it == 2:
        mtime_mtime = value.mtime.mtime
        if mtime_mtime is None:
            raise XdrError("mtime is missing")
        put(S_3I.pack(2, mtime_mtime.seconds, mtime_mtime.nseconds))
    else:
        put(S_I.pack(mtime_set_it))


def unpack_sattr3(buffer: Buffer, at: int) -> tuple[sattr3, int]:
    begin = at
    known = _SATTR3.get(buffer, at)
    if known is not None:
        return known
    (mode_follows,) = S_I.unpack_from(buffer, at)
    at += 4
    mode: int | None = None
    if mode_follows == 1:
        (mode_value,) = S_I.unpack_from(buffer, at)
        at += 4
        mode = mode_value
    elif mode_follows:
        raise XdrError(f"bool of {mode_follows}")
    (uid_follows,) = S_I.unpack_from(buffer, at)
    at += 4
    uid: int | None = None
    if uid_follows == 1:
        (uid_value,) = S_I.unpack_from(buffer, at)
        at += 4
        uid = uid_value
    elif uid_follows:
        raise XdrError(f"bool of {uid_follows}")
    (gid_follows,) = S_I.unpack_from(buffer, at)
    at += 4
    gid: int | None = None
    if gid_follows == 1:
        (gid_value,) = S_I.unpack_from(buffer, at)
        at += 4
        gid = gid_value
    elif gid_follows:
        raise XdrError(f"bool of {gid_follows}")
    (size_follows,) = S_I.unpack_from(buffer, at)
    at += 4
    size: int | None = None
    if size_follows == 1:
        (size_value,) = S_Q.unpack_from(buffer, at)
        at += 8
        size = size_value
    elif size_follows:
        raise XdrError(f"bool of {size_follows}")
    (atime_set_it,) = S_I.unpack_from(buffer, at)
    at += 4
    if atime_set_it not in TIME_HOW_VALUES:
        raise XdrError(f"time_how of {atime_set_it}")
    if atime_set_it == 2:
        atime_atime_seconds, atime_atime_nseconds = S_2I.unpack_from(buffer, at)
        at += 8
        atime = set_atime(atime_set_it, atime=nfstime3(atime_atime_seconds, atime_atime_nseconds))
    else:
        atime = set_atime(atime_set_it)
    (mtime_set_it,) = S_I.unpack_from(buffer, at)
    at += 4
    if mtime_set_it not in TIME_HOW_VALUES:
        raise XdrError(f"time_how of {mtime_set_it}")
    if mtime_set_it == 2:
        mtime_mtime_seconds, mtime_mtime_nseconds = S_2I.unpack_from(buffer, at)
        at += 8
        mtime = set_mtime(mtime_set_it, mtime=nfstime3(mtime_mtime_seconds, mtime_mtime_nseconds))
    else:
        mtime = set_mtime(mtime_set_it)
    return _SATTR3.put(buffer, begin, at, sattr3(mode, uid, gid, size, atime, mtime)), at


def pack_diropargs3(value: diropargs3, parts: Parts) -> None:
    put = parts.append
    dir = value.dir
    dir_length = len(dir)
    if dir_length > 64:
        raise XdrError(f"dir_length of {dir_length} where 64 is the bound")
    put(S_I.pack(dir_length))
    put(dir)
    if dir_length & 3:
        put(PADDING[dir_length & 3])
    name = value.name
    name_length = len(name)
    put(S_I.pack(name_length))
    put(name)
    if name_length & 3:
        put(PADDING[name_length & 3])


def unpack_diropargs3(buffer: Buffer, at: int) -> tuple[diropargs3, int]:
    (dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if dir_length > 64:
        raise XdrError(f"dir length of {dir_length}")
    dir = bytes(buffer[at : at + dir_length])
    at += (dir_length + 3) & -4
    (name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    name = bytes(buffer[at : at + name_length])
    at += (name_length + 3) & -4
    return diropargs3(dir, name), at


def pack_ACCESS3args(value: ACCESS3args, parts: Parts) -> None:
    put = parts.append
    object = value.object
    object_length = len(object)
    if object_length > 64:
        raise XdrError(f"object_length of {object_length} where 64 is the bound")
    put(S_I.pack(object_length))
    put(object)
    if object_length & 3:
        put(PADDING[object_length & 3])
    put(S_I.pack(value.access))


def unpack_ACCESS3args(buffer: Buffer, at: int) -> tuple[ACCESS3args, int]:
    (object_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if object_length > 64:
        raise XdrError(f"object length of {object_length}")
    object = bytes(buffer[at : at + object_length])
    at += (object_length + 3) & -4
    (access,) = S_I.unpack_from(buffer, at)
    at += 4
    return ACCESS3args(object, access), at


def pack_READ3args(value: READ3args, parts: Parts) -> None:
    put = parts.append
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    put(S_I.pack(file_length))
    put(file)
    if file_length & 3:
        put(PADDING[file_length & 3])
    put(S_QI.pack(value.offset, value.count))


def unpack_READ3args(buffer: Buffer, at: int) -> tuple[READ3args, int]:
    (file_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = bytes(buffer[at : at + file_length])
    at += (file_length + 3) & -4
    offset, count = S_QI.unpack_from(buffer, at)
    at += 12
    return READ3args(file, offset, count), at


def pack_WRITE3args(value: WRITE3args, parts: Parts) -> None:
    put = parts.append
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    put(S_I.pack(file_length))
    put(file)
    if file_length & 3:
        put(PADDING[file_length & 3])
    data = value.data
    data_length = len(data)
    put(S_Q3I.pack(value.offset, value.count, value.stable, data_length))
    put(data)
    if data_length & 3:
        put(PADDING[data_length & 3])


def unpack_WRITE3args(buffer: Buffer, at: int) -> tuple[WRITE3args, int]:
    (file_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = bytes(buffer[at : at + file_length])
    at += (file_length + 3) & -4
    offset, count, stable, data_length = S_Q3I.unpack_from(buffer, at)
    at += 20
    if stable not in STABLE_HOW_VALUES:
        raise XdrError(f"stable_how of {stable}")
    data = memoryview(buffer)[at : at + data_length]
    at += (data_length + 3) & -4
    return WRITE3args(file, offset, count, stable, data), at


def pack_CREATE3args(value: CREATE3args, parts: Parts) -> None:
    put = parts.append
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    put(S_I.pack(where_dir_length))
    put(where_dir)
    if where_dir_length & 3:
        put(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    put(S_I.pack(where_name_length))
    put(where_name)
    if where_name_length & 3:
        put(PADDING[where_name_length & 3])
    how_mode = value.how.mode
    if how_mode in (0, 1):
        how_obj_attributes = value.how.obj_attributes
        if how_obj_attributes is None:
            raise XdrError("obj_attributes is missing")
        put(S_I.pack(how_mode))
        pack_sattr3(how_obj_attributes, parts)
    elif how_mode == 2:
        how_verf = value.how.verf
        if how_verf is None:
            raise XdrError("verf is missing")
        put(S_I8s.pack(2, how_verf))
    else:
        raise XdrError(f"createhow3 of {how_mode}")


def unpack_CREATE3args(buffer: Buffer, at: int) -> tuple[CREATE3args, int]:
    (where_dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = bytes(buffer[at : at + where_dir_length])
    at += (where_dir_length + 3) & -4
    (where_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    where_name = bytes(buffer[at : at + where_name_length])
    at += (where_name_length + 3) & -4
    (how_mode,) = S_I.unpack_from(buffer, at)
    at += 4
    if how_mode in (0, 1):
        how_obj_attributes, at = unpack_sattr3(buffer, at)
        how = createhow3(how_mode, obj_attributes=how_obj_attributes)
    elif how_mode == 2:
        (how_verf,) = S_8s.unpack_from(buffer, at)
        at += 8
        how = createhow3(how_mode, verf=how_verf)
    else:
        raise XdrError(f"createhow3 of {how_mode}")
    return CREATE3args(diropargs3(where_dir, where_name), how), at


def pack_MKDIR3args(value: MKDIR3args, parts: Parts) -> None:
    put = parts.append
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    put(S_I.pack(where_dir_length))
    put(where_dir)
    if where_dir_length & 3:
        put(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    put(S_I.pack(where_name_length))
    put(where_name)
    if where_name_length & 3:
        put(PADDING[where_name_length & 3])
    pack_sattr3(value.attributes, parts)


def unpack_MKDIR3args(buffer: Buffer, at: int) -> tuple[MKDIR3args, int]:
    (where_dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = bytes(buffer[at : at + where_dir_length])
    at += (where_dir_length + 3) & -4
    (where_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    where_name = bytes(buffer[at : at + where_name_length])
    at += (where_name_length + 3) & -4
    attributes, at = unpack_sattr3(buffer, at)
    return MKDIR3args(diropargs3(where_dir, where_name), attributes), at


def pack_SYMLINK3args(value: SYMLINK3args, parts: Parts) -> None:
    put = parts.append
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    put(S_I.pack(where_dir_length))
    put(where_dir)
    if where_dir_length & 3:
        put(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    put(S_I.pack(where_name_length))
    put(where_name)
    if where_name_length & 3:
        put(PADDING[where_name_length & 3])
    pack_sattr3(value.symlink.symlink_attributes, parts)
    symlink_symlink_data = value.symlink.symlink_data
    symlink_symlink_data_length = len(symlink_symlink_data)
    put(S_I.pack(symlink_symlink_data_length))
    put(symlink_symlink_data)
    if symlink_symlink_data_length & 3:
        put(PADDING[symlink_symlink_data_length & 3])


def unpack_SYMLINK3args(buffer: Buffer, at: int) -> tuple[SYMLINK3args, int]:
    (where_dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = bytes(buffer[at : at + where_dir_length])
    at += (where_dir_length + 3) & -4
    (where_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    where_name = bytes(buffer[at : at + where_name_length])
    at += (where_name_length + 3) & -4
    symlink_symlink_attributes, at = unpack_sattr3(buffer, at)
    (symlink_symlink_data_length,) = S_I.unpack_from(buffer, at)
    at += 4
    symlink_symlink_data = bytes(buffer[at : at + symlink_symlink_data_length])
    at += (symlink_symlink_data_length + 3) & -4
    return SYMLINK3args(diropargs3(where_dir, where_name), symlinkdata3(symlink_symlink_attributes, symlink_symlink_data)), at


def pack_MKNOD3args(value: MKNOD3args, parts: Parts) -> None:
    put = parts.append
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    put(S_I.pack(where_dir_length))
    put(where_dir)
    if where_dir_length & 3:
        put(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    put(S_I.pack(where_name_length))
    put(where_name)
    if where_name_length & 3:
        put(PADDING[where_name_length & 3])
    what_type = value.what.type
    if what_type in (4, 3):
        what_device = value.what.device
        if what_device is None:
            raise XdrError("device is missing")
        put(S_I.pack(what_type))
        pack_sattr3(what_device.dev_attributes, parts)
        put(S_2I.pack(what_device.spec.specdata1, what_device.spec.specdata2))
    elif what_type in (6, 7):
        what_pipe_attributes = value.what.pipe_attributes
        if what_pipe_attributes is None:
            raise XdrError("pipe_attributes is missing")
        put(S_I.pack(what_type))
        pack_sattr3(what_pipe_attributes, parts)
    else:
        put(S_I.pack(what_type))


def unpack_MKNOD3args(buffer: Buffer, at: int) -> tuple[MKNOD3args, int]:
    (where_dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = bytes(buffer[at : at + where_dir_length])
    at += (where_dir_length + 3) & -4
    (where_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    where_name = bytes(buffer[at : at + where_name_length])
    at += (where_name_length + 3) & -4
    (what_type,) = S_I.unpack_from(buffer, at)
    at += 4
    if what_type not in FTYPE3_VALUES:
        raise XdrError(f"ftype3 of {what_type}")
    if what_type in (4, 3):
        what_device_dev_attributes, at = unpack_sattr3(buffer, at)
        (what_device_spec_specdata1, what_device_spec_specdata2) = S_2I.unpack_from(buffer, at)
        at += 8
        what = mknoddata3(what_type, device=devicedata3(what_device_dev_attributes, specdata3(what_device_spec_specdata1, what_device_spec_specdata2)))
    elif what_type in (6, 7):
        what_pipe_attributes, at = unpack_sattr3(buffer, at)
        what = mknoddata3(what_type, pipe_attributes=what_pipe_attributes)
    else:
        what = mknoddata3(what_type)
    return MKNOD3args(diropargs3(where_dir, where_name), what), at


def pack_RENAME3args(value: RENAME3args, parts: Parts) -> None:
    put = parts.append
    from__dir = value.from_.dir
    from__dir_length = len(from__dir)
    if from__dir_length > 64:
        raise XdrError(f"from__dir_length of {from__dir_length} where 64 is the bound")
    put(S_I.pack(from__dir_length))
    put(from__dir)
    if from__dir_length & 3:
        put(PADDING[from__dir_length & 3])
    from__name = value.from_.name
    from__name_length = len(from__name)
    put(S_I.pack(from__name_length))
    put(from__name)
    if from__name_length & 3:
        put(PADDING[from__name_length & 3])
    to_dir = value.to.dir
    to_dir_length = len(to_dir)
    if to_dir_length > 64:
        raise XdrError(f"to_dir_length of {to_dir_length} where 64 is the bound")
    put(S_I.pack(to_dir_length))
    put(to_dir)
    if to_dir_length & 3:
        put(PADDING[to_dir_length & 3])
    to_name = value.to.name
    to_name_length = len(to_name)
    put(S_I.pack(to_name_length))
    put(to_name)
    if to_name_length & 3:
        put(PADDING[to_name_length & 3])


def unpack_RENAME3args(buffer: Buffer, at: int) -> tuple[RENAME3args, int]:
    (from__dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if from__dir_length > 64:
        raise XdrError(f"from__dir length of {from__dir_length}")
    from__dir = bytes(buffer[at : at + from__dir_length])
    at += (from__dir_length + 3) & -4
    (from__name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    from__name = bytes(buffer[at : at + from__name_length])
    at += (from__name_length + 3) & -4
    (to_dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if to_dir_length > 64:
        raise XdrError(f"to_dir length of {to_dir_length}")
    to_dir = bytes(buffer[at : at + to_dir_length])
    at += (to_dir_length + 3) & -4
    (to_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    to_name = bytes(buffer[at : at + to_name_length])
    at += (to_name_length + 3) & -4
    return RENAME3args(diropargs3(from__dir, from__name), diropargs3(to_dir, to_name)), at


def pack_LINK3args(value: LINK3args, parts: Parts) -> None:
    put = parts.append
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    put(S_I.pack(file_length))
    put(file)
    if file_length & 3:
        put(PADDING[file_length & 3])
    link_dir = value.link.dir
    link_dir_length = len(link_dir)
    if link_dir_length > 64:
        raise XdrError(f"link_dir_length of {link_dir_length} where 64 is the bound")
    put(S_I.pack(link_dir_length))
    put(link_dir)
    if link_dir_length & 3:
        put(PADDING[link_dir_length & 3])
    link_name = value.link.name
    link_name_length = len(link_name)
    put(S_I.pack(link_name_length))
    put(link_name)
    if link_name_length & 3:
        put(PADDING[link_name_length & 3])


def unpack_LINK3args(buffer: Buffer, at: int) -> tuple[LINK3args, int]:
    (file_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = bytes(buffer[at : at + file_length])
    at += (file_length + 3) & -4
    (link_dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if link_dir_length > 64:
        raise XdrError(f"link_dir length of {link_dir_length}")
    link_dir = bytes(buffer[at : at + link_dir_length])
    at += (link_dir_length + 3) & -4
    (link_name_length,) = S_I.unpack_from(buffer, at)
    at += 4
    link_name = bytes(buffer[at : at + link_name_length])
    at += (link_name_length + 3) & -4
    return LINK3args(file, diropargs3(link_dir, link_name)), at


def pack_READDIR3args(value: READDIR3args, parts: Parts) -> None:
    put = parts.append
    dir = value.dir
    dir_length = len(dir)
    if dir_length > 64:
        raise XdrError(f"dir_length of {dir_length} where 64 is the bound")
    put(S_I.pack(dir_length))
    put(dir)
    if dir_length & 3:
        put(PADDING[dir_length & 3])
    put(S_Q8sI.pack(value.cookie, value.cookieverf, value.count))


def unpack_READDIR3args(buffer: Buffer, at: int) -> tuple[READDIR3args, int]:
    (dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if dir_length > 64:
        raise XdrError(f"dir length of {dir_length}")
    dir = bytes(buffer[at : at + dir_length])
    at += (dir_length + 3) & -4
    cookie, cookieverf, count = S_Q8sI.unpack_from(buffer, at)
    at += 20
    return READDIR3args(dir, cookie, cookieverf, count), at


def pack_READDIRPLUS3args(value: READDIRPLUS3args, parts: Parts) -> None:
    put = parts.append
    dir = value.dir
    dir_length = len(dir)
    if dir_length > 64:
        raise XdrError(f"dir_length of {dir_length} where 64 is the bound")
    put(S_I.pack(dir_length))
    put(dir)
    if dir_length & 3:
        put(PADDING[dir_length & 3])
    put(S_Q8s2I.pack(value.cookie, value.cookieverf, value.dircount, value.maxcount))


def unpack_READDIRPLUS3args(buffer: Buffer, at: int) -> tuple[READDIRPLUS3args, int]:
    (dir_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if dir_length > 64:
        raise XdrError(f"dir length of {dir_length}")
    dir = bytes(buffer[at : at + dir_length])
    at += (dir_length + 3) & -4
    cookie, cookieverf, dircount, maxcount = S_Q8s2I.unpack_from(buffer, at)
    at += 24
    return READDIRPLUS3args(dir, cookie, cookieverf, dircount, maxcount), at


def pack_COMMIT3args(value: COMMIT3args, parts: Parts) -> None:
    put = parts.append
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    put(S_I.pack(file_length))
    put(file)
    if file_length & 3:
        put(PADDING[file_length & 3])
    put(S_QI.pack(value.offset, value.count))


def unpack_COMMIT3args(buffer: Buffer, at: int) -> tuple[COMMIT3args, int]:
    (file_length,) = S_I.unpack_from(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = bytes(buffer[at : at + file_length])
    at += (file_length + 3) & -4
    offset, count = S_QI.unpack_from(buffer, at)
    at += 12
    return COMMIT3args(file, offset, count), at


def pack_GETATTR3res(value: GETATTR3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        if not isinstance(resok, bytes):
            resok = encode(pack_fattr3, resok)
        put(S_I84s.pack(0, resok))
    else:
        put(S_I.pack(status))


def unpack_GETATTR3res(buffer: Buffer, at: int) -> tuple[GETATTR3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok, at = unpack_fattr3(buffer, at)
        value = GETATTR3res(value_status, resok=value_resok)
    else:
        value = GETATTR3res(value_status)
    return value, at


def pack_fattr3(value: fattr3, parts: Parts) -> None:
    put = parts.append
    put(S_5I2Q2I2Q6I.pack(
        value.type, value.mode, value.nlink, value.uid, value.gid, value.size, value.used,
        value.rdev.specdata1, value.rdev.specdata2, value.fsid, value.fileid, value.atime.seconds,
        value.atime.nseconds, value.mtime.seconds, value.mtime.nseconds, value.ctime.seconds,
        value.ctime.nseconds,
    ))


def unpack_fattr3(buffer: Buffer, at: int) -> tuple[fattr3, int]:
    (
        type, mode, nlink, uid, gid, size, used, rdev_specdata1, rdev_specdata2, fsid, fileid,
        atime_seconds, atime_nseconds, mtime_seconds, mtime_nseconds, ctime_seconds,
        ctime_nseconds,
    ) = S_5I2Q2I2Q6I.unpack_from(buffer, at)
    at += 84
    if type not in FTYPE3_VALUES:
        raise XdrError(f"ftype3 of {type}")
    return fattr3(type, mode, nlink, uid, gid, size, used, specdata3(rdev_specdata1, rdev_specdata2), fsid, fileid, nfstime3(atime_seconds, atime_nseconds), nfstime3(mtime_seconds, mtime_nseconds), nfstime3(ctime_seconds, ctime_nseconds)), at


def pack_SETATTR3res(value: SETATTR3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        put(b'\x00\x00\x00\x00')
        if isinstance(resok, bytes):
            put(resok)
        else:
            pack_wcc_data(resok, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_SETATTR3res(buffer: Buffer, at: int) -> tuple[SETATTR3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok, at = unpack_wcc_data(buffer, at)
        value = SETATTR3res(value_status, resok=value_resok)
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = SETATTR3res(value_status, resfail=value_resfail)
    return value, at


def pack_wcc_data(value: wcc_data, parts: Parts) -> None:
    put = parts.append
    before = value.before
    if before is not None:
        put(S_IQ4I.pack(
            1, before.size, before.mtime.seconds, before.mtime.nseconds, before.ctime.seconds,
            before.ctime.nseconds,
        ))
    else:
        put(b'\x00\x00\x00\x00')
    after = value.after
    if after is not None:
        if not isinstance(after, bytes):
            after = encode(pack_fattr3, after)
        put(S_I84s.pack(1, after))
    else:
        put(b'\x00\x00\x00\x00')


def unpack_wcc_data(buffer: Buffer, at: int) -> tuple[wcc_data, int]:
    (before_follows,) = S_I.unpack_from(buffer, at)
    at += 4
    before: wcc_attr | None = None
    if before_follows == 1:
        (
            before_size, before_mtime_seconds, before_mtime_nseconds, before_ctime_seconds,
            before_ctime_nseconds,
        ) = S_Q4I.unpack_from(buffer, at)
        at += 24
        before = wcc_attr(before_size, nfstime3(before_mtime_seconds, before_mtime_nseconds), nfstime3(before_ctime_seconds, before_ctime_nseconds))
    elif before_follows:
        raise XdrError(f"bool of {before_follows}")
    (after_follows,) = S_I.unpack_from(buffer, at)
    at += 4
    after: fattr3 | bytes | None = None
    if after_follows == 1:
        after, at = unpack_fattr3(buffer, at)
        after = after
    elif after_follows:
        raise XdrError(f"bool of {after_follows}")
    return wcc_data(before, after), at


def pack_LOOKUP3res(value: LOOKUP3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_object = resok.object
        resok_object_length = len(resok_object)
        if resok_object_length > 64:
            raise XdrError(f"resok_object_length of {resok_object_length} where 64 is the bound")
        put(S_2I.pack(0, resok_object_length))
        put(resok_object)
        if resok_object_length & 3:
            put(PADDING[resok_object_length & 3])
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_I84s.pack(1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00')
        resok_dir_attributes = resok.dir_attributes
        if resok_dir_attributes is not None:
            if not isinstance(resok_dir_attributes, bytes):
                resok_dir_attributes = encode(pack_fattr3, resok_dir_attributes)
            put(S_I84s.pack(1, resok_dir_attributes))
        else:
            put(b'\x00\x00\x00\x00')
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_LOOKUP3res(buffer: Buffer, at: int) -> tuple[LOOKUP3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_object_length,) = S_I.unpack_from(buffer, at)
        at += 4
        if value_resok_object_length > 64:
            raise XdrError(f"value_resok_object length of {value_resok_object_length}")
        value_resok_object = bytes(buffer[at : at + value_resok_object_length])
        at += (value_resok_object_length + 3) & -4
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        (value_resok_dir_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_dir_attributes: fattr3 | bytes | None = None
        if value_resok_dir_attributes_follows == 1:
            value_resok_dir_attributes, at = unpack_fattr3(buffer, at)
            value_resok_dir_attributes = value_resok_dir_attributes
        elif value_resok_dir_attributes_follows:
            raise XdrError(f"bool of {value_resok_dir_attributes_follows}")
        value = LOOKUP3res(value_status, resok=LOOKUP3resok(value_resok_object, value_resok_obj_attributes, value_resok_dir_attributes))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = LOOKUP3res(value_status, resfail=value_resfail)
    return value, at


def pack_ACCESS3res(value: ACCESS3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_2I84s.pack(0, 1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        put(S_I.pack(resok.access))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_ACCESS3res(buffer: Buffer, at: int) -> tuple[ACCESS3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        (value_resok_access,) = S_I.unpack_from(buffer, at)
        at += 4
        value = ACCESS3res(value_status, resok=ACCESS3resok(value_resok_obj_attributes, value_resok_access))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = ACCESS3res(value_status, resfail=value_resfail)
    return value, at


def pack_READLINK3res(value: READLINK3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_symlink_attributes = resok.symlink_attributes
        if resok_symlink_attributes is not None:
            if not isinstance(resok_symlink_attributes, bytes):
                resok_symlink_attributes = encode(pack_fattr3, resok_symlink_attributes)
            put(S_2I84s.pack(0, 1, resok_symlink_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_data = resok.data
        resok_data_length = len(resok_data)
        put(S_I.pack(resok_data_length))
        put(resok_data)
        if resok_data_length & 3:
            put(PADDING[resok_data_length & 3])
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_READLINK3res(buffer: Buffer, at: int) -> tuple[READLINK3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_symlink_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_symlink_attributes: fattr3 | bytes | None = None
        if value_resok_symlink_attributes_follows == 1:
            value_resok_symlink_attributes, at = unpack_fattr3(buffer, at)
            value_resok_symlink_attributes = value_resok_symlink_attributes
        elif value_resok_symlink_attributes_follows:
            raise XdrError(f"bool of {value_resok_symlink_attributes_follows}")
        (value_resok_data_length,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_data = bytes(buffer[at : at + value_resok_data_length])
        at += (value_resok_data_length + 3) & -4
        value = READLINK3res(value_status, resok=READLINK3resok(value_resok_symlink_attributes, value_resok_data))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = READLINK3res(value_status, resfail=value_resfail)
    return value, at


def pack_READ3res(value: READ3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_attributes = resok.file_attributes
        if resok_file_attributes is not None:
            if not isinstance(resok_file_attributes, bytes):
                resok_file_attributes = encode(pack_fattr3, resok_file_attributes)
            put(S_2I84s.pack(0, 1, resok_file_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_data = resok.data
        resok_data_length = len(resok_data)
        put(S_3I.pack(resok.count, resok.eof, resok_data_length))
        put(resok_data)
        if resok_data_length & 3:
            put(PADDING[resok_data_length & 3])
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_READ3res(buffer: Buffer, at: int) -> tuple[READ3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_file_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_file_attributes: fattr3 | bytes | None = None
        if value_resok_file_attributes_follows == 1:
            value_resok_file_attributes, at = unpack_fattr3(buffer, at)
            value_resok_file_attributes = value_resok_file_attributes
        elif value_resok_file_attributes_follows:
            raise XdrError(f"bool of {value_resok_file_attributes_follows}")
        (
            value_resok_count, value_resok_eof, value_resok_data_length,
        ) = S_3I.unpack_from(buffer, at)
        at += 12
        if value_resok_eof > 1:
            raise XdrError(f"bool of {value_resok_eof}")
        value_resok_data = memoryview(buffer)[at : at + value_resok_data_length]
        at += (value_resok_data_length + 3) & -4
        value = READ3res(value_status, resok=READ3resok(value_resok_file_attributes, value_resok_count, value_resok_eof == 1, value_resok_data))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = READ3res(value_status, resfail=value_resfail)
    return value, at


def pack_WRITE3res(value: WRITE3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_wcc = resok.file_wcc
        put(b'\x00\x00\x00\x00')
        if isinstance(resok_file_wcc, bytes):
            put(resok_file_wcc)
        else:
            pack_wcc_data(resok_file_wcc, parts)
        put(S_2I8s.pack(resok.count, resok.committed, resok.verf))
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_WRITE3res(buffer: Buffer, at: int) -> tuple[WRITE3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok_file_wcc, at = unpack_wcc_data(buffer, at)
        (
            value_resok_count, value_resok_committed, value_resok_verf,
        ) = S_2I8s.unpack_from(buffer, at)
        at += 16
        if value_resok_committed not in STABLE_HOW_VALUES:
            raise XdrError(f"stable_how of {value_resok_committed}")
        value = WRITE3res(value_status, resok=WRITE3resok(value_resok_file_wcc, value_resok_count, value_resok_committed, value_resok_verf))
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = WRITE3res(value_status, resfail=value_resfail)
    return value, at


def pack_CREATE3res(value: CREATE3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj = resok.obj
        if resok_obj is not None:
            resok_obj_length = len(resok_obj)
            if resok_obj_length > 64:
                raise XdrError(f"resok_obj_length of {resok_obj_length} where 64 is the bound")
            put(S_3I.pack(0, 1, resok_obj_length))
            put(resok_obj)
            if resok_obj_length & 3:
                put(PADDING[resok_obj_length & 3])
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_I84s.pack(1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            put(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_CREATE3res(buffer: Buffer, at: int) -> tuple[CREATE3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = S_I.unpack_from(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = bytes(buffer[at : at + value_resok_obj_value_length])
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        value_resok_dir_wcc, at = unpack_wcc_data(buffer, at)
        value = CREATE3res(value_status, resok=CREATE3resok(value_resok_obj, value_resok_obj_attributes, value_resok_dir_wcc))
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = CREATE3res(value_status, resfail=value_resfail)
    return value, at


def pack_MKDIR3res(value: MKDIR3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj = resok.obj
        if resok_obj is not None:
            resok_obj_length = len(resok_obj)
            if resok_obj_length > 64:
                raise XdrError(f"resok_obj_length of {resok_obj_length} where 64 is the bound")
            put(S_3I.pack(0, 1, resok_obj_length))
            put(resok_obj)
            if resok_obj_length & 3:
                put(PADDING[resok_obj_length & 3])
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_I84s.pack(1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            put(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_MKDIR3res(buffer: Buffer, at: int) -> tuple[MKDIR3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = S_I.unpack_from(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = bytes(buffer[at : at + value_resok_obj_value_length])
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        value_resok_dir_wcc, at = unpack_wcc_data(buffer, at)
        value = MKDIR3res(value_status, resok=MKDIR3resok(value_resok_obj, value_resok_obj_attributes, value_resok_dir_wcc))
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = MKDIR3res(value_status, resfail=value_resfail)
    return value, at


def pack_SYMLINK3res(value: SYMLINK3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj = resok.obj
        if resok_obj is not None:
            resok_obj_length = len(resok_obj)
            if resok_obj_length > 64:
                raise XdrError(f"resok_obj_length of {resok_obj_length} where 64 is the bound")
            put(S_3I.pack(0, 1, resok_obj_length))
            put(resok_obj)
            if resok_obj_length & 3:
                put(PADDING[resok_obj_length & 3])
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_I84s.pack(1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            put(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_SYMLINK3res(buffer: Buffer, at: int) -> tuple[SYMLINK3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = S_I.unpack_from(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = bytes(buffer[at : at + value_resok_obj_value_length])
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        value_resok_dir_wcc, at = unpack_wcc_data(buffer, at)
        value = SYMLINK3res(value_status, resok=SYMLINK3resok(value_resok_obj, value_resok_obj_attributes, value_resok_dir_wcc))
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = SYMLINK3res(value_status, resfail=value_resfail)
    return value, at


def pack_MKNOD3res(value: MKNOD3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj = resok.obj
        if resok_obj is not None:
            resok_obj_length = len(resok_obj)
            if resok_obj_length > 64:
                raise XdrError(f"resok_obj_length of {resok_obj_length} where 64 is the bound")
            put(S_3I.pack(0, 1, resok_obj_length))
            put(resok_obj)
            if resok_obj_length & 3:
                put(PADDING[resok_obj_length & 3])
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_I84s.pack(1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            put(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_MKNOD3res(buffer: Buffer, at: int) -> tuple[MKNOD3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = S_I.unpack_from(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = bytes(buffer[at : at + value_resok_obj_value_length])
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        value_resok_dir_wcc, at = unpack_wcc_data(buffer, at)
        value = MKNOD3res(value_status, resok=MKNOD3resok(value_resok_obj, value_resok_obj_attributes, value_resok_dir_wcc))
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = MKNOD3res(value_status, resfail=value_resfail)
    return value, at


def pack_REMOVE3res(value: REMOVE3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        put(b'\x00\x00\x00\x00')
        if isinstance(resok, bytes):
            put(resok)
        else:
            pack_wcc_data(resok, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_REMOVE3res(buffer: Buffer, at: int) -> tuple[REMOVE3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok, at = unpack_wcc_data(buffer, at)
        value = REMOVE3res(value_status, resok=value_resok)
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = REMOVE3res(value_status, resfail=value_resfail)
    return value, at


def pack_RMDIR3res(value: RMDIR3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        put(b'\x00\x00\x00\x00')
        if isinstance(resok, bytes):
            put(resok)
        else:
            pack_wcc_data(resok, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_RMDIR3res(buffer: Buffer, at: int) -> tuple[RMDIR3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok, at = unpack_wcc_data(buffer, at)
        value = RMDIR3res(value_status, resok=value_resok)
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = RMDIR3res(value_status, resfail=value_resfail)
    return value, at


def pack_RENAME3res(value: RENAME3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_fromdir_wcc = resok.fromdir_wcc
        put(b'\x00\x00\x00\x00')
        if isinstance(resok_fromdir_wcc, bytes):
            put(resok_fromdir_wcc)
        else:
            pack_wcc_data(resok_fromdir_wcc, parts)
        resok_todir_wcc = resok.todir_wcc
        if isinstance(resok_todir_wcc, bytes):
            put(resok_todir_wcc)
        else:
            pack_wcc_data(resok_todir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        resfail_fromdir_wcc = resfail.fromdir_wcc
        put(S_I.pack(status))
        if isinstance(resfail_fromdir_wcc, bytes):
            put(resfail_fromdir_wcc)
        else:
            pack_wcc_data(resfail_fromdir_wcc, parts)
        resfail_todir_wcc = resfail.todir_wcc
        if isinstance(resfail_todir_wcc, bytes):
            put(resfail_todir_wcc)
        else:
            pack_wcc_data(resfail_todir_wcc, parts)


def unpack_RENAME3res(buffer: Buffer, at: int) -> tuple[RENAME3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok_fromdir_wcc, at = unpack_wcc_data(buffer, at)
        value_resok_todir_wcc, at = unpack_wcc_data(buffer, at)
        value = RENAME3res(value_status, resok=RENAME3resok(value_resok_fromdir_wcc, value_resok_todir_wcc))
    else:
        value_resfail_fromdir_wcc, at = unpack_wcc_data(buffer, at)
        value_resfail_todir_wcc, at = unpack_wcc_data(buffer, at)
        value = RENAME3res(value_status, resfail=RENAME3resfail(value_resfail_fromdir_wcc, value_resfail_todir_wcc))
    return value, at


def pack_LINK3res(value: LINK3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_attributes = resok.file_attributes
        if resok_file_attributes is not None:
            if not isinstance(resok_file_attributes, bytes):
                resok_file_attributes = encode(pack_fattr3, resok_file_attributes)
            put(S_2I84s.pack(0, 1, resok_file_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_linkdir_wcc = resok.linkdir_wcc
        if isinstance(resok_linkdir_wcc, bytes):
            put(resok_linkdir_wcc)
        else:
            pack_wcc_data(resok_linkdir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        resfail_file_attributes = resfail.file_attributes
        if resfail_file_attributes is not None:
            if not isinstance(resfail_file_attributes, bytes):
                resfail_file_attributes = encode(pack_fattr3, resfail_file_attributes)
            put(S_2I84s.pack(status, 1, resfail_file_attributes))
        else:
            put(S_2I.pack(status, 0))
        resfail_linkdir_wcc = resfail.linkdir_wcc
        if isinstance(resfail_linkdir_wcc, bytes):
            put(resfail_linkdir_wcc)
        else:
            pack_wcc_data(resfail_linkdir_wcc, parts)


def unpack_LINK3res(buffer: Buffer, at: int) -> tuple[LINK3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_file_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_file_attributes: fattr3 | bytes | None = None
        if value_resok_file_attributes_follows == 1:
            value_resok_file_attributes, at = unpack_fattr3(buffer, at)
            value_resok_file_attributes = value_resok_file_attributes
        elif value_resok_file_attributes_follows:
            raise XdrError(f"bool of {value_resok_file_attributes_follows}")
        value_resok_linkdir_wcc, at = unpack_wcc_data(buffer, at)
        value = LINK3res(value_status, resok=LINK3resok(value_resok_file_attributes, value_resok_linkdir_wcc))
    else:
        (value_resfail_file_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail_file_attributes: fattr3 | bytes | None = None
        if value_resfail_file_attributes_follows == 1:
            value_resfail_file_attributes, at = unpack_fattr3(buffer, at)
            value_resfail_file_attributes = value_resfail_file_attributes
        elif value_resfail_file_attributes_follows:
            raise XdrError(f"bool of {value_resfail_file_attributes_follows}")
        value_resfail_linkdir_wcc, at = unpack_wcc_data(buffer, at)
        value = LINK3res(value_status, resfail=LINK3resfail(value_resfail_file_attributes, value_resfail_linkdir_wcc))
    return value, at


def pack_READDIR3res(value: READDIR3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_dir_attributes = resok.dir_attributes
        if resok_dir_attributes is not None:
            if not isinstance(resok_dir_attributes, bytes):
                resok_dir_attributes = encode(pack_fattr3, resok_dir_attributes)
            put(S_2I84s.pack(0, 1, resok_dir_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_reply_entries = resok.reply.entries
        put(S_8s.pack(resok.cookieverf))
        if isinstance(resok_reply_entries, bytes):
            put(resok_reply_entries)
        else:
            for entry3 in resok_reply_entries:
                pack_entry3(entry3, parts)
        put(S_2I.pack(0, resok.reply.eof))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_READDIR3res(buffer: Buffer, at: int) -> tuple[READDIR3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_dir_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_dir_attributes: fattr3 | bytes | None = None
        if value_resok_dir_attributes_follows == 1:
            value_resok_dir_attributes, at = unpack_fattr3(buffer, at)
            value_resok_dir_attributes = value_resok_dir_attributes
        elif value_resok_dir_attributes_follows:
            raise XdrError(f"bool of {value_resok_dir_attributes_follows}")
        (value_resok_cookieverf, value_resok_reply_entries_follows) = S_8sI.unpack_from(buffer, at)
        at += 12
        value_resok_reply_entries: list[entry3] = []
        while value_resok_reply_entries_follows == 1:
            entry3_fileid, entry3_name_length = S_QI.unpack_from(buffer, at)
            at += 12
            entry3_name = bytes(buffer[at : at + entry3_name_length])
            at += (entry3_name_length + 3) & -4
            (entry3_cookie, value_resok_reply_entries_follows) = S_QI.unpack_from(buffer, at)
            at += 12
            value_resok_reply_entries.append(entry3(entry3_fileid, entry3_name, entry3_cookie))
        if value_resok_reply_entries_follows:
            raise XdrError(f"bool of {value_resok_reply_entries_follows}")
        (value_resok_reply_eof,) = S_I.unpack_from(buffer, at)
        at += 4
        if value_resok_reply_eof > 1:
            raise XdrError(f"bool of {value_resok_reply_eof}")
        value = READDIR3res(value_status, resok=READDIR3resok(value_resok_dir_attributes, value_resok_cookieverf, dirlist3(value_resok_reply_entries, value_resok_reply_eof == 1)))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = READDIR3res(value_status, resfail=value_resfail)
    return value, at


def pack_entry3(value: entry3, parts: Parts) -> None:
    put = parts.append
    name = value.name
    name_length = len(name)
    put(S_IQI.pack(1, value.fileid, name_length))
    put(name)
    if name_length & 3:
        put(PADDING[name_length & 3])
    put(S_Q.pack(value.cookie))


def pack_READDIRPLUS3res(value: READDIRPLUS3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_dir_attributes = resok.dir_attributes
        if resok_dir_attributes is not None:
            if not isinstance(resok_dir_attributes, bytes):
                resok_dir_attributes = encode(pack_fattr3, resok_dir_attributes)
            put(S_2I84s.pack(0, 1, resok_dir_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_reply_entries = resok.reply.entries
        put(S_8s.pack(resok.cookieverf))
        if isinstance(resok_reply_entries, bytes):
            put(resok_reply_entries)
        else:
            for entryplus3 in resok_reply_entries:
                pack_entryplus3(entryplus3, parts)
        put(S_2I.pack(0, resok.reply.eof))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_READDIRPLUS3res(buffer: Buffer, at: int) -> tuple[READDIRPLUS3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_dir_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_dir_attributes: fattr3 | bytes | None = None
        if value_resok_dir_attributes_follows == 1:
            value_resok_dir_attributes, at = unpack_fattr3(buffer, at)
            value_resok_dir_attributes = value_resok_dir_attributes
        elif value_resok_dir_attributes_follows:
            raise XdrError(f"bool of {value_resok_dir_attributes_follows}")
        (value_resok_cookieverf, value_resok_reply_entries_follows) = S_8sI.unpack_from(buffer, at)
        at += 12
        value_resok_reply_entries: list[entryplus3] = []
        while value_resok_reply_entries_follows == 1:
            entryplus3_fileid, entryplus3_name_length = S_QI.unpack_from(buffer, at)
            at += 12
            entryplus3_name = bytes(buffer[at : at + entryplus3_name_length])
            at += (entryplus3_name_length + 3) & -4
            (entryplus3_cookie, entryplus3_name_attributes_follows) = S_QI.unpack_from(buffer, at)
            at += 12
            entryplus3_name_attributes: fattr3 | bytes | None = None
            if entryplus3_name_attributes_follows == 1:
                entryplus3_name_attributes, at = unpack_fattr3(buffer, at)
                entryplus3_name_attributes = entryplus3_name_attributes
            elif entryplus3_name_attributes_follows:
                raise XdrError(f"bool of {entryplus3_name_attributes_follows}")
            (entryplus3_name_handle_follows,) = S_I.unpack_from(buffer, at)
            at += 4
            entryplus3_name_handle: bytes | None = None
            if entryplus3_name_handle_follows == 1:
                (entryplus3_name_handle_value_length,) = S_I.unpack_from(buffer, at)
                at += 4
                if entryplus3_name_handle_value_length > 64:
                    raise XdrError(f"entryplus3_name_handle_value length of {entryplus3_name_handle_value_length}")
                entryplus3_name_handle_value = bytes(buffer[at : at + entryplus3_name_handle_value_length])
                at += (entryplus3_name_handle_value_length + 3) & -4
                entryplus3_name_handle = entryplus3_name_handle_value
            elif entryplus3_name_handle_follows:
                raise XdrError(f"bool of {entryplus3_name_handle_follows}")
            (value_resok_reply_entries_follows,) = S_I.unpack_from(buffer, at)
            at += 4
            value_resok_reply_entries.append(entryplus3(entryplus3_fileid, entryplus3_name, entryplus3_cookie, entryplus3_name_attributes, entryplus3_name_handle))
        if value_resok_reply_entries_follows:
            raise XdrError(f"bool of {value_resok_reply_entries_follows}")
        (value_resok_reply_eof,) = S_I.unpack_from(buffer, at)
        at += 4
        if value_resok_reply_eof > 1:
            raise XdrError(f"bool of {value_resok_reply_eof}")
        value = READDIRPLUS3res(value_status, resok=READDIRPLUS3resok(value_resok_dir_attributes, value_resok_cookieverf, dirlistplus3(value_resok_reply_entries, value_resok_reply_eof == 1)))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = READDIRPLUS3res(value_status, resfail=value_resfail)
    return value, at


def pack_entryplus3(value: entryplus3, parts: Parts) -> None:
    put = parts.append
    name = value.name
    name_length = len(name)
    put(S_IQI.pack(1, value.fileid, name_length))
    put(name)
    if name_length & 3:
        put(PADDING[name_length & 3])
    name_attributes = value.name_attributes
    if name_attributes is not None:
        if not isinstance(name_attributes, bytes):
            name_attributes = encode(pack_fattr3, name_attributes)
        put(S_QI84s.pack(value.cookie, 1, name_attributes))
    else:
        put(S_QI.pack(value.cookie, 0))
    name_handle = value.name_handle
    if name_handle is not None:
        name_handle_length = len(name_handle)
        if name_handle_length > 64:
            raise XdrError(f"name_handle_length of {name_handle_length} where 64 is the bound")
        put(S_2I.pack(1, name_handle_length))
        put(name_handle)
        if name_handle_length & 3:
            put(PADDING[name_handle_length & 3])
    else:
        put(b'\x00\x00\x00\x00')


def pack_FSSTAT3res(value: FSSTAT3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_2I84s.pack(0, 1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        put(S_6QI.pack(
            resok.tbytes, resok.fbytes, resok.abytes, resok.tfiles, resok.ffiles, resok.afiles,
            resok.invarsec,
        ))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_FSSTAT3res(buffer: Buffer, at: int) -> tuple[FSSTAT3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        (
            value_resok_tbytes, value_resok_fbytes, value_resok_abytes, value_resok_tfiles,
            value_resok_ffiles, value_resok_afiles, value_resok_invarsec,
        ) = S_6QI.unpack_from(buffer, at)
        at += 52
        value = FSSTAT3res(value_status, resok=FSSTAT3resok(value_resok_obj_attributes, value_resok_tbytes, value_resok_fbytes, value_resok_abytes, value_resok_tfiles, value_resok_ffiles, value_resok_afiles, value_resok_invarsec))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = FSSTAT3res(value_status, resfail=value_resfail)
    return value, at


def pack_FSINFO3res(value: FSINFO3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_2I84s.pack(0, 1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        put(S_7IQ3I.pack(
            resok.rtmax, resok.rtpref, resok.rtmult, resok.wtmax, resok.wtpref, resok.wtmult,
            resok.dtpref, resok.maxfilesize, resok.time_delta.seconds, resok.time_delta.nseconds,
            resok.properties,
        ))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_FSINFO3res(buffer: Buffer, at: int) -> tuple[FSINFO3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        (
            value_resok_rtmax, value_resok_rtpref, value_resok_rtmult, value_resok_wtmax,
            value_resok_wtpref, value_resok_wtmult, value_resok_dtpref, value_resok_maxfilesize,
            value_resok_time_delta_seconds, value_resok_time_delta_nseconds,
            value_resok_properties,
        ) = S_7IQ3I.unpack_from(buffer, at)
        at += 48
        value = FSINFO3res(value_status, resok=FSINFO3resok(value_resok_obj_attributes, value_resok_rtmax, value_resok_rtpref, value_resok_rtmult, value_resok_wtmax, value_resok_wtpref, value_resok_wtmult, value_resok_dtpref, value_resok_maxfilesize, nfstime3(value_resok_time_delta_seconds, value_resok_time_delta_nseconds), value_resok_properties))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = FSINFO3res(value_status, resfail=value_resfail)
    return value, at


def pack_PATHCONF3res(value: PATHCONF3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            put(S_2I84s.pack(0, 1, resok_obj_attributes))
        else:
            put(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        put(S_6I.pack(
            resok.linkmax, resok.name_max, resok.no_trunc, resok.chown_restricted,
            resok.case_insensitive, resok.case_preserving,
        ))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            put(S_2I84s.pack(status, 1, resfail))
        else:
            put(S_2I.pack(status, 0))


def unpack_PATHCONF3res(buffer: Buffer, at: int) -> tuple[PATHCONF3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        (
            value_resok_linkmax, value_resok_name_max, value_resok_no_trunc,
            value_resok_chown_restricted, value_resok_case_insensitive,
            value_resok_case_preserving,
        ) = S_6I.unpack_from(buffer, at)
        at += 24
        if value_resok_no_trunc > 1:
            raise XdrError(f"bool of {value_resok_no_trunc}")
        if value_resok_chown_restricted > 1:
            raise XdrError(f"bool of {value_resok_chown_restricted}")
        if value_resok_case_insensitive > 1:
            raise XdrError(f"bool of {value_resok_case_insensitive}")
        if value_resok_case_preserving > 1:
            raise XdrError(f"bool of {value_resok_case_preserving}")
        value = PATHCONF3res(value_status, resok=PATHCONF3resok(value_resok_obj_attributes, value_resok_linkmax, value_resok_name_max, value_resok_no_trunc == 1, value_resok_chown_restricted == 1, value_resok_case_insensitive == 1, value_resok_case_preserving == 1))
    else:
        (value_resfail_follows,) = S_I.unpack_from(buffer, at)
        at += 4
        value_resfail: fattr3 | bytes | None = None
        if value_resfail_follows == 1:
            value_resfail, at = unpack_fattr3(buffer, at)
            value_resfail = value_resfail
        elif value_resfail_follows:
            raise XdrError(f"bool of {value_resfail_follows}")
        value = PATHCONF3res(value_status, resfail=value_resfail)
    return value, at


def pack_COMMIT3res(value: COMMIT3res, parts: Parts) -> None:
    put = parts.append
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_wcc = resok.file_wcc
        put(b'\x00\x00\x00\x00')
        if isinstance(resok_file_wcc, bytes):
            put(resok_file_wcc)
        else:
            pack_wcc_data(resok_file_wcc, parts)
        put(S_8s.pack(resok.verf))
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        put(S_I.pack(status))
        if isinstance(resfail, bytes):
            put(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_COMMIT3res(buffer: Buffer, at: int) -> tuple[COMMIT3res, int]:
    (value_status,) = S_I.unpack_from(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok_file_wcc, at = unpack_wcc_data(buffer, at)
        (value_resok_verf,) = S_8s.unpack_from(buffer, at)
        at += 8
        value = COMMIT3res(value_status, resok=COMMIT3resok(value_resok_file_wcc, value_resok_verf))
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = COMMIT3res(value_status, resfail=value_resfail)
    return value, at


NFS_V3_SIGNATURES: Final = (
    Signature(0, "NFSPROC3_NULL", pack_void, unpack_void, pack_void, unpack_void),
    Signature(1, "NFSPROC3_GETATTR", pack_nfs_fh3, unpack_nfs_fh3, pack_GETATTR3res, unpack_GETATTR3res),
    Signature(2, "NFSPROC3_SETATTR", pack_SETATTR3args, unpack_SETATTR3args, pack_SETATTR3res, unpack_SETATTR3res),
    Signature(3, "NFSPROC3_LOOKUP", pack_diropargs3, unpack_diropargs3, pack_LOOKUP3res, unpack_LOOKUP3res),
    Signature(4, "NFSPROC3_ACCESS", pack_ACCESS3args, unpack_ACCESS3args, pack_ACCESS3res, unpack_ACCESS3res),
    Signature(5, "NFSPROC3_READLINK", pack_nfs_fh3, unpack_nfs_fh3, pack_READLINK3res, unpack_READLINK3res),
    Signature(6, "NFSPROC3_READ", pack_READ3args, unpack_READ3args, pack_READ3res, unpack_READ3res),
    Signature(7, "NFSPROC3_WRITE", pack_WRITE3args, unpack_WRITE3args, pack_WRITE3res, unpack_WRITE3res),
    Signature(8, "NFSPROC3_CREATE", pack_CREATE3args, unpack_CREATE3args, pack_CREATE3res, unpack_CREATE3res),
    Signature(9, "NFSPROC3_MKDIR", pack_MKDIR3args, unpack_MKDIR3args, pack_MKDIR3res, unpack_MKDIR3res),
    Signature(10, "NFSPROC3_SYMLINK", pack_SYMLINK3args, unpack_SYMLINK3args, pack_SYMLINK3res, unpack_SYMLINK3res),
    Signature(11, "NFSPROC3_MKNOD", pack_MKNOD3args, unpack_MKNOD3args, pack_MKNOD3res, unpack_MKNOD3res),
    Signature(12, "NFSPROC3_REMOVE", pack_diropargs3, unpack_diropargs3, pack_REMOVE3res, unpack_REMOVE3res),
    Signature(13, "NFSPROC3_RMDIR", pack_diropargs3, unpack_diropargs3, pack_RMDIR3res, unpack_RMDIR3res),
    Signature(14, "NFSPROC3_RENAME", pack_RENAME3args, unpack_RENAME3args, pack_RENAME3res, unpack_RENAME3res),
    Signature(15, "NFSPROC3_LINK", pack_LINK3args, unpack_LINK3args, pack_LINK3res, unpack_LINK3res),
    Signature(16, "NFSPROC3_READDIR", pack_READDIR3args, unpack_READDIR3args, pack_READDIR3res, unpack_READDIR3res),
    Signature(17, "NFSPROC3_READDIRPLUS", pack_READDIRPLUS3args, unpack_READDIRPLUS3args, pack_READDIRPLUS3res, unpack_READDIRPLUS3res),
    Signature(18, "NFSPROC3_FSSTAT", pack_nfs_fh3, unpack_nfs_fh3, pack_FSSTAT3res, unpack_FSSTAT3res),
    Signature(19, "NFSPROC3_FSINFO", pack_nfs_fh3, unpack_nfs_fh3, pack_FSINFO3res, unpack_FSINFO3res),
    Signature(20, "NFSPROC3_PATHCONF", pack_nfs_fh3, unpack_nfs_fh3, pack_PATHCONF3res, unpack_PATHCONF3res),
    Signature(21, "NFSPROC3_COMMIT", pack_COMMIT3args, unpack_COMMIT3args, pack_COMMIT3res, unpack_COMMIT3res),
)
