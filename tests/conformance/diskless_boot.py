"""The machines of docs/diskless.md, from PXE to a login: python -m tests.conformance.diskless_boot

The server is a fresh Debian 12 in systemd-nspawn (tests.conformance.fresh_machine) that got this
program by `make install`. Every command of the document is run there as it is printed, every file
is put where the document has it, byte for byte. Then it has a network namespace with the address
that the files name, and in that dnsmasq, as Debian's unit starts it, `overlay-nfsd serve`, and a
bridge with QEMU's network cards, of which QEMU boots: without KVM, kernel or initramfs.

Besides that the room's layer has a getty on the serial line, since that is what is read here:
the machine comes to its login prompt there, root logs in, and says what its root is. The ways are
by iPXE (the card's own ROM), by UEFI (OVMF's PXE, which loads iPXE), by PXELINUX (loaded by a
script of iPXE, as QEMU has no other ROM), and with `boot=nfs3`, by iPXE; all, or those that are
named. Everything is below a directory of its own, and gone afterwards.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.conformance.fresh_machine import Step, inside, prepare, run
from tests.conformance.layers import layers
from tests.conformance.machine import cached, command, download_packages, program
from tests.printed import DOCS, commands, printed

WAYS: Final = ("ipxe", "uefi", "pxelinux", "nfs3")
TEXT: Final = (DOCS / "diskless.md").read_text()
FILES: Final = (
    "/etc/overlay-nfsd.toml",
    "/etc/dnsmasq.d/diskless.conf",
    "/srv/tftp/pxelinux.cfg/default",
    "/srv/tftp/boot.ipxe",
)
NFS3: Final = "/srv/layers/debian-12/etc/initramfs-tools/scripts/nfs3"
PASSWORD: Final = "of-no-use"
INSTALL: Final = (
    "echo 'APT::Get::Assume-Yes \"true\";' >/etc/apt/apt.conf.d/90yes",
    "apt-get update",
    "apt-get install --no-install-recommends make python3 python3-venv",
    "make install",
)
# As serial-getty@ttyS0 does it, but that waits for udev for 90 seconds at most, which are over
# before that has come so far, where the processor is emulated and others want it, too.
LINE: Final = "/srv/layers/room/etc/systemd/system/line.service"
GETTY: Final = """[Service]
Type=idle
ExecStart=-/sbin/agetty --keep-baud 115200,57600,38400,9600 ttyS0 vt220
Restart=always
UtmpIdentifier=ttyS0
"""
ENABLE: Final = (
    "mkdir -p /srv/layers/room/etc/systemd/system/getty.target.wants",
    f"ln -s ../line.service {LINE.rpartition('/')[0]}/getty.target.wants/",
)
# As the unit of Debian's package starts it, but with a log of its own.
DNSMASQ: Final = (
    "export DNSMASQ_OPTS='--log-dhcp --log-facility=/var/log/dnsmasq.log'; "
    "/usr/share/dnsmasq/systemd-helper checkconfig && /usr/share/dnsmasq/systemd-helper exec"
)
SAYS: Final = (
    "findmnt -no SOURCE,FSTYPE,OPTIONS /; "
    "echo failed units: $(systemctl --failed --plain --no-legend | wc -l); "
    "echo booted >>/root/boots; sync; echo boots so far: $(wc -l </root/boots)"
)
_LOGIN_LIMIT: Final = 1200.0  # seconds; a minute or two, with a processor to itself
_SHELL_LIMIT: Final = 600.0
_SERVE_LIMIT: Final = 300.0


class BootError(AssertionError):
    """A step or a machine did not do what the document says."""


def told(since: float, what: str) -> None:
    """Say what is done now, and how long it took."""
    print(f"{time.monotonic() - since:7.1f} s  {what}", flush=True)


def put(root: Path, path: str, text: str) -> None:
    """A file as it is printed."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


