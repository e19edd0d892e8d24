"""What operations and checks have in common: claims, judging answers, learning handles."""

from __future__ import annotations

from typing import Final

from nfsd.torture.calls import Reply
from nfsd.torture.ledger import Column, Ledger
from nfsd.torture.model import Name, Object, World
from nfsd.xdr.generated.nfs3 import NFS3_OK, NFS3ERR_STALE, fattr3

_CONTENTS: Final = (0, 1, 1, 1, 2, 5, 20)  # how often the line is repeated
_LARGE: Final = 1500  # the same for a large file, some 64 KiB


class Work:
    """One scenario at work: its model and its counters."""

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        *,
        expect_replay: bool,
        refusals: frozenset[int] = frozenset(),
    ) -> None:
        """Work on a world; `refusals` may answer an operation of which nothing is done then."""
        self.world = world
        self.ledger = ledger
        self._expect_replay = expect_replay
        self._refusals = refusals
        self.may_refuse = True

    def fail(
        self, column: Column, found: Object, expected: str, came: str, kind: str = "answer"
    ) -> None:
        """Count an object's first error, and expect nothing of it any more."""
        if found.lost:
            return
        self.ledger.fail(column, str(found), list(found.history), expected, came, kind)
        self.world.give_up(found)

    def differs(self, found: Object, what: str, expected: str, came: str) -> None:
        """Count an attribute that is wrong; the handle still is what it was, so go on."""
        if found.lost or what in found.told:
            return
        found.told.add(what)
        history = list(found.history)
        expected, came = f"{what} {expected}", f"{what} {came}"
        self.ledger.fail(Column.OTHER, str(found), history, expected, came, what)

    def refused(self, reply: Reply) -> bool:
        """Return whether an operation was not done, for a reason that the scenario is about."""
        if not self.may_refuse or reply.status not in self._refusals:
            return False
        self.ledger.operations += 1
        self.ledger.refused += 1
        return True

    def done(
        self, reply: Reply, what: str, touched: tuple[Object, ...], replayed: int = NFS3_OK
    ) -> bool:
        """Return whether an operation was done.

        `replayed` is the status if it had been done before.
        """
        self.ledger.operations += 1
        if reply.good:
            return True
        if reply.resent and reply.status == replayed and not self._expect_replay:
            self.ledger.replays += 1
            return True
        column = Column.STALE_ALIVE if reply.status == NFS3ERR_STALE else Column.OTHER
        expected = f"{what}: NFS3_OK"
        if reply.resent and reply.status == replayed:
            expected += " again: the call was resent, and its first answer was promised"
        self.fail(column, touched[0], expected, str(reply), str(reply).split(":")[0])
        for each in touched[1:]:
            self.world.give_up(each)
        return False

    def learn(self, found: Object, handle: bytes, attributes: fattr3) -> None:
        """A new object's handle and fileid, which no other object may have."""
        found.handle = handle
        found.fileid = attributes.fileid
        before = self.world.registry.fileids.get(found.fileid)
        other = self.world.registry.learn(found)
        if other is None:
            return
        if other.handle == handle:
            column = Column.WRONG_OBJECT if other.alive else Column.ALIVE_DEAD
            self.fail(column, found, "a handle of its own", f"the handle of {other}")
        elif before is not None and before.alive and not before.lost:
            self.fail(Column.WRONG_OBJECT, found, "a fileid of its own", f"that of {before}")
        elif before is not None:
            self.ledger.reused += 1

    def content(self, found: Object, wave: int, times: int | None = None) -> bytes:
        """Data that says whose it is, so many times."""
        random = self.world.random
        if times is None:
            times = _LARGE if random.random() < 0.01 else random.choice(_CONTENTS)
        scenario = self.ledger.scenario
        return f"object {found.number} of {scenario}, wave {wave}\n".encode() * times

    def use(self, *parents: Object) -> None:
        """Calls are on their way below these directories."""
        self.world.users.update(parents)

    def take(self, found: Object, *names: Name) -> None:
        """Claim an object and names for one operation."""
        self.world.claim(found, *names)
        self.use(*(parent for parent, _ in names))
