"""Locks over the wire: every procedure, every conflict, who waits, and what a restart means."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from nfsd.xdr.codec import decode
from nfsd.xdr.generated.nfs3 import diropargs3
from nfsd.xdr.generated.nlm3 import (
    LCK_BLOCKED,
    LCK_DEADLCK,
    LCK_DENIED,
    LCK_DENIED_GRACE_PERIOD,
    LCK_DENIED_NOLOCKS,
    LCK_GRANTED,
)
from nfsd.xdr.generated.nlm4 import (
    FSA_R,
    FSA_RW,
    FSA_W,
    FSM_DN,
    FSM_DR,
    FSM_DRW,
    FSM_DW,
    NLM4_BLOCKED,
    NLM4_DEADLCK,
    NLM4_DENIED,
    NLM4_DENIED_GRACE_PERIOD,
    NLM4_FAILED,
    NLM4_GRANTED,
    NLM4_PROGRAM,
    NLM4_STALE_FH,
    nlm4_cancargs,
    nlm4_holder,
    nlm4_lock,
    nlm4_lockargs,
    nlm4_notify,
    nlm4_res,
    nlm4_share,
    nlm4_shareargs,
    nlm4_testargs,
    nlm4_testres,
    nlm4_testrply,
    nlm4_unlockargs,
)
from nfsd.xdr.generated.nsm import STAT_FAIL, mon, mon_id, my_id
from nfsd.xdr.generated.rpc import mismatch_info
from tests.client import NO_AUTH, Client, RpcError
from tests.conformance.ports import free_port
from tests.conformance.server import Server, Stack
from tests.locking import LIMIT, NLM, LockClient, as_root, free_address
from tests.server.test_reload import Configured, Export
from tests.wire import Wire

pytestmark = pytest.mark.processes

GRACE = 4


def files(place: Path, *arguments: str) -> Server:
    """A server with a few files."""
    lower = place / "lower"
    lower.mkdir()
    for name in ("a", "b", "c", "gone", "moved", "shared"):
        (lower / name).write_bytes(name.encode())
    (lower / "private").write_bytes(b"")
    (lower / "private").chmod(0o600)
    (lower / "directory").mkdir()
    (lower / "link").symlink_to("a")
    return Server(Stack.over([lower], place), place / "log", arguments=arguments)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = files(tmp_path_factory.mktemp("locks"), "--workers", "2")
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server.port)
    yield wire
    wire.close()


@pytest.fixture
def file(wire: Wire) -> Iterator[bytes]:
    """A file of this test's own."""
    name = f"own-{time.monotonic_ns()}"
    yield wire.create(name)
    wire.remove(name)


@pytest.fixture
def alpha(server: Server) -> Iterator[LockClient]:
    with LockClient(server, name=b"alpha") as client:
        yield client
        client.free_all()


@pytest.fixture
def beta(server: Server) -> Iterator[LockClient]:
    with LockClient(server, name=b"beta") as client:
        yield client
        client.free_all()


@pytest.fixture
def gamma(server: Server) -> Iterator[LockClient]:
    with LockClient(server, name=b"gamma") as client:
        yield client
        client.free_all()


def test_null_and_what_is_not_there(server: Server, alpha: LockClient) -> None:
    assert alpha.call("NULL") is None
    assert alpha.status_monitor("NULL") is None
    for version in (1, 3):
        assert alpha.client.call(NLM4_PROGRAM, version, NLM["NULL"], None) is None
    with pytest.raises(RpcError):
        alpha.client.call(NLM4_PROGRAM, 1, NLM["NULL"]._replace(number=20), None)
    for version in (0, 2, 5):
        with pytest.raises(RpcError) as refused:
            alpha.client.call(NLM4_PROGRAM, version, NLM["NULL"], None)
        reply = refused.value.body.areply
        assert reply is not None
        assert reply.reply_data.versions == mismatch_info(1, 4)
    with pytest.raises(RpcError):
        alpha.client.call(NLM4_PROGRAM, 4, NLM["NULL"]._replace(number=16), None)
    with Client(server.port) as client, pytest.raises(RpcError):
        client.call(NLM4_PROGRAM, 4, NLM["NULL"], None)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize(
    ("offset", "length", "touches"),
    [
        (0, 10, False),
        (0, 11, True),
        (10, 10, True),
        (12, 2, True),
        (19, 1, True),
        (19, 0, True),
        (20, 0, False),
        (20, 5, False),
        (0, 0, True),
        (0, (1 << 64) - 1, True),
    ],
)
def test_conflicts(
    alpha: LockClient,
    beta: LockClient,
    file: bytes,
    first: bool,
    second: bool,
    offset: int,
    length: int,
    touches: bool,
) -> None:
    assert alpha.lock(file, 10, 10, exclusive=first) == NLM4_GRANTED
    expected = NLM4_DENIED if touches and (first or second) else NLM4_GRANTED
    said = beta.test(file, offset, length, exclusive=second)
    assert said.stat == expected
    if expected == NLM4_DENIED:
        assert said.holder == nlm4_holder(first, 1, b"1@alpha", 10, 10)
    assert beta.lock(file, offset, length, exclusive=second) == expected
    assert alpha.lock(file, 10, 10, exclusive=first) == NLM4_GRANTED


def test_processes_of_one_client_exclude_each_other(alpha: LockClient, file: bytes) -> None:
    assert alpha.lock(file, svid=1) == NLM4_GRANTED
    assert alpha.lock(file, svid=2) == NLM4_DENIED
    assert alpha.unlock(file, svid=2) == NLM4_GRANTED
    assert alpha.lock(file, svid=2) == NLM4_DENIED
    assert alpha.unlock(file, svid=1) == NLM4_GRANTED
    assert alpha.lock(file, svid=2) == NLM4_GRANTED


