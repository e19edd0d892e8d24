"""What a directory shows, in the order of READDIR cookies.

An entry's cookie is a hash of its name.  Where a name before it in the order has that
number already, `.` and `..` among them, it takes the next one; or one before, should
that be another part's.

It also says in which layer each name was found, so that whoever looks a name up needs
not ask the layers above that one.

A listing may have a million entries and be kept for long, so it is packed: some 30
bytes for each, and its name.  To put a million in order takes longer than to answer
from it, so they are shared out by the first bits of their hashes, and each part is put
in order when it is first asked for.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from operator import eq, itemgetter
from typing import Final, NamedTuple, TypeAlias

from index.layers import Layer
from overlay.base.generations import NEVER

# Cookie, fileid, name.
Entry: TypeAlias = tuple[int, int, bytes]

HASH_BITS: Final = 63
_DOT: Final = 1
_DOTDOT: Final = 2
_PART_BITS: Final = 12  # of the number of entries in a part, about
_LISTING_BYTES: Final = 4096
_PART_BYTES: Final = 192
_ENTRY_BYTES: Final = 8 + 8 + 8 + 4 + 1  # in the rows, and a slot in a part that has grown
_PLACE_BYTES: Final = 160


class Place(NamedTuple):
    """Where a name was found: the layers above this one did not have it.

    So it is as long as the counter of the directory's listing stands so.
    """

    layer: Layer
    generation: int


class Rows:
    """Entries in the order in which they were found, packed as they come."""

    __slots__ = ("ends", "fileids", "hashes", "layers", "names")

    def __init__(self) -> None:
        self.layers: list[tuple[int, Layer]] = []  # each with the position behind its entries
        self.names = bytearray()  # one behind the other
        self.ends = array("L", [0])  # the first begins at 0
        self.fileids = array("Q")
        self.hashes = array("Q")  # of HASH_BITS bits

    def extend(self, names: Sequence[bytes], fileids: Iterable[int], hashes: array[int]) -> None:
        """Put more behind them, a few thousand at a time: no other thread goes on meanwhile."""
        ends = accumulate(map(len, names), initial=len(self.names))
        self.ends.extend(islice(ends, 1, None))
        self.names += b"".join(names)
        self.fileids.extend(fileids)
        self.hashes += hashes

    def end(self, layer: Layer) -> None:
        """Record that what has come since the last end was found in this layer."""
        self.layers.append((len(self), layer))

    def name(self, at: int) -> bytes:
        return bytes(self.names[self.ends[at] : self.ends[at + 1]])

    def __len__(self) -> int:
        return len(self.hashes)


class Listing:
    """A directory's entries, `.` and `..` first."""

    __slots__ = (
        "_cookies",
        "_dots",
        "_ends",
        "_fileids",
        "_hashes",
        "_layer_ends",
        "_names",
        "_parts",
        "_places",
        "_shift",
        "size",
    )

    def __init__(
        self, dots: tuple[int, int], rows: Rows, shown: Iterable[int], generation: int = NEVER
    ) -> None:
        """`dots`: the fileids of `.` and `..`; `shown`: the positions of the others in the rows.

        `generation`: how the counter of the listing stood before the layers were read.
        The rows are not to be extended after.
        """
        self._dots: tuple[Entry, Entry] = (_DOT, dots[0], b"."), (_DOTDOT, dots[1], b"..")
        # Without room to grow.
        self._names, self._ends = bytes(rows.names), rows.ends[:]
        self._fileids, self._hashes = rows.fileids[:], rows.hashes[:]
        self._layer_ends = array("L", [end for end, _ in rows.layers])
        self._places = tuple(Place(layer, generation) for _, layer in rows.layers)
        bits = max(0, len(rows).bit_length() - _PART_BITS)
        self._shift = HASH_BITS - bits
        self._parts = _shared_out(self._hashes, self._shift, shown)
        # What has the cookies of a part, by position, once the part is in order.
        self._cookies: dict[int, array[int] | dict[int, int]] = {}
        # Bytes of memory, about.
        self.size = _LISTING_BYTES + len(self._names)
        self.size += _ENTRY_BYTES * len(rows) + _PART_BYTES * len(self._parts)
        self.size += _PLACE_BYTES * len(self._places)

    def after(self, cookie: int) -> Iterator[Entry]:
        """Yield the entries behind a cookie, in order; 0 is before them all."""
        return map(itemgetter(0), self.placed_after(cookie))

    def placed_after(self, cookie: int) -> Iterator[tuple[Entry, Place | None]]:
        """Yield the same, each with the place of what it names, if that is known."""
        for dot in self._dots:
            if dot[0] > cookie:
                yield dot, None
        names, ends, fileids = self._names, self._ends, self._fileids
        layer_ends, places = self._layer_ends, self._places
        first = min(cookie >> self._shift, len(self._parts) - 1)
        for number in range(first, len(self._parts)):
            cookies = self._cookies.get(number)
            if cookies is None:
                cookies = self._put_in_order(number)
            part = self._parts[number]
            begin = bisect_right(part, cookie, key=cookies.__getitem__)
            for at in part[begin:]:
                entry = cookies[at], fileids[at], names[ends[at] : ends[at + 1]]
                yield entry, places[bisect_right(layer_ends, at)] if places else None

    def _put_in_order(self, number: int) -> array[int] | dict[int, int]:
        """Of a part; returns what then has its cookies.  Two threads at once do the same."""
        cookies: array[int] | dict[int, int] = self._hashes
        part = array("I", sorted(self._parts[number], key=cookies.__getitem__))
        own = [cookies[at] for at in part]
        if own[:1] <= [_DOTDOT] or any(map(eq, own, islice(own, 1, None))):
            part = array("I", sorted(part, key=lambda at: (self._hashes[at], self._name(at))))
            cookies = dict(zip(part, self._apart(number, own), strict=True))
        self._parts[number] = part
        self._cookies[number] = cookies
        return cookies

    def _apart(self, number: int, hashes: list[int]) -> list[int]:
        """Return cookies for hashes of a part, in order: all different, none of another part's."""
        least, end = max(_DOTDOT + 1, number << self._shift), number + 1 << self._shift
        upward = accumulate(hashes, lambda before, own: max(before + 1, own), initial=least - 1)
        most = reversed(list(upward)[1:])
        downward = accumulate(most, lambda after, own: min(after - 1, own), initial=end)
        return list(downward)[:0:-1]

    def _name(self, at: int) -> bytes:
        return self._names[self._ends[at] : self._ends[at + 1]]


def _shared_out(hashes: array[int], shift: int, shown: Iterable[int]) -> list[array[int]]:
    """Return the positions, shared out by the first bits of the hashes there."""
    parts = [array("I") for _ in range(1 << HASH_BITS - shift)]
    put = [part.append for part in parts]
    for at in shown:
        put[hashes[at] >> shift](at)
    return parts
