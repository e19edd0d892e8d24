"""A real Linux kernel mounts a real Debian root over real layers, and works in it.

Rule: what the guest sees is held against the layers themselves, as the host kernel's overlayfs
shows them, never against what the server said before; and no lower layer may change.
"""

import stat
import time
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import NFS3ERR_STALE
from tests.conformance import walk
from tests.conformance.guest import Guest
from tests.conformance.layers import (
    Layers,
    kernel_view,
    manifest,
    mounted,
    source_tarball,
)
from tests.conformance.machine import command
from tests.conformance.server import Server, Stack
from tests.conftest import Serve
from tests.wire import Wire

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("guest_ready"),
]

WALK_LIMIT = 1200.0
WORK_LIMIT = 600.0

# /mnt as a machine's root: what a diskless boot mounts over it, and /walk, which shows the export
# without those mounts.
AS_ROOT = """
set -e
mount -t proc proc /mnt/proc
mount --bind /dev /mnt/dev
mount --bind /share/packages /mnt/media
mkdir /walk && mount --bind /mnt /walk
"""

# Through env, since busybox's chroot would run an applet of its own for a bare name.
PREFIX = """
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
cd /mnt
in_root() { chroot /mnt /usr/bin/env "$@"; }
"""

INSTALL = (
    PREFIX
    + """
in_root dpkg --install /media/$(cd /mnt/media; echo tree_*.deb)
in_root tree --version
in_root less --version | head -n 1
in_root dpkg --remove less
! in_root less --version
in_root dpkg --verify tree
"""
)

EDIT = (
    PREFIX
    + """
echo diskless >etc/hostname
echo '10.0.2.2 server' >>etc/hosts
in_root sed -i 's/^UMASK.*/UMASK 022/' /etc/login.defs
chmod 600 etc/bash.bashrc
chown 7:8 etc/issue
in_root touch -d '2001-02-03 04:05:06 UTC' /etc/debian_version
in_root useradd --create-home worker
in_root su worker -c 'echo mine >~/note && test -O ~/note'
ln usr/bin/perl usr/local/bin/perl-again
ln -s ../etc/hostname srv/hostname
mknod srv/zero c 1 5
: >etc/environment
rm etc/motd
rm -r usr/share/doc/adduser
mkdir usr/share/doc/adduser && echo anew >usr/share/doc/adduser/copyright
"""
)

RENAME = (
    PREFIX
    + """
before=$(stat -c %i usr/share/perl5)
mv usr/share/perl5 srv/perl5-moved
mv usr/share/doc/libc6 usr/share/doc/glibc
mv usr/share/doc/debianutils-moved usr/share/doc/debianutils
mv opt/app/share opt/app/data
mv opt/app/data/pam usr/share/pam
mv etc/skel etc/skel.old && mkdir etc/skel && mv etc/skel.old/.bashrc etc/skel/
mv opt srv/opt && mkdir opt && mv srv/opt/app opt/app && rmdir srv/opt
mv usr/share/zoneinfo/Europe usr/share/zoneinfo/Europa
mv usr/share/zoneinfo/Europa usr/share/zoneinfo/Europe
test "$(stat -c %i srv/perl5-moved)" = "$before"
"""
)

UNPACK = (
    PREFIX
    + """
in_root tar -C /usr/src -xf /media/source.tar
in_root tar -C /usr/src -df /media/source.tar
rm -r usr/src/project-1.0/module0[0-5]
mv usr/src/project-1.0 usr/src/project
echo changed >>usr/src/project/module06/src/part1.c
"""
)

AFTER = (
    PREFIX
    + """
in_root tree --version
in_root dpkg --status tree | grep -q '^Status: install ok installed'
! in_root dpkg --status less 2>/dev/null | grep -q '^Status: install ok installed'
test "$(cat etc/hostname)" = diskless
test "$(cat home/worker/note)" = mine
test "$(tail -n 1 usr/src/project/module06/exported.c)" = changed
test "$(cat usr/share/doc/adduser/copyright)" = anew
test -d usr/share/doc/glibc && test ! -e usr/share/doc/libc6
test "$(stat -c %i usr/bin/perl)" = "$(stat -c %i usr/local/bin/perl-again)"
in_root perl -e 'use strict; print "perl works\\n"'
"""
)

CLEAN = (
    PREFIX
    + """
in_root dpkg --purge tree
in_root userdel --remove worker
rm -r usr/src/project
mv srv/perl5-moved usr/share/perl5
"""
)


@pytest.fixture
def packages(real_layers: Layers, tmp_path: Path) -> Path:
    """A directory for the guest with a package to install and a source tree to unpack."""
    directory = tmp_path / "packages"
    directory.mkdir()
    for package in real_layers.packages.glob("tree_*.deb"):
        (directory / package.name).write_bytes(package.read_bytes())
    source_tarball(directory / "source.tar")
    return directory


