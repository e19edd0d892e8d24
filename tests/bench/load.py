"""A load generator: one connection, a number of calls outstanding, replies counted by size.

Rule: it must not be the limit.  The calls are packed before the clock runs, the replies to one
workload all have the same size, and what arrives is only counted; the first reply is decoded to see
that the call succeeds.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nfsd.xdr.codec import Parts
from nfsd.xdr.nfs3 import NFS3_OK, NFS_PROGRAM, NFS_V3
from tests.client import NFS, Client

_LAST: Final = 0x80000000
_REPLY_HEADER: Final = 24  # xid, REPLY, MSG_ACCEPTED, a verifier of no bytes, SUCCESS
_MARK: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Workload:
    """Calls of one procedure, made in turn; `size` is the data that one moves, in bytes."""

    name: str
    procedure: str
    arguments: Sequence[Any]
    calls: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """What a run gave."""

    workload: Workload
    seconds: float

    @property
    def rate(self) -> float:
        """Calls in a second."""
        return self.workload.calls / self.seconds

    def __str__(self) -> str:
        text = f"{self.rate:>10,.0f}/s"
        if self.workload.size:
            text += f"  {self.rate * self.workload.size / 1e9:.2f} GB/s"
        return text


def run(client: Client, workload: Workload, outstanding: int) -> Figure:
    """Make all calls of a workload with so many of them on their way."""
    records = [_record(client, workload.procedure, each) for each in workload.arguments]
    reply_size = _first_reply(client, workload)
    sock = client.socket
    buffer = bytearray(4 << 20)
    total = workload.calls * reply_size
    sent = received = 0
    begun = time.perf_counter()
    while received < total:
        answered = received // reply_size
        allowed = min(workload.calls, answered + outstanding)
        if sent < allowed:
            sock.sendall(b"".join([records[at % len(records)] for at in range(sent, allowed)]))
            sent = allowed
        received += sock.recv_into(buffer)
    return Figure(workload, time.perf_counter() - begun)


def _record(client: Client, procedure: str, arguments: Any) -> bytes:  # noqa: ANN401 - by procedure
    parts: Parts = []
    NFS[procedure].pack_arguments(arguments, parts)
    message = client.message(NFS_PROGRAM, NFS_V3, NFS[procedure].number, b"".join(parts))
    return _MARK.pack(_LAST | len(message)) + message


def _first_reply(client: Client, workload: Workload) -> int:
    """The size of a reply with its mark, after a look at whether it is a success."""
    result = client.nfs(workload.procedure, workload.arguments[0])
    assert result is None or result.status == NFS3_OK, f"{workload.name}: {result}"
    packed: Parts = []
    NFS[workload.procedure].pack_results(result, packed)
    return _MARK.size + _REPLY_HEADER + sum(map(len, packed))
