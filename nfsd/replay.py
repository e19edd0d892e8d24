"""The duplicate-request cache: a call that is sent again gets its first answer.

A client that hears nothing sends its call again, with the same xid, perhaps
over a new connection, perhaps to a server that was killed in between.  Done
twice, REMOVE would say ENOENT and MKDIR EEXIST.  So the reply to each call that
is not idempotent is kept in a file that is mapped into memory: what was stored
outlives the process, whatever kills it.

A call is entered before it is made.  Found entered but not answered, it is
under way in this process, and the repetition waits for the same answer, as the
first connection may be dead; or it was under way in a process that died, and
nobody knows how far it got.  It is then made again, and an error that only its
own success explains is that success (`Procedure.again`).

What was answered may be lost when the machine loses its power, unlike a write that
was answered as stable.  So an answer of an earlier epoch (another boot) is not
given again: that call's fate is unknown too.

A call is known by a digest of the client's address, without the port, and of the
whole record: xid, procedure, credentials and arguments.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
import threading
import time
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Final

from nfsd.xdr.codec import Buffer

SIZE: Final = 8 << 20  # bytes of the file
AGE_MAX: Final = 120 * 10**9  # nanoseconds; Linux gives a call up after about as long
WAIT: Final = 20.0  # seconds that a repetition waits for a call under way
_SLOT: Final = 512
_WAYS: Final = 8  # slots that one call may be in
_PROCESS_BITS: Final = 32  # of 64; above them is the epoch
_HEAD: Final = struct.Struct("<16sQQHH")  # digest, process, time, state, length
_REPLY_MAX: Final = _SLOT - _HEAD.size
_SETS: Final = SIZE // _SLOT // _WAYS
_FREE: Final = 0
_BEGUN: Final = 1
_DONE: Final = 2


class Fate(Enum):
    """What is known of a call."""

    NEW = "new"
    RUNNING = "running"  # in this process
    UNKNOWN = "unknown"  # begun by a process that died
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Entry:
    """A call's place in the cache; `reply` is its first answer, if there is one."""

    digest: bytes
    slot: int
    fate: Fate
    reply: bytes = b""


class ReplayCache:
    """Replies of one server, in a file of `SIZE` bytes.

    Processes that are forked from one share it; calls of one client reach one
    process after the other, so that only the choice of a slot needs a lock.
    """

    def __init__(self, fd: int, epoch: bytes = b"") -> None:
        """`epoch` is another when what was done before may be lost (overlay.verifier)."""
        if os.fstat(fd).st_size != SIZE:
            os.ftruncate(fd, 0)
            os.pwrite(fd, bytes(SIZE), 0)  # a hole would have to be filled under a client's call
        self._map = mmap.mmap(fd, SIZE)
        self._epoch = int.from_bytes(epoch[:4], "big") << _PROCESS_BITS
        self._process = self._epoch | secrets.randbits(_PROCESS_BITS)
        self._changed = threading.Condition(threading.RLock())

    def begin(self, address: str, record: Buffer) -> Entry:
        """Enter a call, unless it is known already."""
        digest = blake2b(address.encode() + b"\0" + record, digest_size=16).digest()
        first = int.from_bytes(digest[:4], "little") % _SETS * _WAYS
        now = time.time_ns()
        with self._changed:
            oldest, oldest_time = first, now + 1
            for slot in range(first, first + _WAYS):
                known, process, when, state, length = _HEAD.unpack_from(self._map, slot * _SLOT)
                if state == _FREE or not 0 <= now - when <= AGE_MAX:
                    when = 0
                elif known == digest:
                    return self._known(digest, slot, process, state, length)
                if when < oldest_time:
                    oldest, oldest_time = slot, when
            self._write(oldest, digest, _BEGUN, b"")
            return Entry(digest, oldest, Fate.NEW)

    def begin_after(self, address: str, record: Buffer) -> Entry:
        """As `begin`, once the call under way has its answer; it may take `WAIT` seconds."""
        deadline = time.monotonic() + WAIT
        with self._changed:
            entry = self.begin(address, record)
            while entry.fate is Fate.RUNNING and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
                entry = self.begin(address, record)
        return entry

    def _known(self, digest: bytes, slot: int, process: int, state: int, length: int) -> Entry:
        if state == _DONE and self._epoch == process >> _PROCESS_BITS << _PROCESS_BITS:
            begin = slot * _SLOT + _HEAD.size
            return Entry(digest, slot, Fate.DONE, self._map[begin : begin + length])
        if process == self._process:
            return Entry(digest, slot, Fate.RUNNING)
        self._write(slot, digest, _BEGUN, b"")
        return Entry(digest, slot, Fate.UNKNOWN)

    def finish(self, entry: Entry, reply: bytes) -> None:
        """Keep the answer to a call that was begun."""
        with self._changed:
            if len(reply) > _REPLY_MAX:
                self.cancel(entry)
            elif self._is_still(entry):
                self._write(entry.slot, entry.digest, _DONE, reply)
            self._changed.notify_all()

    def cancel(self, entry: Entry) -> None:
        """Forget a call that did nothing, so that it is made when it comes again."""
        with self._changed:
            if self._is_still(entry):
                self._write(entry.slot, bytes(16), _FREE, b"")
            self._changed.notify_all()

    def _is_still(self, entry: Entry) -> bool:
        begin = entry.slot * _SLOT
        return self._map[begin : begin + 16] == entry.digest

    def _write(self, slot: int, digest: bytes, state: int, reply: bytes) -> None:
        """Write a slot, the reply before the head that vouches for it."""
        begin = slot * _SLOT
        self._map[begin + _HEAD.size : begin + _HEAD.size + len(reply)] = reply
        now = time.time_ns()
        _HEAD.pack_into(self._map, begin, digest, self._process, now, state, len(reply))
