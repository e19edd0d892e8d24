"""The load generator: calls are packed here and made by load.c, which is compiled when first used.

Rule: the generator must not be the limit, so all packing happens before its clock runs; `Responder`
shows what it can do at most.  Nothing here knows a server or a workload.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from nfsd.xdr.codec import Parts, encode
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM, NFS_V3
from nfsd.xdr.generated.rpc import CALL, RPC_VERSION, call_body, pack_rpc_msg, rpc_msg, rpc_msg_body
from tests.bench.processes import Cpus, on
from tests.client import NFS, NO_AUTH, auth_sys
from tests.conformance.machine import command, program

SOURCE: Final = Path(__file__).with_name("load.c")
_WORDS: Final = struct.Struct("<6I")
_CALL: Final = struct.Struct("<6I")
_HEADER_BYTES: Final = 28 + 4  # of a reply with its mark, as far as nfsstat3
_PATIENCE: Final = 60.0  # seconds that a run may take beyond its time


class LoadError(Exception):
    """A run is no measurement: the server went away, or a call failed."""


class NoAnswerError(LoadError):
    """Those calls that were made took longer than the run."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call without its record mark: `message`, and `payload` bytes of the plan's payload.

    `units` is what a reply is worth: entries, bytes or simply 1.  The reply of one that `makes` an
    object has its handle, and a later call of the lane takes that at `takes` of its message, in
    place of `room` bytes that stand in for it.
    """

    message: bytes
    payload: int = 0
    units: int = 1
    makes: bool = False
    takes: int = 0
    room: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """So many connections, with so many calls outstanding on each."""

    connections: int
    outstanding: int

    @property
    def lanes(self) -> int:
        """Calls outstanding altogether."""
        return self.connections * self.outstanding

    def __str__(self) -> str:
        return f"{self.connections} x {self.outstanding}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of each lane, in turn; `stride` of them are a transaction, which is not cut.

    With `once` they are made once, otherwise again and again.
    """

    lanes: Sequence[Sequence[Call]]
    stride: int = 1
    once: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave: what was counted within its time, and how long each call took.

    `made` are all calls, also those answered when the time was over.
    """

    made: int
    counted: int
    units: int
    seconds: float
    latency: tuple[tuple[int, int], ...]  # (nanoseconds, calls) in ascending order

    @property
    def rate(self) -> float:
        """Units in a second."""
        return self.units / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the calls, 0 to 1, was answered."""
        wanted = share * sum(count for _, count in self.latency)
        reached = 0
        for nanoseconds, count in self.latency:
            reached += count
            if reached >= wanted:
                return nanoseconds / 1e9
        return 0.0


def call(procedure: str, arguments: Any = None, *, units: int = 1) -> Call:  # noqa: ANN401 - by procedure
    """A call as root, its arguments packed; the generator numbers it."""
    packed: Parts = []
    NFS[procedure].pack_arguments(arguments, packed)
    body = call_body(RPC_VERSION, NFS_PROGRAM, NFS_V3, NFS[procedure].number, auth_sys(), NO_AUTH)
    header = encode(pack_rpc_msg, rpc_msg(0, rpc_msg_body(CALL, cbody=body)))
    return Call(header + b"".join(packed), 0, units)


def without_payload(whole: Call, size: int) -> Call:
    """A call whose last `size` bytes are taken from the plan's payload (of a WRITE: the data)."""
    return replace(whole, message=whole.message[:-size], payload=size)


def of_the_new(whole: Call, handle: bytes) -> Call:
    """A call on what the lane has made last: `handle`, which is in it, only stands in for that."""
    return replace(whole, takes=whole.message.index(handle), room=len(handle))


def write_plan(plan: Plan, shape: Shape, path: Path) -> None:
    """The file that load.c reads."""
    numbers: dict[int, int] = {}
    calls: list[Call] = []
    for each in (each for lane in plan.lanes for each in lane):
        if numbers.setdefault(id(each), len(calls)) == len(calls):
            calls.append(each)
    payload = max((each.payload for each in calls), default=0)
    assert len(plan.lanes) == shape.lanes, f"{len(plan.lanes)} lanes for {shape}"
    assert all(len(lane) % plan.stride == 0 for lane in plan.lanes), "a transaction is cut"
    assert all(len(each.message) % 4 == 0 for each in calls), "not XDR"
    with path.open("wb") as file:
        head = shape.connections, shape.outstanding, plan.stride, not plan.once
        file.write(_WORDS.pack(*head, len(calls), payload))
        for each in calls:
            size = len(each.message), each.payload, each.units
            file.write(_CALL.pack(*size, each.makes, each.takes, each.room) + each.message)
        file.write(os.urandom(payload))
        for lane in plan.lanes:
            indices = [numbers[id(each)] for each in lane]
            file.write(struct.pack(f"<{len(indices) + 1}I", len(indices), *indices))


def shared_out(calls: Iterable[Call], lanes: int) -> list[list[Call]]:
    """The calls dealt to the lanes, each as many; where they are too few, several make the same."""
    dealt = list(calls)
    each = max(1, len(dealt) // lanes)
    return [[dealt[(lane * each + at) % len(dealt)] for at in range(each)] for lane in range(lanes)]


class Generator:
    """load.c compiled, and the numbers of the calls it made: none is used twice."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "load"
        self._made = 0
        command(
            [program("cc", "gcc"), "-std=gnu11", "-O2", "-o", self.program, SOURCE], timeout=120
        )

    def run(self, port: int, plan: Path, seconds: float, cpus: Cpus) -> Outcome:
        """Run a plan against a port, the generator on these processors; raises LoadError."""
        words = [str(self.program), str(port), f"{seconds:f}", str(self._made), str(plan)]
        try:
            done = subprocess.run(
                on(cpus, words), capture_output=True, text=True, timeout=seconds + _PATIENCE
            )
        except subprocess.TimeoutExpired:
            raise LoadError("the calls under way were not answered") from None
        if done.returncode != 0:
            raise LoadError(done.stderr.strip() or f"the generator ended with {done.returncode}")
        found = json.loads(done.stdout)
        self._made += found["made"]
        if found["failed"]:
            failed = f"{found['failed']} of {found['made']} calls failed"
            raise LoadError(f"{failed}: {_why(found['failure'])}")
        latency = tuple((int(at), int(count)) for at, count in found["latency"])
        if not found["counted"]:
            raise NoAnswerError("no call was answered in time")
        seconds = found["nanoseconds"] / 1e9
        return Outcome(found["made"], found["counted"], found["units"], seconds, latency)


def _why(failure: int) -> str:
    """A status of the generator: nfsstat3, or from the end of 32 bits what RPC said."""
    rpc = 0xFFFFFFFF - failure
    return f"RPC accept_stat {rpc}" if rpc < 1 << 16 else f"nfsstat3 {failure}"


class Responder:
    """load.c as the fastest server there can be: each call gets zeros at once."""

    def __init__(self, generator: Generator, size: int = 0) -> None:
        words = [str(generator.program), "--answer", str(max(0, size - _HEADER_BYTES))]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *words], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        found = re.fullmatch(r"port=(\d+)\n", self._process.stdout.readline())
        assert found is not None, "the responder did not start"
        self.port = int(found[1])

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
