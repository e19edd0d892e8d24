"""The differences from the kernel's overlay that are meant, as docs/differences.md lists them."""

from __future__ import annotations

import stat
from typing import Final

from overlay.model.attributes import NOW
from tests.property import trees
from tests.property.kernel import KernelSide
from tests.property.operations import Chmod, Operation, Rename, Utimes
from tests.property.trees import Entry, Tree

Outcome = tuple[str, object]
_FORBIDDEN: Final = ("EACCES", "EPERM")


def is_comparable(operation: Operation, kernel: KernelSide) -> bool:
    """Whether the operation means the same on both sides.

    The kernel has no mode of a symbolic link; it finds that two names are one object before it asks
    whether the user may rename; and utimensat(2) cannot ask for what NFSv3 grants to everybody who
    may write, one time set to now and the other left alone.
    """
    match operation:
        case Chmod(path):
            return kernel.type(path) != stat.S_IFLNK
        case Rename(path, new, cred):
            number = kernel.number(path)
            return cred.is_root or number is None or number != kernel.number(new)
        case Utimes(_, cred, atime, mtime):
            return cred.is_root or {atime, mtime} != {None, NOW}
        case _:
            return True


def same_outcome(ours: Outcome, kernels: Outcome) -> bool:
    """Whether results agree.

    Where a request must be refused for several reasons, permission among them, any may be told. A
    directory that is not empty is EEXIST on XFS, and ENOTEMPTY everywhere else.
    """
    pair = [(word, "ENOTEMPTY" if value == "EEXIST" else value) for word, value in (ours, kernels)]
    if pair[0] == pair[1]:
        return True
    if ours[0] == kernels[0] == "refused":
        return ours[1] in _FORBIDDEN or kernels[1] in _FORBIDDEN
    return False


def of_trees(ours: Tree, kernels: Tree) -> list[str]:
    """The lines of `trees.differences` that are not meant."""
    seen = {path: entry.xattrs is not None for path, entry in ours.items()}
    pair = [
        {path: _comparable(entry, seen.get(path, True)) for path, entry in tree.items()}
        for tree in (ours, kernels)
    ]
    return trees.differences(pair[0], pair[1])


def _comparable(entry: Entry, has_xattrs: bool) -> Entry:
    """Without what need not agree: a directory's link count, and what the way to it cannot show."""
    if stat.S_ISDIR(entry.type):
        entry = entry._replace(nlink=0)
    return entry if has_xattrs else entry._replace(xattrs=None)