class Room:
    """The server's root directory, its network, and what it serves."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "server"
        self.namespace = f"ovlpxe{os.getpid()}"
        self.configuration = printed(TEXT, "`/etc/dnsmasq.d/diskless.conf`")
        self.address = re.findall(r"nfsroot=([\d.]+):", TEXT)[0]
        self.machines = re.findall(r"(?m)^dhcp-host=([\w:]+),([\d.]+),(\w+)$", self.configuration)

    def do(self, *lines: str) -> None:
        """Run commands of the document, one after the other."""
        for line in lines:
            begun = time.monotonic()
            typed = f"printf '{PASSWORD}\\n{PASSWORD}\\n' | " if line.endswith("passwd") else ""
            problem = run(self.root, Step(typed + line, ""), self.place / "log")
            if problem:
                raise BootError(f"{line}: {problem}")
            told(begun, line)

    def install(self) -> None:
        """A fresh machine with this program, and all that the document has one do."""
        begun = time.monotonic()
        command(["cp", "--archive", "--reflink=auto", layers().base, self.root], timeout=300)
        prepare(self.root)
        told(begun, f"made {self.root}, Debian 12")
        self.do(*INSTALL)
        for before in (
            "On the server, as root:",
            "a layer over it",
            "or on another one of the room:",
        ):
            self.do(*commands(printed(TEXT, before)))
        for path in FILES:
            put(self.root, path, printed(TEXT, f"`{path}`"))
            told(time.monotonic(), f"wrote {path}")
        put(self.root, LINE, GETTY)
        self.do(*ENABLE)

    @contextmanager
    def network(self) -> Iterator[None]:
        """A namespace with the server's address on a bridge with two network cards."""
        ip = program("ip", "iproute2")
        command([ip, "netns", "add", self.namespace], timeout=60)
        try:
            for line in (
                "link set lo up",
                "link add name eth0 type bridge",
                f"address add {self.address}/24 dev eth0",
                "link set eth0 up",
                "tuntap add dev tap0 mode tap",
                "link set tap0 master eth0 up",
            ):
                command([ip, "-n", self.namespace, *line.split()], timeout=60)
            yield
        finally:
            command([ip, "netns", "delete", self.namespace], timeout=60)

    @contextmanager
    def served(self) -> Iterator[None]:
        """Have dnsmasq and the server run there."""
        begun = time.monotonic()
        serve = commands(printed(TEXT, "Then, on the server:"))
        step = Step(f"{DNSMASQ} && {' && '.join(serve[:-1])} && exec {serve[-1]}", "")
        words = inside(self.root, step)
        there = f"--network-namespace-path=/run/netns/{self.namespace}"
        words[1:1] = [there, "--capability=CAP_NET_ADMIN"]
        log = self.place / "serve.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                # nspawn that is killed would leave what runs in it.
                ["setpriv", "--pdeathsig", "TERM", "--", *words],
                env={**os.environ, "SYSTEMD_SECCOMP": "0"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            while "serving /debian on" not in (said := log.read_text(errors="replace")):
                if process.poll() is not None or time.monotonic() > begun + _SERVE_LIMIT:
                    raise BootError(f"it does not serve:\n{said[-2000:]}")
                time.sleep(0.1)
            told(begun, f"dnsmasq and {serve[-1]} run")
            yield
        finally:
            process.terminate()
            process.wait(timeout=120)


class Machine:
    """A machine without a disk, on whose serial line somebody reads and types."""

    def __init__(self, room: Room, way: str, number: int) -> None:
        self._room = room
        self._way = way
        self.mac, self.address, self.name = room.machines[number]
        self._read = b""

    def __enter__(self) -> Machine:
        self._line, theirs = socket.socketpair()
        with theirs:
            words = [*self._words(), "-chardev", f"socket,id=line,fd={theirs.fileno()}"]
            words += ["-serial", "chardev:line"]
            self._qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *words],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return self

    def __exit__(self, *error: object) -> None:
        self._qemu.kill()
        self._qemu.wait(timeout=60)
        self._line.close()

    def _words(self) -> list[str]:
        words = [program("ip", "iproute2"), "netns", "exec", self._room.namespace]
        words += [program("qemu-system-x86_64", "qemu-system-x86"), "-accel", "tcg", "-cpu", "max"]
        words += ["-machine", "pc,graphics=off", "-m", "1024", "-nodefaults", "-no-reboot"]
        words += ["-display", "none", "-device", "virtio-rng-pci"]
        words += ["-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"]
        card = f"virtio-net-pci,netdev=net,mac={self.mac}"
        if self._way == "pxelinux":
            script = self._room.place / "script.ipxe"
            script.write_text(f"#!ipxe\ndhcp\nchain tftp://{self._room.address}/lpxelinux.0\n")
            words += ["-kernel", str(self._room.root / "boot/ipxe.lkrn")]
            words += ["-initrd", str(script)]
            card += ",romfile="
        elif self._way == "uefi":
            words += _firmware(self._room.place)
            card += ",romfile=,bootindex=0"
        else:
            card += ",bootindex=0"
        return [*words, "-device", card]

    def read_until(self, wanted: str, limit: float) -> str:
        """What comes over the line up to and with the words that are wanted."""
        deadline = time.monotonic() + limit
        while (found := re.search(wanted.encode(), self._read)) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._line], [], [], left)[0]:
                raise BootError(f"no {wanted!r} in {limit:.0f} s, but:\n{self._text()[-3000:]}")
            data = self._line.recv(4096)
            if not data:
                raise BootError(f"the machine is gone:\n{self._text()[-3000:]}")
            self._read += data
        text = self._text(found.end())
        self._read = self._read[found.end() :]
        return text

    def _text(self, end: int | None = None) -> str:
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\r", b"", self._read[:end])
        return plain.decode(errors="replace")

    def type(self, line: str) -> None:
        """Send a line."""
        self._line.sendall(line.encode() + b"\n")

    def log_in(self, script: str) -> str:
        """What a command prints that root runs after the login."""
        self.type("root")
        self.read_until("Password: ", _SHELL_LIMIT)
        self.type(PASSWORD)
        self.read_until("# ", _SHELL_LIMIT)
        self.type(f"stty -echo; {script}; echo end of $((6 * 7))")
        return self.read_until("end of 42", _SHELL_LIMIT)


