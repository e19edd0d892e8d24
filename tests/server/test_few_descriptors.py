"""A server that may have few descriptors serves more files and clients than it has of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import NFS3_OK, NFS_PROGRAM, NFS_V3, READ3args, READDIRPLUS3args
from tests.client import NFS, Client
from tests.conformance.machine import program
from tests.conformance.server import Server, Stack
from tests.scraped import OPTIONS, scrape
from tests.wire import Wire

READ, READDIRPLUS = ((NFS_PROGRAM, NFS_V3, NFS[name]) for name in ("READ", "READDIRPLUS"))
FILES = 400
DIRECTORIES = 100


@pytest.fixture(params=[150, 300])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    lowers = [tmp_path / f"lower{number}" for number in range(4)]
    for lower in lowers:
        lower.mkdir()
        for number in range(DIRECTORIES):
            (lower / f"d{number}").mkdir()
            (lower / f"d{number}" / lower.name).write_bytes(b"")
    for number in range(FILES):
        (lowers[0] / f"f{number}").write_bytes(b"%d" % number)
    limit = [program("prlimit", "util-linux"), f"--nofile={request.param}:{request.param}", "--"]
    stack, log = Stack.over(lowers, tmp_path), tmp_path / "log"
    server = Server(stack, log, arguments=("--workers", "2", *OPTIONS), inside=limit)
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


def test_files_and_directories_more_than_descriptors(server: Server) -> None:
    """None is told to come again later, also with as many connections as there may be."""
    many: list[Client] = []
    wire = Wire(server.port)
    handles = [wire.lookup(f"f{number}") for number in range(FILES)]
    directories = [wire.lookup(f"d{number}") for number in range(DIRECTORIES)]
    for number in range(400):
        with suppress(OSError):
            many.append(Client(server.port, source=(f"127.0.0.{2 + number % 5}", 0)))
    for number, handle in enumerate(handles):
        read = wire.client.call(*READ, READ3args(handle, 0, 10))
        assert (read.status, bytes(read.resok.data)) == (NFS3_OK, b"%d" % number)
    for directory in directories:
        arguments = READDIRPLUS3args(directory, 0, bytes(8), 4096, 8192)
        listed = wire.client.call(*READDIRPLUS, arguments)
        assert listed.status == NFS3_OK
    for number in range(50):
        wire.create(f"d{number}/new", b"written")
        wire.write(handles[number], b"copied up")
    with Client(server.port, source=("127.0.0.9", 0)) as another:
        assert another.nfs("NULL") is None
    assert scrape(server).value("workers") == 2
    for client in many:
        client.close()
    assert [wire.read(handle) for handle in handles[:50]] == [b"copied up"] * 50
    assert len(server.output().split("ERROR")) <= 4, server.output()
