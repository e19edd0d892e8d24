"""Copying data and attributes: what is asked of the kernel, and that nothing of a file is lost.

Filesystems are real ones; what is asked is heard by an audit hook of the interpreter.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.linux.fd import Fd, open_dir, open_path, reopen
from overlay.base.copy_inode import NotCloned, copy_data, copy_metadata
from tests.property.disk import filesystem

BLOCK = 4096
FICLONE = 0x40049409
FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_NOCOW_FL = 0x00800000

_asked: list[int] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "fcntl.ioctl" and arguments[1] == FICLONE:
        _asked.append(FICLONE)


@pytest.fixture(scope="module")
def listening() -> None:
    sys.addaudithook(_note)  # it cannot be taken away


@pytest.fixture
def asked(listening: None) -> list[int]:
    _asked.clear()
    return _asked


@pytest.fixture(scope="module")
def btrfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with filesystem("btrfs", tmp_path_factory.mktemp("btrfs")) as disk:
        yield disk


@pytest.fixture(scope="module")
def small_blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with filesystem("ext4", tmp_path_factory.mktemp("ext4"), "-b", "1024") as disk:
        yield disk


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with filesystem("tmpfs", tmp_path_factory.mktemp("tmpfs")) as disk:
        yield disk


def made(path: Path, content: bytes = b"", size: int | None = None, at: int = 0) -> Path:
    """A file with some content, and holes before and behind it."""
    with path.open("wb") as file:
        file.truncate(size if size is not None else len(content))
        file.seek(at)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def copied(source: Path, target: Path, known: NotCloned, size: int | None = None) -> Path:
    """`target`, made of `source`."""
    fd = Fd(os.open(source, os.O_RDONLY))
    copy = Fd(os.open(target, os.O_RDWR | os.O_CREAT, 0o600))
    copy_data(fd, os.fstat(fd), copy, known, size)
    return target


def test_a_filesystem_that_cannot_clone_is_asked_once(tmp_path: Path, asked: list[int]) -> None:
    with filesystem("ext4", tmp_path) as disk:
        known = NotCloned()
        for number in range(5):
            source = made(disk / f"s{number}", b"%d" % number * BLOCK)
            target = copied(source, disk / f"t{number}", known)
            assert target.read_bytes() == source.read_bytes()
        assert len(asked) == 1


def test_what_another_device_refuses_says_nothing_of_this_one(
    btrfs: Path, memory: Path, asked: list[int]
) -> None:
    """A layer on another filesystem is refused for good; one on the same goes on to be cloned."""
    known = NotCloned()
    for number in range(3):
        other = made(memory / f"other{number}", b"other" * BLOCK)
        assert copied(other, btrfs / f"o{number}", known).read_bytes() == other.read_bytes()
        assert len(asked) == 1 + number
        same = made(btrfs / f"same{number}", b"same" * BLOCK)
        assert copied(same, btrfs / f"s{number}", known).read_bytes() == same.read_bytes()
        assert len(asked) == 2 + number
        assert extents(btrfs / f"s{number}") == extents(same), "it has the same blocks"


def test_what_one_file_refuses_says_nothing_of_the_next(btrfs: Path, asked: list[int]) -> None:
    """A file without checksums cannot share blocks with one that has them: EINVAL."""
    known = NotCloned()
    plain = btrfs / "plain"
    fd = Fd(os.open(plain, os.O_RDWR | os.O_CREAT, 0o600))
    flags = int.from_bytes(fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)), sys.byteorder)
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, (flags | FS_NOCOW_FL).to_bytes(8, sys.byteorder))
    made(plain, b"plain" * BLOCK)
    assert copied(plain, btrfs / "of-plain", known).read_bytes() == plain.read_bytes()
    same = made(btrfs / "checked", b"checked" * BLOCK)
    assert copied(same, btrfs / "of-checked", known).read_bytes() == same.read_bytes()
    assert len(asked) == 2
    assert extents(btrfs / "of-checked") == extents(same)


def extents(path: Path) -> list[tuple[int, int]]:
    """Where the data of a file is, as FIEMAP says: physical place and length."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        request = bytearray(32 + 56 * 32)
        request[8:16] = b"\xff" * 8
        request[16:20] = (1).to_bytes(4, sys.byteorder)
        request[24:28] = (32).to_bytes(4, sys.byteorder)
        fcntl.ioctl(file.fileno(), 0xC020660B, request)
    count = int.from_bytes(request[20:24], sys.byteorder)
    found = []
    for number in range(count):
        each = request[32 + 56 * number : 88 + 56 * number]
        physical = int.from_bytes(each[8:16], sys.byteorder)
        found.append((physical, int.from_bytes(each[16:24], sys.byteorder)))
    return found


