"""The good client: it makes its calls at a steady pace, and notes how long each took.

Rule: each kind of call has a connection of its own, kept all the time; besides, new ones are made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from nfsd.xdr.generated.nfs3 import FILE_SYNC, NFS3_OK, WRITE3args
from nfsd.xdr.generated.nlm4 import (
    NLM4_GRANTED,
    NLM4_PROGRAM,
    NLM4_V4,
    nlm4_lock,
    nlm4_lockargs,
    nlm4_unlockargs,
)
from tests.client import Client
from tests.hostile.target import GOOD, Target
from tests.locking import NLM

PATIENCE: Final = 120.0  # seconds for one call
_PAUSE: Final = 0.02


class Record:
    """What one kind of call was like."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def at(self, part: float) -> float:
        """Seconds within which this part of the calls were answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


class Good:
    """Makes calls between `start` and `stop`, each kind on a thread."""

    def __init__(self, target: Target, number: int = 0) -> None:
        self._target = target
        self._file = target.files[number]
        self._is_over = threading.Event()
        ways: dict[str, Callable[[Record], None]] = {
            "GETATTR": self._getattr,
            "WRITE": self._write,
            "LOCK": self._lock,
            "connect": self._connect,
        }
        self.records = [Record(name) for name in ways]
        self._threads = [
            threading.Thread(target=way, args=(record,), daemon=True)
            for way, record in zip(ways.values(), self.records, strict=True)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive(), "a call is never answered"

    def _client(self, port: int) -> Client:
        return Client(port, timeout=PATIENCE, source=(GOOD, 0))

    def _repeat(self, record: Record, call: Callable[[int], None]) -> None:
        number = 0
        while not self._is_over.is_set():
            begun = time.perf_counter()
            try:
                call(number)
            except Exception as error:
                record.errors.append(repr(error))
                if isinstance(error, OSError | EOFError):
                    return  # a connection that is kept is lost but once
            record.seconds.append(time.perf_counter() - begun)
            number += 1
            time.sleep(_PAUSE)

    def _getattr(self, record: Record) -> None:
        with self._client(self._target.port) as client:

            def call(_: int) -> None:
                assert client.nfs("GETATTR", self._file).status == NFS3_OK

            self._repeat(record, call)

    def _write(self, record: Record) -> None:
        with self._client(self._target.port) as client:

            def call(number: int) -> None:
                data = number.to_bytes(4, "big") * 1024
                arguments = WRITE3args(self._file, 0, len(data), FILE_SYNC, data)
                assert client.nfs("WRITE", arguments).status == NFS3_OK

            self._repeat(record, call)

    def _lock(self, record: Record) -> None:
        with self._client(self._target.lock_port) as client:
            lock = nlm4_lock(b"good", self._file, b"owner", 1, 0, 0)
            wish = nlm4_lockargs(b"cookie", False, True, lock, False, 1)

            def call(number: int) -> None:
                name = "UNLOCK" if number % 2 else "LOCK"
                arguments = nlm4_unlockargs(b"cookie", lock) if number % 2 else wish
                result = client.call(NLM4_PROGRAM, NLM4_V4, NLM[name], arguments)
                assert result.stat == NLM4_GRANTED, result

            self._repeat(record, call)

    def _connect(self, record: Record) -> None:
        def call(_: int) -> None:
            with self._client(self._target.port) as client:
                assert client.nfs("GETATTR", self._file).status == NFS3_OK

        self._repeat(record, call)


@contextmanager
def good(target: Target) -> Iterator[list[Record]]:
    """A good client during the block; its records are whole behind it."""
    client = Good(target)
    client.start()
    try:
        yield client.records
    finally:
        client.stop()
