"""RPC records on a stream (RFC 5531 section 11), with no I/O: bytes in, records out.

A record is sent as fragments, each behind a 4-byte mark: its length and whether
it is the last.  The reader says where the next bytes received shall go, so that
a large record arrives in a buffer of its own and is never copied, while all
connections share one buffer for everything small.  A record is handed out as
`bytes`, or as a view of a buffer that nobody else will touch until it is given
back; either may be kept for as long as it is needed.
"""

from __future__ import annotations

import struct
from typing import Final

from nfsd.xdr.codec import Buffer

LAST_FRAGMENT: Final = 0x80000000
# Without a spare buffer a fragment's begins with this many bytes and grows fourfold
# as they arrive: a length alone, which costs a client nothing, takes no memory.
_FIRST_BYTES: Final = 64 << 10
# A large record in fragments of 64 bytes, and more; clients send one, or some KiB in each.
_FRAGMENTS_MAX: Final = 16384
_MARK = struct.Struct(">I")


def mark(size: int) -> bytes:
    """Return the mark before a record of `size` bytes that is sent as one fragment."""
    return _MARK.pack(LAST_FRAGMENT | size)


class SpareBuffers:
    """Up to `number` buffers of `size` bytes for large fragments, used again and again.

    A new one would have to be filled with zeros first.  For the readers of one thread.
    """

    def __init__(self, size: int, number: int) -> None:
        self._size = size
        self._free: list[bytearray] = []
        self._unmade = number

    def take(self, size: int) -> bytearray | None:
        """Return a buffer of at least `size` bytes; None if all are in use, or it is too much."""
        if self._free and size <= self._size:
            return self._free.pop()
        if self._unmade == 0 or size > self._size:
            return None
        self._unmade -= 1
        return bytearray(self._size)

    def give_back(self, view: memoryview) -> None:
        """Have the buffer that is seen through `view` used again, if it is one of these."""
        buffer = view.obj
        view.release()
        if isinstance(buffer, bytearray) and len(buffer) == self._size:
            try:
                buffer.append(buffer.pop())
            except BufferError:  # a buffer keeps its size while somebody else sees it, too
                self._unmade += 1
            else:
                self._free.append(buffer)


NO_BUFFERS: Final = SpareBuffers(0, 0)


class RecordReader:
    """Takes one connection's stream apart.

    `limit` is the bound on a record in bytes; `shared` is a buffer that is only
    used between `buffer` and the next `received`, so all readers of a thread
    can have the same.
    """

    def __init__(self, limit: int, shared: memoryview, spare: SpareBuffers = NO_BUFFERS) -> None:
        self.limit = limit  # it may become another
        self._shared = shared
        self._spare = spare
        # Of the record that is arriving: the fragments that it has so far, put together.
        self._joined = bytearray()
        self._fragments = 0
        self._partial: bytearray | None = None  # the mark or the fragment that is arriving
        self._have = 0
        self._need = 0
        self._in_mark = False
        self._last = False
        self.failure = ""  # why the stream cannot be followed any further

    def buffer(self) -> memoryview:
        """Return where the next bytes received are to be put."""
        if self._partial is None:
            return self._shared
        return memoryview(self._partial)[self._have : self._need]

    def received(self, count: int) -> list[Buffer]:
        """Records completed by the `count` bytes put into `buffer()`.

        When a record goes over the bound, those before it are still returned,
        and `failure` says that there will be no more.
        """
        records: list[Buffer] = []
        partial = self._partial
        if partial is None:
            if count > 4 and not self._fragments:
                (word,) = _MARK.unpack_from(self._shared)
                if word == LAST_FRAGMENT | count - 4:
                    return [self._shared[4:count].tobytes()]
                if LAST_FRAGMENT | count - 4 < word <= LAST_FRAGMENT | self.limit:
                    self._last = True
                    self._await(word & ~LAST_FRAGMENT, self._shared[4:count])
                    return records
            self._split(self._shared[:count].tobytes(), records)
            return records
        self._have += count
        if self._have == self._need:
            self._partial = None
            if self._in_mark:
                self._in_mark = False
                self._split(bytes(partial), records)
            else:
                self._complete(memoryview(partial)[: self._need], records)
        elif self._have == len(partial):
            self._await(self._need, partial)
        return records

    def _split(self, chunk: bytes, records: list[Buffer]) -> None:
        """Take whole fragments from `chunk`, which begins with a mark, and keep what is left."""
        at, end, whole = 0, len(chunk), LAST_FRAGMENT | self.limit
        while end - at >= 4:
            (word,) = _MARK.unpack_from(chunk, at)
            at += 4
            size = word & ~LAST_FRAGMENT
            if LAST_FRAGMENT <= word <= whole and at + size <= end and not self._fragments:
                records.append(chunk[at : at + size])
                at += size
                continue
            self._last = word >= LAST_FRAGMENT
            self._check(len(self._joined) + size)
            if self.failure:
                return
            if at + size > end:
                self._await(size, chunk[at:])
                return
            self._complete(chunk[at : at + size], records)
            at += size
        if at < end:
            self._in_mark = True
            self._await(4, chunk[at:])

    def _await(self, size: int, begun: Buffer) -> None:
        """Make room for a fragment or mark of `size` bytes, of which some have arrived."""
        is_new = type(begun) is not bytearray
        spare = self._spare.take(size) if size > _FIRST_BYTES and is_new else None
        self._partial = spare or bytearray(min(size, max(_FIRST_BYTES, 4 * len(begun))))
        self._partial[: len(begun)] = begun
        self._have, self._need = len(begun), size

    def _check(self, size: int) -> None:
        """Note if the record that is arriving goes over a bound, with one more fragment."""
        if size > self.limit:
            self.failure = f"a record of {size} bytes or more"
        elif self._fragments >= _FRAGMENTS_MAX:
            self.failure = f"a record of more than {_FRAGMENTS_MAX} fragments"

    def _complete(self, fragment: Buffer, records: list[Buffer]) -> None:
        if self._last and not self._fragments:
            records.append(fragment)
            return
        self._fragments += 1
        self._joined += fragment
        if isinstance(fragment, memoryview):
            self._spare.give_back(fragment)
        if self._last:
            records.append(bytes(self._joined))
            self._forget_fragments()

    def _forget_fragments(self) -> None:
        self._joined = bytearray()
        self._fragments = 0

    @property
    def is_within(self) -> bool:
        """Return whether a record has arrived in part."""
        return self._partial is not None or self._fragments > 0

    @property
    def held(self) -> int:
        """Return how many bytes of memory a record takes that has arrived in part."""
        return len(self._joined) + (0 if self._partial is None else len(self._partial))

    def rest(self) -> bytes:
        """Return what has arrived of an incomplete record, for another reader to `resume`."""
        parts: list[Buffer] = []
        if self._fragments:
            parts += (_MARK.pack(len(self._joined)), self._joined)
        if self._partial is not None:
            if not self._in_mark:
                parts.append(_MARK.pack(self._need | (LAST_FRAGMENT if self._last else 0)))
            parts.append(memoryview(self._partial)[: self._have])
        return b"".join(parts)

    def resume(self, rest: bytes) -> None:
        """Go on where another reader was."""
        self._split(rest, [])

    def close(self) -> None:
        """Give up what has arrived of a record that will not be completed."""
        self._forget_fragments()
        if self._partial is not None:
            self._spare.give_back(memoryview(self._partial))
            self._partial = None
