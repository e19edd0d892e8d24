"""ONC RPC version 2 (RFC 5531) with no I/O: a record in, the reply's parts out.

The dispatcher knows programs only as tables.  The fixed part of a call's header
is the key of one dictionary, its credentials are the key of another, so that a
well-formed call costs two look-ups before its arguments are read.  What is not
found there is looked at field by field, in the order that the RFC gives.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from typing import Any, Final

from nfsd.log import LOGGER, ONCE, log_exception_once
from nfsd.program import Caller, Procedure, Program
from nfsd.replay import Fate, ReplayCache
from nfsd.xdr.codec import Buffer, Parts, XdrError, decode, encode
from nfsd.xdr.rpc import (
    AUTH_BADCRED,
    AUTH_BADVERF,
    AUTH_ERROR,
    AUTH_NONE,
    AUTH_SYS,
    CALL,
    GARBAGE_ARGS,
    MAX_AUTH_BYTES,
    MSG_ACCEPTED,
    MSG_DENIED,
    PROC_UNAVAIL,
    PROG_MISMATCH,
    PROG_UNAVAIL,
    REPLY,
    RPC_MISMATCH,
    RPC_VERSION,
    SYSTEM_ERR,
    accept_stat,
    accepted_reply,
    accepted_reply_data,
    call_body,
    mismatch_info,
    opaque_auth,
    pack_rpc_msg,
    rejected_reply,
    reply_body,
    rpc_msg,
    rpc_msg_body,
    unpack_authsys_parms,
    unpack_rpc_msg,
)
from overlay.blocking import may_block
from overlay.credentials import Credentials
from overlay.errors import WouldBlock

# Of a header: xid, the fixed part, and two opaque_auth with their bodies.
_HEADER_BYTES: Final = 24 + 2 * (8 + MAX_AUTH_BYTES)
_FIXED = struct.Struct(">5I")  # msg_type, rpcvers, prog, vers, proc
_LENGTH = struct.Struct(">I")
# reply, accepted, verifier AUTH_NONE of no bytes, SUCCESS
_SUCCESS: Final = struct.pack(">5I", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, 0)
_NO_VERIFIER: Final = opaque_auth(AUTH_NONE, b"")
# AUTH_NONE names nobody.
_NOBODY: Final = Credentials(65534, 65534)
_CALLERS: Final = 256


class Peer:
    """One client's address, and the credentials it has used lately."""

    __slots__ = ("address", "callers")

    def __init__(self, address: str) -> None:
        self.address = address
        # By the bytes of the credentials and of the (empty) verifier.
        self.callers: dict[bytes, Caller] = {}


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    """The call is answered by RPC itself."""

    def __init__(self, why: str, body: reply_body) -> None:
        super().__init__(why)
        self.body = body


class _NoCallError(Exception):
    """The record is not a call, so there is nobody to answer."""


