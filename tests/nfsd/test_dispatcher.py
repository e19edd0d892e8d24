"""RPC headers: every answer that RFC 5531 has, and who is said to call."""

from __future__ import annotations

import logging
import os
import struct
import time
from pathlib import Path

import pytest

from index.linux.fd import Fd
from nfsd.rpc.call_header import Peer
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.rpc.duplicate_cache import DuplicateRequestCache
from nfsd.rpc.duplicate_entry import Sender
from nfsd.rpc.program import Caller, Procedure, Program, null
from nfsd.rpc.record import mark
from nfsd.xdr.codec import Parts, Signature, encode, pack_void, unpack_void
from nfsd.xdr.generated.mount import pack_dirpath, unpack_dirpath
from nfsd.xdr.generated.rpc import (
    AUTH_BADCRED,
    AUTH_BADVERF,
    AUTH_DH,
    AUTH_ERROR,
    AUTH_NONE,
    AUTH_SYS,
    CALL,
    GARBAGE_ARGS,
    PROC_UNAVAIL,
    PROG_MISMATCH,
    PROG_UNAVAIL,
    RPC_MISMATCH,
    RPCSEC_GSS,
    SUCCESS,
    SYSTEM_ERR,
    authsys_parms,
    call_body,
    mismatch_info,
    opaque_auth,
    pack_authsys_parms,
    pack_rpc_msg,
    reply_body,
    rpc_msg,
    rpc_msg_body,
    unpack_rpc_msg,
)
from overlay.base.credentials import ANONYMOUS, Credentials
from overlay.base.errors import WouldBlock

PROGRAM = 400000
BEGUN = time.monotonic_ns()
NONE = opaque_auth(AUTH_NONE, b"")
ROOT = opaque_auth(AUTH_SYS, encode(pack_authsys_parms, authsys_parms(7, b"host", 0, 0, ())))