def test_clients_of_one_name_are_two(server: Server, alpha: LockClient, file: bytes) -> None:
    with LockClient(server, name=alpha.name) as namesake:
        assert alpha.lock(file) == NLM4_GRANTED
        assert namesake.lock(file) == NLM4_DENIED
        namesake.unlock(file)
        namesake.free_all()
        assert namesake.lock(file) == NLM4_DENIED


def test_upgrade_downgrade_and_split(alpha: LockClient, beta: LockClient, file: bytes) -> None:
    assert alpha.lock(file, 0, 100, exclusive=False) == NLM4_GRANTED
    assert beta.lock(file, 50, 100, exclusive=False) == NLM4_GRANTED
    assert alpha.lock(file, 0, 100, exclusive=True) == NLM4_DENIED
    assert beta.unlock(file, 50, 50) == NLM4_GRANTED
    assert alpha.lock(file, 0, 100, exclusive=True) == NLM4_GRANTED
    assert beta.lock(file, 0, 1, exclusive=False) == NLM4_DENIED
    assert alpha.lock(file, 0, 50, exclusive=False) == NLM4_GRANTED
    assert beta.lock(file, 0, 50, exclusive=False) == NLM4_GRANTED
    assert alpha.unlock(file, 60, 10) == NLM4_GRANTED
    assert beta.lock(file, 60, 10) == NLM4_GRANTED
    for offset in (59, 70):
        holder = beta.test(file, offset, 1).holder
        assert holder is not None
        assert (holder.l_offset, holder.l_len) == ((50, 10) if offset == 59 else (70, 30))


def test_a_lock_to_the_end(alpha: LockClient, beta: LockClient, file: bytes) -> None:
    assert alpha.lock(file, 1 << 63) == NLM4_GRANTED
    holder = beta.test(file, (1 << 64) - 1, 1).holder
    assert holder is not None
    assert (holder.l_offset, holder.l_len) == (1 << 63, 0)
    assert beta.lock(file, 0, 1 << 63) == NLM4_GRANTED


def test_who_waits_is_told_in_order(
    alpha: LockClient, beta: LockClient, gamma: LockClient, file: bytes
) -> None:
    assert alpha.lock(file) == NLM4_GRANTED
    assert gamma.lock(file, block=True) == NLM4_BLOCKED
    assert beta.lock(file, block=True, svid=7) == NLM4_BLOCKED
    assert gamma.lock(file, block=True) == NLM4_BLOCKED, "asked again, it keeps its place"
    assert alpha.unlock(file) == NLM4_GRANTED
    (told,) = gamma.wait_for("GRANTED")
    assert (told.exclusive, told.alock) == (True, gamma.on(file))
    assert alpha.lock(file) == NLM4_DENIED
    assert beta.told("GRANTED") == []
    assert gamma.unlock(file) == NLM4_GRANTED
    (told,) = beta.wait_for("GRANTED")
    assert told.alock == beta.on(file, svid=7)
    assert gamma.lock(file) == NLM4_DENIED


def test_cancel(alpha: LockClient, beta: LockClient, gamma: LockClient, file: bytes) -> None:
    assert alpha.lock(file) == NLM4_GRANTED
    assert beta.lock(file, block=True) == NLM4_BLOCKED
    assert gamma.lock(file, block=True) == NLM4_BLOCKED
    assert beta.cancel(file, svid=2) == NLM4_DENIED
    assert beta.cancel(file) == NLM4_GRANTED
    assert beta.cancel(file) == NLM4_DENIED
    alpha.unlock(file)
    gamma.wait_for("GRANTED")
    assert beta.told("GRANTED") == []


def test_who_does_not_want_it_any_more(server: Server, alpha: LockClient, file: bytes) -> None:
    with LockClient(server, name=b"fickle", reply=lambda: NLM4_DENIED) as fickle:
        alpha.lock(file)
        fickle.lock(file, block=True)
        alpha.unlock(file)
        fickle.wait_for("GRANTED")
        until(lambda: alpha.lock(file) == NLM4_GRANTED)


def test_a_call_that_did_not_go_out_is_not_counted(
    server: Server, alpha: LockClient, file: bytes
) -> None:
    """Else a client that then says that it does not wait would be taken for one that has it."""
    with LockClient(server, name=b"late", reply=lambda: NLM4_DENIED, serves=False) as late:
        alpha.lock(file)
        late.lock(file, block=True)
        alpha.unlock(file)
        time.sleep(1.5)  # its rpcbind does not answer the first time
        late.serve()
        late.wait_for("GRANTED")
        until(lambda: alpha.lock(file) == NLM4_GRANTED)


def test_a_lock_that_was_given_is_told_again(
    server: Server, alpha: LockClient, file: bytes
) -> None:
    answers = iter([None, NLM4_DENIED_GRACE_PERIOD, NLM4_GRANTED])
    with LockClient(server, name=b"deaf", reply=lambda: next(answers)) as deaf:
        alpha.lock(file)
        deaf.lock(file, block=True)
        alpha.unlock(file)
        assert len({told.cookie for told in deaf.wait_for("GRANTED", 3)}) == 1
        assert alpha.lock(file) == NLM4_DENIED
        deaf.free_all()


def test_who_has_taken_it_may_deny_it_when_told_again(
    server: Server, alpha: LockClient, file: bytes
) -> None:
    """The first answer was lost: the second says that nobody waits, which is right."""
    answers = iter([None, NLM4_DENIED])
    with LockClient(server, name=b"lossy", reply=lambda: next(answers)) as lossy:
        alpha.lock(file)
        lossy.lock(file, block=True)
        alpha.unlock(file)
        lossy.wait_for("GRANTED", 2)
        time.sleep(0.3)  # for the answer to be heard
        assert alpha.lock(file) == NLM4_DENIED
        lossy.free_all()


