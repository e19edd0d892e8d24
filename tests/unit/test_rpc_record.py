"""Records on a stream: however the bytes arrive, the same records come out."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfsd.record import RecordReader, mark

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


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAGMENTS, max_size=6), st.integers(1, 300), st.integers(1, 300))
def test_fragments_make_records(records: list[list[bytes]], step: int, shared: int) -> None:
    stream = b"".join(map(framed, records))
    assert feed(reader(shared), stream, step) == [b"".join(record) for record in records]


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
    assert to._fragments == []
    assert feed(to, mark(1) + b"x", 256) == [b"x"]
