"""Locks that were granted to waiting owners, until the client has confirmed them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from nfsd.lock.types import Client, Lock, Owner

_COOKIE_BYTES: Final = 8  # so many that no other client can guess them
_AT_ONCE: Final = 32
K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")


class How(NamedTuple):
    """How a client has asked for a lock, and how it is notified."""

    version: int  # of NLM
    by_message: bool  # whether by GRANTED_MSG


@dataclass(slots=True, eq=False)
class Grant:
    """One granted lock that the client has not confirmed."""

    handle: bytes
    lock: Lock
    how: How
    cookie: bytes = field(default_factory=lambda: secrets.token_bytes(_COOKIE_BYTES))
    told: int = 0  # how many times

    def count(self) -> None:
        """Record that the client is notified now."""
        self.told += 1


class Grants:
    """All grants."""

    def __init__(self, closed: Callable[[Grant], None]) -> None:
        """`closed` is called with each grant that is removed."""
        self._closed = closed
        self._by_owner: dict[tuple[bytes, Owner], dict[Lock, Grant]] = {}
        self._by_cookie: dict[bytes, Grant] = {}
        self._by_client: dict[Client, dict[Grant, None]] = {}

    def add(self, grant: Grant) -> None:
        """Add a grant, instead of one for the same lock."""
        self.pop(grant.handle, grant.lock)
        self._by_cookie[grant.cookie] = grant
        owner = grant.lock.owner
        self._by_owner.setdefault((grant.handle, owner), {})[grant.lock] = grant
        self._by_client.setdefault(owner.client, {})[grant] = None

    def pop(self, handle: bytes, lock: Lock) -> Grant | None:
        """Remove and return the grant for a lock; None if there is none."""
        found = self._by_owner.get((handle, lock.owner), {}).get(lock)
        if found is not None:
            self.remove(found)
        return found

    def remove(self, grant: Grant) -> None:
        """Remove a grant."""
        owner = grant.lock.owner
        del self._by_cookie[grant.cookie]
        _drop(self._by_owner, (grant.handle, owner), grant.lock)
        _drop(self._by_client, owner.client, grant)
        self._closed(grant)

    def is_open(self, grant: Grant) -> bool:
        """Return whether a grant has not been removed."""
        return grant.cookie in self._by_cookie

    def with_cookie(self, cookie: bytes) -> Grant | None:
        """Return the grant whose message has this cookie."""
        return self._by_cookie.get(cookie)

    def free(self, client: Client) -> None:
        """Remove all grants of a client."""
        for grant in list(self._by_client.get(client, ())):
            self.remove(grant)

    def look_through(self, handle: bytes, owner: Owner, holds: Callable[[Lock], bool]) -> None:
        """Remove grants that their owner holds no more; each call checks a few of them."""
        own = self._by_owner.get((handle, owner), {})
        for lock in list(islice(own, _AT_ONCE)):
            if holds(lock):
                own[lock] = own.pop(lock)
            else:
                self.remove(own[lock])

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._by_cookie.values())


def _drop(found: dict[K, dict[V, W]], key: K, value: V) -> None:
    del found[key][value]
    if not found[key]:
        del found[key]
