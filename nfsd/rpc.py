"""ONC RPC version 2 (RFC 5531) with no I/O: a record in, the reply's parts out.

The dispatcher knows programs only as tables.  A call that reads may be answered
by a reply that was kept (nfsd.kept); one that must not be made twice gets its
first answer again (nfsd.replay); any other is decoded, made and encoded.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Hashable, Iterable
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
from nfsd.kept import Kept, KeptReplies
from nfsd.log import LOGGER, ONCE, log_exception_once
from nfsd.program import Caller, Effect, Procedure, Program
from nfsd.replay import Fate, ReplayCache
from nfsd.xdr.codec import Buffer, Parts, XdrError, decode
from nfsd.xdr.rpc import AUTH_NONE, GARBAGE_ARGS, MSG_ACCEPTED, REPLY, SYSTEM_ERR
from overlay.blocking import may_block
from overlay.errors import WouldBlock
from overlay.generations import watched

# reply, accepted, verifier AUTH_NONE of no bytes, SUCCESS
_SUCCESS: Final = struct.pack(">5I", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, 0)


class Dispatcher:
    """Answers calls to any of `programs`; `room` is what kept replies may take, in bytes.

    `standing` is what a caller's machine may do (nfsd.calls).
    """

    def __init__(
        self,
        programs: Iterable[Program],
        replays: ReplayCache | None = None,
        room: int = 0,
        standing: Callable[[Caller], Hashable] = lambda _: None,
    ) -> None:
        self._switchboard = Switchboard(programs, standing)
        self._replays = replays
        self._kept = KeptReplies(room)
        self.trace = False

    def known(self, record: bytes, peer: Peer) -> Kept | None:
        """The reply to a call that was answered before, if it still holds."""
        at = header_size(record)
        route = peer.routes.get(record[4:at])
        if route is None or self.trace:
            return None
        return self._kept.get((route.questioner, record[at:]))

    def answer(self, record: Buffer, peer: Peer, parts: Parts, *, keep: bool = False) -> int:
        """Append the reply to the call in `record`, without a record mark; return its size.

        The size is 0 if there is nothing to say.  Raises only WouldBlock, and
        then has appended nothing.  `keep` is for one thread alone, and says
        that the reply may be asked for again by `known`.
        """
        head = record if type(record) is bytes else bytes(record[:HEADER_BYTES])
        begun = time.perf_counter() if self.trace else 0.0
        start = len(parts)
        try:
            route, at = self._switchboard.route(head, peer)
            keep = keep and Effect.LASTS in route.procedure.effect
            self._answer(route, at, record, parts, keep)
        except Refused as refused:
            if ONCE.first(peer.address, refused.body):
                LOGGER.warning("%s: a call is refused: %s", peer.address, refused)
            parts.append(refused.reply(head))
        except NoCallError as error:
            if ONCE.first(peer.address, NoCallError):
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

    def _answer(self, route: Route, at: int, record: Buffer, parts: Parts, keep: bool) -> None:
        """Answer a call whose arguments begin at `at`."""
        procedure, caller, _ = route
        try:
            arguments = decode(procedure.unpack, record, at)
        except XdrError as error:
            raise accepted(f"{procedure.name}: {error}", GARBAGE_ARGS) from error
        if procedure.again is not None and self._replays is not None:
            self._answer_once(self._replays, procedure, caller, arguments, record, parts)
        elif keep and type(record) is bytes:
            self._answer_and_keep(route, arguments, record, at, parts)
        else:
            parts.append(bytes(record[:4]) + _SUCCESS)
            procedure.pack(procedure.run(caller, arguments), parts)

    def _answer_and_keep(
        self,
        route: Route,
        arguments: Any,  # noqa: ANN401 - by procedure
        record: bytes,
        at: int,
        parts: Parts,
    ) -> None:
        """Answer a call that reads, and keep the reply (nfsd.kept)."""
        procedure, caller, questioner = route
        result, basis = watched(lambda: procedure.run(caller, arguments))
        packed: Parts = [_SUCCESS]
        procedure.pack(result, packed)
        body = b"".join(packed)
        parts += (record[:4], body)
        if procedure.is_lasting(result):
            self._kept.put((questioner, record[at:]), body, basis)

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

    def _log(self, head: bytes, peer: Peer, size: int, seconds: float) -> None:
        procedure = self._switchboard.procedure(head)
        name = "a call" if procedure is None else procedure.name
        LOGGER.debug("%s %s: %d bytes in %.0f us", peer.address, name, size, seconds * 1e6)


def system_error(head: bytes) -> bytes:
    """The reply to a call that failed in a way nobody expected."""
    return accepted("", SYSTEM_ERR).reply(head)
