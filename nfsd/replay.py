"""The duplicate-request cache: a call that is sent again gets its first answer.

A client that hears nothing sends its call again, with the same xid, perhaps
over a new connection, perhaps to a server that was killed in between.  Done
twice, REMOVE would say ENOENT and MKDIR EEXIST.  So the reply to each call that
is not idempotent is kept in a file that is mapped into memory: what was stored
outlives the process, whatever kills it.

A call is entered before it is made.  Found entered but not answered, it is
under way in a process of this server, and the repetition waits for the same
answer, as the first connection may be dead; or it was under way in a process
that died, and nobody knows how far it got.  It is then made again, and an error
that only its own success explains is that success (`Procedure.again`).

A call is known by a digest of the client's address, without the port, and of the
whole record: xid, procedure, credentials and arguments.

The processes of a server share the file.  Entering a call is done under a lock
that goes with its holder; the place of a call that is under way then belongs to
the process that makes it, as long as that lives.
"""

from __future__ import annotations

import fcntl
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
from zlib import crc32

from nfsd.xdr.codec import Buffer

SIZE: Final = 8 << 20  # bytes of the file
AGE_MAX: Final = 120 * 10**9  # nanoseconds; Linux gives a call up after about as long
WAIT: Final = 20.0  # seconds that a repetition waits for a call under way
_LOOK: Final = 0.02  # seconds, after which it looks whether another process has done it
_SLOT: Final = 512
_WAYS: Final = 8  # slots that one call may be in
# digest, process, time, state, length of the reply and its check, which vouches for it
_HEAD: Final = struct.Struct("<16sQQHHI")
_REPLY_MAX: Final = _SLOT - _HEAD.size
_SETS: Final = SIZE // _SLOT // _WAYS
_FREE: Final = 0
_BEGUN: Final = 1
_DONE: Final = 2
_NOWHERE: Final = -1


class Fate(Enum):
    """What is known of a call."""

    NEW = "new"
    RUNNING = "running"  # in a process that lives
    UNKNOWN = "unknown"  # begun by a process that died
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Entry:
    """A call's place in the cache, if it has one; `reply` is its first answer, if there is one."""

    digest: bytes
    slot: int
    fate: Fate
    reply: bytes = b""


class ReplayCache:
    """Replies of one server, in a file of `SIZE` bytes; for so many processes forked from this."""

    def __init__(self, fd: int, processes: int = 1) -> None:
        if os.fstat(fd).st_size != SIZE:
            os.ftruncate(fd, 0)
            os.pwrite(fd, bytes(SIZE), 0)  # a hole would have to be filled under a client's call
        self._fd = fd
        self._map = mmap.mmap(fd, SIZE)
        self._is_shared = processes > 1
        self._living = memoryview(mmap.mmap(-1, 8 * processes)).cast("Q")  # by slot; 0: nobody
        self._changed = threading.Condition(threading.RLock())
        self.join(0)

    def join(self, slot: int) -> None:
        """Be the process in this slot, from 0."""
        self._process = self._living[slot] = secrets.randbits(63) + 1

    def died(self, slot: int) -> None:
        """The process in this slot has ended."""
        self._living[slot] = 0

    def begin(self, address: str, record: Buffer) -> Entry:
        """Enter a call, unless it is known already."""
        digest = blake2b(address.encode() + b"\0" + record, digest_size=16).digest()
        group = int.from_bytes(digest[:4], "little") % _SETS
        with self._changed:
            if not self._is_shared:
                return self._begin(digest, group * _WAYS)
            # A lock of the process, not inherited, and held for some microseconds.
            fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, group)
            try:
                return self._begin(digest, group * _WAYS)
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, group)

    def _begin(self, digest: bytes, first: int) -> Entry:
        now = time.time_ns()
        oldest, oldest_time = _NOWHERE, now + 1
        for slot in range(first, first + _WAYS):
            known, process, when, state, length, check = _HEAD.unpack_from(self._map, slot * _SLOT)
            runs = state == _BEGUN and process in self._living
            lasts = runs or (state != _FREE and 0 <= now - when <= AGE_MAX)
            if lasts and known == digest:
                reply = self._reply(slot, length, check) if state == _DONE else None
                return self._known(digest, slot, process, reply)
            if not lasts:
                when = 0
            if not runs and when < oldest_time:
                oldest, oldest_time = slot, when
        if oldest != _NOWHERE:
            self._write(oldest, digest, _BEGUN, b"")
        return Entry(digest, oldest, Fate.NEW)

    def begin_after(self, address: str, record: Buffer) -> Entry:
        """As `begin`, once the call under way has its answer; it may take `WAIT` seconds."""
        deadline = time.monotonic() + WAIT
        with self._changed:
            entry = self.begin(address, record)
            while entry.fate is Fate.RUNNING and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, _LOOK))
                entry = self.begin(address, record)
        return entry

    def _reply(self, slot: int, length: int, check: int) -> bytes | None:
        """The answer in a slot; None if it is just being written, or was when its process died."""
        begin = slot * _SLOT + _HEAD.size
        reply = self._map[begin : begin + min(length, _REPLY_MAX)]
        return reply if crc32(reply) == check else None

    def _known(self, digest: bytes, slot: int, process: int, reply: bytes | None) -> Entry:
        if reply is not None:
            return Entry(digest, slot, Fate.DONE, reply)
        if process in self._living:
            return Entry(digest, slot, Fate.RUNNING)
        self._write(slot, digest, _BEGUN, b"")
        return Entry(digest, slot, Fate.UNKNOWN)

    def finish(self, entry: Entry, reply: bytes) -> None:
        """Keep the answer to a call that was begun."""
        if len(reply) > _REPLY_MAX:
            self.cancel(entry)
            return
        with self._changed:
            if entry.slot != _NOWHERE:
                self._write(entry.slot, entry.digest, _DONE, reply)
            self._changed.notify_all()

    def cancel(self, entry: Entry) -> None:
        """Forget a call that did nothing, so that it is made when it comes again."""
        with self._changed:
            if entry.slot != _NOWHERE:
                self._write(entry.slot, bytes(16), _FREE, b"")
            self._changed.notify_all()

    def _write(self, slot: int, digest: bytes, state: int, reply: bytes) -> None:
        """Write a slot, the reply before the head that vouches for it."""
        begin = slot * _SLOT
        self._map[begin + _HEAD.size : begin + _HEAD.size + len(reply)] = reply
        now, check = time.time_ns(), crc32(reply)
        _HEAD.pack_into(self._map, begin, digest, self._process, now, state, len(reply), check)
