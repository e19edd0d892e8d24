"""Registering with rpcbind: on a network of the test's own, with the system's rpcbind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.portmap.rpcbind import host_and_port, universal
from tests.conformance.network import Network, wait_for
from tests.conformance.server import PROJECT, Server, Stack

pytestmark = pytest.mark.once

_SCRIPT = """
import sys
from nfsd.portmap.rpcbind import LOCAL, Registrar, Registration
port = int(sys.argv[2])
wanted = [
    Registration(100003, 3, "tcp", "0.0.0.0", port),
    Registration(100003, 3, "tcp6", "::", port),
    Registration(100005, 1, "udp", "0.0.0.0", port),
]
print(getattr(Registrar(wanted, *sys.argv[3:]), sys.argv[1])())
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


def registrar(network: Network, what: str, port: int, *local: str) -> str:
    """What a registrar's method returns that is called in the network."""
    script = f"import os; os.chdir({str(PROJECT)!r}); sys = __import__('sys')\n"
    script += "sys.path.insert(0, '.')\n" + _SCRIPT
    return network.run(sys.executable, "-c", script, what, str(port), *local).strip()


def registered(network: Network) -> set[tuple[str, ...]]:
    """Program, version, netid and address of all but the portmapper's own."""
    lines = network.run("rpcinfo").splitlines()[1:]
    return {tuple(line.split()[:4]) for line in lines} - {
        tuple(line.split()[:4]) for line in lines if line.split()[0] == "100000"
    }


def test_universal_addresses_are_read_and_written() -> None:
    assert universal("10.0.0.1", 2049) == "10.0.0.1.8.1"
    assert universal("::", 111) == "::.0.111"
    assert host_and_port("fd77::1.8.1") == ("fd77::1", 2049)
    for text in ("", "1.2", "/run/rpcbind.sock", "::.999.1", "::.x.y"):
        with pytest.raises(ValueError, match=r".*"):
            host_and_port(text)


def test_nobody_answers(network: Network) -> None:
    assert registrar(network, "refresh", 2049) == "False"
    assert registrar(network, "withdraw", 2049) == "None"


@pytest.mark.parametrize("local", [(), ("/nowhere",)], ids=["local socket", "loopback"])
def test_what_is_registered_is_withdrawn(network: Network, local: tuple[str, ...]) -> None:
    rpcbind = network.rpcbind()
    assert registrar(network, "refresh", 2049, *local) == "True"
    wanted = {
        ("100003", "3", "tcp", "0.0.0.0.8.1"),
        ("100003", "3", "tcp6", "::.8.1"),
        ("100005", "1", "udp", "0.0.0.0.8.1"),
    }
    assert registered(network) == wanted
    assert registrar(network, "refresh", 2049, *local) == "True"
    assert registered(network) == wanted
    # Nobody answers there, so it is a dead server's.
    registrar(network, "refresh", 2050, *local)
    assert {row[3] for row in registered(network)} == {"0.0.0.0.8.2", "::.8.2"}
    registrar(network, "withdraw", 2049, *local)
    assert len(registered(network)) == 3
    registrar(network, "withdraw", 2050, *local)
    assert registered(network) == set()
    network.end(rpcbind)


@pytest.fixture
def server(network: Network, tmp_path: Path) -> Iterator[Server]:
    """A server in the network, not started yet."""
    lower = tmp_path / "lower"
    lower.mkdir()
    stack, log = Stack.over([lower], tmp_path), tmp_path / "log"
    server = Server(stack, log, inside=network.inside, address=network.ADDRESS)
    yield server
    server.kill()


def test_a_server_is_registered_while_it_runs(network: Network, server: Server) -> None:
    server.start()
    assert "rpcbind does not answer" in server.output()
    rpcbind = network.rpcbind()
    wanted = {("100003", "3"), ("100005", "1"), ("100005", "3"), ("100227", "3")}

    def is_registered() -> bool:
        return {row[:2] for row in registered(network)} >= wanted

    wait_for(is_registered, "registered with an rpcbind that came later")
    network.end(rpcbind)
    rpcbind = network.rpcbind()
    wait_for(is_registered, "registered with another rpcbind")
    server.kill()
    server.port = 0
    server.start()
    address = universal(network.ADDRESS, server.port)
    found = {row[3] for row in registered(network) if row[:2] in wanted}
    assert found == {address}, "not the dead server's port"
    server.stop()
    assert registered(network) == set()
    network.end(rpcbind)


def test_a_server_that_answers_stays_registered(network: Network) -> None:
    rpcbind = network.rpcbind()
    # rpcbind itself answers for a program that it does not know.
    registrar(network, "refresh", 111)
    registrar(network, "refresh", 2049)
    assert {row[3] for row in registered(network)} == {"0.0.0.0.0.111", "::.0.111"}
    registrar(network, "withdraw", 2049)
    assert len(registered(network)) == 3
    network.end(rpcbind)
