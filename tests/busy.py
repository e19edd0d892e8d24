"""Clients that work without rest while something is done to the server, and check every answer.

Rule: a call is made once, as a kernel's client makes it: where the connection is lost,
the same record is sent again over another one, until it is answered.  Whoever may lose
no connection says so, and then a lost one is an error.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nfsd.xdr.codec import Signature, decode
from tests.client import Client, check
from tests.wire import Wire

PATIENCE = 120.0  # seconds until a call must be answered
_PAUSE = 0.02  # between two attempts to connect
_BLOCK = bytes(range(251)) * 1500


class Persistent(Client):
    """Connects again and asks again, for as long as `PATIENCE`."""

    def __init__(self, port: int, *, may_reconnect: bool) -> None:
        self._port = port
        self._may_reconnect = may_reconnect
        self.reconnections = self.refused = 0
        self.longest = 0.0  # seconds that an answer took
        super().__init__(port)
        self._xid = secrets.randbits(31)  # as those of an earlier client are still remembered

    def call(
        self,
        program: int,
        version: int,
        signature: Signature[Any, Any],
        arguments: Any,  # noqa: ANN401 - by procedure
    ) -> Any:  # noqa: ANN401 - by procedure
        message = self.message_of(program, version, signature, arguments)
        begun = time.monotonic()
        while True:
            try:
                xid = self.send(message)
                (answered, body), results = self.reply()
                break
            except (OSError, EOFError):
                if not self._may_reconnect or time.monotonic() - begun > PATIENCE:
                    raise
                self._reconnect(begun + PATIENCE)
        self.longest = max(self.longest, time.monotonic() - begun)
        assert answered == xid
        check(body)
        return decode(signature.unpack_results, results)

    def _reconnect(self, deadline: float) -> None:
        self.close()
        self.reconnections += 1
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", self._port), 30)
            except OSError:
                self.refused += 1
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                self._stream = self._socket.makefile("rb", buffering=1 << 20)
                return


class Busy:
    """One client: makes files, writes, reads, renames and removes them; counts its rounds."""

    def __init__(self, port: int, export: str, name: str, *, may_reconnect: bool) -> None:
        self._wire = Wire.over(Persistent(port, may_reconnect=may_reconnect), export)
        self._name = name
        self.rounds = 0
        self.failure: BaseException | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    @property
    def client(self) -> Persistent:
        client = self._wire.client
        assert isinstance(client, Persistent)
        return client

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive(), "a call is never answered"
        self._wire.close()

    def _work(self) -> None:
        try:
            self._wire.mkdir(self._name)
            while not self._is_over.is_set():
                self._round()
                self.rounds += 1
            self._wire.rmdir(self._name)
        except BaseException as problem:
            self.failure = problem

    def _round(self) -> None:
        wire, name = self._wire, self._name
        data = self.rounds.to_bytes(4, "big") + _BLOCK
        handle = wire.create(f"{name}/new")
        wire.write(handle, data)
        wire.rename(f"{name}/new", f"{name}/old")
        assert wire.lookup(f"{name}/old") == handle
        assert wire.read(handle) == data
        assert wire.names(wire.lookup(name)) == [b"old"]
        wire.remove(f"{name}/old")
        assert wire.names(wire.lookup(name)) == []


@contextmanager
def busy(
    port: int, number: int = 4, *, export: str = "/", may_reconnect: bool = False
) -> Iterator[list[Busy]]:
    """So many clients, that work during the block, before it and after it; none may fail."""
    clients = [
        Busy(port, export, f"busy{which}", may_reconnect=may_reconnect) for which in range(number)
    ]
    for client in clients:
        client.start()
    try:
        go_on(clients)
        yield clients
        go_on(clients)
    finally:
        for client in clients:
            client.stop()
    for client in clients:
        if client.failure is not None:
            raise client.failure


def go_on(clients: list[Busy], rounds: int = 3) -> None:
    """Wait until each has done some more, or one has failed."""
    wanted = [client.rounds + rounds for client in clients]
    deadline = time.monotonic() + PATIENCE
    while any(one.rounds < enough for one, enough in zip(clients, wanted, strict=True)):
        for client in clients:
            if client.failure is not None:
                raise client.failure
        assert time.monotonic() < deadline, "the clients do not get on"
        time.sleep(0.02)
