"""A call that is sent again gets its first answer, whatever happened to the server in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.linux.fd import Fd
from nfsd.rpc.duplicate_cache import DuplicateRequestCache
from nfsd.rpc.duplicate_entry import Fate, Sender
from nfsd.xdr.generated.nfs3 import (
    GUARDED,
    NF3FIFO,
    NFS3_OK,
    NFS3ERR_EXIST,
    NFS3ERR_NOENT,
    NFS3ERR_NOT_SYNC,
    CREATE3args,
    LINK3args,
    MKDIR3args,
    MKNOD3args,
    RENAME3args,
    SETATTR3args,
    SYMLINK3args,
    createhow3,
    mknoddata3,
    symlinkdata3,
)
from tests.client import Client, fill
from tests.conformance.server import Server
from tests.conftest import Serve
from tests.wire import Wire, sattr

pytestmark = pytest.mark.conformance

Make = Callable[[Wire], Any]

CALLS: dict[str, tuple[Make, int]] = {
    "SETATTR": (
        lambda wire: SETATTR3args(
            wire.lookup("file"), sattr(0o600), wire.attributes(wire.lookup("file")).ctime
        ),
        NFS3ERR_NOT_SYNC,
    ),
    "CREATE": (
        lambda wire: CREATE3args(wire.parent("new"), createhow3(GUARDED, sattr(0o644))),
        NFS3ERR_EXIST,
    ),
    "MKDIR": (lambda wire: MKDIR3args(wire.parent("new"), sattr(0o755)), NFS3ERR_EXIST),
    "SYMLINK": (
        lambda wire: SYMLINK3args(wire.parent("new"), symlinkdata3(sattr(), b"target")),
        NFS3ERR_EXIST,
    ),
    "MKNOD": (
        lambda wire: MKNOD3args(
            wire.parent("new"), mknoddata3(NF3FIFO, pipe_attributes=sattr(0o644))
        ),
        NFS3ERR_EXIST,
    ),
    "REMOVE": (lambda wire: wire.parent("file"), NFS3ERR_NOENT),
    "RMDIR": (lambda wire: wire.parent("empty"), NFS3ERR_NOENT),
    "RENAME": (
        lambda wire: RENAME3args(wire.parent("file"), wire.parent("empty/file")),
        NFS3ERR_NOENT,
    ),
    "LINK": (lambda wire: LINK3args(wire.lookup("file"), wire.parent("new")), NFS3ERR_EXIST),
}


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    lower = tmp_path / "lower"
    (lower / "empty").mkdir(parents=True)
    (lower / "file").write_bytes(b"data")
    return serve([lower])


def answer(port: int, message: bytes) -> bytes:
    """The reply to a record over a connection of its own."""
    client = Client(port)
    try:
        client.send(message)
        return client.record()
    finally:
        client.close()


def status(reply: bytes) -> int:
    """nfsstat3 of a reply: behind xid, REPLY, accepted, verifier, SUCCESS."""
    return int.from_bytes(reply[24:28], "big")


@pytest.mark.parametrize("procedure", CALLS)
def test_the_first_answer_after_a_crash(server: Server, procedure: str) -> None:
    make, repeated = CALLS[procedure]
    wire = Wire(server.port)
    message = wire.client.nfs_message(procedure, make(wire))
    another = wire.client.nfs_message(procedure, make(wire))
    wire.client.send(message)
    first = wire.client.record()
    assert status(first) == NFS3_OK
    wire.client.send(message)
    assert wire.client.record() == first
    wire.close()
    server.restart(crash=True)
    assert answer(server.port, message) == first
    assert status(answer(server.port, another)) == repeated  # with a new xid it is a new call


@pytest.mark.parametrize("procedure", CALLS)
def test_begun_and_done_but_never_answered(server: Server, procedure: str) -> None:
    """The server died between doing the call and keeping its answer."""
    make, _ = CALLS[procedure]
    wire = Wire(server.port)
    message = wire.client.nfs_message(procedure, make(wire))
    another = wire.client.nfs_message(procedure, make(wire))
    assert status(answer(server.port, another)) == NFS3_OK
    wire.close()
    server.kill()
    assert server.stack.work is not None
    replies = Fd(os.open(server.stack.work / "identity" / "replies", os.O_RDWR))
    assert DuplicateRequestCache(replies).begin(Sender("127.0.0.1"), message).fate is Fate.NEW
    server.start()
    assert status(answer(server.port, message)) == NFS3_OK


def test_a_failure_is_kept_too(server: Server) -> None:
    wire = Wire(server.port)
    message = wire.client.nfs_message("MKDIR", MKDIR3args(wire.parent("empty"), sattr(0o755)))
    wire.client.send(message)
    first = wire.client.record()
    assert status(first) == NFS3ERR_EXIST
    wire.rmdir("empty")
    wire.client.send(message)
    assert wire.client.record() == first
    wire.close()


def test_an_equal_call_of_a_later_connection_is_made(server: Server) -> None:
    """Programs whose xids begin with the same number are many on one machine."""
    wire = Wire(server.port)
    message = wire.client.nfs_message("MKDIR", MKDIR3args(wire.parent("new"), sattr(0o755)))
    assert status(answer(server.port, message)) == NFS3_OK
    wire.rmdir("new")
    assert status(answer(server.port, message)) == NFS3_OK
    wire.lookup("new")
    wire.close()


def test_an_equal_call_of_another_open_connection_is_made(server: Server) -> None:
    wire = Wire(server.port)
    guarded = CREATE3args(wire.parent("lock"), createhow3(GUARDED, sattr(0o644)))
    message = wire.client.nfs_message("CREATE", guarded)
    with Client(server.port) as one, Client(server.port) as other:
        one.send(message)
        assert status(one.record()) == NFS3_OK
        other.send(message)
        assert status(other.record()) == NFS3ERR_EXIST
    wire.close()


def test_an_answer_that_the_client_never_had_is_given_again(server: Server) -> None:
    """The client takes nothing, so its machine acknowledges nothing more, and resets."""
    wire = Wire(server.port)
    message = wire.client.nfs_message("REMOVE", wire.parent("file"))
    for number in range(300):
        wire.create(f"{number}".rjust(200, "x"))
    deaf = Client(server.port, receive_bytes=4096)
    fill(deaf, wire.root)
    deaf.send(message)
    until = time.monotonic() + 120
    while b"file" in wire.names(wire.root):
        assert time.monotonic() < until
    deaf.reset()
    assert status(answer(server.port, message)) == NFS3_OK
    wire.close()