def _firmware(place: Path) -> list[str]:
    """QEMU's options for UEFI, with variables that nobody has set yet."""
    files = cached("ovmf", _download_ovmf) / "usr/share/OVMF"
    variables = place / "variables.fd"
    shutil.copy2(files / "OVMF_VARS_4M.fd", variables)
    return [
        *("-drive", f"if=pflash,format=raw,readonly=on,file={files / 'OVMF_CODE_4M.fd'}"),
        *("-drive", f"if=pflash,format=raw,file={variables}"),
    ]


def _download_ovmf(target: Path) -> None:
    download_packages(["ovmf"], target)
    for deb in list(target.glob("*.deb")):
        command([program("dpkg-deb", "dpkg"), "-x", deb, target], timeout=120)
        deb.unlink()


def boot(room: Room, way: str, number: int, boots: int) -> None:
    """Boot a machine, log in, and see that its root is the export and what it wrote is there."""
    begun = time.monotonic()
    with Machine(room, way, number) as machine:
        machine.read_until(" login: ", _LOGIN_LIMIT)
        told(begun, f"{way}: {machine.name} ({machine.address}) is at its login prompt")
        said = machine.log_in(SAYS)
    lines = [line for line in said.splitlines() if re.match("10[.]|failed|boots", line)]
    for line in lines:
        told(begun, f"{way}: {line}")
    for wanted in (
        rf"(?m)^{room.address}:/debian\s+nfs\s+rw,.*\bvers=3\b",
        r"(?m)^failed units: 0$",
        rf"(?m)^boots so far: {boots}$",
    ):
        if re.search(wanted, said) is None:
            raise BootError(f"{way}: no {wanted!r} in:\n{said}")


def loader_by_kernel() -> str:
    """The script of iPXE with the other command line."""
    arguments = printed(TEXT, "use this command line:").strip()
    return re.sub(r"boot=.*", arguments, printed(TEXT, "`/srv/tftp/boot.ipxe`"))


def mount_by_kernel(room: Room) -> None:
    """Go on as the document does for a server without rpcbind."""
    put(room.root, NFS3, printed(TEXT, f"`{NFS3}`"))
    told(time.monotonic(), f"wrote {NFS3}")
    room.do("chroot /srv/layers/debian-12 update-initramfs -u")
    room.do(*commands(printed(TEXT, "or on another one of the room:"))[-2:])
    put(room.root, "/srv/tftp/boot.ipxe", loader_by_kernel())
    export = printed(TEXT, "`/etc/overlay-nfsd.toml`")
    put(room.root, "/etc/overlay-nfsd.toml", re.sub(r"rpcbind = .*", 'rpcbind = "off"', export))


def main(place: Path, ways: list[str]) -> int:
    """Do all; returns the exit status."""
    begun = time.monotonic()
    room = Room(place)
    booted = [0 for _ in room.machines]
    try:
        room.install()
        with room.network():
            for way in ways:
                if way == "nfs3":
                    mount_by_kernel(room)
                with room.served():
                    number = int(way == "pxelinux")
                    booted[number] += 1
                    boot(room, way, number, booted[number])
    except BootError as error:
        told(begun, f"FAILED: {error}")
        for name in ("serve.log", "server/var/log/dnsmasq.log"):
            with suppress(FileNotFoundError):
                said = (place / name).read_text(errors="replace")
                print(f"--- {name}\n{said[-3000:]}", flush=True)
        return 1
    told(begun, f"done: {', '.join(ways)}")
    return 0


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(WAYS)
    if not set(chosen) <= set(WAYS):
        sys.exit(f"ways to boot: {' '.join(WAYS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and all that it made
    with tempfile.TemporaryDirectory(prefix="diskless-", dir="/var/tmp") as own:
        sys.exit(main(Path(own), chosen))
