"""The port mapper of our own, and calls by UDP, on a network of the test's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nfsd.rpc.client import RefusedError, call, header
from nfsd.xdr.codec import Signature, encode
from nfsd.xdr.generated.mount import MNT3_OK, MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES
from nfsd.xdr.generated.nfs3 import (
    NFS_PROGRAM,
    NFS_V3,
    MKDIR3args,
    READ3args,
    READDIR3args,
    diropargs3,
)
from nfsd.xdr.generated.nfsacl import NFS_ACL_PROGRAM
from nfsd.xdr.generated.rpc import (
    AUTH_NONE,
    CALL,
    RPC_VERSION,
    call_body,
    opaque_auth,
    pack_rpc_msg,
    rpc_msg,
    rpc_msg_body,
)
from nfsd.xdr.generated.rpcbind import (
    PMAPVERS,
    PMAPVERS_SIGNATURES,
    RPCBPROG,
    RPCBVERS,
    RPCBVERS4,
    RPCBVERS4_SIGNATURES,
    mapping,
    rpcb,
)
from tests.client import MOUNT, NFS, auth_sys
from tests.conformance.network import Network
from tests.conformance.server import Server, Stack
from tests.server.test_nfs3_attributes import SAME

pytestmark = pytest.mark.once

PORT = 2049
SECONDS = 60.0
UNKNOWN = 0x20000000  # the first program number that is anybody's
DIRECTORIES = 400
NAME = b"directory%0200d"
UDP, TCP = socket.IPPROTO_UDP, socket.IPPROTO_TCP


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def server(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("portmapper")
    lower = place / "lower"
    (lower / "many").mkdir(parents=True)
    (lower / "file").write_bytes(bytes(range(256)) * 1000)
    for number in range(DIRECTORIES):
        (lower / "long" / os.fsdecode(NAME % number)).mkdir(parents=True)
    for number in range(2000):
        (lower / "many" / f"entry{number:028}").touch()
    server = Server(
        Stack.over([lower], place),
        place / "log",
        arguments=["--listen", f"[::]:{PORT}", "--rpcbind", "embedded", "--udp"],
        inside=network.inside,
        address="0.0.0.0",
    )
    server.port = PORT
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["tcp", "udp", "tcp6", "udp6"])
def netid(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def connected(network: Network, netid: str, port: int, source: str = "") -> socket.socket:
    """A socket of the network that has the server's address for its peer."""
    six = netid.endswith("6")
    family = socket.AF_INET6 if six else socket.AF_INET
    kind = socket.SOCK_DGRAM if netid.startswith("udp") else socket.SOCK_STREAM
    with network.entered():
        sock = socket.socket(family, kind)
    try:
        sock.settimeout(SECONDS)
        if source:
            sock.bind((source, 0))
        sock.connect((network.ADDRESS6 if six else network.ADDRESS, port))
    except OSError:
        sock.close()
        raise
    return sock


def portmap(sock: socket.socket, number: int, arguments: mapping | None = None) -> Any:  # noqa: ANN401
    signature: Signature[Any, Any] = PMAPVERS_SIGNATURES[number]
    return call(sock, RPCBPROG, PMAPVERS, signature, arguments, SECONDS)


def rpcbind(sock: socket.socket, number: int, arguments: rpcb | None = None) -> Any:  # noqa: ANN401
    by_number: dict[int, Signature[Any, Any]]
    by_number = {each.number: each for each in RPCBVERS4_SIGNATURES}
    return call(sock, RPCBPROG, RPCBVERS4, by_number[number], arguments, SECONDS)


@contextmanager
def listing(network: Network, netid: str, how: Callable[..., Any]) -> Iterator[socket.socket]:
    """A connection for DUMP, which UDP refuses: the answer may go to who has not asked."""
    if netid.startswith("udp"):
        with (
            connected(network, netid, 111) as sock,
            pytest.raises(RefusedError, match="SYSTEM_ERR"),
        ):
            how(sock, 4)
    with connected(network, netid.replace("udp", "tcp"), 111) as stream:
        yield stream


def nfs(sock: socket.socket, name: str, arguments: object) -> Any:  # noqa: ANN401
    return call(sock, NFS_PROGRAM, NFS_V3, NFS[name], arguments, SECONDS)


