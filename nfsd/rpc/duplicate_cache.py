"""The duplicate request cache: a call that is sent again gets its first answer.

A client that hears nothing sends its call again, with the same xid, perhaps
over a new connection, perhaps to a server that was killed in between.  Done
twice, REMOVE would say ENOENT and MKDIR EEXIST.  So the reply to each call that
is not idempotent is kept in memory that a file keeps: what was stored outlives the
process, whatever kills it.

A call is entered before it is made.  Found entered but not answered, it is
under way in a process of this server, and the repetition waits for the same
answer, as the first connection may be dead; or it was under way in a process
that died, and nobody knows how far it got.  It is then made again, and an error
that only its own success explains is that success (`Procedure.retry`).

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
that goes with its holder; the slot of a call that is under way then belongs to
the process that makes it, as long as that lives.  A client that fills a set of slots
takes its own before those of others.

Each connection numbers the calls that are entered on it.  How far its client has acknowledged
their answers is one number (nfsd.rpc.acknowledged), so nothing is written for each of them.
"""

from __future__ import annotations

import secrets
import struct
import threading
import time
from typing import Final
from zlib import crc32

from index.linux.fd import Fd
from index.linux.mapped_file import FileBackedMemory
from index.linux.robust_mutex import mutexes
from nfsd.rpc.acknowledged import Acknowledged
from nfsd.rpc.duplicate_entry import DIGEST, NUMBERS, Entry, Fate, Sender
from nfsd.rpc.living import Living
from nfsd.xdr.codec import Buffer

SIZE: Final = 8 << 20  # bytes of the file
AGE_MAX: Final = 120 * 10**9  # nanoseconds; Linux gives a call up after about as long
WAIT: Final = 20.0  # seconds that a repetition waits for a call under way
# To hear whether the first answer has arrived: workers look twice in a second, and a client
# delays an acknowledgement by 0.2 s at most.
ACKNOWLEDGE_WAIT: Final = 2.0
_LOOK: Final = 0.02  # seconds, after which it looks whether another process has done it
# The file begins with sets: each has the heads of the slots that a call may be in, the
# number of a slot to be tried first and, for each, the sender of its call.  Behind them are the
# answers, one for each slot.
_WAYS: Final = 8
_HEAD: Final = struct.Struct("<16sQQQ")  # digest, process, time, and the word below
_HEAD_BYTES: Final = _HEAD.size
_PROCESS: Final = 2  # in words of 8 bytes, where in a head
_TIME: Final = 3
_WORD: Final = 4
_COUNT: Final = _WAYS * _HEAD_BYTES
# A connection, the number of the call on it, the connection's slot and its client.
_SENDER: Final = struct.Struct("<QIHH")
_SENDERS: Final = _COUNT + 8
_SET: Final = 512
_SETS: Final = 2048
_LOCKS: Final = 64  # each for as many sets
_ANSWERS: Final = _SETS * _SET
_AREA: Final = 448  # bytes for an answer and, before it, the digest of its call
_REPLY_MAX: Final = _AREA - DIGEST
# State; the answer's length and the number of its area; and its check, which vouches
# for it: in one word, so that it is written in one instant.
_STATE: Final = 0xF
_LENGTH_SHIFT: Final = 4
_AREA_SHIFT: Final = 16
_CHECK_SHIFT: Final = 32
_PROCESS_BITS: Final = 32  # of 64; above them is the epoch
_FREE: Final = 0
_BEGUN: Final = 1
_DONE: Final = 2  # answered; while the process lives, nfsd.rpc.acknowledged says whether it arrived
_LOST: Final = 3  # the connection broke before the client's machine had the answer
_NOBODY: Final = (1 << 64) - 1  # no process has this number
_NOWHERE: Final = -1
_PATIENCE: Final = {Fate.RUNNING: WAIT, Fate.SENT: ACKNOWLEDGE_WAIT}