def test_who_asks_again_knows(server: Server, alpha: LockClient, file: bytes) -> None:
    """A client that is not reached asks for itself, and can unlock what it has got."""
    with LockClient(server, name=b"unreachable", serves=False) as unreachable:
        alpha.lock(file)
        assert unreachable.lock(file, block=True) == NLM4_BLOCKED
        alpha.unlock(file)
        assert alpha.lock(file) == NLM4_DENIED
        assert unreachable.lock(file, block=True) == NLM4_GRANTED
        assert unreachable.unlock(file) == NLM4_GRANTED
        assert alpha.lock(file) == NLM4_GRANTED


def test_who_asks_again_is_told_no_more(server: Server, alpha: LockClient, file: bytes) -> None:
    with LockClient(server, name=b"asking", reply=lambda: None) as asking:
        alpha.lock(file)
        asking.lock(file, block=True)
        alpha.unlock(file)
        asking.wait_for("GRANTED", 2)
        assert asking.lock(file, block=True) == NLM4_GRANTED
        time.sleep(0.5)  # one may be on its way
        told = len(asking.told("GRANTED"))
        time.sleep(4.5)  # the next pauses are of two seconds and of four
        assert len(asking.told("GRANTED")) == told
        asking.free_all()


def test_cancel_after_it_was_given(server: Server, alpha: LockClient, file: bytes) -> None:
    with LockClient(server, name=b"late", reply=lambda: None) as late:
        alpha.lock(file)
        late.lock(file, block=True)
        alpha.unlock(file)
        late.wait_for("GRANTED")
        assert late.cancel(file) == NLM4_GRANTED
        assert alpha.lock(file) == NLM4_GRANTED


def test_deadlock(alpha: LockClient, beta: LockClient, file: bytes, wire: Wire) -> None:
    other = wire.lookup("b")
    assert alpha.lock(file) == NLM4_GRANTED
    assert beta.lock(other) == NLM4_GRANTED
    assert alpha.lock(other, block=True) == NLM4_BLOCKED
    assert beta.lock(file, block=True) == NLM4_DEADLCK
    assert beta.unlock(other) == NLM4_GRANTED
    alpha.wait_for("GRANTED")


def test_every_procedure_by_message(alpha: LockClient, beta: LockClient, file: bytes) -> None:
    wish = alpha.wish(file, 5, 5)
    assert alpha.call("LOCK_MSG", wish) is None
    (result,) = alpha.wait_for("LOCK_RES")
    assert result == nlm4_res(b"cookie", NLM4_GRANTED)
    beta.call("TEST_MSG", nlm4_testargs(b"t", False, beta.on(file, 0, 6)))
    (result,) = beta.wait_for("TEST_RES")
    assert (result.cookie, result.test_stat.stat) == (b"t", NLM4_DENIED)
    assert result.test_stat.holder == nlm4_holder(True, 1, b"1@alpha", 5, 5)
    for _ in range(2):
        beta.call("LOCK_MSG", beta.wish(file, 5, 5, block=True))
    assert beta.wait_for("LOCK_RES", 2)[1].stat == NLM4_BLOCKED
    beta.call("CANCEL_MSG", nlm4_cancargs(b"c", True, True, beta.on(file, 5, 5)))
    assert beta.wait_for("CANCEL_RES") == [nlm4_res(b"c", NLM4_GRANTED)]
    beta.call("LOCK_MSG", beta.wish(file, 5, 5, block=True))
    beta.wait_for("LOCK_RES", 3)
    alpha.call("UNLOCK_MSG", nlm4_unlockargs(b"u", alpha.on(file, 0, 0)))
    assert alpha.wait_for("UNLOCK_RES") == [nlm4_res(b"u", NLM4_GRANTED)]
    (told,) = beta.wait_for("GRANTED_MSG")
    assert told.alock == beta.on(file, 5, 5)
    beta.call("GRANTED_RES", nlm4_res(told.cookie, NLM4_GRANTED))
    time.sleep(2.5)
    assert len(beta.told("GRANTED_MSG")) == 1, "it was answered"
    assert alpha.lock(file, 5, 5) == NLM4_DENIED


def test_a_message_that_is_denied(alpha: LockClient, beta: LockClient, file: bytes) -> None:
    alpha.lock(file)
    beta.call("LOCK_MSG", beta.wish(file, block=True))
    beta.wait_for("LOCK_RES")
    alpha.unlock(file)
    (told,) = beta.wait_for("GRANTED_MSG")
    beta.call("GRANTED_RES", nlm4_res(told.cookie, NLM4_DENIED))
    until(lambda: alpha.lock(file) == NLM4_GRANTED)


NARROW = (1, 3)


@pytest.fixture(params=NARROW)
def old(server: Server, request: pytest.FixtureRequest) -> Iterator[LockClient]:
    """A client that counts bytes by 32 bits."""
    with LockClient(server, name=b"old", version=request.param) as client:
        yield client
        client.notify(time.monotonic_ns() & 0x7FFFFFFF)


def test_versions_of_32_bits(old: LockClient, alpha: LockClient, file: bytes) -> None:
    assert old.lock(file, 10, 10) == LCK_GRANTED
    holder = alpha.test(file, 15, 1).holder
    assert holder == nlm4_holder(True, 1, b"1@old", 10, 10)
    assert alpha.lock(file, 15, 1) == NLM4_DENIED
    assert old.lock(file, (1 << 32) - 1, (1 << 32) - 1) == LCK_GRANTED
    assert alpha.test(file, 1 << 32, 1).holder.l_len == (1 << 32) - 1
    assert alpha.test(file, (1 << 33) - 2, 0).stat == NLM4_GRANTED
    assert old.unlock(file) == LCK_GRANTED, "length 0 is up to the end of 64 bits"
    assert alpha.test(file).stat == NLM4_GRANTED
    assert old.lock(file, 5) == LCK_GRANTED
    holder = alpha.test(file, 1 << 40, 1).holder
    assert holder == nlm4_holder(True, 1, b"1@old", 5, 0)


