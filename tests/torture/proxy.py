"""A proxy that makes a good server a bad one: it reads each answer and may tell something else.

Rule: what it does wrong is given by the test, one function; everything else goes through unchanged.
What it does wrong without having been told to fails the test at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
import threading
from collections.abc import Callable
from typing import Any, Final

from nfsd.xdr.codec import Parts, decode
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM, NFS_V3_SIGNATURES

Twist = Callable[[str, Any, Any], Any]

_LAST: Final = 0x80000000
_HEADER: Final = 24
_START_LIMIT: Final = 120.0


def honest(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401 - by procedure
    """Changes nothing."""
    return result


class Proxy:
    """Passes calls on to `server_port`.

    `twist(procedure, arguments, result)` returns the result to be told. `lose(procedure)` says
    whether the connection breaks before the answer. With `forgetful` every call gets an xid that
    no other has, so that one that is sent again looks new to the server; none is sent again before
    the server has answered it, as it might do the first of the two after the second.
    """

    def __init__(
        self,
        server_port: int,
        twist: Twist = honest,
        lose: Callable[[str], bool] = lambda procedure: False,
        *,
        forgetful: bool = False,
    ) -> None:
        self.server_port = server_port
        self._twist = twist
        self._lose = lose
        self._xids = itertools.count() if forgetful else None
        self._failures: list[Exception] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self.port = starting.result(_START_LIMIT)
        return self

    def __exit__(self, *exception: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_START_LIMIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_LIMIT)
        self._loop.close()
        if self._failures:
            raise self._failures[0]

    async def _start(self) -> int:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        self._listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls: dict[int, bytes] = {}
        lost = asyncio.Event()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.close()
            return
        both = [
            asyncio.ensure_future(self._calls(reader, back, calls, lost)),
            asyncio.ensure_future(self._answers(there, writer, calls, lost)),
        ]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        writer.close()
        back.close()
        for each in both:
            each.cancel()
        for result in await asyncio.gather(*both, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (OSError, EOFError)):
                self._failures.append(result)

    async def _calls(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        calls: dict[int, bytes],
        lost: asyncio.Event,
    ) -> None:
        while True:
            record = await _record(reader)
            if lost.is_set():
                continue
            xid = int.from_bytes(record[:4], "big") if self._xids is None else next(self._xids)
            calls[xid] = record
            _send(back, xid.to_bytes(4, "big") + record[4:])

    async def _answers(
        self,
        there: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        calls: dict[int, bytes],
        lost: asyncio.Event,
    ) -> None:
        while True:
            record = await _record(there)
            xid = int.from_bytes(record[:4], "big")
            call = calls.pop(xid, None)
            if call is None:
                continue  # Linux may send a call twice over a new connection: one answer will do.
            program, _, number = struct.unpack_from(">3I", call, 12)
            if lost.is_set() or (program == NFS_PROGRAM and self._lose(_name(number))):
                lost.set()
                if self._xids is None or not calls:
                    return
                continue
            if program == NFS_PROGRAM:
                record = self._twisted(number, call, record)
            _send(writer, call[:4] + record[4:])

    def _twisted(self, number: int, call: bytes, record: bytes) -> bytes:
        signature = NFS_V3_SIGNATURES[number]
        (length,) = struct.unpack_from(">I", call, 28)
        arguments = decode(signature.unpack_arguments, call, 40 + length)
        result = decode(signature.unpack_results, record, _HEADER)
        parts: Parts = [record[:_HEADER]]
        signature.pack_results(self._twist(_name(number), arguments, result), parts)
        return b"".join(parts)


def _name(number: int) -> str:
    return NFS_V3_SIGNATURES[number].name.removeprefix("NFSPROC3_")


async def _record(reader: asyncio.StreamReader) -> bytes:
    fragments = b""
    while True:
        (word,) = struct.unpack(">I", await reader.readexactly(4))
        fragments += await reader.readexactly(word & ~_LAST)
        if word & _LAST:
            return fragments


def _send(writer: asyncio.StreamWriter, record: bytes) -> None:
    writer.write(struct.pack(">I", _LAST | len(record)) + record)
