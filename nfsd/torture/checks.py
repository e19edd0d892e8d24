"""Is a handle still what it was?  By the handle, by the name, by the content, by a listing.

A check is planned in a wave in which nothing else touches the object, so all
that it compares is exact.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from nfsd.torture import calls
from nfsd.torture.calls import NO_VERIFIER, Reply, Task
from nfsd.torture.ledger import Column
from nfsd.torture.model import Object
from nfsd.torture.work import Work
from nfsd.xdr.generated.nfs3 import (
    NFS3ERR_BADHANDLE,
    NFS3ERR_IO,
    NFS3ERR_NOENT,
    NFS3ERR_STALE,
    fattr3,
    ftype3,
)

_READ: Final = 16 << 10
_PAGES: Final = 10_000
_MARK: Final = re.compile(rb"(?:object \d+ of|prepared) [^,\n]*")


def attributes(work: Work, found: Object) -> Task:
    """GETATTR: type, fileid, mode, size and link count."""
    reply = yield calls.getattr_(found.handle)
    work.ledger.checks += 1
    if alive(work, found, reply, "GETATTR"):
        same(work, found, reply.ok)


def name(work: Work, found: Object, parent: Object, entry: bytes) -> Task:
    """LOOKUP: the same bytes."""
    reply = yield calls.lookup(parent.handle, entry)
    work.ledger.checks += 1
    if not reply.good:
        # The directory's handle may be to blame as well; its own checks will tell.
        alive(work, found, reply, f"LOOKUP of {entry!r} in object {parent.number}")
    elif same_handle(work, found, reply.ok.object, f"LOOKUP of {entry!r}"):
        about = reply.ok.obj_attributes
        if isinstance(about, fattr3):
            same(work, found, about)


def content(work: Work, found: Object, offset: int) -> Task:
    """READ or READLINK: the same data."""
    if found.is_link:
        reply = yield calls.readlink(found.handle)
        work.ledger.checks += 1
        if alive(work, found, reply, "READLINK") and reply.ok.data != found.content:
            came = repr(bytes(reply.ok.data[:100]))
            work.fail(Column.WRONG_OBJECT, found, repr(found.content[:100]), came)
        return
    reply = yield calls.read(found.handle, offset, _READ)
    work.ledger.checks += 1
    if alive(work, found, reply, f"READ at {offset}"):
        _same_data(work, found, offset, reply)


def _same_data(work: Work, found: Object, offset: int, reply: Reply) -> None:
    wanted = found.content[offset : offset + _READ]
    data = bytes(reply.ok.data)
    # A server may return less than it was asked for, but not nothing before the end.
    if data == wanted or (data and wanted.startswith(data) and not reply.ok.eof):
        return
    theirs, own = _MARK.match(data), _MARK.match(wanted)
    other = theirs is not None and own is not None and theirs[0] != own[0]
    column = Column.WRONG_OBJECT if other else Column.OTHER
    at = next((i for i, (a, b) in enumerate(zip(data, wanted, strict=False)) if a != b), 0)
    work.fail(
        column,
        found,
        f"READ at {offset}: {len(wanted)} bytes, from byte {at} {wanted[at : at + 60]!r}",
        f"{len(data)} bytes, from byte {at} {data[at : at + 60]!r}",
        "content",
    )


def dead(work: Work, found: Object) -> Task:
    """Return a handle of what was removed: STALE."""
    reply = yield calls.getattr_(found.handle)
    work.ledger.checks += 1
    _stale(work, found, reply, "GETATTR")


def dead_use(work: Work, found: Object) -> Task:
    """Nothing can be found or made in a directory that was removed."""
    reply = yield calls.lookup(found.handle, b"n1")
    work.ledger.checks += 1
    _stale(work, found, reply, "LOOKUP in it")
    reply = yield calls.create(found.handle, b"n1")
    work.ledger.checks += 1
    _stale(work, found, reply, "CREATE in it")


def loose(work: Work, found: Object) -> Task:
    """Of a layer that is not there: STALE, unless the upper layer has it; never another object."""
    reply = yield calls.getattr_(found.handle)
    work.ledger.checks += 1
    if _left(work, found, reply, "GETATTR"):
        constant(work, found, reply.ok)
    if not found.is_file or found.lost:
        return
    reply = yield calls.read(found.handle, 0, _READ)
    work.ledger.checks += 1
    if reply.status == NFS3ERR_IO and found.changed and not found.complete:
        return  # its data was in the layer
    if _left(work, found, reply, "READ"):
        _same_data(work, found, 0, reply)


def _left(work: Work, found: Object, reply: Reply, what: str) -> bool:
    """Return whether an object still is there, as it must be or must not."""
    if not found.changed and not found.is_dir:
        _stale(work, found, reply, what)
        return False
    gone = reply.status in (NFS3ERR_STALE, NFS3ERR_BADHANDLE)
    if not reply.good and not (gone and found.is_dir):
        column = Column.STALE_ALIVE if gone else Column.OTHER
        work.fail(column, found, f"{what} without its layer: NFS3_OK", str(reply), str(reply))
    return reply.good


def absent(work: Work, parent: Object, entry: bytes) -> Task:
    """Nothing has a name that the server has refused to make."""
    reply = yield calls.lookup(parent.handle, entry)
    work.ledger.checks += 1
    if reply.status != NFS3ERR_NOENT:
        what = f"LOOKUP of {entry!r}, which was refused: NFS3ERR_NOENT"
        work.fail(Column.OTHER, parent, what, str(reply), "made though refused")


def written_in_part(work: Work, found: Object, before: bytes, told: int) -> Task:
    """After a WRITE was refused: so many bytes are there for sure, the rest is old or new.

    What the server has of the rest is from then on expected of it.
    """
    wanted, data = found.content, b""
    for _ in range(_PAGES):
        reply = yield calls.read(found.handle, len(data), _READ)
        work.ledger.checks += 1
        if not alive(work, found, reply, f"READ at {len(data)} after a refused WRITE"):
            return
        data += bytes(reply.ok.data)
        if reply.ok.eof or not reply.ok.data:
            break
    old = before.ljust(len(wanted), b"\0")
    rest = zip(data[told:], old[told:], wanted[told:], strict=False)
    if (
        data[:told] != wanted[:told]
        or not max(len(before), told) <= len(data) <= len(wanted)
        or not all(each in (one, other) for each, one, other in rest)
    ):
        expected = f"of {len(wanted)} bytes {told} as written, the rest old or new"
        work.fail(Column.OTHER, found, expected, f"{len(data)} bytes {data[:60]!r}", "content")
    found.content = data


class Listing(NamedTuple):
    """A directory to be listed while it changes."""

    directory: Object
    standing: dict[bytes, Object]  # names that nothing touches: each comes exactly once
    changing: frozenset[bytes]  # names that may come, or not
    size: int  # of a reply, in bytes
    plus: bool


def listing(work: Work, wanted: Listing) -> Task:
    """READDIR or READDIRPLUS, page by page."""
    seen: dict[bytes, int] = {}
    cookie, verifier = 0, NO_VERIFIER
    make = calls.readdirplus if wanted.plus else calls.readdir
    for _ in range(_PAGES):
        reply = yield make(wanted.directory.handle, cookie, verifier, wanted.size)
        work.ledger.checks += 1
        if not alive(work, wanted.directory, reply, f"listing from cookie {cookie:#x}"):
            return
        entries = reply.ok.reply.entries
        for entry in entries:
            entry_name = bytes(entry.name)
            seen[entry_name] = seen.get(entry_name, 0) + 1
            found = wanted.standing.get(entry_name)
            if found is not None and not _entry(work, found, entry, plus=wanted.plus):
                return
        if reply.ok.reply.eof:
            _complete(work, wanted, seen)
            return
        if not entries:
            break
        cookie, verifier = entries[-1].cookie, reply.ok.cookieverf
    expected, came = "entries, or the end of the listing", f"neither, behind cookie {cookie:#x}"
    work.fail(Column.OTHER, wanted.directory, expected, came, "listing")


def _entry(work: Work, found: Object, entry: object, *, plus: bool) -> bool:
    """Return whether an entry of a listing has its object's facts.

    READDIRPLUS may leave some out.
    """
    fileid = getattr(entry, "fileid", 0)
    if fileid != found.fileid:
        _fileid(work, found, fileid, "listing")
        return False
    if not plus:
        return True
    handle, about = getattr(entry, "name_handle", None), getattr(entry, "name_attributes", None)
    if handle is not None and not same_handle(work, found, handle, "READDIRPLUS"):
        return False
    # Only the constant ones: the object may be changed elsewhere at the moment.
    return not isinstance(about, fattr3) or constant(work, found, about)


def _complete(work: Work, wanted: Listing, seen: dict[bytes, int]) -> None:
    """Every standing name exactly once, and nothing that is not there."""
    for each, found in wanted.standing.items():
        count = seen.get(each, 0)
        if count != 1:
            expected = f"its name {each!r} once in a listing"
            work.fail(Column.OTHER, found, expected, f"{count} times", "listing")
    known = wanted.standing.keys() | wanted.changing | {b".", b".."}
    strange = sorted(seen.keys() - known)
    if strange:
        text = f"{len(strange)} more: {strange[:5]}"
        work.fail(Column.OTHER, wanted.directory, "the names that are there", text, "listing")


def alive(work: Work, found: Object, reply: Reply, what: str) -> bool:
    """Return whether a call on a living object succeeded."""
    if reply.good:
        return True
    if found.alive and not found.lost:
        gone = reply.status in (NFS3ERR_STALE, NFS3ERR_BADHANDLE)
        column = Column.STALE_ALIVE if gone else Column.OTHER
        work.fail(column, found, f"{what}: NFS3_OK", str(reply), str(reply).split(":")[0])
    return False


def _stale(work: Work, found: Object, reply: Reply, what: str) -> None:
    if reply.status == NFS3ERR_STALE:
        return
    column = Column.ALIVE_DEAD if reply.good else Column.OTHER
    work.fail(column, found, f"{what}: NFS3ERR_STALE", str(reply), f"{reply} when dead")


def same(work: Work, found: Object, about: fattr3) -> bool:
    """Return whether attributes are those of the object."""
    if not constant(work, found, about):
        return False
    if not found.is_link and about.mode & 0o7777 != found.mode:
        work.differs(found, "mode", f"{found.mode:o}", f"{about.mode & 0o7777:o}")
    if found.is_dir:
        return True
    if len(found.names) != about.nlink and not found.uncounted:
        work.differs(found, "nlink", str(len(found.names)), str(about.nlink))
    if (found.is_file or found.is_link) and len(found.content) != about.size:
        work.differs(found, "size", str(len(found.content)), str(about.size))
    return True


def constant(work: Work, found: Object, about: fattr3) -> bool:
    """Return whether the attributes that never change are those of the object."""
    if about.type != found.kind:
        expected, came = ftype3(found.kind).name, ftype3(about.type).name
        work.fail(Column.WRONG_OBJECT, found, expected, came)
        return False
    if about.fileid != found.fileid:
        _fileid(work, found, about.fileid, "attributes")
        return False
    return True


def same_handle(work: Work, found: Object, handle: bytes, what: str) -> bool:
    """Return whether a handle is byte for byte the object's."""
    if handle == found.handle:
        return True
    other = work.world.registry.handles.get(handle)
    wrong = other is not None and other is not found
    column = Column.WRONG_OBJECT if wrong else Column.CHANGED_HANDLE
    came = f"{handle.hex()}, that of {other}" if wrong else handle.hex()
    work.fail(column, found, f"{what}: {found.handle.hex()}", came)
    return False


def _fileid(work: Work, found: Object, fileid: int, what: str) -> None:
    other = work.world.registry.of_fileid(fileid)
    column = Column.CHANGED_FILEID if other is None or other is found else Column.WRONG_OBJECT
    came = f"fileid {fileid}" + ("" if other is None else f", that of {other}")
    work.fail(column, found, f"{what}: fileid {found.fileid}", came)
