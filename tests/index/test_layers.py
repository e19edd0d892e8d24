"""Layers keep their ids, whatever is added, moved or reordered; numbers of inodes never meet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.layers import Layer, Opened, Record, load_record, make_layers, save_record
from index.linux.fd import Fd
from index.linux.file_handle import RealHandle, handle_of
from index.match_layers import recognise
from index.origin import Origin, filesystem_uuid
from index.workdir import Workdir
from tests.overlays import make_dirs, mounted
from tests.property.disk import filesystem


def _fd(path: Path) -> Fd:
    return Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def _identify(work: Path, paths: Sequence[Path]) -> tuple[Record, list[Layer]]:
    work.mkdir(exist_ok=True)
    opened = [Opened(_fd(path), os.fsencode(path)) for path in paths]
    workdir = Workdir(_fd(work))
    found = recognise(load_record(workdir), opened, None, bottom=len(paths) - 1)
    save_record(workdir, found.record)
    return found.record, make_layers(opened, found.known, None)


def _ids(work: Path, paths: Sequence[Path]) -> list[int]:
    return [layer.id for layer in _identify(work, paths)[1]]


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("one", "two", "three")]
    for path in paths:
        path.mkdir()
    return paths


def test_reordered_added_and_removed(three: list[Path], tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = dict(zip(three, _ids(work, three), strict=True))
    assert len(set(first.values())) == 3
    assert _ids(work, three[::-1]) == [first[path] for path in three[::-1]]
    assert _ids(work, three[1:2]) == [first[three[1]]]
    new = tmp_path / "new"
    new.mkdir()
    ids = _ids(work, [new, *three])
    assert ids[1:] == list(first.values())
    assert ids[0] not in first.values()


def test_moved_by_its_root_and_copied_by_its_path(three: list[Path], tmp_path: Path) -> None:
    work = tmp_path / "work"
    before = _ids(work, three)
    moved = [path.rename(tmp_path / f"moved-{path.name}") for path in three]
    assert _ids(work, moved) == before
    copied = tmp_path / "copy"
    shutil.copytree(moved[0], copied)
    shutil.rmtree(moved[0])
    copied.rename(moved[0])
    assert _ids(work, moved) == before


def test_two_layers_that_change_places(three: list[Path], tmp_path: Path) -> None:
    """The root inode is a surer sign than the path."""
    work = tmp_path / "work"
    one, two, _ = before = _ids(work, three)
    three[0].rename(tmp_path / "aside")
    three[1].rename(three[0])
    (tmp_path / "aside").rename(three[1])
    assert _ids(work, three) == [two, one, before[2]]


def test_the_export_is_the_same_for_ever(three: list[Path], tmp_path: Path) -> None:
    work = tmp_path / "work"
    first, _ = _identify(work, three)
    again, _ = _identify(work, three[::-1])
    assert (again.export, again.root) == (first.export, first.root)
    other, _ = _identify(tmp_path / "other", three)
    assert other.export != first.export


def test_filesystems_have_numbers(three: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with filesystem("tmpfs", place) as disk:
        layer = disk / "layer"
        layer.mkdir()
        _, layers = _identify(tmp_path / "work", [three[0], layer, three[1]])
        numbers = [layer.filesystem for layer in layers]
        ino = os.stat(layer).st_ino
        same = {layers[0].fileid(ino), layers[1].fileid(ino)}
        del layers
    assert numbers[0] == numbers[2] != numbers[1]
    assert len(same) == 2


_inodes = st.integers(1, (1 << 64) - 1)


@given(st.lists(st.tuples(st.integers(0, 127), _inodes), unique=True, max_size=50))
def test_fileids_never_meet(inodes: list[tuple[int, int]]) -> None:
    layers = {number: Layer(1, number, Fd(-1), b"/") for number, _ in inodes}
    fileids = [layers[number].fileid(ino) for number, ino in inodes]
    assert len(set(fileids)) == len(fileids)
    assert all(0 < fileid < 1 << 64 for fileid in fileids)
    for (number, ino), fileid in zip(inodes, fileids, strict=True):
        if number == 0 and ino < 1 << 56:
            assert fileid == ino


@given(st.integers(0, 200), st.lists(st.integers(1, 1 << 57) | _inodes))
def test_many_inodes_have_the_numbers_that_each_has(number: int, inodes: list[int]) -> None:
    layer = Layer(1, number, Fd(-1), b"/")
    assert layer.numbers(inodes) == [layer.number(ino) for ino in inodes]


def test_origin_is_the_kernels(tmp_path: Path) -> None:
    dirs = make_dirs(tmp_path)
    with mounted(dirs) as mount:
        (mount / "a").write_text("changed")
    uuid = filesystem_uuid(_fd(dirs.lower))
    assert uuid is not None
    origin = Origin(uuid, handle_of(Fd(os.open(dirs.lower / "a", os.O_PATH))))
    written = os.getxattr(dirs.upper / "a", "trusted.overlay.origin")
    assert origin.pack() == written
    assert Origin.unpack(written) == origin


@given(st.binary(max_size=60))
def test_other_bytes_are_no_origin(data: bytes) -> None:
    found = Origin.unpack(data)
    assert found is None or found.pack()[5:] == data[5:]


@given(st.binary(max_size=40))
def test_a_damaged_origin(rest: bytes) -> None:
    value = Origin(b"u" * 16, RealHandle(1, rest)).pack()
    assert Origin.unpack(value[:-1]) is None
    assert Origin.unpack(value + b"x") is None
    assert Origin.unpack(b"\1" + value[1:]) is None
