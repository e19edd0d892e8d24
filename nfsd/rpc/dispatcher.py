"""ONC RPC version 2 (RFC 5531) with no I/O: a record in, the reply's record out.

The dispatcher knows programs only as tables.  A call that reads may be answered
by a cached reply (nfsd.rpc.reply_cache); one that must not be made twice gets its
first answer again (nfsd.rpc.duplicate_cache); any other is decoded, made and encoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from time import monotonic_ns
from typing import Final, TypeAlias

from nfsd.base.log import LOGGER, ONCE, log_exception_once
from nfsd.rpc.call_header import (
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
from nfsd.rpc.call_stats import CallStats, cached_outcome, status_name
from nfsd.rpc.duplicate_cache import DuplicateRequestCache
from nfsd.rpc.duplicate_entry import Fate
from nfsd.rpc.program import Caller, Program
from nfsd.rpc.record import mark
from nfsd.rpc.reply_cache import ReplyCache
from nfsd.xdr.codec import Buffer, Parts, XdrError, decode
from nfsd.xdr.generated.rpc import AUTH_NONE, GARBAGE_ARGS, MSG_ACCEPTED, REPLY, SYSTEM_ERR
from overlay.base.blocking import may_block
from overlay.base.errors import WouldBlock
from overlay.base.generations import watched
from overlay.base.lru import CacheBudget

# reply, accepted, verifier AUTH_NONE of no bytes, SUCCESS
_SUCCESS: Final = struct.pack(">5I", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, 0)
_RESULTS_AT: Final = 4 + len(_SUCCESS)  # where they begin in a reply, behind its xid


# The reply to a call that was made, and what is counted of it: its status, how many bytes
# of file contents were moved, and in which export.
Made: TypeAlias = tuple[Parts, int, int, int]


class Dispatcher:
    """Answers calls to any of `programs`; the reply cache shares `budget` with other caches.

    `standing` is what a caller's machine may do (nfsd.rpc.call_header); `stats` counts the calls.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        duplicates: DuplicateRequestCache | None = None,
        budget: CacheBudget | None = None,
        standing: Callable[[Caller], Hashable] = all_alike,
        stats: CallStats | None = None,
    ) -> None:
        self._stats = CallStats() if stats is None else stats
        self._cached = self._stats.loop.cached
        # To be told of each batch that is answered, and when it began (time.monotonic_ns).
        self.answered = self._stats.loop.batch
        self._switchboard = Switchboard(programs, standing)
        self._duplicates = duplicates
        self._reply_cache = ReplyCache(budget or CacheBudget(0))
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
        if route is not None and route.is_cacheable and head is record and not self.trace:
            cached = self._reply_cache.get((route.questioner, head[at:]))
            if cached is not None:
                parts += (cached.mark, head[:4], cached.body)
                self._cached.append(cached.outcome)
                return cached.size
        reply = self._reply(record, head, at, route, peer, monotonic_ns(), is_loop=True)
        return _append(parts, reply)

    def answer_waiting(self, record: Buffer, peer: Peer, parts: Parts, begun: int) -> int:
        """Do as `answer` on a thread that may wait, for a call that would block elsewhere.

        `begun` is when it came, by time.monotonic_ns.
        """
        head = record if type(record) is bytes else bytes(record[:HEADER_BYTES])
        at = header_size(head)
        route = peer.routes.get(head[4:at])
        try:
            return _append(parts, self._reply(record, head, at, route, peer, begun, is_loop=False))
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
        is_loop: bool,
    ) -> Parts:
        """Return the reply to a call, made now; nothing if there is nothing to say.

        The call goes where its `route` says, if it is known, with arguments from `at` on.
        """
        try:
            if route is None:
                route, at = self._switchboard.examine(head, peer)
            reply, status, moved, export = self._make(route, at, record, peer)
        except WouldBlock:
            raise
        except Exception as error:
            return self._refuse(error, head, peer)
        nanoseconds = monotonic_ns() - begun
        if is_loop:
            self._stats.loop.count(route.first, status, nanoseconds, moved, export)
        else:
            self._stats.count_slow(route.first, status, nanoseconds, moved, export)
        if self.trace:
            arguments = decode(route.procedure.unpack, record, at)
            self._log(route, arguments, reply, status, nanoseconds)
        return reply

    def _refuse(self, error: Exception, head: bytes, peer: Peer) -> Parts:
        """Return the reply to a call that was not made, or that failed unexpectedly."""
        if isinstance(error, NoCallError):
            self._stats.refused("NOT_A_CALL")
            if ONCE.first("no call", peer.address):
                LOGGER.warning("%s: %s", peer.address, error)
            return []
        if not isinstance(error, Refused):
            log_exception_once("a call", error)
            error = accepted("", SYSTEM_ERR)
        elif ONCE.first("refused", peer.address, error.reason):
            LOGGER.warning("%s: a call is refused: %s", peer.address, error)
        self._stats.refused(error.reason)
        return [error.reply(head)]

    def _make(self, route: Route, at: int, record: Buffer, peer: Peer) -> Made:
        """Make a call whose arguments begin at `at`."""
        procedure = route.procedure
        try:
            arguments = decode(procedure.unpack, record, at)
        except XdrError as error:
            raise accepted(f"{procedure.name}: {error}", GARBAGE_ARGS) from error
        if procedure.retry is not None and self._duplicates is not None:
            return self._make_once(self._duplicates, route, arguments, record, peer)
        if route.is_cacheable and type(record) is bytes:
            return self._make_and_keep(route, arguments, record, at)
        reply: Parts = [bytes(record[:4]) + _SUCCESS]
        result = procedure.run(route.caller, arguments)
        procedure.pack(result, reply)
        return reply, procedure.status(result), procedure.moved(result), procedure.export(arguments)

    def _make_and_keep(
        self,
        route: Route,
        arguments: object,
        record: bytes,
        at: int,
    ) -> Made:
        """Make a call that reads, and cache the reply (nfsd.rpc.reply_cache)."""
        procedure = route.procedure
        result, basis = watched(partial(procedure.run, route.caller, arguments))
        packed: Parts = [_SUCCESS]
        procedure.pack(result, packed)
        body = b"".join(packed)
        status, export = procedure.status(result), procedure.export(arguments)
        if procedure.is_cacheable is not None and procedure.is_cacheable(status):
            outcome = cached_outcome(route.first, status, export)
            self._reply_cache.add((route.questioner, record[at:]), body, basis, outcome)
        return [record[:4], body], status, 0, export

    def _make_once(
        self,
        duplicates: DuplicateRequestCache,
        route: Route,
        arguments: object,
        record: Buffer,
        peer: Peer,
    ) -> Made:
        """Make a call that must not be made twice (nfsd.rpc.duplicate_cache)."""
        procedure = route.procedure
        entry, run = duplicates.begin(peer.sender, record), procedure.run
        if entry.fate is not Fate.NEW:
            if entry.fate is Fate.RUNNING or entry.fate is Fate.SENT:
                may_block()
                entry = duplicates.begin_after(peer.sender, record)
            if entry.fate is not Fate.NEW:
                self._stats.repeated(entry.fate)
            if entry.fate is Fate.DONE:
                status = procedure.packed_status(entry.reply[_RESULTS_AT:])
                return [entry.reply], status, 0, procedure.export(arguments)
            if entry.fate is Fate.RUNNING:
                return [], 0, 0, procedure.export(arguments)
            if entry.fate is Fate.UNKNOWN and procedure.retry is not None:
                run = procedure.retry
        packed: Parts = [bytes(record[:4]), _SUCCESS]
        try:
            result = run(route.caller, arguments)
            procedure.pack(result, packed)
        except BaseException:
            duplicates.cancel(entry)
            raise
        reply, status = b"".join(packed), procedure.status(result)
        if procedure.is_final(status):
            duplicates.finish(entry, reply)
        else:
            duplicates.cancel(entry)
        return [reply], status, 0, procedure.export(arguments)

    def forget(self, peer: Peer) -> None:
        """Record that the peer calls no more."""
        self._switchboard.forget(peer)

    def acknowledged(self, peer: Peer) -> None:
        """Record that the machine of the client has acknowledged all answers of a connection."""
        if self._duplicates is not None:
            self._duplicates.acknowledged(peer.sender)

    def ended(self, peer: Peer, *, is_over: bool) -> None:
        """Record that the connection is no more; `is_over`: nor are its calls in threads."""
        if self._duplicates is not None:
            self._duplicates.lost(peer.sender, is_over=is_over)
        self._switchboard.forget(peer)

    def _log(
        self,
        route: Route,
        arguments: object,
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
    """Return the reply to a call that failed in a way nobody expected."""
    return accepted("", SYSTEM_ERR).reply(head)
