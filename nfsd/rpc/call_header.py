"""The header of a call: which procedure is called, and by whom (RFC 5531).

The whole header but its xid is the key of one dictionary, so that a well-formed
call that is like an earlier one costs one look-up.  What is not found there is
looked at field by field, in the order that the RFC gives.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from nfsd.rpc.call_stats import first_word
from nfsd.rpc.duplicate_entry import Sender
from nfsd.rpc.program import Caller, Procedure, Program
from nfsd.xdr.codec import XdrError, decode, encode
from nfsd.xdr.generated.rpc import (
    AUTH_BADCRED,
    AUTH_BADVERF,
    AUTH_ERROR,
    AUTH_NONE,
    AUTH_SYS,
    CALL,
    MAX_AUTH_BYTES,
    MSG_ACCEPTED,
    MSG_DENIED,
    PROC_UNAVAIL,
    PROG_MISMATCH,
    PROG_UNAVAIL,
    REPLY,
    RPC_MISMATCH,
    RPC_VERSION,
    accept_stat,
    accepted_reply,
    accepted_reply_data,
    call_body,
    mismatch_info,
    opaque_auth,
    pack_rpc_msg,
    reject_stat,
    rejected_reply,
    reply_body,
    rpc_msg,
    rpc_msg_body,
    unpack_authsys_parms,
    unpack_rpc_msg,
)
from overlay.base.credentials import ANONYMOUS, Credentials

# Of a header: xid, the fixed part, and two opaque_auth with their bodies.
HEADER_BYTES: Final = 24 + 2 * (8 + MAX_AUTH_BYTES)
_FIXED = struct.Struct(">5I")  # msg_type, rpcvers, prog, vers, proc
_XID = struct.Struct(">I")
_NO_VERIFIER: Final = opaque_auth(AUTH_NONE, b"")
# Headers that are remembered of one peer, and of all: some 2 KiB each with 16 groups.
_ROUTES: Final = 512
_ROUTES_OF_ALL: Final = 16384
_QUESTIONERS: Final = 8192


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes, and its caller."""

    procedure: Procedure[Any, Any]
    caller: Caller
    is_cacheable: bool  # whether its reply may be cached (nfsd.rpc.reply_cache)
    questioner: int  # a number for this procedure and this user
    first: int  # where what is counted of the procedure begins (nfsd.rpc.call_stats)