def see(guest: Guest, top: str = "/mnt", *, content: bool = True) -> walk.Tree:
    """Everything below a directory of the guest; without checksums it takes half the time."""
    script = walk.script(top, content=content)
    return walk.parse(guest.run(script, timeout=WALK_LIMIT).check())


def stack_of(server: Server) -> tuple[Path, ...]:
    """The server's layers, topmost first, with the upper as one of them."""
    upper = server.stack.upper
    return server.stack.lowers if upper is None else (upper, *server.stack.lowers)


def check_against_kernel(found: walk.Tree, server: Server, tmp_path: Path) -> None:
    """Holds what a guest saw against the kernel's own overlay of upper and lowers."""
    with kernel_view(stack_of(server), tmp_path / "view") as view:
        wanted = walk.expected(manifest(view))
    walk.check_same(walk.without_links(wanted), walk.without_links(found.entries))


def check_identities(found: walk.Tree) -> None:
    """No two objects share a fileid, and each file has as many names as it says."""
    for group in found.groups():
        sizes = {found.entries[name].links for name in group}
        assert sizes == {len(group)}, f"{sorted(group)}: one fileid, link counts {sizes}"
    named = {name for group in found.groups() for name in group}
    for name, seen in found.entries.items():
        if name not in named and not stat.S_ISDIR(seen.mode):
            assert seen.links == 1, f"{name}: {seen.links} links, but no other name"


@pytest.mark.usefixtures("unchanged_lowers")
def test_every_file_is_what_the_layers_say(
    serve: Serve, real_layers: Layers, tmp_path: Path
) -> None:
    server = serve(real_layers.lowers, export="/debian")
    with kernel_view(stack_of(server), tmp_path / "view") as view:
        contents = manifest(view)
        inodes = {
            name: (view / name).lstat().st_ino
            for name, entry in contents.items()
            if not stat.S_ISDIR(entry.mode)
        }
    wanted = walk.expected(contents)
    with Guest(server.port, export="/debian") as guest:
        found = see(guest)
        walk.check_same(wanted, found.entries)
        assert found.groups() == walk.grouped(inodes)
        server.restart(crash=True)
        again = see(guest, content=False)
    walk.check_same(walk.without_content(found.entries), again.entries)
    assert again.fileids == found.fileids


@pytest.mark.usefixtures("unchanged_lowers")
def test_a_diskless_machine(
    serve: Serve, real_layers: Layers, packages: Path, tmp_path: Path
) -> None:
    server = serve(real_layers.lowers)
    shares = {"packages": packages}
    with Guest(server.port, shares=shares) as guest:
        guest.run(AS_ROOT).check()
        for script in (INSTALL, EDIT, RENAME, UNPACK):
            guest.run(script, timeout=WORK_LIMIT).check()
        worked = see(guest, "/walk")
        server.restart(crash=True)
        guest.run(AFTER, timeout=WORK_LIMIT).check()
        again = see(guest, "/walk", content=False)
        walk.check_same(walk.without_content(worked.entries), again.entries)
    check_identities(worked)
    check_against_kernel(worked, server, tmp_path)

    server.restart()
    with Guest(server.port, shares=shares) as guest:
        booted = see(guest)
        walk.check_same(worked.entries, booted.entries)
        assert booted.fileids == worked.fileids
        guest.run(AS_ROOT).check()
        guest.run(AFTER, timeout=WORK_LIMIT).check()
        guest.run(CLEAN, timeout=WORK_LIMIT).check()
        cleaned = see(guest, "/walk")
    assert not any(name.startswith("usr/src/") for name in cleaned.entries)
    check_identities(cleaned)
    check_against_kernel(cleaned, server, tmp_path)


BY_KERNEL = """
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
cd "$1"
chroot . dpkg --install /tmp/tree.deb
rm tmp/tree.deb etc/motd
chmod 640 etc/issue
mv usr/share/perl5 srv/perl5-moved
mv etc/skel etc/skel.old && mkdir etc/skel && mv etc/skel.old/.bashrc etc/skel/
ln usr/bin/perl usr/local/bin/perl-again
rm -r usr/share/doc/adduser
echo changed >>etc/bash.bashrc
"""


