"""Two machines without disks boot from one line of the configuration, each with its own upper.

Each guest lives in a network namespace with an address of its own. Its kernel's command line names
the export, and what it boots into is a Debian root over NFS.
"""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.guest import DisklessGuest, Guest
from tests.conformance.guest_image import ROOT_INIT
from tests.conformance.layers import Layers
from tests.conformance.machine import command, program
from tests.conformance.server import Server

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("guest_ready", "unchanged_lowers"),
]

NETWORK = f"198.18.{os.getpid() % 256}"  # of the range that RFC 2544 sets apart for tests
SERVER = f"{NETWORK}.1"
CLIENTS = (f"{NETWORK}.11", f"{NETWORK}.12")
WORK_LIMIT = 600.0

CHANGE = """
set -e
test "$(stat -f -c %T /)" = nfs
test "$(cat /etc/hostname)" != "{name}"
echo {name} >/etc/hostname
echo '{address} {name}' >>/etc/hosts
useradd --create-home {name}
mkdir /srv/{name} && mv /usr/share/perl5 /srv/{name}/perl5
sync
"""
FIRST_ALONE = "rm /etc/motd && dpkg --remove less && rm -r /usr/share/doc/adduser"
SECOND_ALONE = "ln /etc/motd /etc/motd.again && echo second >>/etc/motd && chmod 700 /opt"

SEES = """
set -e
test "$(cat /etc/hostname)" = {name}
grep -q '^{address} {name}$' /etc/hosts && ! grep -q '{others}' /etc/hosts
id {name} && ! id {others}
test -d /srv/{name}/perl5 && test ! -e /srv/{others} && test ! -e /usr/share/perl5
test -w /home/{name} && test ! -e /home/{others}
perl -I/srv/{name}/perl5 -e 'print "perl works\\n"'
"""
FIRST_SEES = "test ! -e /etc/motd && ! command -v less && test ! -e /usr/share/doc/adduser"
SECOND_SEES = (
    'test "$(tail -n 1 /etc/motd.again)" = second && command -v less '
    "&& test -d /usr/share/doc/adduser && test $(stat -c %a /opt) = 700"
)

# Through the directories above the exports: the client crosses into another filesystem by itself.
CROSS = """
set -e
options=vers=3,proto=tcp,port={port},mountport={port},mountproto=tcp,nolock,addr={server}
mount -i -t nfs -o $options {server}:/ /mnt
test "$(echo /mnt/*)" = /mnt/diskless
test "$(echo /mnt/diskless/*)" = /mnt/diskless/debian
test "$(cat /mnt/diskless/debian/etc/hostname)" = first
echo through >/mnt/diskless/debian/srv/crossed
test "$(cat /srv/crossed)" = through
! mkdir /mnt/new
umount /mnt/diskless/debian
umount /mnt
"""


@dataclass(frozen=True)
class Machine:
    """A namespace for a guest, and the address that the server sees of it."""

    namespace: str
    address: str


@contextmanager
def machine(number: int) -> Iterator[Machine]:
    """A network namespace, joined to the host by a pair of virtual Ethernet devices."""
    ip, address = program("ip", "iproute2"), CLIENTS[number]
    namespace, ours, theirs = (f"ovl{what}{os.getpid()}-{number}" for what in ("n", "a", "b"))
    command([ip, "netns", "add", namespace], timeout=180)
    try:
        command([ip, "link", "add", ours, "type", "veth", "peer", "name", theirs], timeout=180)
        command([ip, "link", "set", theirs, "netns", namespace], timeout=180)
        command([ip, "address", "add", SERVER, "peer", address, "dev", ours], timeout=180)
        command([ip, "link", "set", ours, "up"], timeout=180)
        inside = [ip, "-n", namespace]
        command([*inside, "address", "add", address, "peer", SERVER, "dev", theirs], timeout=180)
        command([*inside, "link", "set", theirs, "up"], timeout=180)
        command([*inside, "link", "set", "lo", "up"], timeout=180)
        yield Machine(namespace, address)
    finally:
        command([ip, "netns", "delete", namespace], timeout=180)  # the devices go with it


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    with ExitStack() as stack:
        yield stack.enter_context(machine(0)), stack.enter_context(machine(1))


@pytest.fixture
def server(
    real_layers: Layers,
    machines: tuple[Machine, Machine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    """One export line for both; a layer with an init over the Debian root."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    init = tmp_path / "init" / "usr" / "sbin" / "init"
    init.parent.mkdir(parents=True)
    init.write_text(ROOT_INIT)
    init.chmod(0o755)
    (tmp_path / "clients").mkdir()
    lowers = ", ".join(f'"{path}"' for path in (tmp_path / "init", *real_layers.lowers))
    file = tmp_path / "overlay-nfsd.toml"
    file.write_text(f"""
[[export]]
path = "/diskless/debian"
lowerdir = [{lowers}]
upperdir = "{tmp_path}/clients/{{client}}/upper"
workdir = "{tmp_path}/clients/{{client}}/work"
clients = {{ "{NETWORK}.0/24" = "rw,no_root_squash,insecure" }}
""")
    arguments = ["--config", str(file), "--workers", "2", "--listen", f"{SERVER}:0"]
    started = Server(None, tmp_path / "log", arguments=arguments)
    started.start()
    try:
        yield started
        started.stop()
    finally:
        started.kill()


def port_of(server: Server) -> int:
    """The port on the address that the guests use."""
    line = next(line for line in server.banner.splitlines() if f"{SERVER}:" in line)
    return int(line.rpartition(f"{SERVER}:")[2])


def boot(server: Server, machine: Machine) -> DisklessGuest:
    return DisklessGuest(
        port_of(server), server=SERVER, export="/diskless/debian", namespace=machine.namespace
    )


def run(guest: Guest, script: str) -> str:
    return guest.run(script, timeout=WORK_LIMIT).check()


def test_two_guests_one_export_line(
    server: Server, machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    names = ("first", "second")
    words = [
        {"name": name, "address": each.address, "others": other}
        for name, other, each in zip(names, names[::-1], machines, strict=True)
    ]
    with boot(server, machines[0]) as first:
        with boot(server, machines[1]) as second:
            for guest, alone, its in (
                (first, FIRST_ALONE, words[0]),
                (second, SECOND_ALONE, words[1]),
            ):
                run(guest, CHANGE.format(**its) + alone)
            run(second, SEES.format(**words[1]) + SECOND_SEES)
        run(first, SEES.format(**words[0]) + FIRST_SEES)
        run(first, CROSS.format(port=port_of(server), server=SERVER))
    for each, name, other in zip(machines, names, names[::-1], strict=True):
        upper = tmp_path / "clients" / str(ipaddress.ip_address(each.address)) / "upper"
        assert (upper / "etc/hostname").read_text() == f"{name}\n"
        assert not (upper / "srv" / other).exists()
    # The second one's power was cut. It finds its root as it was.
    with boot(server, machines[1]) as second:
        run(second, SEES.format(**words[1]) + SECOND_SEES)
