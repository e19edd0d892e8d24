"""Everything that a client sees of an export, and whether two looks show the same.

An object is known by its handle.  To compare what is seen in one run with what is seen in another
(whose inode numbers are others) it is called by the first name that it had before the operation,
or, if it is new, by the first that it has.

Rule: a time may be ahead of what happened, never behind: what has other contents has another mtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from nfsd.xdr.generated.nfs3 import (
    NF3DIR,
    NF3LNK,
    NF3REG,
    NFS3ERR_STALE,
    READDIRPLUS3args,
    diropargs3,
    fattr3,
    nfstime3,
)
from tests.wire import NfsError, Wire

_NO_VERIFIER: Final = bytes(8)
_COUNT: Final = 64 << 10


class Object(NamedTuple):
    """What an operation may change of an object."""

    type: int
    mode: int
    nlink: int  # 0 for a directory: see docs/differences.md
    uid: int
    gid: int
    size: int  # 0 for a directory
    rdev: tuple[int, int]
    content: bytes  # a file's data, a symbolic link's target, a directory's names


class Known(NamedTuple):
    """An object as it was seen."""

    fileid: int
    mtime: int
    what: Object


@dataclass(frozen=True)
class Seen:
    """One look at an export: names and the objects they are of, by handle."""

    names: Mapping[str, bytes]
    objects: Mapping[bytes, Known | None]  # None: STALE

    def first_names(self) -> dict[bytes, str]:
        """The first name of each object that has one."""
        found: dict[bytes, str] = {}
        for path in sorted(self.names):
            found.setdefault(self.names[path], path)
        return found


class State(NamedTuple):
    """What is the same in every run."""

    names: Mapping[str, str]  # path: object
    objects: Mapping[str, Object | None]


def look(wire: Wire, held: Iterable[bytes] = ()) -> Seen:
    """Walk the export, then ask for each of the handles held that it did not meet."""
    names: dict[str, bytes] = {"/": wire.root}
    objects: dict[bytes, Known | None] = {}
    pending = ["/"]
    while pending:
        path = pending.pop()
        handle = names[path]
        if handle in objects:
            continue
        known = objects[handle] = _known(wire, handle)
        if known.what.type == NF3DIR:
            children = _children(wire, handle)
            objects[handle] = known._replace(
                what=known.what._replace(content=b"/".join(sorted(children)))
            )
            for name, child in children.items():
                below = path.rstrip("/") + "/" + name.decode()
                names[below] = child
                pending.append(below)
    for handle in held:
        if handle not in objects:
            try:
                objects[handle] = _known(wire, handle)
            except NfsError as problem:
                if problem.status != NFS3ERR_STALE:
                    raise
                objects[handle] = None
    return Seen(names, objects)


def _known(wire: Wire, handle: bytes) -> Known:
    found = wire.attributes(handle)
    return Known(found.fileid, _time(found.mtime), _object(wire, handle, found))


def _object(wire: Wire, handle: bytes, found: fattr3) -> Object:
    content = b""
    if found.type == NF3REG:
        content = wire.read(handle)
    elif found.type == NF3LNK:
        content = wire.readlink(handle)
    is_dir = found.type == NF3DIR
    return Object(
        int(found.type),
        found.mode,
        0 if is_dir else found.nlink,
        found.uid,
        found.gid,
        0 if is_dir else found.size,
        (found.rdev.specdata1, found.rdev.specdata2),
        content,
    )


def _time(when: nfstime3) -> int:
    return int(when.seconds) * 10**9 + int(when.nseconds)


def _entries(wire: Wire, handle: bytes) -> Iterator[Any]:
    """A directory's entries; a busy server gives few at a time."""
    cookie, verifier, eof = 0, _NO_VERIFIER, False
    while not eof:
        arguments = READDIRPLUS3args(handle, cookie, verifier, _COUNT, _COUNT)
        result: Any = wire.call("READDIRPLUS", arguments)
        yield from result.reply.entries
        eof, verifier = result.reply.eof, result.cookieverf
        cookie = result.reply.entries[-1].cookie if result.reply.entries else cookie


def _children(wire: Wire, handle: bytes) -> dict[bytes, bytes]:
    """Names and handles; LOOKUP, READDIRPLUS and GETATTR must agree on them."""
    found: dict[bytes, bytes] = {}
    for entry in _entries(wire, handle):
        name = bytes(entry.name)
        if name in (b".", b".."):
            continue
        child = wire.call("LOOKUP", diropargs3(handle, name)).object
        assert entry.name_handle is not None, name
        assert bytes(entry.name_handle) == child, f"READDIRPLUS and LOOKUP differ for {name!r}"
        assert entry.fileid == wire.attributes(child).fileid, f"two fileids of {name!r}"
        found[name] = child
    return found


def state(seen: Seen, before: Seen | None = None) -> State:
    """A look, with objects called as they were before the operation."""
    known = (before or seen).first_names()
    called = {handle: f"new {path}" for handle, path in seen.first_names().items()}
    called.update(known)
    names = {path: called[handle] for path, handle in seen.names.items()}
    objects = {
        called[handle]: None if one is None else one.what for handle, one in seen.objects.items()
    }
    return State(names, objects)


def wrong_numbers(seen: Seen, before: Seen) -> list[str]:
    """What is wrong with the numbers of objects that were there before."""
    called = before.first_names()
    return [
        f"{called[handle]}: fileid {old.fileid} became {new.fileid}"
        for handle, old in before.objects.items()
        if old is not None
        and (new := seen.objects.get(handle)) is not None
        and new.fileid != old.fileid
    ]


def wrong_times(seen: Seen, before: Seen, set_: Iterable[int], since: int) -> list[str]:
    """What is wrong with the mtimes of objects that were there before.

    One that changed must be one that the operation sets, or the time of the operation, which
    began at `since`; and what has other contents has another mtime.
    """
    called = before.first_names()
    lines = []
    for handle, old in before.objects.items():
        new = seen.objects.get(handle)
        if old is None or new is None:
            continue
        if new.mtime not in (old.mtime, *set_) and new.mtime < since:
            lines.append(f"{called[handle]}: mtime {new.mtime} where it was {old.mtime}")
        if new.mtime == old.mtime and new.what.content != old.what.content:
            lines.append(f"{called[handle]}: other contents, the same mtime")
    return lines


def differences(now: State, expected: State) -> list[str]:
    """One line for each difference; none if they agree."""
    names = _differences("name", now.names, expected.names)
    return names + _differences("object", now.objects, expected.objects)


def _differences(what: str, now: Mapping[str, object], expected: Mapping[str, object]) -> list[str]:
    return [
        f"{what} {key}: {_short(now, key)}, expected {_short(expected, key)}"
        for key in sorted(now.keys() | expected.keys())
        if now.get(key, "absent") != expected.get(key, "absent")
    ]


def _short(values: Mapping[str, object], key: str) -> str:
    value = values.get(key, "absent")
    text = "STALE" if value is None else str(value)
    return text if len(text) < 200 else text[:200] + "..."
