"""What becomes of clients' wishes to lock: who may, when, and what a restart means.

Everything is held in the memory of one process.  When that is lost, with the server or
alone, so are the locks: clients are told (nfsd.nsm), and for a grace period locks
are only given to those who say that they had them.
"""

from __future__ import annotations

import pickle
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from nfsd.exports import Exports
from nfsd.lock_access import LockAccess
from nfsd.lock_clients import LockClients
from nfsd.lock_shares import Share, Sharer, Shares
from nfsd.lock_table import NOBODY, Client, Lock, LockTable, Outcome, Outside
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

_STATUS: Final = {
    Outcome.GRANTED: NLM4_GRANTED,
    Outcome.DENIED: NLM4_DENIED,
    Outcome.WAITS: NLM4_BLOCKED,
    Outcome.DEADLOCK: NLM4_DEADLCK,
    Outcome.FULL: NLM4_DENIED_NOLOCKS,
}
_COOKIE_BYTES: Final = 8
_KNOWN_MAX: Final = 10_000  # clients of which it is known how they last were


@dataclass(slots=True, eq=False)
class Grant:
    """A lock given to somebody who waited, and who has not said yet that he knows."""

    handle: bytes
    lock: Lock
    cookie: bytes
    by_message: bool  # whether he is to be told by GRANTED_MSG
    told: int = 0  # how often


class _Saved(NamedTuple):
    """What is in a manager."""

    grace_ends: float
    locks: list[tuple[bytes, Lock]]
    shares: list[tuple[bytes, Sharer, Share]]
    grants: list[Grant]
    by_message: set[Client]
    states: dict[Client, int]