class DuplicateRequestCache:
    """Replies of one server, in a file of `SIZE` bytes; for so many processes forked from this."""

    def __init__(self, fd: Fd, processes: int = 1, epoch: bytes = b"") -> None:
        """`epoch` is another when what was done may be lost (overlay.model.write_verifier)."""
        self._memory = FileBackedMemory(fd, SIZE)
        self._map: Final = self._memory.map
        self._epoch = int.from_bytes(epoch[:4], "big") << _PROCESS_BITS
        self._words = memoryview(self._map).cast("Q")
        self._living = Living(processes)
        self._locks = mutexes(_LOCKS)
        self._acknowledged = Acknowledged(processes)
        # Taken before the lock of a set, never while one is held.
        self._changed = threading.Condition()
        self._waiting = 0  # threads that wait for the answer to a call under way
        self._sort_answers()
        self.join(0)

    def _sort_answers(self) -> None:
        """Put each answer where that of its slot belongs.

        An earlier version had them in the order in which they were given: there they would
        be overwritten before their time.
        """
        moved: list[tuple[int, bytes]] = []
        for heads in range(0, _ANSWERS, _SET):
            for slot in range(heads, heads + _COUNT, _HEAD_BYTES):
                word = self._words[slot // 8 + _WORD]
                area = word >> _AREA_SHIFT & 0xFFFF
                if word & _STATE == _DONE and area != _area_of(slot):
                    begin = _ANSWERS + area * _AREA
                    moved.append((slot, self._map[begin : begin + _AREA]))
        for slot, answer in moved:
            area = _area_of(slot)
            begin = _ANSWERS + area * _AREA
            self._map[begin : begin + _AREA] = answer
            at = slot // 8 + _WORD
            self._words[at] = self._words[at] & ~(0xFFFF << _AREA_SHIFT) | area << _AREA_SHIFT
        if moved:
            self._memory.save(0, SIZE)

    def join(self, worker_slot: int) -> None:
        """Be the process in this slot, from 0."""
        self._process = self._new_number()
        self._living.join(worker_slot, self._process)
        self._acknowledged.join(worker_slot)

    def adopt(self, other: DuplicateRequestCache) -> None:
        """Have the answers and the epoch of another, and forget what is in this file.

        What is under way there is of unknown fate here.
        """
        self._map[:], self._epoch = other._map[:], other._epoch
        self._memory.save(0, SIZE)

    def _new_number(self) -> int:
        """Return a number that no process of this epoch has had, and that is not 0."""
        return self._epoch | secrets.randbits(_PROCESS_BITS - 1) + 1

    def died(self, worker_slot: int) -> None:
        """Record that the process in this slot has ended."""
        self._living.died(worker_slot)

    def begin(self, sender: Sender, record: Buffer) -> Entry:
        """Enter a call, unless it is known already."""
        made = sender.new_hash()
        made.update(record)
        return self._begin(sender, made.digest())

    def begin_after(self, sender: Sender, record: Buffer) -> Entry:
        """Do as `begin`, once the call under way has its answer; it may take `WAIT` seconds.

        An answer that another connection may still deliver is waited for, too, for
        `ACKNOWLEDGE_WAIT` seconds; then it is taken for lost.
        """
        begun = time.monotonic()
        with self._changed:
            self._waiting += 1
            try:
                entry = self.begin(sender, record)
                digest = entry.digest
                while (left := begun + _PATIENCE.get(entry.fate, 0.0) - time.monotonic()) > 0:
                    self._changed.wait(min(left, _LOOK))
                    entry = self._begin(sender, digest)
                if entry.fate is Fate.SENT:
                    entry = self._begin(sender, digest, is_lost=True)
            finally:
                self._waiting -= 1
        return entry

    def _begin(self, sender: Sender, digest: bytes, *, is_lost: bool = False) -> Entry:
        group = (digest[0] | digest[1] << 8) % _SETS
        heads = group * _SET
        lock = self._locks[group % _LOCKS]
        lock.acquire()
        try:
            slot = self._map.find(digest, heads, heads + _COUNT)
            if slot < 0 or (slot - heads) % _HEAD_BYTES:
                slot = self._free_slot(heads, sender)
                return self._enter(sender, digest, slot, Fate.NEW)
            return self._find_entered(sender, slot, is_lost=is_lost)
        finally:
            lock.release()

    def _enter(self, sender: Sender, digest: bytes, slot: int, fate: Fate) -> Entry:
        """Say that a call is under way here."""
        if slot != _NOWHERE:
            self._sent_by(sender, slot)
            _HEAD.pack_into(self._map, slot, digest, self._process, time.time_ns(), _BEGUN)
            self._memory.save(slot, slot + _HEAD_BYTES)
        return Entry(digest, slot, fate, sender)

    def _sent_by(self, sender: Sender, slot: int) -> None:
        """Number the call in a slot on the connection that it came on."""
        if not sender.ack_slot and sender.connection:
            sender.ack_slot = self._acknowledged.begin(sender.connection)
        sender.entered = number = (sender.entered + 1) % NUMBERS
        at = _sender_of(slot)
        _SENDER.pack_into(self._map, at, sender.connection, number, sender.ack_slot, sender.client)

    def _find_entered(self, sender: Sender, slot: int, *, is_lost: bool) -> Entry:
        """Return the entry of a call that has a slot; `is_lost`: no answer arrives any more."""
        digest, process, when, word = _HEAD.unpack_from(self._map, slot)
        connection, number, ack_slot, _ = _SENDER.unpack_from(self._map, _sender_of(slot))
        state = word & _STATE
        lives = self._living.has(process)
        if state == _BEGUN and lives:
            return Entry(digest, slot, Fate.RUNNING, sender)
        may_arrive = state == _DONE and lives and connection != sender.connection
        has_arrived = may_arrive and self._acknowledged.has(connection, number, ack_slot)
        fate = Fate.NEW
        if state != _FREE and not has_arrived and 0 <= time.time_ns() - when <= AGE_MAX:
            fate, reply = self._answer(digest, word)
            if fate is Fate.DONE and process >> _PROCESS_BITS != self._epoch >> _PROCESS_BITS:
                fate = Fate.UNKNOWN
            if fate is Fate.DONE:
                if may_arrive and not is_lost:
                    return Entry(digest, slot, Fate.SENT, sender)
                self._words[slot // 8 + _PROCESS] = self._process
                self._sent_by(sender, slot)
                self._set_word(slot, word & ~_STATE | _DONE)
                entry = Entry(digest, slot, fate, sender, reply)
                if sender.connection:
                    sender.unacknowledged.append(entry)
                return entry
        return self._enter(sender, digest, slot, fate)

    def _free_slot(self, heads: int, sender: Sender) -> int:
        """Return a slot for a call that has none, one that costs nobody else if there is any.

        The last that was such a one is tried first: each call would pass those of others again.
        """
        words, last = self._words, (heads + _COUNT) // 8
        for number in range(words[last], words[last] + _WAYS):
            slot = heads + number % _WAYS * _HEAD_BYTES
            state = words[slot // 8 + _WORD] & _STATE
            if state == _FREE or (state == _DONE and self._is_unwanted(slot, sender)):
                words[last] = number % _WAYS
                return slot
        return self._least_wanted(heads)

    def _is_unwanted(self, slot: int, sender: Sender) -> bool:
        """Return whether an answer is one to the same client that has arrived, or is too old."""
        connection, number, ack_slot, client = _SENDER.unpack_from(self._map, _sender_of(slot))
        if sender.has_taken(connection, number):
            return True
        is_own = client == sender.client and self._living.has(self._words[slot // 8 + _PROCESS])
        is_old = not 0 <= time.time_ns() - self._words[slot // 8 + _TIME] <= AGE_MAX
        return is_old or (is_own and self._acknowledged.has(connection, number, ack_slot))

    def _least_wanted(self, heads: int) -> int:
        """Return the slot whose answer is the least likely to be asked for.

        One that is too old; else one that has arrived; else any, but of a call under way.
        Of several, the oldest of the client that has most slots.
        """
        slots, now = range(heads, heads + _COUNT, _HEAD_BYTES), time.time_ns()
        senders = [_SENDER.unpack_from(self._map, _sender_of(slot)) for slot in slots]
        clients = [client for _, _, _, client in senders]
        best, least = _NOWHERE, (3, 0, 0)
        for slot, (connection, call, ack_slot, client) in zip(slots, senders, strict=True):
            _, process, when, word = _HEAD.unpack_from(self._map, slot)
            state = word & _STATE
            lives = self._living.has(process)
            if state == _BEGUN and lives:
                continue
            has_arrived = state == _DONE and lives
            kind = 1 if has_arrived and self._acknowledged.has(connection, call, ack_slot) else 2
            if state == _FREE or not 0 <= now - when <= AGE_MAX:
                kind = 0
            wanted = kind, -clients.count(client), when
            if wanted < least:
                best, least = slot, wanted
        return best

    def _answer(self, digest: bytes, word: int) -> tuple[Fate, bytes]:
        """Return what became of a call that is not under way, and its answer.

        A later answer may have taken the area of that; and a process may have died
        while it wrote it.
        """
        if word & _STATE == _BEGUN:
            return Fate.UNKNOWN, b""
        begin = _ANSWERS + (word >> _AREA_SHIFT & 0xFFFF) * _AREA
        written = self._map[begin : begin + DIGEST + (word >> _LENGTH_SHIFT & 0xFFF)]
        if written[:DIGEST] != digest:
            return Fate.NEW, b""
        if word >> _CHECK_SHIFT != crc32(written):
            return Fate.UNKNOWN, b""
        return Fate.DONE, written[DIGEST:]

    def finish(self, entry: Entry, reply: bytes) -> None:
        """Keep the answer to a call that was begun."""
        length, slot = len(reply), entry.slot
        if length > _REPLY_MAX:
            self.cancel(entry)
        elif slot != _NOWHERE:
            area = _area_of(slot)
            written = entry.digest + reply
            begin = _ANSWERS + area * _AREA
            self._map[begin : begin + DIGEST + length] = written
            self._memory.save(begin, begin + DIGEST + length)
            sender = entry.sender
            if sender.connection:
                sender.unacknowledged.append(entry)
            where = length << _LENGTH_SHIFT | area << _AREA_SHIFT
            self._set_word(slot, _DONE | where | crc32(written) << _CHECK_SHIFT)
            self._tell()

    def acknowledged(self, sender: Sender) -> None:
        """The machine of the client has all answers: an equal call is another from now on.

        But for the connection that they were sent on: a call may have been sent again
        while its answer was on the way.  No call of the connection may be under way.
        """
        sender.unacknowledged.clear()
        sender.arrived = sender.entered
        if sender.ack_slot:
            self._acknowledged.put(sender.ack_slot, sender.entered)
        self._tell()

    def lost(self, sender: Sender, *, is_over: bool) -> None:
        """Record that the connection is no more, and these answers were not acknowledged.

        `is_over`: none of its calls is under way in a thread.
        """
        while sender.unacknowledged:
            self._lose(sender.unacknowledged.pop())
        self._tell()
        if is_over and sender.ack_slot:
            self._acknowledged.end(sender.ack_slot)
            sender.ack_slot = 0

    def _lose(self, entry: Entry) -> None:
        """Record that an answer was lost, if it is kept and was not given again since."""
        slot = entry.slot
        lock = self._locks[slot // _SET % _LOCKS]
        lock.acquire()
        try:
            word = self._words[slot // 8 + _WORD]
            if (
                word & _STATE == _DONE
                and self._words[_sender_of(slot) // 8] == entry.sender.connection
                and self._map[slot : slot + DIGEST] == entry.digest
            ):
                self._set_word(slot, word & ~_STATE | _LOST)
        finally:
            lock.release()

    def cancel(self, entry: Entry) -> None:
        """Forget a call that did nothing, so that it is made when it comes again.

        What a process that died may have done of it stays as unknown as it was.
        """
        if entry.slot == _NOWHERE:
            return
        if entry.fate is Fate.UNKNOWN:
            self._words[entry.slot // 8 + _PROCESS] = _NOBODY
            self._set_word(entry.slot, _BEGUN)
        else:
            self._set_word(entry.slot, _FREE)
        self._tell()

    def _set_word(self, slot: int, word: int) -> None:
        """Say what has become of a call."""
        self._words[slot // 8 + _WORD] = word
        self._memory.save(slot, slot + _HEAD_BYTES)

    def _tell(self) -> None:
        """Have waiting threads look again; the caller holds the lock of no set."""
        if self._waiting:
            with self._changed:
                self._changed.notify_all()


def _area_of(slot: int) -> int:
    """Return the number of the area for the answer to the call in a slot."""
    return slot // _SET * _WAYS + slot % _SET // _HEAD_BYTES


def _sender_of(slot: int) -> int:
    """Return where the sender of the call in a slot is written."""
    heads = slot & ~(_SET - 1)
    return heads + _SENDERS + (slot - heads) // _HEAD_BYTES * _SENDER.size
