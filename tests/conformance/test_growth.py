"""Much of everything: memory stays within bounds, and who asks for little is answered meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from stat import S_IFREG

import pytest

from nfsd.xdr.codec import encode
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM, NFS_V3, READDIR3args
from tests.bench.processes import Most
from tests.client import NFS, Client
from tests.conftest import Serve
from tests.wire import Wire

pytestmark = pytest.mark.conformance

MIB = 1 << 20
FILES = 400
LONG = b"x" * 200  # at the end of each name
LARGEST = 64 << 10  # bytes of a reply
BUDGET = 64  # MiB
BESIDE = 16  # MiB that a worker may take to work with
LISTED = 60_000
LISTINGS = 5


def make_files(directory: Path, number: int, more: bytes = b"") -> None:
    directory.mkdir()
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for at in range(number):
        os.mknod(b"file%06d" % at + more, 0o644 | S_IFREG, dir_fd=fd)
    os.close(fd)


def _reply_bytes(client: Client, arguments: READDIR3args) -> int:
    """The size of a reply, which is not looked at."""
    number = NFS["READDIR"].number
    packed = encode(NFS["READDIR"].pack_arguments, arguments)
    client.send(client.message(NFS_PROGRAM, NFS_V3, number, packed))
    return len(client.record())


def test_what_is_kept_stays_within_the_budget(serve: Serve, tmp_path: Path) -> None:
    """All the replies, each to another question, would take twice as much."""
    lower = tmp_path / "lower"
    lower.mkdir()
    make_files(lower / "d", FILES, LONG)
    server = serve([lower], arguments=["--workers", "1", "--cache-size", f"{BUDGET}M"])
    most, wire = Most(server.workers), Wire(server.port)
    directory, count, received = wire.lookup("d"), LARGEST, 0
    while received < 2 * BUDGET * MIB:
        count -= 1
        received += _reply_bytes(wire.client, READDIR3args(directory, 0, bytes(8), count))
    wire.close()
    most.stop()
    assert BUDGET * MIB / 4 < most.held < (BUDGET + BESIDE) * MIB, f"{most.held / MIB:.0f} MiB"


def test_calls_are_answered_while_a_large_directory_is_read(serve: Serve, tmp_path: Path) -> None:
    """Each listing is made anew; were it made in place, one call would be answered meanwhile."""
    lower = tmp_path / "lower"
    lower.mkdir()
    make_files(lower / "many", LISTED)
    server = serve([lower], arguments=["--workers", "1"])
    wire, other = Wire(server.port), Wire(server.port)
    many, handle = wire.lookup("many"), other.lookup("many/file000001")
    answered, listing, done = 0, threading.Event(), threading.Event()

    def ask() -> None:
        nonlocal answered
        while not done.is_set():
            asked_while = listing.is_set()
            other.attributes(handle)
            answered += asked_while and listing.is_set()

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for number in range(LISTINGS):
            wire.create(f"many/new{number}")
            listing.set()
            entries, _ = wire.page(many)
            listing.clear()
            assert entries
    finally:
        done.set()
        asker.join()
    wire.close()
    other.close()
    assert answered > 5 * LISTINGS, f"{answered} calls"
