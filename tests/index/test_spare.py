"""Space is set aside for removals where there is plenty, and is not looked for at each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.linux.fd import Fd
from index.spare import PIECE_BYTES, Spare
from tests.property.syscalls import mount, private_mounts, unmount

_BYTES = 32 << 20
_PIECES = _BYTES // 256 // PIECE_BYTES


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem, of which less than a quarter is free."""
    private_mounts()
    mount(b"test", os.fsencode(tmp_path), b"tmpfs", b"size=%d" % _BYTES)
    try:
        with open(tmp_path / "full", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, _BYTES * 7 // 8)
        (tmp_path / "spare").mkdir()
        yield tmp_path
    finally:
        unmount(os.fsencode(tmp_path), lazily=True)


def _spare(disk: Path, pause: float) -> Spare:
    return Spare(Fd(os.open(disk / "spare", os.O_RDONLY | os.O_DIRECTORY)), pause)


def _sizes(disk: Path) -> list[int]:
    return [each.stat().st_size for each in (disk / "spare").iterdir()]


def test_where_little_is_free_it_is_looked_for_now_and_then(disk: Path) -> None:
    for pause, is_due in ((3600.0, False), (0.0, True)):
        held = _spare(disk, pause)
        assert held.is_due()
        held.fill()
        assert held.is_due() is is_due
        assert _sizes(disk) == []


def test_what_is_released_is_set_aside_again_in_parts(disk: Path) -> None:
    (disk / "full").unlink()
    held = _spare(disk, 3600.0)
    held.fill()
    assert not held.is_due()
    assert _sizes(disk) == [PIECE_BYTES] * _PIECES
    assert held.release(3)
    assert len(_sizes(disk)) == _PIECES - 3
    for left in (1, 0):
        assert held.is_due()
        held.fill(2)
        assert len(_sizes(disk)) == _PIECES - left
    assert not held.is_due()
