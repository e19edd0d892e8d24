"""Where a run works: a directory of its own below an export, with one for each scenario."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from nfsd.torture import calls, discover
from nfsd.torture.calls import NO_VERIFIER, Call, Reply, Task
from nfsd.torture.model import Registry
from nfsd.torture.target import Target
from nfsd.torture.work import Work
from nfsd.xdr.generated.nfs3 import NF3DIR, NFS3ERR_EXIST, NFS3ERR_NOENT
from overlay.base.refusal import Refusal

_ENTRIES: Final = 1_000_000


class Ground:
    """The directories of some scenarios in one export."""

    def __init__(
        self, target: Target, root: bytes, directory: bytes, names: Sequence[bytes]
    ) -> None:
        """Of the export with this root; `directory` is its name there."""
        self.target = target
        self.registry = Registry()
        self.lowers: dict[bytes, bytes] = {}  # prepared ones, by scenario
        self._root = root
        self._directory = directory
        self._names = names
        self._made: dict[bytes, bytes] = {}

    def make(self) -> Task:
        """Make them; raises Refusal."""
        yield from _make_directories(self._root, self._directory, self._names, self._made)

    def find(self, lower: bytes) -> Task:
        """Find what is prepared."""
        yield from _find_directories(self._root, lower, self._names, self.lowers)

    def adopt(self, work: Work, name: bytes, removable: frozenset[bytes]) -> Task:
        """Return the roots of a scenario, and what is below the lower one; raises Refusal."""
        yield from _adopt(work, self._made[name], self.lowers.get(name), removable)

    def remove(self, left: list[str]) -> Task:
        """Remove what was made; `left` tells what could not be."""
        if self._made:
            yield from _remove_tree(self._root, self._directory, left)


def _need(reply: Reply, what: str) -> None:
    if not reply.good:
        raise Refusal(f"{what}: {reply}")


def _need_made(reply: Reply, what: str) -> None:
    """Do as `_need`, of a directory; its answer may have been lost, and forgotten by the server."""
    if not (reply.resent and reply.status == NFS3ERR_EXIST):
        _need(reply, what)


def _make_directories(
    root: bytes, directory: bytes, below: Sequence[bytes], made: dict[bytes, bytes]
) -> Task:
    _need_made(
        (yield calls.mkdir(root, directory)), f"MKDIR of {os.fsdecode(directory)} in the export"
    )
    reply = yield calls.lookup(root, directory)
    _need(reply, f"LOOKUP of {os.fsdecode(directory)}")
    top = reply.ok.object
    for name in below:
        _need_made((yield calls.mkdir(top, name)), f"MKDIR of {os.fsdecode(name)}")
        reply = yield calls.lookup(top, name)
        _need(reply, f"LOOKUP of {os.fsdecode(name)}")
        made[name] = reply.ok.object


def _find_directories(
    root: bytes, lower: bytes, below: Sequence[bytes], found: dict[bytes, bytes]
) -> Task:
    here = root
    for part in lower.split(b"/"):
        if part:
            reply = yield calls.lookup(here, part)
            if not reply.good:
                return
            here = reply.ok.object
    for name in below:
        reply = yield calls.lookup(here, name)
        if reply.good:
            found[name] = reply.ok.object


def _adopt(work: Work, own: bytes, lower: bytes | None, removable: frozenset[bytes]) -> Task:
    for handle in (own, lower):
        if handle is None:
            continue
        reply = yield calls.getattr_(handle)
        _need(reply, "GETATTR of a scenario's directory")
        root = work.world.new(NF3DIR)
        root.mode = reply.ok.mode & 0o7777
        work.world.roots.append(root)
        work.learn(root, handle, reply.ok)
        if handle is lower:
            yield from discover.tree(work, root, removable)


def _remove_tree(parent: bytes, name: bytes, left: list[str]) -> Task:
    """Remove a directory and what is in it, however deep, a page at a time from its beginning."""
    found = yield calls.lookup(parent, name)
    if not found.good:
        left.append(f"{name!r}: {found}")
        return
    above = [(parent, name, found.ok.object)]
    for _ in range(_ENTRIES):
        here = above[-1][2]
        reply = yield calls.readdir(here, 0, NO_VERIFIER, 8192)
        entries = reply.ok.reply.entries if reply.good else []
        names = [bytes(each.name) for each in entries if each.name not in (b".", b"..")]
        for each in names:
            found = yield calls.lookup(here, each)
            about = (yield calls.getattr_(found.ok.object)) if found.good else found
            if about.good and about.ok.type == NF3DIR:
                above.append((here, each, found.ok.object))
                break
            yield from _try(calls.remove(here, each), left)
        else:
            if not names:
                yield from _try(calls.rmdir(*above.pop()[:2]), left)
        if left or not above:
            return


def _try(call: Call, left: list[str]) -> Task:
    reply = yield call
    if not reply.good and not (reply.resent and reply.status == NFS3ERR_NOENT):
        left.append(f"{call.procedure}: {reply}")