@pytest.mark.parametrize(
    ("offset", "length", "said"),
    [
        (7, 8, (7, 8)),
        (0xFFFFFFFF, 0xFFFFFFFF, (0xFFFFFFFF, 0xFFFFFFFF)),
        (0xFFFFFFFE, 0, (0xFFFFFFFE, 0)),
        (1 << 32, 5, (0x7FFFFFFF, 5)),
        (1 << 50, 0, (0x7FFFFFFF, 0)),
        (3, 1 << 40, (3, 0x7FFFFFFF)),
        (1 << 63, (1 << 63) - 1, (0x7FFFFFFF, 0x7FFFFFFF)),
    ],
)
def test_what_32_bits_cannot_say_is_clipped(
    old: LockClient,
    alpha: LockClient,
    file: bytes,
    offset: int,
    length: int,
    said: tuple[int, int],
) -> None:
    assert alpha.lock(file, offset, length) == NLM4_GRANTED
    reply = old.test(file)
    assert reply.stat == LCK_DENIED
    assert (reply.holder.l_offset, reply.holder.l_len) == said
    assert (reply.holder.svid, reply.holder.oh) == (1, b"1@alpha")
    assert old.lock(file) == LCK_DENIED


def test_who_waits_is_told_in_his_version(old: LockClient, alpha: LockClient, file: bytes) -> None:
    assert alpha.lock(file) == NLM4_GRANTED
    wishes = {svid: (svid * 1000, 0xFFFFFFFF if svid == 1 else 0) for svid in (1, 2)}
    for svid, (offset, length) in wishes.items():
        assert old.lock(file, offset, length, svid=svid, block=True) == LCK_BLOCKED
    assert alpha.lock(file, block=True) == NLM4_GRANTED
    assert alpha.unlock(file) == NLM4_GRANTED
    (told,) = old.wait_for("GRANTED")
    assert told.alock == old.on(file, 1000, 0xFFFFFFFF, svid=1)
    assert old.unlock(file, 1000, 0xFFFFFFFF, svid=1) == LCK_GRANTED
    assert old.wait_for("GRANTED", 2)[1].alock == old.on(file, 2000, 0, svid=2)
    assert {each.version for each in old.heard} == {old.version}
    assert old.cancel(file, 3000, svid=2) == LCK_DENIED


def test_old_versions_by_message(old: LockClient, alpha: LockClient, file: bytes) -> None:
    assert alpha.lock(file, 0, 5) == NLM4_GRANTED
    old.call("TEST_MSG", old.made("testargs", b"t", True, old.on(file)))
    (result,) = old.wait_for("TEST_RES")
    assert result.test_stat.holder == old.made("holder", True, 1, b"1@alpha", 0, 5)
    old.call("LOCK_MSG", old.wish(file, block=True))
    assert old.wait_for("LOCK_RES") == [old.made("res", b"cookie", LCK_BLOCKED)]
    assert alpha.unlock(file) == NLM4_GRANTED
    (told,) = old.wait_for("GRANTED_MSG")
    assert told.alock == old.on(file)
    old.call("GRANTED_RES", old.made("res", told.cookie, LCK_GRANTED))
    old.call("UNLOCK_MSG", old.made("unlockargs", b"u", old.on(file)))
    assert old.wait_for("UNLOCK_RES") == [old.made("res", b"u", LCK_GRANTED)]
    assert {each.version for each in old.heard} == {old.version}
    assert alpha.lock(file) == NLM4_GRANTED


def test_statuses_that_old_versions_have_not(
    old: LockClient, alpha: LockClient, wire: Wire
) -> None:
    for handle in (b"", b"no handle", bytes(64), wire.lookup("directory")):
        assert old.lock(handle) == LCK_DENIED_NOLOCKS
        assert old.test(handle).stat == LCK_DENIED_NOLOCKS
    first, second = wire.lookup("a"), wire.lookup("b")
    assert alpha.lock(first) == NLM4_GRANTED
    assert old.lock(second) == LCK_GRANTED
    assert alpha.lock(second, block=True) == NLM4_BLOCKED
    assert old.lock(first, block=True) == LCK_DEADLCK
    assert old.lock(wire.lookup("c"), reclaim=True) == LCK_DENIED_GRACE_PERIOD


def test_shares_in_version_3(server: Server, alpha: LockClient, file: bytes) -> None:
    with LockClient(server, name=b"dos", version=3) as dos:
        assert dos.share(file, FSA_R, FSM_DW) == LCK_GRANTED
        assert alpha.share(file, FSA_W, FSM_DN) == NLM4_DENIED
        assert dos.share(file, verb="UNSHARE") == LCK_GRANTED
        assert alpha.share(file, FSA_W, FSM_DR) == NLM4_GRANTED
        assert dos.share(file, FSA_R, FSM_DN) == LCK_DENIED
        assert dos.call("NM_LOCK", dos.wish(file, 0, 5)).stat == LCK_GRANTED
        assert alpha.lock(file, 0, 5) == NLM4_DENIED
        dos.free_all()
        assert alpha.lock(file, 0, 5) == NLM4_GRANTED


