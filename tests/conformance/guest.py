"""A real Linux kernel as the NFS client, in QEMU without KVM.

Rule: every wait has an end, after which QEMU is killed and what it had printed is part of the
error. The guest reaches the host's loopback at 10.0.2.2, so the server need not listen elsewhere;
or it is on a network of its own with the server (tests.conformance.network), and mounts nothing
by itself.

Scripts are run by busybox's sh. They and their output pass through a host directory shared by 9p;
a virtio port only says "run script 3" and "script 3 ended with status 0".
"""

import select
import shlex
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conformance.guest_image import image, write_initramfs
from tests.conformance.machine import program
from tests.conformance.network import Network

# no_timer_check: on a busy machine the kernel may see no tick in time, and give up.
KERNEL_ARGUMENTS = (
    "console=hvc0 quiet loglevel=4 mitigations=off tsc=reliable nowatchdog panic=-1 "
    "random.trust_cpu=on no_timer_check"
)
BOOT_LIMIT = 600.0  # It takes four seconds on an idle machine.
MOUNT_LIMIT = 600.0


class GuestError(AssertionError):
    """The guest did not do what it was told, or not in time."""


@dataclass(frozen=True)
class GuestResult:
    """How a script ended: its exit status, and its output and errors as one text."""

    status: int
    output: str

    def check(self) -> str:
        """The output, of a script that had to succeed."""
        if self.status != 0:
            raise GuestError(f"exit status {self.status} in the guest:\n{self.output[-4000:]}")
        return self.output


def check_nfs_answers(port: int, timeout: float = 5.0, host: str = "127.0.0.1") -> None:
    """NFS's NULL procedure: a guest that finds no server would keep trying for minutes."""
    call = struct.pack(">10I", 1, 0, 2, 100003, 3, 0, 0, 0, 0, 0)
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
            reply = connection.recv(28, socket.MSG_WAITALL)
    except OSError as error:
        raise GuestError(f"no NFS server answers on port {port}: {error}") from error
    if reply[4:12] != struct.pack(">2I", 1, 1) or reply[24:28] != bytes(4):
        raise GuestError(f"what answers on port {port} is no NFS server: {reply!r}")


