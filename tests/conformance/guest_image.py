"""The guest's kernel and its initramfs, out of Debian's own packages.

Rule: nothing is installed on the host: packages are downloaded and unpacked into the cache, once,
and the initramfs is written anew for each boot from what lies there.
"""

import lzma
import re
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.machine import UnavailableError, cached, command, download_packages, program

# Loaded by the guest's init, each after those it depends on.
MODULES = ("virtio_pci", "virtio_net", "virtio_console", "9p", "9pnet_virtio", "nfsv3")

INIT = r"""#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
while read -r module; do insmod /lib/$module; done </lib/order
exec >/dev/hvc0 2>&1 </dev/null
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
root=$(sed -n 's/.*nfsroot=\([^ ]*\).*/\1/p' /proc/cmdline)
if [ -n "$root" ]; then
  mkdir /root-of-nfs
  mount -i -t nfs -o "${root#*,},addr=${root%%:*}" "${root%%,*}" /root-of-nfs || poweroff -f
  exec switch_root /root-of-nfs /sbin/init
fi
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 control /control || poweroff -f
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name 2>/dev/null)" = commands ] && exec 3<>/dev/${port##*/}
done
echo 0 0 >&3
while read -r number <&3; do
  setsid sh /control/$number.sh >/control/$number.out 2>&1 </dev/null
  echo $number $? >&3
done
poweroff -f
"""


# What a Debian root needs as /sbin/init to take scripts as well, when it is the guest's own root.
ROOT_INIT = r"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /run
exec >/dev/hvc0 2>&1 </dev/null
mkdir /run/control
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 control /run/control || exit
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name 2>/dev/null)" = commands ] && exec 3<>/dev/${port##*/}
done
echo 0 0 >&3
while read -r number <&3; do
  setsid sh /run/control/$number.sh >/run/control/$number.out 2>&1 </dev/null
  echo $number $? >&3
done
"""


@dataclass(frozen=True)
class Image:
    """What QEMU boots."""

    kernel: Path
    busybox: Path
    modules: tuple[Path, ...]


def image() -> Image:
    """The cached kernel, modules and busybox; downloaded the first time."""
    directory = cached("guest", _build)
    names = (directory / "order").read_text().split()
    return Image(
        kernel=directory / "vmlinux",
        busybox=directory / "busybox",
        modules=tuple(directory / name for name in names),
    )


def _build(target: Path) -> None:
    print("downloading a Linux kernel and busybox for the guest", flush=True)
    debs, tree = target / "debs", target / "tree"
    debs.mkdir()
    download_packages([_kernel_package(), "busybox-static"], debs)
    for deb in debs.iterdir():
        command([program("dpkg-deb", "dpkg"), "-x", deb, tree], timeout=120)
    boot = next((tree / "boot").glob("vmlinuz-*"))
    (target / "vmlinux").write_bytes(_unpacked_kernel(boot.read_bytes()))
    busybox = next(path for path in tree.glob("**/bin/busybox") if path.is_file())
    shutil.copy2(busybox, target / "busybox")
    order = _load_order({_module_name(path): path for path in tree.glob("**/*.ko")}, MODULES)
    for path in order:
        shutil.copy2(path, target / path.name)
    (target / "order").write_text("".join(f"{path.name}\n" for path in order))
    shutil.rmtree(debs)
    shutil.rmtree(tree)


def _kernel_package() -> str:
    """The package that `linux-image-amd64`, which is empty, depends on."""
    listing = [program("apt-cache", "apt"), "depends", "linux-image-amd64"]
    try:
        text = command(listing, timeout=180)
    except UnavailableError:
        command([program("apt-get", "apt"), "--quiet", "update"], timeout=300)
        text = command(listing, timeout=180)
    found = re.search(r"Depends: (linux-image-\S+)", text)
    if found is None:
        raise UnavailableError("apt knows no kernel package behind linux-image-amd64")
    return found[1]


def _unpacked_kernel(bzimage: bytes) -> bytes:
    """The ELF kernel inside a bzImage: unpacking it in the guest would take three seconds a boot.

    The offsets are the boot protocol's (setup_sects, payload_offset, payload_length).
    """
    (sectors,) = struct.unpack_from("<B", bzimage, 0x1F1)
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = bzimage[start : start + length]
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        unpacker = [program("zstd", "zstd"), "-dc"]
        return subprocess.run(
            unpacker, input=payload, stdout=subprocess.PIPE, timeout=180, check=False
        ).stdout
    return bzimage


def _module_name(path: Path) -> str:
    return path.name.removesuffix(".ko").replace("-", "_")


def _load_order(modules: dict[str, Path], wanted: Iterable[str]) -> list[Path]:
    """The wanted modules, each after its dependencies, which the modules name themselves."""
    order: list[Path] = []
    pending = [(name, False) for name in reversed(tuple(wanted))]
    while pending:
        name, ready = pending.pop()
        path = modules.get(name)
        if path is None or path in order:
            continue  # Built into this kernel, or there already.
        if ready:
            order.append(path)
            continue
        found = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        names = found[1].decode().replace("-", "_").split(",") if found else []
        pending.append((name, True))
        pending.extend((dependency, False) for dependency in names if dependency)
    return order


def write_initramfs(source: Image, target: Path) -> None:
    """Writes the guest's first root: busybox, the modules and the init script."""
    archive = _Cpio()
    folders = ("bin", "control", "dev", "lib", "mnt", "proc", "root", "share", "sys", "tmp")
    for folder in folders:
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, source.busybox.read_bytes())
    archive.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for module in source.modules:
        archive.add(f"lib/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
    order = "".join(f"{module.name}\n" for module in source.modules)
    archive.add("lib/order", stat.S_IFREG | 0o644, order.encode())
    archive.add("init", stat.S_IFREG | 0o755, INIT.encode())
    target.write_bytes(archive.finished())


class _Cpio:
    """An archive in cpio's "newc" form, the one that the kernel unpacks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def add(
        self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        self._count += 1
        encoded = name.encode() + b"\0"
        fields = (
            *(self._count, mode, 0, 0, 1, 0, len(data), 0, 0),
            *(device[0], device[1], len(encoded), 0),
        )
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._parts += [header, bytes(-len(header) % 4), data, bytes(-len(data) % 4)]

    def finished(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)
