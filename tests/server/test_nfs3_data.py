"""READ, WRITE and COMMIT over the wire."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from index.linux.fd import Fd
from index.linux.page_cache import Pages, resident
from nfsd.xdr.codec import decode, encode
from nfsd.xdr.generated.nfs3 import (
    DATA_SYNC,
    FILE_SYNC,
    NFS3_OK,
    NFS3ERR_ACCES,
    NFS3ERR_FBIG,
    NFS3ERR_INVAL,
    NFS3ERR_ISDIR,
    NFS_PROGRAM,
    NFS_V3,
    NFSPROC3_READ,
    UNSTABLE,
    COMMIT3args,
    READ3args,
    SETATTR3args,
    WRITE3args,
    diropargs3,
    pack_READ3args,
    unpack_READ3res,
    wcc_attr,
)
from overlay.ops.io import RESIDENT_MIN
from tests.client import Client
from tests.conformance.server import Server
from tests.server.test_nfs3_attributes import SAME, attributes, made

MEGABYTE = 1 << 20


def write(client: Client, handle: bytes, offset: int, data: bytes, stable: int = UNSTABLE) -> Any:  # noqa: ANN401
    return client.nfs("WRITE", WRITE3args(handle, offset, len(data), stable, data))


def read(client: Client, handle: bytes, offset: int, count: int) -> tuple[bytes, bool]:
    reply = client.nfs("READ", READ3args(handle, offset, count))
    assert reply.status == NFS3_OK
    assert reply.resok.count == len(reply.resok.data)
    assert reply.resok.file_attributes == attributes(client, handle)
    return bytes(reply.resok.data), reply.resok.eof


@pytest.mark.parametrize("stable", [UNSTABLE, DATA_SYNC, FILE_SYNC])
def test_write_then_read(client: Client, root: bytes, stable: int) -> None:
    handle = made(client, root, b"data%d" % stable)
    before = attributes(client, handle)
    reply = write(client, handle, 3, b"abcdef", stable)
    assert reply.status == NFS3_OK
    assert (reply.resok.count, reply.resok.committed) == (6, stable)
    assert reply.resok.file_wcc.before == wcc_attr(before.size, before.mtime, before.ctime)
    assert reply.resok.file_wcc.after == attributes(client, handle)
    assert read(client, handle, 0, 100) == (b"\0\0\0abcdef", True)
    assert read(client, handle, 4, 2) == (b"bc", False)
    assert read(client, handle, 4, 5) == (b"bcdef", True)


def test_the_edges_of_a_file(client: Client, root: bytes) -> None:
    handle = made(client, root, b"edges")
    assert read(client, handle, 0, 10) == (b"", True)
    assert write(client, handle, 0, b"x").status == NFS3_OK
    assert read(client, handle, 0, 0) == (b"", False)
    assert read(client, handle, 1, 0) == (b"", True)
    for offset in (1, 2, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
        assert read(client, handle, offset, 10) == (b"", True)


def test_offsets_beyond_four_gigabytes(client: Client, root: bytes) -> None:
    handle = made(client, root, b"sparse")
    offset = (1 << 33) + 1
    assert write(client, handle, offset, b"far").status == NFS3_OK
    assert attributes(client, handle).size == offset + 3
    assert attributes(client, handle).used < MEGABYTE
    assert read(client, handle, offset - 2, 10) == (b"\0\0far", True)


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
def test_writes_no_file_can_hold(client: Client, root: bytes, offset: int) -> None:
    handle = made(client, root, b"beyond")
    reply = write(client, handle, offset, b"xx")
    assert reply.status == NFS3ERR_FBIG
    assert reply.resfail.after == attributes(client, handle)


def test_a_whole_megabyte(client: Client, root: bytes) -> None:
    handle = made(client, root, b"megabyte")
    data = bytes(range(256)) * (MEGABYTE // 256)
    assert write(client, handle, 5, data).status == NFS3_OK
    assert read(client, handle, 5, MEGABYTE) == (data, True)
    assert read(client, handle, 0, 2 * MEGABYTE) == (bytes(5) + data[:-5], False)


def test_every_size_of_padding(client: Client, root: bytes) -> None:
    handle = made(client, root, b"padding")
    for size in range(9):
        data = b"p" * size
        assert write(client, handle, 0, data).status == NFS3_OK
        assert read(client, handle, 0, size)[0] == data


def test_count_and_data_must_agree(client: Client, root: bytes) -> None:
    handle = made(client, root, b"disagree")
    for count in (0, 2, 4, 2**32 - 1):
        arguments = WRITE3args(handle, 0, count, UNSTABLE, b"abc")
        assert client.nfs("WRITE", arguments).status == NFS3ERR_INVAL
    assert attributes(client, handle).size == 0


def test_what_has_no_data(client: Client, root: bytes) -> None:
    link = client.nfs("LOOKUP", diropargs3(root, b"link")).resok.object
    for handle, status in ((root, NFS3ERR_ISDIR), (link, NFS3ERR_INVAL)):
        assert client.nfs("READ", READ3args(handle, 0, 1)).status == status
        assert write(client, handle, 0, b"x").status == status
        assert client.nfs("COMMIT", COMMIT3args(handle, 0, 0)).status == status


def test_permission(client: Client, root: bytes) -> None:
    handle = made(client, root, b"denied", 0o600)
    with client.acting_as(1000, 1000):
        reply = client.nfs("READ", READ3args(handle, 0, 1))
        assert reply.status == NFS3ERR_ACCES
        assert reply.resfail == attributes(client, handle)
        assert write(client, handle, 0, b"x").status == NFS3ERR_ACCES


def test_the_verifier_stays_until_a_machine_restarts(
    client: Client, root: bytes, live: Server
) -> None:
    handle = made(client, root, b"commit")
    verifiers = {bytes(write(client, handle, 0, b"x", stable).resok.verf) for stable in range(3)}
    reply = client.nfs("COMMIT", COMMIT3args(handle, 0, 0))
    assert reply.status == NFS3_OK
    assert reply.resok.file_wcc.after == attributes(client, handle)
    verifiers.add(bytes(reply.resok.verf))
    live.restart(crash=True)
    with Client(live.port) as again:
        verifiers.add(bytes(write(again, handle, 0, b"x").resok.verf))
    assert len(verifiers) == 1


def test_a_lower_file_is_copied_up_and_not_changed(
    client: Client, root: bytes, live: Server
) -> None:
    handle = client.nfs("LOOKUP", diropargs3(root, b"file")).resok.object
    assert read(client, handle, 0, 100) == (b"0123456789", True)
    assert write(client, handle, 2, b"__").status == NFS3_OK
    assert read(client, handle, 0, 100) == (b"01__456789", True)
    assert (live.stack.lowers[1] / "file").read_bytes() == b"0123456789"
    assert live.stack.upper is not None
    assert (Path(live.stack.upper) / "file").read_bytes() == b"01__456789"


SIZES = [
    1,
    3,
    4096,
    100_001,
    RESIDENT_MIN - 1,
    RESIDENT_MIN,
    RESIDENT_MIN + 1,
    MEGABYTE - 3,
    MEGABYTE,
]


@pytest.mark.parametrize("count", SIZES)
def test_data_from_anywhere(client: Client, root: bytes, count: int) -> None:
    """Replies that are read and ones that are sent from the page cache, mixed on their way."""
    handle = made(client, root, b"anywhere%d" % count)
    data = os.urandom(2 * MEGABYTE)
    for offset in (0, MEGABYTE):
        assert write(client, handle, offset, data[offset : offset + MEGABYTE]).status == NFS3_OK
    offsets = [0, 1, 4095, 4096, MEGABYTE - 1, 2 * MEGABYTE - count, 2 * MEGABYTE - 1] * 3
    calls: list[tuple[str, Any]] = []
    for offset in offsets:
        calls += [("READ", READ3args(handle, offset, count)), ("GETATTR", handle)]
    replies = client.pipeline(calls, outstanding=16)[::2]
    for offset, reply in zip(offsets, replies, strict=True):
        expected = data[offset : offset + count]
        assert reply.resok.data == expected
        assert reply.resok.count == len(expected)
        assert reply.resok.eof == (offset + count >= len(data))


@pytest.mark.parametrize("left", [0, 5000, 3 * MEGABYTE])
def test_a_file_that_gets_shorter_while_it_is_sent(
    live: Server, client: Client, root: bytes, left: int
) -> None:
    """What is sent is what was there when it was read, be it that the client takes it slowly."""
    handle = made(client, root, b"shorter%d" % left)
    data = os.urandom(MEGABYTE)
    total = 40
    for number in range(total):
        assert write(client, handle, number * MEGABYTE, data).status == NFS3_OK
    with Client(live.port) as slow:
        for number in range(total):
            arguments = encode(pack_READ3args, READ3args(handle, number * MEGABYTE, MEGABYTE))
            slow.send(slow.message(NFS_PROGRAM, NFS_V3, NFSPROC3_READ, arguments))
        slow.record()
        changes = replace(SAME, size=left)
        assert client.nfs("SETATTR", SETATTR3args(handle, changes, None)).status == NFS3_OK
        for _ in range(1, total):
            found = decode(unpack_READ3res, slow.record(), 24).resok
            assert found is not None
            assert found.count == len(found.data)
            assert found.data == data[: found.count]
            assert found.eof or found.count == MEGABYTE
        assert client.nfs("GETATTR", handle).resok.size == left


def test_what_is_resident(tmp_path: Path) -> None:
    place = tmp_path / "file"
    data = os.urandom(100_000)
    place.write_bytes(data)
    file = Fd(os.open(place, os.O_RDONLY))

    def seen(offset: int, size: int) -> bytes | None:
        view = resident(file, offset, size)
        return None if view is None else bytes(view)

    os.fsync(file)
    assert seen(0, 100_000) == data
    assert seen(99_999, 1) == data[-1:]
    assert seen(4095, 10_000) == data[4095:14_095]
    assert seen(0, 200_000) is None
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    assert seen(0, 100_000) is None
    assert seen(5000, 1) is None
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    os.pread(file, 1, 5000)
    assert seen(4096, 4096) == data[4096:8192]
    assert seen(4095, 2) is None
    assert seen(8191, 2) is None


def test_what_was_seen_of_a_file_that_got_shorter(tmp_path: Path) -> None:
    place = tmp_path / "file"
    data = os.urandom(100_000)
    place.write_bytes(data)
    view = resident(Fd(os.open(place, os.O_RDONLY)), 1000, 99_000)
    assert view is not None
    assert isinstance(view.obj, Pages)
    os.truncate(place, 0)
    place.write_bytes(os.urandom(100_000))
    assert view.obj.read_left(99_000) == data[1000:]


def test_what_is_resident_is_sent(tmp_path: Path) -> None:
    place = tmp_path / "file"
    data = os.urandom(MEGABYTE)
    place.write_bytes(data)
    view = resident(Fd(os.open(place, os.O_RDONLY)), 4096, len(data) - 4096)
    assert view is not None
    assert isinstance(view.obj, Pages)
    place.unlink()
    place.write_bytes(b"")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        at, left = 4096, len(view)
        while left > 5000:
            sent = view.obj.send(ours.fileno(), left - 5000)
            assert theirs.recv(sent, socket.MSG_WAITALL) == data[at : at + sent]
            at, left = at + sent, left - sent
        assert view.obj.send(ours.fileno(), 5000) == 5000
        assert theirs.recv(5000, socket.MSG_WAITALL) == data[-5000:]


def test_slow_clients_do_not_get_all_pipes(tmp_path: Path) -> None:
    """Who gets none has its data read; a pipe that is done with, sent or not, may be had again."""
    place = tmp_path / "file"
    place.write_bytes(os.urandom(200_000))
    file = Fd(os.open(place, os.O_RDONLY))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        views = [resident(file, 0, 200_000) for _ in range(100)]
        held = [view for view in views if view is not None]
        assert 32 <= len(held) < 100
        for view in held[::2]:
            assert isinstance(view.obj, Pages)
            assert view.obj.read_left(200_000) == place.read_bytes()
        del views, held, view
    assert len(os.listdir("/proc/self/fd")) <= before + 2 * 64
    assert resident(file, 0, 2 * MEGABYTE) is None


def test_what_was_seen_is_let_go_of(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(bytes(100_000))
    view = resident(Fd(os.open(place, os.O_RDONLY)), 0, 100_000)
    rest = None if view is None else view[5000:]
    del view
    assert str(place) in Path("/proc/self/maps").read_text()
    del rest
    assert str(place) not in Path("/proc/self/maps").read_text()
