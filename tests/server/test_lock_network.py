"""Locks on a network of the test's own: found by rpcbind, over IPv6, with calls back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import diropargs3
from nfsd.xdr.generated.nlm4 import NLM4_BLOCKED, NLM4_GRANTED
from tests.client import Client
from tests.conformance.machine import program
from tests.conformance.network import Network, wait_for
from tests.conformance.server import Server, Stack
from tests.locking import LockClient


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


def serving(place: Path, network: Network, address: str, *arguments: str) -> Server:
    lower = place / "lower"
    lower.mkdir()
    (lower / "file").write_bytes(b"")
    return Server(
        Stack.over([lower], place),
        place / "log",
        inside=network.inside,
        address=address,
        arguments=arguments,
    )


@pytest.mark.parametrize("mode", ["system", "embedded"])
def test_rpcbind_knows_the_port(tmp_path: Path, network: Network, mode: str) -> None:
    info = program("rpcinfo", "rpcbind")
    rpcbind = network.rpcbind() if mode == "system" else None
    server = serving(tmp_path, network, "0.0.0.0", "--rpcbind", mode, "--workers", "1")
    try:
        server.start()
        wanted = {
            (number, version, transport, str(server.lock_port))
            for number, version in (*(("100021", each) for each in "134"), ("100024", "1"))
            for transport in ("tcp", "udp")
        }
        rows: set[tuple[str, ...]] = set()

        def is_known() -> bool:
            rows.update(
                tuple(line.split()[:4])
                for line in network.run(info, "-p", network.ADDRESS).splitlines()
            )
            return wanted <= rows

        wait_for(is_known, "registered")
        server.stop()
    finally:
        server.kill()
        if rpcbind is not None:
            network.end(rpcbind)


def test_a_client_of_ipv6_is_called_back(tmp_path: Path, network: Network) -> None:
    server = serving(tmp_path, network, "[::]", "--rpcbind", "off")
    server.start()
    try:
        with (
            network.entered(),
            Client(server.port, host=network.ADDRESS6) as client,
            LockClient(server, address=network.ADDRESS6, host=network.ADDRESS6) as alpha,
        ):
            handle = client.nfs("LOOKUP", diropargs3(client.mount("/"), b"file")).resok.object
            assert alpha.lock(handle, svid=1) == NLM4_GRANTED
            assert alpha.lock(handle, svid=2, block=True) == NLM4_BLOCKED
            assert alpha.unlock(handle, svid=1) == NLM4_GRANTED
            (told,) = alpha.wait_for("GRANTED")
            assert told.alock == alpha.on(handle, svid=2)
            server.restart(crash=True)
            alpha.wait_for("SM_NOTIFY")
            alpha.connect()
            assert alpha.lock(handle, svid=2, reclaim=True) == NLM4_GRANTED
        server.stop()
    finally:
        server.kill()
