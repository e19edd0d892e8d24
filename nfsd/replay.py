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

What was answered may be lost when the machine loses its power, unlike a write that
was answered as stable.  So an answer of an earlier epoch (another boot) is not
given again: that call's fate is unknown too.

A call is known by a digest of the client's address (by UDP, its port too) and of the
whole record: xid, procedure, credentials and arguments.  Many clients begin with the same
xid, so an equal call from another connection is the same call only where the first
answer may be lost: the connection that it was sent on broke before the client's
machine had acknowledged it (TCP says so), or the process that answered died.  While that
connection stands and has not acknowledged, the equal call waits for either.

The processes of a server share the file.  Entering a call is done under a lock
that goes with its holder; the place of a call that is under way then belongs to
the process that makes it, as long as that lives.  A client that fills a set of places
takes its own before those of others.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Iterable
from enum import Enum
from hashlib import blake2b
from typing import Final
from zlib import crc32

from nfsd.xdr.codec import Buffer
from overlay.descriptor import Fd
from overlay.mutex import mutexes

SIZE: Final = 8 << 20  # bytes of the file
AGE_MAX: Final = 120 * 10**9  # nanoseconds; Linux gives a call up after about as long
WAIT: Final = 20.0  # seconds that a repetition waits for a call under way
# Seconds that it waits to hear whether the first answer has arrived.  Workers look twice in
# a second (nfsd.pulse); a client delays an acknowledgement by 0.2 s at most.
ACKNOWLEDGE_WAIT: Final = 2.0
_LOOK: Final = 0.02  # seconds, after which it looks whether another process has done it
# The file begins with sets: each has the heads of the places that a call may be in, the
# number of calls ever entered into it and, for each place, the connection and the client
# of its call.  Behind them are the answers, one for each place.
_WAYS: Final = 8
_HEAD: Final = struct.Struct("<16sQQQ")  # digest, process, time, and the word below
_HEAD_BYTES: Final = _HEAD.size
_PROCESS: Final = 2  # in words of 8 bytes, where in a head
_WORD: Final = 4
_COUNT: Final = _WAYS * _HEAD_BYTES
_CONNECTIONS: Final = _COUNT // 8 + 1  # in words, where in a set
_CLIENTS: Final = _CONNECTIONS + _WAYS
_SET: Final = 512
_SETS: Final = 2048
_LOCKS: Final = 64  # each for as many sets
_ANSWERS: Final = _SETS * _SET
_ROOM: Final = 448  # bytes for an answer and, before it, the digest of its call
_DIGEST: Final = 16
_REPLY_MAX: Final = _ROOM - _DIGEST
# State; the answer's length and the number of its room; and its check, which vouches
# for it: in one word, so that it is written in one instant.
_STATE: Final = 0xF
_LENGTH_SHIFT: Final = 4
_ROOM_SHIFT: Final = 16
_CHECK_SHIFT: Final = 32
_PROCESS_BITS: Final = 32  # of 64; above them is the epoch
_FREE: Final = 0
_BEGUN: Final = 1
_DONE: Final = 2  # answered on a connection that stands, as long as the process lives
_ACKNOWLEDGED: Final = 3  # the client's machine has the answer
_LOST: Final = 4  # the connection broke before it had
_NOBODY: Final = (1 << 64) - 1  # no process has this number
_NOWHERE: Final = -1
# A copy of one that has been made costs a third of making one.
_new_hash: Final = blake2b(digest_size=_DIGEST).copy


class Fate(Enum):
    """What is known of a call."""

    NEW = "new"
    RUNNING = "running"  # in a process that lives
    UNKNOWN = "unknown"  # begun by a process that died
    SENT = "sent"  # answered on another connection, which may still deliver the answer
    DONE = "done"


_PATIENCE: Final = {Fate.RUNNING: WAIT, Fate.SENT: ACKNOWLEDGE_WAIT}


class Entry:
    """A call's place in the cache, if it has one; `reply` is its first answer, if there is one."""

    __slots__ = ("connection", "digest", "fate", "place", "reply")

    def __init__(
        self, digest: bytes, place: int, fate: Fate, connection: int, reply: bytes = b""
    ) -> None:
        self.digest = digest
        self.place = place
        self.fate = fate
        self.connection = connection
        self.reply = reply


