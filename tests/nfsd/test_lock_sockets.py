"""The port of locks: the same as long as it can be, and one for all addresses and transports."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from nfsd.lock.sockets import LockSockets
from tests.conformance.ports import free_port

BOTH = ("127.0.0.1", "127.0.0.2")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(stack: ExitStack, port: int, before: LockSockets | None = None) -> LockSockets:
    sockets = LockSockets(BOTH if before else BOTH[:1], port, before)
    stack.callback(sockets.close)
    return sockets


def test_the_port_stays(opened: ExitStack) -> None:
    """The first sockets are used again, whether their port was set or picked."""
    first = listening(opened, free_port())
    second = listening(opened, 0, first)
    assert {each.getsockname() for each in second.all} == {(host, first.port) for host in BOTH}
    assert set(first.all) < set(second.all)
    assert set(listening(opened, first.port, second).all) == set(second.all)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_at_an_address_that_is_new(
    opened: ExitStack, kind: socket.SocketKind
) -> None:
    """One that was picked gives way to another, one that was set does not, and nothing is lost."""
    first = listening(opened, free_port())
    other = opened.enter_context(socket.socket(type=kind))
    other.bind((BOTH[1], first.port))
    picked = listening(opened, 0, first)
    assert picked.port != first.port
    assert {each.getsockname() for each in picked.all} == {(host, picked.port) for host in BOTH}
    with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
        listening(opened, first.port, first)
    assert first.port == first.all[0].getsockname()[1]
