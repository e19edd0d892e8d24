"""Clients over IPv6: let in by their patterns, listed by their addresses, and answered by UDP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.rpc.client import call
from nfsd.xdr.generated.mount import (
    MNT3_OK,
    MNT3ERR_ACCES,
    MOUNT_PROGRAM,
    MOUNT_V3,
    MOUNT_V3_SIGNATURES,
    mountbody,
)
from tests.client import Client
from tests.conformance.machine import command, program
from tests.conformance.network import Network
from tests.conformance.server import Server

EXPORT = """
[[export]]
path = "/{name}"
lowerdir = "{place}/lower"
upperdir = "{place}/upper"
workdir = "{place}/work"
clients = {clients}
"""
PORT = 2049


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def served(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("ipv6")
    file = place / "overlay-nfsd.toml"
    clients = {
        "narrow": f'{{ "{network.ADDRESS6}/128" = "rw,insecure" }}',
        "other": '{ "2001:db8::/32" = "rw,insecure", "10.77.0.0/24" = "rw,insecure" }',
    }
    with file.open("w") as config:
        for name, patterns in clients.items():
            for part in ("lower", "upper", "work"):
                (place / name / part).mkdir(parents=True)
            config.write(EXPORT.format(name=name, place=place / name, clients=patterns))
    server = Server(
        None,
        place / "log",
        arguments=["--config", str(file), "--listen", f"127.0.0.1:{PORT}", "--rpcbind=system"],
        inside=network.inside,
        address="[::]",
    )
    server.port = PORT
    server.start()
    yield server
    server.stop()


def answers(sock: socket.socket) -> dict[bytes, int]:
    """What MNT says of each export."""
    return {
        path: call(sock, MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES[1], path, 60.0).fhs_status
        for path in (b"/narrow", b"/other")
    }


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_client_is_known_by_its_address(network: Network, kind: socket.SocketKind) -> None:
    with network.entered():
        sock = socket.socket(socket.AF_INET6, kind)
    with sock:
        sock.connect((network.ADDRESS6, PORT))
        assert answers(sock) == {b"/narrow": MNT3_OK, b"/other": MNT3ERR_ACCES}
        listed = call(sock, MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES[2], None, 60.0)
        assert listed == [mountbody(network.ADDRESS6.encode(), b"/narrow")]


@pytest.mark.usefixtures("served")
def test_its_objects_are_served(network: Network) -> None:
    with network.entered():
        client = Client(PORT, host=network.ADDRESS6)
    with client:
        assert client.nfs("GETATTR", client.mount("/narrow")).status == 0


def test_a_kernel_without_ipv6(network: Network, tmp_path: Path) -> None:
    """What the configuration listens on, if it says nothing, is what there is."""
    shim, file = tmp_path / "shim.so", tmp_path / "overlay-nfsd.toml"
    source = Path(__file__).with_name("no_ipv6.c")
    flags = ("-shared", "-fPIC", "-O", "-o", shim, source, "-ldl")
    command([program("cc", "gcc"), *flags], timeout=120)
    (tmp_path / "lower").mkdir()
    file.write_text(
        f'[[export]]\npath = "/"\nlowerdir = "{tmp_path}/lower"\nclients = {{ "*" = "ro" }}\n'
    )
    server = Server(
        None,
        tmp_path / "log",
        arguments=["--config", str(file)],
        environment={"LD_PRELOAD": str(shim), "STATE_DIRECTORY": str(tmp_path / "state")},
        inside=[
            *network.inside,
            "unshare",
            "--net",
            "sh",
            "-c",
            'ip link set lo up; exec "$@"',
            "sh",
        ],
        listen=False,
    )
    server.start()
    try:
        assert "serving / on 0.0.0.0:2049\n" in server.banner
        server.stop()
    finally:
        server.kill()
