"""XDR types of nfs3.x, generated from it: `python -m nfsd.xdr.compiler.generate`.

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
P_2I8s: Final = struct.Struct(">2I8s").pack
P_2I: Final = struct.Struct(">2I").pack
P_3I: Final = struct.Struct(">3I").pack
P_5I2Q2I2Q6I: Final = struct.Struct(">5I2Q2I2Q6I").pack
P_6I: Final = struct.Struct(">6I").pack
P_6QI: Final = struct.Struct(">6QI").pack
P_7IQ3I: Final = struct.Struct(">7IQ3I").pack
P_8s: Final = struct.Struct(">8s").pack
P_I84s: Final = struct.Struct(">I84s").pack
P_I8s: Final = struct.Struct(">I8s").pack
P_I: Final = struct.Struct(">I").pack
P_IQ4I: Final = struct.Struct(">IQ4I").pack
P_IQ: Final = struct.Struct(">IQ").pack
P_IQI: Final = struct.Struct(">IQI").pack
P_Q3I: Final = struct.Struct(">Q3I").pack
P_Q8s2I: Final = struct.Struct(">Q8s2I").pack
P_Q8sI: Final = struct.Struct(">Q8sI").pack
P_Q: Final = struct.Struct(">Q").pack
P_QI84s: Final = struct.Struct(">QI84s").pack
P_QI: Final = struct.Struct(">QI").pack
U_2I8s: Final[Callable[[Buffer, int], tuple[int, int, bytes]]] = struct.Struct(">2I8s").unpack_from
U_2I: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">2I").unpack_from
U_3I: Final[Callable[[Buffer, int], tuple[int, int, int]]] = struct.Struct(">3I").unpack_from
U_5I2Q2I2Q6I: Final[Callable[[Buffer, int], tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int]]] = struct.Struct(">5I2Q2I2Q6I").unpack_from
U_6I: Final[Callable[[Buffer, int], tuple[int, int, int, int, int, int]]] = struct.Struct(">6I").unpack_from
U_6QI: Final[Callable[[Buffer, int], tuple[int, int, int, int, int, int, int]]] = struct.Struct(">6QI").unpack_from
U_7IQ3I: Final[Callable[[Buffer, int], tuple[int, int, int, int, int, int, int, int, int, int, int]]] = struct.Struct(">7IQ3I").unpack_from
U_8s: Final[Callable[[Buffer, int], tuple[bytes]]] = struct.Struct(">8s").unpack_from
U_8sI: Final[Callable[[Buffer, int], tuple[bytes, int]]] = struct.Struct(">8sI").unpack_from
U_I: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">I").unpack_from
U_Q3I: Final[Callable[[Buffer, int], tuple[int, int, int, int]]] = struct.Struct(">Q3I").unpack_from
U_Q4I: Final[Callable[[Buffer, int], tuple[int, int, int, int, int]]] = struct.Struct(">Q4I").unpack_from
U_Q8s2I: Final[Callable[[Buffer, int], tuple[int, bytes, int, int]]] = struct.Struct(">Q8s2I").unpack_from
U_Q8sI: Final[Callable[[Buffer, int], tuple[int, bytes, int]]] = struct.Struct(">Q8sI").unpack_from
U_Q: Final[Callable[[Buffer, int], tuple[int]]] = struct.Struct(">Q").unpack_from
U_QI: Final[Callable[[Buffer, int], tuple[int, int]]] = struct.Struct(">QI").unpack_from


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


@final
@dataclass(slots=True, init=False)
class specdata3:
    specdata1: int
    specdata2: int

    def __init__(self, specdata1: int, specdata2: int) -> None:
        self.specdata1 = specdata1
        self.specdata2 = specdata2


nfs_fh3: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class nfstime3:
    seconds: int
    nseconds: int

    def __init__(self, seconds: int, nseconds: int) -> None:
        self.seconds = seconds
        self.nseconds = nseconds


@final
@dataclass(slots=True, init=False)
class fattr3:
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

    def __init__(self, type: int, mode: int, nlink: int, uid: int, gid: int, size: int, used: int, rdev: specdata3, fsid: int, fileid: int, atime: nfstime3, mtime: nfstime3, ctime: nfstime3) -> None:
        self.type = type
        self.mode = mode
        self.nlink = nlink
        self.uid = uid
        self.gid = gid
        self.size = size
        self.used = used
        self.rdev = rdev
        self.fsid = fsid
        self.fileid = fileid
        self.atime = atime
        self.mtime = mtime
        self.ctime = ctime


post_op_attr: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class wcc_attr:
    size: int
    mtime: nfstime3
    ctime: nfstime3

    def __init__(self, size: int, mtime: nfstime3, ctime: nfstime3) -> None:
        self.size = size
        self.mtime = mtime
        self.ctime = ctime


pre_op_attr: TypeAlias = "wcc_attr | None"


@final
@dataclass(slots=True, init=False)
class wcc_data:
    before: wcc_attr | None
    after: fattr3 | bytes | None

    def __init__(self, before: wcc_attr | None, after: fattr3 | bytes | None) -> None:
        self.before = before
        self.after = after


post_op_fh3: TypeAlias = "bytes | None"


set_mode3: TypeAlias = "int | None"


set_uid3: TypeAlias = "int | None"


set_gid3: TypeAlias = "int | None"


set_size3: TypeAlias = "int | None"


@final
@dataclass(slots=True, init=False)
class set_atime:
    set_it: int
    atime: nfstime3 | None

    def __init__(self, set_it: int, atime: nfstime3 | None = None) -> None:
        self.set_it = set_it
        self.atime = atime


@final
@dataclass(slots=True, init=False)
class set_mtime:
    set_it: int
    mtime: nfstime3 | None

    def __init__(self, set_it: int, mtime: nfstime3 | None = None) -> None:
        self.set_it = set_it
        self.mtime = mtime


@final
@dataclass(slots=True, init=False)
class sattr3:
    mode: int | None
    uid: int | None
    gid: int | None
    size: int | None
    atime: set_atime
    mtime: set_mtime

    def __init__(self, mode: int | None, uid: int | None, gid: int | None, size: int | None, atime: set_atime, mtime: set_mtime) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.atime = atime
        self.mtime = mtime


@final
@dataclass(slots=True, init=False)
class diropargs3:
    dir: bytes
    name: bytes

    def __init__(self, dir: bytes, name: bytes) -> None:
        self.dir = dir
        self.name = name


GETATTR3args: TypeAlias = "bytes"


GETATTR3resok: TypeAlias = "fattr3 | bytes"


@final
@dataclass(slots=True, init=False)
class GETATTR3res:
    status: int
    resok: fattr3 | bytes | None

    def __init__(self, status: int, resok: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok


sattrguard3: TypeAlias = "nfstime3 | None"


@final
@dataclass(slots=True, init=False)
class SETATTR3args:
    object: bytes
    new_attributes: sattr3
    guard: nfstime3 | None

    def __init__(self, object: bytes, new_attributes: sattr3, guard: nfstime3 | None) -> None:
        self.object = object
        self.new_attributes = new_attributes
        self.guard = guard


SETATTR3resok: TypeAlias = "wcc_data | bytes"


SETATTR3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class SETATTR3res:
    status: int
    resok: wcc_data | bytes | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: wcc_data | bytes | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


LOOKUP3args: TypeAlias = "diropargs3"


@final
@dataclass(slots=True, init=False)
class LOOKUP3resok:
    object: bytes
    obj_attributes: fattr3 | bytes | None
    dir_attributes: fattr3 | bytes | None

    def __init__(self, object: bytes, obj_attributes: fattr3 | bytes | None, dir_attributes: fattr3 | bytes | None) -> None:
        self.object = object
        self.obj_attributes = obj_attributes
        self.dir_attributes = dir_attributes


LOOKUP3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class LOOKUP3res:
    status: int
    resok: LOOKUP3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: LOOKUP3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class ACCESS3args:
    object: bytes
    access: int

    def __init__(self, object: bytes, access: int) -> None:
        self.object = object
        self.access = access


@final
@dataclass(slots=True, init=False)
class ACCESS3resok:
    obj_attributes: fattr3 | bytes | None
    access: int

    def __init__(self, obj_attributes: fattr3 | bytes | None, access: int) -> None:
        self.obj_attributes = obj_attributes
        self.access = access


ACCESS3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class ACCESS3res:
    status: int
    resok: ACCESS3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: ACCESS3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


READLINK3args: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class READLINK3resok:
    symlink_attributes: fattr3 | bytes | None
    data: bytes

    def __init__(self, symlink_attributes: fattr3 | bytes | None, data: bytes) -> None:
        self.symlink_attributes = symlink_attributes
        self.data = data


READLINK3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class READLINK3res:
    status: int
    resok: READLINK3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: READLINK3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class READ3args:
    file: bytes
    offset: int
    count: int

    def __init__(self, file: bytes, offset: int, count: int) -> None:
        self.file = file
        self.offset = offset
        self.count = count


@final
@dataclass(slots=True, init=False)
class READ3resok:
    file_attributes: fattr3 | bytes | None
    count: int
    eof: bool
    data: Buffer

    def __init__(self, file_attributes: fattr3 | bytes | None, count: int, eof: bool, data: Buffer) -> None:
        self.file_attributes = file_attributes
        self.count = count
        self.eof = eof
        self.data = data


READ3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class READ3res:
    status: int
    resok: READ3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: READ3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class WRITE3args:
    file: bytes
    offset: int
    count: int
    stable: int
    data: Buffer

    def __init__(self, file: bytes, offset: int, count: int, stable: int, data: Buffer) -> None:
        self.file = file
        self.offset = offset
        self.count = count
        self.stable = stable
        self.data = data


@final
@dataclass(slots=True, init=False)
class WRITE3resok:
    file_wcc: wcc_data | bytes
    count: int
    committed: int
    verf: bytes

    def __init__(self, file_wcc: wcc_data | bytes, count: int, committed: int, verf: bytes) -> None:
        self.file_wcc = file_wcc
        self.count = count
        self.committed = committed
        self.verf = verf


WRITE3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class WRITE3res:
    status: int
    resok: WRITE3resok | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: WRITE3resok | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class createhow3:
    mode: int
    obj_attributes: sattr3 | None
    verf: bytes | None

    def __init__(self, mode: int, obj_attributes: sattr3 | None = None, verf: bytes | None = None) -> None:
        self.mode = mode
        self.obj_attributes = obj_attributes
        self.verf = verf


@final
@dataclass(slots=True, init=False)
class CREATE3args:
    where: diropargs3
    how: createhow3

    def __init__(self, where: diropargs3, how: createhow3) -> None:
        self.where = where
        self.how = how


@final
@dataclass(slots=True, init=False)
class CREATE3resok:
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes

    def __init__(self, obj: bytes | None, obj_attributes: fattr3 | bytes | None, dir_wcc: wcc_data | bytes) -> None:
        self.obj = obj
        self.obj_attributes = obj_attributes
        self.dir_wcc = dir_wcc


CREATE3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class CREATE3res:
    status: int
    resok: CREATE3resok | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: CREATE3resok | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class MKDIR3args:
    where: diropargs3
    attributes: sattr3

    def __init__(self, where: diropargs3, attributes: sattr3) -> None:
        self.where = where
        self.attributes = attributes


@final
@dataclass(slots=True, init=False)
class MKDIR3resok:
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes

    def __init__(self, obj: bytes | None, obj_attributes: fattr3 | bytes | None, dir_wcc: wcc_data | bytes) -> None:
        self.obj = obj
        self.obj_attributes = obj_attributes
        self.dir_wcc = dir_wcc


MKDIR3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class MKDIR3res:
    status: int
    resok: MKDIR3resok | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: MKDIR3resok | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class symlinkdata3:
    symlink_attributes: sattr3
    symlink_data: bytes

    def __init__(self, symlink_attributes: sattr3, symlink_data: bytes) -> None:
        self.symlink_attributes = symlink_attributes
        self.symlink_data = symlink_data


@final
@dataclass(slots=True, init=False)
class SYMLINK3args:
    where: diropargs3
    symlink: symlinkdata3

    def __init__(self, where: diropargs3, symlink: symlinkdata3) -> None:
        self.where = where
        self.symlink = symlink


@final
@dataclass(slots=True, init=False)
class SYMLINK3resok:
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes

    def __init__(self, obj: bytes | None, obj_attributes: fattr3 | bytes | None, dir_wcc: wcc_data | bytes) -> None:
        self.obj = obj
        self.obj_attributes = obj_attributes
        self.dir_wcc = dir_wcc


SYMLINK3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class SYMLINK3res:
    status: int
    resok: SYMLINK3resok | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: SYMLINK3resok | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class devicedata3:
    dev_attributes: sattr3
    spec: specdata3

    def __init__(self, dev_attributes: sattr3, spec: specdata3) -> None:
        self.dev_attributes = dev_attributes
        self.spec = spec


@final
@dataclass(slots=True, init=False)
class mknoddata3:
    type: int
    device: devicedata3 | None
    pipe_attributes: sattr3 | None

    def __init__(self, type: int, device: devicedata3 | None = None, pipe_attributes: sattr3 | None = None) -> None:
        self.type = type
        self.device = device
        self.pipe_attributes = pipe_attributes


@final
@dataclass(slots=True, init=False)
class MKNOD3args:
    where: diropargs3
    what: mknoddata3

    def __init__(self, where: diropargs3, what: mknoddata3) -> None:
        self.where = where
        self.what = what


@final
@dataclass(slots=True, init=False)
class MKNOD3resok:
    obj: bytes | None
    obj_attributes: fattr3 | bytes | None
    dir_wcc: wcc_data | bytes

    def __init__(self, obj: bytes | None, obj_attributes: fattr3 | bytes | None, dir_wcc: wcc_data | bytes) -> None:
        self.obj = obj
        self.obj_attributes = obj_attributes
        self.dir_wcc = dir_wcc


MKNOD3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class MKNOD3res:
    status: int
    resok: MKNOD3resok | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: MKNOD3resok | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


REMOVE3args: TypeAlias = "diropargs3"


REMOVE3resok: TypeAlias = "wcc_data | bytes"


REMOVE3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class REMOVE3res:
    status: int
    resok: wcc_data | bytes | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: wcc_data | bytes | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


RMDIR3args: TypeAlias = "diropargs3"


RMDIR3resok: TypeAlias = "wcc_data | bytes"


RMDIR3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class RMDIR3res:
    status: int
    resok: wcc_data | bytes | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: wcc_data | bytes | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class RENAME3args:
    from_: diropargs3
    to: diropargs3

    def __init__(self, from_: diropargs3, to: diropargs3) -> None:
        self.from_ = from_
        self.to = to


@final
@dataclass(slots=True, init=False)
class RENAME3resok:
    fromdir_wcc: wcc_data | bytes
    todir_wcc: wcc_data | bytes

    def __init__(self, fromdir_wcc: wcc_data | bytes, todir_wcc: wcc_data | bytes) -> None:
        self.fromdir_wcc = fromdir_wcc
        self.todir_wcc = todir_wcc


@final
@dataclass(slots=True, init=False)
class RENAME3resfail:
    fromdir_wcc: wcc_data | bytes
    todir_wcc: wcc_data | bytes

    def __init__(self, fromdir_wcc: wcc_data | bytes, todir_wcc: wcc_data | bytes) -> None:
        self.fromdir_wcc = fromdir_wcc
        self.todir_wcc = todir_wcc


@final
@dataclass(slots=True, init=False)
class RENAME3res:
    status: int
    resok: RENAME3resok | None
    resfail: RENAME3resfail | None

    def __init__(self, status: int, resok: RENAME3resok | None = None, resfail: RENAME3resfail | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class LINK3args:
    file: bytes
    link: diropargs3

    def __init__(self, file: bytes, link: diropargs3) -> None:
        self.file = file
        self.link = link


@final
@dataclass(slots=True, init=False)
class LINK3resok:
    file_attributes: fattr3 | bytes | None
    linkdir_wcc: wcc_data | bytes

    def __init__(self, file_attributes: fattr3 | bytes | None, linkdir_wcc: wcc_data | bytes) -> None:
        self.file_attributes = file_attributes
        self.linkdir_wcc = linkdir_wcc


@final
@dataclass(slots=True, init=False)
class LINK3resfail:
    file_attributes: fattr3 | bytes | None
    linkdir_wcc: wcc_data | bytes

    def __init__(self, file_attributes: fattr3 | bytes | None, linkdir_wcc: wcc_data | bytes) -> None:
        self.file_attributes = file_attributes
        self.linkdir_wcc = linkdir_wcc


@final
@dataclass(slots=True, init=False)
class LINK3res:
    status: int
    resok: LINK3resok | None
    resfail: LINK3resfail | None

    def __init__(self, status: int, resok: LINK3resok | None = None, resfail: LINK3resfail | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class READDIR3args:
    dir: bytes
    cookie: int
    cookieverf: bytes
    count: int

    def __init__(self, dir: bytes, cookie: int, cookieverf: bytes, count: int) -> None:
        self.dir = dir
        self.cookie = cookie
        self.cookieverf = cookieverf
        self.count = count


@final
@dataclass(slots=True, init=False)
class entry3:
    fileid: int
    name: bytes
    cookie: int

    def __init__(self, fileid: int, name: bytes, cookie: int) -> None:
        self.fileid = fileid
        self.name = name
        self.cookie = cookie


@final
@dataclass(slots=True, init=False)
class dirlist3:
    entries: list[entry3] | bytes
    eof: bool

    def __init__(self, entries: list[entry3] | bytes, eof: bool) -> None:
        self.entries = entries
        self.eof = eof


@final
@dataclass(slots=True, init=False)
class READDIR3resok:
    dir_attributes: fattr3 | bytes | None
    cookieverf: bytes
    reply: dirlist3

    def __init__(self, dir_attributes: fattr3 | bytes | None, cookieverf: bytes, reply: dirlist3) -> None:
        self.dir_attributes = dir_attributes
        self.cookieverf = cookieverf
        self.reply = reply


READDIR3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class READDIR3res:
    status: int
    resok: READDIR3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: READDIR3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class READDIRPLUS3args:
    dir: bytes
    cookie: int
    cookieverf: bytes
    dircount: int
    maxcount: int

    def __init__(self, dir: bytes, cookie: int, cookieverf: bytes, dircount: int, maxcount: int) -> None:
        self.dir = dir
        self.cookie = cookie
        self.cookieverf = cookieverf
        self.dircount = dircount
        self.maxcount = maxcount


@final
@dataclass(slots=True, init=False)
class entryplus3:
    fileid: int
    name: bytes
    cookie: int
    name_attributes: fattr3 | bytes | None
    name_handle: bytes | None

    def __init__(self, fileid: int, name: bytes, cookie: int, name_attributes: fattr3 | bytes | None, name_handle: bytes | None) -> None:
        self.fileid = fileid
        self.name = name
        self.cookie = cookie
        self.name_attributes = name_attributes
        self.name_handle = name_handle


@final
@dataclass(slots=True, init=False)
class dirlistplus3:
    entries: list[entryplus3] | bytes
    eof: bool

    def __init__(self, entries: list[entryplus3] | bytes, eof: bool) -> None:
        self.entries = entries
        self.eof = eof


@final
@dataclass(slots=True, init=False)
class READDIRPLUS3resok:
    dir_attributes: fattr3 | bytes | None
    cookieverf: bytes
    reply: dirlistplus3

    def __init__(self, dir_attributes: fattr3 | bytes | None, cookieverf: bytes, reply: dirlistplus3) -> None:
        self.dir_attributes = dir_attributes
        self.cookieverf = cookieverf
        self.reply = reply


READDIRPLUS3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class READDIRPLUS3res:
    status: int
    resok: READDIRPLUS3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: READDIRPLUS3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


FSSTAT3args: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class FSSTAT3resok:
    obj_attributes: fattr3 | bytes | None
    tbytes: int
    fbytes: int
    abytes: int
    tfiles: int
    ffiles: int
    afiles: int
    invarsec: int

    def __init__(self, obj_attributes: fattr3 | bytes | None, tbytes: int, fbytes: int, abytes: int, tfiles: int, ffiles: int, afiles: int, invarsec: int) -> None:
        self.obj_attributes = obj_attributes
        self.tbytes = tbytes
        self.fbytes = fbytes
        self.abytes = abytes
        self.tfiles = tfiles
        self.ffiles = ffiles
        self.afiles = afiles
        self.invarsec = invarsec


FSSTAT3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class FSSTAT3res:
    status: int
    resok: FSSTAT3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: FSSTAT3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


FSINFO3args: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class FSINFO3resok:
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

    def __init__(self, obj_attributes: fattr3 | bytes | None, rtmax: int, rtpref: int, rtmult: int, wtmax: int, wtpref: int, wtmult: int, dtpref: int, maxfilesize: int, time_delta: nfstime3, properties: int) -> None:
        self.obj_attributes = obj_attributes
        self.rtmax = rtmax
        self.rtpref = rtpref
        self.rtmult = rtmult
        self.wtmax = wtmax
        self.wtpref = wtpref
        self.wtmult = wtmult
        self.dtpref = dtpref
        self.maxfilesize = maxfilesize
        self.time_delta = time_delta
        self.properties = properties


FSINFO3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class FSINFO3res:
    status: int
    resok: FSINFO3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: FSINFO3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


PATHCONF3args: TypeAlias = "bytes"


@final
@dataclass(slots=True, init=False)
class PATHCONF3resok:
    obj_attributes: fattr3 | bytes | None
    linkmax: int
    name_max: int
    no_trunc: bool
    chown_restricted: bool
    case_insensitive: bool
    case_preserving: bool

    def __init__(self, obj_attributes: fattr3 | bytes | None, linkmax: int, name_max: int, no_trunc: bool, chown_restricted: bool, case_insensitive: bool, case_preserving: bool) -> None:
        self.obj_attributes = obj_attributes
        self.linkmax = linkmax
        self.name_max = name_max
        self.no_trunc = no_trunc
        self.chown_restricted = chown_restricted
        self.case_insensitive = case_insensitive
        self.case_preserving = case_preserving


PATHCONF3resfail: TypeAlias = "fattr3 | bytes | None"


@final
@dataclass(slots=True, init=False)
class PATHCONF3res:
    status: int
    resok: PATHCONF3resok | None
    resfail: fattr3 | bytes | None

    def __init__(self, status: int, resok: PATHCONF3resok | None = None, resfail: fattr3 | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


@final
@dataclass(slots=True, init=False)
class COMMIT3args:
    file: bytes
    offset: int
    count: int

    def __init__(self, file: bytes, offset: int, count: int) -> None:
        self.file = file
        self.offset = offset
        self.count = count


@final
@dataclass(slots=True, init=False)
class COMMIT3resok:
    file_wcc: wcc_data | bytes
    verf: bytes

    def __init__(self, file_wcc: wcc_data | bytes, verf: bytes) -> None:
        self.file_wcc = file_wcc
        self.verf = verf


COMMIT3resfail: TypeAlias = "wcc_data | bytes"


@final
@dataclass(slots=True, init=False)
class COMMIT3res:
    status: int
    resok: COMMIT3resok | None
    resfail: wcc_data | bytes | None

    def __init__(self, status: int, resok: COMMIT3resok | None = None, resfail: wcc_data | bytes | None = None) -> None:
        self.status = status
        self.resok = resok
        self.resfail = resfail


_SATTR3: Final = Remembered[sattr3](28)


def pack_nfs_fh3(value: nfs_fh3, parts: Parts) -> None:
    value_length = len(value)
    if value_length > 64:
        raise XdrError(f"value_length of {value_length} where 64 is the bound")
    parts.append(P_I(value_length))
    parts.append(value)
    if value_length & 3:
        parts.append(PADDING[value_length & 3])


def unpack_nfs_fh3(buffer: Buffer, at: int) -> tuple[nfs_fh3, int]:
    (value_length,) = U_I(buffer, at)
    at += 4
    if value_length > 64:
        raise XdrError(f"value length of {value_length}")
    value = taken(buffer, at, value_length)
    at += (value_length + 3) & -4
    return value, at


def pack_SETATTR3args(value: SETATTR3args, parts: Parts) -> None:
    object = value.object
    object_length = len(object)
    if object_length > 64:
        raise XdrError(f"object_length of {object_length} where 64 is the bound")
    parts.append(P_I(object_length))
    parts.append(object)
    if object_length & 3:
        parts.append(PADDING[object_length & 3])
    pack_sattr3(value.new_attributes, parts)
    guard = value.guard
    if guard is not None:
        parts.append(P_3I(1, guard.seconds, guard.nseconds))
    else:
        parts.append(b'\x00\x00\x00\x00')


def unpack_SETATTR3args(buffer: Buffer, at: int) -> tuple[SETATTR3args, int]:
    (object_length,) = U_I(buffer, at)
    at += 4
    if object_length > 64:
        raise XdrError(f"object length of {object_length}")
    object = taken(buffer, at, object_length)
    at += (object_length + 3) & -4
    new_attributes, at = unpack_sattr3(buffer, at)
    (guard_follows,) = U_I(buffer, at)
    at += 4
    guard: nfstime3 | None = None
    if guard_follows == 1:
        guard_seconds, guard_nseconds = U_2I(buffer, at)
        at += 8
        guard = nfstime3(guard_seconds, guard_nseconds)
    elif guard_follows:
        raise XdrError(f"bool of {guard_follows}")
    return SETATTR3args(object, new_attributes, guard), at


def pack_sattr3(value: sattr3, parts: Parts) -> None:
    mode = value.mode
    if mode is not None:
        parts.append(P_2I(1, mode))
    else:
        parts.append(b'\x00\x00\x00\x00')
    uid = value.uid
    if uid is not None:
        parts.append(P_2I(1, uid))
    else:
        parts.append(b'\x00\x00\x00\x00')
    gid = value.gid
    if gid is not None:
        parts.append(P_2I(1, gid))
    else:
        parts.append(b'\x00\x00\x00\x00')
    size = value.size
    if size is not None:
        parts.append(P_IQ(1, size))
    else:
        parts.append(b'\x00\x00\x00\x00')
    atime_set_it = value.atime.set_it
    if atime_set_it == 2:
        atime_atime = value.atime.atime
        if atime_atime is None:
            raise XdrError("atime is missing")
        parts.append(P_3I(2, atime_atime.seconds, atime_atime.nseconds))
    else:
        parts.append(P_I(atime_set_it))
    mtime_set_it = value.mtime.set_it
    if mtime_set_it == 2:
        mtime_mtime = value.mtime.mtime
        if mtime_mtime is None:
            raise XdrError("mtime is missing")
        parts.append(P_3I(2, mtime_mtime.seconds, mtime_mtime.nseconds))
    else:
        parts.append(P_I(mtime_set_it))


def unpack_sattr3(buffer: Buffer, at: int) -> tuple[sattr3, int]:
    begin = at
    known = _SATTR3.get(buffer, at)
    if known is not None:
        return known
    (mode_follows,) = U_I(buffer, at)
    at += 4
    mode: int | None = None
    if mode_follows == 1:
        (mode_value,) = U_I(buffer, at)
        at += 4
        mode = mode_value
    elif mode_follows:
        raise XdrError(f"bool of {mode_follows}")
    (uid_follows,) = U_I(buffer, at)
    at += 4
    uid: int | None = None
    if uid_follows == 1:
        (uid_value,) = U_I(buffer, at)
        at += 4
        uid = uid_value
    elif uid_follows:
        raise XdrError(f"bool of {uid_follows}")
    (gid_follows,) = U_I(buffer, at)
    at += 4
    gid: int | None = None
    if gid_follows == 1:
        (gid_value,) = U_I(buffer, at)
        at += 4
        gid = gid_value
    elif gid_follows:
        raise XdrError(f"bool of {gid_follows}")
    (size_follows,) = U_I(buffer, at)
    at += 4
    size: int | None = None
    if size_follows == 1:
        (size_value,) = U_Q(buffer, at)
        at += 8
        size = size_value
    elif size_follows:
        raise XdrError(f"bool of {size_follows}")
    (atime_set_it,) = U_I(buffer, at)
    at += 4
    if atime_set_it not in TIME_HOW_VALUES:
        raise XdrError(f"time_how of {atime_set_it}")
    if atime_set_it == 2:
        atime_atime_seconds, atime_atime_nseconds = U_2I(buffer, at)
        at += 8
        atime = set_atime(atime_set_it, atime=nfstime3(atime_atime_seconds, atime_atime_nseconds))
    else:
        atime = set_atime(atime_set_it)
    (mtime_set_it,) = U_I(buffer, at)
    at += 4
    if mtime_set_it not in TIME_HOW_VALUES:
        raise XdrError(f"time_how of {mtime_set_it}")
    if mtime_set_it == 2:
        mtime_mtime_seconds, mtime_mtime_nseconds = U_2I(buffer, at)
        at += 8
        mtime = set_mtime(mtime_set_it, mtime=nfstime3(mtime_mtime_seconds, mtime_mtime_nseconds))
    else:
        mtime = set_mtime(mtime_set_it)
    return _SATTR3.put(buffer, begin, at, sattr3(mode, uid, gid, size, atime, mtime)), at


def pack_diropargs3(value: diropargs3, parts: Parts) -> None:
    dir = value.dir
    dir_length = len(dir)
    if dir_length > 64:
        raise XdrError(f"dir_length of {dir_length} where 64 is the bound")
    parts.append(P_I(dir_length))
    parts.append(dir)
    if dir_length & 3:
        parts.append(PADDING[dir_length & 3])
    name = value.name
    name_length = len(name)
    parts.append(P_I(name_length))
    parts.append(name)
    if name_length & 3:
        parts.append(PADDING[name_length & 3])


def unpack_diropargs3(buffer: Buffer, at: int) -> tuple[diropargs3, int]:
    (dir_length,) = U_I(buffer, at)
    at += 4
    if dir_length > 64:
        raise XdrError(f"dir length of {dir_length}")
    dir = taken(buffer, at, dir_length)
    at += (dir_length + 3) & -4
    (name_length,) = U_I(buffer, at)
    at += 4
    name = taken(buffer, at, name_length)
    at += (name_length + 3) & -4
    return diropargs3(dir, name), at


def pack_ACCESS3args(value: ACCESS3args, parts: Parts) -> None:
    object = value.object
    object_length = len(object)
    if object_length > 64:
        raise XdrError(f"object_length of {object_length} where 64 is the bound")
    parts.append(P_I(object_length))
    parts.append(object)
    if object_length & 3:
        parts.append(PADDING[object_length & 3])
    parts.append(P_I(value.access))


def unpack_ACCESS3args(buffer: Buffer, at: int) -> tuple[ACCESS3args, int]:
    (object_length,) = U_I(buffer, at)
    at += 4
    if object_length > 64:
        raise XdrError(f"object length of {object_length}")
    object = taken(buffer, at, object_length)
    at += (object_length + 3) & -4
    (access,) = U_I(buffer, at)
    at += 4
    return ACCESS3args(object, access), at


def pack_READ3args(value: READ3args, parts: Parts) -> None:
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    parts.append(P_I(file_length))
    parts.append(file)
    if file_length & 3:
        parts.append(PADDING[file_length & 3])
    parts.append(P_QI(value.offset, value.count))


def unpack_READ3args(buffer: Buffer, at: int) -> tuple[READ3args, int]:
    (file_length,) = U_I(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = taken(buffer, at, file_length)
    at += (file_length + 3) & -4
    offset, count = U_QI(buffer, at)
    at += 12
    return READ3args(file, offset, count), at


def pack_WRITE3args(value: WRITE3args, parts: Parts) -> None:
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    parts.append(P_I(file_length))
    parts.append(file)
    if file_length & 3:
        parts.append(PADDING[file_length & 3])
    data = value.data
    data_length = len(data)
    parts.append(P_Q3I(value.offset, value.count, value.stable, data_length))
    parts.append(data)
    if data_length & 3:
        parts.append(PADDING[data_length & 3])


def unpack_WRITE3args(buffer: Buffer, at: int) -> tuple[WRITE3args, int]:
    (file_length,) = U_I(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = taken(buffer, at, file_length)
    at += (file_length + 3) & -4
    offset, count, stable, data_length = U_Q3I(buffer, at)
    at += 20
    if stable not in STABLE_HOW_VALUES:
        raise XdrError(f"stable_how of {stable}")
    data = memoryview(buffer)[at : at + data_length]
    at += (data_length + 3) & -4
    return WRITE3args(file, offset, count, stable, data), at


def pack_CREATE3args(value: CREATE3args, parts: Parts) -> None:
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    parts.append(P_I(where_dir_length))
    parts.append(where_dir)
    if where_dir_length & 3:
        parts.append(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    parts.append(P_I(where_name_length))
    parts.append(where_name)
    if where_name_length & 3:
        parts.append(PADDING[where_name_length & 3])
    how_mode = value.how.mode
    if how_mode in (0, 1):
        how_obj_attributes = value.how.obj_attributes
        if how_obj_attributes is None:
            raise XdrError("obj_attributes is missing")
        parts.append(P_I(how_mode))
        pack_sattr3(how_obj_attributes, parts)
    elif how_mode == 2:
        how_verf = value.how.verf
        if how_verf is None:
            raise XdrError("verf is missing")
        parts.append(P_I8s(2, how_verf))
    else:
        raise XdrError(f"createhow3 of {how_mode}")


def unpack_CREATE3args(buffer: Buffer, at: int) -> tuple[CREATE3args, int]:
    (where_dir_length,) = U_I(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = taken(buffer, at, where_dir_length)
    at += (where_dir_length + 3) & -4
    (where_name_length,) = U_I(buffer, at)
    at += 4
    where_name = taken(buffer, at, where_name_length)
    at += (where_name_length + 3) & -4
    (how_mode,) = U_I(buffer, at)
    at += 4
    if how_mode in (0, 1):
        how_obj_attributes, at = unpack_sattr3(buffer, at)
        how = createhow3(how_mode, obj_attributes=how_obj_attributes)
    elif how_mode == 2:
        (how_verf,) = U_8s(buffer, at)
        at += 8
        how = createhow3(how_mode, verf=how_verf)
    else:
        raise XdrError(f"createhow3 of {how_mode}")
    return CREATE3args(diropargs3(where_dir, where_name), how), at


def pack_MKDIR3args(value: MKDIR3args, parts: Parts) -> None:
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    parts.append(P_I(where_dir_length))
    parts.append(where_dir)
    if where_dir_length & 3:
        parts.append(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    parts.append(P_I(where_name_length))
    parts.append(where_name)
    if where_name_length & 3:
        parts.append(PADDING[where_name_length & 3])
    pack_sattr3(value.attributes, parts)


def unpack_MKDIR3args(buffer: Buffer, at: int) -> tuple[MKDIR3args, int]:
    (where_dir_length,) = U_I(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = taken(buffer, at, where_dir_length)
    at += (where_dir_length + 3) & -4
    (where_name_length,) = U_I(buffer, at)
    at += 4
    where_name = taken(buffer, at, where_name_length)
    at += (where_name_length + 3) & -4
    attributes, at = unpack_sattr3(buffer, at)
    return MKDIR3args(diropargs3(where_dir, where_name), attributes), at


def pack_SYMLINK3args(value: SYMLINK3args, parts: Parts) -> None:
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    parts.append(P_I(where_dir_length))
    parts.append(where_dir)
    if where_dir_length & 3:
        parts.append(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    parts.append(P_I(where_name_length))
    parts.append(where_name)
    if where_name_length & 3:
        parts.append(PADDING[where_name_length & 3])
    pack_sattr3(value.symlink.symlink_attributes, parts)
    symlink_symlink_data = value.symlink.symlink_data
    symlink_symlink_data_length = len(symlink_symlink_data)
    parts.append(P_I(symlink_symlink_data_length))
    parts.append(symlink_symlink_data)
    if symlink_symlink_data_length & 3:
        parts.append(PADDING[symlink_symlink_data_length & 3])


def unpack_SYMLINK3args(buffer: Buffer, at: int) -> tuple[SYMLINK3args, int]:
    (where_dir_length,) = U_I(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = taken(buffer, at, where_dir_length)
    at += (where_dir_length + 3) & -4
    (where_name_length,) = U_I(buffer, at)
    at += 4
    where_name = taken(buffer, at, where_name_length)
    at += (where_name_length + 3) & -4
    symlink_symlink_attributes, at = unpack_sattr3(buffer, at)
    (symlink_symlink_data_length,) = U_I(buffer, at)
    at += 4
    symlink_symlink_data = taken(buffer, at, symlink_symlink_data_length)
    at += (symlink_symlink_data_length + 3) & -4
    return SYMLINK3args(diropargs3(where_dir, where_name), symlinkdata3(symlink_symlink_attributes, symlink_symlink_data)), at


def pack_MKNOD3args(value: MKNOD3args, parts: Parts) -> None:
    where_dir = value.where.dir
    where_dir_length = len(where_dir)
    if where_dir_length > 64:
        raise XdrError(f"where_dir_length of {where_dir_length} where 64 is the bound")
    parts.append(P_I(where_dir_length))
    parts.append(where_dir)
    if where_dir_length & 3:
        parts.append(PADDING[where_dir_length & 3])
    where_name = value.where.name
    where_name_length = len(where_name)
    parts.append(P_I(where_name_length))
    parts.append(where_name)
    if where_name_length & 3:
        parts.append(PADDING[where_name_length & 3])
    what_type = value.what.type
    if what_type in (4, 3):
        what_device = value.what.device
        if what_device is None:
            raise XdrError("device is missing")
        parts.append(P_I(what_type))
        pack_sattr3(what_device.dev_attributes, parts)
        parts.append(P_2I(what_device.spec.specdata1, what_device.spec.specdata2))
    elif what_type in (6, 7):
        what_pipe_attributes = value.what.pipe_attributes
        if what_pipe_attributes is None:
            raise XdrError("pipe_attributes is missing")
        parts.append(P_I(what_type))
        pack_sattr3(what_pipe_attributes, parts)
    else:
        parts.append(P_I(what_type))


def unpack_MKNOD3args(buffer: Buffer, at: int) -> tuple[MKNOD3args, int]:
    (where_dir_length,) = U_I(buffer, at)
    at += 4
    if where_dir_length > 64:
        raise XdrError(f"where_dir length of {where_dir_length}")
    where_dir = taken(buffer, at, where_dir_length)
    at += (where_dir_length + 3) & -4
    (where_name_length,) = U_I(buffer, at)
    at += 4
    where_name = taken(buffer, at, where_name_length)
    at += (where_name_length + 3) & -4
    (what_type,) = U_I(buffer, at)
    at += 4
    if what_type in (4, 3):
        what_device_dev_attributes, at = unpack_sattr3(buffer, at)
        (what_device_spec_specdata1, what_device_spec_specdata2) = U_2I(buffer, at)
        at += 8
        what = mknoddata3(what_type, device=devicedata3(what_device_dev_attributes, specdata3(what_device_spec_specdata1, what_device_spec_specdata2)))
    elif what_type in (6, 7):
        what_pipe_attributes, at = unpack_sattr3(buffer, at)
        what = mknoddata3(what_type, pipe_attributes=what_pipe_attributes)
    else:
        what = mknoddata3(what_type)
    return MKNOD3args(diropargs3(where_dir, where_name), what), at


def pack_RENAME3args(value: RENAME3args, parts: Parts) -> None:
    from__dir = value.from_.dir
    from__dir_length = len(from__dir)
    if from__dir_length > 64:
        raise XdrError(f"from__dir_length of {from__dir_length} where 64 is the bound")
    parts.append(P_I(from__dir_length))
    parts.append(from__dir)
    if from__dir_length & 3:
        parts.append(PADDING[from__dir_length & 3])
    from__name = value.from_.name
    from__name_length = len(from__name)
    parts.append(P_I(from__name_length))
    parts.append(from__name)
    if from__name_length & 3:
        parts.append(PADDING[from__name_length & 3])
    to_dir = value.to.dir
    to_dir_length = len(to_dir)
    if to_dir_length > 64:
        raise XdrError(f"to_dir_length of {to_dir_length} where 64 is the bound")
    parts.append(P_I(to_dir_length))
    parts.append(to_dir)
    if to_dir_length & 3:
        parts.append(PADDING[to_dir_length & 3])
    to_name = value.to.name
    to_name_length = len(to_name)
    parts.append(P_I(to_name_length))
    parts.append(to_name)
    if to_name_length & 3:
        parts.append(PADDING[to_name_length & 3])


def unpack_RENAME3args(buffer: Buffer, at: int) -> tuple[RENAME3args, int]:
    (from__dir_length,) = U_I(buffer, at)
    at += 4
    if from__dir_length > 64:
        raise XdrError(f"from__dir length of {from__dir_length}")
    from__dir = taken(buffer, at, from__dir_length)
    at += (from__dir_length + 3) & -4
    (from__name_length,) = U_I(buffer, at)
    at += 4
    from__name = taken(buffer, at, from__name_length)
    at += (from__name_length + 3) & -4
    (to_dir_length,) = U_I(buffer, at)
    at += 4
    if to_dir_length > 64:
        raise XdrError(f"to_dir length of {to_dir_length}")
    to_dir = taken(buffer, at, to_dir_length)
    at += (to_dir_length + 3) & -4
    (to_name_length,) = U_I(buffer, at)
    at += 4
    to_name = taken(buffer, at, to_name_length)
    at += (to_name_length + 3) & -4
    return RENAME3args(diropargs3(from__dir, from__name), diropargs3(to_dir, to_name)), at


def pack_LINK3args(value: LINK3args, parts: Parts) -> None:
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    parts.append(P_I(file_length))
    parts.append(file)
    if file_length & 3:
        parts.append(PADDING[file_length & 3])
    link_dir = value.link.dir
    link_dir_length = len(link_dir)
    if link_dir_length > 64:
        raise XdrError(f"link_dir_length of {link_dir_length} where 64 is the bound")
    parts.append(P_I(link_dir_length))
    parts.append(link_dir)
    if link_dir_length & 3:
        parts.append(PADDING[link_dir_length & 3])
    link_name = value.link.name
    link_name_length = len(link_name)
    parts.append(P_I(link_name_length))
    parts.append(link_name)
    if link_name_length & 3:
        parts.append(PADDING[link_name_length & 3])


def unpack_LINK3args(buffer: Buffer, at: int) -> tuple[LINK3args, int]:
    (file_length,) = U_I(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = taken(buffer, at, file_length)
    at += (file_length + 3) & -4
    (link_dir_length,) = U_I(buffer, at)
    at += 4
    if link_dir_length > 64:
        raise XdrError(f"link_dir length of {link_dir_length}")
    link_dir = taken(buffer, at, link_dir_length)
    at += (link_dir_length + 3) & -4
    (link_name_length,) = U_I(buffer, at)
    at += 4
    link_name = taken(buffer, at, link_name_length)
    at += (link_name_length + 3) & -4
    return LINK3args(file, diropargs3(link_dir, link_name)), at


def pack_READDIR3args(value: READDIR3args, parts: Parts) -> None:
    dir = value.dir
    dir_length = len(dir)
    if dir_length > 64:
        raise XdrError(f"dir_length of {dir_length} where 64 is the bound")
    parts.append(P_I(dir_length))
    parts.append(dir)
    if dir_length & 3:
        parts.append(PADDING[dir_length & 3])
    parts.append(P_Q8sI(value.cookie, value.cookieverf, value.count))


def unpack_READDIR3args(buffer: Buffer, at: int) -> tuple[READDIR3args, int]:
    (dir_length,) = U_I(buffer, at)
    at += 4
    if dir_length > 64:
        raise XdrError(f"dir length of {dir_length}")
    dir = taken(buffer, at, dir_length)
    at += (dir_length + 3) & -4
    cookie, cookieverf, count = U_Q8sI(buffer, at)
    at += 20
    return READDIR3args(dir, cookie, cookieverf, count), at


def pack_READDIRPLUS3args(value: READDIRPLUS3args, parts: Parts) -> None:
    dir = value.dir
    dir_length = len(dir)
    if dir_length > 64:
        raise XdrError(f"dir_length of {dir_length} where 64 is the bound")
    parts.append(P_I(dir_length))
    parts.append(dir)
    if dir_length & 3:
        parts.append(PADDING[dir_length & 3])
    parts.append(P_Q8s2I(value.cookie, value.cookieverf, value.dircount, value.maxcount))


def unpack_READDIRPLUS3args(buffer: Buffer, at: int) -> tuple[READDIRPLUS3args, int]:
    (dir_length,) = U_I(buffer, at)
    at += 4
    if dir_length > 64:
        raise XdrError(f"dir length of {dir_length}")
    dir = taken(buffer, at, dir_length)
    at += (dir_length + 3) & -4
    cookie, cookieverf, dircount, maxcount = U_Q8s2I(buffer, at)
    at += 24
    return READDIRPLUS3args(dir, cookie, cookieverf, dircount, maxcount), at


def pack_COMMIT3args(value: COMMIT3args, parts: Parts) -> None:
    file = value.file
    file_length = len(file)
    if file_length > 64:
        raise XdrError(f"file_length of {file_length} where 64 is the bound")
    parts.append(P_I(file_length))
    parts.append(file)
    if file_length & 3:
        parts.append(PADDING[file_length & 3])
    parts.append(P_QI(value.offset, value.count))


def unpack_COMMIT3args(buffer: Buffer, at: int) -> tuple[COMMIT3args, int]:
    (file_length,) = U_I(buffer, at)
    at += 4
    if file_length > 64:
        raise XdrError(f"file length of {file_length}")
    file = taken(buffer, at, file_length)
    at += (file_length + 3) & -4
    offset, count = U_QI(buffer, at)
    at += 12
    return COMMIT3args(file, offset, count), at


def pack_GETATTR3res(value: GETATTR3res, parts: Parts) -> None:
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        if not isinstance(resok, bytes):
            resok = encode(pack_fattr3, resok)
        parts.append(P_I84s(0, resok))
    else:
        parts.append(P_I(status))


def unpack_GETATTR3res(buffer: Buffer, at: int) -> tuple[GETATTR3res, int]:
    (value_status,) = U_I(buffer, at)
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
    parts.append(P_5I2Q2I2Q6I(
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
    ) = U_5I2Q2I2Q6I(buffer, at)
    at += 84
    if type not in FTYPE3_VALUES:
        raise XdrError(f"ftype3 of {type}")
    return fattr3(type, mode, nlink, uid, gid, size, used, specdata3(rdev_specdata1, rdev_specdata2), fsid, fileid, nfstime3(atime_seconds, atime_nseconds), nfstime3(mtime_seconds, mtime_nseconds), nfstime3(ctime_seconds, ctime_nseconds)), at


def pack_SETATTR3res(value: SETATTR3res, parts: Parts) -> None:
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        parts.append(b'\x00\x00\x00\x00')
        if isinstance(resok, bytes):
            parts.append(resok)
        else:
            pack_wcc_data(resok, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_SETATTR3res(buffer: Buffer, at: int) -> tuple[SETATTR3res, int]:
    (value_status,) = U_I(buffer, at)
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
    before = value.before
    if before is not None:
        parts.append(P_IQ4I(
            1, before.size, before.mtime.seconds, before.mtime.nseconds, before.ctime.seconds,
            before.ctime.nseconds,
        ))
    else:
        parts.append(b'\x00\x00\x00\x00')
    after = value.after
    if after is not None:
        if not isinstance(after, bytes):
            after = encode(pack_fattr3, after)
        parts.append(P_I84s(1, after))
    else:
        parts.append(b'\x00\x00\x00\x00')


def unpack_wcc_data(buffer: Buffer, at: int) -> tuple[wcc_data, int]:
    (before_follows,) = U_I(buffer, at)
    at += 4
    before: wcc_attr | None = None
    if before_follows == 1:
        (
            before_size, before_mtime_seconds, before_mtime_nseconds, before_ctime_seconds,
            before_ctime_nseconds,
        ) = U_Q4I(buffer, at)
        at += 24
        before = wcc_attr(before_size, nfstime3(before_mtime_seconds, before_mtime_nseconds), nfstime3(before_ctime_seconds, before_ctime_nseconds))
    elif before_follows:
        raise XdrError(f"bool of {before_follows}")
    (after_follows,) = U_I(buffer, at)
    at += 4
    after: fattr3 | bytes | None = None
    if after_follows == 1:
        after, at = unpack_fattr3(buffer, at)
        after = after
    elif after_follows:
        raise XdrError(f"bool of {after_follows}")
    return wcc_data(before, after), at


def pack_LOOKUP3res(value: LOOKUP3res, parts: Parts) -> None:
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_object = resok.object
        resok_object_length = len(resok_object)
        if resok_object_length > 64:
            raise XdrError(f"resok_object_length of {resok_object_length} where 64 is the bound")
        parts.append(P_2I(0, resok_object_length))
        parts.append(resok_object)
        if resok_object_length & 3:
            parts.append(PADDING[resok_object_length & 3])
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_I84s(1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00')
        resok_dir_attributes = resok.dir_attributes
        if resok_dir_attributes is not None:
            if not isinstance(resok_dir_attributes, bytes):
                resok_dir_attributes = encode(pack_fattr3, resok_dir_attributes)
            parts.append(P_I84s(1, resok_dir_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00')
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_LOOKUP3res(buffer: Buffer, at: int) -> tuple[LOOKUP3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_object_length,) = U_I(buffer, at)
        at += 4
        if value_resok_object_length > 64:
            raise XdrError(f"value_resok_object length of {value_resok_object_length}")
        value_resok_object = taken(buffer, at, value_resok_object_length)
        at += (value_resok_object_length + 3) & -4
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        (value_resok_dir_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_dir_attributes: fattr3 | bytes | None = None
        if value_resok_dir_attributes_follows == 1:
            value_resok_dir_attributes, at = unpack_fattr3(buffer, at)
            value_resok_dir_attributes = value_resok_dir_attributes
        elif value_resok_dir_attributes_follows:
            raise XdrError(f"bool of {value_resok_dir_attributes_follows}")
        value = LOOKUP3res(value_status, resok=LOOKUP3resok(value_resok_object, value_resok_obj_attributes, value_resok_dir_attributes))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_2I84s(0, 1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        parts.append(P_I(resok.access))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_ACCESS3res(buffer: Buffer, at: int) -> tuple[ACCESS3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_obj_attributes: fattr3 | bytes | None = None
        if value_resok_obj_attributes_follows == 1:
            value_resok_obj_attributes, at = unpack_fattr3(buffer, at)
            value_resok_obj_attributes = value_resok_obj_attributes
        elif value_resok_obj_attributes_follows:
            raise XdrError(f"bool of {value_resok_obj_attributes_follows}")
        (value_resok_access,) = U_I(buffer, at)
        at += 4
        value = ACCESS3res(value_status, resok=ACCESS3resok(value_resok_obj_attributes, value_resok_access))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_symlink_attributes = resok.symlink_attributes
        if resok_symlink_attributes is not None:
            if not isinstance(resok_symlink_attributes, bytes):
                resok_symlink_attributes = encode(pack_fattr3, resok_symlink_attributes)
            parts.append(P_2I84s(0, 1, resok_symlink_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_data = resok.data
        resok_data_length = len(resok_data)
        parts.append(P_I(resok_data_length))
        parts.append(resok_data)
        if resok_data_length & 3:
            parts.append(PADDING[resok_data_length & 3])
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_READLINK3res(buffer: Buffer, at: int) -> tuple[READLINK3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_symlink_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_symlink_attributes: fattr3 | bytes | None = None
        if value_resok_symlink_attributes_follows == 1:
            value_resok_symlink_attributes, at = unpack_fattr3(buffer, at)
            value_resok_symlink_attributes = value_resok_symlink_attributes
        elif value_resok_symlink_attributes_follows:
            raise XdrError(f"bool of {value_resok_symlink_attributes_follows}")
        (value_resok_data_length,) = U_I(buffer, at)
        at += 4
        value_resok_data = taken(buffer, at, value_resok_data_length)
        at += (value_resok_data_length + 3) & -4
        value = READLINK3res(value_status, resok=READLINK3resok(value_resok_symlink_attributes, value_resok_data))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_attributes = resok.file_attributes
        if resok_file_attributes is not None:
            if not isinstance(resok_file_attributes, bytes):
                resok_file_attributes = encode(pack_fattr3, resok_file_attributes)
            parts.append(P_2I84s(0, 1, resok_file_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_data = resok.data
        resok_data_length = len(resok_data)
        parts.append(P_3I(resok.count, resok.eof, resok_data_length))
        parts.append(resok_data)
        if resok_data_length & 3:
            parts.append(PADDING[resok_data_length & 3])
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_READ3res(buffer: Buffer, at: int) -> tuple[READ3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_file_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_file_attributes: fattr3 | bytes | None = None
        if value_resok_file_attributes_follows == 1:
            value_resok_file_attributes, at = unpack_fattr3(buffer, at)
            value_resok_file_attributes = value_resok_file_attributes
        elif value_resok_file_attributes_follows:
            raise XdrError(f"bool of {value_resok_file_attributes_follows}")
        (value_resok_count, value_resok_eof, value_resok_data_length) = U_3I(buffer, at)
        at += 12
        if value_resok_eof > 1:
            raise XdrError(f"bool of {value_resok_eof}")
        value_resok_data = memoryview(buffer)[at : at + value_resok_data_length]
        at += (value_resok_data_length + 3) & -4
        value = READ3res(value_status, resok=READ3resok(value_resok_file_attributes, value_resok_count, value_resok_eof == 1, value_resok_data))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_wcc = resok.file_wcc
        parts.append(b'\x00\x00\x00\x00')
        if isinstance(resok_file_wcc, bytes):
            parts.append(resok_file_wcc)
        else:
            pack_wcc_data(resok_file_wcc, parts)
        parts.append(P_2I8s(resok.count, resok.committed, resok.verf))
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_WRITE3res(buffer: Buffer, at: int) -> tuple[WRITE3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok_file_wcc, at = unpack_wcc_data(buffer, at)
        (value_resok_count, value_resok_committed, value_resok_verf) = U_2I8s(buffer, at)
        at += 16
        if value_resok_committed not in STABLE_HOW_VALUES:
            raise XdrError(f"stable_how of {value_resok_committed}")
        value = WRITE3res(value_status, resok=WRITE3resok(value_resok_file_wcc, value_resok_count, value_resok_committed, value_resok_verf))
    else:
        value_resfail, at = unpack_wcc_data(buffer, at)
        value = WRITE3res(value_status, resfail=value_resfail)
    return value, at


def pack_CREATE3res(value: CREATE3res, parts: Parts) -> None:
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
            parts.append(P_3I(0, 1, resok_obj_length))
            parts.append(resok_obj)
            if resok_obj_length & 3:
                parts.append(PADDING[resok_obj_length & 3])
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_I84s(1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            parts.append(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_CREATE3res(buffer: Buffer, at: int) -> tuple[CREATE3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = U_I(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = U_I(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = taken(buffer, at, value_resok_obj_value_length)
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
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
            parts.append(P_3I(0, 1, resok_obj_length))
            parts.append(resok_obj)
            if resok_obj_length & 3:
                parts.append(PADDING[resok_obj_length & 3])
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_I84s(1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            parts.append(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_MKDIR3res(buffer: Buffer, at: int) -> tuple[MKDIR3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = U_I(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = U_I(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = taken(buffer, at, value_resok_obj_value_length)
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
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
            parts.append(P_3I(0, 1, resok_obj_length))
            parts.append(resok_obj)
            if resok_obj_length & 3:
                parts.append(PADDING[resok_obj_length & 3])
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_I84s(1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            parts.append(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_SYMLINK3res(buffer: Buffer, at: int) -> tuple[SYMLINK3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = U_I(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = U_I(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = taken(buffer, at, value_resok_obj_value_length)
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
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
            parts.append(P_3I(0, 1, resok_obj_length))
            parts.append(resok_obj)
            if resok_obj_length & 3:
                parts.append(PADDING[resok_obj_length & 3])
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_I84s(1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00')
        resok_dir_wcc = resok.dir_wcc
        if isinstance(resok_dir_wcc, bytes):
            parts.append(resok_dir_wcc)
        else:
            pack_wcc_data(resok_dir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_MKNOD3res(buffer: Buffer, at: int) -> tuple[MKNOD3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_follows,) = U_I(buffer, at)
        at += 4
        value_resok_obj: bytes | None = None
        if value_resok_obj_follows == 1:
            (value_resok_obj_value_length,) = U_I(buffer, at)
            at += 4
            if value_resok_obj_value_length > 64:
                raise XdrError(f"value_resok_obj_value length of {value_resok_obj_value_length}")
            value_resok_obj_value = taken(buffer, at, value_resok_obj_value_length)
            at += (value_resok_obj_value_length + 3) & -4
            value_resok_obj = value_resok_obj_value
        elif value_resok_obj_follows:
            raise XdrError(f"bool of {value_resok_obj_follows}")
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        parts.append(b'\x00\x00\x00\x00')
        if isinstance(resok, bytes):
            parts.append(resok)
        else:
            pack_wcc_data(resok, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_REMOVE3res(buffer: Buffer, at: int) -> tuple[REMOVE3res, int]:
    (value_status,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        parts.append(b'\x00\x00\x00\x00')
        if isinstance(resok, bytes):
            parts.append(resok)
        else:
            pack_wcc_data(resok, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_RMDIR3res(buffer: Buffer, at: int) -> tuple[RMDIR3res, int]:
    (value_status,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_fromdir_wcc = resok.fromdir_wcc
        parts.append(b'\x00\x00\x00\x00')
        if isinstance(resok_fromdir_wcc, bytes):
            parts.append(resok_fromdir_wcc)
        else:
            pack_wcc_data(resok_fromdir_wcc, parts)
        resok_todir_wcc = resok.todir_wcc
        if isinstance(resok_todir_wcc, bytes):
            parts.append(resok_todir_wcc)
        else:
            pack_wcc_data(resok_todir_wcc, parts)
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        resfail_fromdir_wcc = resfail.fromdir_wcc
        parts.append(P_I(status))
        if isinstance(resfail_fromdir_wcc, bytes):
            parts.append(resfail_fromdir_wcc)
        else:
            pack_wcc_data(resfail_fromdir_wcc, parts)
        resfail_todir_wcc = resfail.todir_wcc
        if isinstance(resfail_todir_wcc, bytes):
            parts.append(resfail_todir_wcc)
        else:
            pack_wcc_data(resfail_todir_wcc, parts)


def unpack_RENAME3res(buffer: Buffer, at: int) -> tuple[RENAME3res, int]:
    (value_status,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_attributes = resok.file_attributes
        if resok_file_attributes is not None:
            if not isinstance(resok_file_attributes, bytes):
                resok_file_attributes = encode(pack_fattr3, resok_file_attributes)
            parts.append(P_2I84s(0, 1, resok_file_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_linkdir_wcc = resok.linkdir_wcc
        if isinstance(resok_linkdir_wcc, bytes):
            parts.append(resok_linkdir_wcc)
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
            parts.append(P_2I84s(status, 1, resfail_file_attributes))
        else:
            parts.append(P_2I(status, 0))
        resfail_linkdir_wcc = resfail.linkdir_wcc
        if isinstance(resfail_linkdir_wcc, bytes):
            parts.append(resfail_linkdir_wcc)
        else:
            pack_wcc_data(resfail_linkdir_wcc, parts)


def unpack_LINK3res(buffer: Buffer, at: int) -> tuple[LINK3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_file_attributes_follows,) = U_I(buffer, at)
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
        (value_resfail_file_attributes_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_dir_attributes = resok.dir_attributes
        if resok_dir_attributes is not None:
            if not isinstance(resok_dir_attributes, bytes):
                resok_dir_attributes = encode(pack_fattr3, resok_dir_attributes)
            parts.append(P_2I84s(0, 1, resok_dir_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_reply_entries = resok.reply.entries
        parts.append(P_8s(resok.cookieverf))
        if isinstance(resok_reply_entries, bytes):
            parts.append(resok_reply_entries)
        else:
            for entry3 in resok_reply_entries:
                pack_entry3(entry3, parts)
        parts.append(P_2I(0, resok.reply.eof))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_READDIR3res(buffer: Buffer, at: int) -> tuple[READDIR3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_dir_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_dir_attributes: fattr3 | bytes | None = None
        if value_resok_dir_attributes_follows == 1:
            value_resok_dir_attributes, at = unpack_fattr3(buffer, at)
            value_resok_dir_attributes = value_resok_dir_attributes
        elif value_resok_dir_attributes_follows:
            raise XdrError(f"bool of {value_resok_dir_attributes_follows}")
        (value_resok_cookieverf, value_resok_reply_entries_follows) = U_8sI(buffer, at)
        at += 12
        value_resok_reply_entries: list[entry3] = []
        while value_resok_reply_entries_follows == 1:
            entry3_fileid, entry3_name_length = U_QI(buffer, at)
            at += 12
            entry3_name = taken(buffer, at, entry3_name_length)
            at += (entry3_name_length + 3) & -4
            (entry3_cookie, value_resok_reply_entries_follows) = U_QI(buffer, at)
            at += 12
            value_resok_reply_entries.append(entry3(entry3_fileid, entry3_name, entry3_cookie))
        if value_resok_reply_entries_follows:
            raise XdrError(f"bool of {value_resok_reply_entries_follows}")
        (value_resok_reply_eof,) = U_I(buffer, at)
        at += 4
        if value_resok_reply_eof > 1:
            raise XdrError(f"bool of {value_resok_reply_eof}")
        value = READDIR3res(value_status, resok=READDIR3resok(value_resok_dir_attributes, value_resok_cookieverf, dirlist3(value_resok_reply_entries, value_resok_reply_eof == 1)))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    name = value.name
    name_length = len(name)
    parts.append(P_IQI(1, value.fileid, name_length))
    parts.append(name)
    if name_length & 3:
        parts.append(PADDING[name_length & 3])
    parts.append(P_Q(value.cookie))


def pack_READDIRPLUS3res(value: READDIRPLUS3res, parts: Parts) -> None:
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_dir_attributes = resok.dir_attributes
        if resok_dir_attributes is not None:
            if not isinstance(resok_dir_attributes, bytes):
                resok_dir_attributes = encode(pack_fattr3, resok_dir_attributes)
            parts.append(P_2I84s(0, 1, resok_dir_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        resok_reply_entries = resok.reply.entries
        parts.append(P_8s(resok.cookieverf))
        if isinstance(resok_reply_entries, bytes):
            parts.append(resok_reply_entries)
        else:
            for entryplus3 in resok_reply_entries:
                pack_entryplus3(entryplus3, parts)
        parts.append(P_2I(0, resok.reply.eof))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_READDIRPLUS3res(buffer: Buffer, at: int) -> tuple[READDIRPLUS3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_dir_attributes_follows,) = U_I(buffer, at)
        at += 4
        value_resok_dir_attributes: fattr3 | bytes | None = None
        if value_resok_dir_attributes_follows == 1:
            value_resok_dir_attributes, at = unpack_fattr3(buffer, at)
            value_resok_dir_attributes = value_resok_dir_attributes
        elif value_resok_dir_attributes_follows:
            raise XdrError(f"bool of {value_resok_dir_attributes_follows}")
        (value_resok_cookieverf, value_resok_reply_entries_follows) = U_8sI(buffer, at)
        at += 12
        value_resok_reply_entries: list[entryplus3] = []
        while value_resok_reply_entries_follows == 1:
            entryplus3_fileid, entryplus3_name_length = U_QI(buffer, at)
            at += 12
            entryplus3_name = taken(buffer, at, entryplus3_name_length)
            at += (entryplus3_name_length + 3) & -4
            (entryplus3_cookie, entryplus3_name_attributes_follows) = U_QI(buffer, at)
            at += 12
            entryplus3_name_attributes: fattr3 | bytes | None = None
            if entryplus3_name_attributes_follows == 1:
                entryplus3_name_attributes, at = unpack_fattr3(buffer, at)
                entryplus3_name_attributes = entryplus3_name_attributes
            elif entryplus3_name_attributes_follows:
                raise XdrError(f"bool of {entryplus3_name_attributes_follows}")
            (entryplus3_name_handle_follows,) = U_I(buffer, at)
            at += 4
            entryplus3_name_handle: bytes | None = None
            if entryplus3_name_handle_follows == 1:
                (entryplus3_name_handle_value_length,) = U_I(buffer, at)
                at += 4
                if entryplus3_name_handle_value_length > 64:
                    raise XdrError(f"entryplus3_name_handle_value length of {entryplus3_name_handle_value_length}")
                entryplus3_name_handle_value = taken(buffer, at, entryplus3_name_handle_value_length)
                at += (entryplus3_name_handle_value_length + 3) & -4
                entryplus3_name_handle = entryplus3_name_handle_value
            elif entryplus3_name_handle_follows:
                raise XdrError(f"bool of {entryplus3_name_handle_follows}")
            (value_resok_reply_entries_follows,) = U_I(buffer, at)
            at += 4
            value_resok_reply_entries.append(entryplus3(entryplus3_fileid, entryplus3_name, entryplus3_cookie, entryplus3_name_attributes, entryplus3_name_handle))
        if value_resok_reply_entries_follows:
            raise XdrError(f"bool of {value_resok_reply_entries_follows}")
        (value_resok_reply_eof,) = U_I(buffer, at)
        at += 4
        if value_resok_reply_eof > 1:
            raise XdrError(f"bool of {value_resok_reply_eof}")
        value = READDIRPLUS3res(value_status, resok=READDIRPLUS3resok(value_resok_dir_attributes, value_resok_cookieverf, dirlistplus3(value_resok_reply_entries, value_resok_reply_eof == 1)))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    name = value.name
    name_length = len(name)
    parts.append(P_IQI(1, value.fileid, name_length))
    parts.append(name)
    if name_length & 3:
        parts.append(PADDING[name_length & 3])
    name_attributes = value.name_attributes
    if name_attributes is not None:
        if not isinstance(name_attributes, bytes):
            name_attributes = encode(pack_fattr3, name_attributes)
        parts.append(P_QI84s(value.cookie, 1, name_attributes))
    else:
        parts.append(P_QI(value.cookie, 0))
    name_handle = value.name_handle
    if name_handle is not None:
        name_handle_length = len(name_handle)
        if name_handle_length > 64:
            raise XdrError(f"name_handle_length of {name_handle_length} where 64 is the bound")
        parts.append(P_2I(1, name_handle_length))
        parts.append(name_handle)
        if name_handle_length & 3:
            parts.append(PADDING[name_handle_length & 3])
    else:
        parts.append(b'\x00\x00\x00\x00')


def pack_FSSTAT3res(value: FSSTAT3res, parts: Parts) -> None:
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_2I84s(0, 1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        parts.append(P_6QI(
            resok.tbytes, resok.fbytes, resok.abytes, resok.tfiles, resok.ffiles, resok.afiles,
            resok.invarsec,
        ))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_FSSTAT3res(buffer: Buffer, at: int) -> tuple[FSSTAT3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
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
        ) = U_6QI(buffer, at)
        at += 52
        value = FSSTAT3res(value_status, resok=FSSTAT3resok(value_resok_obj_attributes, value_resok_tbytes, value_resok_fbytes, value_resok_abytes, value_resok_tfiles, value_resok_ffiles, value_resok_afiles, value_resok_invarsec))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_2I84s(0, 1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        parts.append(P_7IQ3I(
            resok.rtmax, resok.rtpref, resok.rtmult, resok.wtmax, resok.wtpref, resok.wtmult,
            resok.dtpref, resok.maxfilesize, resok.time_delta.seconds, resok.time_delta.nseconds,
            resok.properties,
        ))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_FSINFO3res(buffer: Buffer, at: int) -> tuple[FSINFO3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
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
        ) = U_7IQ3I(buffer, at)
        at += 48
        value = FSINFO3res(value_status, resok=FSINFO3resok(value_resok_obj_attributes, value_resok_rtmax, value_resok_rtpref, value_resok_rtmult, value_resok_wtmax, value_resok_wtpref, value_resok_wtmult, value_resok_dtpref, value_resok_maxfilesize, nfstime3(value_resok_time_delta_seconds, value_resok_time_delta_nseconds), value_resok_properties))
    else:
        (value_resfail_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_obj_attributes = resok.obj_attributes
        if resok_obj_attributes is not None:
            if not isinstance(resok_obj_attributes, bytes):
                resok_obj_attributes = encode(pack_fattr3, resok_obj_attributes)
            parts.append(P_2I84s(0, 1, resok_obj_attributes))
        else:
            parts.append(b'\x00\x00\x00\x00\x00\x00\x00\x00')
        parts.append(P_6I(
            resok.linkmax, resok.name_max, resok.no_trunc, resok.chown_restricted,
            resok.case_insensitive, resok.case_preserving,
        ))
    else:
        resfail = value.resfail
        if resfail is not None:
            if not isinstance(resfail, bytes):
                resfail = encode(pack_fattr3, resfail)
            parts.append(P_2I84s(status, 1, resfail))
        else:
            parts.append(P_2I(status, 0))


def unpack_PATHCONF3res(buffer: Buffer, at: int) -> tuple[PATHCONF3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        (value_resok_obj_attributes_follows,) = U_I(buffer, at)
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
        ) = U_6I(buffer, at)
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
        (value_resfail_follows,) = U_I(buffer, at)
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
    status = value.status
    if status == 0:
        resok = value.resok
        if resok is None:
            raise XdrError("resok is missing")
        resok_file_wcc = resok.file_wcc
        parts.append(b'\x00\x00\x00\x00')
        if isinstance(resok_file_wcc, bytes):
            parts.append(resok_file_wcc)
        else:
            pack_wcc_data(resok_file_wcc, parts)
        parts.append(P_8s(resok.verf))
    else:
        resfail = value.resfail
        if resfail is None:
            raise XdrError("resfail is missing")
        parts.append(P_I(status))
        if isinstance(resfail, bytes):
            parts.append(resfail)
        else:
            pack_wcc_data(resfail, parts)


def unpack_COMMIT3res(buffer: Buffer, at: int) -> tuple[COMMIT3res, int]:
    (value_status,) = U_I(buffer, at)
    at += 4
    if value_status not in NFSSTAT3_VALUES:
        raise XdrError(f"nfsstat3 of {value_status}")
    if value_status == 0:
        value_resok_file_wcc, at = unpack_wcc_data(buffer, at)
        (value_resok_verf,) = U_8s(buffer, at)
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