class Peer:
    """One client's address, how it calls, and the headers it has used lately."""

    __slots__ = (
        "address",
        "is_datagram",
        "is_stranger",
        "local",
        "port",
        "routes",
        "sender",
    )

    def __init__(
        self,
        address: str,
        port: int,
        local: str = "",
        *,
        is_datagram: bool = False,
        connection: int = 0,
    ) -> None:
        """`local`: the address of ours that it calls; `connection`: nfsd.rpc.duplicate_entry."""
        self.address = address
        self.port = port
        self.local = local
        self.is_datagram = is_datagram
        self.is_stranger = False  # whether its client is known to be let into no export
        # May send a call again: by UDP there is no connection that tells clients apart.
        self.sender = Sender(f"{address} {port}" if is_datagram else address, connection)
        self.routes: dict[bytes, Route] = {}  # by all of a header but its xid


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The call is answered by RPC itself."""

    def __init__(self, why: str, body: reply_body) -> None:
        super().__init__(why)
        self.body = body

    @property
    def reason(self) -> str:
        """Return what RFC 5531 calls it."""
        if self.body.rreply is not None:
            return reject_stat(self.body.rreply.stat).name
        assert self.body.areply is not None
        return accept_stat(self.body.areply.reply_data.stat).name

    def reply(self, head: bytes) -> bytes:
        """Return the reply to the call that begins with `head`."""
        (xid,) = _XID.unpack_from(head)
        return encode(pack_rpc_msg, rpc_msg(xid, rpc_msg_body(REPLY, rbody=self.body)))


def all_alike(_: Caller) -> Hashable:
    """Return where what a caller may do does not depend on the machine."""
    return None


class NoCallError(Exception):
    """The record is not a call, so there is nobody to answer."""


class Switchboard:
    """Finds the procedure of a call in the tables of `programs`.

    `standing` is what the caller's machine may do: where it is another, so may be
    the answer.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        standing: Callable[[Caller], Hashable],
    ) -> None:
        self._standing = standing
        self._procedures: dict[bytes, Procedure[Any, Any]] = {}
        self._versions: dict[int, list[int]] = {}
        self._questioners: dict[tuple[bytes, Credentials, Hashable], int] = {}
        self._next_questioner = 0
        self._lock = threading.Lock()
        self._peers: set[Peer] = set()  # of which headers are remembered
        self._remembered = 0  # headers
        for program in programs:
            self._versions.setdefault(program.number, []).append(program.version)
            for procedure in program.procedures:
                fixed = (CALL, RPC_VERSION, program.number, program.version, procedure.number)
                self._procedures[_FIXED.pack(*fixed)] = procedure

    def procedure(self, head: bytes) -> Procedure[Any, Any] | None:
        """Return the procedure that a header names, whatever else is in it."""
        return self._procedures.get(head[4:24])

    def examine(self, head: bytes, peer: Peer) -> tuple[Route, int]:
        """Return where a call goes whose header is met for the first time, or is not in order.

        And where its arguments begin.  Raises Refused or NoCallError.
        """
        if len(head) < 24:
            raise NoCallError(f"a record of {len(head)} bytes is no call")
        mtype, version, program, _, _ = _FIXED.unpack_from(head, 4)
        if mtype != CALL:
            raise NoCallError(f"msg_type {mtype} where CALL is expected")
        if version != RPC_VERSION:
            info = mismatch_info(RPC_VERSION, RPC_VERSION)
            rejected = rejected_reply(RPC_MISMATCH, versions=info)
            why = f"RPC version {version}"
            raise Refused(why, reply_body(MSG_DENIED, rreply=rejected))
        body, at = _header(head)
        caller = _authenticate(body, peer)
        if program not in self._versions:
            raise accepted(f"program {program}", PROG_UNAVAIL)
        if body.vers not in self._versions[program]:
            versions = self._versions[program]
            info = mismatch_info(min(versions), max(versions))
            raise accepted(f"program {program} version {body.vers}", PROG_MISMATCH, info)
        procedure = self.procedure(head)
        if procedure is None:
            raise accepted(f"program {program} procedure {body.proc}", PROC_UNAVAIL)
        first = first_word(program, body.vers, body.proc)
        if peer.is_stranger:  # which may have made up the header, and others
            return Route(procedure, caller, False, 0, first), at
        is_cacheable = procedure.is_cacheable is not None
        questioner = self._questioner(head[4:24], caller) if is_cacheable else 0
        route = Route(procedure, caller, is_cacheable, questioner, first)
        self._remember(peer, head[4:at], route)
        return route, at

    def _remember(self, peer: Peer, header: bytes, route: Route) -> None:
        """Know a header when it comes again; of too many, all are forgotten."""
        with self._lock:
            if self._remembered >= _ROUTES_OF_ALL:
                for each in self._peers:
                    each.routes.clear()
                self._peers.clear()
                self._remembered = 0
            elif len(peer.routes) >= _ROUTES:
                self._remembered -= len(peer.routes)
                peer.routes.clear()
            peer.routes[header] = route
            self._peers.add(peer)
            self._remembered += 1

    def forget(self, peer: Peer) -> None:
        """Record that the peer calls no more."""
        with self._lock:
            if peer in self._peers:
                self._peers.remove(peer)
                self._remembered -= len(peer.routes)
            peer.routes.clear()

    def _questioner(self, fixed: bytes, caller: Caller) -> int:
        """Return a number that stands for this procedure and this user and was never another's."""
        if len(self._questioners) >= _QUESTIONERS:
            self._questioners.clear()
        key = fixed, caller.credentials, self._standing(caller)
        if key not in self._questioners:
            self._next_questioner += 1
            self._questioners[key] = self._next_questioner
        return self._questioners[key]


def header_size(head: bytes) -> int:
    """Return the size of a call's header with credentials of less than 64 KiB and no verifier.

    Of anything else the result is a number without meaning.
    """
    return 40 + (head[30] << 8) + head[31] if len(head) >= 40 else len(head)


def accepted(why: str, stat: accept_stat, info: mismatch_info | None = None) -> Refused:
    """Return the refusal of a call that came in the right form from a client that may call."""
    reply = accepted_reply(_NO_VERIFIER, accepted_reply_data(stat, versions=info))
    return Refused(why, reply_body(MSG_ACCEPTED, areply=reply))


def _denied(why: str, stat: int) -> Refused:
    reply = rejected_reply(AUTH_ERROR, why=stat)
    return Refused(why, reply_body(MSG_DENIED, rreply=reply))


def _header(head: bytes) -> tuple[call_body, int]:
    try:
        message, at = unpack_rpc_msg(head, 0)
    except (XdrError, struct.error) as error:
        raise _denied(f"credentials: {error}", AUTH_BADCRED) from error
    if at > len(head) or message.body.cbody is None:
        raise _denied("credentials: truncated", AUTH_BADCRED)
    return message.body.cbody, at


def _authenticate(body: call_body, peer: Peer) -> Caller:
    """Return the user that the credentials name (RFC 5531 section 8 and appendix A)."""
    if body.verf != _NO_VERIFIER:
        raise _denied("a verifier that is not AUTH_NONE", AUTH_BADVERF)
    if body.cred.flavor == AUTH_NONE:
        return _caller(peer, b"", ANONYMOUS)
    if body.cred.flavor != AUTH_SYS:
        raise _denied(f"authentication flavor {body.cred.flavor}", AUTH_BADCRED)
    try:
        parms = decode(unpack_authsys_parms, body.cred.body)
    except XdrError as error:
        raise _denied(f"AUTH_SYS credentials: {error}", AUTH_BADCRED) from error
    credentials = Credentials(parms.uid, parms.gid, frozenset(parms.gids))
    return _caller(peer, parms.machinename, credentials)


def _caller(peer: Peer, machinename: bytes, credentials: Credentials) -> Caller:
    return Caller(peer.address, peer.port, machinename, credentials, peer.local, peer.is_datagram)
