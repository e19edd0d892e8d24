"""The load generator: what it sends, what it counts, and what it refuses to count."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import xdrlib3

from nfsd.xdr.codec import decode
from nfsd.xdr.generated.nfs3 import UNSTABLE, WRITE3args, diropargs3, unpack_diropargs3
from nfsd.xdr.generated.rpc import unpack_rpc_msg
from tests.bench.load import (
    SOURCE,
    Call,
    Generator,
    LoadError,
    Outcome,
    Plan,
    Responder,
    Shape,
    call,
    of_the_new,
    shared_out,
    without_payload,
    write_plan,
)
from tests.conformance.machine import command, program

pytestmark = pytest.mark.once

ANYWHERE = frozenset([0])
LIMIT = 120.0  # seconds; runs that make each call once end long before
SINGLE = Shape(1, 1)
HANDLE = bytes(range(32))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator(tmp_path_factory.mktemp("load"))


def run(generator: Generator, port: int, plan: Plan, shape: Shape, at: Path) -> Outcome:
    write_plan(plan, shape, at / "plan")
    return generator.run(port, at / "plan", LIMIT, ANYWHERE)


def success(xid: bytes, status: int = 0, accepted: int = 0) -> bytes:
    return xid + struct.pack(">6I", 1, 0, 0, 0, accepted, status)


def whole(record: bytes) -> bytes:
    return struct.pack(">I", 0x80000000 | len(record)) + record


@contextmanager
def serving(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """A server for one connection that answers each record with these bytes; its port."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            while mark := stream.read(4):
                size = struct.unpack(">I", mark)[0] & 0x7FFFFFFF
                reply = answer(stream.read(size))
                if not reply:
                    return
                connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(LIMIT)


def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
    out = str(tmp_path / "load")
    command([program("cc", "gcc"), "-std=gnu11", "-O2", *strict, "-o", out, SOURCE], timeout=120)
    assert SOURCE.read_text().count("\n") < 400


def test_a_call_is_what_other_decoders_take_it_for() -> None:
    found = call("LOOKUP", diropargs3(HANDLE, b"name"))
    message, at = unpack_rpc_msg(found.message, 0)
    assert message.body.cbody is not None
    assert (message.body.cbody.prog, message.body.cbody.vers) == (100003, 3)
    assert message.body.cbody.proc == 3
    assert decode(unpack_diropargs3, found.message, at) == diropargs3(HANDLE, b"name")
    other = xdrlib3.Unpacker(found.message[at:])
    assert (other.unpack_opaque(), other.unpack_string()) == (HANDLE, b"name")
    other.done()


def test_a_write_without_its_data_keeps_their_length() -> None:
    data = bytes(4096)
    found = without_payload(call("WRITE", WRITE3args(HANDLE, 0, 4096, UNSTABLE, data)), 4096)
    assert found.payload == 4096
    assert found.message[-4:] == struct.pack(">I", 4096)


def test_calls_are_shared_out_evenly() -> None:
    calls = [Call(bytes([number])) for number in range(10)]
    lanes = shared_out(calls, 3)
    assert [len(lane) for lane in lanes] == [3, 3, 3]
    assert len({each.message for lane in lanes for each in lane}) == 9
    assert [len(lane) for lane in shared_out(calls[:2], 4)] == [1, 1, 1, 1]


def test_percentiles_are_of_calls_not_of_steps() -> None:
    outcome = Outcome(100, 100, 100, 1.0, ((1_000, 90), (2_000, 9), (50_000, 1)))
    assert outcome.percentile(0.5) == 1e-6
    assert outcome.percentile(0.9) == 1e-6
    assert outcome.percentile(0.99) == 2e-6
    assert outcome.percentile(1.0) == 50e-6


def test_rates_are_of_units() -> None:
    assert Outcome(12, 10, 50, 2.0, ((1, 10),)).rate == 25


@pytest.mark.parametrize("shape", [SINGLE, Shape(1, 16), Shape(8, 8)], ids=str)
def test_each_call_is_made_once_and_counted(
    generator: Generator, shape: Shape, tmp_path: Path
) -> None:
    lane = [call("NULL", units=3), call("NULL", units=4)] * 50
    responder = Responder(generator)
    try:
        plan = Plan([lane] * shape.lanes, once=True)
        outcome = run(generator, responder.port, plan, shape, tmp_path)
    finally:
        responder.stop()
    assert outcome.made == outcome.counted == 100 * shape.lanes
    assert outcome.units == 350 * shape.lanes
    assert sum(count for _, count in outcome.latency) == outcome.counted
    assert 0 < outcome.percentile(0.5) <= outcome.percentile(0.99) <= outcome.seconds < LIMIT


def test_large_replies_and_large_calls_pass(generator: Generator, tmp_path: Path) -> None:
    size = 1 << 20
    data = bytes(size)
    one = without_payload(call("WRITE", WRITE3args(HANDLE, 0, size, UNSTABLE, data)), size)
    responder = Responder(generator, size)
    try:
        plan = Plan([[one] * 4] * 16, once=True)
        outcome = run(generator, responder.port, plan, Shape(2, 8), tmp_path)
    finally:
        responder.stop()
    assert outcome.counted == 64