@pytest.mark.usefixtures("server")
def test_ports(network: Network, netid: str) -> None:
    with connected(network, netid, 111) as sock:
        assert portmap(sock, 0) is None
        for program, version in ((NFS_PROGRAM, 3), (MOUNT_PROGRAM, 3), (MOUNT_PROGRAM, 1)):
            for protocol in (TCP, UDP):
                assert portmap(sock, 3, mapping(program, version, protocol, 0)) == PORT
        assert portmap(sock, 3, mapping(RPCBPROG, PMAPVERS, UDP, 0)) == 111
        # Of another version there is one, which says which.
        assert portmap(sock, 3, mapping(NFS_PROGRAM, 2, TCP, 0)) == PORT
        assert portmap(sock, 3, mapping(UNKNOWN, 4, TCP, 0)) == 0
        assert portmap(sock, 3, mapping(NFS_PROGRAM, 3, 99, 0)) == 0
    with listing(network, netid, portmap) as sock:
        listed = portmap(sock, 4)
        assert mapping(NFS_ACL_PROGRAM, 3, TCP, PORT) in listed
        assert mapping(RPCBPROG, PMAPVERS, TCP, 111) in listed


@pytest.mark.usefixtures("server")
def test_universal_addresses(network: Network, netid: str) -> None:
    ours = {"": f"{network.ADDRESS}.8.1", "6": f"{network.ADDRESS6}.8.1"}
    family = "6" if netid.endswith("6") else ""
    with connected(network, netid, 111) as sock:
        found = rpcbind(sock, 3, rpcb(NFS_PROGRAM, NFS_V3, netid.encode(), b"", b""))
        assert found.decode() == ours[family]
        # Without a netid the call's own transport is meant.
        assert rpcbind(sock, 3, rpcb(NFS_PROGRAM, NFS_V3, b"", b"", b"")) == found
        assert rpcbind(sock, 3, rpcb(UNKNOWN, 4, netid.encode(), b"", b"")) == b""
        assert rpcbind(sock, 9, rpcb(NFS_PROGRAM, 2, netid.encode(), b"", b"")) == b""
        assert rpcbind(sock, 9, rpcb(NFS_PROGRAM, 3, netid.encode(), b"", b"")) == found
    with listing(network, netid, rpcbind) as sock:
        listed = {(row.r_prog, row.r_vers, row.r_netid) for row in rpcbind(sock, 4)}
        assert (NFS_ACL_PROGRAM, 3, netid.encode()) in listed
        assert (RPCBPROG, RPCBVERS, netid.encode()) in listed


@pytest.mark.usefixtures("server")
def test_nobody_registers_or_calls_through_it(network: Network, netid: str) -> None:
    with (
        connected(network, netid, 111) as sock,
        listing(network, netid, portmap) as stream,
    ):
        before = portmap(stream, 4)
        assert portmap(sock, 1, mapping(UNKNOWN, 4, TCP, 999)) is False
        assert portmap(sock, 2, mapping(NFS_PROGRAM, 3, TCP, 0)) is False
        assert rpcbind(sock, 1, rpcb(UNKNOWN, 4, b"tcp", b"0.0.0.0.8.1", b"0")) is False
        assert rpcbind(sock, 2, rpcb(NFS_PROGRAM, 3, b"tcp", b"", b"0")) is False
        assert portmap(stream, 4) == before
        callit = PMAPVERS_SIGNATURES[0]._replace(number=5)
        with pytest.raises(RefusedError, match="PROC_UNAVAIL"):
            call(sock, RPCBPROG, PMAPVERS, callit, None, SECONDS)


@pytest.mark.usefixtures("server")
def test_a_datagram_is_never_too_small(network: Network) -> None:
    with connected(network, "udp", PORT, network.CLIENT) as sock:
        root = call(sock, MOUNT_PROGRAM, MOUNT_V3, MOUNT["MNT"], b"/", SECONDS).mountinfo.fhandle
        sizes = nfs(sock, "FSINFO", root).resok
        assert {sizes.rtmax, sizes.wtmax, sizes.dtpref} == {32 << 10}
        file = nfs(sock, "LOOKUP", diropargs3(root, b"file")).resok.object
        read = nfs(sock, "READ", READ3args(file, 256, 1 << 20)).resok
        assert bytes(read.data) == bytes(range(256)) * 128
        many = nfs(sock, "LOOKUP", diropargs3(root, b"many")).resok.object
        listed = nfs(sock, "READDIR", READDIR3args(many, 0, bytes(8), 1 << 20)).resok.reply
        assert 300 < len(listed.entries) < 700
        assert not listed.eof


