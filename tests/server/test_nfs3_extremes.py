"""The least and the largest of every number that a call can carry: an answer, and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from nfsd.xdr.generated.nfs3 import (
    EXCLUSIVE,
    FILE_SYNC,
    GUARDED,
    NF3BLK,
    NF3CHR,
    NF3FIFO,
    NFS3_OK,
    NFS3ERR_FBIG,
    NFS3ERR_INVAL,
    NFS3ERR_IO,
    NFS3ERR_SERVERFAULT,
    SET_TO_CLIENT_TIME,
    UNCHECKED,
    UNSTABLE,
    ACCESS3args,
    COMMIT3args,
    CREATE3args,
    MKDIR3args,
    MKNOD3args,
    READ3args,
    READDIR3args,
    READDIRPLUS3args,
    SETATTR3args,
    SYMLINK3args,
    WRITE3args,
    createhow3,
    devicedata3,
    diropargs3,
    mknoddata3,
    nfstime3,
    sattr3,
    set_atime,
    set_mtime,
    specdata3,
    symlinkdata3,
)
from tests.client import Client
from tests.conformance.server import Server
from tests.server.test_nfs3_attributes import SAME, attributes, made

WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
LONGS = (*WORDS, 2**32, 2**40, 2**62, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
VERF = bytes(8)
_NAMES = count()


def wishes() -> Iterator[sattr3]:
    for size in LONGS:
        yield replace(SAME, size=size)
    for word in WORDS:
        yield replace(SAME, mode=word)
        yield replace(SAME, uid=word)
        yield replace(SAME, gid=word)
        for time in (nfstime3(word, 0), nfstime3(word, 999_999_999), nfstime3(0, word)):
            yield replace(SAME, atime=set_atime(SET_TO_CLIENT_TIME, time))
            yield replace(SAME, mtime=set_mtime(SET_TO_CLIENT_TIME, time))


def new(root: bytes) -> diropargs3:
    return diropargs3(root, b"extreme%d" % next(_NAMES))


def makers(root: bytes, wish: sattr3) -> Iterator[tuple[str, Any]]:
    """Everything that makes an object with these attributes."""
    for how in (UNCHECKED, GUARDED):
        yield "CREATE", CREATE3args(new(root), createhow3(how, obj_attributes=wish))
    yield "MKDIR", MKDIR3args(new(root), wish)
    yield "SYMLINK", SYMLINK3args(new(root), symlinkdata3(wish, b"x"))
    yield "MKNOD", MKNOD3args(new(root), mknoddata3(NF3FIFO, pipe_attributes=wish))
    device = devicedata3(wish, specdata3(1, 3))
    yield "MKNOD", MKNOD3args(new(root), mknoddata3(NF3CHR, device=device))


def on_files(file: bytes) -> Iterator[tuple[str, Any]]:
    for offset in LONGS:
        for size in WORDS:
            yield "READ", READ3args(file, offset, size)
            yield "COMMIT", COMMIT3args(file, offset, size)
        for stable in (UNSTABLE, FILE_SYNC):
            for data in (b"", b"x", b"xyz"):
                yield "WRITE", WRITE3args(file, offset, len(data), stable, data)


def on_directories(root: bytes) -> Iterator[tuple[str, Any]]:
    for cookie in LONGS:
        for size in WORDS:
            yield "READDIR", READDIR3args(root, cookie, VERF, size)
            yield "READDIRPLUS", READDIRPLUS3args(root, cookie, VERF, size, 8192)
            yield "READDIRPLUS", READDIRPLUS3args(root, cookie, VERF, 8192, size)


def numbers(root: bytes) -> Iterator[tuple[str, Any]]:
    for one in WORDS:
        yield "ACCESS", ACCESS3args(root, one)
        for other in WORDS:
            device = devicedata3(SAME, specdata3(one, other))
            yield "MKNOD", MKNOD3args(new(root), mknoddata3(NF3BLK, device=device))
            guard = nfstime3(one, other)
            yield "SETATTR", SETATTR3args(root, SAME, guard)
    for verifier in (VERF, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + bytes(7)):
        yield "CREATE", CREATE3args(new(root), createhow3(EXCLUSIVE, verf=verifier))


def test_every_call_is_answered(live: Server, client: Client, root: bytes) -> None:
    file = made(client, root, b"extremes")
    calls = [*on_files(file), *on_directories(root), *numbers(root)]
    for wish in wishes():
        calls += [("SETATTR", SETATTR3args(file, wish, None)), *makers(root, wish)]
    for name, arguments in calls:
        status = client.nfs(name, arguments).status
        assert status not in (NFS3ERR_IO, NFS3ERR_SERVERFAULT), (name, arguments)
    live.check_log()


@pytest.mark.parametrize("size", [2**63, 2**64 - 1])
def test_a_size_that_no_file_has(client: Client, root: bytes, size: int) -> None:
    """It is refused where it would be set, and nothing is made; elsewhere it means nothing."""
    wish = replace(SAME, size=size)
    for name, arguments in makers(root, wish):
        where = arguments.where
        reply = client.nfs(name, arguments)
        found = client.nfs("LOOKUP", where).status
        if name == "CREATE":
            assert reply.status == NFS3ERR_FBIG
            assert found != NFS3_OK
            existing = CREATE3args(diropargs3(root, b"file"), arguments.how)
            if arguments.how.mode == UNCHECKED:
                assert client.nfs("CREATE", existing).status == NFS3ERR_FBIG
        else:
            assert reply.status == found == NFS3_OK
    handle = made(client, root, b"size")
    assert client.nfs("SETATTR", SETATTR3args(handle, wish, None)).status == NFS3ERR_FBIG
    link = client.nfs("LOOKUP", diropargs3(root, b"link")).resok.object
    assert client.nfs("SETATTR", SETATTR3args(link, wish, None)).status == NFS3ERR_INVAL
    assert attributes(client, handle).size == 0
