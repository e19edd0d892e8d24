"""Clients find the server by themselves: through rpcbind, the system's and our own.

Rule: server and guest are on a network of their own (tests.conformance.network); the guest uses
the host's own mount, showmount and setfacl, which it sees read-only.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.guest import Guest
from tests.conformance.machine import program
from tests.conformance.network import Network
from tests.conformance.server import Server, Stack

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("guest_ready"),
]

Serve = Callable[..., Server]
TOOLS = {"mount.nfs": "nfs-common", "showmount": "nfs-common", "setfacl": "acl"}
PREPARE = """
set -e
umount /share/host
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /share/host
cd /share/host
mount --bind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs mnt
mkdir mnt/nfs mnt/local
"""
# A script for the host's programs, in the guest.
IN_HOST = """
cat >/share/host/tmp/script <<'END'
{script}
END
exec chroot /share/host /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \
    sh /tmp/script {arguments}
"""

# What is done with ACLs, in the directory $1: all that it prints must be the same everywhere.
ACLS = """
cd $1
umask 022
show() { echo "== $*"; find "$@" ! -type l | sort | xargs getfacl --numeric; }
show file d
setfacl -m u:1000:rw,g:2000:r,m::rw file && show file
chmod 640 file && show file
setfacl -m u:1001:--- file && show file
setfacl -x u:1000 file && show file
setfacl -m u:1000:rwx,d:u:1000:rwx,d:g:2000:r-x,d:o::--- d && show d
umask 077
echo new >d/new; mkdir d/sub; mkfifo d/pipe; ln -s new d/link; install -m 754 d/new d/installed
show d
cp --preserve=all file d/copied && show d/copied
rm d/below && echo again >d/below && show d/below
mv d/new moved && ln moved d/linked && show moved
echo outside >outside && mv outside d/outside && show d/outside
for user in 1000 1001 1002; do
  echo "== user $user"
  setpriv --reuid=$user --regid=$user --groups=2000 sh -c '
    for name in file d/below d/copied d/sub; do
      for way in r w x; do test -$way $name && echo $way $name; done
    done
    cat d/below; echo more >>d/below; ls d >/dev/null && echo listed; echo mine >d/by-$1
    setfacl -m u:1:r file && echo changed
  ' - $user 2>/dev/null
done
show d
setfacl -k d && show d
setfacl -b d file && show d file
setfacl -m d:u:7:r file; echo $?
setfacl --set u::rw,g::r,o::r,u:70:r,u:71:w,u:72:x,g:73:rw,m::rw moved && show d/linked
getfacl --numeric d/below | setfacl --set-file=- moved && show moved
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    for name, package in TOOLS.items():
        program(name, package)
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def guest(network: Network) -> Iterator[Guest]:
    with Guest(2049, network=network, shares={"host": Path("/")}) as guest:
        guest.run(PREPARE).check()
        yield guest


@pytest.fixture
def serve(network: Network, tmp_path: Path) -> Iterator[Serve]:
    """Starts a server with more options; it listens on the network's IPv4 addresses."""
    lower = tmp_path / "lower"
    (lower / "d").mkdir(parents=True)
    (lower / "file").write_text("lower\n")
    (lower / "d" / "below").write_text("lower\n")
    servers = []

    def start(*arguments: str) -> Server:
        server = Server(
            Stack.over([lower], tmp_path / "stack"),
            tmp_path / "log",
            export="/export",
            arguments=arguments,
            inside=network.inside,
            address="0.0.0.0",
        )
        servers.append(server)
        server.port = 2049
        server.start()
        return server

    yield start
    for server in servers:
        if server.running:
            server.stop()


def in_host(guest: Guest, script: str, *arguments: str) -> str:
    """The output of a script that the host's programs run, in the guest."""
    words = " ".join(arguments)
    return guest.run(IN_HOST.format(script=script, arguments=words)).check()


def mounted(guest: Guest, source: str, options: str = "") -> str:
    """Mount, use and unmount; returns the options that the kernel then shows."""
    extra = f",{options}" if options else ""
    return in_host(
        guest,
        f"""
        set -e
        mount -t nfs -o vers=3,nolock{extra} '{source}' /mnt/nfs
        cat /mnt/nfs/file
        echo written >/mnt/nfs/written && grep -q written /mnt/nfs/written
        head -c 300000 /dev/zero >/mnt/nfs/big && test $(wc -c </mnt/nfs/big) = 300000
        grep /mnt/nfs /proc/mounts
        umount /mnt/nfs
        """,
    )


@pytest.mark.parametrize("mode", ["system", "embedded"])
def test_a_mount_without_ports(network: Network, guest: Guest, serve: Serve, mode: str) -> None:
    rpcbind = network.rpcbind() if mode == "system" else None
    server = serve("--listen", "[::]:2049", "--rpcbind", mode, "--udp")
    try:
        assert "proto=tcp" in mounted(guest, f"{network.ADDRESS}:/export")
        assert "proto=tcp6" in mounted(guest, f"[{network.ADDRESS6}]:/export")
        # Debian's kernel mounts by UDP no more, but asks for the handle by it.
        shown = mounted(guest, f"{network.ADDRESS}:/export", "mountproto=udp")
        assert "mountproto=udp" in shown
        lists = in_host(
            guest,
            f"""
            mount -t nfs -o vers=3,nolock {network.ADDRESS}:/export /mnt/nfs
            for kind in -e -a -d; do showmount --no-headers $kind {network.ADDRESS}; done
            umount /mnt/nfs
            showmount --no-headers -a {network.ADDRESS}
            rpcinfo -p {network.ADDRESS}
            """,
        )
        head, _, ports = lists.partition("   program")
        assert head.split() == ["/export", "*", f"{guest.address}:/export", "/export"]
        rows = {tuple(line.split()[:4]) for line in ports.splitlines()[1:]}
        assert rows >= {
            (program, version, protocol, "2049")
            for protocol in ("tcp", "udp")
            for program, version in (
                ("100003", "3"),
                ("100005", "1"),
                ("100005", "3"),
                ("100227", "3"),
            )
        }
    finally:
        server.stop()
        if rpcbind is not None:
            assert "100003" not in network.run("rpcinfo", "-p", network.ADDRESS)
            network.end(rpcbind)


def test_acls_are_those_of_a_local_filesystem(network: Network, guest: Guest, serve: Serve) -> None:
    server = serve("--rpcbind", "embedded")
    in_host(guest, f"mount -t nfs -o vers=3,nolock {network.ADDRESS}:/export /mnt/nfs")
    local = "umask 022; mkdir d; echo lower | tee file >d/below"
    in_host(guest, f"cd /mnt/local && {local}")
    expected = in_host(guest, ACLS, "/mnt/local")
    assert expected.count("user:1000:rw") > 5
    assert expected.count("== user") == 3
    seen = in_host(guest, ACLS, "/mnt/nfs")
    assert seen.splitlines() == expected.splitlines()
    in_host(guest, "umount /mnt/nfs")
    server.restart()
    in_host(guest, f"mount -t nfs -o vers=3,nolock {network.ADDRESS}:/export /mnt/nfs")
    show = "cd $1; find . ! -type l | sort | xargs getfacl --numeric"
    assert in_host(guest, show, "/mnt/nfs") == in_host(guest, show, "/mnt/local")
    in_host(guest, "umount /mnt/nfs")
