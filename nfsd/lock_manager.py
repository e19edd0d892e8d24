"""What becomes of clients' wishes to lock: who may, when, and what a restart means.

Everything is held in the memory of one process.  When that is lost, with the server or
alone, so are the locks: clients are told (nfsd.nsm), and for a grace period locks
are only given to those who say that they had them.
"""

from __future__ import annotations

import pickle
import threading
import time
from typing import Final, NamedTuple, Protocol

from nfsd.exports import Exports
from nfsd.lock import Client, Lock, Outcome, TryLaterError
from nfsd.lock_access import LockAccess
from nfsd.lock_accounts import MEMORY_MAX
from nfsd.lock_budget import Budget
from nfsd.lock_clients import LockClients, TooManyError
from nfsd.lock_grants import Grant, Grants, How
from nfsd.lock_outside import NOBODY, Outside
from nfsd.lock_restarts import Restarts, is_same_name
from nfsd.lock_shares import Share, Sharer, Shares
from nfsd.lock_table import FileState, LockTable
from nfsd.log import LOGGER, ONCE
from nfsd.program import Caller
from nfsd.xdr.nlm4 import (
    NLM4_BLOCKED,
    NLM4_DEADLCK,
    NLM4_DENIED,
    NLM4_DENIED_GRACE_PERIOD,
    NLM4_DENIED_NOLOCKS,
    NLM4_GRANTED,
)

_LATER: Final = NLM4_DENIED_GRACE_PERIOD  # clients ask again after a while
_STATUS: Final = {
    Outcome.GRANTED: NLM4_GRANTED,
    Outcome.DENIED: NLM4_DENIED,
    Outcome.WAITS: NLM4_BLOCKED,
    Outcome.DEADLOCK: NLM4_DEADLCK,
    Outcome.FULL: NLM4_DENIED_NOLOCKS,
    Outcome.LATER: _LATER,
}


class _Saved(NamedTuple):
    """What is in a manager."""

    grace_ends: float
    files: list[FileState]
    shares: list[tuple[bytes, Sharer, Share]]
    grants: list[Grant]
    restarts: Restarts


class Listener(Protocol):
    """Whom a manager tells what is to be done outside of it; it does not wait, nor call back."""

    def grant(self, grant: Grant) -> None:
        """A client is to be told that it has waited long enough."""

    def closed(self, grant: Grant) -> None:
        """It need not be told any more."""

    def has_work(self) -> None:
        """`work` is to be called until there is no more."""