def test_shares(alpha: LockClient, beta: LockClient, file: bytes) -> None:
    assert alpha.share(file, FSA_R, FSM_DW) == NLM4_GRANTED
    assert beta.share(file, FSA_W, FSM_DN) == NLM4_DENIED
    assert beta.share(file, FSA_R, FSM_DR) == NLM4_DENIED
    assert beta.share(file, FSA_R, FSM_DN) == NLM4_GRANTED
    assert alpha.share(file, FSA_RW, FSM_DRW) == NLM4_DENIED
    assert beta.share(file, verb="UNSHARE") == NLM4_GRANTED
    assert alpha.share(file, FSA_RW, FSM_DRW) == NLM4_GRANTED
    alpha.free_all()
    assert beta.share(file, FSA_RW, FSM_DRW) == NLM4_GRANTED
    assert beta.share(file, reclaim=True) == NLM4_DENIED_GRACE_PERIOD


def test_nm_lock_and_free_all(alpha: LockClient, beta: LockClient, file: bytes) -> None:
    assert alpha.call("NM_LOCK", alpha.wish(file, 0, 5)).stat == NLM4_GRANTED
    assert alpha.lock(file, 5, 5) == NLM4_GRANTED
    assert beta.call("NM_LOCK", beta.wish(file, block=True)).stat == NLM4_DENIED
    assert beta.lock(file, block=True) == NLM4_BLOCKED
    alpha.free_all()
    beta.wait_for("GRANTED")


def test_granted_is_not_for_us(alpha: LockClient, file: bytes) -> None:
    asked = nlm4_testargs(b"g", True, alpha.on(file))
    assert alpha.call("GRANTED", asked) == nlm4_res(b"g", NLM4_DENIED)
    assert alpha.call("TEST_RES", nlm4_testres(b"", nlm4_testrply(NLM4_GRANTED))) is None
    for name in ("LOCK_RES", "CANCEL_RES", "UNLOCK_RES", "GRANTED_RES"):
        assert alpha.call(name, nlm4_res(b"", NLM4_GRANTED)) is None


def test_a_lock_stays_through_copy_up_and_rename(
    alpha: LockClient, beta: LockClient, wire: Wire
) -> None:
    handle = wire.lookup("moved")
    assert alpha.lock(handle) == NLM4_GRANTED
    wire.write(handle, b"copied up")
    wire.rename("moved", "directory/there")
    there = wire.lookup("directory/there")
    assert beta.lock(there) == NLM4_DENIED
    assert alpha.unlock(there) == NLM4_GRANTED
    assert beta.lock(handle) == NLM4_GRANTED


def test_what_cannot_be_locked(server: Server, alpha: LockClient, wire: Wire) -> None:
    for name in ("directory", "link"):
        assert alpha.lock(wire.lookup(name)) == NLM4_FAILED
    for handle in (b"", b"no handle", wire.lookup("a")[:-1] + b"\0", bytes(1024)):
        assert alpha.lock(handle) == NLM4_STALE_FH
        assert alpha.unlock(handle) == NLM4_STALE_FH
        assert alpha.test(handle).stat == NLM4_STALE_FH
        assert alpha.share(handle) == NLM4_STALE_FH
    private = wire.lookup("private")
    with LockClient(server, name=b"nobody") as nobody:
        nobody.client.cred = NO_AUTH
        assert nobody.lock(private) == NLM4_FAILED
        assert nobody.lock(wire.lookup("a")) == NLM4_GRANTED
        nobody.free_all()
    assert alpha.lock(private) == NLM4_GRANTED


def test_a_file_that_is_gone(
    alpha: LockClient, beta: LockClient, gamma: LockClient, wire: Wire
) -> None:
    handle = wire.lookup("gone")
    assert alpha.lock(handle) == NLM4_GRANTED
    assert beta.lock(handle, block=True) == NLM4_BLOCKED
    wire.remove("gone")
    until(lambda: gamma.lock(handle) == NLM4_STALE_FH)
    assert alpha.unlock(handle) == NLM4_GRANTED
    beta.wait_for("GRANTED")
    assert beta.unlock(handle) == NLM4_GRANTED


