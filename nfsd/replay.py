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

A call is known by a digest of the client's address, without the port, and of the
whole record: xid, procedure, credentials and arguments.

The processes of a server share the file.  Entering a call is done under a lock
that goes with its holder; the place of a call that is under way then belongs to
the process that makes it, as long as that lives.
"""

from __future__ import annotations

import itertools
import mmap
import os
import secrets
import struct
import threading
import time
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
_LOOK: Final = 0.02  # seconds, after which it looks whether another process has done it
# The file begins with sets: each has the heads of the places that a call may be in,
# and the number of calls ever entered into it.  Behind them are the answers, in the
# order in which each process gave them, so that what is new lies together.
_WAYS: Final = 8
_HEAD: Final = struct.Struct("<16sQQQ")  # digest, process, time, and the word below
_HEAD_BYTES: Final = _HEAD.size
_PROCESS: Final = 2  # in words of 8 bytes, where in a head
_WORD: Final = 4
_COUNT: Final = _WAYS * _HEAD_BYTES
_SET: Final = 512
_SETS: Final = 2048
_LOCKS: Final = 64  # each for as many sets
_ANSWERS: Final = _SETS * _SET
_ROOM: Final = 448  # bytes for an answer and, before it, the digest of its call
_DIGEST: Final = 16
_REPLY_MAX: Final = _ROOM - _DIGEST
_ROOMS: Final = (SIZE - _ANSWERS) // _ROOM
# State; the answer's length and the number of its room; and its check, which vouches
# for it: in one word, so that it is written in one instant.
_STATE: Final = 0xF
_LENGTH_SHIFT: Final = 4
_ROOM_SHIFT: Final = 16
_CHECK_SHIFT: Final = 32
_PROCESS_BITS: Final = 32  # of 64; above them is the epoch
_FREE: Final = 0
_BEGUN: Final = 1
_DONE: Final = 2
_NOBODY: Final = (1 << 64) - 1  # no process has this number
_NOWHERE: Final = -1
# A copy of one that has been made costs a third of making one.
_new_hash: Final = blake2b(digest_size=_DIGEST).copy


class Fate(Enum):
    """What is known of a call."""

    NEW = "new"
    RUNNING = "running"  # in a process that lives
    UNKNOWN = "unknown"  # begun by a process that died
    DONE = "done"


class Entry:
    """A call's place in the cache, if it has one; `reply` is its first answer, if there is one."""

    __slots__ = ("digest", "fate", "place", "reply")

    def __init__(self, digest: bytes, place: int, fate: Fate, reply: bytes = b"") -> None:
        self.digest = digest
        self.place = place
        self.fate = fate
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

    def join(self, slot: int, seat: int = 0, seats: int = 1) -> None:
        """Be the process in this slot, from 0, which has a part of the rooms for answers.

        So do the others: this part is number `seat`, from 0, of so many.
        """
        self._process = self._living[slot] = self._new_number()
        rooms = _ROOMS // seats
        self._rooms = itertools.cycle(range(seat * rooms, (seat + 1) * rooms))

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

    def begin(self, address: str, record: Buffer) -> Entry:
        """Enter a call, unless it is known already."""
        return self._begin(_digest(address, record))

    def begin_after(self, address: str, record: Buffer) -> Entry:
        """As `begin`, once the call under way has its answer; it may take `WAIT` seconds."""
        digest = _digest(address, record)
        deadline = time.monotonic() + WAIT
        with self._changed:
            self._waiting += 1
            try:
                entry = self._begin(digest)
                while entry.fate is Fate.RUNNING and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(min(left, _LOOK))
                    entry = self._begin(digest)
            finally:
                self._waiting -= 1
        return entry

    def _begin(self, digest: bytes) -> Entry:
        group = (digest[0] | digest[1] << 8) % _SETS
        heads = group * _SET
        lock = self._locks[group % _LOCKS]
        lock.acquire()
        try:
            place = self._map.find(digest, heads, heads + _COUNT)
            if place < 0 or (place - heads) % _HEAD_BYTES:
                return self._enter(digest, self._free_place(heads), Fate.NEW)
            return self._again(digest, place)
        finally:
            lock.release()

    def _enter(self, digest: bytes, place: int, fate: Fate) -> Entry:
        """Say that a call is under way here."""
        if place != _NOWHERE:
            _HEAD.pack_into(self._map, place, digest, self._process, time.time_ns(), _BEGUN)
        return Entry(digest, place, fate)

    def _again(self, digest: bytes, place: int) -> Entry:
        """The entry of a call that has a place already."""
        _, process, when, word = _HEAD.unpack_from(self._map, place)
        if word & _STATE == _BEGUN and process in self._living:
            return Entry(digest, place, Fate.RUNNING)
        fate = Fate.NEW
        if word & _STATE != _FREE and 0 <= time.time_ns() - when <= AGE_MAX:
            fate, reply = self._answer(digest, word)
            if fate is Fate.DONE and process >> _PROCESS_BITS != self._epoch >> _PROCESS_BITS:
                fate = Fate.UNKNOWN
            if fate is Fate.DONE:
                return Entry(digest, place, fate, reply)
        return self._enter(digest, place, fate)

    def _free_place(self, heads: int) -> int:
        """The place that was taken longest ago, and not by a call under way."""
        words, count = self._words, (heads + _COUNT) // 8
        for _ in range(_WAYS):
            number = words[count]
            words[count] = number + 1
            place = heads + number % _WAYS * _HEAD_BYTES
            if words[place // 8 + _WORD] & _STATE != _BEGUN:
                return place
            if words[place // 8 + _PROCESS] not in self._living:
                return place
        return _NOWHERE

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
            room, written = next(self._rooms), entry.digest + reply
            begin = _ANSWERS + room * _ROOM
            self._map[begin : begin + _DIGEST + length] = written
            place = length << _LENGTH_SHIFT | room << _ROOM_SHIFT
            self._settle(entry.place, _DONE | place | crc32(written) << _CHECK_SHIFT)

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


def _digest(address: str, record: Buffer) -> bytes:
    made = _new_hash()
    made.update(address.encode() + b"\0")
    made.update(record)
    return made.digest()
