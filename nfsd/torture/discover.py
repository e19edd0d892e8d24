"""Learn what a directory of a lower layer holds.

What is discovered is taken for true: it is from then on that nothing may change.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from nfsd.torture import calls
from nfsd.torture.calls import NO_VERIFIER, Call, Reply, Task
from nfsd.torture.ledger import Column
from nfsd.torture.model import Object
from nfsd.torture.work import Work

_PAGE: Final = 8192
_READ: Final = 16 << 10
_LIMIT: Final = 100_000  # pages, entries, pieces: more is no prepared tree


def tree(work: Work, root: Object) -> Task:
    """All that is below a directory, in the order of names."""
    known: dict[int, Object] = {}
    links: dict[Object, int] = {}
    left = [root]
    for _ in range(_LIMIT):
        if not left:
            break
        directory = left.pop()
        names: list[bytes] = []
        yield from _names(work, directory, names)
        for name in sorted(names):
            child = yield from _child(work, directory, name, known)
            if child is not None and child.is_dir:
                left.append(child)
            elif child is not None and child.is_file:
                links[child] = yield from _links(work, child)
    for found, count in links.items():
        # It has a name that a higher layer hides: nobody can tell when it is gone.
        if count != len(found.names):
            work.world.give_up(found)


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
