"""A tree as plain values, and the comparison of two.

Rule: a time that nobody set is compared as "now" only; every time that the tests set lies before
`PRESENT`, so a time that should have been kept and was not is seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Final, NamedTuple

PRESENT: Final = 1_700_000_000 * 1_000_000_000
PRIVATE: Final = b"trusted.overlay."


class Entry(NamedTuple):
    """What can be seen of one name."""

    type: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    rdev: int
    atime: int | None  # None: now
    mtime: int | None
    content: bytes  # a file's data, a symbolic link's target
    xattrs: tuple[tuple[bytes, bytes], ...] | None  # None: cannot be seen
    same_as: tuple[bytes, ...]  # the first path of the same object


Tree = Mapping[tuple[bytes, ...], Entry]


def past(when: int) -> int | None:
    """A time, None if nobody set it."""
    return when if when < PRESENT else None


def public_xattrs(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The attributes that are not overlayfs's own, of a path of /proc/self/fd."""
    names = sorted(os.fsencode(name) for name in os.listxattr(path))
    return tuple((name, os.getxattr(path, name)) for name in names if not name.startswith(PRIVATE))


def differences(ours: Tree, kernels: Tree) -> list[str]:
    """One line for each difference of two trees; none if they agree."""
    lines = []
    for path in sorted(ours.keys() | kernels.keys()):
        name = os.fsdecode(b"/" + b"/".join(path))
        if path not in ours or path not in kernels:
            lines.append(f"{name}: only the {'kernel' if path in kernels else 'server'} shows it")
            continue
        pair = zip(Entry._fields, ours[path], kernels[path], strict=True)
        lines += [
            f"{name}: {field}: server {shown!r}, kernel {expected!r}"
            for field, shown, expected in pair
            if shown != expected
        ]
    return lines


def raw(root: FilePath, *, copied: bool = False) -> dict[bytes, tuple[object, ...]]:
    """Everything of a real directory tree, to see whether it was touched.

    With `copied` without what a copy cannot keep.
    """
    seen: dict[bytes, tuple[object, ...]] = {}
    pending = [os.fsencode(root)]
    while pending:
        path = pending.pop()
        st = os.lstat(path)
        facts: list[object] = [st.st_mode, st.st_ino, st.st_nlink, st.st_uid, st.st_gid]
        facts += [st.st_rdev, st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns]
        if copied:
            facts[1] = facts[6] = facts[8] = None
        names = sorted(os.listxattr(path, follow_symlinks=False))
        facts += [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
        if stat.S_ISDIR(st.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(path)]
        elif stat.S_ISLNK(st.st_mode):
            facts.append(os.readlink(path))
        elif stat.S_ISREG(st.st_mode):
            with open(path, "rb") as file:
                facts.append(file.read())
        seen[path] = tuple(facts)
    return seen
