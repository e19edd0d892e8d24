"""No error of accept(2) ends anything: the next connection is served."""

from __future__ import annotations

import errno
import os
import resource
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from nfsd.lock.nlm_versions import VERSIONS
from nfsd.net.acceptor import Acceptor
from nfsd.net.event_loop import Loop
from nfsd.net.listen_address import address_of
from nfsd.net.listeners import stream_socket
from nfsd.process.pass_connection import Given, LostError, channel, give, take
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM, NFS_V3
from tests.client import Client
from tests.conformance.machine import command, program
from tests.conformance.server import Server, Stack
from tests.scraped import OPTIONS, page

SHIM = Path(__file__).with_name("accept_error.c")
ERRORS = ["EPROTO", "EPERM", "EHOSTUNREACH", "ENETDOWN", "ETIMEDOUT", "ECONNABORTED", "EINTR"]
ERRORS += ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EINVAL", "EIO"]
PATIENCE = 120.0


@contextmanager
def failing(place: Path) -> Iterator[tuple[Server, Path]]:
    """A server whose next accept(2) fails with the errno that is written to a file."""
    shim, error, lower = place / "shim.so", place / "error", place / "lower"
    flags = ("-shared", "-fPIC", "-O", "-o", shim, SHIM, "-ldl")
    command([program("cc", "gcc"), *flags], timeout=120)
    lower.mkdir()
    server = Server(
        Stack.over([lower], place),
        place / "log",
        arguments=OPTIONS,
        environment={"LD_PRELOAD": str(shim), "ACCEPT_ERROR": str(error)},
    )
    server.start()
    try:
        yield server, error
        server.stop()
    finally:
        server.kill()


def ping(port: int, number: int, version: int) -> None:
    with Client(port, timeout=PATIENCE) as client:
        client.send(client.message(number, version, 0, b""))
        client.reply()


def look(server: Server) -> None:
    with urllib.request.urlopen(page(server), timeout=PATIENCE) as answer:
        assert b"overlay_nfsd_workers" in answer.read()


def test_no_error_of_accept_ends_the_server(tmp_path: Path) -> None:
    """At the port of NFS, at that of locks and at that of the numbers."""
    with failing(tmp_path) as (server, error):
        ways: list[Callable[[], None]] = [
            partial(ping, server.port, NFS_PROGRAM, NFS_V3),
            partial(ping, server.lock_port, *VERSIONS[4].program),
            partial(look, server),
        ]
        for way in ways:
            way()
        before = server.processes
        for name in ERRORS:
            for way in ways:
                new = error.with_suffix(".new")
                new.write_text(str(getattr(errno, name)))
                new.rename(error)
                until_served(way, error)
                assert server.running, f"{name} has ended it"
        assert server.processes == before
        said = server.output()
        assert len(ERRORS) <= said.count("cannot accept connections") <= 3 * len(ERRORS)


def until_served(way: Callable[[], None], error: Path) -> None:
    """Ask until the error has come and somebody is served after it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        has_come = not error.exists()
        try:
            way()
        except (ConnectionError, EOFError, urllib.error.URLError):
            pass  # this is the one that was lost
        else:
            if has_come:
                return
        assert time.monotonic() < deadline, "nobody is served any more"


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """No further descriptor can be opened in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fd = os.open("/", os.O_PATH)
    taken = [fd]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(fd))
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(fd)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)


def test_without_a_descriptor_who_comes_is_refused() -> None:
    loop = Loop()
    accepted: list[socket.socket] = []

    def accept(sock: socket.socket) -> None:
        accepted.append(sock)
        loop.stop()

    acceptor = Acceptor(loop, accept)
    listener = stream_socket(address_of("127.0.0.1", 0))
    acceptor.listen([listener])
    clients = [socket.create_connection(listener.getsockname()) for _ in range(4)]
    with no_descriptor_left():
        loop.call_later(0.1, loop.stop)
        loop.run()
    for client in clients:
        client.settimeout(PATIENCE)
        assert client.recv(1) == b""
    assert not accepted
    clients.append(socket.create_connection(listener.getsockname()))
    loop.run()
    assert [each.getpeername() for each in accepted] == [clients[4].getsockname()]
    for sock in (*accepted, *clients):
        sock.close()
    acceptor.close()
    loop.close()


def test_connections_wait_at_a_socket_that_is_held_and_are_taken_from_one_that_is_closed() -> None:
    loop = Loop()
    accepted: list[socket.socket] = []
    acceptor = Acceptor(loop, accepted.append)
    first, second = (stream_socket(address_of("127.0.0.1", 0)) for _ in range(2))
    acceptor.listen([first])
    acceptor.hold()
    clients = [socket.create_connection(each.getsockname()) for each in (first, second)]
    loop.call_later(0.05, loop.stop)
    loop.run()
    assert not accepted
    place = first.getsockname()
    acceptor.listen([second])
    with pytest.raises(ConnectionRefusedError):  # whatever other process has it open
        socket.create_connection(place)
    assert [each.getpeername() for each in accepted] == [clients[0].getsockname()]
    acceptor.resume()
    loop.call_later(0.05, loop.stop)
    loop.run()
    assert [each.getpeername() for each in accepted] == [each.getsockname() for each in clients]
    for sock in (*accepted, *clients, first):
        sock.close()
    acceptor.close()
    loop.close()


def test_a_connection_that_cannot_be_taken_leaves_its_place() -> None:
    ours, its = channel()
    sock, other = socket.socketpair()
    assert give(ours, Given(sock, 7))
    with no_descriptor_left():
        with pytest.raises(LostError) as lost:
            take(its)
        assert not give(ours, Given(sock, 8, b"begun"))  # there is no file for what was begun
    assert lost.value.row == 7
    assert take(its) is None
    for each in (ours, its, sock, other):
        each.close()
