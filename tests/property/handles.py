"""What file handles promise (I1 to I5), kept as a book of every handle ever seen.

The book knows which path each handle is at, foresees what every operation that succeeded does to
that, and checks it: an object keeps its bytes, its number and its type by every route; a new object
has a handle never seen before; what was removed is stale for ever.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterable
from typing import NamedTuple

from tests.property.objects import Handle, Objects
from tests.property.operations import (
    Create,
    Link,
    Mkdir,
    Mknod,
    Operation,
    Rename,
    Rmdir,
    Symlink,
    Unlink,
)
from tests.property.served import ServedSide
from tests.property.side import Path


class _Known(NamedTuple):
    fileid: int
    type: int


class Book:
    """Every handle seen in one sequence."""

    def __init__(self, side: ServedSide, *, hidden_links: bool) -> None:
        """`hidden_links`: lower files may have names that a layer above hides."""
        self._side = side
        self._hidden_links = hidden_links
        self._known: dict[Handle, _Known] = {}
        self._dead: set[Handle] = set()
        self._at: dict[Path, Handle] = {}

    @property
    def _objects(self) -> Objects:
        return self._side.objects

    def note_all(self) -> None:
        """Walk the tree and check each object against what is known."""
        seen: set[Path] = set()
        for path, handle in self._side.walk():
            self._meet(path, handle)
            seen.add(path)
        lost = self._at.keys() - seen
        assert not lost, f"handles known at paths that are gone: {lost}"

    def _meet(self, path: Path, handle: Handle) -> None:
        assert handle not in self._dead, f"{path}: the handle of a removed object is shown again"
        before = self._at.setdefault(path, handle)
        assert before == handle, f"{path}: handle was {before.hex()}, is {handle.hex()}"
        self._check(handle, path)

    def _check(self, handle: Handle, path: Path | None) -> None:
        had = self._objects.getattr(handle)
        now = _Known(had.fileid, stat.S_IFMT(had.mode))
        known = self._known.setdefault(handle, now)
        assert known == now, f"{path}: was {known}, is {now}"

    def done(self, operation: Operation) -> None:
        """Foresee what a successful operation did, and take the handle of what it made."""
        match operation:
            case Create() | Mkdir() | Symlink() | Mknod():
                handle = self._side.find(operation.path)
                assert handle not in self._known, f"{operation.path}: handle of another object"
                self._meet(operation.path, handle)
            case Unlink() | Rmdir():
                self._forget(operation.path)
            case Link(path, new):
                self._linked(path, new)
            case Rename(path, new):
                self._renamed(path, new)
            case _:
                pass

    def _linked(self, path: Path, new: Path) -> None:
        handle = self._side.find(new)
        assert handle == self._side.find(path), f"{new} is not {path}"
        self._meet(path, handle)
        self._meet(new, handle)

    def _renamed(self, path: Path, new: Path) -> None:
        before = self._at.get(path)
        if before is not None and before == self._at.get(new):
            return  # two names of one object: nothing happens
        if path == new:
            return
        self._forget(new)
        for old in [known for known in self._at if known[: len(path)] == path]:
            self._at[(*new, *old[len(path) :])] = self._at.pop(old)
        if before is not None:
            self._meet(new, self._side.find(new))

    def _forget(self, path: Path) -> None:
        handle = self._at.pop(path, None)
        if handle is not None and handle not in self._at.values():
            # Other names of it may not have been met yet; then it lives on.
            self._suspect(handle)

    def _suspect(self, handle: Handle) -> None:
        try:
            self._objects.getattr(handle)
        except OSError as problem:
            assert problem.errno == errno.ESTALE  # noqa: PT017
            self._dead.add(handle)
            return
        names = [path for path, found in self._side.walk() if found == handle]
        # A name that a layer above hides is counted, by the kernel too (docs/differences.md).
        assert names or self._hidden_links, "the last name is gone, but the handle is not stale"

    def check_all(self) -> None:
        """Every handle ever taken leads to its object, or is stale."""
        for handle in self._known.keys() - self._dead:
            try:
                self._check(handle, None)
            except OSError as problem:
                paths = [path for path, found in self._at.items() if found == handle]
                problem.add_note(f"by handle {handle.hex()} of {paths}, {self._known[handle]}")
                raise
        self._are_stale(self._dead)

    def _are_stale(self, handles: Iterable[Handle]) -> None:
        for handle in handles:
            try:
                had = self._objects.getattr(handle)
            except OSError as problem:
                assert problem.errno == errno.ESTALE, problem  # noqa: PT017
            else:
                raise AssertionError(f"the handle of a removed object shows {had}")
