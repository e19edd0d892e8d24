"""Ten thousand damaged and random records to a live server: it still answers, as it did before.

Every kind of damage is made from valid calls of every procedure, with a seed
that is printed, so that what fails can be repeated with FUZZ_SEED.
"""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nfsd.rpc.record import mark
from nfsd.xdr.generated.mount import (
    MOUNT_PROGRAM,
    MOUNT_V1,
    MOUNT_V1_SIGNATURES,
    MOUNT_V3,
    MOUNT_V3_SIGNATURES,
)
from nfsd.xdr.generated.nfs3 import (
    NF3BLK,
    NFS_PROGRAM,
    NFS_V3,
    UNCHECKED,
    ACCESS3args,
    COMMIT3args,
    CREATE3args,
    LINK3args,
    MKDIR3args,
    MKNOD3args,
    READ3args,
    READDIR3args,
    READDIRPLUS3args,
    RENAME3args,
    SETATTR3args,
    SYMLINK3args,
    WRITE3args,
    createhow3,
    devicedata3,
    diropargs3,
    mknoddata3,
    nfstime3,
    specdata3,
    symlinkdata3,
)
from nfsd.xdr.generated.nfsacl import (
    NFS_ACL_PROGRAM,
    NFS_ACL_V3,
    NFS_ACL_V3_SIGNATURES,
    GETACL3args,
    SETACL3args,
    aclent,
    secattr,
)
from nfsd.xdr.generated.rpcbind import (
    PMAPVERS,
    PMAPVERS_SIGNATURES,
    RPCBPROG,
    RPCBVERS,
    RPCBVERS4,
    RPCBVERS4_SIGNATURES,
    RPCBVERS_SIGNATURES,
    mapping,
    rpcb,
)
from tests.client import NFS, Client
from tests.conformance.network import Network
from tests.conformance.server import Server, Stack
from tests.server.test_nfs3_attributes import SAME, made

pytestmark = pytest.mark.torture

RECORDS = 10_000
DATAGRAMS = 3_000
PATIENCE = 2.0  # seconds for one answer
TRIES = 30
BATCH = 50  # damaged records on one connection
WARM_UP = 2_000  # records after which memory is level
GROWTH = 8 << 20  # bytes it may still grow


def valid_calls(client: Client, root: bytes, file: bytes) -> list[bytes]:
    """One call of every procedure of every program."""
    where = diropargs3(root, b"fuzzed")
    device = devicedata3(replace(SAME, mode=0o600), specdata3(1, 3))
    arguments: dict[str, object] = {
        "NULL": None,
        "SETATTR": SETATTR3args(file, replace(SAME, mode=0o640, size=9), nfstime3(1, 2)),
        "LOOKUP": where,
        "ACCESS": ACCESS3args(file, 63),
        "READ": READ3args(file, 0, 4096),
        "WRITE": WRITE3args(file, 0, 100, 0, b"w" * 100),
        "CREATE": CREATE3args(where, createhow3(UNCHECKED, obj_attributes=SAME)),
        "MKDIR": MKDIR3args(where, SAME),
        "SYMLINK": SYMLINK3args(where, symlinkdata3(SAME, b"target")),
        "MKNOD": MKNOD3args(where, mknoddata3(NF3BLK, device=device)),
        "REMOVE": where,
        "RMDIR": where,
        "RENAME": RENAME3args(where, diropargs3(root, b"moved")),
        "LINK": LINK3args(file, where),
        "READDIR": READDIR3args(root, 0, bytes(8), 4096),
        "READDIRPLUS": READDIRPLUS3args(root, 0, bytes(8), 4096, 8192),
        "COMMIT": COMMIT3args(file, 0, 0),
    }
    calls = [
        client.message_of(NFS_PROGRAM, NFS_V3, each, arguments.get(name, file))
        for name, each in NFS.items()
    ]
    for version, signatures in ((MOUNT_V1, MOUNT_V1_SIGNATURES), (MOUNT_V3, MOUNT_V3_SIGNATURES)):
        for each in signatures:
            path = b"/" if each.number in (1, 3) else None
            calls.append(client.message_of(MOUNT_PROGRAM, version, each, path))
    entries = [aclent(1, 0, 6), aclent(4, 0, 4), aclent(32, 0, 4)]
    acl = secattr(5, 3, entries, 3, entries)
    given = (None, GETACL3args(file, 15), SETACL3args(file, acl))
    calls += [
        client.message_of(NFS_ACL_PROGRAM, NFS_ACL_V3, each, given[each.number])
        for each in NFS_ACL_V3_SIGNATURES
    ]
    return calls


