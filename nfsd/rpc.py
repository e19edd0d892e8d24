"""ONC RPC version 2 (RFC 5531) with no I/O: a record in, the reply's record out.

The dispatcher knows programs only as tables.  A call that reads may be answered
by a reply that was kept (nfsd.kept); one that must not be made twice gets its
first answer again (nfsd.replay); any other is decoded, made and encoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from time import monotonic_ns
from typing import Any, Final, TypeAlias

from nfsd.calls import (
    HEADER_BYTES,
    NoCallError,
    Peer,
    Refused,
    Route,
    Switchboard,
    accepted,
    all_alike,
    header_size,
)
from nfsd.kept import KeptReplies
from nfsd.log import LOGGER, ONCE, log_exception_once
from nfsd.program import Caller, Program
from nfsd.record import mark
from nfsd.replay import ReplayCache
from nfsd.replay_entry import Fate
from nfsd.tally import Tally, kept_outcome, status_name
from nfsd.xdr.codec import Buffer, Parts, XdrError, decode
from nfsd.xdr.rpc import AUTH_NONE, GARBAGE_ARGS, MSG_ACCEPTED, REPLY, SYSTEM_ERR
from overlay.blocking import may_block
from overlay.cache import Room
from overlay.errors import WouldBlock
from overlay.generations import watched

# reply, accepted, verifier AUTH_NONE of no bytes, SUCCESS
_SUCCESS: Final = struct.pack(">5I", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, 0)
# A reply that must be given again has its status, the first of its results, behind that.
_STATUS_AT: Final = 4 + len(_SUCCESS)
_STATUS: Final = struct.Struct(">I")


# The reply to a call that was made, and what is counted of it: its status, and how many
# bytes of file contents were moved.
Made: TypeAlias = tuple[Parts, int, int]


class Dispatcher:
    """Answers calls to any of `programs`; replies are kept in `room`.

    `standing` is what a caller's machine may do (nfsd.calls); `tally` counts the calls.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        replays: ReplayCache | None = None,
        room: Room | None = None,
        standing: Callable[[Caller], Hashable] = all_alike,
        tally: Tally | None = None,
    ) -> None:
        self._tally = Tally() if tally is None else tally
        self._again = self._tally.loop.again
        # To be told of each batch that is answered, and when it began (time.monotonic_ns).
        self.answered = self._tally.loop.batch
        self._switchboard = Switchboard(programs, standing)
        self._replays = replays
        self._kept = KeptReplies(room or Room(0))
        self.trace = False

    def answer(self, record: Buffer, peer: Peer, parts: Parts) -> int:
        """Append the reply to a call, behind its record mark; return the size of both.

        The size is 0 if there is nothing to say.  Raises only WouldBlock, and
        then has appended nothing.  For one thread alone: others are to use
        `answer_waiting`.  After some calls it is to say that they are `answered`.
        """
        head = record if type(record) is bytes else bytes(record[:HEADER_BYTES])
        at = header_size(head)
        route = peer.routes.get(head[4:at])
        if route is not None and route.lasts and head is record and not self.trace:
            kept = self._kept.get((route.questioner, head[at:]))
            if kept is not None:
                parts += (kept.mark, head[:4], kept.body)
                self._again.append(kept.outcome)
                return kept.size
        return _append(parts, self._reply(record, head, at, route, peer, monotonic_ns(), keep=True))

    def answer_waiting(self, record: Buffer, peer: Peer, parts: Parts, begun: int) -> int:
        """As `answer` on a thread that may wait, for a call that would block elsewhere.

        `begun` is when it came, by time.monotonic_ns.
        """
        head = record if type(record) is bytes else bytes(record[:HEADER_BYTES])
        at = header_size(head)
        route = peer.routes.get(head[4:at])
        try:
            return _append(parts, self._reply(record, head, at, route, peer, begun, keep=False))
        except WouldBlock as error:
            log_exception_once("waiting", error)
            return _append(parts, [_system_error(head)])

    def _reply(
        self,
        record: Buffer,
        head: bytes,
        at: int,
        route: Route | None,
        peer: Peer,
        begun: int,
        *,
        keep: bool,
    ) -> Parts:
        """The reply to a call, made now; nothing if there is nothing to say.

        The call goes where its `route` says, if it is known, with arguments from `at` on.
        """
        try:
            if route is None:
                route, at = self._switchboard.examine(head, peer)
            reply, status, moved = self._make(route, at, record, peer, keep=keep)
        except WouldBlock:
            raise
        except Exception as error:
            return self._refuse(error, head, peer)
        nanoseconds = monotonic_ns() - begun
        if keep:
            self._tally.loop.count(route.first, status, nanoseconds, moved)
        else:
            self._tally.count_slow(route.first, status, nanoseconds, moved)
        if self.trace:
            arguments = decode(route.procedure.unpack, record, at)
            self._log(route, arguments, reply, status, nanoseconds)
        return reply

    def _refuse(self, error: Exception, head: bytes, peer: Peer) -> Parts:
        """The reply to a call that was not made, or in which something unexpected happened."""
        if isinstance(error, NoCallError):
            self._tally.refused("NOT_A_CALL")
            if ONCE.first("no call", peer.address):
                LOGGER.warning("%s: %s", peer.address, error)
            return []
        if not isinstance(error, Refused):
            log_exception_once("a call", error)
            error = accepted("", SYSTEM_ERR)
        elif ONCE.first("refused", peer.address, error.reason):
            LOGGER.warning("%s: a call is refused: %s", peer.address, error)
        self._tally.refused(error.reason)
        return [error.reply(head)]

    def _make(self, route: Route, at: int, record: Buffer, peer: Peer, *, keep: bool) -> Made:
        """Make a call whose arguments begin at `at`."""
        procedure = route.procedure
        try:
            arguments = decode(procedure.unpack, record, at)
        except XdrError as error:
            raise accepted(f"{procedure.name}: {error}", GARBAGE_ARGS) from error
        if procedure.again is not None and self._replays is not None:
            return self._make_once(self._replays, route, arguments, record, peer)
        if keep and route.lasts and type(record) is bytes:
            return self._make_and_keep(route, arguments, record, at)
        reply: Parts = [bytes(record[:4]) + _SUCCESS]
        result = procedure.run(route.caller, arguments)
        procedure.pack(result, reply)
        return reply, procedure.status(result), procedure.moved(result)

    def _make_and_keep(
        self,
        route: Route,
        arguments: Any,  # noqa: ANN401 - by procedure
        record: bytes,
        at: int,
    ) -> Made:
        """Make a call that reads, and keep the reply (nfsd.kept)."""
        procedure = route.procedure
        result, basis = watched(partial(procedure.run, route.caller, arguments))
        packed: Parts = [_SUCCESS]
        procedure.pack(result, packed)
        body = b"".join(packed)
        status = procedure.status(result)
        if procedure.is_lasting(result):
            outcome = kept_outcome(route.first, status)
            self._kept.keep((route.questioner, record[at:]), body, basis, outcome)
        return [record[:4], body], status, 0

    def _make_once(
        self,
        replays: ReplayCache,
        route: Route,
        arguments: Any,  # noqa: ANN401 - by procedure
        record: Buffer,
        peer: Peer,
    ) -> Made:
        """Make a call that must not be made twice (nfsd.replay)."""
        procedure = route.procedure
        entry, run = replays.begin(peer.sender, record), procedure.run
        if entry.fate is not Fate.NEW:
            if entry.fate is Fate.RUNNING or entry.fate is Fate.SENT:
                may_block()
                entry = replays.begin_after(peer.sender, record)
            if entry.fate is not Fate.NEW:
                self._tally.repeated(entry.fate)
            if entry.fate is Fate.DONE:
                return [entry.reply], _STATUS.unpack_from(entry.reply, _STATUS_AT)[0], 0
            if entry.fate is Fate.RUNNING:
                return [], 0, 0
            if entry.fate is Fate.UNKNOWN and procedure.again is not None:
                run = procedure.again
        packed: Parts = [bytes(record[:4]), _SUCCESS]
        try:
            result = run(route.caller, arguments)
            procedure.pack(result, packed)
        except BaseException:
            replays.cancel(entry)
            raise
        reply = b"".join(packed)
        if procedure.is_final(result):
            replays.finish(entry, reply)
        else:
            replays.cancel(entry)
        return [reply], procedure.status(result), 0

    def forget(self, peer: Peer) -> None:
        """The peer calls no more."""
        self._switchboard.forget(peer)

    def acknowledged(self, peer: Peer) -> None:
        """The machine of the client has acknowledged all answers of a connection."""
        if self._replays is not None:
            self._replays.acknowledged(peer.sender)

    def ended(self, peer: Peer, *, is_over: bool) -> None:
        """The connection is no more; `is_over`: nor are its calls in threads."""
        if self._replays is not None:
            self._replays.lost(peer.sender, is_over=is_over)
        self._switchboard.forget(peer)

    def _log(
        self,
        route: Route,
        arguments: Any,  # noqa: ANN401 - by procedure
        reply: Parts,
        status: int,
        nanoseconds: int,
    ) -> None:
        name = route.procedure.name.partition("_")[2]
        what = f"{name} {route.procedure.described(route.caller, arguments)}".rstrip()
        said, size = status_name(status), sum(map(len, reply))
        took, who = nanoseconds / 1000, route.caller.address
        LOGGER.debug("%s %s: %s, %d bytes in %.0f us", who, what, said, size, took)


def _append(parts: Parts, reply: Parts) -> int:
    """Append a reply behind its record mark; returns the size of both."""
    size = 0
    for part in reply:
        size += len(part)
    if size == 0:
        return 0
    parts.append(mark(size))
    parts += reply
    return 4 + size


def _system_error(head: bytes) -> bytes:
    """The reply to a call that failed in a way nobody expected."""
    return accepted("", SYSTEM_ERR).reply(head)
