"""What a client was told is on stable storage is there after the power was cut.

Rule: after the last answer nothing is asked to write anything: the disk is copied as it is then.
Of names alone nothing is promised (docs/design/concepts.md), but of data that was written stable,
or committed: it is there, in the object of its handle, under a name that leads to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from nfsd.xdr.generated.nfs3 import DATA_SYNC, EXCLUSIVE, FILE_SYNC, UNSTABLE
from tests.torture.asking import (
    attributes,
    create,
    first,
    link,
    mkdir,
    remove,
    rename,
    rmdir,
    setattr,
)
from tests.torture.disks import Disk
from tests.torture.scene import Scene
from tests.torture.trials import NOTES
from tests.wire import Wire

DATA: Final = b"promised " * 9  # shorter than the files are: no size changes
HOW: Final = {"DATA_SYNC": DATA_SYNC, "FILE_SYNC": FILE_SYNC, "UNSTABLE, COMMIT": UNSTABLE}


class Kept(NamedTuple):
    """Data that a client was told is safe."""

    handle: bytes
    paths: tuple[str, ...]  # one of them leads to it


@dataclass(frozen=True)
class Promise:
    """Calls before a write, and where what is written must be found."""

    name: str
    path: str
    work: Callable[[Wire], None] = lambda _: None
    prepare: Callable[[Wire], None] = lambda _: None  # this is on the disk already
    also: tuple[str, ...] = ()  # names that nothing is promised of yet


def _nothing(_: Wire) -> None:
    pass


PROMISES: Final = (
    Promise("a new file", "new", first(create("new"))),
    Promise("a new file, exclusive", "new", first(create("new", how=EXCLUSIVE))),
    Promise(
        "a new file in new directories",
        "a/b/c/new",
        first(mkdir("a"), mkdir("a/b"), mkdir("a/b/c"), create("a/b/c/new")),
    ),
    Promise("a new file in a lower directory", "dir/deep/new", first(create("dir/deep/new"))),
    Promise("a lower file", "file"),
    Promise("a lower file, nested", "nest/one/two/three/leaf"),
    Promise("a lower hard link", "dir/hard3"),
    Promise("a lower file below a redirect", "shown/sub/s"),
    Promise("a metacopy", "file", first(setattr("file", attributes(0o604)))),
    Promise("a metacopy of before", "file", prepare=first(setattr("file", attributes(0o604)))),
    Promise("a renamed lower file", "other/renamed", first(rename("file", "other/renamed"))),
    Promise(
        "a renamed upper file", "renamed", first(rename("new", "renamed")), first(create("new"))
    ),
    Promise(
        "a file whose other name was removed",
        "linked",
        first(link("file", "linked"), remove("file")),
    ),
    Promise(
        "a file in a renamed lower directory", "renamed/inner", first(rename("dir", "renamed"))
    ),
    Promise("a file over a whiteout", "victim", first(remove("victim"), create("victim"))),
    Promise(
        "a file in a directory over a whiteout",
        "empty/new",
        first(rmdir("empty"), mkdir("empty"), create("empty/new")),
    ),
    Promise(
        "a file that is long",
        "long",
        first(create("long"), setattr("long", attributes(size=1 << 20))),
    ),
)


def broken(promise: Promise, how: str, disk: Disk, scene: Scene) -> Iterator[str]:
    """What is not as promised, when `DATA` was written in a way after the calls of `promise`."""
    scene.serve()
    with scene.wire() as wire:
        promise.prepare(wire)
        disk.sync()
        promise.work(wire)
        handle = wire.lookup(promise.path)
        wire.write(handle, DATA, 0, HOW[how])
        if HOW[how] == UNSTABLE:
            wire.commit(handle)
        disk.copy()
    scene.end()
    with disk.copied():
        try:
            yield from _compared(scene, promise.path, handle)
        finally:
            scene.end()


def _compared(scene: Scene, path: str, handle: bytes) -> Iterator[str]:
    scene.serve()
    with scene.wire() as wire:
        found = wire.read(handle, 0, len(DATA))
        if found != DATA:
            yield f"{len(DATA)} bytes were promised, and there is {found[:20]!r}..."
        if wire.lookup(path) != handle:
            yield f"{path} leads to another object"
    scene.stop()
    yield from (f"check: {kind}" for kind in scene.problems() if kind not in NOTES)