class Service:
    """A program of four procedures, in two versions."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.blocked = True

    def echo(self, caller: Caller, path: bytes) -> bytes:
        self.callers.append(caller)
        return path

    def fail(self, caller: Caller, arguments: None) -> None:
        raise ZeroDivisionError("on purpose")

    def block(self, caller: Caller, arguments: None) -> None:
        if self.blocked:
            raise WouldBlock

    def dispatcher(self) -> Dispatcher:
        void = pack_void, unpack_void
        text = pack_dirpath, unpack_dirpath
        rows = (
            Procedure(Signature(0, "NULL", *void, *void), null),
            Procedure(Signature(1, "ECHO", *text, *text), self.echo),
            Procedure(Signature(2, "FAIL", *void, *void), self.fail),
            Procedure(Signature(3, "BLOCK", *void, *void), self.block),
        )
        return Dispatcher([Program(PROGRAM, 2, rows), Program(PROGRAM, 4, rows)])


@pytest.fixture
def service() -> Service:
    return Service()


def call(
    procedure: int = 0,
    arguments: bytes = b"",
    *,
    rpcvers: int = 2,
    program: int = PROGRAM,
    version: int = 2,
    cred: opaque_auth = ROOT,
    verf: opaque_auth = NONE,
) -> bytes:
    body = call_body(rpcvers, program, version, procedure, cred, verf)
    return encode(pack_rpc_msg, rpc_msg(99, rpc_msg_body(CALL, cbody=body))) + arguments


def unmarked(parts: Parts) -> bytes:
    """The record in one fragment that the parts are."""
    reply = b"".join(parts)
    assert reply[:4] == mark(len(reply) - 4)
    return reply[4:]


def ask(service: Service, record: bytes) -> tuple[reply_body, bytes]:
    """The reply and the results behind it; asked twice, for the second finds what is cached."""
    dispatcher, peer = service.dispatcher(), Peer("192.0.2.1", 1023)
    replies = []
    for form in (record, record, memoryview(bytearray(record))):
        parts: Parts = []
        size = dispatcher.answer(form, peer, parts)
        replies.append(unmarked(parts))
        assert size == 4 + len(replies[-1])
    assert replies[0] == replies[1] == replies[2]
    message, at = unpack_rpc_msg(replies[0], 0)
    assert message.xid == 99
    assert message.body.rbody is not None
    return message.body.rbody, replies[0][at:]


def accepted(body: reply_body) -> tuple[int, mismatch_info | None]:
    assert body.areply is not None
    assert body.areply.verf == NONE
    return body.areply.reply_data.stat, body.areply.reply_data.versions


def auth_error(body: reply_body) -> int | None:
    assert body.rreply is not None
    assert body.rreply.stat == AUTH_ERROR
    return body.rreply.why


def test_success(service: Service) -> None:
    path = encode(pack_dirpath, b"/some/where")
    body, results = ask(service, call(1, path))
    assert accepted(body) == (SUCCESS, None)
    assert results == path


def test_each_version_is_found(service: Service) -> None:
    for version in (2, 4):
        assert accepted(ask(service, call(version=version))[0]) == (SUCCESS, None)


@pytest.mark.parametrize("version", [1, 3, 5, 0xFFFFFFFF])
def test_prog_mismatch(service: Service, version: int) -> None:
    body, _ = ask(service, call(version=version))
    assert accepted(body) == (PROG_MISMATCH, mismatch_info(2, 4))


def test_prog_unavail(service: Service) -> None:
    assert accepted(ask(service, call(program=400001))[0]) == (PROG_UNAVAIL, None)


def test_proc_unavail(service: Service) -> None:
    assert accepted(ask(service, call(4))[0]) == (PROC_UNAVAIL, None)


@pytest.mark.parametrize(
    "arguments", [b"", b"\0\0", b"\0\0\0\5abc", b"\0\0\4\1" + bytes(1028), bytes(8)]
)
def test_garbage_args(service: Service, arguments: bytes) -> None:
    assert accepted(ask(service, call(1, arguments))[0]) == (GARBAGE_ARGS, None)


def test_arguments_where_there_are_none(service: Service) -> None:
    assert accepted(ask(service, call(0, bytes(4)))[0]) == (GARBAGE_ARGS, None)


def test_system_err(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert accepted(ask(service, call(2))[0]) == (SYSTEM_ERR, None)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_rpc_mismatch(service: Service) -> None:
    body, _ = ask(service, call(rpcvers=3))
    assert body.rreply is not None
    assert body.rreply.stat == RPC_MISMATCH
    assert body.rreply.versions == mismatch_info(2, 2)


@pytest.mark.parametrize(
    "cred",
    [
        opaque_auth(AUTH_DH, b""),
        opaque_auth(RPCSEC_GSS, bytes(20)),
        opaque_auth(77, b""),
        opaque_auth(AUTH_SYS, b""),
        opaque_auth(AUTH_SYS, ROOT.body + bytes(4)),
        opaque_auth(AUTH_SYS, ROOT.body[:-4]),
        opaque_auth(AUTH_SYS, struct.pack(">II256sIII", 0, 256, bytes(256), 0, 0, 0)),
        opaque_auth(AUTH_SYS, struct.pack(">IIIII68s", 0, 0, 0, 0, 17, bytes(68))),
    ],
)
def test_bad_credentials(service: Service, cred: opaque_auth) -> None:
    assert auth_error(ask(service, call(cred=cred))[0]) == AUTH_BADCRED


def test_credentials_over_400_bytes(service: Service) -> None:
    record = call()
    longer = record[:28] + struct.pack(">I", 404) + bytes(404) + record[-8:]
    assert auth_error(ask(service, longer)[0]) == AUTH_BADCRED


def test_bad_verifier(service: Service) -> None:
    verf = opaque_auth(AUTH_SYS, ROOT.body)
    assert auth_error(ask(service, call(verf=verf))[0]) == AUTH_BADVERF


@pytest.mark.parametrize("size", range(24, 40, 3))
def test_a_cut_header(service: Service, size: int) -> None:
    assert auth_error(ask(service, call()[:size])[0]) == AUTH_BADCRED


@pytest.mark.parametrize("record", [b"", b"\0" * 23, bytes(7), call()[:23]])
def test_no_call_gets_no_answer(service: Service, record: bytes) -> None:
    parts: Parts = []
    assert service.dispatcher().answer(record, Peer("192.0.2.2", 1023), parts) == 0
    assert parts == []


def test_a_reply_gets_no_answer(service: Service) -> None:
    record = bytearray(call())
    record[7] = 1
    parts: Parts = []
    assert service.dispatcher().answer(bytes(record), Peer("192.0.2.3", 1023), parts) == 0


def test_callers(service: Service) -> None:
    body = encode(pack_authsys_parms, authsys_parms(7, b"x" * 255, 5, 6, tuple(range(16))))
    path = encode(pack_dirpath, b"/")
    ask(service, call(1, path, cred=opaque_auth(AUTH_SYS, body)))
    first, second, _ = service.callers
    assert first is second
    assert first.machinename == b"x" * 255
    assert first.address == "192.0.2.1"
    assert first.credentials == Credentials(5, 6, frozenset(range(16)))


def test_auth_none_is_nobody(service: Service) -> None:
    ask(service, call(1, encode(pack_dirpath, b"/"), cred=NONE))
    assert service.callers[0].credentials == ANONYMOUS


def test_credentials_do_not_mix(service: Service) -> None:
    """Two users on one connection, in turn, are never taken for each other."""
    dispatcher, peer = service.dispatcher(), Peer("192.0.2.1", 1023)
    path = encode(pack_dirpath, b"/")
    users = [user % 700 for user in range(2000)]
    for user in users:
        body = encode(pack_authsys_parms, authsys_parms(7, b"host", user, user, (user,)))
        dispatcher.answer(call(1, path, cred=opaque_auth(AUTH_SYS, body)), peer, [])
    assert [caller.credentials.uid for caller in service.callers] == users
    assert len(peer.routes) <= 512


def test_would_block_leaves_nothing(service: Service) -> None:
    dispatcher, peer = service.dispatcher(), Peer("192.0.2.1", 1023)
    parts: Parts = [b"before"]
    with pytest.raises(WouldBlock):
        dispatcher.answer(call(3), peer, parts)
    assert parts == [b"before"]
    service.blocked = False
    assert dispatcher.answer_waiting(call(3), peer, parts, BEGUN) == 28


def test_a_call_begun_before_a_crash_that_would_block_is_still_known(tmp_path: Path) -> None:
    """Given to a thread, it is made as one that may have been done, not as a new one."""
    blocked = True

    def run(caller: Caller, arguments: None) -> None:
        raise AssertionError("made as if it were new")

    def retry(caller: Caller, arguments: None) -> None:
        if blocked:
            raise WouldBlock

    void = pack_void, unpack_void
    once = Procedure(Signature(0, "ONCE", *void, *void), run, retry=retry)
    file = Fd(os.open(tmp_path / "replies", os.O_RDWR | os.O_CREAT))
    DuplicateRequestCache(file).begin(Sender("192.0.2.1"), call())
    dispatcher = Dispatcher([Program(PROGRAM, 2, (once,))], DuplicateRequestCache(file))
    with pytest.raises(WouldBlock):
        dispatcher.answer(call(), Peer("192.0.2.1", 1023), [])
    blocked = False
    parts: Parts = []
    dispatcher.answer_waiting(call(), Peer("192.0.2.1", 1023), parts, BEGUN)
    message, _ = unpack_rpc_msg(unmarked(parts), 0)
    assert message.body.rbody is not None
    assert accepted(message.body.rbody)[0] == SUCCESS


def test_a_call_without_results_is_made_once(tmp_path: Path) -> None:
    """The dispatcher reads nothing in a reply that it gives again."""
    runs = 0

    def run(caller: Caller, arguments: None) -> None:
        nonlocal runs
        runs += 1

    void = pack_void, unpack_void
    once = Procedure(Signature(0, "ONCE", *void, *void), run, retry=run)
    file = Fd(os.open(tmp_path / "replies", os.O_RDWR | os.O_CREAT))
    dispatcher = Dispatcher([Program(PROGRAM, 2, (once,))], DuplicateRequestCache(file))
    peer, replies = Peer("192.0.2.1", 1023), []
    for _ in range(2):
        parts: Parts = []
        dispatcher.answer(call(), peer, parts)
        replies.append(unmarked(parts))
    assert runs == 1
    message, _ = unpack_rpc_msg(replies[1], 0)
    assert message.body.rbody is not None
    assert accepted(message.body.rbody)[0] == SUCCESS
    assert replies[0] == replies[1]


def test_would_block_where_it_may_wait_is_an_error(service: Service) -> None:
    parts: Parts = []
    service.dispatcher().answer_waiting(call(3), Peer("192.0.2.1", 1023), parts, BEGUN)
    message, _ = unpack_rpc_msg(unmarked(parts), 0)
    assert message.body.rbody is not None
    assert accepted(message.body.rbody)[0] == SYSTEM_ERR


def test_malformed_input_is_logged_once_for_each_peer(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = service.dispatcher()
    with caplog.at_level(logging.WARNING):
        for address in ("198.51.100.1", "198.51.100.2"):
            peer = Peer(address, 1023)
            for size in range(100):
                dispatcher.answer(call(1, bytes(size)), peer, [])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "198.51.100.1" in said[0]
    assert "198.51.100.2" in said[1]
