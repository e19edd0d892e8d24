"""Which recorded layer an opened directory is, and which layers were copied since.

A layer is recognised by its root inode, else by its path, else (when it was
copied to another place) by the names that the seal has of it, else by its
position.  So layers may be added, removed, reordered and moved.

A layer whose root is not the recorded inode was copied: its inodes are others,
and what handles say of them has to be mended (overlay.startup.relocate).  Its inode numbers
may be those of the old layer's inodes, so it gets a new filesystem number, which
keeps fileids apart.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from index.layers import UPPER_ID, Known, Layer, Opened, Record, make_layers
from index.linux.fd import is_whiteout, open_name
from index.linux.file_handle import handle_of
from index.origin import filesystem_uuid
from index.seal import ROOT_NUMBER, Seal

_MAX_NUMBER: Final = 0xFFFF  # of layers and of filesystems
_SAMPLE: Final = 64
_UUID_DIGITS: Final = 32
_NO_HANDLES: Final = "inode "
_CLOCKS_APART_NS: Final = 10**9  # the filesystem's, which ticks, may be so much behind


@dataclass(frozen=True, slots=True)
class Recognised:
    """What the opened directories are."""

    record: Record  # to be kept, once the layers that were copied are mended
    known: tuple[Known, ...]  # by position
    # Positions of the layers that were copied, and the ids of the recorded layers that
    # each has the names of: its own, and others that were squashed into it.
    copied: Mapping[int, tuple[int, ...]]


def recognise(
    record: Record | None, opened: Sequence[Opened], seal: Seal | None, *, bottom: int
) -> Recognised:
    """Give every opened layer the id it has always had, or a new one.

    `opened` runs from the upper (if there is one) down; the inode number of the
    root of the one at `bottom` becomes that of the export's root, for good.
    Raises EOVERFLOW when the work directory has seen too many layers.
    """
    book = _Book(record or _new_record(), opened, seal)
    found, copied = book.identify()
    if record is None:
        layer = make_layers(opened[bottom : bottom + 1], [found[bottom]], None)[0]
        book.record = replace(book.record, root=layer.fileid(os.fstat(layer.root).st_ino))
    stack = tuple(known.id for known in found)
    updated = replace(book.record, stack=stack, data_only=len(opened) - bottom - 1)
    return Recognised(updated, tuple(found), copied)


def _new_record() -> Record:
    since = time.time_ns() - _CLOCKS_APART_NS
    return Record(secrets.randbits(32), 0, (), since=since)


class _Book:
    """The recorded layers while opened ones are looked up and entered."""

    def __init__(self, record: Record, opened: Sequence[Opened], seal: Seal | None) -> None:
        self.record = record
        self._opened = opened
        self._roots = [root_identity(one) for one in opened]
        self._seal = seal
        self._numbers: dict[int, int] = {}  # filesystem numbers, by st_dev
        self._used = max((known.filesystem for known in record.layers), default=-1)

    def identify(self) -> tuple[list[Known], dict[int, tuple[int, ...]]]:
        """Return what each opened layer is now, and which were copied from which."""
        found = self._by_identity()
        self._by_names(found)
        self._by_position(found)
        copied = {i for i, known in found.items() if self._is_copied(i, known)}
        sources = {i: self._sources(i, found) for i in copied}
        retired = {found[i].filesystem for i in copied}
        for i, known in found.items():
            if known.filesystem not in retired:
                self._numbers[self._device(i)] = known.filesystem
        current = [
            self._current(i, found.get(i), sources.get(i, ()), retired)
            for i in range(len(self._opened))
        ]
        recorded = {known.id: known for known in (*self.record.layers, *current)}
        self.record = replace(self.record, layers=tuple(recorded.values()))
        return current, sources

    def _current(
        self, i: int, known: Known | None, sources: Sequence[int], retired: set[int]
    ) -> Known:
        path, root = os.fsdecode(self._opened[i].path), self._roots[i]
        if known is None or len(sources) > 1:
            return Known(self._new_id(i), self._new_number(i), path, root, bool(sources))
        if sources:
            return Known(known.id, self._new_number(i), path, root, copied=True)
        if self._is_renewed(known, retired):
            earlier = (*known.earlier, known.filesystem)
            return Known(known.id, self._new_number(i), path, root, known.copied, earlier)
        return replace(known, path=path, root=root)

    def _is_renewed(self, known: Known, retired: set[int]) -> bool:
        """Return whether new upper inodes may get numbers that lower ones had which were copied."""
        return known.id == UPPER_ID and self.record.sealed and known.filesystem in retired

    def _device(self, i: int) -> int:
        return os.fstat(self._opened[i].root).st_dev

    def _new_id(self, i: int) -> int:
        if self._opened[i].is_upper:
            return UPPER_ID
        taken = [known.id for known in self.record.layers]
        number = 1 + max(taken, default=UPPER_ID)
        _limit(number)
        # So that the next one gets another.
        entered = Known(number, 0, "", "")
        self.record = replace(self.record, layers=(*self.record.layers, entered))
        return number

    def _new_number(self, i: int) -> int:
        device = self._device(i)
        if device not in self._numbers:
            self._used += 1
            _limit(self._used)
            self._numbers[device] = self._used
        return self._numbers[device]

    def _by_identity(self) -> dict[int, Known]:
        """Recorded layers by the position of what they are; the surest sign first."""
        found: dict[int, Known] = {}
        for by_root, by_path in ((True, True), (True, False), (False, True)):
            for i, one in enumerate(self._opened):
                for known in self._free(i, found):
                    if (not by_root or known.root == self._roots[i]) and (
                        not by_path or known.path == os.fsdecode(one.path)
                    ):
                        found[i] = known
                        break
        return found

    def _free(self, i: int, found: dict[int, Known]) -> list[Known]:
        """Return the recorded layers that the one at `i` may still be."""
        if i in found:
            return []
        taken = {known.id for known in found.values()}
        wanted = self._opened[i].is_upper
        return [
            known
            for known in self.record.layers
            if known.id not in taken and (known.id == UPPER_ID) == wanted
        ]

    def _last_used(self, i: int, found: dict[int, Known]) -> list[Known]:
        stack = self.record.stack
        free = [known for known in self._free(i, found) if known.id in stack]
        return sorted(free, key=lambda known: stack.index(known.id))

    def _by_names(self, found: dict[int, Known]) -> None:
        """Recognise copied layers by the sealed names of their roots."""
        alike = [
            (self._likeness(one, known), -i, known)
            for i, one in enumerate(self._opened)
            for known in self._last_used(i, found)
        ]
        for share, position, known in sorted(alike, key=lambda each: each[:2], reverse=True):
            if share > 0.5 and known in self._free(-position, found):
                found[-position] = known

    def _likeness(self, opened: Opened, known: Known) -> float:
        """Return which share of the names in a recorded layer's root an opened one has as well."""
        if self._seal is None or not self._seal.is_sealed(known.id):
            return 0.0
        children = self._seal.children(known.id, ROOT_NUMBER)
        same = 0
        for name, sealed in children.items():
            there = open_name(opened.root, name)
            if there is not None:
                kind = 0 if is_whiteout(there[1]) else stat.S_IFMT(there[1].st_mode)
                same += kind == sealed.type
        return same / len(children) if children else 0.0

    def _by_position(self, found: dict[int, Known]) -> None:
        """Where the stack is as high as it was, what is left is where it was."""
        stack = self.record.stack
        if len(stack) == len(self._opened):
            for i, number in enumerate(stack):
                for known in self._free(i, found):
                    if known.id == number:
                        found[i] = known

    def _is_copied(self, i: int, known: Known) -> bool:
        if not _same_inode(known.root, self._roots[i]):
            return True
        return self._is_refilled(self._opened[i], known)

    def _is_refilled(self, opened: Opened, known: Known) -> bool:
        """Return whether other inodes are in the same root directory than were sealed."""
        if opened.is_upper or self._seal is None or not self._seal.is_sealed(known.id):
            return False
        layer: Layer = make_layers([opened], [known], self._seal)[0]
        children = self._seal.children(known.id, ROOT_NUMBER)
        for name, sealed in list(children.items())[:_SAMPLE]:
            there = open_name(layer.root, name) if sealed.type else None
            if there is not None:
                fd, st = there
                if layer.identity(fd, st, is_dir=stat.S_ISDIR(st.st_mode)) != sealed.identity:
                    return True
        return False

    def _sources(self, i: int, found: dict[int, Known]) -> tuple[int, ...]:
        """Return the recorded layers that one which was copied has the names of, topmost first.

        Next to its own these are the ones that are in the stack no more: they
        were squashed into it, if it has their names.
        """
        own, stack = found[i].id, self.record.stack
        if own not in stack or own == UPPER_ID:
            return (own,)
        present = {known.id for known in found.values()}
        at = stack.index(own)
        first = last = at
        while first > 0 and stack[first - 1] not in present and stack[first - 1] != UPPER_ID:
            first -= 1
        while last + 1 < len(stack) and stack[last + 1] not in present:
            last += 1
        return stack[first : last + 1]


def _limit(number: int) -> None:
    if number > _MAX_NUMBER:
        raise OSError(errno.EOVERFLOW, "too many different layers used with this workdir")


def root_identity(opened: Opened) -> str:
    """Return what is recorded of the root inode of a layer."""
    uuid = filesystem_uuid(opened.root)
    filesystem = f"{os.fstatvfs(opened.root).f_fsid:x}" if uuid is None else uuid.hex()
    if not opened.has_handles:
        return f"{filesystem}:{_NO_HANDLES}{os.fstat(opened.root).st_ino}"
    real = handle_of(opened.root)
    return f"{filesystem}:{real.type}:{real.data.hex()}"


def _same_inode(one: str, other: str) -> bool:
    """Return whether two root identities may be of one inode.

    A filesystem without a uuid has another number on another device, and where
    there are no handles objects are known by their path.
    """
    (filesystem, _, inode), (other_filesystem, _, other_inode) = (
        root.partition(":") for root in (one, other)
    )
    if inode.startswith(_NO_HANDLES) and other_inode.startswith(_NO_HANDLES):
        return True
    have_uuids = len(filesystem) == len(other_filesystem) == _UUID_DIGITS
    return inode == other_inode and (filesystem == other_filesystem or not have_uuids)
