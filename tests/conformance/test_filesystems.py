"""Layers on other filesystems than the upper's, and on those without file handles.

Rule: a handle outlives the unmounting of its layer's filesystem, and a fileid is one object's.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import NFS3ERR_STALE
from tests.conformance.layers import differences, manifest
from tests.conformance.machine import program
from tests.conformance.server import Stack
from tests.conformance.test_handles import Session
from tests.conftest import Serve
from tests.wire import Wire

pytestmark = pytest.mark.conformance

SIZE = 320 << 20


def run(*words: str | Path) -> str:
    """Run a command to its good end; returns what it printed."""
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=180)
    return done.stdout


def fill(at: Path) -> None:
    """What the layer under test holds."""
    (at / "dir" / "sub").mkdir(parents=True)
    (at / "dir" / "file").write_bytes(b"lower data")
    (at / "dir" / "sub" / "deep").write_bytes(b"deep")
    (at / "dir" / "link").symlink_to("target")
    (at / "first").write_bytes(b"hard")
    os.link(at / "first", at / "second")


def _made(kind: str, options: str) -> Callable[[Path, Path], None]:
    """Makes an image with mkfs and fills it through a mount."""

    def make(source: Path, image: Path) -> None:
        program(f"mkfs.{kind}", f"{kind}progs")
        with image.open("wb") as file:
            file.truncate(SIZE)
        run(f"mkfs.{kind}", options, image)
        place = source.parent / "fill"
        place.mkdir()
        run("mount", "-o", "loop", image, place)
        try:
            fill(place)
        finally:
            run("umount", place)

    return make


def _squashfs(*options: str) -> Callable[[Path, Path], None]:
    def make(source: Path, image: Path) -> None:
        program("mksquashfs", "squashfs-tools")
        run("mksquashfs", source, image, "-quiet", "-no-progress", "-noappend", *options)

    return make


def _erofs(source: Path, image: Path) -> None:
    program("mkfs.erofs", "erofs-utils")
    run("mkfs.erofs", "--quiet", image, source)


IMAGES = {
    "ext4": _made("ext4", "-q"),
    "xfs": _made("xfs", "-q"),
    "btrfs": _made("btrfs", "-q"),
    "squashfs": _squashfs(),
    "squashfs-without-handles": _squashfs("-no-exports"),
    "erofs": _erofs,
}


class Volume:
    """A layer that can be unmounted and mounted again."""

    def __init__(self, at: Path, mount: tuple[str | Path, ...]) -> None:
        self.at = at
        self._mount = mount
        run(*mount, at)

    def remount(self) -> None:
        run("umount", self.at)
        run(*self._mount, self.at)


@pytest.fixture(params=[*IMAGES, "bindfs"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Volume]:
    """A lower layer on its own filesystem, of each kind."""
    source, at = tmp_path / "source", tmp_path / "volume"
    source.mkdir()
    at.mkdir()
    fill(source)
    if request.param == "bindfs":
        program("bindfs", "bindfs")
        volume = Volume(at, ("bindfs", source))
    else:
        IMAGES[request.param](source, tmp_path / "image")
        volume = Volume(at, ("mount", "-o", "loop", tmp_path / "image"))
    yield volume
    run("umount", at)


def test_handles_outlive_a_remount(serve: Serve, volume: Volume, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "dir").mkdir(parents=True)
    (top / "dir" / "above").write_bytes(b"above")
    before = manifest(volume.at)
    session = Session(serve([top, volume.at]))
    wire = session.wire
    paths = ["dir", "dir/above", "dir/file", "dir/sub", "dir/sub/deep", "dir/link", "first"]
    known = {path: wire.facts(path) for path in paths}
    assert len({facts.fileid for facts in known.values()}) == len(paths)
    links = wire.attributes(known["first"].handle).nlink
    wire.setattr(known["dir/file"].handle, mode=0o600)
    wire.write(known["first"].handle, b"HARD")
    assert wire.attributes(known["first"].handle).nlink == links
    wire.rename("dir/sub", "moved")
    wire.close()
    session.server.stop()
    volume.remount()
    session.server.start()
    wire = session.wire = Wire(session.server.port)
    moved = {"dir/sub": "moved", "dir/sub/deep": "moved/deep"}
    for path, facts in known.items():
        session.check(facts, moved.get(path, path))
    assert wire.attributes(known["dir/file"].handle).mode == 0o600
    assert wire.read(known["dir/file"].handle) == b"lower data"
    assert wire.read(known["dir/sub/deep"].handle) == b"deep"
    assert wire.read(known["first"].handle) == b"HARD"
    assert wire.readlink(known["dir/link"].handle) == b"target"
    entries, _ = wire.page(wire.lookup("dir"))
    numbers = {entry.name: entry.fileid for entry in entries}
    for name in (b"above", b"file", b"link"):
        assert numbers[name] == known["dir/" + name.decode()].fileid
    wire.remove("dir/link")
    assert differences(before, manifest(volume.at)) == []
    wire.close()


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A filled filesystem of the kind that the test names, for all layers."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "source").mkdir()
    IMAGES[request.param](tmp_path / "source", image)
    run("mount", "-o", "loop", image, disk)
    yield disk
    run("umount", "--lazy", disk)  # the server may still be there


@pytest.mark.parametrize("disk", ["xfs", "btrfs"], indirect=True)
def test_copy_up_shares_extents(serve: Serve, disk: Path) -> None:
    lower = disk / "lower"
    lower.mkdir()
    (lower / "file").write_bytes(os.urandom(4 << 20))
    run("sync", "-f", disk)
    server = serve(stack=Stack.over([lower], disk))
    wire = Wire(server.port)
    wire.write(wire.lookup("file"), b"!", 5)
    wire.close()
    server.stop()
    shared = re.findall(r"\bshared\b", run("filefrag", "-v", disk / "upper" / "file"))
    assert shared, "the copy has blocks of its own"


# Of these xfs gives a freed inode number out again at once.
@pytest.mark.parametrize("disk", ["xfs"], indirect=True)
def test_stale_when_the_inode_number_is_used_again(serve: Serve, disk: Path) -> None:
    wire = Wire(serve(stack=Stack.over([disk / "dir"], disk)).port)
    gone: dict[int, bytes] = {}
    for number in range(50):
        handle = wire.create(f"file{number}")
        gone[wire.attributes(handle).fileid] = handle
        if number % 2:
            wire.remove(f"file{number - 1}")
            wire.remove(f"file{number}")
    os.sync()  # freed by now at the latest
    again = 0
    for number in range(50):
        fileid = wire.attributes(wire.create(f"new{number}")).fileid
        if fileid in gone:
            again += 1
            assert wire.status("GETATTR", gone[fileid]) == NFS3ERR_STALE
    assert again, "no inode number was used again: the test shows nothing"
    wire.close()


@pytest.mark.parametrize("disk", ["btrfs"], indirect=True)
def test_subvolumes_with_the_same_inode_numbers(serve: Serve, disk: Path) -> None:
    for name in ("top", "bottom", "own"):
        run("btrfs", "subvolume", "create", disk / name)
    for name in ("top", "bottom"):
        (disk / name / name).write_bytes(name.encode())
        (disk / name / "dir").mkdir()
        (disk / name / "dir" / name).write_bytes(name.encode())
    assert (disk / "top" / "top").stat().st_ino == (disk / "bottom" / "bottom").stat().st_ino
    lowers = [disk / "top", disk / "bottom"]
    session = Session(serve(stack=Stack.over(lowers, disk / "own")))
    wire = session.wire
    names = ["top", "bottom", "dir", "dir/top", "dir/bottom"]
    known = {name: wire.facts(name) for name in names}
    assert len({facts.fileid for facts in known.values()}) == len(names)
    entries, _ = wire.page(wire.root)
    numbers = {entry.name.decode(): entry.fileid for entry in entries}
    assert all(numbers[name] == known[name].fileid for name in ("top", "bottom", "dir"))
    wire.write(known["bottom"].handle, b"B")
    # What the kernel copies up meanwhile keeps its identity too.
    wire.close()
    session.server.stop()
    stack = session.server.stack
    view = disk / "view"
    view.mkdir()
    lowerdir = ":".join(map(str, lowers))
    options = f"lowerdir={lowerdir},upperdir={stack.upper},workdir={stack.work}"
    run("mount", "-t", "overlay", "overlay", "-o", options, view)
    try:
        (view / "dir" / "bottom").write_bytes(b"by the kernel")
        (view / "top").rename(view / "dir" / "moved")
    finally:
        run("umount", view)
    session.server.start()
    session.wire = Wire(session.server.port)
    session.check(known["dir/bottom"], "dir/bottom", b"by the kernel")
    session.check(known["top"], "dir/moved", b"top")
    session.check(known["bottom"], "bottom", b"Bottom")
    session.wire.close()
