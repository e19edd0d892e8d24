"""What a client may do in each export, by the patterns that mean it, and whom it acts for.

Names are asked for aside (nfsd.export.resolver).  Rule: a client that is let in by its address
never waits for them; one that only a name may let in waits a bounded time, and is told
to come again.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from typing import Final, NamedTuple

from nfsd.export.client_match import ClientTable, Unresolved
from nfsd.export.options import ExportOptions
from nfsd.export.resolver import Groups, Resolver
from nfsd.net.address import address_of
from nfsd.rpc.program import Caller
from overlay.base.blocking import may_block
from overlay.base.credentials import INVALID_ID, Credentials
from overlay.base.errors import error

_PRIVILEGED: Final = 1024  # ports below are the client machine's root's
_LIFETIME: Final = 10.0  # seconds for which it is known what a client may do
_UNRESOLVED_LIFETIME: Final = 0.1  # the same where names are being asked for
_NAMES_WAIT: Final = 5.0  # seconds that a call waits to hear a name
_WAITERS: Final = 4  # calls that wait at a time; others are told to come again
_KNOWN: Final = 10_000  # clients


class Standing(NamedTuple):
    """What a client may do, and is shown."""

    options: tuple[ExportOptions | None, ...]  # in each export, None where it is not let in
    client: str | None  # its address, if it is let in where each client has an overlay of its own
    unresolved: tuple[int, ...] = ()  # exports that may let it in by a name not known yet

    def is_unresolved(self, positions: Collection[int] | None) -> bool:
        """Return whether one of these exports is among `unresolved`; None stands for any."""
        if positions is None:
            return bool(self.unresolved)
        return not frozenset(positions).isdisjoint(self.unresolved)


class Access:
    """Who is let into which exports, for all threads of this process."""

    def __init__(
        self,
        tables: Sequence[ClientTable[ExportOptions]],
        own: Collection[int],
        users: Resolver | None = None,
    ) -> None:
        """`tables` are those of the exports; in `own` each client has an overlay of its own.

        `users` looks up the groups of users, where not what a call says of them counts.
        """
        self._tables = tables
        self._users = users
        self._uids: dict[int, None] = {}  # of which groups were asked for, the oldest first
        self._changed = 0  # answers that the resolver has changed, as last told
        self.own = own
        # Each holds for a while, and with `unresolved` exports only until a name is known.
        self._standings: dict[tuple[str, bool], tuple[float, int, Standing]] = {}
        self._has_names = any(table.has_names for table in tables)
        # Whether there are clients whose changes are to be on the disk when they are answered.
        self.has_sync = any(options.sync for table in tables for _, options in table.rows)
        self._waiters = threading.Semaphore(_WAITERS)
        self._has_changed = False  # what a client may do, since that was last told

    def lets_in(self, address: str, port: int) -> bool | None:
        """Return whether a client may do anything in any export; None where names will tell."""
        standing = self._standing(address, is_privileged=port < _PRIVILEGED)
        if any(options is not None for options in standing.options):
            return True
        return None if standing.unresolved else False

    def standing(self, caller: Caller) -> Standing:
        """Return what the caller's machine may do, as far as names are known; never waits."""
        return self._standing(caller.address, is_privileged=caller.port < _PRIVILEGED)

    def _standing(self, address: str, *, is_privileged: bool) -> Standing:
        key = address, is_privileged
        known = self._standings.get(key)
        told = self._tables[0].resolver.told if self._has_names else 0
        holds = known is not None and known[0] > time.monotonic()
        if known is not None and holds and (known[1] == told or not known[2].unresolved):
            return known[2]
        standing = self._find(address, is_privileged=is_privileged)
        if known is not None and known[2].options != standing.options:
            self._has_changed = True
        if known is None and len(self._standings) >= _KNOWN:
            del self._standings[next(iter(self._standings))]
        lifetime = _UNRESOLVED_LIFETIME if standing.unresolved else _LIFETIME
        self._standings[key] = time.monotonic() + lifetime, told, standing
        return standing

    def _find(self, text: str, *, is_privileged: bool) -> Standing:
        address = address_of(text)
        allowed: list[ExportOptions | None] = []
        unresolved = []
        for position, table in enumerate(self._tables):
            options = None
            try:
                options = table.find(address)
            except Unresolved:
                unresolved.append(position)
            is_let_in = options is not None and (is_privileged or not options.secure)
            allowed.append(options if is_let_in else None)
        has_own = any(allowed[position] is not None for position in self.own)
        return Standing(tuple(allowed), str(address) if has_own else None, tuple(unresolved))

    def acting(self, caller: Caller, options: ExportOptions) -> Credentials:
        """Return whom a caller acts for in an export; raises EAGAIN as `resolved` does."""
        if self._users is None:
            return options.squash(caller.credentials)
        return options.squash(self._with_groups(self._users, caller.credentials))

    def _with_groups(self, users: Resolver, credentials: Credentials) -> Credentials:
        """Put the groups that this machine knows a user to be in for those that a call names.

        AUTH_SYS has room for 16.  A user that this machine does not know keeps them.
        """
        uid = credentials.uid
        if uid in (0, INVALID_ID):
            return credentials
        known = users.known(Groups(uid))
        if known is None:
            self._wait(users, partial(self._has_groups, users, uid))
            known = users.known(Groups(uid))
        if not known:
            return credentials
        return Credentials(uid, credentials.gid, frozenset(map(int, known)))

    def _has_groups(self, users: Resolver, uid: int) -> bool:
        return users.known(Groups(uid)) is not None

    def basis(self, caller: Caller) -> Hashable:
        """Return what a reply to a caller depends on, besides the overlay; never waits."""
        if self._users is None:
            return self.standing(caller)
        uid = caller.credentials.uid
        if uid not in self._uids:
            if len(self._uids) >= _KNOWN:
                del self._uids[next(iter(self._uids))]
            self._uids[uid] = None
        return self.standing(caller), self._users.known(Groups(uid))

    def resolved(self, caller: Caller, positions: Collection[int] | None = None) -> Standing:
        """Return what the caller may do when the names are known that these exports depend on.

        None stands for all.  Waits for the names `_NAMES_WAIT` seconds at most.  Raises EAGAIN
        where they are not known then, or where too many calls wait.
        """
        standing = self.standing(caller)
        if not standing.is_unresolved(positions):
            return standing
        resolver = self._tables[standing.unresolved[0]].resolver
        self._wait(resolver, partial(self._is_resolved, caller, positions))
        return self.standing(caller)

    def _wait(self, resolver: Resolver, is_known: Callable[[], bool]) -> None:
        """Wait a bounded time for what is to be known; raises EAGAIN if it is not known then."""
        may_block()
        if not self._waiters.acquire(blocking=False):
            raise error(errno.EAGAIN)
        try:
            if not resolver.wait(is_known, _NAMES_WAIT):
                raise error(errno.EAGAIN)
        finally:
            self._waiters.release()

    def _is_resolved(self, caller: Caller, positions: Collection[int] | None) -> bool:
        return not self.standing(caller).is_unresolved(positions)

    def look_again(self, addresses: Collection[str]) -> bool:
        """Look again at what clients may do, as names may lead elsewhere by now.

        So names are asked for again, too, before an idle client needs them.  Return whether
        something has changed since this was last asked.
        """
        for address in addresses if self._has_names else ():
            for is_privileged in (True, False):
                if (address, is_privileged) in self._standings:
                    self._standing(address, is_privileged=is_privileged)
        if self._users is not None:
            for uid in list(self._uids):
                self._users.known(Groups(uid))
            self._has_changed = self._has_changed or self._users.changed != self._changed
            self._changed = self._users.changed
        has_changed, self._has_changed = self._has_changed, False
        return has_changed
