"""Small real layers, served without a network, and mounted by the kernel, for tests of the overlay.

Rule: what a test plants or compares is the real thing on disk; nothing here is a stand-in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.model.attributes import Attributes, Changes
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from overlay.model.listing import Entry
from overlay.model.node import Node
from tests.property import syscalls
from tests.property.trees import raw

KERNEL_OPTIONS = b"index=on,metacopy=on,redirect_dir=on,xino=off"


class Layout:
    """Where the directories of one overlay over one lower layer are, below `place`."""

    place: Path

    @property
    def lower(self) -> Path:
        return self.place / "lower"

    @property
    def upper(self) -> Path:
        return self.place / "upper"

    @property
    def work(self) -> Path:
        return self.place / "work"


@dataclass(frozen=True)
class Dirs(Layout):
    """The directories of one overlay over one lower layer."""

    place: Path

    @property
    def config(self) -> OverlayConfig:
        lower, upper, work = map(os.fsencode, (self.lower, self.upper, self.work))
        return OverlayConfig((lower,), upper, work)


def make_dirs(place: Path) -> Dirs:
    """A lower layer with a bit of everything, an empty upper and workdir."""
    dirs = Dirs(place)
    os.umask(0o022)  # a workdir that others may write to is refused
    for path in (dirs.lower, dirs.upper, dirs.work):
        path.mkdir(0o755)
    for name in ("d", "d/sub", "e", "gone", "gone/in", "opened"):
        (dirs.lower / name).mkdir()
    for name in ("a", "b", "c", "d/f", "d/sub/g", "e/h", "gone/x", "gone/in/y", "opened/o"):
        (dirs.lower / name).write_text(f"lower {name}\n" * 100)
    os.link(dirs.lower / "b", dirs.lower / "d/b2")
    os.symlink("a", dirs.lower / "s")
    os.mkfifo(dirs.lower / "p")
    for _ in range(2):  # read everything, so that no later reading changes an access time
        raw(dirs.lower)
    return dirs


class Served:
    """The overlay of some directories, by paths, as root."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay

    def node(self, path: str) -> Node:
        node: Node = self.overlay.root
        for name in filter(None, path.split("/")):
            node = self.overlay.lookup(node, name.encode(), ROOT)
        return node

    def parent(self, path: str) -> tuple[Node, bytes]:
        head, _, name = path.rpartition("/")
        return self.node(head), name.encode()

    def write(self, path: str, content: str) -> None:
        self.overlay.write(self.node(path), ROOT, 0, content.encode(), Stable.UNSTABLE)

    def create(self, path: str, content: str = "") -> None:
        created = self.overlay.create(*self.parent(path), ROOT, Changes(mode=0o644), True)
        self.overlay.write(created.node, ROOT, 0, content.encode(), Stable.UNSTABLE)

    def chmod(self, path: str, mode: int) -> None:
        self.overlay.setattr(self.node(path), ROOT, Changes(mode=mode))

    def mkdir(self, path: str) -> None:
        self.overlay.mkdir(*self.parent(path), ROOT, Changes(mode=0o755))

    def remove(self, path: str) -> None:
        self.overlay.remove(*self.parent(path), ROOT)

    def rmdir(self, path: str) -> None:
        self.overlay.rmdir(*self.parent(path), ROOT)

    def rename(self, old: str, new: str) -> None:
        self.overlay.rename(*self.parent(old), *self.parent(new), ROOT)

    def link(self, old: str, new: str) -> None:
        self.overlay.link(self.node(old), *self.parent(new), ROOT)

    def read(self, path: str) -> bytes:
        return bytes(self.overlay.read(self.node(path), ROOT, 0, 4 << 20)[0])

    def attributes(self, path: str) -> Attributes:
        return self.overlay.getattr(self.node(path))

    def listed(self, node: Node) -> list[Entry]:
        """All entries of a directory in the order of their cookies."""
        return list(self.overlay.readdir(node, ROOT).after(0))

    def handles(self) -> dict[str, bytes]:
        """The handle of everything."""
        return {path: self.node(path).handle for path in self.paths()}

    def paths(self) -> list[str]:
        found = [""]
        for path in found:
            node = self.node(path)
            if node.is_dir:
                names = [os.fsdecode(name) for _, _, name in self.listed(node)[2:]]
                found += [f"{path}/{name}".lstrip("/") for name in names]
        return sorted(found)

    def tree(self) -> dict[str, tuple[object, ...]]:
        """What can be seen of everything, as `kernel_tree` has it."""
        seen = {}
        for path in self.paths():
            node, had = self.node(path), self.attributes(path)
            content = b""
            if stat.S_ISREG(had.mode):
                content = self.read(path)
            elif stat.S_ISLNK(had.mode):
                content = self.overlay.readlink(node, ROOT)
            seen[path] = _seen(had.mode, had.nlink, had.uid, had.gid, had.size, content, had.fileid)
        return seen


def _seen(
    mode: int, nlink: int, uid: int, gid: int, size: int, content: bytes, number: int
) -> tuple[object, ...]:
    if stat.S_ISDIR(mode):
        nlink = size = 0
    return mode, nlink, uid, gid, size, content, number


@contextmanager
def served(dirs: Dirs) -> Iterator[Served]:
    """Serve the directories for a while."""
    overlay = Overlay.open(dirs.config)
    try:
        yield Served(overlay)
    finally:
        overlay.close()
        os.umask(0o022)  # to open one has set it to zero


@contextmanager
def mounted(dirs: Dirs, options: bytes = KERNEL_OPTIONS) -> Iterator[Path]:
    """Let the kernel mount the directories for a while."""
    target = dirs.place / "mnt"
    target.mkdir(exist_ok=True)
    syscalls.private_mounts()  # or another namespace could be made meanwhile, and keep it
    lower, upper, work = map(os.fsencode, (dirs.lower, dirs.upper, dirs.work))
    layers = b"lowerdir=%s,upperdir=%s,workdir=%s," % (lower, upper, work)
    syscalls.mount(b"test", os.fsencode(target), b"overlay", layers + options)
    try:
        yield target
    finally:
        syscalls.unmount(os.fsencode(target))


def kernel_tree(root: Path) -> dict[str, tuple[object, ...]]:
    """What can be seen of everything below a directory, as `Served.tree` has it."""
    seen: dict[str, tuple[object, ...]] = {}
    pending = [root]
    while pending:
        path = pending.pop()
        st = path.lstat()
        content = b""
        if stat.S_ISREG(st.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(st.st_mode):
            content = os.fsencode(os.readlink(path))
        elif stat.S_ISDIR(st.st_mode):
            pending += list(path.iterdir())
        name = str(path.relative_to(root))
        seen["" if name == "." else name] = _seen(
            st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_size, content, st.st_ino
        )
    return seen
