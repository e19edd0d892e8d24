"""The procedures of NLM and NSM: which client may lock, when, and what a restart means.

All locks are in the memory of one process.  When that process ends, they are lost: clients
are notified (nfsd.lock.nsm), and for a grace period a client gets only locks that it reclaims.
"""

from __future__ import annotations

import pickle
import threading
import time
from typing import Final, NamedTuple, Protocol

from nfsd.base.log import LOGGER, ONCE
from nfsd.lock.access import LockAccess
from nfsd.lock.accounts import MEMORY_MAX
from nfsd.lock.budget import Budget
from nfsd.lock.client_list import LockClients, TooManyError
from nfsd.lock.grants import Grant, Grants, How
from nfsd.lock.outside import NOBODY, Outside
from nfsd.lock.restarts import Restarts, is_same_name
from nfsd.lock.shares import Share, Sharer, Shares
from nfsd.lock.table import FileState, LockTable
from nfsd.lock.types import Client, Lock, Outcome, TryLaterError
from nfsd.rpc.program import Caller
from nfsd.xdr.generated.nlm4 import (
    NLM4_BLOCKED,
    NLM4_DEADLCK,
    NLM4_DENIED,
    NLM4_DENIED_GRACE_PERIOD,
    NLM4_DENIED_NOLOCKS,
    NLM4_GRANTED,
)

_LATER: Final = NLM4_DENIED_GRACE_PERIOD  # after which a client asks again
_STATUS: Final = {
    Outcome.GRANTED: NLM4_GRANTED,
    Outcome.DENIED: NLM4_DENIED,
    Outcome.WAITS: NLM4_BLOCKED,
    Outcome.DEADLOCK: NLM4_DEADLCK,
    Outcome.FULL: NLM4_DENIED_NOLOCKS,
    Outcome.LATER: _LATER,
}


class _Saved(NamedTuple):
    """The state of a manager."""

    grace_ends: float
    files: list[FileState]
    shares: list[tuple[bytes, Sharer, Share]]
    grants: list[Grant]
    restarts: Restarts


class Listener(Protocol):
    """Is called by a manager; it neither waits nor calls back."""

    def grant(self, grant: Grant) -> None:
        """Notify a client that it has its lock."""

    def closed(self, grant: Grant) -> None:
        """Stop notifying a client."""

    def has_work(self) -> None:
        """Call `work` until nothing is left."""


