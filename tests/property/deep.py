"""Random deep trees: made, changed and removed by handle, beside a model, and then the kernel.

Names of up to 255 bytes lie in each other far beyond PATH_MAX, in the lower layer and in the
upper one; files and directories have as many attributes as the filesystem lets them have.

Rule: all that is random comes from one seed, and nothing here opens a path of several names
below the layers.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from index.linux.fd import Fd, open_dir, open_name, proc_path, reopen
from index.linux.remove_tree import remove_tree
from overlay.base.credentials import ROOT
from overlay.check.run import check
from overlay.filesystem import Overlay
from overlay.maintenance.detach import detach
from overlay.maintenance.seal import seal_overlay
from overlay.model.attributes import Changes
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from overlay.model.node import Node
from tests.overlays import Dirs, mounted

_LENGTHS: Final = (1, 3, 30, 120, 200, 255)  # of names
_ROOM: Final = 4040  # bytes of attributes that ext4 has for an inode, or 968 with small blocks
_FULL: Final = (-1000, -300, -200, -150, -100, -60, -30, 0)
_ACL: Final = bytes.fromhex(
    "0200000001000600ffffffff02000400e903000004000400ffffffff10000600ffffffff20000000ffffffff"
)


class WrongError(AssertionError):
    """What was seen is not what the model has."""


@dataclass
class Thing:
    """An object, as it should be."""

    name: bytes
    above: Thing | None
    is_dir: bool
    mode: int
    content: bytes = b""
    attributes: dict[str, bytes] = field(default_factory=dict)
    names: dict[bytes, Thing] = field(default_factory=dict)
    handle: bytes = b""

    def all(self) -> list[Thing]:
        """The object and all that is below it, what holds before what is held."""
        found = [self]
        for one in found:
            found += one.names.values()
        return found

    def holds(self, other: Thing) -> bool:
        """Whether `other` is this one or lies in it."""
        at: Thing | None = other
        while at is not None and at is not self:
            at = at.above
        return at is self


@dataclass
class Size:
    """How much is tried."""

    levels: int
    changes: int


class Trial:
    """One tree, its model and what is done to it."""

    def __init__(self, place: Path, seed: int, size: Size) -> None:
        self._random = Random(seed)
        self._size = size
        self.dirs = Dirs(place)
        for path in (self.dirs.lower, self.dirs.upper, self.dirs.work):
            path.mkdir(0o755)
        self.root = Thing(b"", None, True, 0o755)
        self._stale: list[bytes] = []
        self._room = self._find_room(place)

    def _find_room(self, place: Path) -> int:
        probe = place / "probe"
        probe.touch()
        for size in (_ROOM, 968):
            with suppress(OSError):
                os.setxattr(probe, "user.a", b"a" * size)
                probe.unlink()
                return size
        raise WrongError("no attributes")

    # The lower layer.

    def plant(self) -> None:
        """Make the lower tree: a few branches, each with directories far below each other."""
        root = Fd(os.open(self.dirs.lower, os.O_RDONLY | os.O_DIRECTORY))
        for _ in range(self._random.randint(1, 3)):
            fd, at = root, self.root
            for _ in range(self._random.randint(1, self._size.levels)):
                for _ in range(self._random.choice((0, 0, 1, 2))):
                    self._plant_file(fd, at)
                name = self._new_name(at)
                os.mkdir(name, 0o755, dir_fd=fd)
                fd = open_dir(fd, name)
                at = self._add(at, name, Thing(name, at, True, 0o755))
                if self._random.random() < 0.2:
                    self._fill(fd, at)
            self._plant_file(fd, at)

    def _plant_file(self, fd: Fd, at: Thing) -> None:
        name, content = self._new_name(at), b"lower" * self._random.randint(0, 3)
        file = Fd(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=fd))
        os.write(file, content)
        made = self._add(at, name, Thing(name, at, False, 0o644, content))
        if self._random.random() < 0.5:
            self._fill(file, made)

    def _fill(self, fd: Fd, made: Thing) -> None:
        """Give it attributes that may leave next to no room, or an ACL."""
        size = max(1, self._room + self._random.choice(_FULL))
        with suppress(OSError):
            if self._random.random() < 0.3:
                os.setxattr(fd, "system.posix_acl_access", _ACL)
                made.attributes["system.posix_acl_access"] = _ACL
                made.mode = stat.S_IMODE(os.fstat(fd).st_mode)
                size -= 200
            value = bytes(self._random.choice(b"abc") for _ in range(max(1, size)))
            os.setxattr(fd, "user.a", value)
            made.attributes["user.a"] = value

    def _new_name(self, at: Thing) -> bytes:
        while True:
            length = self._random.choice(_LENGTHS)
            name = b"%d" % self._random.randint(0, 9) * length
            if name[:length] not in at.names:
                return name[:length]
            if len(at.names) > 3:
                return b"%d" % self._random.getrandbits(64)

    def _add(self, at: Thing, name: bytes, made: Thing) -> Thing:
        at.names[name] = made
        return made

    # What clients do.

    def run(self) -> None:
        """Do all of it; raises WrongError."""
        self.plant()
        overlay = Overlay.open(self.dirs.config)
        try:
            self._walk(overlay)
            for _ in range(self._size.changes):
                if self._random.random() < 0.08:
                    overlay.close()
                    overlay = Overlay.open(self.dirs.config)
                change = self._random.choice(
                    (self._mkdir, self._grow, self._create, self._write, self._chmod)
                    + (self._rename,) * 4
                    + (self._remove, self._look, self._list)
                )
                change(overlay)
        finally:
            overlay.close()
        self._end()

    def _walk(self, overlay: Overlay) -> None:
        for thing in self.root.all():
            if thing.above is None:
                thing.handle = overlay.root.handle
            else:
                above = overlay.resolve(thing.above.handle)
                thing.handle = overlay.lookup(above, thing.name, ROOT).handle

    def _dirs(self) -> list[Thing]:
        return [one for one in self.root.all() if one.is_dir]

    def _a_dir(self) -> Thing:
        """A directory, often one of the deepest."""
        found = self._dirs()
        return found[-1] if self._random.random() < 0.3 else self._random.choice(found)

    def _a_file(self) -> Thing | None:
        found = [one for one in self.root.all() if not one.is_dir]
        return self._random.choice(found) if found else None

    def _mkdir(self, overlay: Overlay) -> None:
        self._make(overlay, self._a_dir())

    def _make(self, overlay: Overlay, at: Thing) -> Thing:
        name = self._new_name(at)
        made = overlay.mkdir(overlay.resolve(at.handle), name, ROOT, Changes(mode=0o755))
        return self._add(at, name, Thing(name, at, True, 0o755, handle=made.node.handle))

    def _grow(self, overlay: Overlay) -> None:
        at = self._a_dir()
        for _ in range(self._random.randint(2, max(3, self._size.levels // 4))):
            at = self._make(overlay, at)

    def _create(self, overlay: Overlay) -> None:
        at = self._a_dir()
        name = self._new_name(at)
        changes = Changes(mode=0o640)
        made = overlay.create(overlay.resolve(at.handle), name, ROOT, changes, True)
        self._add(at, name, Thing(name, at, False, 0o640, handle=made.node.handle))

    def _write(self, overlay: Overlay) -> None:
        file = self._a_file()
        if file is not None:
            content = b"%d" % self._random.getrandbits(40)
            node = overlay.resolve(file.handle)
            overlay.write(node, ROOT, 0, content, Stable.UNSTABLE)
            file.content = content + file.content[len(content) :]

    def _chmod(self, overlay: Overlay) -> None:
        thing = self._random.choice(self.root.all()[1:] or [self.root])
        if "system.posix_acl_access" not in thing.attributes:
            thing.mode = 0o700 | self._random.randint(0, 0o77)
            overlay.setattr(overlay.resolve(thing.handle), ROOT, Changes(mode=thing.mode))

    def _rename(self, overlay: Overlay) -> None:
        things, at = self.root.all()[1:], self._a_dir()
        if not things:
            return
        thing = self._random.choice(things)
        assert thing.above is not None
        name = self._new_name(at)
        try:
            overlay.rename(
                overlay.resolve(thing.above.handle),
                thing.name,
                overlay.resolve(at.handle),
                name,
                ROOT,
            )
        except OSError as problem:
            if problem.errno == errno.EINVAL and thing.is_dir and thing.holds(at):
                return
            if problem.errno == errno.EXDEV and thing.is_dir:
                return  # its redirect has no room
            raise
        if thing.is_dir and thing.holds(at):
            raise WrongError("a directory was moved into itself")
        del thing.above.names[thing.name]
        thing.above, thing.name = at, name
        at.names[name] = thing

    def _remove(self, overlay: Overlay) -> None:
        things = self.root.all()[1:]
        if not things:
            return
        thing = self._random.choice(things[-5:] if self._random.random() < 0.5 else things)
        assert thing.above is not None
        above = overlay.resolve(thing.above.handle)
        if not thing.is_dir:
            overlay.remove(above, thing.name, ROOT)
        else:
            try:
                overlay.rmdir(above, thing.name, ROOT)
            except OSError as problem:
                if problem.errno == errno.ENOTEMPTY and thing.names:
                    return
                raise
            if thing.names:
                raise WrongError("a directory that is not empty was removed")
        del thing.above.names[thing.name]
        self._stale.append(thing.handle)

    def _look(self, overlay: Overlay) -> None:
        for thing in self._random.sample(self.root.all(), min(5, len(self.root.all()))):
            self._holds(overlay, thing)
        for handle in self._stale[-3:]:
            self._is_stale(overlay, handle)

    def _list(self, overlay: Overlay) -> None:
        at = self._a_dir()
        node = overlay.resolve(at.handle)
        entries = list(overlay.readdir(node, ROOT).after(0))
        names = {name: number for _, number, name in entries}
        if set(names) != {b".", b"..", *at.names}:
            raise WrongError(f"{len(names)} names for {len(at.names)}")
        above = at.above or at
        for name, thing in {b".": at, b"..": above, **at.names}.items():
            seen = overlay.getattr(overlay.resolve(thing.handle))
            if names[name] != seen.fileid:
                raise WrongError(
                    f"{name[:9]!r}: {names[name]} in READDIR, {seen.fileid} in GETATTR"
                )

    def _holds(self, overlay: Overlay, thing: Thing) -> None:
        node = overlay.resolve(thing.handle)
        if node.handle != thing.handle:
            raise WrongError("another handle")
        self._is_like(overlay, node, thing)
        if thing.above is not None:
            above = overlay.resolve(thing.above.handle)
            if overlay.lookup(above, thing.name, ROOT).handle != thing.handle:
                raise WrongError("another object by its name")
            if thing.is_dir and overlay.lookup(node, b"..", ROOT).handle != above.handle:
                raise WrongError("another directory above it")

    def _is_like(self, overlay: Overlay, node: Node, thing: Thing) -> None:
        seen = overlay.getattr(node)
        if stat.S_IMODE(seen.mode) != thing.mode or node.is_dir != thing.is_dir:
            raise WrongError(f"mode {seen.mode:o} for {thing.mode:o}")
        if not thing.is_dir:
            content = bytes(overlay.read(node, ROOT, 0, 1 << 16)[0])
            if content != thing.content or seen.size != len(thing.content):
                raise WrongError(f"{content!r} for {thing.content!r}")

    def _is_stale(self, overlay: Overlay, handle: bytes) -> None:
        try:
            overlay.getattr(overlay.resolve(handle))
        except OSError as problem:
            if problem.errno == errno.ESTALE:
                return
            raise
        raise WrongError("a removed object is not stale")

    # What administrators do.

    def _end(self) -> None:
        self._is_sound(self.dirs.config)
        things = self.root.all()
        for thing in self._random.sample(things, min(8, len(things))):
            with _opened(self.dirs.config) as overlay:  # nothing is known but the handle
                self._holds(overlay, thing)
        if self._random.random() < 0.3:
            self._empty()
        elif self._random.random() < 0.5:
            seal_overlay(self.dirs.config)
            self._is_sound(self.dirs.config)
        detach(self.dirs.config, copy_data=self._random.random() < 0.5)
        self._in_kernel()

    def _empty(self) -> None:
        with _opened(self.dirs.config) as overlay:
            for thing in reversed(self.root.all()[1:]):
                assert thing.above is not None
                above = overlay.resolve(thing.above.handle)
                (overlay.rmdir if thing.is_dir else overlay.remove)(above, thing.name, ROOT)
                self._stale.append(thing.handle)
        self.root.names.clear()
        self._is_sound(self.dirs.config)
        with _opened(self.dirs.config) as overlay:
            self._list(overlay)
            for handle in self._stale:
                self._is_stale(overlay, handle)

    def _is_sound(self, config: OverlayConfig) -> None:
        for problem in check(config, repair=False):
            # A file that was changed by its handle alone has its lower name.
            if not problem.harmless and problem.kind.value != "not-linked-up":
                raise WrongError(f"{problem.kind.value}: ...{os.fsdecode(problem.where[-300:])}")

    def _in_kernel(self) -> None:
        """The kernel shows the same, with all the attributes that there were."""
        with mounted(self.dirs) as root:
            _are_in_kernel(root, self.root)

    def clear(self) -> None:
        """Remove the layers, which nothing that uses paths can do."""
        place = Fd(os.open(self.dirs.place, os.O_RDONLY | os.O_DIRECTORY))
        for name in os.listdir(self.dirs.place):
            remove_tree(place, os.fsencode(name))


@contextmanager
def _opened(config: OverlayConfig) -> Iterator[Overlay]:
    overlay = Overlay.open(config)
    try:
        yield overlay
    finally:
        overlay.close()


def _are_in_kernel(root: Path, top: Thing) -> None:
    pending = [(top, Fd(os.open(root, os.O_RDONLY | os.O_DIRECTORY)))]
    while pending:
        thing, fd = pending.pop()
        names = {os.fsencode(name) for name in os.listdir(open_dir(fd, b"."))}
        if names != set(thing.names):
            raise WrongError("the kernel shows other names")
        for name, one in thing.names.items():
            found = open_name(fd, name)
            assert found is not None
            _is_in_kernel(found[0], found[1], one)
            if one.is_dir:
                pending.append((one, found[0]))


def _is_in_kernel(fd: Fd, st: os.stat_result, thing: Thing) -> None:
    if stat.S_IMODE(st.st_mode) != thing.mode or stat.S_ISDIR(st.st_mode) != thing.is_dir:
        raise WrongError("the kernel shows another mode")
    if not thing.is_dir and os.pread(reopen(fd, os.O_RDONLY), 1 << 16, 0) != thing.content:
        raise WrongError("the kernel shows other data")
    for name, value in thing.attributes.items():
        if os.getxattr(proc_path(fd), name) != value:
            raise WrongError("the kernel shows another attribute")
