"""Attributes on the wire, ACCESS, SETATTR and what is known of the filesystem."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfsd.nfs.fattr import changes_of, pack_attributes, wcc_of
from nfsd.xdr.codec import decode
from nfsd.xdr.generated.nfs3 import (
    ACCESS3_DELETE,
    ACCESS3_EXECUTE,
    ACCESS3_EXTEND,
    ACCESS3_LOOKUP,
    ACCESS3_MODIFY,
    ACCESS3_READ,
    DONT_CHANGE,
    NF3BLK,
    NF3CHR,
    NF3DIR,
    NF3FIFO,
    NF3LNK,
    NF3REG,
    NF3SOCK,
    NFS3_OK,
    NFS3ERR_BADHANDLE,
    NFS3ERR_FBIG,
    NFS3ERR_INVAL,
    NFS3ERR_ISDIR,
    NFS3ERR_NOT_SYNC,
    NFS3ERR_PERM,
    SET_TO_CLIENT_TIME,
    SET_TO_SERVER_TIME,
    ACCESS3args,
    CREATE3args,
    MKDIR3args,
    PATHCONF3resok,
    SETATTR3args,
    createhow3,
    diropargs3,
    fattr3,
    nfstime3,
    sattr3,
    set_atime,
    set_mtime,
    specdata3,
    unpack_fattr3,
    unpack_wcc_data,
    wcc_attr,
)
from overlay.model.attributes import NOW, Attributes, Change, Changes
from tests.client import Client

SAME = sattr3(None, None, None, None, set_atime(DONT_CHANGE), set_mtime(DONT_CHANGE))
ALL = 0x3F
TYPES = {
    stat.S_IFREG: NF3REG,
    stat.S_IFDIR: NF3DIR,
    stat.S_IFBLK: NF3BLK,
    stat.S_IFCHR: NF3CHR,
    stat.S_IFLNK: NF3LNK,
    stat.S_IFSOCK: NF3SOCK,
    stat.S_IFIFO: NF3FIFO,
}
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
TIME = st.integers(-(2**40), 2**62)


@given(
    st.sampled_from(sorted(TYPES)), st.integers(0, 0o7777), U32, U32, U32, U64, U64,
    st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)), U64, U64, TIME, TIME, TIME,
)  # fmt: skip
def test_packed_attributes_are_the_fattr3(
    kind: int, mode: int, nlink: int, uid: int, gid: int, size: int, used: int,
    device: tuple[int, int], fsid: int, fileid: int, atime: int, mtime: int, ctime: int,
) -> None:  # fmt: skip
    attributes = Attributes(
        kind | mode, nlink, uid, gid, size, used, os.makedev(*device), fileid, atime, mtime, ctime
    )

    def wire(time: int) -> nfstime3:
        return nfstime3(time // 10**9 % 2**32, time % 10**9)

    assert decode(unpack_fattr3, pack_attributes(attributes, fsid)) == fattr3(
        TYPES[kind], mode, nlink, uid, gid, size, used, specdata3(*device), fsid, fileid,
        wire(atime), wire(mtime), wire(ctime),
    )  # fmt: skip


def test_wcc_says_what_was_before() -> None:
    before = Attributes(stat.S_IFREG, 1, 0, 0, 5, 0, 0, 9, 1, 2 * 10**9 + 3, 4 * 10**9 + 5)
    wcc = decode(unpack_wcc_data, wcc_of(Change(before, replace(before, size=6)), 1))
    assert wcc.before == wcc_attr(5, nfstime3(2, 3), nfstime3(4, 5))
    assert isinstance(wcc.after, fattr3)
    assert wcc.after.size == 6


def test_changes_of() -> None:
    assert changes_of(SAME) == Changes()
    wanted = sattr3(
        0o107755,
        1,
        2,
        3,
        set_atime(SET_TO_SERVER_TIME),
        set_mtime(SET_TO_CLIENT_TIME, nfstime3(0, 7)),
    )
    assert changes_of(wanted) == Changes(0o7755, 1, 2, 3, NOW, 7)
    nobody = replace(SAME, uid=0xFFFFFFFF, gid=0xFFFFFFFF)
    assert changes_of(nobody) == Changes()
    late = replace(SAME, atime=set_atime(SET_TO_CLIENT_TIME, nfstime3(0, 10**9)))
    with pytest.raises(OSError, match="Invalid"):
        changes_of(late)


def made(client: Client, root: bytes, name: bytes, mode: int = 0o644) -> bytes:
    how = createhow3(0, obj_attributes=replace(SAME, mode=mode))
    reply = client.nfs("CREATE", CREATE3args(diropargs3(root, name), how))
    assert reply.status == NFS3_OK
    handle: bytes = reply.resok.obj
    return handle


def attributes(client: Client, handle: bytes) -> fattr3:
    reply = client.nfs("GETATTR", handle)
    assert reply.status == NFS3_OK
    assert isinstance(reply.resok, fattr3)
    return reply.resok


@pytest.mark.parametrize("handle", [b"", b"x", bytes(32), b"\xff" * 64])
def test_forged_handles(client: Client, handle: bytes) -> None:
    assert client.nfs("GETATTR", handle).status == NFS3ERR_BADHANDLE


def test_every_altered_handle_is_bad(client: Client, root: bytes) -> None:
    for at in range(len(root)):
        for bit in range(8):
            altered = bytearray(root)
            altered[at] ^= 1 << bit
            assert client.nfs("GETATTR", bytes(altered)).status == NFS3ERR_BADHANDLE
    for size in range(len(root)):
        assert client.nfs("GETATTR", root[:size]).status == NFS3ERR_BADHANDLE


def test_setattr(client: Client, root: bytes) -> None:
    handle = made(client, root, b"setattr")
    had = attributes(client, handle)
    wanted = replace(
        SAME,
        mode=0o4711,
        uid=12,
        gid=34,
        size=100,
        atime=set_atime(SET_TO_CLIENT_TIME, nfstime3(5, 6)),
        mtime=set_mtime(SET_TO_CLIENT_TIME, nfstime3(2**32 - 1, 999999999)),
    )
    reply = client.nfs("SETATTR", SETATTR3args(handle, wanted, None))
    assert reply.status == NFS3_OK
    assert reply.resok.before == wcc_attr(had.size, had.mtime, had.ctime)
    has = attributes(client, handle)
    assert reply.resok.after == has
    assert (has.mode, has.uid, has.gid, has.size) == (0o4711, 12, 34, 100)
    assert (has.atime, has.mtime) == (nfstime3(5, 6), nfstime3(2**32 - 1, 999999999))


def test_setattr_guard(client: Client, root: bytes) -> None:
    handle = made(client, root, b"guard")
    ctime = attributes(client, handle).ctime
    wrong = replace(ctime, nseconds=(ctime.nseconds + 1) % 10**9)
    wanted = replace(SAME, mode=0o600)
    refused = client.nfs("SETATTR", SETATTR3args(handle, wanted, wrong))
    assert refused.status == NFS3ERR_NOT_SYNC
    assert refused.resfail.after == attributes(client, handle)
    assert attributes(client, handle).mode == 0o644
    assert client.nfs("SETATTR", SETATTR3args(handle, wanted, ctime)).status == NFS3_OK
    assert client.nfs("SETATTR", SETATTR3args(handle, wanted, ctime)).status == NFS3ERR_NOT_SYNC


def test_setattr_refusals(client: Client, root: bytes) -> None:
    handle = made(client, root, b"refused")

    def status(wanted: sattr3, of: bytes = handle) -> int:
        reply = client.nfs("SETATTR", SETATTR3args(of, wanted, None))
        answer: int = reply.status
        return answer

    assert status(replace(SAME, size=2**63)) == NFS3ERR_FBIG
    assert status(replace(SAME, size=0), root) == NFS3ERR_ISDIR
    late = set_mtime(SET_TO_CLIENT_TIME, nfstime3(1, 10**9))
    assert status(replace(SAME, mtime=late)) == NFS3ERR_INVAL
    with client.acting_as(1000, 1000):
        assert status(replace(SAME, mode=0o777)) == NFS3ERR_PERM
    assert attributes(client, handle).mode == 0o644


@pytest.mark.parametrize(
    ("mode", "uid", "expected"),
    [
        (0o640, 1000, ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND),
        (0o750, 1000, ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_EXECUTE),
        (0o640, 1001, ACCESS3_READ),
        (0o640, 1002, 0),
        (0o000, 1000, 0),
        (0o000, 0, ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND),
        (0o100, 0, ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_EXECUTE),
    ],
)
def test_access_to_a_file(client: Client, root: bytes, mode: int, uid: int, expected: int) -> None:
    handle = made(client, root, b"access-%o-%d" % (mode, uid), mode)
    owner = replace(SAME, uid=1000, gid=500, mode=mode)
    assert client.nfs("SETATTR", SETATTR3args(handle, owner, None)).status == NFS3_OK
    with client.acting_as(uid, 100, [500] if uid == 1001 else []):
        reply = client.nfs("ACCESS", ACCESS3args(handle, ALL))
        assert reply.status == NFS3_OK
        assert reply.resok.access == expected
        assert client.nfs("ACCESS", ACCESS3args(handle, 1)).resok.access == expected & 1


def test_access_to_a_directory(client: Client, root: bytes) -> None:
    wanted = MKDIR3args(diropargs3(root, b"accessed"), replace(SAME, mode=0o755))
    directory = client.nfs("MKDIR", wanted).resok.obj
    modify = ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_DELETE
    everything = ACCESS3_READ | ACCESS3_LOOKUP | modify
    assert client.nfs("ACCESS", ACCESS3args(directory, ALL)).resok.access == everything
    with client.acting_as(1000, 1000):
        access = client.nfs("ACCESS", ACCESS3args(directory, ALL)).resok.access
    assert access == ACCESS3_READ | ACCESS3_LOOKUP


def test_fsinfo(client: Client, root: bytes) -> None:
    info = client.nfs("FSINFO", root).resok
    assert (info.rtmax, info.wtmax) == (1 << 20, 1 << 20)
    assert info.rtpref <= info.rtmax
    assert info.wtpref <= info.wtmax
    assert info.maxfilesize == 2**63 - 1
    assert info.time_delta == nfstime3(0, 1)
    assert info.properties == 0x1B
    assert info.obj_attributes == attributes(client, root)


def test_pathconf(client: Client, root: bytes) -> None:
    conf = client.nfs("PATHCONF", root).resok
    said = PATHCONF3resok(attributes(client, root), conf.linkmax, 255, True, True, False, True)
    assert conf == said


def test_fsstat(client: Client, root: bytes) -> None:
    space = client.nfs("FSSTAT", root).resok
    assert space.tbytes >= space.fbytes >= space.abytes > 0
    assert space.tfiles >= space.ffiles >= space.afiles
    assert client.nfs("FSSTAT", b"none").status == NFS3ERR_BADHANDLE
