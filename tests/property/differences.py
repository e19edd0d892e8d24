"""The differences from the kernel's overlay that are meant, as docs/differences.md lists them."""

from __future__ import annotations

import stat
from typing import Final

from overlay.credentials import ROOT
from tests.property import trees
from tests.property.kernel import KernelSide
from tests.property.operations import Chmod, Operation
from tests.property.trees import Entry, Tree

Outcome = tuple[str, object]
_FORBIDDEN: Final = ("EACCES", "EPERM")


def is_comparable(operation: Operation, kernel: KernelSide) -> bool:
    """Whether the operation means the same on both sides: the kernel has no mode of a symlink."""
    if not isinstance(operation, Chmod):
        return True
    try:
        kernel.readlink(operation.path, ROOT)
    except OSError:
        return True
    return False


def same_outcome(ours: Outcome, kernels: Outcome) -> bool:
    """Whether results agree.

    Where a request must be refused for two reasons, of which one is permission, either may be told.
    """
    if ours[0] == kernels[0] == "refused":
        return ours == kernels or (ours[1] in _FORBIDDEN) != (kernels[1] in _FORBIDDEN)
    return ours == kernels


def of_trees(ours: Tree, kernels: Tree, *, crossed: bool = False) -> list[str]:
    """The lines of `trees.differences` that are not meant.

    `crossed`: one side shows what the other wrote.
    """
    pair = [
        {path: _comparable(entry, crossed) for path, entry in tree.items()}
        for tree in (ours, kernels)
    ]
    return trees.differences(pair[0], pair[1])


def _comparable(entry: Entry, crossed: bool) -> Entry:
    if stat.S_ISDIR(entry.type):
        return entry._replace(nlink=0)
    return entry
