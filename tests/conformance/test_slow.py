"""What takes long does not hold up what does not."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.conformance.layers import differences, manifest
from tests.conftest import Serve
from tests.wire import Wire

pytestmark = pytest.mark.conformance

SIZE = 2 << 30
EXTENT = 1 << 20
EXTENTS = 64  # of data in the sparse file
LIMIT = 0.050  # seconds that a GETATTR of another file may take; more where the write took long


def test_copy_up_of_a_sparse_file_keeps_holes_and_holds_up_nobody(
    serve: Serve, tmp_path: Path
) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    with (lower / "sparse").open("wb") as file:
        file.truncate(SIZE)
        for number in range(EXTENTS):
            file.seek(number * (SIZE // EXTENTS))
            file.write(os.urandom(EXTENT))
    (lower / "other").write_bytes(b"other")
    before = manifest(lower)
    server = serve([lower])
    wire, other = Wire(server.port), Wire(server.port)
    sparse, handle = wire.lookup("sparse"), other.lookup("other")
    begun, done = threading.Event(), threading.Event()
    taken: list[float] = []  # seconds, of those that were asked and answered meanwhile

    def watch() -> None:
        while not done.is_set():
            at, asked_meanwhile = time.perf_counter(), begun.is_set()
            other.attributes(handle)
            if asked_meanwhile and not done.is_set():
                taken.append(time.perf_counter() - at)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        since = time.perf_counter()
        begun.set()
        wire.write(sparse, b"!", SIZE // 2 + 12345)
        whole = time.perf_counter() - since
    finally:
        done.set()
        watcher.join()
    assert len(taken) > 10
    assert max(taken) < max(LIMIT, whole / 2), f"{max(taken)} s beside a write of {whole} s"
    attributes = wire.attributes(sparse)
    assert attributes.size == SIZE
    assert attributes.used < 2 * EXTENTS * EXTENT
    with (lower / "sparse").open("rb") as original:
        for number in range(EXTENTS):
            offset = number * (SIZE // EXTENTS)
            original.seek(offset)
            expected = original.read(EXTENT)
            if offset <= SIZE // 2 + 12345 < offset + EXTENT:
                at = SIZE // 2 + 12345 - offset
                expected = expected[:at] + b"!" + expected[at + 1 :]
            assert wire.read(sparse, offset) == expected
    assert wire.read(sparse, SIZE - 10) == bytes(10)
    assert differences(before, manifest(lower)) == []
    wire.close()
    other.close()