class Dispatcher:
    """Answers calls to any of `programs`."""

    def __init__(self, programs: Iterable[Program], replays: ReplayCache | None = None) -> None:
        self._replays = replays
        self._procedures: dict[bytes, Procedure] = {}
        self._versions: dict[int, list[int]] = {}
        for program in programs:
            self._versions.setdefault(program.number, []).append(program.version)
            for procedure in program.procedures:
                fixed = (CALL, RPC_VERSION, program.number, program.version, procedure.number)
                self._procedures[_FIXED.pack(*fixed)] = procedure
        self.trace = False

    def answer(self, record: Buffer, peer: Peer, parts: Parts) -> int:
        """Append the reply to the call in `record`, without a record mark; return its size.

        The size is 0 if there is nothing to say.  Raises only WouldBlock, and
        then has appended nothing.
        """
        head = record if type(record) is bytes else bytes(record[:_HEADER_BYTES])
        begun = time.perf_counter() if self.trace else 0.0
        start = len(parts)
        try:
            procedure, caller, at = self._call(head, peer)
            try:
                arguments = decode(procedure.unpack, record, at)
            except XdrError as error:
                raise _accepted(f"{procedure.name}: {error}", GARBAGE_ARGS) from error
            if procedure.again is not None and self._replays is not None:
                self._answer_once(self._replays, procedure, caller, arguments, record, parts)
            else:
                parts.append(head[:4] + _SUCCESS)
                procedure.pack(procedure.run(caller, arguments), parts)
        except _Refused as refused:
            if ONCE.first(peer.address, refused.body):
                LOGGER.warning("%s: a call is refused: %s", peer.address, refused)
            parts.append(_reply(head, refused.body))
        except _NoCallError as error:
            if ONCE.first(peer.address, _NoCallError):
                LOGGER.warning("%s: %s", peer.address, error)
            return 0
        except WouldBlock:
            del parts[start:]
            raise
        except Exception as error:
            del parts[start:]
            log_exception_once("a call", error)
            parts.append(system_error(head))
        size = sum(map(len, parts[start:]))
        if self.trace:
            self._log(head, peer, size, time.perf_counter() - begun)
        return size

    def _answer_once(
        self,
        replays: ReplayCache,
        procedure: Procedure,
        caller: Caller,
        arguments: Any,  # noqa: ANN401 - by procedure
        record: Buffer,
        parts: Parts,
    ) -> None:
        """Answer a call that must not be made twice (nfsd.replay)."""
        entry = replays.begin(caller.address, record)
        if entry.fate is Fate.RUNNING:
            may_block()
            entry = replays.begin_after(caller.address, record)
        if entry.fate is Fate.DONE:
            parts.append(entry.reply)
            return
        if entry.fate is Fate.RUNNING:
            return
        run = procedure.run
        if entry.fate is Fate.UNKNOWN and procedure.again is not None:
            run = procedure.again
        begin = len(parts)
        try:
            result = run(caller, arguments)
            parts.append(bytes(record[:4]) + _SUCCESS)
            procedure.pack(result, parts)
        except BaseException:
            replays.cancel(entry)
            raise
        if procedure.is_final(result):
            replays.finish(entry, b"".join(parts[begin:]))
        else:
            replays.cancel(entry)

    def answer_waiting(self, record: Buffer, peer: Peer, parts: Parts) -> int:
        """The same on a thread that may wait, for a call that would block elsewhere."""
        try:
            return self.answer(record, peer, parts)
        except WouldBlock as error:
            log_exception_once("waiting", error)
            parts.append(system_error(bytes(record[:4])))
            return len(parts[-1])

    def _call(self, head: bytes, peer: Peer) -> tuple[Procedure, Caller, int]:
        """The procedure and caller of a call, and where its arguments begin."""
        procedure = self._procedures.get(head[4:24])
        if procedure is not None and len(head) >= 40:
            (length,) = _LENGTH.unpack_from(head, 28)
            at = 40 + length
            caller = peer.callers.get(head[24:at])
            if caller is not None:
                return procedure, caller, at
        return self._examine(head, peer)

    def _examine(self, head: bytes, peer: Peer) -> tuple[Procedure, Caller, int]:
        """The same for a call that is met for the first time, or is not in order."""
        if len(head) < 24:
            raise _NoCallError(f"a record of {len(head)} bytes is no call")
        mtype, version, program, _, _ = _FIXED.unpack_from(head, 4)
        if mtype != CALL:
            raise _NoCallError(f"msg_type {mtype} where CALL is expected")
        if version != RPC_VERSION:
            info = mismatch_info(RPC_VERSION, RPC_VERSION)
            rejected = rejected_reply(RPC_MISMATCH, versions=info)
            why = f"RPC version {version}"
            raise _Refused(why, reply_body(MSG_DENIED, rreply=rejected))
        body, at = _header(head)
        caller = _authenticate(body, peer)
        if program not in self._versions:
            raise _accepted(f"program {program}", PROG_UNAVAIL)
        if body.vers not in self._versions[program]:
            versions = self._versions[program]
            info = mismatch_info(min(versions), max(versions))
            raise _accepted(f"program {program} version {body.vers}", PROG_MISMATCH, info)
        procedure = self._procedures.get(head[4:24])
        if procedure is None:
            raise _accepted(f"program {program} procedure {body.proc}", PROC_UNAVAIL)
        if len(peer.callers) >= _CALLERS:
            peer.callers.clear()
        peer.callers[head[24:at]] = caller
        return procedure, caller, at

    def _log(self, head: bytes, peer: Peer, size: int, seconds: float) -> None:
        procedure = self._procedures.get(head[4:24])
        name = "a call" if procedure is None else procedure.name
        LOGGER.debug("%s %s: %d bytes in %.0f us", peer.address, name, size, seconds * 1e6)


def system_error(head: bytes) -> bytes:
    """The reply to a call that failed in a way nobody expected."""
    return _reply(head, _accepted("", SYSTEM_ERR).body)


def _reply(head: bytes, body: reply_body) -> bytes:
    (xid,) = _LENGTH.unpack_from(head)
    return encode(pack_rpc_msg, rpc_msg(xid, rpc_msg_body(REPLY, rbody=body)))


def _accepted(why: str, stat: accept_stat, info: mismatch_info | None = None) -> _Refused:
    reply = accepted_reply(_NO_VERIFIER, accepted_reply_data(stat, versions=info))
    return _Refused(why, reply_body(MSG_ACCEPTED, areply=reply))


def _denied(why: str, stat: int) -> _Refused:
    reply = rejected_reply(AUTH_ERROR, why=stat)
    return _Refused(why, reply_body(MSG_DENIED, rreply=reply))


def _header(head: bytes) -> tuple[call_body, int]:
    try:
        message, at = unpack_rpc_msg(head, 0)
    except (XdrError, struct.error) as error:
        raise _denied(f"credentials: {error}", AUTH_BADCRED) from error
    if at > len(head) or message.body.cbody is None:
        raise _denied("credentials: truncated", AUTH_BADCRED)
    return message.body.cbody, at


def _authenticate(body: call_body, peer: Peer) -> Caller:
    """Who the credentials name (RFC 5531 section 8 and appendix A)."""
    if body.verf != _NO_VERIFIER:
        raise _denied("a verifier that is not AUTH_NONE", AUTH_BADVERF)
    if body.cred.flavor == AUTH_NONE:
        return Caller(peer.address, b"", _NOBODY)
    if body.cred.flavor != AUTH_SYS:
        raise _denied(f"authentication flavor {body.cred.flavor}", AUTH_BADCRED)
    try:
        parms = decode(unpack_authsys_parms, body.cred.body)
    except XdrError as error:
        raise _denied(f"AUTH_SYS credentials: {error}", AUTH_BADCRED) from error
    credentials = Credentials(parms.uid, parms.gid, frozenset(parms.gids))
    return Caller(peer.address, parms.machinename, credentials)
