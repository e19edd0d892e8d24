"""What can be done to a tree, and random drafts of it.

A draft says "the 5th object" or "the name b in the 2nd directory"; the sequence resolves it to a
path of the tree as it is then, so that most operations meet something. A resolved operation prints
as what it is, for a reader to repeat.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hypothesis import strategies as st

from overlay.base.credentials import Credentials
from overlay.model.attributes import NOW
from tests.property.layers import DEVICE, DIR_MODES, FILE_MODES, NAMES, TIME
from tests.property.side import Path, Side, When
from tests.property.users import GIDS, UIDS, USERS


class Operation(Protocol):
    """One operation, with everything it needs."""

    def run(self, side: Side) -> object: ...


@dataclass(frozen=True, slots=True)
class Create:
    path: Path
    cred: Credentials
    mode: int

    def run(self, side: Side) -> None:
        side.create(self.path, self.cred, self.mode)


@dataclass(frozen=True, slots=True)
class Mkdir:
    path: Path
    cred: Credentials
    mode: int

    def run(self, side: Side) -> None:
        side.mkdir(self.path, self.cred, self.mode)


@dataclass(frozen=True, slots=True)
class Symlink:
    path: Path
    cred: Credentials
    target: bytes

    def run(self, side: Side) -> None:
        side.symlink(self.path, self.cred, self.target)


@dataclass(frozen=True, slots=True)
class Mknod:
    path: Path
    cred: Credentials
    kind: int
    mode: int
    rdev: int

    def run(self, side: Side) -> None:
        rdev = self.rdev if self.kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
        side.mknod(self.path, self.cred, self.kind, self.mode, rdev)


@dataclass(frozen=True, slots=True)
class Write:
    path: Path
    cred: Credentials
    offset: int
    data: bytes

    def run(self, side: Side) -> None:
        side.write(self.path, self.cred, self.offset, self.data)


@dataclass(frozen=True, slots=True)
class Truncate:
    path: Path
    cred: Credentials
    size: int

    def run(self, side: Side) -> None:
        side.truncate(self.path, self.cred, self.size)


@dataclass(frozen=True, slots=True)
class Chmod:
    path: Path
    cred: Credentials
    mode: int

    def run(self, side: Side) -> None:
        side.chmod(self.path, self.cred, self.mode)


@dataclass(frozen=True, slots=True)
class Chown:
    path: Path
    cred: Credentials
    uid: int | None
    gid: int | None

    def run(self, side: Side) -> None:
        side.chown(self.path, self.cred, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
class Utimes:
    path: Path
    cred: Credentials
    atime: When
    mtime: When

    def run(self, side: Side) -> None:
        side.utimes(self.path, self.cred, self.atime, self.mtime)


@dataclass(frozen=True, slots=True)
class Link:
    path: Path
    new: Path
    cred: Credentials

    def run(self, side: Side) -> None:
        side.link(self.path, self.new, self.cred)


@dataclass(frozen=True, slots=True)
class Rename:
    path: Path
    new: Path
    cred: Credentials

    def run(self, side: Side) -> None:
        side.rename(self.path, self.new, self.cred)


@dataclass(frozen=True, slots=True)
class Unlink:
    path: Path
    cred: Credentials

    def run(self, side: Side) -> None:
        side.unlink(self.path, self.cred)


@dataclass(frozen=True, slots=True)
class Rmdir:
    path: Path
    cred: Credentials

    def run(self, side: Side) -> None:
        side.rmdir(self.path, self.cred)


@dataclass(frozen=True, slots=True)
class Read:
    path: Path
    cred: Credentials

    def run(self, side: Side) -> bytes:
        return side.read(self.path, self.cred, 0, 1 << 16)


@dataclass(frozen=True, slots=True)
class Readlink:
    path: Path
    cred: Credentials

    def run(self, side: Side) -> bytes:
        return side.readlink(self.path, self.cred)


@dataclass(frozen=True, slots=True)
class Readdir:
    path: Path
    cred: Credentials

    def run(self, side: Side) -> tuple[bytes, ...]:
        return side.readdir(self.path, self.cred)


@dataclass(frozen=True, slots=True)
class Access:
    path: Path
    cred: Credentials

    def run(self, side: Side) -> int:
        return side.access(self.path, self.cred)


@dataclass(frozen=True, slots=True)
class Nothing:
    """What a step shrinks to."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """The server is restarted."""


@dataclass(frozen=True, slots=True)
class DropCaches:
    """The kernel forgets inodes and directory entries."""


@dataclass(frozen=True, slots=True)
class Inspect:
    """Both trees are compared, and all handles."""


@dataclass(frozen=True, slots=True)
class Pick:
    """An object by its position, or a name in a directory by the directory's."""

    number: int
    name: bytes | None

    def resolve(self, objects: list[Path], directories: list[Path]) -> Path:
        if self.name is None and objects:
            return objects[self.number % len(objects)]
        return (*directories[self.number % len(directories)], self.name or NAMES[0])


