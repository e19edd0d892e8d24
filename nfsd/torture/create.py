"""Operations that make objects: files, directories, symbolic links, FIFOs, hard links.

Each is a function that plans: it draws from the scenario's random numbers,
changes the model, and returns the task that makes the calls; or None when
nothing fits in this wave.
"""

from __future__ import annotations

from typing import Final

from nfsd.torture import calls, checks
from nfsd.torture.calls import Call, Task
from nfsd.torture.model import Name, Object
from nfsd.torture.work import Work
from nfsd.xdr.generated.nfs3 import (
    NF3DIR,
    NF3FIFO,
    NF3LNK,
    NF3REG,
    NFS3ERR_EXIST,
    fattr3,
)

_FILES: Final = 250  # living objects of one scenario, besides those of lower layers
_DIRECTORIES: Final = 40
_BRANCH: Final = 12  # directories that are made in each other at once
_LARGE_FILES: Final = 1000
_LARGE: Final = 15_000  # lines of a file that takes much space
_PIECE: Final = 256 << 10  # bytes of one WRITE
_LINKS: Final = 6


def file(work: Work) -> Task | None:
    """Return a file with content, in any directory."""
    return _anywhere(work, NF3REG)


def large(work: Work) -> Task | None:
    """Return a file of some 500 KB."""
    return _anywhere(work, NF3REG, _LARGE)


def other_kind(work: Work) -> Task | None:
    """Return a symbolic link or a FIFO."""
    return _anywhere(work, work.world.random.choice((NF3LNK, NF3LNK, NF3FIFO)))


def directory(work: Work) -> Task | None:
    """Return a directory, not too deep."""
    return _anywhere(work, NF3DIR)


def branch(work: Work) -> Task | None:
    """Directories in each other, below the deepest of some."""
    world = work.world
    parents = [each for each in (world.any_parent() for _ in range(5)) if each is not None]
    if not parents or len(world.directories) >= _most_directories(work):
        return None
    here = max(parents, key=world.depth)
    steps: list[tuple[Object, Name]] = []
    for _ in range(world.random.randint(2, _BRANCH)):
        entry = world.new_name(here)
        if entry is None or world.depth(here) >= world.deepest:
            break
        here = planned(work, NF3DIR, entry)
        steps.append((here, entry))
    return _branch(work, steps) if steps else None


def hard_link(work: Work) -> Task | None:
    """One more name for a file, in any directory."""
    return link_of(work, work.world.any_file())


def link_of(work: Work, found: Object | None) -> Task | None:
    """One more name for this file."""
    parent = work.world.any_parent()
    if found is None or parent is None or len(found.names) >= _LINKS:
        return None
    entry = work.world.new_name(parent)
    if entry is None:
        return None
    work.take(found, entry)
    work.world.changed(found)
    work.world.bind(found, *entry)
    work.world.note(found, f"LINK to {entry[1]!r} in object {parent.number}")
    return _link(work, found, entry)


def _anywhere(work: Work, kind: int, lines: int | None = None) -> Task | None:
    world = work.world
    parent = world.any_parent()
    own = (len(world.files) - len(world.fresh)) if kind != NF3DIR else len(world.directories)
    most = _most_directories(work) if kind == NF3DIR else _FILES if lines is None else _LARGE_FILES
    if parent is None or own >= most:
        return None
    if kind == NF3DIR and world.depth(parent) >= world.deepest:
        return None
    entry = world.new_name(parent)
    return None if entry is None else at(work, kind, entry, lines)


def _most_directories(work: Work) -> int:
    return max(_DIRECTORIES, 3 * work.world.deepest)


def at(work: Work, kind: int, entry: Name, lines: int | None = None) -> Task:
    """Return an object of this kind at this name; a file has so many lines."""
    found = planned(work, kind, entry, lines)
    return making(work, found, entry)


def planned(work: Work, kind: int, entry: Name, lines: int | None = None) -> Object:
    """Return the model's part of it."""
    world = work.world
    found = world.new(kind)
    if kind == NF3REG:
        found.content = work.content(found, world.wave, lines)
    elif kind == NF3LNK:
        found.content = b"target of object %d of %s" % (
            found.number,
            work.ledger.scenario.encode(),
        )
    elif kind == NF3DIR:
        found.mode = 0o755
        world.closed.add(found)
    work.take(found, entry)
    world.bind(found, *entry)
    world.note(found, f"made as {entry[1]!r} in object {entry[0].number}")
    return found


def _make_call(found: Object, entry: Name) -> Call:
    parent, name = entry
    if found.kind == NF3DIR:
        return calls.mkdir(parent.handle, name)
    if found.kind == NF3LNK:
        return calls.symlink(parent.handle, name, found.content)
    if found.kind == NF3FIFO:
        return calls.mkfifo(parent.handle, name)
    return calls.create(parent.handle, name)


def making(work: Work, found: Object, entry: Name) -> Task:
    """The calls that make an object, learn its handle, and fill it."""
    parent, name = entry
    call = _make_call(found, entry)
    reply = yield call
    if work.refused(reply):
        yield from _not_made(work, found, entry)
        return
    if not work.done(reply, f"{call.procedure} of {name!r}", (parent, found), NFS3ERR_EXIST):
        work.world.give_up(found)
        return
    handle, about = (reply.ok.obj, reply.ok.obj_attributes) if reply.good else (None, None)
    if handle is None or not isinstance(about, fattr3):
        reply = yield calls.lookup(parent.handle, name)
        if not work.done(reply, f"LOOKUP of {name!r} just made", (found,)):
            return
        handle, about = reply.ok.object, reply.ok.obj_attributes
    if not isinstance(about, fattr3):
        reply = yield calls.getattr_(handle)
        if not work.done(reply, "GETATTR of what was just made", (found,)):
            return
        about = reply.ok
    work.learn(found, handle, about)
    if found.is_file and found.content:
        yield from writing(work, found, 0, found.content)


def _not_made(work: Work, found: Object, entry: Name) -> Task:
    """Nothing may be there under the name that was refused."""
    if entry in found.names:
        work.world.unbind(found, *entry)
    yield from checks.absent(work, *entry)


def _branch(work: Work, steps: list[tuple[Object, Name]]) -> Task:
    for count, (made, entry) in enumerate(steps):
        yield from making(work, made, entry)
        if made.lost or not made.alive:
            for rest, its_entry in reversed(steps[count + 1 :]):
                work.world.unbind(rest, *its_entry)
            return


def writing(work: Work, found: Object, offset: int, data: bytes, before: bytes = b"") -> Task:
    """Write all of `data`, also if the server takes less than it is given.

    `before` is what the file has had until now.
    """
    at_byte = 0
    for _ in range(100):
        piece = data[at_byte : at_byte + _PIECE]
        reply = yield calls.write(found.handle, offset + at_byte, piece)
        if work.refused(reply):
            told = offset + at_byte if at_byte else min(offset, len(before))
            yield from checks.written_in_part(work, found, before, told)
            return
        if not work.done(reply, f"WRITE of {len(piece)} bytes", (found,)):
            return
        at_byte += reply.ok.count
        if at_byte >= len(data):
            return


def _link(work: Work, found: Object, entry: Name) -> Task:
    parent, name = entry
    reply = yield calls.link(found.handle, parent.handle, name)
    if work.refused(reply):
        yield from _not_made(work, found, entry)
        return
    work.done(reply, f"LINK to {name!r}", (found,), NFS3ERR_EXIST)
