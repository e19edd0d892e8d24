"""Making, finding, moving and removing names over the wire."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from nfsd.xdr.generated.nfs3 import (
    EXCLUSIVE,
    GUARDED,
    NF3BLK,
    NF3CHR,
    NF3DIR,
    NF3FIFO,
    NF3LNK,
    NF3REG,
    NF3SOCK,
    NFS3_OK,
    NFS3ERR_ACCES,
    NFS3ERR_BADTYPE,
    NFS3ERR_EXIST,
    NFS3ERR_INVAL,
    NFS3ERR_ISDIR,
    NFS3ERR_NAMETOOLONG,
    NFS3ERR_NOENT,
    NFS3ERR_NOTDIR,
    NFS3ERR_NOTEMPTY,
    NFS3ERR_PERM,
    NFS3ERR_STALE,
    SET_TO_SERVER_TIME,
    UNCHECKED,
    CREATE3args,
    LINK3args,
    MKDIR3args,
    MKNOD3args,
    RENAME3args,
    SETATTR3args,
    SYMLINK3args,
    createhow3,
    devicedata3,
    diropargs3,
    mknoddata3,
    set_atime,
    set_mtime,
    specdata3,
    symlinkdata3,
    wcc_attr,
    wcc_data,
)
from tests.client import Client
from tests.conformance.server import Server
from tests.server.test_nfs3_attributes import SAME, attributes, made

LONG = b"n" * 255


def at(directory: bytes, name: bytes) -> diropargs3:
    return diropargs3(directory, name)


def mkdir(client: Client, parent: bytes, name: bytes, mode: int = 0o755) -> bytes:
    reply = client.nfs("MKDIR", MKDIR3args(at(parent, name), replace(SAME, mode=mode)))
    assert reply.status == NFS3_OK
    handle: bytes = reply.resok.obj
    return handle


def found(client: Client, directory: bytes, name: bytes) -> int:
    status: int = client.nfs("LOOKUP", at(directory, name)).status
    return status


def is_true_of(wcc: wcc_data, client: Client, directory: bytes, before: Any) -> None:  # noqa: ANN401
    """wcc_data says what was just before, and what is now."""
    assert wcc.before == wcc_attr(before.size, before.mtime, before.ctime)
    assert wcc.after == attributes(client, directory)


def test_lookup(client: Client, root: bytes) -> None:
    reply = client.nfs("LOOKUP", at(root, b"file"))
    assert reply.status == NFS3_OK
    assert reply.resok.obj_attributes == attributes(client, reply.resok.object)
    assert reply.resok.dir_attributes == attributes(client, root)
    assert reply.resok.obj_attributes.size == 10
    assert len(reply.resok.object) <= 64
    missing = client.nfs("LOOKUP", at(root, b"missing"))
    assert missing.status == NFS3ERR_NOENT
    assert missing.resfail == attributes(client, root)


def test_lookup_of_dots(client: Client, root: bytes) -> None:
    below = mkdir(client, root, b"below-root")
    assert client.nfs("LOOKUP", at(below, b".")).resok.object == below
    assert client.nfs("LOOKUP", at(below, b"..")).resok.object == root
    assert client.nfs("LOOKUP", at(root, b"..")).resok.object == root


def test_lookup_in_a_file(client: Client, root: bytes) -> None:
    file = made(client, root, b"no-directory")
    assert found(client, file, b"x") == NFS3ERR_NOTDIR


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"", NFS3ERR_INVAL),
        (b"a/b", NFS3ERR_INVAL),
        (b"/", NFS3ERR_INVAL),
        (b"a\0b", NFS3ERR_INVAL),
        (b"n" * 256, NFS3ERR_NAMETOOLONG),
        (b"n" * 5000, NFS3ERR_NAMETOOLONG),
    ],
)
def test_what_is_no_name(client: Client, root: bytes, name: bytes, status: int) -> None:
    where, file = at(root, name), made(client, root, b"named")
    how = createhow3(UNCHECKED, obj_attributes=SAME)
    replies = {
        "LOOKUP": client.nfs("LOOKUP", where),
        "CREATE": client.nfs("CREATE", CREATE3args(where, how)),
        "EXCLUSIVE": client.nfs("CREATE", CREATE3args(where, createhow3(EXCLUSIVE, verf=bytes(8)))),
        "MKDIR": client.nfs("MKDIR", MKDIR3args(where, SAME)),
        "SYMLINK": client.nfs("SYMLINK", SYMLINK3args(where, symlinkdata3(SAME, b"x"))),
        "MKNOD": client.nfs("MKNOD", MKNOD3args(where, mknoddata3(NF3FIFO, pipe_attributes=SAME))),
        "REMOVE": client.nfs("REMOVE", where),
        "RMDIR": client.nfs("RMDIR", where),
        "RENAME from": client.nfs("RENAME", RENAME3args(where, at(root, b"x"))),
        "RENAME to": client.nfs("RENAME", RENAME3args(at(root, b"named"), where)),
        "LINK": client.nfs("LINK", LINK3args(file, where)),
    }
    assert {call: reply.status for call, reply in replies.items()} == dict.fromkeys(replies, status)


def test_names_of_any_bytes(client: Client, root: bytes) -> None:
    for name in (LONG, b"\xff\xfe\x80", b"new\nline", b" ", b"...", bytes(range(1, 47))):
        handle = made(client, root, name)
        assert client.nfs("LOOKUP", at(root, name)).resok.object == handle
        assert client.nfs("REMOVE", at(root, name)).status == NFS3_OK


def test_create(client: Client, root: bytes) -> None:
    before = attributes(client, root)
    how = createhow3(GUARDED, obj_attributes=replace(SAME, mode=0o601, size=7))
    reply = client.nfs("CREATE", CREATE3args(at(root, b"created"), how))
    assert reply.status == NFS3_OK
    assert reply.resok.obj_attributes == attributes(client, reply.resok.obj)
    assert (reply.resok.obj_attributes.mode, reply.resok.obj_attributes.size) == (0o601, 7)
    is_true_of(reply.resok.dir_wcc, client, root, before)
    again = client.nfs("CREATE", CREATE3args(at(root, b"created"), how))
    assert again.status == NFS3ERR_EXIST
    assert again.resfail.after == attributes(client, root)
    unchecked = createhow3(UNCHECKED, obj_attributes=replace(SAME, size=0))
    opened = client.nfs("CREATE", CREATE3args(at(root, b"created"), unchecked))
    assert opened.resok.obj == reply.resok.obj
    assert attributes(client, reply.resok.obj).size == 0


def test_exclusive_create(client: Client, root: bytes, live: Server) -> None:
    def create(verf: bytes) -> Any:  # noqa: ANN401
        how = createhow3(EXCLUSIVE, verf=verf)
        return client.nfs("CREATE", CREATE3args(at(root, b"exclusive"), how))

    first = create(b"verifier")
    assert first.status == NFS3_OK
    assert create(b"verifier").resok.obj == first.resok.obj
    assert create(b"another!").status == NFS3ERR_EXIST


def test_every_bit_of_an_exclusive_verifier_counts(
    client: Client, root: bytes, live: Server
) -> None:
    """Each of 64 verifiers that differ in one bit from another makes a file once, and no other."""

    def create(name: bytes, verf: int) -> Any:  # noqa: ANN401
        how = createhow3(EXCLUSIVE, verf=verf.to_bytes(8, "big"))
        return client.nfs("CREATE", CREATE3args(at(root, name), how))

    bits = [1 << bit for bit in range(64)]
    pairs = [(verf, verf ^ bit) for verf in (0, 2**64 - 1, 0x5A5A_1234_A5A5_4321) for bit in bits]
    names = [b"exclusive%d" % number for number in range(len(pairs))]
    made = [create(name, one) for name, (one, _) in zip(names, pairs, strict=True)]
    assert {reply.status for reply in made} == {NFS3_OK}
    live.restart(crash=True)
    with Client(live.port) as client:
        for name, (one, other), first in zip(names, pairs, made, strict=True):
            assert create(name, other).status == NFS3ERR_EXIST
            again = create(name, one)
            assert (again.status, again.resok.obj) == (NFS3_OK, first.resok.obj)
            wish = replace(SAME, mode=0o644, mtime=set_mtime(SET_TO_SERVER_TIME))
            set_times = replace(wish, atime=set_atime(SET_TO_SERVER_TIME))
            reply = client.nfs("SETATTR", SETATTR3args(first.resok.obj, set_times, None))
            assert reply.status == NFS3_OK
            assert abs(reply.resok.after.mtime.seconds - time.time()) < 60
            assert create(name, one).status == NFS3ERR_EXIST


def test_dots_cannot_be_made_or_removed(client: Client, root: bytes) -> None:
    for name in (b".", b".."):
        how = createhow3(UNCHECKED, obj_attributes=SAME)
        assert client.nfs("CREATE", CREATE3args(at(root, name), how)).status == NFS3ERR_EXIST
        assert client.nfs("MKDIR", MKDIR3args(at(root, name), SAME)).status == NFS3ERR_EXIST
        assert client.nfs("REMOVE", at(root, name)).status == NFS3ERR_INVAL
        elsewhere = RENAME3args(at(root, name), at(root, b"x"))
        assert client.nfs("RENAME", elsewhere).status == NFS3ERR_INVAL
    assert client.nfs("RMDIR", at(root, b".")).status == NFS3ERR_INVAL
    assert client.nfs("RMDIR", at(root, b"..")).status == NFS3ERR_EXIST


def test_directories(client: Client, root: bytes) -> None:
    before = attributes(client, root)
    reply = client.nfs("MKDIR", MKDIR3args(at(root, b"dir"), replace(SAME, mode=0o1750)))
    assert reply.status == NFS3_OK
    assert (reply.resok.obj_attributes.type, reply.resok.obj_attributes.mode) == (NF3DIR, 0o1750)
    is_true_of(reply.resok.dir_wcc, client, root, before)
    made(client, reply.resok.obj, b"inside")
    assert client.nfs("RMDIR", at(root, b"dir")).status == NFS3ERR_NOTEMPTY
    assert client.nfs("REMOVE", at(root, b"dir")).status == NFS3ERR_ISDIR
    assert client.nfs("REMOVE", at(reply.resok.obj, b"inside")).status == NFS3_OK
    before = attributes(client, root)
    removed = client.nfs("RMDIR", at(root, b"dir"))
    assert removed.status == NFS3_OK
    is_true_of(removed.resok, client, root, before)
    assert client.nfs("GETATTR", reply.resok.obj).status == NFS3ERR_STALE


def test_symlink(client: Client, root: bytes) -> None:
    target = b"../\xff/" + b"t" * 1000

    def symlink(name: bytes, to: bytes) -> Any:  # noqa: ANN401
        return client.nfs("SYMLINK", SYMLINK3args(at(root, name), symlinkdata3(SAME, to)))

    reply = symlink(b"symlink", target)
    assert reply.status == NFS3_OK
    assert reply.resok.obj_attributes.type == NF3LNK
    read = client.nfs("READLINK", reply.resok.obj)
    assert read.resok.data == target
    assert read.resok.symlink_attributes == attributes(client, reply.resok.obj)
    assert symlink(b"symlink", b"x").status == NFS3ERR_EXIST
    assert symlink(b"empty", b"").status == NFS3ERR_INVAL
    assert symlink(b"nul", b"a\0b").status == NFS3ERR_INVAL
    assert symlink(b"long", b"t" * 4096).status == NFS3ERR_NAMETOOLONG
    assert client.nfs("READLINK", root).status == NFS3ERR_INVAL


@pytest.mark.parametrize("kind", [NF3CHR, NF3BLK])
def test_devices(client: Client, root: bytes, kind: int) -> None:
    where = at(root, b"device%d" % kind)
    what = mknoddata3(kind, device=devicedata3(replace(SAME, mode=0o600), specdata3(4095, 77)))
    with client.acting_as(1000, 1000):
        assert client.nfs("MKNOD", MKNOD3args(where, what)).status in (NFS3ERR_PERM, NFS3ERR_ACCES)
    reply = client.nfs("MKNOD", MKNOD3args(where, what))
    assert reply.status == NFS3_OK
    assert reply.resok.obj_attributes.type == kind
    assert reply.resok.obj_attributes.rdev == specdata3(4095, 77)
    beyond = mknoddata3(kind, device=devicedata3(SAME, specdata3(4096, 0)))
    assert client.nfs("MKNOD", MKNOD3args(at(root, b"no"), beyond)).status == NFS3ERR_INVAL


@pytest.mark.parametrize("kind", [NF3FIFO, NF3SOCK])
def test_pipes_and_sockets(client: Client, root: bytes, kind: int) -> None:
    what = mknoddata3(kind, pipe_attributes=replace(SAME, mode=0o622))
    reply = client.nfs("MKNOD", MKNOD3args(at(root, b"pipe%d" % kind), what))
    assert reply.status == NFS3_OK
    assert (reply.resok.obj_attributes.type, reply.resok.obj_attributes.mode) == (kind, 0o622)


@pytest.mark.parametrize("kind", [NF3REG, NF3DIR, NF3LNK, 0, 8, (1 << 32) - 1])
def test_mknod_of_what_is_no_device_nor_pipe(client: Client, root: bytes, kind: int) -> None:
    reply = client.nfs("MKNOD", MKNOD3args(at(root, b"badtype"), mknoddata3(kind)))
    assert reply.status == NFS3ERR_BADTYPE


def test_rename(client: Client, root: bytes) -> None:
    source, target = mkdir(client, root, b"from"), mkdir(client, root, b"to")
    handle = made(client, source, b"old")
    before = attributes(client, source), attributes(client, target)
    reply = client.nfs("RENAME", RENAME3args(at(source, b"old"), at(target, b"new")))
    assert reply.status == NFS3_OK
    is_true_of(reply.resok.fromdir_wcc, client, source, before[0])
    is_true_of(reply.resok.todir_wcc, client, target, before[1])
    assert client.nfs("LOOKUP", at(target, b"new")).resok.object == handle
    missing = client.nfs("RENAME", RENAME3args(at(source, b"old"), at(target, b"new")))
    assert missing.status == NFS3ERR_NOENT
    assert missing.resfail.fromdir_wcc.after == attributes(client, source)
    assert missing.resfail.todir_wcc.after == attributes(client, target)
    into = client.nfs("RENAME", RENAME3args(at(root, b"to"), at(target, b"self")))
    assert into.status == NFS3ERR_INVAL


def test_link(client: Client, root: bytes) -> None:
    handle = made(client, root, b"first")
    before = attributes(client, root)
    reply = client.nfs("LINK", LINK3args(handle, at(root, b"second")))
    assert reply.status == NFS3_OK
    assert reply.resok.file_attributes == attributes(client, handle)
    assert reply.resok.file_attributes.nlink == 2
    is_true_of(reply.resok.linkdir_wcc, client, root, before)
    again = client.nfs("LINK", LINK3args(handle, at(root, b"second")))
    assert again.status == NFS3ERR_EXIST
    assert again.resfail.file_attributes == attributes(client, handle)
    assert client.nfs("REMOVE", at(root, b"first")).status == NFS3_OK
    assert client.nfs("LOOKUP", at(root, b"second")).resok.object == handle


def test_permission(client: Client, root: bytes) -> None:
    private = mkdir(client, root, b"private", 0o700)
    made(client, private, b"secret")
    how = createhow3(GUARDED, obj_attributes=SAME)
    with client.acting_as(1000, 1000):
        assert found(client, private, b"secret") == NFS3ERR_ACCES
        create = CREATE3args(at(private, b"mine"), how)
        assert client.nfs("CREATE", create).status == NFS3ERR_ACCES
        assert client.nfs("REMOVE", at(private, b"secret")).status == NFS3ERR_ACCES
    assert found(client, private, b"secret") == NFS3_OK
