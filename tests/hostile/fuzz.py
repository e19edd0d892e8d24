"""Damaged and random calls of all programs, as many as one likes: python -m tests.hostile.fuzz.

By TCP and UDP, with two workers; first to a server that has a plain export and one where each
client has an upper layer of its own, then to one that serves all programs by UDP, too.  What
is asserted: no process dies, none logs a traceback, calls of a good client are answered all
the time, and memory, descriptors and connections do not grow with the calls; and at the end
`overlay-nfsd check` finds nothing wrong in any overlay.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from nfsd.xdr.generated.nfs3 import NFS3_OK
from tests.client import Client
from tests.conformance.machine import command
from tests.conformance.network import Network
from tests.conformance.server import Server
from tests.hostile.target import Levels, levels
from tests.locking import LockClient
from tests.server import test_nlm_fuzz
from tests.server.test_fuzz import IN_SYNC, OUT_OF_SYNC, portmap_calls, throw, valid_calls
from tests.server.test_nfs3_attributes import made

_BATCH: Final = 50  # damaged records on one connection
_GROWTH: Final = Levels(64 << 20, 2000, 20)  # from a tenth of the calls on to all of them
_CHECK_LIMIT: Final = 600.0  # seconds
_LONGEST: Final = 30.0  # seconds for a call of the good client
_OWN: Final = """[[export]]
path = "/own"
lowerdir = "{0}/lower"
upperdir = "{0}/clients/{{client}}/upper"
workdir = "{0}/clients/{{client}}/work"
clients = {{ "*" = "rw,insecure,no_root_squash" }}
"""
_PLAIN: Final = """[server]
listen = ["{1}:0"]
workers = 2
rpcbind = "embedded"
udp = {2}
grace = 0
cache_size = "64M"
[[export]]
path = "/plain"
lowerdir = "{0}/lower"
upperdir = "{0}/upper"
workdir = "{0}/work"
clients = {{ "*" = "rw,insecure,no_root_squash" }}
"""


@contextmanager
def serving(place: Path, network: Network, *, udp: bool) -> Iterator[Server]:
    """With UDP for all programs, or with upper layers of clients: both do not go together."""
    place.mkdir()
    for name in ("lower", "upper", "work", "clients"):
        (place / name).mkdir()
    for number in range(20):
        (place / "lower" / f"file{number}").write_bytes(b"data")
    config, address = place / "config.toml", network.ADDRESS
    text = _PLAIN + ("" if udp else _OWN)
    config.write_text(text.format(place, address, str(udp).lower()))
    arguments = ["--config", str(config)]
    server = Server(None, place / "log", arguments=arguments, listen=False, inside=network.inside)
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()
    words = [sys.executable, "-m", "nfsd", "check", "--config", str(config), "--all"]
    print(command(words, timeout=_CHECK_LIMIT), end="", flush=True)


def all_calls(server: Server, address: str, exports: Sequence[str]) -> dict[int, list[bytes]]:
    """A valid call of every procedure of every program, by the port that it is served at."""
    calls: list[bytes] = []
    with (
        Client(server.port, host=address) as client,
        LockClient(server, name=b"fuzz", address=address, host=address, serves=False) as locker,
    ):
        for export in exports:
            root = client.mount(export)
            file = made(client, root, b"target")
            calls += valid_calls(client, root, file)
        of_locks = []
        for locker.version in (1, 3, 4):
            of_locks += test_nlm_fuzz.valid_calls(locker, file)
        return {server.port: calls, server.lock_port: of_locks, 111: portmap_calls(client)}


def fuzz(network: Network, calls: dict[int, list[bytes]], number: int, seed: int) -> None:
    """Send so many damaged calls, by TCP and as datagrams."""
    chance, ports = random.Random(seed), list(calls)
    with network.entered():
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.setblocking(False)
        for _ in range(0, number, 2 * _BATCH):
            port = chance.choices(ports, [6, 3, 1])[0]
            kinds = IN_SYNC * (_BATCH // len(IN_SYNC)) + [chance.choice(OUT_OF_SYNC)]
            records = [kind(chance, chance.choice(calls[port])) for kind in kinds]
            with suppress(OSError):
                throw(port, b"".join(records), network.ADDRESS)
            for record in records:
                with suppress(OSError):
                    datagrams.sendto(record[4:1400], (network.ADDRESS, port))


def run(place: Path, network: Network, *, udp: bool, number: int, seed: int) -> None:
    """So many calls to one server; raises AssertionError."""
    exports = ["/plain"] if udp else ["/plain", "/own"]
    with serving(place, network, udp=udp) as server, network.entered():
        calls = all_calls(server, network.ADDRESS, exports)
        processes, levelled = server.processes, None
        for part in range(10):
            attackers = [
                multiprocessing.get_context("fork").Process(
                    target=fuzz, args=(network, calls, number // 20, seed + 2 * part + which)
                )
                for which in range(2)
            ]
            for each in attackers:
                each.start()
            longest = beside(server, network.ADDRESS, attackers)
            assert all(each.exitcode == 0 for each in attackers)
            now = levels(server)
            print(f"udp={udp} {(part + 1) * number // 10} calls, {now}, longest {longest:.2f} s")
            assert server.processes == processes, "a process has died"
            server.check_log()
            levelled = levelled or now
        assert levelled is not None
        more = now.over(levelled)
        assert all(each < most for each, most in zip(more, _GROWTH, strict=True)), more


def beside(server: Server, address: str, attackers: Sequence[BaseProcess]) -> float:
    """Seconds that the longest call of a good client takes while others go on."""
    longest = 0.0
    with Client(server.port, host=address, timeout=_LONGEST) as client:
        root = client.mount("/plain")
        while any(each.is_alive() for each in attackers):
            begun = time.monotonic()
            assert client.nfs("GETATTR", root).status == NFS3_OK
            longest = max(longest, time.monotonic() - begun)
            time.sleep(0.05)
    for each in attackers:
        each.join()
    return longest


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with Network() as network, tempfile.TemporaryDirectory(prefix="fuzz-", dir="/var/tmp") as top:
        for udp in (False, True):
            place = Path(top, "udp" if udp else "own")
            run(place, network, udp=udp, number=options.calls // 2, seed=options.seed)


if __name__ == "__main__":
    main()