@pytest.mark.parametrize("content", [b"x", b"x" * 100, b"x" * BLOCK, b"x" * (BLOCK + 1)])
@pytest.mark.parametrize("size", [None, 0, 1, 50, BLOCK, 3 * BLOCK])
def test_a_small_file_is_copied_up_to_a_size(
    tmp_path: Path, content: bytes, size: int | None
) -> None:
    source = made(tmp_path / "source", content)
    target = copied(source, tmp_path / "target", NotCloned(), size)
    assert target.read_bytes() == (content if size is None else content[:size])


def test_a_longer_target_keeps_its_size(tmp_path: Path) -> None:
    """A metacopy has the size that it is to have, before it has the data."""
    source = made(tmp_path / "source", b"x" * 100)
    made(tmp_path / "target", size=BLOCK)
    assert copied(source, tmp_path / "target", NotCloned()).read_bytes() == b"x" * 100 + bytes(3996)


@pytest.mark.parametrize("size", [1, 100, BLOCK])
def test_a_block_that_is_a_hole_stays_one(tmp_path: Path, size: int) -> None:
    source = made(tmp_path / "source", size=size)
    target = copied(source, tmp_path / "target", NotCloned())
    assert target.read_bytes() == bytes(size)
    assert target.stat().st_blocks == 0


def test_holes_between_small_blocks_stay(small_blocks: Path) -> None:
    """Of 1 KiB, in a file of 4 KiB."""
    source = made(small_blocks / "source", b"x" * 1024, size=BLOCK, at=2048)
    target = copied(source, small_blocks / "target", NotCloned())
    assert target.read_bytes() == bytes(2048) + b"x" * 1024 + bytes(1024)
    assert target.stat().st_blocks == source.stat().st_blocks == 2


def test_a_file_that_has_become_shorter_is_filled_up(tmp_path: Path) -> None:
    """The lower layer was changed under us: the size that was promised stays."""
    source = made(tmp_path / "source", b"x" * BLOCK)
    fd = Fd(os.open(source, os.O_RDONLY))
    had = os.fstat(fd)
    os.truncate(source, 10)
    copy = Fd(os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT, 0o600))
    copy_data(fd, had, copy, NotCloned())
    assert (tmp_path / "target").read_bytes() == b"x" * 10 + bytes(BLOCK - 10)


MODES = (0o600, 0o640, 0o4755, 0o2755, 0o6711, 0o1000, 0)
OWNERS = ((0, 0), (0, 7), (7, 0), (1000, 100))
TIME = 1_000_000_000_123_456_789


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("made_with", [0o600, None])
def test_owner_mode_and_times_are_as_they_were(
    tmp_path: Path, owner: tuple[int, int], mode: int, made_with: int | None
) -> None:
    """Whatever the copy had when it was made: chown(2) clears set-id bits, and comes first."""
    source = made(tmp_path / "source", b"x")
    os.chown(source, *owner)
    source.chmod(mode)
    os.utime(source, ns=(TIME, TIME + 1))
    fd = Fd(os.open(source, os.O_RDONLY))
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
    before = os.umask(0)
    copy = Fd(os.open(tmp_path / "copy", flags, mode if made_with is None else made_with))
    os.umask(before)
    copy_metadata(fd, os.fstat(fd), copy, os.fstat(copy))
    _is_like(tmp_path / "copy", source)


def _is_like(copy: Path, source: Path) -> None:
    kept = ("st_mode", "st_uid", "st_gid", "st_atime_ns", "st_mtime_ns")
    one, other = copy.lstat(), source.lstat()
    assert [getattr(one, name) for name in kept] == [getattr(other, name) for name in kept]


@pytest.mark.parametrize("kind", ["file", "directory", "link", "fifo", "device"])
@pytest.mark.parametrize("owner", OWNERS)
def test_all_kinds_get_their_attributes(tmp_path: Path, kind: str, owner: tuple[int, int]) -> None:
    """By a descriptor that is open where the kind can be opened, else by one that names it."""
    directory = Fd(os.open(tmp_path, os.O_RDONLY))
    for name in ("source", "copy"):
        _make(tmp_path / name, kind)
    os.chown(tmp_path / "source", *owner, follow_symlinks=False)
    if kind != "link":
        (tmp_path / "source").chmod(0o2751)
    os.setxattr(tmp_path / "source", "trusted.a", b"value", follow_symlinks=False)
    os.utime(tmp_path / "source", ns=(TIME, TIME + 1), follow_symlinks=False)
    source = open_path(directory, b"source")
    copy = open_path(directory, b"copy")
    if kind == "file":
        copy = reopen(copy, os.O_RDWR)
    elif kind == "directory":
        copy = open_dir(directory, b"copy")
    copy_metadata(source, os.fstat(source), copy)
    _is_like(tmp_path / "copy", tmp_path / "source")
    assert os.getxattr(tmp_path / "copy", "trusted.a", follow_symlinks=False) == b"value"


def _make(path: Path, kind: str) -> None:
    if kind == "file":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
