"""The locks and waiters of each client, on all files, and the memory that they take."""

from __future__ import annotations

import itertools
from typing import Final

from nfsd.lock.budget import Budget
from nfsd.lock.file import Account, File, Holding, Waiter
from nfsd.lock.types import Client, Lock, Owner

MEMORY_MAX: Final = 192 << 20  # bytes, about, for all locks and reservations
WAITERS_MAX: Final = 1 << 16
NAMES_MAX: Final = 4096  # clients
# What each takes, with its entries in all dictionaries and lists.
SPAN_BYTES: Final = 360
_HOLDING_BYTES: Final = 480
_ACCOUNT_BYTES: Final = 700
_WAITER_BYTES: Final = 900


class Accounts:
    """All clients that hold a lock or wait for one."""

    def __init__(self, memory: Budget | None, waiters: Budget | None) -> None:
        """`memory` is a budget that locks share with other things."""
        self._memory = Budget(MEMORY_MAX) if memory is None else memory
        self._waiters = Budget(WAITERS_MAX) if waiters is None else waiters
        self._names = Budget(NAMES_MAX)
        self._all: dict[str, dict[Client, Account]] = {}
        self._orders = itertools.count()
        self._spans = 0
        self.waits: dict[Owner, dict[int, Waiter]] = {}  # by order

    def __len__(self) -> int:
        """Return how many locks are held or waited for."""
        return self._spans + len(self._waiters)

    @property
    def counts(self) -> tuple[int, int]:
        """Return how many locks are held, and how many are waited for."""
        return self._spans, len(self._waiters)

    def of(self, client: Client) -> Account | None:
        """Return what a client has; None if it has nothing."""
        return self._all.get(client.address, {}).get(client)

    def at(self, address: str) -> set[Client]:
        """Return the clients at an address."""
        return set(self._all.get(address, ()))

    def may_have_more(self, owner: Owner, *, wait: bool) -> bool:
        """Return whether an owner may hold one more lock, or wait for one."""
        address, cost = owner.client.address, _cost_of(owner) + SPAN_BYTES
        if self.of(owner.client) is None:
            cost += _cost_of_account(owner.client)
            if not self._names.has(address, 1):
                return False
        if not wait:
            return self._memory.has(address, cost)
        return self._memory.has(address, cost + _WAITER_BYTES) and self._waiters.has(address, 1)

    def hold(self, file: File, owner: Owner) -> Holding:
        """Make the holding of an owner that has no lock on a file yet."""
        account = self._account(owner.client)
        if owner.client is not account.client:  # share the one object: names are long
            owner = owner._replace(client=account.client)
        holding = file.holdings[owner] = Holding(account, file, owner)
        account.holdings[holding] = None
        self._memory.take(owner.client.address, _cost_of(owner))
        return holding

    def release(self, holding: Holding) -> None:
        """Remove the holding of an owner that has no lock on the file any more."""
        account, owner = holding.account, holding.owner
        del holding.file.holdings[owner], account.holdings[holding]
        self._memory.take(owner.client.address, -_cost_of(owner))
        self._close_if_empty(account)

    def count(self, holding: Holding, spans: int) -> None:
        """Count `spans` more spans of a holding."""
        self._spans += spans
        self._memory.take(holding.owner.client.address, spans * SPAN_BYTES)

    def wait(self, file: File, wanted: Lock, how: object) -> Waiter:
        """Add a waiter, behind all others."""
        order, account = next(self._orders), self._account(wanted.owner.client)
        owner = wanted.owner._replace(client=account.client)
        wanted = wanted._replace(owner=owner)
        waiter = file.waiting[wanted] = Waiter(account, file, wanted, order, how)
        account.waiters[order] = waiter
        self.waits.setdefault(owner, {})[order] = waiter
        self._memory.take(owner.client.address, _cost_of(owner) + _WAITER_BYTES)
        self._waiters.take(owner.client.address, 1)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Remove a waiter."""
        owner, order = waiter.lock.owner, waiter.order
        waiter.is_done = True
        waiter.queue.pop(order, None)
        del waiter.file.waiting[waiter.lock], waiter.account.waiters[order]
        others = self.waits[owner]
        del others[order]
        if not others:
            del self.waits[owner]
        self._memory.take(owner.client.address, -_cost_of(owner) - _WAITER_BYTES)
        self._waiters.take(owner.client.address, -1)
        self._close_if_empty(waiter.account)

    def close(self, account: Account) -> None:
        """Forget a client; the caller then releases the holdings and waiters of its account."""
        account.is_gone = True
        address = account.client.address
        self._names.take(address, -1)
        self._memory.take(address, -_cost_of_account(account.client))
        del self._all[address][account.client]
        if not self._all[address]:
            del self._all[address]

    def _account(self, client: Client) -> Account:
        accounts = self._all.setdefault(client.address, {})
        found = accounts.get(client)
        if found is None:
            found = accounts[client] = Account(client)
            self._names.take(client.address, 1)
            self._memory.take(client.address, _cost_of_account(client))
        return found

    def _close_if_empty(self, account: Account) -> None:
        if account.is_empty and not account.is_gone:
            self.close(account)


def _cost_of(owner: Owner) -> int:
    return _HOLDING_BYTES + len(owner.oh)


def _cost_of_account(client: Client) -> int:
    return _ACCOUNT_BYTES + len(client.name)
