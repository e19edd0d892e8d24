"""Numbers of 32 bits: unique, for ever the same, whatever the objects' own numbers are."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.linux.fd import Fd
from index.numbers import ShortNumbers
from index.workdir import Workdir
from overlay.filesystem import Overlay
from tests.overlays import Dirs, Served, make_dirs
from tests.property.disk import filesystem

_own_numbers = st.lists(
    st.integers(1, (1 << 64) - 1) | st.integers(1, 1 << 30) | st.integers(1 << 56, 1 << 60),
    unique=True,
    max_size=60,
)


def _numbers(place: Path) -> ShortNumbers:
    place.mkdir(exist_ok=True)
    return ShortNumbers(Workdir(Fd(os.open(place, os.O_RDONLY | os.O_DIRECTORY))), nullcontext())


@given(_own_numbers)
def test_no_two_objects_have_one(tmp_path_factory: pytest.TempPathFactory, own: list[int]) -> None:
    place = tmp_path_factory.mktemp("numbers")
    short = [_numbers(place).of(number) for number in own]
    assert len(set(short)) == len(short)
    assert all(0 < number < 1 << 32 for number in short)
    again = _numbers(place)
    assert [again.of(number) for number in reversed(own)] == short[::-1]


def test_small_numbers_are_what_they_were(tmp_path: Path) -> None:
    numbers = _numbers(tmp_path)
    assert numbers.of(12345) == 12345
    assert numbers.of(3 << 56 | 12345) == 3 << 28 | 12345
    assert os.listdir(tmp_path / "numbers") == []


def test_a_number_that_is_taken_is_left_to_its_object(tmp_path: Path) -> None:
    first = _numbers(tmp_path / "one").of(1 << 63 | 5)
    (tmp_path / "two/numbers").mkdir(parents=True)
    (tmp_path / f"two/numbers/{first:08x}").touch()
    assert _numbers(tmp_path / "two").of(1 << 63 | 5) != first


def _seen(dirs: Dirs, bits: int) -> tuple[dict[str, int], dict[str, bytes]]:
    """The numbers of everything, and the handles."""
    overlay = Overlay.open(replace(dirs.config, inode_bits=bits))
    try:
        at = Served(overlay)
        numbers = {path: at.attributes(path).fileid for path in at.paths()}
        for path in numbers:
            if at.node(path).is_dir:
                for _, number, name in at.listed(at.node(path))[2:]:
                    assert number == numbers[f"{path}/{os.fsdecode(name)}".lstrip("/")]
                assert at.listed(at.node(path))[0][1] == numbers[path]
        handles = at.handles()
        at.chmod("d/f", 0o600)
        assert at.attributes("d/f").fileid == numbers["d/f"]
        return numbers, handles
    finally:
        overlay.close()
        os.umask(0o022)


def test_layers_on_two_filesystems(tmp_path: Path) -> None:
    """They fit, no two objects have one, and the option changes no handle."""
    dirs = make_dirs(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    with filesystem("tmpfs", disk) as mounted:
        dirs.lower.rename(tmp_path / "was")
        dirs.lower.symlink_to(mounted)
        for name in ("d", "e"):
            (mounted / name).mkdir()
            (mounted / name / "f").write_text(name)
        long, handles = _seen(dirs, 64)
        short, same = _seen(dirs, 32)
        assert max(long.values()) >> 32
        assert not max(short.values()) >> 32
        assert len(set(short.values())) == len(short)
        assert same == handles
        assert _seen(dirs, 32) == (short, handles)
        assert _seen(dirs, 64) == (long, handles)
