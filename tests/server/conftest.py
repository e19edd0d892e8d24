"""A server over small layers, shared by the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.conformance.server import Server, Stack


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose lower layers hold a few objects of each kind."""
    place = tmp_path_factory.mktemp("live")
    top, bottom = place / "top", place / "bottom"
    for lower in (top, bottom):
        (lower / "merged").mkdir(parents=True)
    (top / "merged" / "above").write_bytes(b"above")
    (bottom / "merged" / "below").write_bytes(b"below")
    (bottom / "file").write_bytes(b"0123456789")
    (bottom / "link").symlink_to("file")
    server = Server(Stack.over([top, bottom], place), Path(place / "log"))
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


@pytest.fixture
def client(live: Server) -> Iterator[Client]:
    with Client(live.port) as connected:
        yield connected


@pytest.fixture
def root(client: Client) -> bytes:
    """The handle of the export's root."""
    return client.mount("/")