def portmap_calls(client: Client) -> list[bytes]:
    """One call of every procedure of every version of the port mapper."""
    old = mapping(NFS_PROGRAM, NFS_V3, socket.IPPROTO_TCP, 0)
    new = rpcb(NFS_PROGRAM, NFS_V3, b"tcp", b"0.0.0.0.8.1", b"owner")
    calls = []
    for version, signatures, arguments in (
        (PMAPVERS, PMAPVERS_SIGNATURES, old),
        (RPCBVERS, RPCBVERS_SIGNATURES, new),
        (RPCBVERS4, RPCBVERS4_SIGNATURES, new),
    ):
        for each in signatures:
            given = None if each.number in (0, 4) else arguments
            calls.append(client.message_of(RPCBPROG, version, each, given))
    return calls


def flip_bits(chance: random.Random, call: bytes) -> bytes:
    damaged = bytearray(call)
    for _ in range(chance.choice((1, 1, 2, 8))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return framed(damaged)


def replace_word(chance: random.Random, call: bytes) -> bytes:
    """An absurd length, count, enumerator or boolean somewhere."""
    at = chance.randrange(len(call) // 4) * 4
    word = chance.choice((0, 1, 2, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF))
    return framed(call[:at] + struct.pack(">I", word) + call[at + 4 :])


def truncate(chance: random.Random, call: bytes) -> bytes:
    return framed(call[: chance.randrange(len(call))])


def extend(chance: random.Random, call: bytes) -> bytes:
    return framed(call + chance.randbytes(chance.randrange(1, 300)))


def random_record(chance: random.Random, call: bytes) -> bytes:
    return framed(chance.randbytes(chance.randrange(300)))


def random_arguments(chance: random.Random, call: bytes) -> bytes:
    return framed(call[:24] + chance.randbytes(chance.randrange(300)))


def fragments(chance: random.Random, call: bytes) -> bytes:
    """The call in random fragments, empty ones among them."""
    stream = b""
    while call and chance.random() < 0.8:
        cut = chance.randrange(len(call) + 1)
        stream += struct.pack(">I", cut) + call[:cut]
        call = call[cut:]
    return stream + framed(call)


def wrong_mark(chance: random.Random, call: bytes) -> bytes:
    """A mark that promises something else than what follows."""
    return struct.pack(">I", chance.getrandbits(32)) + call


def raw_noise(chance: random.Random, call: bytes) -> bytes:
    return chance.randbytes(chance.randrange(1, 2000))


def framed(record: bytes | bytearray) -> bytes:
    return mark(len(record)) + bytes(record)


IN_SYNC: list[Callable[[random.Random, bytes], bytes]] = [
    flip_bits,
    replace_word,
    truncate,
    extend,
    random_record,
    random_arguments,
    fragments,
]
OUT_OF_SYNC: list[Callable[[random.Random, bytes], bytes]] = [wrong_mark, raw_noise]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    lower = tmp_path / "lower"
    lower.mkdir()
    for number in range(20):
        (lower / f"file{number}").write_bytes(b"data")
    server = Server(Stack.over([lower], tmp_path), tmp_path / "log")
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


def resident(server: Server) -> int:
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in server.workers]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def throw(port: int, stream: bytes, host: str = "127.0.0.1") -> int:
    """Send it, take whatever comes back, and be gone; returns the number of replies."""
    replies = bytearray()
    with socket.create_connection((host, port), timeout=180) as sock:
        try:
            sock.sendall(stream)
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(1 << 16):
                replies += data
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may close what it cannot follow
    count = at = 0
    while at < len(replies):
        (word,) = struct.unpack_from(">I", replies, at)
        at += 4 + (word & 0x7FFFFFFF)
        count += 1
    return count


@pytest.mark.timeout(600)
def test_ten_thousand_damaged_records(server: Server) -> None:
    seed = int(os.environ.get("FUZZ_SEED", "20240607"))
    print(f"FUZZ_SEED={seed}")
    chance = random.Random(seed)
    with Client(server.port) as client:
        root = client.mount("/")
        file = made(client, root, b"target")
        calls = valid_calls(client, root, file)
        expected = client.nfs("GETATTR", root).resok.fileid
    sent = answered = level = 0
    while sent < RECORDS:
        kinds = IN_SYNC * (BATCH // len(IN_SYNC)) + [chance.choice(OUT_OF_SYNC)]
        stream = b"".join(kind(chance, chance.choice(calls)) for kind in kinds)
        answered += throw(server.port, stream)
        sent += len(kinds)
        if sent % 1000 < len(kinds):
            with Client(server.port) as client:
                assert client.nfs("GETATTR", client.mount("/")).resok.fileid == expected
        if level == 0 and sent > WARM_UP:
            level = resident(server)
    assert resident(server) - level < GROWTH
    # All but what is not even a call, or follows a record that was closed upon.
    assert answered > RECORDS / 2
    with Client(server.port) as client:
        assert client.nfs("READDIR", READDIR3args(root, 0, bytes(8), 8192)).status == 0
    server.check_log()
    assert server.output().count("\n") < 100, "malformed input is logged once, not for each packet"


@pytest.mark.timeout(600)
def test_damaged_datagrams_and_calls_to_the_port_mapper(tmp_path: Path) -> None:
    """All programs by UDP, and all on port 111; each datagram is dropped, or has one answer."""
    seed = int(os.environ.get("FUZZ_SEED", "20240608"))
    print(f"FUZZ_SEED={seed}")
    chance = random.Random(seed)
    lower = tmp_path / "lower"
    lower.mkdir()
    with Network() as network:
        arguments = ["--rpcbind", "embedded", "--udp"]
        stack, log = Stack.over([lower], tmp_path), tmp_path / "log"
        server = Server(
            stack, log, arguments=arguments, inside=network.inside, address=network.ADDRESS
        )
        server.start()
        with network.entered():
            client = Client(server.port, host=network.ADDRESS)
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stream = socket.create_connection((network.ADDRESS, 111), timeout=180)
        with client, datagrams, stream:
            root = client.mount("/")
            calls = valid_calls(client, root, made(client, root, b"target"))
            calls += portmap_calls(client)
            datagrams.settimeout(PATIENCE)
            answered = 0
            for number in range(DATAGRAMS):
                kind = chance.choice(IN_SYNC)
                damaged = kind(chance, chance.choice(calls))[4:]
                datagrams.sendto(damaged, (network.ADDRESS, chance.choice((server.port, 111))))
                if number % BATCH == 0:  # before so many wait that some are lost
                    answered += _answered(datagrams, (network.ADDRESS, 111), number)
            assert answered > DATAGRAMS / 10
            for _ in range(DATAGRAMS // 10):
                kind = chance.choice(IN_SYNC)
                stream.sendall(kind(chance, chance.choice(portmap_calls(client))))
            assert client.nfs("GETATTR", root).status == 0
        server.stop()


def _answered(sock: socket.socket, address: tuple[str, int], number: int) -> int:
    """How many answers come before that to NULL of the port mapper, which must come."""
    xid = struct.pack(">I", 0xFFFF0000 | number)
    count = 0
    for _ in range(TRIES):
        sock.sendto(xid + struct.pack(">9I", 0, 2, RPCBPROG, PMAPVERS, 0, 0, 0, 0, 0), address)
        try:
            while sock.recv(1 << 16)[:4] != xid:
                count += 1
        except TimeoutError:
            continue  # as any datagram, it may be lost
        return count
    raise AssertionError("the port mapper does not answer any more")
