"""One TCP connection: records in, replies out, in batches and within bounds.

All calls that one read brought are answered in place, and their replies leave
with one system call.  A call that would block goes to a thread and its reply
is sent when it is done, so replies may overtake each other (RFC 5531 lets them).

What a client does not take is not piled up: while too much is unsent, or too
many calls are under way in threads, further calls wait unread, at last in the
client's own socket buffer.  A client that does not go on for long is closed
(`overdue`; nfsd.net.connections asks).
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from time import monotonic_ns
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from nfsd.net.allowance import FOR_CLIENTS, FOR_STRANGERS, PROGRESS_BYTES, RECORD_MAX, Allowance
from nfsd.net.client_usage import Source
from nfsd.net.event_loop import READABLE, WRITABLE, Loop
from nfsd.net.offload import SlowCalls
from nfsd.net.pacing import pace_remote
from nfsd.net.receive_memory import Memory
from nfsd.net.send_queue import Unsent
from nfsd.net.tcp import begin, socket_cookie, unacknowledged_bytes
from nfsd.rpc.call_header import Peer
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.rpc.record import RecordReader
from nfsd.xdr.codec import Buffer, Parts
from overlay.base.errors import WouldBlock

BATCH_CALLS: Final = 64  # answered before other connections have their turn
_CLOCK_CALLS: Final = 8  # answered before it is looked whether the turn is over
_UNACKNOWLEDGED: Final = 32  # answers, after which it is asked whether they have arrived
_RECORD_BYTES: Final = 64  # that a call which waits takes besides its contents


class Connection:
    """Reads, answers and writes; lives on the event loop's thread alone."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        loop: Loop,
        slow_calls: SlowCalls,
        memory: Memory,
        closed: Callable[[Connection], None],
        linger: Callable[[socket.socket], None],
        begun: bytes = b"",
    ) -> None:
        """`begun`: what another worker has read of a call that is not complete.

        `linger` gets a socket on which nothing can be understood any more.  Nothing is
        read before `belong_to`.
        """
        (address, port), local = sock.getpeername()[:2], sock.getsockname()[0]
        self.peer = Peer(address, port, local, connection=socket_cookie(sock))
        self._sock, self.fd = sock, sock.fileno()
        self._receive = sock.recv_into
        self._dispatcher, self._slow_calls = dispatcher, slow_calls
        self._closed, self._linger = closed, linger
        self._loop = loop
        self._memory = memory
        self._spare = memory.spare
        self._reader = RecordReader(RECORD_MAX, memory.shared, memory.spare)
        self._waiting: deque[Buffer] = deque()  # calls that are not answered yet
        self._unsent = Unsent(sock)
        self._slow = self._slow_bytes = self.held = 0  # held: bytes of memory, as last counted
        self.source: Source | None = None
        self.allowance: Allowance = FOR_STRANGERS
        self.began = self.last_used = monotonic_ns()
        # Since when a record arrives; since when replies wait, and what had been taken then.
        self._arriving_since = self._owed_since = self._owed_mark = 0
        self._watched = 0  # events that the loop waits for
        self._is_scheduled = self._is_ending = self._is_closed = False
        self._heir: Callable[[socket.socket, bytes], None] | None = None
        begin(sock)
        pace_remote(sock)
        self._reader.resume(begun)

    def belong_to(self, source: Source, allowance: Allowance) -> None:
        """Read calls from now on, as one of a client's connections, within its allowance."""
        if self.source is not None:
            self.source.held -= self.held
        self.source = source
        source.held += self.held
        self.allowance = allowance
        self._reader.limit = allowance.record
        self.peer.is_stranger = not self.is_let_in
        if not self.is_let_in:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, allowance.unsent)
        self._go_on()

    @property
    def is_let_in(self) -> bool:
        """Return whether it is known that its client is let into an export."""
        return self.allowance is FOR_CLIENTS

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is under way: no call, no reply."""
        return not (self._waiting or self._unsent.size or self._slow)

    @property
    def is_working(self) -> bool:
        """Return whether it is our turn and not the client's: a call is under way in a thread."""
        return self._slow > 0

    @property
    def waits_since(self) -> int:
        """Return when the client last went on, on the monotonic clock."""
        return self._owed_since or self._arriving_since or self.last_used

    def finish(self) -> None:
        """Read no more, send what is owed, then close."""
        self._is_ending = True
        self._go_on()

    def hand_over(self, heir: Callable[[socket.socket, bytes], None]) -> None:
        """Read no more, send what is owed, then let `heir` have the socket.

        With it goes what has been read of a call that is not complete.  If this
        connection is to be closed meanwhile, it is.
        """
        if not self._is_ending:
            self._heir = heir
            self.finish()

    def close(self) -> None:
        """Close at once."""
        if not self._is_closed:
            self._let_go()
            self._sock.close()
            self._closed(self)

    def overdue(self, now: int) -> str:
        """Why it is to be closed now (by time.monotonic_ns), nothing if it is not.

        To be asked again and again: what is looked at is what changed since.
        """
        allowance = self.allowance
        if not self._unsent.size:
            self._owed_since = 0
        else:
            taken = self._unsent.taken - unacknowledged_bytes(self.fd)
            if not self._owed_since or taken - self._owed_mark >= PROGRESS_BYTES:
                self._owed_since, self._owed_mark = now, taken
            elif now - self._owed_since > allowance.progress:
                return "it does not take replies"
        if not self._reader.is_within or self._is_full:
            self._arriving_since = 0
        elif not self._arriving_since:
            self._arriving_since = now
        elif now - self._arriving_since > allowance.progress:
            return "it does not send the rest of a call"
        if allowance.silence and self.is_idle and now - self.last_used > allowance.silence:
            return "it is not let in, and asks nothing"
        if allowance.life and now - self.began > allowance.life:
            return "it is not let in, and stays"
        return ""

    def look_for_acknowledgement(self) -> None:
        """Note if the client's machine has acknowledged all that was answered.

        See nfsd.rpc.duplicate_cache.
        """
        is_all_sent = not (self._unsent.size or self._slow)
        if self.peer.sender.unacknowledged and is_all_sent and not unacknowledged_bytes(self.fd):
            self._dispatcher.acknowledged(self.peer)

    def resume(self) -> None:
        """Go on, if it does not, and what it had to wait for may be there."""
        if self.source is not None and not self._is_closed and not self._watched & READABLE:
            self._go_on()

    def _let_go(self) -> None:
        """Have nothing to do with the socket any more."""
        self.look_for_acknowledgement()
        self._dispatcher.ended(self.peer, is_over=not self._slow)
        self._is_closed = True
        self._watched = 0
        self._loop.forget(self.fd)
        for record in self._waiting:
            if isinstance(record, memoryview):
                self._spare.give_back(record)
        self._waiting.clear()
        self._reader.close()
        self._unsent.clear()
        self._account()

    def _account(self) -> None:
        """Count the memory that it holds now."""
        held = self._unsent.held + self._reader.held + self._slow_bytes
        if self._waiting:
            held += sum(map(len, self._waiting)) + _RECORD_BYTES * len(self._waiting)
        change = held - self.held
        if change:
            self.held = held
            self._memory.held += change
            if self.source is not None:
                self.source.held += change

    def _go_on(self) -> None:
        """See to it that what is left to do will be done."""
        if self._is_ending and self.is_idle:
            self._end()
        if self._is_closed:
            return
        self._account()
        self._watch()
        if self._waiting and not self._is_full:
            self._answer_later()

    def _answer_later(self) -> None:
        source = self.source
        if not self._is_scheduled and source is not None:
            self._is_scheduled = True
            if source.left > 0:
                self._loop.call_soon(self._take_turn)
            else:
                source.wait(self._take_turn)
                self._watch()

    def _take_turn(self) -> None:
        self._is_scheduled = False
        if self._is_closed:
            return
        if self._waiting:
            self._answer()
            return
        self._watch()
        if self._watched & READABLE:
            self._read(READABLE)

    def _end(self) -> None:
        """Close, or let the heir have what there is."""
        if self._heir is None or self._is_closed:
            self.close()
            return
        begun = self._reader.rest()
        self._let_go()
        self._heir(self._sock, begun)
        self._closed(self)

    def _watch(self) -> None:
        """Have the loop wait for calls, unless there shall be none, and until more can be sent."""
        source = self.source
        has_to_wait = source is None or (self._is_scheduled and source.left <= 0)
        events = 0 if self._is_ending or self._is_full or has_to_wait else READABLE
        if self._unsent.size:
            events |= WRITABLE
        if events == self._watched:
            return
        self._watched = events
        if events:
            self._loop.watch(self.fd, events, self._write if events & WRITABLE else self._read)
        else:
            self._loop.forget(self.fd)

    def _write(self, events: int) -> None:
        """Send what is unsent; the socket's other end, or an error, is found that way, too."""
        if events & ~READABLE:
            try:
                self._unsent.flush()
            except OSError:
                self.close()  # the client is gone
                return
            self._answer()
        if events & ~WRITABLE and self._watched & READABLE:
            self._read(events)

    def _read(self, _: int) -> None:
        """Take what has come, and answer it."""
        source = self.source
        if self._waiting or self._is_scheduled or source is None:
            return  # their turn comes first
        if source.renew() <= 0:
            self._answer_later()
            return
        buffer = self._reader.buffer()
        if len(buffer) > self.allowance.received:
            buffer = buffer[: self.allowance.received]
        begun = monotonic_ns() if self._arriving_since else 0
        try:
            count = self._receive(buffer)
        except BlockingIOError:
            return
        except OSError:
            self.close()  # the client is gone
            return
        if count == 0:
            self.finish()
            return
        records = self._reader.received(count)
        if self._reader.failure:
            self._fail()
        elif not records:
            self._arrive(begun)
            return
        self._arriving_since = 0
        self._waiting += records
        self._answer()

    def _arrive(self, begun: int) -> None:
        """Something of a record has arrived, but not all; `begun` is 0 if it is the first."""
        now = monotonic_ns()
        if begun and self.source is not None:
            self.source.spend(now - begun)
        self._arriving_since = self._arriving_since or now
        self._account()
        if self._memory.held > self._memory.budget:
            self._watch()

    def _fail(self) -> None:
        """Record that what comes can be followed no further."""
        if ONCE.first("record", self.peer.address):
            why = self._reader.failure
            LOGGER.warning("%s: connection closed: %s", self.peer.address, why)
        self._heir, self._is_ending = self._give_up, True

    def _give_up(self, sock: socket.socket, _: bytes) -> None:
        self._linger(sock)

    def _answer(self) -> None:
        """Answer calls that wait, a batch at most."""
        source = self.source
        assert source is not None
        if len(self.peer.sender.unacknowledged) >= _UNACKNOWLEDGED:
            self.look_for_acknowledgement()
        parts: Parts = []
        size = calls = 0
        self.last_used = begun = monotonic_ns()
        most = self.allowance.batch
        waiting, is_full = self._waiting, source.renew() <= 0 or self._is_full
        while waiting and calls < BATCH_CALLS and size < most and not is_full:
            calls += 1
            record = waiting.popleft()
            try:
                size += self._dispatcher.answer(record, self.peer, parts)
            except WouldBlock:
                self._give(record, begun)
                is_full = self._is_full
            else:
                if type(record) is memoryview:
                    self._spare.give_back(record)
            if calls % _CLOCK_CALLS == 0:
                is_full = is_full or source.is_over(monotonic_ns() - begun)
        self._dispatcher.answered(begun)
        if parts:
            self._send(parts, size)
        source.spend(monotonic_ns() - begun)
        is_quiet = not (waiting or self._unsent.size or self.held or self._slow)
        if self._watched != READABLE or not is_quiet or self._is_ending:
            self._go_on()

    @property
    def _is_full(self) -> bool:
        if self.source is None or self._slow >= self.allowance.slow:
            return True
        if self._unsent.held >= self.allowance.unsent:
            return True
        memory = self._memory
        return memory.held > memory.budget and memory.is_used_up(self.source)

    def _give(self, record: Buffer, begun: int) -> None:
        """Give a call that would block to a thread."""
        self._slow += 1
        self._slow_bytes += len(record)
        assert self.source is not None
        done = partial(self._slow_done, record)
        self._slow_calls.give(self.source.name, record, self.peer, begun, done)

    def _slow_done(self, record: Buffer, future: Future[Parts]) -> None:
        self._slow -= 1
        self._slow_bytes -= len(record)
        if isinstance(record, memoryview):
            self._spare.give_back(record)
        if self._is_closed:
            self._dispatcher.ended(self.peer, is_over=not self._slow)
            self._account()
            return
        if not future.cancelled():
            parts = future.result()
            self._send(parts, sum(map(len, parts)))
        self._answer()

    def _send(self, parts: Parts, size: int) -> None:
        """Send now what the socket takes, and the rest when it takes more."""
        try:
            self._unsent.send(parts, size)
        except OSError:
            self.close()  # the client is gone
