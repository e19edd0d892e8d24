"""Learn what a directory of a lower layer holds.

What is discovered is taken for true: it is from then on that nothing may change.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from nfsd.torture import calls, checks
from nfsd.torture.calls import NO_VERIFIER, Call, Reply, Task
from nfsd.torture.ledger import Column
from nfsd.torture.model import Name, Object
from nfsd.torture.work import Work
from nfsd.xdr.generated.nfs3 import fattr3

_PAGE: Final = 8192
_READ: Final = 16 << 10
_LIMIT: Final = 100_000  # pages, entries, pieces: more is no prepared tree


def tree(
    work: Work, root: Object, removable: frozenset[bytes] | None, listed: set[Name] | None = None
) -> Task:
    """Return all that is below a directory, in the order of names, but for what is known already.

    `removable` are the paths below it of what comes and goes with its layer; all, if None.
    `listed` gets all names.
    """
    known: dict[int, Object] = {}
    links: dict[Object, int] = {}
    left = [(root, b"")]
    for _ in range(_LIMIT):
        if not left:
            break
        directory, path = left.pop()
        names: list[bytes] = []
        yield from _names(work, directory, names)
        for name in sorted(names):
            below = path + name
            if listed is not None:
                listed.add((directory, name))
            child = directory.children.get(name)
            if child is None or child in work.world.loose:
                child = yield from _child(work, directory, name, known)
                if child is not None:
                    child.removable = removable is None or below in removable
                if child is not None and child.is_file:
                    links[child] = yield from _links(work, child)
            if child is not None and child.is_dir and not child.lost:
                left.append((child, below + b"/"))
    for found, count in links.items():
        # It has a name that a higher layer hides: nobody can tell when it is gone.
        if count != len(found.names):
            work.world.give_up(found)


def renewed(work: Work) -> Task:
    """Return what is there after a layer was replaced: what is known, what is back, what is new."""
    listed: set[Name] = set()
    for root in work.world.roots:
        yield from tree(work, root, None, listed)
    for found in [each for each in work.world.live if each.removable]:
        # A name that no client has made or moved may have gone with the layer.
        for entry in [each for each in found.names if each not in listed]:
            work.world.lose_name(found, *entry)
            found.uncounted = True


def _links(work: Work, found: Object) -> Generator[Call, Reply, int]:
    reply = yield calls.getattr_(found.handle)
    return reply.ok.nlink if reply.good else -1


def _names(work: Work, directory: Object, names: list[bytes]) -> Task:
    cookie, verifier = 0, NO_VERIFIER
    for _ in range(_LIMIT):
        reply = yield calls.readdir(directory.handle, cookie, verifier, _PAGE)
        if not work.done(reply, "READDIR of a lower directory", (directory,)):
            return
        entries = reply.ok.reply.entries
        names += [bytes(e.name) for e in entries if e.name not in (b".", b"..")]
        if reply.ok.reply.eof or not entries:
            return
        cookie, verifier = entries[-1].cookie, reply.ok.cookieverf


def _child(
    work: Work, directory: Object, name: bytes, known: dict[int, Object]
) -> Generator[Call, Reply, Object | None]:
    """One name: a new object, or one more name of a known one."""
    reply = yield calls.lookup(directory.handle, name)
    if not work.done(reply, f"LOOKUP of {name!r} of a lower directory", (directory,)):
        return None
    handle = reply.ok.object
    reply = yield calls.getattr_(handle)
    if not work.done(reply, f"GETATTR of {name!r} of a lower directory", (directory,)):
        return None
    about = reply.ok
    before = directory.children.get(name)
    if before is not None and _is_back(work, before, handle, about):
        return before
    if before is not None:
        work.world.lose_name(before, directory, name)
    found = known.get(about.fileid) if about.nlink > 1 else None
    if found is not None:
        work.world.bind(found, directory, name)
        if found.handle != handle:
            came = f"{handle.hex()} for its link {name!r}"
            work.fail(Column.CHANGED_HANDLE, found, found.handle.hex(), came)
        return None
    found = work.world.new(about.type)
    work.world.bind(found, directory, name)
    found.mode = about.mode & 0o7777
    work.learn(found, handle, about)
    work.world.note(found, f"discovered as {name!r} in a lower directory")
    if not found.is_dir:
        known[about.fileid] = found
        yield from _content(work, found, about.size)
        found.pristine = found.is_file
        if found.pristine:
            work.world.fresh.append(found)
    return found


def _is_back(work: Work, before: Object, handle: bytes, about: fattr3) -> bool:
    """Return whether an object whose layer has gone has its name again, or still."""
    if before.handle != handle:
        return False
    if checks.constant(work, before, about) and (before.is_dir or before.complete):
        work.world.meet_again(before)
    return True


def _content(work: Work, found: Object, size: int) -> Task:
    if found.is_link:
        reply = yield calls.readlink(found.handle)
        if work.done(reply, "READLINK of a lower link", (found,)):
            found.content = bytes(reply.ok.data)
        return
    for _ in range(_LIMIT):
        if not found.is_file or len(found.content) >= size:
            return
        reply = yield calls.read(found.handle, len(found.content), _READ)
        if not work.done(reply, "READ of a lower file", (found,)) or not reply.ok.data:
            return
        found.content += bytes(reply.ok.data)