@pytest.mark.usefixtures("unchanged_lowers")
def test_what_the_kernel_wrote_is_served(serve: Serve, real_layers: Layers, tmp_path: Path) -> None:
    """The server, the kernel and the server again work on one upper layer."""
    server = serve(real_layers.lowers)
    wire = Wire(server.port)
    wire.write(wire.lookup("etc/hosts"), b"127.0.0.1 localhost\n")
    wire.rename("usr/share/doc/libc6", "usr/share/doc/glibc")
    known = {
        name: wire.facts(name)
        for name in ("etc/hosts", "usr/share/doc/glibc", "etc/issue", "usr/share/perl5")
    }
    gone = wire.facts("usr/share/doc/adduser/copyright")
    wire.close()
    server.stop()
    upper, work = server.stack.upper, server.stack.work
    lowers = ":".join(map(str, real_layers.lowers))
    options = f"lowerdir={lowers},upperdir={upper},workdir={work},redirect_dir=on,metacopy=on"
    (tmp_path / "rw").mkdir()
    with mounted("overlay", tmp_path / "rw", options + ",index=on") as view:
        (package,) = real_layers.packages.glob("tree_*.deb")
        (view / "tmp" / "tree.deb").write_bytes(package.read_bytes())
        command(["sh", "-c", BY_KERNEL, "sh", view], timeout=300)
    server.start()
    wire = Wire(server.port)
    for name, facts in known.items():
        now = "srv/perl5-moved" if name == "usr/share/perl5" else name
        assert wire.facts(now) == wire.of(facts.handle) == facts, name
    assert wire.status("GETATTR", gone.handle) == NFS3ERR_STALE
    wire.close()
    with Guest(server.port) as guest:
        found = see(guest)
        guest.run(PREFIX + "in_root tree --version").check()
    check_identities(found)
    check_against_kernel(found, server, tmp_path)


OPEN_FILES = """
cd /mnt
mkdir -p root/work/deep && echo first >root/work/deep/log
(
  exec 5<usr/share/common-licenses/GPL-3 6>>root/work/deep/log
  cd root/work/deep
  dd bs=1000 count=1 of=/tmp/read <&5
  touch /tmp/holding
  i=0; while [ ! -e /tmp/go ] && [ $i -lt 6000 ]; do sleep 0.1; i=$((i + 1)); done
  cat <&5 >>/tmp/read && echo second >&6 && cat log >/tmp/log && touch /tmp/done
) >/tmp/holder 2>&1 &
i=0; while [ ! -e /tmp/holding ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
test -e /tmp/holding && mv root/work root/moved
"""

GO_ON = """
echo 3 >/proc/sys/vm/drop_caches
touch /tmp/go
i=0; while [ ! -e /tmp/done ] && [ $i -lt 6000 ]; do sleep 0.1; i=$((i + 1)); done
cat /tmp/holder
cmp /tmp/read /mnt/usr/share/common-licenses/GPL-3 && cat /tmp/log
"""


def test_open_files_outlive_a_crash(serve: Serve, real_layers: Layers) -> None:
    server = serve(real_layers.lowers)
    with Guest(server.port) as guest:
        guest.run(OPEN_FILES).check()
        server.restart(crash=True)
        output = guest.run(GO_ON, timeout=WORK_LIMIT).check()
        assert output.endswith("first\nsecond\n"), output
        assert guest.run("cat /mnt/root/moved/deep/log").check() == "first\nsecond\n"


WRITE = """
dd if=/dev/urandom of=/tmp/blob bs=1M count=48 2>/dev/null
sha256sum </tmp/blob
(cp /tmp/blob /mnt/root/blob && cat /tmp/blob >>/mnt/etc/services; echo $? >/tmp/copied) &
"""

WRITTEN = """
i=0; while [ ! -e /tmp/copied ] && [ $i -lt 6000 ]; do sleep 0.1; i=$((i + 1)); done
sync; echo 3 >/proc/sys/vm/drop_caches
test "$(cat /tmp/copied)" = 0 || exit 1
cmp /tmp/blob /mnt/root/blob && tail -c 50331648 /mnt/etc/services | cmp - /tmp/blob
"""


def await_size(path: Path, size: int, timeout: float = WORK_LIMIT) -> None:
    """Waits until a file of the host has grown to a size."""
    deadline = time.monotonic() + timeout
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline, f"{path.name} did not grow to {size} bytes"
        time.sleep(0.01)


def test_writes_outlive_crashes(serve: Serve, real_layers: Layers) -> None:
    server = serve(real_layers.lowers)
    with Guest(server.port) as guest:
        guest.run(WRITE).check()
        assert server.stack.upper is not None
        await_size(server.stack.upper / "root" / "blob", 1 << 20)
        for _ in range(2):
            server.restart(crash=True)
        guest.run(WRITTEN, timeout=WORK_LIMIT).check()


def test_a_read_only_export(serve: Serve, real_layers: Layers) -> None:
    server = serve(stack=Stack(real_layers.lowers))
    with Guest(server.port) as guest:
        assert guest.run("cat /mnt/etc/motd").check() == "app layer\n"
        # The client asks for ACCESS before it opens a file, and creates without asking.
        refused = guest.run("echo no >/mnt/etc/motd")
        assert refused.status != 0
        assert "Permission denied" in refused.output
        for change in ("touch /mnt/etc/new", "mkdir /mnt/new", "rm /mnt/etc/motd"):
            refused = guest.run(change)
            assert refused.status != 0
            assert "Read-only file system" in refused.output, refused.output
