"""Records on a stream: however the bytes arrive, the same records come out."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfsd.rpc.record import RecordReader, SpareBuffers, mark

LIMIT = 5000


def reader(shared: int = 256, limit: int = LIMIT) -> RecordReader:
    return RecordReader(limit, memoryview(bytearray(shared)))


def feed(to: RecordReader, data: bytes, step: int) -> list[bytes]:
    """Give `data` as a socket would, at most `step` bytes at a time."""
    records: list[bytes] = []
    while data and not to.failure:
        room = to.buffer()
        count = min(len(room), step, len(data))
        room[:count] = data[:count]
        records += map(bytes, to.received(count))
        data = data[count:]
    return records


def framed(fragments: list[bytes]) -> bytes:
    stream = b""
    for number, fragment in enumerate(fragments, 1):
        last = 0x80000000 if number == len(fragments) else 0
        stream += struct.pack(">I", last | len(fragment)) + fragment
    return stream


FRAGMENTS = st.lists(st.binary(max_size=700), min_size=1, max_size=4)


@settings(max_examples=200)
@given(st.lists(FRAGMENTS, max_size=6), st.integers(1, 300), st.integers(1, 300))
def test_fragments_make_records(records: list[list[bytes]], step: int, shared: int) -> None:
    stream = b"".join(map(framed, records))
    assert feed(reader(shared), stream, step) == [b"".join(record) for record in records]


@settings(max_examples=200)
@given(st.lists(FRAGMENTS, max_size=4), st.integers(1, 300), st.data())
def test_another_reader_goes_on_anywhere(
    records: list[list[bytes]], step: int, data: st.DataObject
) -> None:
    stream = b"".join(map(framed, records))
    cut = data.draw(st.integers(0, len(stream)))
    first, second = reader(), reader()
    found = feed(first, stream[:cut], step)
    second.resume(first.rest())
    found += feed(second, stream[cut:], step)
    assert found == [b"".join(record) for record in records]


def test_a_large_record_arrives_in_its_own_buffer() -> None:
    record = bytes(range(250)) * 10
    to = reader()
    stream = mark(len(record)) + record
    first = to.buffer()
    first[:] = stream[: len(first)]
    assert to.received(len(first)) == []
    room = to.buffer()
    assert len(room) == len(stream) - len(first)
    room[:] = stream[len(first) :]
    (received,) = to.received(len(room))
    assert isinstance(received, memoryview)
    assert received == record
    assert room.obj is received.obj


@pytest.mark.parametrize("size", [65535, 65536, 65537, 262144, 262145, 1 << 20])
@pytest.mark.parametrize("step", [1000, 65536, 1 << 20])
def test_large_records(size: int, step: int) -> None:
    record = bytes(index * 7 & 0xFF for index in range(size))
    stream = mark(size) + record + mark(3) + b"end"
    assert feed(reader(65536, 1 << 20), stream, step) == [record, b"end"]


def test_what_was_handed_out_does_not_change() -> None:
    to = reader()
    (kept,) = (record for record in feed(to, mark(8) + b"constant", 12))
    feed(to, mark(8) + b"XXXXXXXX", 12)
    assert kept == b"constant"


@pytest.mark.parametrize(
    "stream",
    [
        mark(LIMIT + 1),
        b"\xff\xff\xff\xff",
        struct.pack(">I", LIMIT) + bytes(LIMIT) + struct.pack(">I", 1),
        struct.pack(">I", LIMIT) + bytes(LIMIT) + mark(1),
    ],
)
def test_a_record_over_the_bound_ends_the_stream(stream: bytes) -> None:
    """What came before it is still handed out."""
    to = reader()
    assert feed(to, mark(4) + b"good" + stream, 10000) == [b"good"]
    assert to.failure


def test_a_record_of_the_bound_is_taken() -> None:
    assert feed(reader(), mark(LIMIT) + bytes(LIMIT), 1000) == [bytes(LIMIT)]


def test_empty_fragments_hold_no_memory() -> None:
    to = reader()
    assert feed(to, struct.pack(">I", 0) * 10000, 256) == []
    assert to.held == 0
    assert feed(to, mark(1) + b"x", 256) == [b"x"]


@pytest.mark.parametrize("size", [0, 1, 2, 61])
def test_fragments_hold_no_more_than_their_contents(size: int) -> None:
    """However many they are; and there is an end to them."""
    to = reader(limit=1 << 20)
    fragment = struct.pack(">I", size) + b"x" * size
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        assert feed(to, fragment * 16384, 4096) == []
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert to.failure == ""
    assert size * 16384 <= to.held <= size * 16384 + 4096
    assert after - before < 1.2 * size * 16384 + 8192
    assert feed(to, fragment, 4096) == []
    assert "more than 16384 fragments" in to.failure


def test_what_has_arrived_of_a_record_is_counted() -> None:
    to = reader(limit=1 << 20)
    assert to.held == 0
    assert feed(to, mark(100_000) + bytes(70_000), 4096) == []
    assert (to.is_within, 70_000 <= to.held <= 100_000) == (True, True)
    assert feed(to, bytes(30_000), 4096) == [bytes(100_000)]
    assert (to.is_within, to.held) == (False, 0)


def test_the_bound_may_become_another() -> None:
    to = reader(limit=1 << 20)
    to.limit = 1000
    assert feed(to, mark(1000) + bytes(1000) + mark(1001), 4096) == [bytes(1000)]
    assert to.failure


def large(to: RecordReader, filled: int, size: int = 100_000) -> memoryview:
    """A large record that has arrived whole."""
    stream = mark(size) + bytes([filled]) * size
    at = 0
    while True:
        room = to.buffer()
        count = min(len(room), len(stream) - at)
        room[:count] = stream[at : at + count]
        at += count
        for record in to.received(count):
            assert at == len(stream)
            assert isinstance(record, memoryview)
            assert record == stream[4:]
            return record


def test_spare_buffers_are_used_again_but_not_while_they_are_seen() -> None:
    spare = SpareBuffers(1 << 20, 2)
    readers = [RecordReader(1 << 20, memoryview(bytearray(65536)), spare) for _ in range(2)]
    first = large(readers[0], 1)
    buffer = first.obj
    spare.give_back(first)
    again = large(readers[1], 2)
    assert again.obj is buffer
    part = again[10:20]
    spare.give_back(again)
    third, fourth = large(readers[0], 3), large(readers[1], 4)
    assert buffer not in (third.obj, fourth.obj)
    assert part == bytes([2]) * 10
    fifth = large(readers[0], 5)  # none is left: it has a buffer of its own
    own = fifth.obj
    for view, filled in ((third, 3), (fourth, 4), (fifth, 5)):
        assert view == bytes([filled]) * 100_000
        spare.give_back(view)
    later = [large(reader, 6) for reader in readers]
    assert all(view.obj is not own for view in later)


def test_a_reader_that_ends_gives_its_buffers_back() -> None:
    spare = SpareBuffers(1 << 20, 2)
    reader = RecordReader(1 << 20, memoryview(bytearray(65536)), spare)
    begun = struct.pack(">I", 70_000) + bytes(70_000) + mark(70_000) + bytes(1000)
    assert feed(reader, begun, 50_000) == []
    assert spare.take(1 << 20) is not None
    assert spare.take(1 << 20) is None
    reader.close()
    assert spare.take(1 << 20) is not None


def test_fragments_of_any_size_with_spare_buffers() -> None:
    spare = SpareBuffers(1 << 20, 2)
    reader = RecordReader(1 << 20, memoryview(bytearray(65536)), spare)
    for sizes in ([70_000, 10, 80_000], [5, 200_000], [300_000], [65_536, 65_537], [1, 1]) * 3:
        fragments = [bytes([number]) * size for number, size in enumerate(sizes, 1)]
        assert feed(reader, framed(fragments), 50_000) == [b"".join(fragments)]
