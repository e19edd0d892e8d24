"""One connection to the server that is made again when it is lost.

A call whose answer did not come is sent again over the new connection with the
same xid, as the Linux client does, so that a server that remembers its answers
can give the first one.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Final

from nfsd.rpc.record import RecordReader, mark
from nfsd.torture.calls import Call, Task
from nfsd.xdr.codec import Buffer

_CONNECT_LIMIT: Final = 2.0
_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 0.5
_RECORD_LIMIT: Final = 4 << 20


class LostError(Exception):
    """The server did not come back, or left a call without an answer."""


@dataclass(slots=True, eq=False)
class Pending:
    """A call on its way."""

    call: Call
    task: Task
    group: object
    record: bytes = b""
    born: float = 0.0
    sent: float = 0.0
    resent: bool = False


class Channel:
    """One connection; `pending` are its calls without an answer, by xid."""

    def __init__(self, address: tuple[str, int], shared: memoryview) -> None:
        self.socket: socket.socket | None = None
        self.pending: dict[int, Pending] = {}
        self.retry_at = 0.0  # when the next try to connect is due
        self.losses = 0
        self._address = address
        self._shared = shared
        self._reader = RecordReader(_RECORD_LIMIT, shared)
        self._out = bytearray()
        self._wait = _FIRST_WAIT
        self._down_since = time.monotonic()

    def connect(self, patience: float) -> bool:
        """One try; sends again what is without an answer. Raises LostError in the end."""
        now = time.monotonic()
        try:
            sock = socket.create_connection(self._address, _CONNECT_LIMIT)
        except OSError as error:
            if now - self._down_since > patience:
                raise LostError(f"no connection for {patience:.0f} s: {error}") from error
            self.retry_at = now + self._wait
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            return False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.socket = sock
        self._reader = RecordReader(_RECORD_LIMIT, self._shared)
        self._out.clear()
        for each in self.pending.values():
            each.resent = True
            each.sent = now
            self._out += each.record
        return True

    def lose(self) -> None:
        """Record that the connection is of no more use."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
            self.losses += 1
        self._wait = _FIRST_WAIT
        self._down_since = time.monotonic()
        self.retry_at = self._down_since

    def put(self, xid: int, pending: Pending, message: bytes) -> None:
        """Queue one call."""
        pending.record = mark(len(message)) + message
        pending.sent = time.monotonic()
        self.pending[xid] = pending
        self._out += pending.record

    @property
    def up(self) -> bool:
        """Return whether there is a connection."""
        return self.socket is not None

    @property
    def unsent(self) -> bool:
        """Return whether bytes wait to be sent."""
        return bool(self._out)

    def flush(self) -> None:
        """Send what the connection takes; raises OSError when it is lost."""
        if self.socket is None or not self._out:
            return
        try:
            sent = self.socket.send(self._out)
        except BlockingIOError:
            return
        del self._out[:sent]

    def receive(self) -> list[Buffer]:
        """Return the records that have arrived; raises OSError when the connection is lost."""
        assert self.socket is not None
        try:
            count = self.socket.recv_into(self._reader.buffer())
        except BlockingIOError:
            return []
        if count == 0:
            raise ConnectionResetError("closed by the server")
        records = self._reader.received(count)
        if self._reader.failure:
            raise ConnectionResetError(self._reader.failure)
        return records