def test_over_udp(server: Server, alpha: LockClient, file: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.bind((alpha.address, 0))
        sock.connect(("127.0.0.1", server.lock_port))
        for damaged in (b"", b"x", bytes(8), struct.pack(">2I", 1, 1), os.urandom(2000)):
            sock.send(damaged)
        call = alpha.client.message_of(NLM4_PROGRAM, 4, NLM["LOCK"], alpha.wish(file))
        sock.send(call)
        reply = b""
        while reply[:4] != call[:4]:
            reply = sock.recv(2000)
    assert reply[4:24] == struct.pack(">5I", 1, 0, 0, 0, 0)
    assert decode(NLM["LOCK"].unpack_results, reply[24:]).stat == NLM4_GRANTED
    assert alpha.test(file, svid=2).stat == NLM4_DENIED


def test_who_never_answers_is_sent_little(server: Server, alpha: LockClient, file: bytes) -> None:
    """Datagrams may come in anybody's name: who has it must not be told again and again."""
    victim = free_address()
    assert alpha.lock(file) == NLM4_GRANTED
    asked = 0
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rpcbind,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        rpcbind.bind((victim, 111))
        rpcbind.setblocking(False)
        sock.bind((victim, 0))
        sock.settimeout(LIMIT)
        sock.connect(("127.0.0.1", server.lock_port))
        for number in range(100):
            wish = alpha.wish(file, svid=100 + number, block=True)
            call = alpha.client.message_of(NLM4_PROGRAM, 4, NLM["LOCK"], wish)
            asked += sock.send(call)
            assert sock.recv(2000)[:4] == call[:4]
        assert alpha.unlock(file) == NLM4_GRANTED
        time.sleep(7)
        told = []
        with suppress(BlockingIOError):
            while True:
                told.append(rpcbind.recv(2000))
        assert 1 <= len(told) <= 2, "at once, and after four seconds"
        assert sum(map(len, told)) < asked


def test_the_status_monitor(alpha: LockClient) -> None:
    state = alpha.status_monitor("STAT", b"anybody")
    assert state.res_stat == STAT_FAIL
    assert state.state % 2 == 1
    me = my_id(b"alpha", 1, 2, 3)
    asked = mon(mon_id(b"server", me), bytes(16))
    assert alpha.status_monitor("MON", asked) == state
    assert alpha.status_monitor("UNMON", asked.id) == state.state
    assert alpha.status_monitor("UNMON_ALL", me) == state.state
    assert alpha.status_monitor("SIMU_CRASH") is None


def test_a_client_that_starts_anew_loses_its_locks(
    server: Server, alpha: LockClient, beta: LockClient, file: bytes, wire: Wire
) -> None:
    other = wire.lookup("b")
    assert alpha.lock(file) == NLM4_GRANTED
    assert alpha.lock(other, 0, 5, exclusive=False) == NLM4_GRANTED
    assert beta.lock(other, 0, 5, exclusive=False) == NLM4_GRANTED
    assert beta.lock(file, block=True) == NLM4_BLOCKED
    with LockClient(server, name=alpha.name) as liar:
        liar.notify(5)
    assert beta.told("GRANTED") == [], "from there it concerns another of that name"
    alpha.notify(5, b"somebody")
    assert beta.told("GRANTED") == []
    alpha.notify(5, b"ALPHA.example.org")
    beta.wait_for("GRANTED")
    assert alpha.lock(other, 10, 5) == NLM4_GRANTED
    alpha.notify(5, b"alpha")
    assert beta.lock(other, 10, 5) == NLM4_DENIED, "told twice, it started anew once"
    alpha.notify(7)
    assert beta.lock(other, 10, 5) == NLM4_GRANTED


def test_restart(tmp_path: Path) -> None:
    server = files(tmp_path, "--workers", "2", "--grace", str(GRACE))
    server.start()
    try:
        check_restart(server, crash=True)
        server.check_log()
        server.stop()
    finally:
        server.kill()


def check_restart(server: Server, *, crash: bool) -> None:
    wire = Wire(server.port)
    first, second = wire.lookup("a"), wire.lookup("b")
    wire.close()
    with (
        LockClient(server, name=b"alpha") as alpha,
        LockClient(server, name=b"beta") as beta,
        LockClient(server, name=b"gamma", serves=False) as gamma,
    ):
        assert alpha.lock(first, 0, 10) == NLM4_GRANTED, "the first start knows no grace period"
        assert beta.lock(second, exclusive=False) == NLM4_GRANTED
        state = alpha.status_monitor("STAT", b"").state
        # The process that owns the locks dies, then all of the server.
        for ending in ("process", "server"):
            end(server, ending, crash)
            for client in (alpha, beta, gamma):
                client.connect()
            number = 1 if ending == "process" else 2
            told = alpha.wait_for("SM_NOTIFY", number)[-1]
            assert told.mon_name == os.fsencode(socket.gethostname())
            assert told.state > state
            state = told.state
            assert beta.wait_for("SM_NOTIFY", number)[-1] == told
            assert gamma.lock(first, 20, 5) == NLM4_DENIED_GRACE_PERIOD
            assert gamma.test(first, 20, 5).stat == NLM4_DENIED_GRACE_PERIOD
            assert gamma.share(first) == NLM4_DENIED_GRACE_PERIOD
            assert alpha.lock(first, 0, 10, reclaim=True) == NLM4_GRANTED
            # It has taken nothing back the first time, when others had their turn after that.
            expected = NLM4_DENIED if number == 1 else NLM4_DENIED_GRACE_PERIOD
            assert beta.lock(first, 5, 5, reclaim=True) == expected
            if number == 1:
                assert gamma.lock(first, 20, 5, reclaim=True) == NLM4_DENIED_GRACE_PERIOD
                assert gamma.share(first, reclaim=True) == NLM4_DENIED_GRACE_PERIOD
            assert alpha.share(first, reclaim=True) == NLM4_GRANTED
            assert gamma.lock(second, reclaim=False) == NLM4_DENIED_GRACE_PERIOD
            until(lambda: gamma.lock(first, 20, 5) == NLM4_GRANTED)
            assert gamma.lock(first, 0, 1) == NLM4_DENIED
            assert gamma.lock(second) == NLM4_GRANTED, "beta has not reclaimed it"
            assert beta.lock(second, exclusive=False, reclaim=True) == NLM4_DENIED_GRACE_PERIOD
            gamma.free_all()


def end(server: Server, what: str, crash: bool) -> None:
    if what == "server":
        server.restart(crash=crash)
        return
    owner = server.lock_owner
    os.kill(owner, signal.SIGKILL if crash else signal.SIGTERM)
    until(lambda: server.lock_owner != owner)


def test_without_locks(tmp_path: Path) -> None:
    server = files(tmp_path, "--locks", "off")
    server.start()
    try:
        assert server.lock_port == 0
        assert len(server.processes) == len(server.workers)
        server.stop()
    finally:
        server.kill()


def test_a_port_of_choice(tmp_path: Path) -> None:
    port = free_port()
    server = files(tmp_path, "--lock-port", str(port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(AssertionError, match=r"for locks .* another for lock_port"):
            server.start()
    server.start()
    try:
        assert server.lock_port == port
        with LockClient(server) as client:
            client.call("NULL")
        server.restart()
        with LockClient(server) as client:
            client.call("NULL")
        server.stop()
    finally:
        server.kill()


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not reached():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.05)


def test_a_reload_keeps_locks(tmp_path: Path) -> None:
    exports = [Export("/", tmp_path / "one"), Export("/later", tmp_path / "two")]
    configured = Configured(tmp_path, exports[:1], workers=2, grace=600)
    server = configured.server
    try:
        wire = Wire(server.port)
        handle = wire.lookup("file")
        with (
            LockClient(server, name=b"alpha") as alpha,
            LockClient(server, name=b"beta") as beta,
            LockClient(server, name=b"slow", reply=lambda: None) as slow,
        ):
            assert alpha.lock(handle, 0, 10) == NLM4_GRANTED
            assert beta.lock(handle, 0, 10, block=True) == NLM4_BLOCKED
            assert alpha.lock(handle, 50, 10) == NLM4_GRANTED
            assert slow.lock(handle, 50, 10, block=True) == NLM4_BLOCKED
            assert alpha.share(handle, FSA_R, FSM_DRW) == NLM4_GRANTED
            for svid in range(100, 600):
                assert alpha.lock(handle, 10 * svid, 5, svid=svid) == NLM4_GRANTED
            alpha.unlock(handle, 50, 10)
            slow.wait_for("GRANTED")
            state = alpha.status_monitor("STAT", b"").state
            owner = server.lock_owner
            configured.write(exports, workers=2, grace=600)
            configured.reload()
            until(lambda: server.lock_owner != owner)
            for client in (alpha, beta, slow):
                client.connect()
            slow.wait_for("GRANTED", 2)
            assert beta.lock(handle, 30, 10) == NLM4_GRANTED, "there is no grace period"
            assert beta.lock(handle, 0, 10) == NLM4_DENIED
            assert beta.share(handle) == NLM4_DENIED
            for svid in range(100, 600):
                assert beta.test(handle, 10 * svid + 4, 1).holder.svid == svid
                assert alpha.unlock(handle, 10 * svid, 5, svid=svid) == NLM4_GRANTED
                assert beta.lock(handle, 10 * svid + 4, 1) == NLM4_GRANTED
            assert alpha.unlock(handle, 0, 10) == NLM4_GRANTED
            beta.wait_for("GRANTED")
            assert alpha.status_monitor("STAT", b"").state == state
            assert alpha.told("SM_NOTIFY") == []
            assert slow.unlock(handle) == NLM4_GRANTED
        wire.close()
        server.stop()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    """A server with an export for the root of clients' machines alone, and one for all users."""
    place = tmp_path_factory.mktemp("secure")
    exports = [
        Export("/", place / "one", '{ "127.0.0.0/8" = "rw,secure,no_root_squash" }'),
        Export("/open", place / "two", '{ "127.0.0.0/8" = "rw,insecure,no_root_squash" }'),
    ]
    configured = Configured(place, exports, workers=1)
    try:
        yield configured
        configured.server.stop()
    finally:
        configured.server.kill()


def refused_calls(who: LockClient, handle: bytes, name: bytes) -> Iterator[tuple[str, object]]:
    """Every call by which one takes something away, as `who` makes it in the name of another."""
    lock = nlm4_lock(name, handle, b"1@%s" % name, 1, 0, 0)
    share = nlm4_shareargs(b"", nlm4_share(name, handle, b"sharer", FSM_DN, FSA_R), False)
    unlock, cancel = nlm4_unlockargs(b"", lock), nlm4_cancargs(b"", True, True, lock)
    yield "UNLOCK", unlock
    yield "CANCEL", cancel
    yield "UNSHARE", share
    yield "SHARE", share
    yield "LOCK", nlm4_lockargs(b"", False, False, lock, False, 1)
    yield "NM_LOCK", nlm4_lockargs(b"", False, False, lock, False, 1)
    yield "UNLOCK_MSG", unlock
    yield "CANCEL_MSG", cancel
    yield "LOCK_MSG", nlm4_lockargs(b"", False, False, lock, False, 1)
    yield "FREE_ALL", nlm4_notify(name, 1)
    for told in who.told("GRANTED_MSG"):
        yield "GRANTED_RES", nlm4_res(told.cookie, NLM4_DENIED)


def test_who_is_refused_changes_nothing(secure: Configured) -> None:
    """Whatever a user of a client's machine says of the locks of its root."""
    server = secure.server
    wire = Wire.over(as_root(server.port, free_address()))
    handle, other = wire.lookup("file"), wire.create("other")
    address = free_address()
    with (
        LockClient(server, name=b"root", address=address, privileged=True) as root,
        LockClient(server, name=b"other", privileged=True) as judge,
        LockClient(server, name=b"root", address=address, serves=False) as user,
    ):
        assert root.lock(handle) == NLM4_GRANTED
        assert root.share(handle, FSA_R, FSM_DRW) == NLM4_GRANTED
        assert judge.lock(other) == NLM4_GRANTED
        assert root.lock(other, block=True) == NLM4_BLOCKED
        for name, arguments in refused_calls(root, handle, b"root"):
            result = user.call(name, arguments)
            if name[-4:] not in ("_MSG", "_RES") and name != "FREE_ALL":
                assert result.stat == NLM4_FAILED, name
            assert judge.test(handle).stat == NLM4_DENIED, name
            assert judge.test(handle, exclusive=False).stat == NLM4_DENIED, name
            assert judge.share(handle) == NLM4_DENIED, name
        assert user.cancel(other) == NLM4_FAILED
        user.notify(77)
        time.sleep(0.3)  # messages are answered to nobody
        assert judge.test(handle).stat == NLM4_DENIED
        assert root.told("LOCK_RES") == root.told("UNLOCK_RES") == []
        assert judge.unlock(other) == NLM4_GRANTED
        (told,) = root.wait_for("GRANTED")  # and not GRANTED_MSG
        assert told.alock == root.on(other)
        root.notify(78)
        assert judge.lock(handle) == NLM4_GRANTED, "its root says it"
        judge.free_all()
    wire.close()


def test_a_message_is_answered_by_who_was_told(secure: Configured) -> None:
    """Another user of the machine, and another machine, cannot say what becomes of a lock."""
    server = secure.server
    wire = Wire.over(as_root(server.port, free_address()))
    handle = wire.create("told")
    address = free_address()
    with (
        LockClient(server, name=b"root", address=address, privileged=True) as root,
        LockClient(server, name=b"holder", privileged=True) as holder,
        LockClient(server, name=b"root", address=address, serves=False) as user,
        LockClient(server, name=b"root", serves=False, privileged=True) as stranger,
    ):
        assert holder.lock(handle) == NLM4_GRANTED
        root.call("LOCK_MSG", root.wish(handle, block=True))
        root.wait_for("LOCK_RES")
        assert holder.unlock(handle) == NLM4_GRANTED
        (told,) = root.wait_for("GRANTED_MSG")
        for liar in (user, stranger):
            liar.call("GRANTED_RES", nlm4_res(told.cookie, NLM4_DENIED))
        for number in range(5):
            stranger.call("GRANTED_RES", nlm4_res(number.to_bytes(8, "big"), NLM4_DENIED))
        assert holder.test(handle).stat == NLM4_DENIED
        root.call("GRANTED_RES", nlm4_res(told.cookie, NLM4_DENIED))
        until(lambda: holder.test(handle).stat == NLM4_GRANTED)
    wire.close()


def test_an_overlay_of_ones_own(tmp_path: Path) -> None:
    """What is in it the owner of the locks does not know; nobody else has locks there."""
    place = tmp_path / "layers"
    for name in ("lower", "upper", "work"):
        (place / name).mkdir(parents=True)
    (place / "lower" / "file").write_text("")
    (tmp_path / "config").write_text(
        f'[[export]]\npath = "/"\nlowerdir = "{place}/lower"\n'
        f'upperdir = "{place}/upper/{{client}}"\nworkdir = "{place}/work/{{client}}"\n'
        'clients = { "*" = "rw,insecure" }\n'
    )
    server = Server(
        *(None, tmp_path / "log"),
        arguments=["--config", str(tmp_path / "config")],
        environment={"STATE_DIRECTORY": str(tmp_path / "state")},
    )
    server.start()
    try:
        with LockClient(server) as alpha, Client(server.port, source=(alpha.address, 0)) as client:
            root = client.mount("/")
            handle = client.nfs("LOOKUP", diropargs3(root, b"file")).resok.object
            assert alpha.lock(handle, svid=1) == NLM4_GRANTED
            assert alpha.lock(handle, svid=2) == NLM4_DENIED
            server.restart(crash=True)
            alpha.connect()
            assert alpha.lock(handle, svid=2) == NLM4_GRANTED
            assert alpha.told("SM_NOTIFY") == []
            assert alpha.lock(root) == NLM4_FAILED
            junk = (b"", b"junk", bytes(64), handle[:-1] + bytes([handle[-1] ^ 1]), handle[:30])
            with LockClient(server, name=b"beta") as beta:
                for each in (*junk, handle):
                    check_refused(beta, each)  # who has no overlay of his own
                with Client(server.port, source=(beta.address, 0)) as another:
                    another.mount("/")
                for each in (*junk, handle):
                    check_refused(beta, each)
            for each in junk:
                check_refused(alpha, each)
            assert alpha.lock(handle, svid=1) == NLM4_DENIED, "nobody has taken it away"
        server.stop()
    finally:
        server.kill()


def check_refused(client: LockClient, handle: bytes) -> None:
    """Whatever one asks of this handle, it is none."""
    assert client.lock(handle) == NLM4_STALE_FH
    assert client.lock(handle, reclaim=True) == NLM4_STALE_FH
    assert client.test(handle).stat == NLM4_STALE_FH
    assert client.share(handle) == NLM4_STALE_FH
    assert client.share(handle, verb="UNSHARE") == NLM4_STALE_FH
    assert client.unlock(handle) == NLM4_STALE_FH
    assert client.cancel(handle) == NLM4_STALE_FH
    assert client.call("NM_LOCK", client.wish(handle)).stat == NLM4_STALE_FH


def test_processes_of_the_servers_machine(tmp_path: Path) -> None:
    server = files(tmp_path, "--locks", "local", "--workers", "1")
    server.start()
    try:
        wire = Wire(server.port)
        handle = wire.lookup("a")
        with LockClient(server, name=b"alpha") as alpha:
            assert alpha.lock(handle, 0, 10) == NLM4_GRANTED
            wire.write(handle, b"copied up")
            with open(tmp_path / "upper" / "a", "r+b") as file:
                # Copied up, it is locked there as soon as the owner has looked.
                until(lambda: not can_lock(file, 0, 10))
                assert can_lock(file, 20, 10)
                fcntl.lockf(file, fcntl.LOCK_EX, 10, 30)
                holder = alpha.test(handle, 35, 1).holder
                assert holder is not None
                assert (holder.exclusive, holder.l_offset, holder.l_len) == (True, 30, 10)
                assert alpha.lock(handle, 30, 1, block=True) == NLM4_BLOCKED
            alpha.wait_for("GRANTED")
            assert alpha.unlock(handle) == NLM4_GRANTED
            with open(tmp_path / "upper" / "a", "r+b") as file:
                assert can_lock(file, 0, 0)
        wire.close()
        server.stop()
    finally:
        server.kill()


def can_lock(file: BinaryIO, offset: int, length: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, offset)
    except BlockingIOError:
        return False
    fcntl.lockf(file, fcntl.LOCK_UN, length, offset)
    return True
