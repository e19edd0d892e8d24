"""Space of the filesystem: what is free, and that it is free again when all is removed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from nfsd.torture import calls
from nfsd.torture.calls import Task
from nfsd.torture.ledger import Column
from nfsd.torture.work import Work

_SHARE: Final = 10  # of what was free that part may stay taken, by what tells what is gone
_PATIENCE: Final = 30.0  # seconds until the server lets go of what it had open


@dataclass(slots=True)
class Free:
    """What was free at the beginning."""

    bytes: int = 0


def measured(work: Work, free: Free) -> Task:
    """FSSTAT, before anything is written."""
    reply = yield calls.fsstat(work.world.roots[0].handle)
    if work.done(reply, "FSSTAT", (work.world.roots[0],)):
        free.bytes = reply.ok.abytes


def regained(work: Work, free: Free) -> Task:
    """FSSTAT, after everything was removed."""
    root, wanted = work.world.roots[0], free.bytes - free.bytes // _SHARE
    deadline = time.monotonic() + _PATIENCE
    work.ledger.checks += 1
    while True:
        reply = yield calls.fsstat(root.handle)
        if not reply.good or reply.ok.abytes >= wanted or time.monotonic() > deadline:
            break
    if not reply.good or reply.ok.abytes < wanted:
        came = f"{reply.ok.abytes:,}" if reply.good else str(reply)
        _fail(work, f"{wanted:,} bytes free after everything was removed", came, "space")


def never_full(work: Work) -> None:
    """Count it as an error that the server took more than there was."""
    _fail(work, "NFS3ERR_NOSPC", "none in so many waves", "never full")


def _fail(work: Work, expected: str, came: str, kind: str) -> None:
    work.ledger.fail(Column.OTHER, "the filesystem", [], expected, came, kind)
