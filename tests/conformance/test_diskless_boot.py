"""What docs/diskless.md has dnsmasq say and send to machines; all of it: diskless_boot.py."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.diskless_boot import ENABLE, FILES, NFS3, TEXT, loader_by_kernel
from tests.conformance.machine import program
from tests.conformance.network import Network, wait_for
from tests.printed import commands, printed

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

_LIMIT = 60.0
_COOKIE = bytes.fromhex("63825363")
_HEAD = struct.Struct(">4BIHH4s4s4s4s16s64s128s4s")  # RFC 2131
_BIOS, _UEFI = 0, 7  # RFC 4578
MACHINES = {"52:54:00:12:34:56": "10.0.0.11", "52:54:00:12:34:57": "10.0.0.12"}
STRANGER = "52:54:00:00:00:01"
_ANSWERED = {
    "a BIOS": (_BIOS, b"", b"lpxelinux.0"),
    "UEFI": (_UEFI, b"", b"snponly.efi"),
    "iPXE of a BIOS": (_BIOS, b"\xaf\x03\xb1\x01\x01", b"boot.ipxe"),
    "iPXE of UEFI": (_UEFI, b"\xaf\x03\xb1\x01\x01", b"boot.ipxe"),
}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[tuple[Network, Network]]:
    """The server's network, where dnsmasq runs with its file, and a machine's, with one cable."""
    dnsmasq = program("dnsmasq", "dnsmasq-base")
    for path in FILES:
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(printed(TEXT, f"`{path}`"))
    (tmp_path / "srv/tftp/vmlinuz").write_bytes(bytes(range(256)) * 100)
    with Network() as server, Network() as machine:
        machine.run("ip", "link", "delete", "lan")  # it has no address yet
        server.run("mount", "--bind", tmp_path / "srv", "/srv")
        server.run(
            *("ip", "link", "add", "eth0", "type", "veth"),
            *("peer", "name", "card", "netns", str(machine.pid)),
        )
        server.run("ip", "address", "add", "10.0.0.1/24", "dev", "eth0")
        server.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "link", "set", "card", "up")
        file = tmp_path / "etc/dnsmasq.d/diskless.conf"
        server.start(
            *(dnsmasq, "--keep-in-foreground", "--user=root", "--log-facility=-"),
            *(f"--conf-file={file}", f"--dhcp-leasefile={tmp_path}/leases"),
        )
        wait_for(lambda: ":67 " in server.run("ss", "-uln"), "dnsmasq")
        yield server, machine


@contextmanager
def card(machine: Network, port: int) -> Iterator[socket.socket]:
    """A socket on the machine's network card."""
    with machine.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"card")
        sock.bind(("", port))
        sock.settimeout(1)
        yield sock


def discover(mac: str, number: int, architecture: int, more: bytes) -> bytes:
    """What a machine says first (RFC 2131, RFC 4578)."""
    none = bytes(4)
    address = bytes.fromhex(mac.replace(":", ""))
    vendor = b"PXEClient:Arch:%05d:UNDI:002001" % architecture
    options = b"\x35\x01\x01" + b"\x3c" + bytes([len(vendor)]) + vendor
    options += b"\x5d\x02" + struct.pack(">H", architecture) + b"\x5e\x03\x01\x02\x01"
    options += b"\x37\x05\x01\x03\x0c\x42\x43" + more + b"\xff"
    head = _HEAD.pack(
        *(1, 1, 6, 0, number, 0, 0x8000, none, none, none, none, address, b"", b"", _COOKIE)
    )
    return head + options


def offered(sock: socket.socket, question: bytes) -> tuple[str, bytes]:
    """The address and the file that a machine is offered; it asks until it is answered."""
    deadline = time.monotonic() + _LIMIT
    while time.monotonic() < deadline:
        sock.sendto(question, ("255.255.255.255", 67))
        try:
            answer = sock.recv(2000)
        except TimeoutError:
            continue
        fields = _HEAD.unpack_from(answer)
        if fields[4] == _HEAD.unpack_from(question)[4]:
            named = fields[13].rstrip(b"\0") or _option(answer[_HEAD.size :], 67)
            return socket.inet_ntoa(fields[8]), named.rstrip(b"\0")
    raise AssertionError("no answer")


def _option(options: bytes, wanted: int) -> bytes:
    while options and options[0] != 255:
        if options[0] == wanted:
            return options[2 : 2 + options[1]]
        options = options[2 + options[1] :] if options[0] else options[1:]
    return b""


def fetched(machine: Network, name: str) -> bytes:
    """A file by TFTP (RFC 1350)."""
    with card(machine, 0) as sock:
        sock.settimeout(_LIMIT)
        sock.sendto(struct.pack(">H", 1) + name.encode() + b"\0octet\0", ("10.0.0.1", 69))
        data = b""
        while True:
            part, server = sock.recvfrom(600)
            kind, number = struct.unpack_from(">HH", part)
            assert kind == 3, part
            sock.sendto(struct.pack(">HH", 4, number), server)
            data += part[4:]
            if len(part) < 516:
                return data


def test_each_kind_of_machine_is_told_what_it_can_load(room: tuple[Network, Network]) -> None:
    _, machine = room
    number = 1
    with card(machine, 68) as sock:
        for mac, address in MACHINES.items():
            for kind, (architecture, more, file) in _ANSWERED.items():
                asked = discover(mac, number, architecture, more)
                assert offered(sock, asked) == (address, file), kind
                number += 1


def test_who_is_not_named_is_not_answered(room: tuple[Network, Network]) -> None:
    _, machine = room
    with card(machine, 68) as sock:
        for _ in range(3):
            sock.sendto(discover(STRANGER, 1, _BIOS, b""), ("255.255.255.255", 67))
        # What is not answered when a later call is, is not answered.
        mac, address = next(iter(MACHINES.items()))
        sock.sendto(discover(mac, 2, _BIOS, b""), ("255.255.255.255", 67))
        sock.settimeout(_LIMIT)
        answer = _HEAD.unpack_from(sock.recv(2000))
        assert (answer[4], socket.inet_ntoa(answer[8])) == (2, address)


def test_what_is_loaded_is_what_is_printed(room: tuple[Network, Network], tmp_path: Path) -> None:
    _, machine = room
    machine.run("ip", "address", "add", "10.0.0.11/24", "dev", "card")
    for name in ("boot.ipxe", "pxelinux.cfg/default"):
        assert fetched(machine, name).decode() == printed(TEXT, f"`/srv/tftp/{name}`")
    assert fetched(machine, "vmlinuz") == (tmp_path / "srv/tftp/vmlinuz").read_bytes()


def test_what_the_script_runs_is_what_is_printed() -> None:
    """It finds every command and file, and its own ones fit to them."""
    for before in ("On the server, as root:", "a layer over it", "or on another one of the room:"):
        assert len(commands(printed(TEXT, before))) >= 2
    assert commands(printed(TEXT, "Then, on the server:")) == [
        "overlay-nfsd check-config",
        "overlay-nfsd serve",
    ]
    assert printed(TEXT, f"`{NFS3}`").startswith("mount_top()")
    first, kernel, *rest = loader_by_kernel().splitlines()
    assert first == "#!ipxe"
    assert kernel.startswith("kernel vmlinuz initrd=initrd.img boot=nfs3 root=/dev/nfs ")
    assert rest == ["initrd initrd.img", "boot"]
    assert all("/srv/layers/room/" in line for line in ENABLE)
