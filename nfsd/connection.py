"""One TCP connection: records in, replies out, in batches and within bounds.

All calls that one read brought are answered in place, and their replies leave
with one system call.  A call that would block goes to a thread and its reply
is sent when it is done, so replies may overtake each other (RFC 5531 lets them).

What a client does not take is not piled up: while too much is unsent, or too
many calls are under way in threads, further calls wait unread, at last in the
client's own socket buffer.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from itertools import islice, takewhile
from time import monotonic_ns
from typing import Final

from nfsd.calls import Peer
from nfsd.log import LOGGER, ONCE
from nfsd.loop import READABLE, WRITABLE, EventLoop
from nfsd.pacing import settle
from nfsd.record import RecordReader, SpareBuffers
from nfsd.rpc import Dispatcher
from nfsd.slow_calls import SlowCalls
from nfsd.tcp import socket_cookie, unacknowledged_bytes
from nfsd.xdr.codec import Buffer, Parts
from overlay.errors import WouldBlock
from overlay.page_cache import Pages

# A WRITE of 1 MiB with its header and arguments, and room to spare.
RECORD_MAX: Final = (1 << 20) + (64 << 10)
UNSENT_MAX: Final = 4 << 20  # bytes of replies that wait for the client to take them
SLOW_MAX: Final = 16  # calls of one connection under way in threads
BATCH_CALLS: Final = 64  # answered before other connections have their turn
BATCH_BYTES: Final = 1 << 20
JOIN_BYTES: Final = 64 << 10  # below this one copy is cheaper than a long vector
_SHARED_BYTES: Final = 64 << 10  # what one read takes of anything small
SPARE_BUFFERS: Final = 8  # for large records
_UNACKNOWLEDGED: Final = 32  # answers, after which it is asked whether they have arrived
VECTOR_MAX: Final = 512  # buffers in one system call, half of what Linux takes


class Memory:
    """Where all connections of one event loop put what they receive."""

    def __init__(self) -> None:
        self.shared = memoryview(bytearray(_SHARED_BYTES))
        self.spare = SpareBuffers(RECORD_MAX, SPARE_BUFFERS)


class Connection:
    """Reads, answers and writes; lives on the event loop's thread alone."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        loop: EventLoop,
        pool: Executor,
        memory: Memory,
        closed: Callable[[Connection], None],
        begun: bytes = b"",
    ) -> None:
        """`begun`: what another worker has read of a call that is not complete."""
        address, port = sock.getpeername()[:2]
        local = sock.getsockname()[0]
        self.peer = Peer(address, port, local, connection=socket_cookie(sock))
        self._sock = sock
        self._fd = sock.fileno()
        self._receive, self._transmit = sock.recv_into, sock.send
        self._dispatcher = dispatcher
        self._slow_calls = SlowCalls(dispatcher, loop, pool)
        self._closed = closed
        self._loop = loop
        self._spare = memory.spare
        self._reader = RecordReader(RECORD_MAX, memory.shared, memory.spare)
        self._reader.resume(begun)
        self._waiting: deque[Buffer] = deque()  # calls that are not answered yet
        self._unsent: deque[Buffer] = deque()
        self._unsent_bytes = 0
        self._slow = 0
        self.last_used = monotonic_ns()
        self._watched = 0  # events that the loop waits for
        self._is_scheduled = self._is_ending = self._is_closed = False
        self._heir: Callable[[socket.socket, bytes], None] | None = None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        settle(sock)
        self._watch()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: no call, no reply."""
        return not (self._waiting or self._unsent or self._slow)

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

    def look_for_acknowledgement(self) -> None:
        """Note if the client's machine has acknowledged all that was answered (nfsd.replay)."""
        is_all_sent = not (self._unsent or self._slow)
        if self.peer.unacknowledged and is_all_sent and not unacknowledged_bytes(self._fd):
            self._dispatcher.arrived(self.peer)

    def _let_go(self) -> None:
        """Have nothing to do with the socket any more."""
        self.look_for_acknowledgement()
        self._dispatcher.lost(self.peer)
        self._is_closed = True
        self._watched = 0
        self._loop.forget(self._fd)
        for record in self._waiting:
            if isinstance(record, memoryview):
                self._spare.give_back(record)
        self._waiting.clear()
        self._reader.close()
        self._unsent.clear()

    def _go_on(self) -> None:
        """See to it that what is left to do will be done."""
        if self._is_ending and self.is_idle:
            self._end()
        if self._is_closed:
            return
        self._watch()
        if self._waiting and not self._is_full and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._answer)

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
        events = 0 if self._is_ending or self._is_full else READABLE
        if self._unsent:
            events |= WRITABLE
        if events == self._watched:
            return
        self._watched = events
        if events:
            self._loop.watch(self._fd, events, self._write if events & WRITABLE else self._read)
        else:
            self._loop.forget(self._fd)

    def _write(self, events: int) -> None:
        """Send what is unsent; the socket's other end, or an error, is found that way, too."""
        if events & ~READABLE:
            self._flush()
            self._answer()
        if events & ~WRITABLE and self._watched & READABLE:
            self._read(events)

    def _read(self, _: int) -> None:
        """Take what has come, and answer it."""
        if self._waiting:
            return  # their turn comes first
        try:
            count = self._receive(self._reader.buffer())
        except BlockingIOError:
            return
        except OSError:
            self.close()  # the client is gone
            return
        if count == 0:
            self.finish()
            return
        self._waiting += self._reader.received(count)
        if self._reader.failure:
            if ONCE.first("record", self.peer.address):
                why = self._reader.failure
                LOGGER.warning("%s: connection closed: %s", self.peer.address, why)
            self._is_ending = True
        self._answer()

    def _answer(self) -> None:
        """Answer calls that wait, a batch at most."""
        self._is_scheduled = False
        if len(self.peer.unacknowledged) >= _UNACKNOWLEDGED:
            self.look_for_acknowledgement()
        parts: Parts = []
        size = calls = 0
        self.last_used = begun = monotonic_ns()
        waiting, is_full = self._waiting, self._is_full
        while waiting and calls < BATCH_CALLS and size < BATCH_BYTES and not is_full:
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
        self._dispatcher.answered(begun)
        if parts:
            self._send(parts, size)
        if self._watched != READABLE or waiting or self._unsent or self._slow or self._is_ending:
            self._go_on()

    @property
    def _is_full(self) -> bool:
        return self._slow >= SLOW_MAX or self._unsent_bytes >= UNSENT_MAX

    def _give(self, record: Buffer, begun: int) -> None:
        """Give a call that would block to a thread."""
        self._slow += 1
        self._slow_calls.give(record, self.peer, begun, partial(self._slow_done, record))

    def _slow_done(self, record: Buffer, future: Future[Parts]) -> None:
        self._slow -= 1
        if isinstance(record, memoryview):
            self._spare.give_back(record)
        if self._is_closed:
            self._dispatcher.lost(self.peer)
            return
        if not future.cancelled():
            parts = future.result()
            self._send(parts, sum(map(len, parts)))
        self._answer()

    def _send(self, parts: Parts, size: int) -> None:
        """Send now what the socket takes, and the rest when it takes more."""
        if not self._unsent and size < JOIN_BYTES:  # and so there are no Pages
            whole = b"".join(parts)
            try:
                sent = self._transmit(whole)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()  # the client is gone
                return
            if sent == size:
                return
            parts = [memoryview(whole)[sent:]]
            size -= sent
        self._unsent.extend(parts)
        self._unsent_bytes += size
        if not self._watched & WRITABLE:
            self._flush()

    def _flush(self) -> None:
        """Send until all is sent or the socket takes no more."""
        unsent = self._unsent
        while unsent:
            try:
                sent = self._send_unsent()
            except BlockingIOError:
                return
            except OSError:
                self.close()  # the client is gone
                return
            self._unsent_bytes -= sent
            while unsent and sent >= len(unsent[0]):
                sent -= len(unsent.popleft())
            if sent:
                unsent[0] = memoryview(unsent[0])[sent:]

    def _send_unsent(self) -> int:
        """Give the socket what it takes with one call."""
        first = self._unsent[0]
        pages = _pages(first)
        if pages is not None:
            sent = pages.send(self._fd, len(first))
            if sent:
                return sent
            self._unsent[0] = pages.again(len(first))
        buffers = [*islice(self._unsent, VECTOR_MAX)]
        if memoryview in map(type, buffers):
            buffers = [*takewhile(_is_memory, buffers)]
        more = socket.MSG_MORE if len(buffers) < len(self._unsent) else 0
        return self._sock.sendmsg(buffers, (), more)


def _is_memory(part: Buffer) -> bool:
    return _pages(part) is None


def _pages(part: Buffer) -> Pages | None:
    """What a part of a reply is sent from, if that is a file."""
    if isinstance(part, memoryview) and isinstance(part.obj, Pages):
        return part.obj
    return None
