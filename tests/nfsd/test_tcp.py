"""Whether a machine is at the other end of a connection: one that runs, is gone, or began anew."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from nfsd.net import tcp

TCP_REPAIR = 19  # linux/tcp.h: what is closed so says nothing to the other end


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end and the client's of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with server, client:
        tcp.begin(server)
        yield server, client


def test_one_that_runs(ends: tuple[socket.socket, socket.socket]) -> None:
    server, _ = ends
    before = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    assert tcp.answers(server.fileno())
    assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == before


def test_one_that_has_closed_it(ends: tuple[socket.socket, socket.socket]) -> None:
    server, client = ends
    client.close()
    assert not tcp.answers(server.fileno())


def test_one_that_has_started_anew(ends: tuple[socket.socket, socket.socket]) -> None:
    """It knows nothing of the connection, and resets it."""
    server, client = ends
    client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    client.close()
    assert not tcp.answers(server.fileno())