@pytest.mark.usefixtures("server")
def test_what_fits_into_no_datagram_is_refused(network: Network) -> None:
    mnt, dump, _, umntall = MOUNT_V3_SIGNATURES[1:5]
    with connected(network, "tcp", PORT) as stream, connected(network, "udp", PORT) as sock:
        for number in range(DIRECTORIES):
            path = b"/long/" + NAME % number
            status = call(stream, MOUNT_PROGRAM, MOUNT_V3, mnt, path, SECONDS).fhs_status
            assert status == MNT3_OK
        listed = call(stream, MOUNT_PROGRAM, MOUNT_V3, dump, None, SECONDS)
        assert len(listed) >= DIRECTORIES
        with pytest.raises(RefusedError, match="SYSTEM_ERR"):
            call(sock, MOUNT_PROGRAM, MOUNT_V3, dump, None, SECONDS)
        call(stream, MOUNT_PROGRAM, MOUNT_V3, umntall, None, SECONDS)
        assert len(call(sock, MOUNT_PROGRAM, MOUNT_V3, dump, None, SECONDS)) < DIRECTORIES


@pytest.mark.usefixtures("server")
def test_no_answer_by_udp_is_much_larger_than_the_call(network: Network) -> None:
    """Of the programs that answer everybody: it may go to an address that was forged."""
    nothing, path = opaque_auth(AUTH_NONE, b""), b"/" + b"x" * 40
    calls: list[tuple[int, int, Signature[Any, Any]]] = []
    calls += [(MOUNT_PROGRAM, version, each) for version in (1, 3) for each in MOUNT_V3_SIGNATURES]
    calls += [(RPCBPROG, PMAPVERS, each) for each in PMAPVERS_SIGNATURES]
    calls += [(RPCBPROG, RPCBVERS4, each) for each in RPCBVERS4_SIGNATURES]
    with connected(network, "tcp", PORT) as stream:
        for number in range(20):
            mnt = MOUNT_V3_SIGNATURES[1]
            call(stream, MOUNT_PROGRAM, MOUNT_V3, mnt, b"/long" + b"/." * number, SECONDS)
    for program, version, signature in calls:
        given: Any = None
        if program == MOUNT_PROGRAM and signature.number in (1, 3):
            given = path
        elif program == RPCBPROG and signature.number not in (0, 4):
            given = (
                mapping(NFS_PROGRAM, 3, TCP, 0)
                if version == PMAPVERS
                else rpcb(NFS_PROGRAM, NFS_V3, b"udp", b"", b"")
            )
        body = call_body(RPC_VERSION, program, version, signature.number, nothing, nothing)
        asked = encode(pack_rpc_msg, rpc_msg(7, rpc_msg_body(CALL, cbody=body)))
        asked += encode(signature.pack_arguments, given)
        with connected(network, "udp", 111 if program == RPCBPROG else PORT) as sock:
            sock.send(asked)
            answer = sock.recv(1 << 16)
        assert answer[:4] == asked[:4]
        assert len(answer) <= 3 * len(asked), f"{signature.name}: {len(asked)} -> {len(answer)}"


@pytest.mark.usefixtures("server")
def test_a_repeated_datagram_gets_its_first_answer(network: Network) -> None:
    with connected(network, "udp", PORT) as sock:
        root = call(sock, MOUNT_PROGRAM, MOUNT_V3, MOUNT["MNT"], b"/", SECONDS).mountinfo.fhandle
        wanted = MKDIR3args(diropargs3(root, b"once"), SAME)
        head = header(NFS_PROGRAM, NFS_V3, NFS["MKDIR"].number, auth_sys())
        message = b"once" + head + encode(NFS["MKDIR"].pack_arguments, wanted)
        replies = []
        for _ in range(3):
            sock.send(message)
            replies.append(sock.recv(1 << 16))
        assert replies[0][:4] == message[:4]
        assert replies == [replies[0]] * 3
        assert int.from_bytes(replies[0][24:28], "big") == 0, "MKDIR succeeded once"


@pytest.mark.parametrize("arguments", [[], ["--rpcbind", "off"]])
def test_nfs_by_udp_is_only_there_when_wanted(
    network: Network, tmp_path: Path, arguments: list[str]
) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    stack, log = Stack.over([lower], tmp_path), tmp_path / "log"
    server = Server(stack, log, arguments=arguments, inside=network.inside, address=network.CLIENT)
    server.start()
    with network.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(SECONDS)
        sock.connect((network.CLIENT, server.port))
        if arguments == ["--rpcbind", "off"]:
            with pytest.raises(ConnectionRefusedError):
                nfs(sock, "NULL", None)
        else:
            assert (
                call(sock, MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES[0], None, SECONDS) is None
            )
            with pytest.raises(RefusedError, match="PROG_UNAVAIL"):
                nfs(sock, "NULL", None)
    server.stop()