@dataclass(frozen=True, slots=True)
class Draft:
    """An operation whose paths are not resolved yet."""

    verb: Callable[..., Operation]
    picks: tuple[Pick, ...]
    rest: tuple[object, ...]

    def resolve(self, objects: list[Path], directories: list[Path]) -> Operation:
        return self.verb(*(pick.resolve(objects, directories) for pick in self.picks), *self.rest)


Event = Nothing | Reopen | DropCaches | Inspect
Step = Draft | Event

_numbers = st.integers(0, 40)
_object = st.builds(Pick, _numbers, st.none())
_new = st.builds(Pick, _numbers, st.sampled_from(NAMES))
_either = st.one_of(_object, _new)
_users = st.sampled_from((USERS[0], USERS[0], *USERS))
_times = st.sampled_from((None, NOW, TIME - 7_000_000_001, 1_000_000_000))
_file_modes = st.sampled_from(FILE_MODES)
_modes = st.sampled_from((*FILE_MODES, *DIR_MODES))
_special: Final = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)


def _draft(
    verb: Callable[..., Operation],
    picks: tuple[st.SearchStrategy[Pick], ...],
    *rest: st.SearchStrategy[object],
) -> st.SearchStrategy[Draft]:
    return st.builds(Draft, st.just(verb), st.tuples(*picks), st.tuples(_users, *rest))


# What most often goes wrong is drawn most often.
_RENAME: Final = (
    _draft(Rename, (_object, _new)),
    _draft(Rename, (_object, _object)),
    _draft(Rename, (_object, _new)),
)
_drafts: st.SearchStrategy[Step] = st.one_of(
    *_RENAME,
    _draft(Create, (_new,), _file_modes),
    _draft(Mkdir, (_new,), st.sampled_from((0o755, 0o700, 0o1777, 0o775))),
    _draft(Symlink, (_new,), st.sampled_from((b"a", b"../b/c", b"/nowhere"))),
    _draft(Mknod, (_new,), st.sampled_from(_special), _file_modes, st.just(DEVICE)),
    _draft(Write, (_object,), st.sampled_from((0, 3, 9000)), st.sampled_from((b"x", b"data" * 9))),
    _draft(Truncate, (_object,), st.sampled_from((0, 2, 7000))),
    _draft(Chmod, (_object,), _modes),
    _draft(
        Chown,
        (_object,),
        st.sampled_from((None, *UIDS)),
        st.sampled_from((None, *GIDS)),
    ).filter(lambda draft: draft.rest[1:] != (None, None)),
    _draft(Utimes, (_object,), _times, _times),
    _draft(Link, (_object, _either)),
    _draft(Unlink, (_object,)),
    _draft(Unlink, (_either,)),
    _draft(Rmdir, (_object,)),
    _draft(Read, (_either,)),
    _draft(Readlink, (_object,)),
    _draft(Readdir, (_object,)),
    _draft(Access, (_object,)),
)
_events: st.SearchStrategy[Step] = st.sampled_from(
    (Reopen(), Inspect(), Inspect(), Reopen(), DropCaches())
)
_LIKELY: Final = 14  # of 16 steps


def _step(number: int) -> st.SearchStrategy[Step]:
    if number == 0:
        return st.just(Nothing())
    return _drafts if number <= _LIKELY else _events


steps: st.SearchStrategy[Step] = st.integers(0, _LIKELY + 1).flatmap(_step)