class Guest:
    """One boot of the guest, with the export mounted on /mnt; ends with the `with` block.

    Host directories in `shares` are at /share/NAME. The mount stays while scripts come and go, so
    a test may restart the server between two of them.
    """

    def __init__(
        self,
        port: int,
        *,
        export: str = "/",
        options: str = "",
        shares: Mapping[str, Path] | None = None,
        memory: int = 1024,
        network: Network | None = None,
    ) -> None:
        self.port = port
        self._network = network
        self._tap: tuple[str, str, str] | None = None
        self.export = export
        self.options = options
        self._shares = dict(shares or {})
        self._memory = memory
        self._count = 0
        self._received = b""

    def __enter__(self) -> Self:
        if self._network is None:
            self._check()
        self._temporary = tempfile.TemporaryDirectory(prefix="guest-")
        self._directory = Path(self._temporary.name)
        self._control = self._directory / "control"
        self._control.mkdir()
        try:
            self._boot()
            self._await_reply(0, BOOT_LIMIT)
            self._prepare()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _check(self) -> None:
        check_nfs_answers(self.port)

    def _boot(self) -> None:
        source = image()
        initramfs = self._directory / "initramfs"
        write_initramfs(source, initramfs)
        self._channel, theirs = socket.socketpair()
        with theirs:
            arguments = self._qemu_arguments(source.kernel, initramfs, theirs.fileno())
            # QEMU must not outlive a test run that is itself killed.
            self._qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=(self._directory / "qemu").open("wb"),
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )

    def _qemu_arguments(self, kernel: Path, initramfs: Path, channel: int) -> list[str]:
        qemu = program("qemu-system-x86_64", "qemu-system-x86")
        arguments = [qemu, "-machine", "pc", "-accel", "tcg", "-cpu", "Nehalem,+rdrand"]
        arguments += ["-m", str(self._memory), "-nodefaults", "-no-reboot", "-display", "none"]
        arguments += ["-kernel", str(kernel), "-initrd", str(initramfs)]
        arguments += ["-append", self._kernel_arguments()]
        netdev, mac = "user,id=net", ""
        if self._network is not None:
            self._tap = self._tap or self._network.tap()
            name, self.address, self.address6 = self._tap
            netdev = f"tap,id=net,ifname={name},script=no,downscript=no"
            arguments = [*self._network.inside, *arguments]
            mac = f",mac=52:54:00:77:00:{int(self.address.rpartition('.')[2]):02x}"
        arguments += ["-netdev", netdev]
        arguments += ["-device", f"virtio-net-pci,netdev=net,romfile={mac}"]
        arguments += ["-chardev", f"file,id=console,path={self._directory / 'console'}"]
        arguments += ["-chardev", f"socket,id=commands,fd={channel}"]
        arguments += ["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=console"]
        arguments += ["-device", "virtserialport,chardev=commands,name=commands"]
        for tag, path in {"control": self._control, **self._shares}.items():
            share = f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap"
            arguments += ["-virtfs", share]
        return arguments

    def _kernel_arguments(self) -> str:
        return KERNEL_ARGUMENTS

    def _prepare(self) -> None:
        """Sets the clock and mounts everything."""
        self.run(f"date -s @{int(time.time())} >/dev/null", timeout=300).check()
        for tag in self._shares:
            options = "trans=virtio,version=9p2000.L,msize=262144"
            script = f"mkdir /share/{tag} && mount -t 9p -o {options} {tag} /share/{tag}"
            self.run(script, timeout=300).check()
        if self._network is None:
            self.mount()
            return
        script = f"ip address flush dev eth0 && ip address add {self.address}/24 dev eth0"
        script += " && echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad"
        self.run(f"{script} && ip -6 address add {self.address6}/64 dev eth0").check()

    def mount(self, at: str = "/mnt", options: str = "") -> None:
        """Mounts the export; `options` come after the usual ones, so they win."""
        words = f"vers=3,proto=tcp,port={self.port},mountport={self.port},mountproto=tcp,nolock"
        extra = "".join(f",{more}" for more in (self.options, options) if more)
        source = shlex.quote(f"10.0.2.2:{self.export}")
        script = f"mount -i -t nfs -o {words},addr=10.0.2.2{extra} {source} {at}"
        self.run(script, timeout=MOUNT_LIMIT).check()

    def run(self, script: str, *, timeout: float = 600.0) -> GuestResult:
        """Runs a shell script in the guest; past the time limit the guest is killed."""
        self._count += 1
        number = self._count
        (self._control / f"{number}.sh").write_text(script + "\n")
        output = self._control / f"{number}.out"
        self._channel.sendall(f"{number}\n".encode())
        try:
            status = self._await_reply(number, timeout)
        except GuestError as error:
            printed = output.read_text(errors="replace") if output.exists() else ""
            self.kill()
            raise GuestError(
                f"{error}\nthe script was:\n{script}\nits output:\n{printed}"
            ) from None
        return GuestResult(status, output.read_text(errors="replace"))

    def _await_reply(self, number: int, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._channel], [], [], left)[0]:
                raise GuestError(f"no answer in {timeout:.0f} s; the console:\n{self.console()}")
            data = self._channel.recv(4096)
            if not data:
                raise GuestError(f"the guest is gone; the console:\n{self.console()}")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        answered, status = line.split()
        if int(answered) != number:
            raise GuestError(f"an answer to script {answered.decode()}, not to {number}")
        return int(status)

    def reboot(self) -> None:
        """Ends QEMU as a power cut would, and boots again, with the same addresses."""
        self._qemu.kill()
        self._qemu.wait(timeout=180)
        self._channel.close()
        self._received = b""
        self._boot()
        self._await_reply(0, BOOT_LIMIT)
        self._prepare()

    def console(self) -> str:
        """The last of what the guest's kernel and QEMU itself printed."""
        files = [self._directory / name for name in ("qemu", "console")]
        return "".join(path.read_text(errors="replace")[-4000:] for path in files if path.exists())

    def kill(self) -> None:
        """Ends QEMU as a power cut would."""
        qemu = getattr(self, "_qemu", None)
        if qemu is not None:
            qemu.kill()
            qemu.wait(timeout=180)
            self._channel.close()
        self._temporary.cleanup()


class DisklessGuest(Guest):
    """One boot of the guest with the export as its root, in a network namespace.

    What it mounts is on its kernel's command line, as for a machine that is booted over the
    network. The export's /sbin/init is `guest_image.ROOT_INIT`.
    """

    def __init__(self, port: int, *, server: str, export: str, namespace: str) -> None:
        super().__init__(port, export=export, memory=512)
        self._server = server
        self._namespace = namespace

    def _check(self) -> None:
        check_nfs_answers(self.port, host=self._server)

    def _kernel_arguments(self) -> str:
        options = f"vers=3,proto=tcp,port={self.port},mountport={self.port},mountproto=tcp,nolock"
        root = f"root=/dev/nfs nfsroot={self._server}:{self.export},{options}"
        return f"{KERNEL_ARGUMENTS} {root}"

    def _qemu_arguments(self, kernel: Path, initramfs: Path, channel: int) -> list[str]:
        arguments = super()._qemu_arguments(kernel, initramfs, channel)
        return [program("ip", "iproute2"), "netns", "exec", self._namespace, *arguments]

    def _prepare(self) -> None:
        self.run(f"date -s @{int(time.time())} >/dev/null", timeout=300).check()


def run(
    script: str,
    *,
    port: int,
    export: str = "/",
    timeout: float = 600.0,
    shares: Mapping[str, Path] | None = None,
    options: str = "",
) -> GuestResult:
    """Boots a guest for a single script."""
    with Guest(port, export=export, options=options, shares=shares) as guest:
        return guest.run(script, timeout=timeout)