class LockManager:
    """All locks and reservations; to be used by any thread.

    `listener` is told of grants, and each time that there is work left to be done (`work`).
    """

    def __init__(
        self,
        exports: Exports,
        clients: LockClients,
        listener: Listener,
        grace: float,
        outside: Outside = NOBODY,
    ) -> None:
        """`grace`: for how many seconds; `outside`: who else locks the files."""
        self._access = LockAccess(exports)
        self._clients = clients
        self._listener = listener
        self._grace_ends = time.monotonic() + grace
        self._lock = threading.Lock()  # on all below; nothing that waits is done under it
        memory = Budget(MEMORY_MAX)
        self._table = LockTable(self._granted, outside, memory)
        self._shares = Shares(memory)
        self._grants = Grants(listener.closed)
        self._restarts = Restarts()

    @property
    def is_grace(self) -> bool:
        """Whether only those may lock who had the lock before the server restarted."""
        return time.monotonic() < self._grace_ends

    def save(self) -> bytes:
        """All that another manager needs to go on from here."""
        with self._lock:
            return pickle.dumps(
                _Saved(
                    self._grace_ends,
                    list(self._table.all()),
                    list(self._shares.all()),
                    list(self._grants),
                    self._restarts,
                ),
                pickle.HIGHEST_PROTOCOL,
            )

    def restore(self, saved: bytes) -> None:
        """Go on from where another manager was; who is to be told of his lock is told again."""
        found: _Saved = pickle.loads(saved)
        with self._lock:
            self._grace_ends = found.grace_ends
            for state in found.files:
                self._table.restore(state)
            for handle, sharer, share in found.shares:
                self._shares.share(handle, sharer, share)
            self._restarts = found.restarts
            for grant in found.grants:
                self._grants.add(grant)
                self._listener.grant(grant)
            self._go_on()

    @property
    def counts(self) -> tuple[int, int]:
        """How many locks are held, and waited for."""
        with self._lock:
            return self._table.counts

    def work(self) -> bool:
        """Do some of what calls have left to be done; whether there is more."""
        with self._lock:
            return self._table.work()

    def test(self, caller: Caller, handle: bytes, wanted: Lock) -> tuple[int, Lock | None]:
        """TEST: the status, and a lock that is in the way."""
        status = self._access.to_lock(caller, handle)
        if status != NLM4_GRANTED:
            return status, None
        if not self._is_time(caller, handle, wanted.owner.client, reclaim=False):
            return NLM4_DENIED_GRACE_PERIOD, None
        with self._lock:
            try:
                found = self._table.test(handle, wanted)
            except TryLaterError:
                return _LATER, None
            finally:
                self._go_on()
        return (NLM4_GRANTED if found is None else NLM4_DENIED), found

    def lock(
        self,
        caller: Caller,
        handle: bytes,
        wanted: Lock,
        how: How,
        *,
        wait: bool,
        reclaim: bool,
        monitored: bool,
    ) -> int:
        """LOCK; `monitored`: the client is to be told when the lock is lost."""
        status = self._may_have(caller, handle, wanted.owner.client, reclaim, monitored)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            outcome = self._table.lock(handle, wanted, wait=wait and not reclaim, how=how)
            if outcome is Outcome.GRANTED:
                self._grants.pop(handle, wanted)  # so he knows
            self._go_on()
        return _STATUS[outcome]

    def cancel(self, caller: Caller, handle: bytes, wanted: Lock) -> int:
        """CANCEL; a lock that was given already, if he may not know it, is taken back."""
        status = self._access.to_unlock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            if self._table.cancel(handle, wanted):
                return NLM4_GRANTED
            if self._grants.pop(handle, wanted) is not None:
                self._unlock(handle, wanted)
                return NLM4_GRANTED
        return NLM4_DENIED

    def unlock(self, caller: Caller, handle: bytes, lock: Lock) -> int:
        """UNLOCK; also of a file that is gone."""
        status = self._access.to_unlock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            self._unlock(handle, lock)
            self._grants.look_through(
                handle, lock.owner, lambda each: self._table.holds(handle, each)
            )
        return status

    def share(
        self, caller: Caller, handle: bytes, sharer: Sharer, wanted: Share, *, reclaim: bool
    ) -> int:
        """SHARE."""
        status = self._may_have(caller, handle, sharer.client, reclaim, monitored=True)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            if not self._shares.has_room(sharer):
                return NLM4_DENIED_NOLOCKS
            return NLM4_GRANTED if self._shares.share(handle, sharer, wanted) else NLM4_DENIED

    def unshare(self, caller: Caller, handle: bytes, sharer: Sharer) -> int:
        """UNSHARE."""
        status = self._access.to_unlock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            self._shares.unshare(handle, sharer)
        return status

    def free_all(self, caller: Caller, name: bytes) -> None:
        """FREE_ALL: the machine of this name at the caller's address has started anew."""
        if self._access.to_speak(caller):
            with self._lock:
                self._free(Client(caller.address, name))

    def restarted(self, caller: Caller, name: bytes, state: int) -> None:
        """SM_NOTIFY: so has this one, and is in this state now; it may be told repeatedly."""
        if not self._access.to_speak(caller):
            return
        address = caller.address
        with self._lock:
            clients = self._table.clients(address) | self._shares.clients(address)
            for client in clients:
                if is_same_name(client.name, name) and self._restarts.is_news(client, state):
                    self._free(client)
                    if ONCE.first("anew", address):
                        LOGGER.info("%s has started anew: its locks are freed", address)
            self._restarts.note(Client(address, name), state)

    def answered(self, caller: Caller, cookie: bytes, status: int) -> None:
        """A client has answered the message that it has its lock."""
        with self._lock:
            grant = self._grants.with_cookie(cookie)
        if (
            grant is not None
            and grant.lock.owner.client.address == caller.address
            and (self._access.to_unlock(caller, grant.handle) == NLM4_GRANTED)
        ):
            self.settle(grant, status)

    def settle(self, grant: Grant, status: int) -> None:
        """A client has answered that it has its lock, or the call that told it so."""
        if status == NLM4_DENIED_GRACE_PERIOD:
            return  # the client has started anew itself, and is to be asked later
        with self._lock:
            if self._grants.is_open(grant):
                self._grants.remove(grant)
                # Told again, a client that has taken its lock does not wait for it any more,
                # and says so; one that does not want it has sent CANCEL.
                if status != NLM4_GRANTED and grant.told == 1:
                    self._unlock(grant.handle, grant.lock)

    def give_up(self, grant: Grant) -> None:
        """A client does not answer: it has died, and the lock is others'."""
        with self._lock:
            if self._grants.is_open(grant):
                self._grants.remove(grant)
                self._unlock(grant.handle, grant.lock)

    def is_open(self, grant: Grant) -> bool:
        """Whether a client has still to be told of its lock."""
        with self._lock:
            return self._grants.is_open(grant)

    def idle_clients(self, among: frozenset[Client]) -> frozenset[Client]:
        """Those that have nothing, and wait for nothing."""
        return frozenset(client for client in among if not self._has(client))

    def look_outside(self) -> None:
        """Give who waits for others what they have let go."""
        with self._lock:
            self._table.look_outside()
            self._go_on()

    def may_speak(self, caller: Caller) -> bool:
        """Whether a caller may speak for its machine."""
        return self._access.to_speak(caller)

    def _has(self, client: Client) -> bool:
        with self._lock:
            return self._table.has(client) or self._shares.has(client)

    def _granted(self, handle: bytes, lock: Lock, how: How) -> None:
        """The table has given a lock to one who waited."""
        grant = Grant(handle, lock, how)
        self._grants.add(grant)
        self._listener.grant(grant)

    def _unlock(self, handle: bytes, lock: Lock) -> None:
        self._table.unlock(handle, lock)
        self._go_on()

    def _free(self, client: Client) -> None:
        self._grants.free(client)
        self._shares.free(client)
        self._table.free(client)
        self._go_on()

    def _go_on(self) -> None:
        if self._table.has_work:
            self._listener.has_work()

    def _may_have(
        self, caller: Caller, handle: bytes, client: Client, reclaim: bool, monitored: bool
    ) -> int:
        """Whether a client may have something more of a file; then it is on the list."""
        status = self._access.to_lock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        if not self._is_time(caller, handle, client, reclaim=reclaim):
            return NLM4_DENIED_GRACE_PERIOD
        if self._access.is_own(caller, handle):
            return NLM4_GRANTED
        if not reclaim:
            self._clients.settle(self._has)
        if monitored:
            try:
                self._clients.add(client)
            except TooManyError as problem:
                return _LATER if problem.passes else NLM4_DENIED_NOLOCKS
        return NLM4_GRANTED

    def _is_time(self, caller: Caller, handle: bytes, client: Client, *, reclaim: bool) -> bool:
        """Whether it is the time for this: in the grace period only for who had locks before.

        Of its own overlay a client alone has the locks: lost, they are in nobody's way.
        """
        if self._access.is_own(caller, handle):
            return True
        return reclaim and client in self._clients.before if self.is_grace else not reclaim
