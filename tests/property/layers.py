"""Random layers, as data that shrinks well, and the making of them on disk.

A layer is a list of items, each a path and what is there. Items that cannot be made (the parent
is a file, the name is taken) are passed over, so that any list is a layer.

Rule: all times lie in the past (trees.PRESENT), so that "now" is never mistaken for kept.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final

from hypothesis import strategies as st

from overlay.model.acl import ACCESS_ACL, DEFAULT_ACL
from tests.property.side import Path
from tests.property.users import ALICE, BOB, GIDS, STAFF, UIDS

NAMES: Final = (b"a", b"b", b"c", b"d", b"\xff \n")
FILE_MODES: Final = (0o644, 0o600, 0o755, 0o666, 0o000, 0o4755, 0o2755, 0o2644, 0o111, 0o660)
DIR_MODES: Final = (0o755, 0o777, 0o700, 0o1777, 0o2775, 0o770, 0o555, 0o711)
DEVICE: Final = os.makedev(1, 3)
TIME: Final = 1_500_000_000_123_456_789
OPAQUE: Final = b"trusted.overlay.opaque"


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as the value of an extended attribute."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_NOBODY: Final = 0xFFFFFFFF
_ACLS: Final = (
    acl(
        (0x01, 6, _NOBODY),
        (0x02, 7, ALICE.uid),
        (0x04, 4, _NOBODY),
        (0x10, 7, _NOBODY),
        (0x20, 0, _NOBODY),
    ),
    acl(
        (0x01, 7, _NOBODY),
        (0x02, 0, BOB.uid),
        (0x04, 5, _NOBODY),
        (0x08, 3, STAFF),
        (0x10, 6, _NOBODY),
        (0x20, 5, _NOBODY),
    ),
)
_CAPABILITY: Final = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
Xattrs = tuple[tuple[bytes, bytes], ...]
FILE_XATTRS: Final[tuple[Xattrs, ...]] = (
    (),
    ((b"user.note", b"hello"),),
    ((ACCESS_ACL, _ACLS[0]),),
    ((ACCESS_ACL, _ACLS[1]), (b"user.note", b"")),
    ((b"security.capability", _CAPABILITY),),
)
DIR_XATTRS: Final[tuple[Xattrs, ...]] = (
    (),
    ((b"user.note", b"hello"),),
    ((ACCESS_ACL, _ACLS[1]),),
    ((DEFAULT_ACL, _ACLS[0]),),
    ((ACCESS_ACL, _ACLS[0]), (DEFAULT_ACL, _ACLS[1])),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One name of a layer."""

    kind: str  # dir, file, link, symlink, fifo, char, block, whiteout, opaque
    path: Path
    mode: int
    uid: int
    gid: int
    size: int
    xattrs: Xattrs = ()


Layer = tuple[Item, ...]

names = st.sampled_from(NAMES)
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
sizes = st.sampled_from((0, 1, 5, 4096, 5000))
_KINDS: Final = ("dir",) * 4 + ("file",) * 4 + ("link", "symlink", "fifo", "char", "block")


@st.composite
def _items(draw: st.DrawFn, kinds: Sequence[str]) -> Item:
    kind = draw(st.sampled_from(kinds))
    is_dir = kind in ("dir", "opaque")
    rarely = st.integers(0, 3).map(lambda number: number == 3)
    plain = not draw(rarely)
    return Item(
        kind,
        draw(paths),
        draw(st.sampled_from(DIR_MODES if is_dir else FILE_MODES)),
        0 if plain else draw(st.sampled_from(UIDS)),
        0 if plain else draw(st.sampled_from(GIDS)),
        draw(sizes) if kind == "file" else 0,
        () if plain else draw(st.sampled_from(DIR_XATTRS if is_dir else FILE_XATTRS)),
    )


def _layer(kinds: Sequence[str]) -> st.SearchStrategy[Layer]:
    return st.lists(_items(kinds), max_size=12).map(tuple)


_bottom = _layer(_KINDS)
_higher = _layer((*_KINDS, "whiteout", "whiteout", "opaque"))
# Topmost first, as in lowerdir=.
stacks = st.integers(2, 3).flatmap(lambda n: st.tuples(*[_higher] * (n - 1), _bottom))


def build(layer: Layer, root: FilePath) -> None:
    """Make a layer in the empty directory `root`."""
    base = os.fsencode(root)
    files: list[bytes] = []
    for number, item in enumerate(layer):
        path = os.path.join(base, *item.path)
        with contextlib.suppress(NotADirectoryError, FileExistsError):
            _make_parents(base, item.path[:-1])
            if item.kind == "link":
                if files:
                    os.link(files[item.mode % len(files)], path, follow_symlinks=False)
                continue
            _make(item, path, number)
            if item.kind not in ("dir", "opaque", "whiteout"):
                files.append(path)
    for directory, below, _ in os.walk(base, topdown=False):
        for name in below:
            os.utime(os.path.join(directory, name), ns=(TIME, TIME), follow_symlinks=False)
    os.utime(base, ns=(TIME, TIME))


def _make_parents(base: bytes, parents: Path) -> None:
    for depth in range(1, len(parents) + 1):
        path = os.path.join(base, *parents[:depth])
        if not os.path.lexists(path):
            os.mkdir(path, 0o755)
        elif not stat.S_ISDIR(os.lstat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _make(item: Item, path: bytes, number: int) -> None:
    match item.kind:
        case "dir" | "opaque":
            os.mkdir(path)
        case "file":
            with open(path, "xb") as file:
                file.write(b"%d" % number * item.size)
                file.truncate(item.size)
        case "symlink":
            os.symlink(b"/".join(item.path), path)
        case "fifo":
            os.mkfifo(path)
        case "char" | "block":
            kind = stat.S_IFCHR if item.kind == "char" else stat.S_IFBLK
            os.mknod(path, kind, DEVICE)
        case "whiteout":
            os.mknod(path, stat.S_IFCHR, 0)
            return
    os.chown(path, item.uid, item.gid, follow_symlinks=False)
    if item.kind != "symlink":
        os.chmod(path, item.mode)
        for name, value in item.xattrs:
            if not name.startswith(b"user.") or item.kind in ("dir", "file", "opaque"):
                os.setxattr(path, name, value)
    if item.kind == "opaque":
        os.setxattr(path, OPAQUE, b"y")
    times = (TIME + number, TIME + number * 1000)
    os.utime(path, ns=times, follow_symlinks=False)
