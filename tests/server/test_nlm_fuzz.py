"""Thousands of damaged and random calls of NLM and NSM, over TCP and UDP: locks stay as they are.

The seed is printed, so that what fails can be repeated with FUZZ_SEED.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.nlm4 import NLM4_DENIED, NLM4_GRANTED, NLM4_PROGRAM
from nfsd.xdr.generated.nsm import SM_PROG, SM_VERS, mon, mon_id, my_id, stat_chge
from tests.conformance.server import Server, Stack
from tests.locking import NSM, VERSIONS, LockClient
from tests.server.test_fuzz import IN_SYNC, OUT_OF_SYNC, throw
from tests.wire import Wire

pytestmark = pytest.mark.torture

RECORDS = 6_000
BATCH = 50
WARM_UP = 2_000  # records after which memory is level
GROWTH = 8 << 20  # bytes it may still grow


def valid_calls(client: LockClient, handle: bytes) -> list[bytes]:
    """One call of every procedure of both programs, of NLM in the client's version."""
    made = client.made
    lock = client.on(handle, 5, 5)
    wish = client.wish(handle, 5, 5, block=True)
    testargs = made("testargs", b"c", True, lock)
    holder = made("holder", True, 1, b"oh", 0, 0)
    share = made("shareargs", b"c", made("share", client.name, handle, b"oh", 1, 1), False)
    by_name = {
        "NULL": None,
        **dict.fromkeys(("TEST", "TEST_MSG", "GRANTED", "GRANTED_MSG"), testargs),
        **dict.fromkeys(("LOCK", "LOCK_MSG", "NM_LOCK"), wish),
        **dict.fromkeys(("CANCEL", "CANCEL_MSG"), made("cancargs", b"c", True, True, lock)),
        **dict.fromkeys(("UNLOCK", "UNLOCK_MSG"), made("unlockargs", b"c", lock)),
        "TEST_RES": made("testres", b"c", made("testrply", NLM4_DENIED, holder)),
        **dict.fromkeys(("SHARE", "UNSHARE"), share),
        "FREE_ALL": made("notify", client.name, 3),
    }
    me = my_id(client.name, 1, 2, 3)
    of_nsm = {
        "NULL": None,
        "STAT": client.name,
        "MON": mon(mon_id(client.name, me), bytes(16)),
        "UNMON": mon_id(client.name, me),
        "UNMON_ALL": me,
        "SIMU_CRASH": None,
        "NOTIFY": stat_chge(client.name, 3),
    }
    calls = []
    for name, signature in VERSIONS[client.version].items():
        arguments = by_name.get(name, made("res", b"c", NLM4_GRANTED))
        version = client.version
        calls.append(client.client.message_of(NLM4_PROGRAM, version, signature, arguments))
    for name, signature in NSM.items():
        calls.append(client.client.message_of(SM_PROG, SM_VERS, signature, of_nsm[name]))
    return calls


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    lower = tmp_path / "lower"
    lower.mkdir()
    (lower / "target").write_bytes(b"data")
    server = Server(Stack.over([lower], tmp_path), tmp_path / "log")
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


def resident(server: Server) -> int:
    pages = Path(f"/proc/{server.lock_owner}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(600)
def test_damaged_calls(server: Server) -> None:
    seed = int(os.environ.get("FUZZ_SEED", "20240608"))
    print(f"FUZZ_SEED={seed}")
    chance = random.Random(seed)
    wire = Wire(server.port)
    handle = wire.lookup("target")
    owner = server.lock_owner
    with (
        LockClient(server, name=b"holder") as holder,
        LockClient(server, name=b"other") as other,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        assert holder.lock(handle, 0, 100) == NLM4_GRANTED
        calls = []
        for other.version in (1, 3, 4):
            calls += valid_calls(other, handle)
        datagrams.connect(("127.0.0.1", server.lock_port))
        sent = answered = level = 0
        while sent < RECORDS:
            kinds = IN_SYNC * (BATCH // len(IN_SYNC)) + [chance.choice(OUT_OF_SYNC)]
            records = [kind(chance, chance.choice(calls)) for kind in kinds]
            answered += throw(server.lock_port, b"".join(records))
            for record in records:
                datagrams.send(record[4:1400])
            sent += len(kinds)
            if level == 0 and sent > WARM_UP:
                level = resident(server)
        assert resident(server) - level < GROWTH
        assert answered > RECORDS / 2
        assert other.lock(handle, 50, 1) == NLM4_DENIED
        assert other.lock(handle, 100, 1) == NLM4_GRANTED
        assert holder.unlock(handle, 0, 100) == NLM4_GRANTED
    wire.close()
    assert server.lock_owner == owner, "it has not died"
    server.check_log()
    assert server.output().count("\n") < 150, "malformed input is logged once, not for each packet"