class LockManager:
    """All locks and reservations; to be used by any thread.

    `listener` is called for each grant, and each time that calls have left work (`work`).
    """

    def __init__(
        self,
        access: LockAccess,
        clients: LockClients,
        listener: Listener,
        grace: float,
        outside: Outside = NOBODY,
    ) -> None:
        """`grace`: length of the grace period in seconds; `outside`: other locks on the files."""
        self._access = access
        self._clients = clients
        self._listener = listener
        self._grace_ends = time.monotonic() + grace
        self._lock = threading.Lock()  # for all below; nothing under it waits
        memory = Budget(MEMORY_MAX)
        self._table = LockTable(self._granted, outside, memory)
        self._shares = Shares(memory)
        self._grants = Grants(listener.closed)
        self._restarts = Restarts()

    @property
    def is_grace(self) -> bool:
        """Return whether only locks that are reclaimed are granted."""
        return time.monotonic() < self._grace_ends

    def save(self) -> bytes:
        """Return the state, for another manager to go on from here."""
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
        """Go on from the state of another manager; grants without an answer are sent again."""
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
        """Return how many locks are held, and waited for."""
        with self._lock:
            return self._table.counts

    def work(self) -> bool:
        """Do some of the work that calls have left; return whether there is more."""
        with self._lock:
            return self._table.work()

    def test(self, caller: Caller, handle: bytes, wanted: Lock) -> tuple[int, Lock | None]:
        """TEST: return the status, and a lock that conflicts."""
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
        """LOCK; `monitored`: the client is to be notified when the lock is lost."""
        status = self._may_have(caller, handle, wanted.owner.client, reclaim, monitored)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            outcome = self._table.lock(handle, wanted, wait=wait and not reclaim, how=how)
            if outcome is Outcome.GRANTED:
                self._grants.pop(handle, wanted)  # the reply says so
            self._go_on()
        return _STATUS[outcome]

    def cancel(self, caller: Caller, handle: bytes, wanted: Lock) -> int:
        """CANCEL; a lock that was granted, but not confirmed, is released."""
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
        """UNLOCK; also of a file that was removed."""
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
            if not self._shares.may_have_more(sharer):
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
        """FREE_ALL: the client of this name at the caller's address has restarted."""
        if self._access.to_speak(caller):
            with self._lock:
                self._free(Client(caller.address, name))

    def restarted(self, caller: Caller, name: bytes, state: int) -> None:
        """SM_NOTIFY: a client has restarted and has this state; it may say so repeatedly."""
        if not self._access.to_speak(caller):
            return
        address = caller.address
        with self._lock:
            clients = self._table.clients(address) | self._shares.clients(address)
            for client in clients:
                if is_same_name(client.name, name) and self._restarts.is_news(client, state):
                    self._free(client)
                    if ONCE.first("anew", address):
                        LOGGER.info("%s has restarted: its locks are released", address)
            self._restarts.note(Client(address, name), state)

    def answered(self, caller: Caller, cookie: bytes, status: int) -> None:
        """Record that a client has answered a GRANTED_MSG."""
        with self._lock:
            grant = self._grants.with_cookie(cookie)
        if (
            grant is not None
            and grant.lock.owner.client.address == caller.address
            and (self._access.to_unlock(caller, grant.handle) == NLM4_GRANTED)
        ):
            self.acknowledge(grant, status)

    def acknowledge(self, grant: Grant, status: int) -> None:
        """Record that a client has answered a GRANTED or GRANTED_MSG."""
        if status == NLM4_DENIED_GRACE_PERIOD:
            return  # the client has restarted itself, and is asked again later
        with self._lock:
            if self._grants.is_open(grant):
                self._grants.remove(grant)
                # A client that has confirmed its lock refuses a second message, as it does not
                # wait any more.  One that does not want the lock has sent CANCEL.
                if status != NLM4_GRANTED and grant.told == 1:
                    self._unlock(grant.handle, grant.lock)

    def give_up(self, grant: Grant) -> None:
        """Record that a client does not answer: it is taken for dead, and the lock is released."""
        with self._lock:
            if self._grants.is_open(grant):
                self._grants.remove(grant)
                self._unlock(grant.handle, grant.lock)

    def is_open(self, grant: Grant) -> bool:
        """Return whether a client has not confirmed its lock."""
        with self._lock:
            return self._grants.is_open(grant)

    def idle_clients(self, among: frozenset[Client]) -> frozenset[Client]:
        """Return the clients that neither have nor wait for anything."""
        return frozenset(client for client in among if not self._has(client))

    def look_outside(self) -> None:
        """Grant waiting owners what local processes have released."""
        with self._lock:
            self._table.look_outside()
            self._go_on()

    def may_speak(self, caller: Caller) -> bool:
        """Return whether a caller may speak for its machine."""
        return self._access.to_speak(caller)

    def _has(self, client: Client) -> bool:
        with self._lock:
            return self._table.has(client) or self._shares.has(client)

    def _granted(self, handle: bytes, lock: Lock, how: How) -> None:
        """Record that the table has granted a lock to a waiting owner."""
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
        """Return whether a client may lock a file; if so, it is on the list of clients."""
        status = self._access.to_lock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        if not self._is_time(caller, handle, client, reclaim=reclaim):
            return NLM4_DENIED_GRACE_PERIOD
        if self._access.is_own(caller, handle):
            return NLM4_GRANTED
        if not reclaim:
            self._clients.end_grace(self._has)
        if monitored:
            try:
                self._clients.add(client)
            except TooManyError as problem:
                return _LATER if problem.passes else NLM4_DENIED_NOLOCKS
        return NLM4_GRANTED

    def _is_time(self, caller: Caller, handle: bytes, client: Client, *, reclaim: bool) -> bool:
        """Return whether a lock may be granted now: in the grace period only a reclaimed one.

        In its own overlay a client is the only one that locks, so there is no grace period.
        """
        if self._access.is_own(caller, handle):
            return True
        return reclaim and client in self._clients.before if self.is_grace else not reclaim
