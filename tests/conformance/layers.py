"""Real layers to serve: a Debian root, and a layer over it that the kernel's overlayfs wrote.

Rule: the cached layers are read-only for every test. `manifest` of a layer before and after shows
that they were (ctime is part of it, so a change that was undone is seen too).
"""

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.machine import (
    UnavailableError,
    cached,
    command,
    download_packages,
    program,
)

# Changed whenever the recipe below changes, so that an old cache is not taken for a new one.
CACHE_NAME = "layers-1"

# What one who builds an image does on top of a base: each line leaves something of its own in the
# layer: new files, copied-up files, whiteouts, an opaque directory, redirects, hard links.
APP_RECIPE = r"""
set -e
dpkg -i /packages/less_*.deb
echo "app layer" >/etc/motd
echo "127.0.1.1 app" >>/etc/hosts
sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs
chmod 0700 /srv
rm /etc/issue.net /usr/share/doc/bash/copyright
rm -r /usr/share/doc/base-files && mkdir /usr/share/doc/base-files
echo "written anew" >/usr/share/doc/base-files/README
rm -r /usr/share/doc/mawk
mv /usr/share/doc/debianutils /usr/share/doc/debianutils-moved
mkdir -p /opt/app/share && mv /usr/share/pam /opt/app/share/pam
echo one >/opt/app/first && ln /opt/app/first /opt/app/second
ln -s first /opt/app/link && mknod /opt/app/null c 1 3 && mkfifo /opt/app/fifo
install -d -m 2775 -g staff /opt/app/shared && install -d -m 1777 /opt/app/sticky
"""


@dataclass(frozen=True)
class Layers:
    """The cached layers, and packages for the guest to install."""

    base: Path
    app: Path
    packages: Path

    @property
    def lowers(self) -> tuple[Path, ...]:
        """The stack, topmost first."""
        return (self.app, self.base)


def layers() -> Layers:
    """The cached layers; made the first time, which takes about a minute."""
    if os.geteuid() != 0:
        raise UnavailableError("layers can be made only by root")
    directory = cached(CACHE_NAME, _build)
    return Layers(directory / "base", directory / "app", directory / "packages")


def _build(target: Path) -> None:
    print("making a Debian root and a layer over it (about a minute)", flush=True)
    base, app, packages = target / "base", target / "app", target / "packages"
    debootstrap = program("debootstrap", "debootstrap")
    command([debootstrap, "--variant=minbase", "bookworm", base], timeout=600)
    for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
        for path in (base / leftover).glob("*"):
            if path.is_file():
                path.unlink()
    app.mkdir()
    packages.mkdir()
    download_packages(["less", "tree"], packages)
    work, merged = target / "work", target / "merged"
    work.mkdir()
    merged.mkdir()
    options = f"lowerdir={base},upperdir={app},workdir={work},redirect_dir=on,index=off"
    with mounted("overlay", merged, options):
        shutil.copytree(packages, merged / "packages")
        chroot = program("chroot", "coreutils")
        command([chroot, merged, "/bin/sh", "-c", APP_RECIPE], timeout=300)
        shutil.rmtree(merged / "packages")
    shutil.rmtree(work)
    merged.rmdir()


@contextmanager
def mounted(kind: str, at: Path, options: str) -> Iterator[Path]:
    """A filesystem of the host's kernel, mounted for the length of a `with` block."""
    command([program("mount", "mount"), "-t", kind, kind, "-o", options, at], timeout=180)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], timeout=180, check=True)


@contextmanager
def kernel_view(stack: Sequence[Path], at: Path) -> Iterator[Path]:
    """What the kernel's own overlayfs shows of layers (topmost first), without writing to any."""
    at.mkdir(exist_ok=True)
    lowerdir = ":".join(str(path) for path in stack)
    with mounted("overlay", at, f"ro,lowerdir={lowerdir},redirect_dir=follow,metacopy=on"):
        yield at


@dataclass(frozen=True)
class Entry:
    """All that is to be known of one name in a layer."""

    mode: int
    owner: tuple[int, int]
    links: int
    device: int
    size: int
    mtime_ns: int
    ctime_ns: int
    content: str
    xattrs: tuple[tuple[str, bytes], ...]


def manifest(layer: Path) -> dict[str, Entry]:
    """Every name in a layer, with type, mode, owner, times, content and extended attributes."""
    found = {".": _entry(layer)}
    for folder, directories, files in os.walk(layer):
        for name in (*directories, *files):
            path = Path(folder, name)
            found[str(path.relative_to(layer))] = _entry(path)
    return found


def _entry(path: Path) -> Entry:
    status = path.lstat()
    content = ""
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    names = _xattr_names(path)
    return Entry(
        mode=status.st_mode,
        owner=(status.st_uid, status.st_gid),
        links=status.st_nlink,
        device=status.st_rdev,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        content=content,
        xattrs=tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
    )


def _xattr_names(path: Path) -> list[str]:
    try:
        return sorted(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return []  # a filesystem without any


def differences(before: dict[str, Entry], after: dict[str, Entry]) -> list[str]:
    """The names whose entries differ, each with what it was and what it is."""
    names = sorted(before.keys() | after.keys())
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def source_tarball(target: Path, *, directories: int = 12, files: int = 10) -> Path:
    """A small source tree as a tarball: text, scripts, symlinks, hard links, an empty file."""
    tree = target.with_suffix(".tree")
    for number in range(directories):
        folder = tree / "project-1.0" / f"module{number:02}" / "src"
        folder.mkdir(parents=True)
        for part in range(files):
            text = f"/* module {number}, part {part} */\n" * (1 + 40 * part)
            (folder / f"part{part}.c").write_text(text)
        (folder / "latest.c").symlink_to("part0.c")
        os.link(folder / "part1.c", folder.parent / "exported.c")
        script = folder.parent / "configure"
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(0o755)
    (tree / "project-1.0" / "EMPTY").touch()
    (tree / "project-1.0" / "naïve name, with spaces").write_text("unusual name\n")
    with tarfile.open(target, "w") as archive:
        archive.add(tree / "project-1.0", "project-1.0")
    shutil.rmtree(tree)
    return target
