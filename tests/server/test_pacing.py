"""Clients on the server's machine are sent replies without pacing, others as the machine has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.conformance.machine import UnavailableError, program
from tests.conformance.network import Network
from tests.conformance.server import Server, Stack

CHOICE = "/proc/sys/net/ipv4/tcp_congestion_control"


@pytest.fixture(params=["bbr", "reno"])
def chosen(request: pytest.FixtureRequest) -> str:
    """What the machine has for all connections."""
    return str(request.param)


@pytest.fixture
def network(chosen: str) -> Iterator[Network]:
    with Network() as network:
        try:
            network.run("sh", "-c", f"echo {chosen} >{CHOICE}")
        except UnavailableError:
            pytest.skip(f"the kernel has no {chosen}")
        yield network


@pytest.fixture
def server(network: Network, tmp_path: Path) -> Iterator[Server]:
    lower = tmp_path / "lower"
    lower.mkdir()
    stack = Stack.over([lower], tmp_path)
    server = Server(stack, tmp_path / "log", inside=network.inside, address="0.0.0.0")
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


def test_only_connections_from_elsewhere_have_what_was_chosen(
    network: Network, server: Server, chosen: str
) -> None:
    for source, expected in ((network.ADDRESS, "reno"), (network.CLIENT, chosen)):
        with network.entered():
            client = Client(server.port, host=network.ADDRESS, source=(source, 0))
        with client:
            client.mount("/")
            assert control(network, server) == expected


def control(network: Network, server: Server) -> str:
    """The congestion control of the server's only connection."""
    show = program("ss", "iproute2"), "--tcp", "--info", "--numeric", "--no-header"
    shown = network.run(*show, "state", "established", f"sport = :{server.port}")
    found = re.findall(r"^\s+(\w+) wscale", shown, re.MULTILINE)
    assert len(found) == 1, shown
    return str(found[0])
