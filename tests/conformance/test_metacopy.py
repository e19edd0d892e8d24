"""Changes that touch no data copy none; the first write does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.layers import differences, manifest
from tests.conftest import Serve
from tests.wire import Wire

pytestmark = pytest.mark.conformance

SIZE = 64 << 20


def test_no_data_is_copied_before_the_first_write(serve: Serve, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    content = os.urandom(SIZE)
    (lower / "file").write_bytes(content)
    before = manifest(lower)
    server = serve([lower])
    assert server.stack.upper is not None
    upper = server.stack.upper
    wire = Wire(server.port)
    known = wire.facts("file")
    wire.setattr(known.handle, mode=0o600)
    wire.rename("file", "renamed")
    wire.link(known.handle, "linked")
    for name in ("renamed", "linked"):
        assert (upper / name).stat().st_blocks * 512 < 1 << 20
        assert wire.facts(name) == known
    attributes = wire.attributes(known.handle)
    assert (attributes.size, attributes.mode, attributes.nlink) == (SIZE, 0o600, 2)
    assert attributes.used >= SIZE
    wire.close()
    server.restart(crash=True)
    wire = Wire(server.port)
    assert wire.read(known.handle, SIZE - 1000) == content[-1000:]
    wire.write(known.handle, b"written", 5)
    assert (upper / "renamed").stat().st_blocks * 512 >= SIZE
    assert wire.facts("linked") == known
    assert (upper / "linked").read_bytes() == content[:5] + b"written" + content[12:]
    assert differences(before, manifest(lower)) == []
    wire.close()


def test_truncating_copies_no_more_than_is_left(serve: Serve, tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    for name in ("direct", "metacopy"):
        (lower / name).write_bytes(b"x" * SIZE)
    server = serve([lower])
    assert server.stack.upper is not None
    wire = Wire(server.port)
    wire.setattr(wire.lookup("metacopy"), mode=0o600)
    for name in ("direct", "metacopy"):
        handle = wire.lookup(name)
        wire.setattr(handle, size=5000)
        assert wire.read(handle) == b"x" * 5000
        assert (server.stack.upper / name).stat().st_blocks * 512 < 1 << 20
    wire.close()
