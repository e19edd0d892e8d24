"""The server as a TCP peer: batches, slow calls, bounds, and a clean stop."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nfsd.net.allowance import RECORD_MAX, SLOW_MAX
from nfsd.net.connections import CONNECTIONS_MAX
from nfsd.net.receive_memory import SPARE_BUFFERS
from nfsd.rpc.record import mark
from nfsd.xdr.codec import encode
from nfsd.xdr.generated.nfs3 import (
    FILE_SYNC,
    NFS3_OK,
    NFS_PROGRAM,
    NFS_V3,
    NFSPROC3_GETATTR,
    NFSPROC3_NULL,
    NFSPROC3_READ,
    READ3args,
    WRITE3args,
    diropargs3,
    pack_nfs_fh3,
    pack_READ3args,
)
from tests.client import Client
from tests.conformance.server import Server, Stack
from tests.server.test_nfs3_attributes import made

pytestmark = pytest.mark.processes

MEGABYTE = 1 << 20


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may stop it or fill its log."""
    with running(tmp_path) as server:
        yield server


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Server]:
    """The same with one worker."""
    with running(tmp_path, "--workers", "1") as server:
        yield server


@contextmanager
def running(place: Path, *arguments: str) -> Iterator[Server]:
    lower = place / "lower"
    lower.mkdir()
    (lower / "file").write_bytes(b"x" * 5000)
    server = Server(Stack.over([lower], place), place / "log", arguments=arguments)
    server.start()
    try:
        yield server
        if server.running:
            server.stop()
    finally:
        server.kill()


def resident(server: Server) -> int:
    """Bytes of memory the server's workers have resident."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in server.workers]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def processor_seconds(server: Server) -> float:
    ticks = 0
    for pid in server.workers:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descriptors(server: Server) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.workers)


def test_many_outstanding(client: Client, root: bytes) -> None:
    handles = [made(client, root, b"outstanding%d" % number) for number in range(50)]
    calls = [("GETATTR", handles[number % 50]) for number in range(5000)]
    fileids = [reply.resok.fileid for reply in client.pipeline(calls, outstanding=200)]
    assert fileids == fileids[:50] * 100
    assert len(set(fileids)) == 50


def test_one_byte_at_a_time(client: Client, root: bytes) -> None:
    message = client.message(NFS_PROGRAM, NFS_V3, NFSPROC3_GETATTR, encode(pack_nfs_fh3, root))
    for byte in mark(len(message)) + message:
        client.send_raw(bytes([byte]))
    assert client.reply()[0][1].areply is not None


def test_every_way_to_cut_a_record_into_fragments(client: Client, root: bytes) -> None:
    message = client.message(NFS_PROGRAM, NFS_V3, NFSPROC3_GETATTR, encode(pack_nfs_fh3, root))
    client.send(message)
    expected = client.record()
    for cut in range(len(message) + 1):
        first, second = message[:cut], message[cut:]
        client.send_raw(struct.pack(">I", len(first)) + first + mark(len(second)) + second)
        assert client.record() == expected


def test_replies_after_the_client_stopped_sending(live: Server) -> None:
    with Client(live.port) as client:
        root = client.mount("/")
        message = client.message(NFS_PROGRAM, NFS_V3, NFSPROC3_GETATTR, encode(pack_nfs_fh3, root))
        client.send_raw((mark(len(message)) + message) * 100)
        client.shut()
        for _ in range(100):
            client.record()
        with pytest.raises(EOFError):
            client.record()


@pytest.mark.parametrize("size", [RECORD_MAX + 1, 0x7FFFFFFF])
def test_a_record_over_the_bound_closes_the_connection(own: Server, size: int) -> None:
    for _ in range(5):
        with Client(own.port) as client:
            client.send_raw(mark(size))
            with pytest.raises((EOFError, ConnectionResetError)):
                client.record()
    with Client(own.port) as client:
        assert client.nfs("NULL") is None
    assert 1 <= own.output().count("connection closed") <= len(own.workers)


def test_a_slow_call_does_not_hold_up_others(client: Client, root: bytes) -> None:
    """A write to stable storage waits for the disk; a later call's reply comes first."""
    handle = made(client, root, b"slow")
    data = bytes(MEGABYTE)
    overtaken = False
    for _ in range(20):
        slow = client.message(
            NFS_PROGRAM,
            NFS_V3,
            7,
            _packed_write(WRITE3args(handle, 0, len(data), FILE_SYNC, data)),
        )
        fast = client.message(NFS_PROGRAM, NFS_V3, NFSPROC3_NULL, b"")
        first, second = client.send(slow), client.send(fast)
        order = [client.reply()[0][0] for _ in range(2)]
        assert sorted(order) == [first, second]
        overtaken |= order == [second, first]
    assert overtaken


def _packed_write(arguments: WRITE3args) -> bytes:
    handle = encode(pack_nfs_fh3, arguments.file)
    fixed = struct.pack(">QIII", arguments.offset, arguments.count, arguments.stable, MEGABYTE)
    return handle + fixed + bytes(arguments.data)


def test_many_slow_calls_at_once(client: Client, root: bytes) -> None:
    handle = made(client, root, b"synced")
    calls = [
        ("WRITE", WRITE3args(handle, number * 10, 10, FILE_SYNC, b"%010d" % number))
        for number in range(SLOW_MAX * 5)
    ]
    assert {reply.status for reply in client.pipeline(calls, len(calls))} == {NFS3_OK}
    data = client.nfs("READ", READ3args(handle, 0, 10 * len(calls))).resok.data
    assert bytes(data) == b"".join(b"%010d" % number for number in range(len(calls)))


