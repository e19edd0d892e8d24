"""A long listing goes on rightly whatever happens between its replies.

Rule: every name that stood throughout is seen exactly once; what was made or removed meanwhile may
be seen once or not at all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.layers import differences, manifest
from tests.conftest import Serve
from tests.wire import Wire

pytestmark = pytest.mark.conformance

NAMES = 10_000
SMALL = 2048  # bytes of a reply


@pytest.fixture
def lowers(tmp_path: Path) -> list[Path]:
    """Ten thousand names over two layers, some in both."""
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    for layer, numbers in ((top, range(0, NAMES, 2)), (bottom, range(NAMES))):
        (layer / "big").mkdir(parents=True)
        for number in numbers:
            (layer / "big" / f"name{number:05}").touch()
    return [top, bottom]


def test_changes_and_a_restart_between_replies(serve: Serve, lowers: list[Path]) -> None:
    before = [manifest(layer) for layer in lowers]
    server = serve(lowers)
    wire = Wire(server.port)
    big = wire.lookup("big")
    standing = {b"name%05d" % number for number in range(NAMES)}
    seen: list[bytes] = []
    fileids: dict[bytes, int] = {}
    cookie, eof, page = 0, False, 0
    while not eof:
        entries, eof = wire.page(big, cookie, SMALL)
        assert sum(24 + (len(entry.name) + 3) // 4 * 4 for entry in entries) <= SMALL
        seen += [entry.name for entry in entries]
        fileids |= {entry.name: entry.fileid for entry in entries}
        cookie = entries[-1].cookie if entries else cookie
        page += 1
        assert page < NAMES, "the listing does not end"
        if page % 5 == 0:
            _disturb(wire, page, standing)
        if page == 60:
            wire.close()
            server.restart(crash=True)
            wire = Wire(server.port)
    assert page > 100
    assert [name for name in standing if seen.count(name) != 1] == []
    assert len(seen) == len(set(seen))
    for name in sorted(standing)[:: NAMES // 50]:
        assert wire.attributes(wire.lookup(b"big/" + name)).fileid == fileids[name]
    assert [differences(was, manifest(at)) for was, at in zip(before, lowers, strict=True)] == [
        [],
        [],
    ]
    wire.close()


def _disturb(wire: Wire, page: int, standing: set[bytes]) -> None:
    """Make a name, remove a lower one, rename one, copy one up."""
    wire.create(f"big/made{page}")
    removed, renamed, written = (b"name%05d" % (page * 20 + at) for at in range(3))
    wire.remove(b"big/" + removed)
    wire.rename(b"big/" + renamed, f"big/renamed{page}")
    wire.write(wire.lookup(b"big/" + written), b"copied up")
    standing -= {removed, renamed}