class ReplayCache:
    """Replies of one server, in a file of `SIZE` bytes; for so many processes forked from this."""

    def __init__(self, fd: Fd, processes: int = 1, epoch: bytes = b"") -> None:
        """`epoch` is another when what was done before may be lost (overlay.verifier)."""
        if os.fstat(fd).st_size != SIZE:
            os.ftruncate(fd, 0)
            os.pwrite(fd, bytes(SIZE), 0)  # a hole would have to be filled under a client's call
        self._map = mmap.mmap(fd, SIZE)
        self._epoch = int.from_bytes(epoch[:4], "big") << _PROCESS_BITS
        self._words = memoryview(self._map).cast("Q")
        self._living = memoryview(mmap.mmap(-1, 8 * processes)).cast("Q")  # by slot; 0: nobody
        self._locks = mutexes(_LOCKS)
        self._changed = threading.Condition()
        self._waiting = 0  # threads that wait for the answer to a call under way
        self.join(0)

    def join(self, slot: int) -> None:
        """Be the process in this slot, from 0."""
        self._process = self._living[slot] = self._new_number()

    def adopt(self, other: ReplayCache) -> None:
        """Have the answers and the epoch of another, and forget what is in this file.

        What is under way there is of unknown fate here.
        """
        self._map[:], self._epoch = other._map[:], other._epoch

    def _new_number(self) -> int:
        """A number that no process of this epoch has had, and that is not 0."""
        return self._epoch | secrets.randbits(_PROCESS_BITS - 1) + 1

    def died(self, slot: int) -> None:
        """The process in this slot has ended."""
        self._living[slot] = 0

    def begin(self, source: str, record: Buffer, connection: int = 0) -> Entry:
        """Enter a call, unless it is known already.

        `source` is the client's address, `connection` a number that no other connection
        of this boot has.
        """
        return self._begin(_Call(source, record, connection))

    def begin_after(self, source: str, record: Buffer, connection: int = 0) -> Entry:
        """As `begin`, once the call under way has its answer; it may take `WAIT` seconds.

        An answer that another connection may still deliver is waited for, too, for
        `ACKNOWLEDGE_WAIT` seconds; then it is taken for lost.
        """
        call = _Call(source, record, connection)
        begun = time.monotonic()
        with self._changed:
            self._waiting += 1
            try:
                entry = self._begin(call)
                while (left := begun + _PATIENCE.get(entry.fate, 0.0) - time.monotonic()) > 0:
                    self._changed.wait(min(left, _LOOK))
                    entry = self._begin(call)
                if entry.fate is Fate.SENT:
                    call.connection = entry.connection  # as if it had come on that
                    entry = self._begin(call)
            finally:
                self._waiting -= 1
        return entry

    def _begin(self, call: _Call) -> Entry:
        digest = call.digest
        group = (digest[0] | digest[1] << 8) % _SETS
        heads = group * _SET
        lock = self._locks[group % _LOCKS]
        lock.acquire()
        try:
            place = self._map.find(digest, heads, heads + _COUNT)
            if place < 0 or (place - heads) % _HEAD_BYTES:
                return self._enter(call, self._free_place(heads, call.client), Fate.NEW)
            return self._again(call, place)
        finally:
            lock.release()

    def _enter(self, call: _Call, place: int, fate: Fate) -> Entry:
        """Say that a call is under way here."""
        if place != _NOWHERE:
            head = call.digest, self._process, time.time_ns(), _BEGUN
            _HEAD.pack_into(self._map, place, *head)
            self._words[_beside(place, _CONNECTIONS)] = call.connection
            self._words[_beside(place, _CLIENTS)] = call.client
        return Entry(call.digest, place, fate, call.connection)

    def _again(self, call: _Call, place: int) -> Entry:
        """The entry of a call that has a place already."""
        digest, process, when, word = _HEAD.unpack_from(self._map, place)
        connection = self._words[_beside(place, _CONNECTIONS)]
        state = word & _STATE
        lives = process in self._living
        if state == _BEGUN and lives:
            return Entry(digest, place, Fate.RUNNING, connection)
        fate = Fate.NEW
        has_arrived = state == _ACKNOWLEDGED and connection != call.connection and lives
        if state != _FREE and not has_arrived and 0 <= time.time_ns() - when <= AGE_MAX:
            fate, reply = self._answer(digest, word)
            if fate is Fate.DONE and process >> _PROCESS_BITS != self._epoch >> _PROCESS_BITS:
                fate = Fate.UNKNOWN
            if fate is Fate.DONE:
                if state == _DONE and connection != call.connection and lives:
                    return Entry(digest, place, Fate.SENT, connection)
                self._words[place // 8 + _PROCESS] = self._process
                self._words[_beside(place, _CONNECTIONS)] = call.connection
                self._settle(place, word & ~_STATE | _DONE)
                return Entry(digest, place, fate, call.connection, reply)
        return self._enter(call, place, fate)

    def _free_place(self, heads: int, client: int) -> int:
        """A place for a call that has none: the one whose turn it is, if that costs nobody else."""
        words, count = self._words, (heads + _COUNT) // 8
        number = words[count]
        words[count] = number + 1
        place = heads + number % _WAYS * _HEAD_BYTES
        state = words[place // 8 + _WORD] & _STATE
        if state == _FREE:
            return place
        if state == _ACKNOWLEDGED and words[_beside(place, _CLIENTS)] == client:
            return place
        return self._least_wanted(heads)

    def _least_wanted(self, heads: int) -> int:
        """The place whose answer is the least likely to be asked for.

        One that is too old; else one that has arrived; else any, but of a call under way.
        Of several, the oldest of the client that has most places.
        """
        places, now = range(heads, heads + _COUNT, _HEAD_BYTES), time.time_ns()
        clients = [self._words[_beside(place, _CLIENTS)] for place in places]
        best, least = _NOWHERE, (3, 0, 0)
        for place, client in zip(places, clients, strict=True):
            _, process, when, word = _HEAD.unpack_from(self._map, place)
            state = word & _STATE
            if state == _BEGUN and process in self._living:
                continue
            kind = 1 if state == _ACKNOWLEDGED else 2
            if state == _FREE or not 0 <= now - when <= AGE_MAX:
                kind = 0
            wanted = kind, -clients.count(client), when
            if wanted < least:
                best, least = place, wanted
        return best

    def _answer(self, digest: bytes, word: int) -> tuple[Fate, bytes]:
        """What became of a call that is not under way, and its answer.

        A later answer may have taken the room of that; and a process may have died
        while it wrote it.
        """
        if word & _STATE == _BEGUN:
            return Fate.UNKNOWN, b""
        begin = _ANSWERS + (word >> _ROOM_SHIFT & 0xFFFF) * _ROOM
        written = self._map[begin : begin + _DIGEST + (word >> _LENGTH_SHIFT & 0xFFF)]
        if written[:_DIGEST] != digest:
            return Fate.NEW, b""
        if word >> _CHECK_SHIFT != crc32(written):
            return Fate.UNKNOWN, b""
        return Fate.DONE, written[_DIGEST:]

    def finish(self, entry: Entry, reply: bytes) -> None:
        """Keep the answer to a call that was begun."""
        length = len(reply)
        if length > _REPLY_MAX:
            self.cancel(entry)
        elif entry.place != _NOWHERE:
            room, written = _number(entry.place), entry.digest + reply
            begin = _ANSWERS + room * _ROOM
            self._map[begin : begin + _DIGEST + length] = written
            place = length << _LENGTH_SHIFT | room << _ROOM_SHIFT
            self._settle(entry.place, _DONE | place | crc32(written) << _CHECK_SHIFT)

    def acknowledged(self, entries: Iterable[Entry]) -> None:
        """The machine of the client has these answers: an equal call is another from now on.

        But for the connection that they were sent on: a call may have been sent again
        while its answer was on the way.
        """
        for entry in entries:
            self._know(entry, _ACKNOWLEDGED)

    def lost(self, entries: Iterable[Entry]) -> None:
        """The connection that these answers were sent on broke before they were acknowledged."""
        for entry in entries:
            self._know(entry, _LOST)

    def _know(self, entry: Entry, state: int) -> None:
        """Record what became of an answer, if it is kept and was not given again since."""
        place, words = entry.place, self._words
        if place == _NOWHERE:
            return
        lock = self._locks[place // _SET % _LOCKS]
        lock.acquire()
        try:
            word = words[place // 8 + _WORD]
            if (
                word & _STATE == _DONE
                and words[_beside(place, _CONNECTIONS)] == entry.connection
                and self._map[place : place + _DIGEST] == entry.digest
            ):
                self._settle(place, word & ~_STATE | state)
        finally:
            lock.release()

    def cancel(self, entry: Entry) -> None:
        """Forget a call that did nothing, so that it is made when it comes again.

        What a process that died may have done of it stays as unknown as it was.
        """
        if entry.place == _NOWHERE:
            return
        if entry.fate is Fate.UNKNOWN:
            self._words[entry.place // 8 + _PROCESS] = _NOBODY
            self._settle(entry.place, _BEGUN)
        else:
            self._settle(entry.place, _FREE)

    def _settle(self, place: int, word: int) -> None:
        self._words[place // 8 + _WORD] = word
        if self._waiting:
            with self._changed:
                self._changed.notify_all()


class _Call:
    """What a call is known by; whose it is, and the connection on which it came."""

    __slots__ = ("client", "connection", "digest")

    def __init__(self, source: str, record: Buffer, connection: int) -> None:
        address = source.encode()
        made = _new_hash()
        made.update(address + b"\0")
        made.update(record)
        self.digest: bytes = made.digest()
        self.client = crc32(address)
        self.connection = connection


def _number(place: int) -> int:
    """The number of a place, from 0."""
    return place // _SET * _WAYS + place % _SET // _HEAD_BYTES


def _beside(place: int, table: int) -> int:
    """The word of a place in one of the tables behind the heads of its set."""
    return place // _SET * (_SET // 8) + table + place % _SET // _HEAD_BYTES
