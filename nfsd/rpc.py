"""ONC RPC version 2 (RFC 5531) with no I/O: a record in, the reply's record out.

The dispatcher knows programs only as tables.  A call that reads may be answered
by a reply that was kept (nfsd.kept); one that must not be made twice gets its
first answer again (nfsd.replay); any other is decoded, made and encoded.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any, Final

from nfsd.calls import (
    HEADER_BYTES,
    NoCallError,
    Peer,
    Refused,
    Route,
    Switchboard,
    accepted,
    header_size,
)
from nfsd.kept import KeptReplies
from nfsd.log import LOGGER, ONCE, log_exception_once
from nfsd.program import Caller, Procedure, Program
from nfsd.record import mark
from nfsd.replay import Fate, ReplayCache
from nfsd.xdr.codec import Buffer, Parts, XdrError, decode
from nfsd.xdr.rpc import AUTH_NONE, GARBAGE_ARGS, MSG_ACCEPTED, REPLY, SYSTEM_ERR
from overlay.blocking import may_block
from overlay.cache import Room
from overlay.errors import WouldBlock
from overlay.generations import watched

# reply, accepted, verifier AUTH_NONE of no bytes, SUCCESS
_SUCCESS: Final = struct.pack(">5I", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, 0)


class Dispatcher:
    """Answers calls to any of `programs`; replies are kept in `room`.

    `standing` is what a caller's machine may do (nfsd.calls).
    """

    def __init__(
        self,
        programs: Iterable[Program],
        replays: ReplayCache | None = None,
        room: Room | None = None,
        standing: Callable[[Caller], Hashable] = lambda _: None,
    ) -> None:
        self._switchboard = Switchboard(programs, standing)
        self._replays = replays
        self._kept = KeptReplies(room or Room(0))
        self.trace = False

    def answer(self, record: Buffer, peer: Peer, parts: Parts) -> int:
        """Append the reply to a call, behind its record mark; return the size of both.

        The size is 0 if there is nothing to say.  Raises only WouldBlock, and
        then has appended nothing.  For one thread alone: others are to use
        `answer_waiting`.
        """
        head = record if type(record) is bytes else bytes(record[:HEADER_BYTES])
        at = header_size(head)
        route = peer.routes.get(head[4:at])
        if route is not None and route.lasts and head is record and not self.trace:
            kept = self._kept.get((route.questioner, head[at:]))
            if kept is not None:
                parts += (kept.mark, head[:4], kept.body)
                return kept.size
        return _append(parts, self._reply(record, peer, keep=True))

    def answer_waiting(self, record: Buffer, peer: Peer, parts: Parts) -> int:
        """The same on a thread that may wait, for a call that would block elsewhere."""
        try:
            return _append(parts, self._reply(record, peer, keep=False))
        except WouldBlock as error:
            log_exception_once("waiting", error)
            return _append(parts, [_system_error(bytes(record[:4]))])

    def _reply(self, record: Buffer, peer: Peer, *, keep: bool) -> Parts:
        """The reply to a call, made now; nothing if there is nothing to say."""
        head = record if type(record) is bytes else bytes(record[:HEADER_BYTES])
        begun = time.perf_counter()
        try:
            route, at = self._switchboard.route(head, peer)
            reply = self._make(route, at, record, keep=keep)
        except Refused as refused:
            if ONCE.first(peer.address, refused.body):
                LOGGER.warning("%s: a call is refused: %s", peer.address, refused)
            reply = [refused.reply(head)]
        except NoCallError as error:
            if ONCE.first(peer.address, NoCallError):
                LOGGER.warning("%s: %s", peer.address, error)
            return []
        except WouldBlock:
            raise
        except Exception as error:
            log_exception_once("a call", error)
            reply = [_system_error(head)]
        if self.trace:
            self._log(head, peer, reply, time.perf_counter() - begun)
        return reply

    def _make(self, route: Route, at: int, record: Buffer, *, keep: bool) -> Parts:
        """Make a call whose arguments begin at `at`."""
        procedure = route.procedure
        try:
            arguments = decode(procedure.unpack, record, at)
        except XdrError as error:
            raise accepted(f"{procedure.name}: {error}", GARBAGE_ARGS) from error
        if procedure.again is not None and self._replays is not None:
            return self._make_once(self._replays, procedure, route.caller, arguments, record)
        if keep and route.lasts and type(record) is bytes:
            return self._make_and_keep(route, arguments, record, at)
        reply: Parts = [bytes(record[:4]) + _SUCCESS]
        procedure.pack(procedure.run(route.caller, arguments), reply)
        return reply

    def _make_and_keep(
        self,
        route: Route,
        arguments: Any,  # noqa: ANN401 - by procedure
        record: bytes,
        at: int,
    ) -> Parts:
        """Make a call that reads, and keep the reply (nfsd.kept)."""
        procedure = route.procedure
        result, basis = watched(partial(procedure.run, route.caller, arguments))
        packed: Parts = [_SUCCESS]
        procedure.pack(result, packed)
        body = b"".join(packed)
        if procedure.is_lasting(result):
            self._kept.keep((route.questioner, record[at:]), body, basis)
        return [record[:4], body]

    def _make_once(
        self,
        replays: ReplayCache,
        procedure: Procedure,
        caller: Caller,
        arguments: Any,  # noqa: ANN401 - by procedure
        record: Buffer,
    ) -> Parts:
        """Make a call that must not be made twice (nfsd.replay)."""
        entry = replays.begin(caller.address, record)
        if entry.fate is not Fate.NEW:
            if entry.fate is Fate.RUNNING:
                may_block()
                entry = replays.begin_after(caller.address, record)
            if entry.fate is Fate.DONE:
                return [entry.reply]
            if entry.fate is Fate.RUNNING:
                return []
        run = procedure.run
        if entry.fate is Fate.UNKNOWN and procedure.again is not None:
            run = procedure.again
        packed: Parts = [bytes(record[:4]), _SUCCESS]
        try:
            result = run(caller, arguments)
            procedure.pack(result, packed)
        except BaseException:
            replays.cancel(entry)
            raise
        reply = b"".join(packed)
        if procedure.is_final(result):
            replays.finish(entry, reply)
        else:
            replays.cancel(entry)
        return [reply]

    def _log(self, head: bytes, peer: Peer, reply: Parts, seconds: float) -> None:
        procedure = self._switchboard.procedure(head)
        name = "a call" if procedure is None else procedure.name
        size = sum(map(len, reply))
        LOGGER.debug("%s %s: %d bytes in %.0f us", peer.address, name, size, seconds * 1e6)


def _append(parts: Parts, reply: Parts) -> int:
    """Append a reply behind its record mark; returns the size of both."""
    size = len(reply[0]) if len(reply) == 1 else sum(map(len, reply))
    if size == 0:
        return 0
    parts.append(mark(size))
    parts += reply
    return 4 + size


def _system_error(head: bytes) -> bytes:
    """The reply to a call that failed in a way nobody expected."""
    return accepted("", SYSTEM_ERR).reply(head)
