"""What a client has been promised: data, handles, answers; kept while the server is replaced.

Rule: each call is made once, and its record sent again where its connection is lost (tests.busy),
so what is noted of an object here is what the server has said of it.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from nfsd.xdr.generated.nfs3 import (
    GUARDED,
    NFS3ERR_STALE,
    UNSTABLE,
    CREATE3args,
    LINK3args,
    MKDIR3args,
    RENAME3args,
    createhow3,
    diropargs3,
)
from tests.busy import PATIENCE, Persistent
from tests.client import Client
from tests.wire import NfsError, Wire, sattr

_ROUNDS_APART: Final = 5  # between a file that is made and its end
_PAUSE: Final = 0.02  # between two rounds: what is held stays few enough to be looked at often


class Ledger:
    """A client that makes, changes, moves and removes files, and knows what each handle shows.

    It also writes to files of a lower layer, `lower`, one after the other.
    """

    def __init__(self, port: int, export: str, lower: str) -> None:
        self.client = Persistent(port, may_reconnect=True)
        self._wire = Wire.over(self.client, export)
        self._export = export
        self._lower = [
            f"{lower}/{name.decode()}" for name in self._wire.names(self._wire.lookup(lower))
        ]
        self._shown: dict[bytes, bytes | None] = {}  # by handle; None: nothing, it is stale
        self._named: dict[str, bytes] = {}
        self.failure: BaseException | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._wire.mkdir("ledger")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the work; raises what went wrong in it."""
        self._is_over.set()
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive(), "a call is never answered"
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        number = 0
        try:
            while not self._is_over.wait(_PAUSE):
                self._round(number)
                number += 1
        except BaseException as problem:
            self.failure = problem

    def _round(self, number: int) -> None:
        wire, name = self._wire, f"ledger/{number}"
        data = f"{number} ".encode() * 3000
        handle = self._named[name] = wire.create(name)
        wire.write(handle, data, stable=UNSTABLE)
        wire.commit(handle)
        self._shown[handle] = data
        if number % 3 == 0:
            wire.rename(name, f"{name}.moved")
            self._named[f"{name}.moved"] = self._named.pop(name)
        earlier = f"ledger/{number - _ROUNDS_APART}"
        if number % 4 == 0 and earlier in self._named:
            wire.remove(earlier)
            self._shown[self._named.pop(earlier)] = None
        if number < len(self._lower):
            self._write_lower(self._lower[number], data)

    def _write_lower(self, path: str, data: bytes) -> None:
        handle = self._wire.lookup(path)
        before = self._wire.read(handle)
        self._wire.write(handle, data[:8])
        self._shown[handle] = data[:8] + before[8:]
        self._wire.rename(path, f"{path}.moved")
        self._named[f"{path}.moved"] = handle

    def check(self) -> int:
        """Look at all that was promised, when the work is over; returns of how many handles."""
        for path, handle in self._named.items():
            assert self._wire.lookup(path) == handle, f"{path} is another object"
        for handle, shown in self._shown.items():
            try:
                found: bytes | None = self._wire.read(handle)
            except NfsError as error:
                if error.status != NFS3ERR_STALE:
                    raise
                found = None
            assert found == shown, f"{handle.hex()} shows {found!r:.40} in place of {shown!r:.40}"
        return len(self._shown)

    def check_names(self) -> int:
        """Look at the contents of all that has a name, whatever its handle; returns how many."""
        self._wire.root = self._wire.client.mount(self._export)
        for path, handle in self._named.items():
            found = self._wire.read(self._wire.lookup(path))
            assert found == self._shown[handle], f"{path} shows {found!r:.40}"
        return len(self._named)


class Answered:
    """Calls that change names, each with its answer, to be sent again as if that had been lost."""

    def __init__(self, port: int, export: str, number: int) -> None:
        self._calls: list[tuple[bytes, bytes]] = []
        with Persistent(port, may_reconnect=False) as client:
            wire = Wire.over(client, export)
            directory = wire.mkdir("answered")
            for which in range(number):
                self._change(client, directory, b"%d" % which)

    def _change(self, client: Client, directory: bytes, name: bytes) -> None:
        made, moved, linked = (diropargs3(directory, name + end) for end in (b"", b".new", b".too"))
        self._call(client, "CREATE", CREATE3args(made, createhow3(GUARDED, sattr(0o644))))
        file = client.nfs("LOOKUP", made).resok.object
        self._call(client, "LINK", LINK3args(file, linked))
        self._call(client, "RENAME", RENAME3args(made, moved))
        self._call(client, "REMOVE", linked)
        self._call(client, "MKDIR", MKDIR3args(made, sattr(0o755)))
        self._call(client, "RMDIR", made)

    def _call(self, client: Client, name: str, arguments: Any) -> None:  # noqa: ANN401 - by procedure
        message = client.nfs_message(name, arguments)
        client.send(message)
        self._calls.append((message, client.record()))

    def check(self, port: int, part: slice = slice(None)) -> int:
        """Send calls again; each has its first answer, byte by byte. Returns how many."""
        calls = self._calls[part]
        with Client(port) as client:
            for number, (message, answer) in enumerate(calls):
                client.send(message)
                again = client.record()
                assert again == answer, f"call {number} of {len(calls)} is answered anew: {again!r}"
        return len(calls)