def test_replies_nobody_takes_are_not_piled_up(own: Server) -> None:
    """A client that asks and never reads costs the bound on unsent replies, and no processor."""
    with Client(own.port) as client:
        root = client.mount("/")
        handle = made(client, root, b"large")
        client.nfs("WRITE", WRITE3args(handle, 0, MEGABYTE, 0, bytes(MEGABYTE)))
        before = resident(own)
        arguments = encode(pack_READ3args, READ3args(handle, 0, MEGABYTE))
        message = client.message(NFS_PROGRAM, NFS_V3, NFSPROC3_READ, arguments)
        client.send_raw((mark(len(message)) + message) * 1000)
        time.sleep(1.0)
        assert resident(own) - before < 64 * MEGABYTE
        used = processor_seconds(own)
        time.sleep(0.5)
        assert processor_seconds(own) - used < 0.2
        with Client(own.port) as other:
            assert other.nfs("NULL") is None
        for _ in range(1000):
            assert len(client.record()) > MEGABYTE


def test_a_promised_record_takes_no_memory(own: Server) -> None:
    connected = [Client(own.port) for _ in range(200)]
    try:
        before = resident(own)
        for client in connected:
            client.send_raw(mark(RECORD_MAX) + bytes(1000))
        with Client(own.port) as other:
            assert other.nfs("NULL") is None
        spare = len(own.workers) * SPARE_BUFFERS * RECORD_MAX
        assert resident(own) - before < spare + 200 * (MEGABYTE // 8)
    finally:
        for client in connected:
            client.close()


def connected(server: Server, addresses: Iterable[str], each: int) -> list[Client]:
    """So many connections from each address of this machine."""
    return [Client(server.port, source=(address, 0)) for address in addresses for _ in range(each)]


def is_open(client: Client) -> bool:
    """Whether the server has not closed a connection; it answers."""
    try:
        return client.nfs("NULL") is None
    except (EOFError, OSError):
        return False


def test_connections_are_bounded(alone: Server) -> None:
    """One more than a worker's bound: of those who have most the one idle for longest goes."""
    fewer = CONNECTIONS_MAX // 5 - 1
    clients = connected(alone, ["127.0.0.2"], CONNECTIONS_MAX - 4 * fewer)
    clients += connected(alone, [f"127.0.0.{number}" for number in range(3, 7)], fewer)
    try:
        assert all(client.nfs("NULL") is None for client in clients)
        with Client(alone.port) as another:
            assert another.nfs("NULL") is None
            expected = [False] + [True] * (CONNECTIONS_MAX - 1)
            assert [is_open(client) for client in clients] == expected
    finally:
        for client in clients:
            client.close()


def test_the_connections_of_one_client_are_bounded(alone: Server) -> None:
    """One more than a quarter: its own that was idle for longest goes, and nobody else's."""
    with Client(alone.port) as other:
        clients = connected(alone, ["127.0.0.2"], CONNECTIONS_MAX // 4)
        try:
            assert all(client.nfs("NULL") is None for client in clients)
            assert clients[0].nfs("NULL") is None
            clients += connected(alone, ["127.0.0.2"], 1)
            assert clients[-1].nfs("NULL") is None
            expected = [True, False] + [True] * (len(clients) - 2)
            assert [is_open(client) for client in clients] == expected
            assert is_open(other)
        finally:
            for client in clients:
                client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_was_asked(own: Server, number: signal.Signals) -> None:
    with Client(own.port) as client:
        handle = client.nfs("LOOKUP", diropargs3(client.mount("/"), b"file")).resok.object
        data = b"y" * 5000
        client.send(
            client.message(
                NFS_PROGRAM,
                NFS_V3,
                7,
                encode(pack_nfs_fh3, handle)
                + struct.pack(">QIII", 0, len(data), FILE_SYNC, len(data))
                + data,
            )
        )
        time.sleep(0.05)  # it has been read when the signal comes
        own.stop(number)
        assert len(client.record()) > 24
        with pytest.raises(EOFError):
            client.record()
    with pytest.raises(ConnectionRefusedError):
        Client(own.port)


def test_all_processes_can_be_told_to_stop_at_once(own: Server) -> None:
    """As service managers and terminals do; a worker hears it again, at any moment of its end."""
    for _ in range(3):
        workers = own.workers
        clients = [Client(own.port) for _ in workers]
        for client in clients:
            assert client.nfs("NULL") is None
        os.kill(own.pid, signal.SIGTERM)
        deadline = time.monotonic() + 120
        while workers and time.monotonic() < deadline:
            for worker in list(workers):
                try:
                    os.kill(worker, signal.SIGTERM)
                except ProcessLookupError:
                    workers.remove(worker)
            time.sleep(0.0005)
        own.stop()
        own.start()
        for client in clients:
            client.close()


def test_a_reset_connection_is_forgotten(own: Server) -> None:
    first = [Client(own.port) for _ in own.workers]
    for client in first:
        client.nfs("NULL")  # the worker is ready
    before = descriptors(own)
    for number in range(200):
        client = Client(own.port)
        client.send_raw(mark(200) + bytes(number % 200))
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    with Client(own.port) as client:
        assert client.nfs("NULL") is None
    deadline = time.monotonic() + 120
    while descriptors(own) > before + 2:
        assert time.monotonic() < deadline, "connections that are gone are still open"
        time.sleep(0.01)
