"""Random work on one disk, of which copies are taken at many moments, as power cuts would leave it.

Each file's data says whose it is: any byte of it is the file's own, or its lower file's, or zero.

Rule: of a copy this is expected: what was written stable before the copy was taken is there, in the
object of its handle, and a name leads to it; every other handle is of its own object or STALE;
`check` finds nothing but what the start mends.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from nfsd.xdr.generated.nfs3 import NFS3ERR_STALE
from tests.torture.asking import attributes as to_set
from tests.torture.asking import link, mkdir, remove, rename, setattr
from tests.torture.disks import Disk
from tests.torture.promises import HOW
from tests.torture.scene import Scene
from tests.torture.trials import MENDED, NOTES
from tests.wire import NfsError, Wire

_TAG: Final = 8
_SPREAD: Final = 12_000  # bytes of a file that are written to
_LOWER: Final = (
    *("file", "victim", "second", "hard1", "pair1", "dir/inner", "dir/deep/leaf", "other/o"),
    *("gone/a", "gone/far/b", "merged/below", "merged/above", "shown/m", "shown/sub/s"),
    "nest/one/two/three/leaf",
)
_DIRECTORIES: Final = ("dir", "dir/deep", "other", "gone", "merged", "nest/one/two", "shown/sub")


@dataclass
class File:
    """A file as the client knows it."""

    handle: bytes
    tag: bytes
    lower: bytes = b""
    names: set[str] = field(default_factory=set)
    stable: tuple[tuple[int, int], ...] = ()  # ranges that were promised

    def data(self, offset: int, count: int) -> bytes:
        """What is written there."""
        whole = self.tag * (count // _TAG + 2)
        return whole[offset % _TAG :][:count]

    def wrong(self, found: bytes) -> list[str]:
        """What its contents cannot be."""
        told = []
        own = self.data(0, len(found))
        lower = self.lower.ljust(len(found), b"\0")
        strange = sum(
            byte not in (0, mine, theirs)
            for byte, mine, theirs in zip(found, own, lower, strict=False)
        )
        if strange:
            told.append(f"{strange} bytes of something else")
        for begin, end in self.stable:
            if found[begin:end] != own[begin:end]:
                told.append(f"bytes {begin} to {end} were promised")
        return told


class Outage:
    """One server, one client, one random sequence."""

    def __init__(self, disk: Disk, scene: Scene, seed: int) -> None:
        self._disk, self._scene = disk, scene
        self._random = random.Random(seed)
        self._files: list[File] = []
        self._directories = ["", *_DIRECTORIES]
        self._number = 0
        self._still = threading.Lock()  # nobody syncs while the disk is copied
        self.copies: dict[str, list[File]] = {}

    def run(self, operations: int, copies: int) -> None:
        """Do so many operations, and take so many copies between them."""
        self._scene.serve()
        with self._scene.wire() as wire:
            for path in _LOWER:
                handle = wire.lookup(path)
                file = File(handle, self._tag(), wire.read(handle), {path})
                self._files.append(file)
            self._disk.sync()
            moments = set(self._random.sample(range(operations), copies))
            with self._committing():
                for number in range(operations):
                    self._do(wire)
                    if number in moments:
                        self._copy(f"copy{number}")
        self._scene.end()

    def _tag(self) -> bytes:
        self._number += 1
        return b"<%06d>" % self._number

    @contextmanager
    def _committing(self) -> Iterator[None]:
        """Meanwhile somebody else syncs a file of his own, now and then."""
        done = threading.Event()
        pauses = random.Random(self._random.random())

        def work() -> None:
            while not done.wait(pauses.expovariate(20)):
                with self._still:
                    self._disk.commit()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _copy(self, name: str) -> None:
        known = [replace(file, names=set(file.names)) for file in self._files]
        with self._still:
            self._disk.copy(name)
        self.copies[name] = known

    def _do(self, wire: Wire) -> None:
        weights = {
            self._write: 25,
            self._create: 15,
            self._rename: 15,
            self._remove: 8,
            self._link: 6,
            self._chmod: 6,
            self._mkdir: 4,
            self._move: 6,
        }
        self._random.choices(list(weights), list(weights.values()))[0](wire)

    def _living(self) -> File:
        return self._random.choice([file for file in self._files if file.names])

    def _name(self, file: File) -> str:
        return self._random.choice(sorted(file.names))

    def _new_name(self) -> str:
        self._number += 1
        directory = self._random.choice(self._directories)
        return f"{directory}/n{self._number}".lstrip("/")

    def _write(self, wire: Wire) -> None:
        file = self._living()
        offset, count = self._random.randrange(_SPREAD), self._random.randrange(1, 5000)
        how = self._random.choice(("kept in memory", *HOW))
        wire.write(file.handle, file.data(offset, count), offset, HOW.get(how, 0))
        if how in HOW:
            if HOW[how] == 0:
                wire.commit(file.handle)
            file.stable += ((offset, offset + count),)

    def _create(self, wire: Wire) -> None:
        name = self._new_name()
        self._files.append(File(wire.create(name), self._tag(), names={name}))

    def _rename(self, wire: Wire) -> None:
        file, other = self._living(), self._living()
        old = self._name(file)
        new = self._name(other) if self._random.random() < 0.3 else self._new_name()
        if new in file.names:
            return
        wire.call(*rename(old, new)(wire))
        for each in self._files:
            each.names.discard(new)
        file.names.discard(old)
        file.names.add(new)

    def _remove(self, wire: Wire) -> None:
        file = self._living()
        name = self._name(file)
        wire.call(*remove(name)(wire))
        file.names.discard(name)

    def _link(self, wire: Wire) -> None:
        file, name = self._living(), self._new_name()
        wire.call(*link(self._name(file), name)(wire))
        file.names.add(name)

    def _chmod(self, wire: Wire) -> None:
        mode = self._random.choice((0o600, 0o640, 0o644))
        wire.call(*setattr(self._name(self._living()), to_set(mode))(wire))

    def _mkdir(self, wire: Wire) -> None:
        name = self._new_name()
        wire.call(*mkdir(name)(wire))
        self._directories.append(name)

    def _move(self, wire: Wire) -> None:
        """Rename a directory, with all that is known to be below it."""
        old, new = self._random.choice(self._directories[1:]), self._new_name()
        if f"{new}/".startswith(f"{old}/"):
            return
        wire.call(*rename(old, new)(wire))

        def moved(path: str) -> str:
            return new + path[len(old) :] if f"{path}/".startswith(f"{old}/") else path

        self._directories = [moved(path) for path in self._directories]
        for file in self._files:
            file.names = {moved(name) for name in file.names}

    def examine(self) -> Iterator[str]:
        """What is wrong with each of the copies."""
        for name, files in self.copies.items():
            with self._disk.copied(name):
                try:
                    yield from (f"{name}: {line}" for line in _examined(self._scene, files))
                finally:
                    self._scene.end()


def _examined(scene: Scene, files: list[File]) -> Iterator[str]:
    yield from (f"check: {kind}" for kind in scene.problems() if kind not in MENDED | NOTES)
    scene.serve()
    with scene.wire() as wire:
        reached = set(scene.look().names.values())
        for file in files:
            yield from _compared(wire, file, file.handle in reached)
    scene.stop()
    yield from (f"check after it: {kind}" for kind in scene.problems() if kind not in NOTES)


def _compared(wire: Wire, file: File, is_reached: bool) -> Iterator[str]:
    is_promised = bool(file.names and file.stable)
    who = f"file {file.tag.decode()}"
    try:
        found = wire.read(file.handle)
    except NfsError as problem:
        if problem.status != NFS3ERR_STALE:
            raise
        if is_promised:
            yield f"{who}: STALE"
        return
    if is_promised and not is_reached:
        yield f"{who}: no name leads to it"
    if not file.names:
        file = replace(file, stable=())  # it may be gone, or not yet, or its data may be freed
    yield from (f"{who}: {line}" for line in file.wrong(found))