class LockManager:
    """All locks and reservations; to be used by any thread.

    `granted` is told whom to tell that he has waited long enough.
    """

    def __init__(
        self,
        exports: Exports,
        clients: LockClients,
        granted: Callable[[Grant], None],
        grace: float,
        outside: Outside = NOBODY,
    ) -> None:
        """`grace`: for how many seconds; `outside`: who else locks the files."""
        self._access = LockAccess(exports)
        self._clients = clients
        self._tell = granted
        self._grace_ends = time.monotonic() + grace
        self._lock = threading.Lock()  # on all below; nothing that waits is done under it
        self._table = LockTable(self._granted, outside=outside)
        self._shares = Shares()
        self._grants: dict[tuple[bytes, Lock], Grant] = {}
        self._by_message: set[Client] = set()
        self._states: dict[Client, int] = {}

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
                    list(self._grants.values()),
                    self._by_message,
                    self._states,
                )
            )

    def restore(self, saved: bytes) -> None:
        """Go on from where another manager was; who is to be told of his lock is told again."""
        found: _Saved = pickle.loads(saved)
        with self._lock:
            self._grace_ends = found.grace_ends
            for handle, lock in found.locks:
                self._table.lock(handle, lock, wait=True)
            for handle, sharer, share in found.shares:
                self._shares.share(handle, sharer, share)
            self._by_message, self._states = found.by_message, found.states
            for grant in found.grants:
                self._grants[grant.handle, grant.lock] = grant
                self._tell(grant)

    def test(self, caller: Caller, handle: bytes, wanted: Lock) -> tuple[int, Lock | None]:
        """TEST: the status, and a lock that is in the way."""
        status = self._access.to_lock(caller, handle)
        if status != NLM4_GRANTED:
            return status, None
        if not self._is_time(caller, handle, wanted.owner.client, reclaim=False):
            return NLM4_DENIED_GRACE_PERIOD, None
        with self._lock:
            found = self._table.test(handle, wanted)
        return (NLM4_GRANTED if found is None else NLM4_DENIED), found

    def lock(
        self,
        caller: Caller,
        handle: bytes,
        wanted: Lock,
        *,
        wait: bool,
        reclaim: bool,
        monitored: bool,
    ) -> int:
        """LOCK; `monitored`: the client is to be told when the lock is lost."""
        status = self._access.to_lock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        if not self._is_time(caller, handle, wanted.owner.client, reclaim=reclaim):
            return NLM4_DENIED_GRACE_PERIOD
        monitored = monitored and not self._access.is_own(caller, handle)
        if monitored and not self._clients.add(wanted.owner.client):
            return NLM4_DENIED_NOLOCKS
        with self._lock:
            outcome = self._table.lock(handle, wanted, wait=wait and not reclaim)
            if outcome is Outcome.GRANTED:
                self._grants.pop((handle, wanted), None)  # so he knows
        return _STATUS[outcome]

    def cancel(self, caller: Caller, handle: bytes, wanted: Lock) -> int:
        """CANCEL; a lock that was given already, if he may not know it, is taken back."""
        status = self._access.to_unlock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            if self._table.cancel(handle, wanted):
                return NLM4_GRANTED
            if self._grants.pop((handle, wanted), None) is not None:
                self._table.unlock(handle, wanted)
                return NLM4_GRANTED
        return NLM4_DENIED

    def unlock(self, caller: Caller, handle: bytes, lock: Lock) -> int:
        """UNLOCK; also of a file that is gone."""
        status = self._access.to_unlock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        with self._lock:
            self._table.unlock(handle, lock)
            self._forget_grants(
                lambda each: (
                    each.handle == handle
                    and each.lock.owner == lock.owner
                    and not self._table.holds(handle, each.lock)
                )
            )
        return status

    def share(
        self, caller: Caller, handle: bytes, sharer: Sharer, wanted: Share, *, reclaim: bool
    ) -> int:
        """SHARE."""
        status = self._access.to_lock(caller, handle)
        if status != NLM4_GRANTED:
            return status
        if not self._is_time(caller, handle, sharer.client, reclaim=reclaim):
            return NLM4_DENIED_GRACE_PERIOD
        with self._lock:
            if self._shares.is_full:
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

    def speaks_by_messages(self, client: Client) -> None:
        """A client has sent a message, and wants to be told by messages."""
        with self._lock:
            if len(self._by_message) >= _KNOWN_MAX:
                self._by_message.clear()
            self._by_message.add(client)

    def free_all(self, caller: Caller, name: bytes) -> None:
        """FREE_ALL: the machine of this name at the caller's address has started anew."""
        if self._access.to_speak(caller):
            with self._lock:
                self._free(Client(caller.address, name))

    def restarted(self, caller: Caller, name: bytes, state: int) -> None:
        """SM_NOTIFY: so has this one, and is in this state now; it may be told repeatedly."""
        if not self._access.to_speak(caller):
            return
        with self._lock:
            known = self._table.clients() | self._states.keys() | self._clients.before
            for client in known | {Client(caller.address, name)}:
                if client.address != caller.address or not _is_same_name(client.name, name):
                    continue
                if self._states.get(client) != state:
                    if len(self._states) >= _KNOWN_MAX:
                        self._states.clear()
                    self._states[client] = state
                    self._free(client)
                    if ONCE.first("anew", client.address):
                        LOGGER.info("%s has started anew: its locks are freed", client.address)

    def answered(self, caller: Caller, cookie: bytes, status: int) -> None:
        """A client has answered the message that it has its lock."""
        with self._lock:
            found = [each for each in self._grants.values() if each.cookie == cookie]
        for grant in found:
            if grant.lock.owner.client.address == caller.address and (
                self._access.to_unlock(caller, grant.handle) == NLM4_GRANTED
            ):
                self.settle(grant, status)

    def settle(self, grant: Grant, status: int) -> None:
        """A client has answered the call that it has its lock."""
        with self._lock:
            if self._is_open(grant):
                self._settle(grant, status)

    def give_up(self, grant: Grant) -> None:
        """A client does not answer: it has died, and the lock is others'."""
        with self._lock:
            if self._is_open(grant):
                del self._grants[grant.handle, grant.lock]
                self._table.unlock(grant.handle, grant.lock)

    def is_open(self, grant: Grant) -> bool:
        """Whether a client has still to be told of its lock."""
        with self._lock:
            return self._is_open(grant)

    def idle_clients(self, among: frozenset[Client]) -> frozenset[Client]:
        """Those that have no lock, and wait for none."""
        with self._lock:
            return among - self._table.clients()

    def look_outside(self) -> None:
        """Give who waits for others what they have let go."""
        with self._lock:
            self._table.look_outside()

    def may_speak(self, caller: Caller) -> bool:
        """Whether a caller may speak for its machine."""
        return self._access.to_speak(caller)

    def _is_open(self, grant: Grant) -> bool:
        return self._grants.get((grant.handle, grant.lock)) is grant

    def _settle(self, grant: Grant, status: int) -> None:
        if status == NLM4_DENIED_GRACE_PERIOD:
            return  # the client has started anew itself, and is to be asked later
        del self._grants[grant.handle, grant.lock]
        # Told again, a client that has taken its lock does not wait for it any more, and
        # says so; one that does not want it has sent CANCEL.
        if status != NLM4_GRANTED and grant.told == 1:
            self._table.unlock(grant.handle, grant.lock)

    def _granted(self, handle: bytes, lock: Lock) -> None:
        """The table has given a lock to one who waited."""
        cookie = secrets.token_bytes(_COOKIE_BYTES)  # which nobody else can guess
        grant = Grant(handle, lock, cookie, lock.owner.client in self._by_message)
        self._grants[handle, lock] = grant
        self._tell(grant)

    def _forget_grants(self, those: Callable[[Grant], bool]) -> None:
        for key, grant in list(self._grants.items()):
            if those(grant):
                del self._grants[key]

    def _free(self, client: Client) -> None:
        self._forget_grants(lambda each: each.lock.owner.client == client)
        self._by_message.discard(client)
        self._shares.free(client)
        self._table.free(client)

    def _is_time(self, caller: Caller, handle: bytes, client: Client, *, reclaim: bool) -> bool:
        """Whether it is the time for this: in the grace period only for who had locks before.

        Of its own overlay a client alone has the locks: lost, they are in nobody's way.
        """
        if self._access.is_own(caller, handle):
            return True
        return reclaim and client in self._clients.before if self.is_grace else not reclaim


def _is_same_name(one: bytes, other: bytes) -> bool:
    """Whether two names are a machine's, one of them perhaps without its domain."""
    one, other = one.lower().rstrip(b"."), other.lower().rstrip(b".")
    if b"." in one and b"." in other:
        return one == other
    return one.split(b".")[0] == other.split(b".")[0]