def test_what_is_sent_is_the_calls_each_with_an_xid_of_its_own(
    generator: Generator, tmp_path: Path
) -> None:
    records: list[bytes] = []

    def answer(record: bytes) -> bytes:
        records.append(record)
        return whole(success(record[:4]))

    calls = [call("GETATTR", bytes([number]) * 32) for number in range(20)]
    with serving(answer) as port:
        run(generator, port, Plan([calls], once=True), SINGLE, tmp_path)
    with serving(answer) as port:
        run(generator, port, Plan([calls], once=True), SINGLE, tmp_path)
    assert [record[4:] for record in records] == [each.message[4:] for each in calls] * 2
    assert len({record[:4] for record in records}) == 40


def test_the_payload_is_sent_behind_its_call(generator: Generator, tmp_path: Path) -> None:
    records: list[bytes] = []

    def answer(record: bytes) -> bytes:
        records.append(record)
        return whole(success(record[:4]))

    with serving(answer) as port:
        plan = Plan([[Call(bytes(40), payload=8), Call(bytes(44), payload=4)]], once=True)
        run(generator, port, plan, SINGLE, tmp_path)
    begin = 24 + (24 + 40) + (24 + 44)  # of the payload in the plan: behind its head and the calls
    payload = (tmp_path / "plan").read_bytes()[begin : begin + 8]
    assert [records[0][40:], records[1][44:]] == [payload, payload[:4]]


def test_what_was_made_is_called_by_its_handle(generator: Generator, tmp_path: Path) -> None:
    """Each lane has its own, and the one that it made last."""
    records: list[bytes] = []

    def answer(record: bytes) -> bytes:
        records.append(record)
        handle = record[:4] * 3
        return whole(success(record[:4]) + struct.pack(">2I", 1, len(handle)) + handle)

    stand_in = b"\xa5" * 12
    pair = [Call(bytes(40), makes=True), of_the_new(Call(bytes(8) + stand_in + bytes(4)), stand_in)]
    with serving(answer) as port:
        plan = Plan([pair * 3, pair * 3], stride=2, once=True)
        run(generator, port, plan, Shape(1, 2), tmp_path)
    made: dict[int, bytes] = {}
    taken = 0
    for record in records:
        lane = record[3]
        if len(record) == 40:
            made[lane] = record[:4] * 3
        else:
            taken += 1
            assert record[8:20] == made[lane]
    assert taken == 6


def test_replies_in_fragments_and_in_pieces_are_followed(
    generator: Generator, tmp_path: Path
) -> None:
    def answer(record: bytes) -> bytes:
        reply = success(record[:4]) + bytes(100)
        first = struct.pack(">I", 10) + reply[:10]
        return first + struct.pack(">I", 0) + whole(reply[10:])

    with serving(answer) as port:
        outcome = run(generator, port, Plan([[call("NULL")] * 30], once=True), SINGLE, tmp_path)
    assert outcome.counted == 30


def test_a_lane_stops_only_behind_a_transaction(generator: Generator, tmp_path: Path) -> None:
    made: list[int] = []

    def answer(record: bytes) -> bytes:
        made.append(int.from_bytes(record[20:24], "big"))
        if len(made) == 5:  # the time is over in the middle of the second transaction
            time.sleep(2 * seconds)
        return whole(success(record[:4]))

    seconds = 1.0
    with serving(answer) as port:
        transaction = [call("GETATTR", HANDLE), call("NULL"), call("GETATTR", HANDLE)]
        write_plan(Plan([transaction], stride=3), SINGLE, tmp_path / "plan")
        outcome = generator.run(port, tmp_path / "plan", seconds, ANYWHERE)
    assert made == [1, 0, 1] * 2
    assert (outcome.made, outcome.counted) == (6, 4)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda xid: whole(success(xid, status=70)), "1 of 1 calls failed: nfsstat3 70"),
        (lambda xid: whole(success(xid, accepted=3)), "RPC accept_stat 3"),
        (lambda xid: whole(success(bytes(3) + b"\xff")), "a reply that was not asked for"),
        (lambda xid: b"", "closed the connection"),
    ],
    ids=["nfs", "rpc", "stray", "closed"],
)
def test_what_is_no_success_is_no_measurement(
    generator: Generator, tmp_path: Path, answer: Callable[[bytes], bytes], why: str
) -> None:
    with serving(lambda record: answer(record[:4])) as port, pytest.raises(LoadError, match=why):
        run(generator, port, Plan([[call("NULL")]], once=True), SINGLE, tmp_path)


def test_a_plan_that_cuts_a_transaction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="transaction"):
        write_plan(Plan([[call("NULL")] * 3], stride=2), SINGLE, tmp_path / "plan")
