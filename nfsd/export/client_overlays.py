"""The overlays of one export's clients: each has an upper layer of its own over the same lowers.

A client's overlay is open in one worker, the one that all its connections go to
(nfsd.process.balance), from its first call on until it has not called for a while.  It is found
by the client's address alone, or by the name that stands for that (nfsd.export.client_names): so
a handle is good after a restart without a MOUNT, and one client's handle means nothing in
the hands of another.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from nfsd.export.client_hook import MADE, RESET, prepare
from nfsd.export.client_names import ClientNames
from nfsd.export.fresh_mounts import FreshMounts
from overlay import per_client
from overlay.base.blocking import may_block
from overlay.base.errors import error
from overlay.filesystem import Overlay
from overlay.model.caches import Caches
from overlay.model.config import UNLIMITED, ConfigError, Limits, OverlayConfig

_HANDLES_SECONDS: Final = 5.0  # for which it is known what tells a client's handles
_HANDLES_KNOWN: Final = 4096
_NOTE_SECONDS: Final = 60.0  # between two times that a client's last use is recorded
IDLE_SECONDS: Final = 45.0  # after which a client's overlay is closed until it calls again


@dataclass(slots=True)
class _Open:
    """An overlay that is open."""

    overlay: Overlay
    used: float  # until then, in seconds of the monotonic clock
    noted: float  # when that was last recorded


class ClientOverlays:
    """Those that this process has open; each is opened when it is first asked for."""

    def __init__(
        self,
        path: bytes,
        layers: OverlayConfig,
        fsid: int | None,
        limit: int,
        limits: Limits = UNLIMITED,
    ) -> None:
        """`path` is the export's, `limit` how many clients may have one, `limits` what of each.

        Raises ConfigError if there can be none.
        """
        self._path = os.fsdecode(path)
        self._layers = layers
        self._fsid = fsid
        self._limit = limit
        self._limits = limits
        self._open: dict[str, _Open] = {}
        self._handles: dict[str, tuple[float, per_client.Handles | None]] = {}
        self._lock = threading.Lock()
        self._caches = Caches()
        self._names = ClientNames({})
        self._resets = False
        self._hook: str | None = None
        self._fresh: FreshMounts | None = None
        # The ids of exports that all clients see, which none of these may have.
        self.beside: frozenset[bytes] = frozenset()
        per_client.prepare(layers)

    def keep_in(self, caches: Caches) -> None:
        """Have what is opened from now on share these with other overlays."""
        self._caches = caches

    def treat(self, names: ClientNames, *, resets: bool, hook: str | None) -> None:
        """Have clients' layers called so from now on, and emptied when they mount if it `resets`.

        A `hook` prepares new ones (nfsd.export.client_hook).  All that follows is given addresses.
        """
        self._hook = hook
        self._names = names
        self._resets = resets

    def begin(self, answers: Callable[[str, int], bool]) -> None:
        """Serve in this process; see FreshMounts."""
        self._fresh = FreshMounts(self._layers, answers) if self._resets else None

    def use(self, address: str, caller: str, port: int) -> None:
        """Note that a client's overlay is used by a connection, from a `caller` and its port."""
        if self._fresh is not None:
            client = self._names.known(address)
            if client is not None:
                self._fresh.use(client, caller, port)

    def get(self, address: str) -> Overlay | None:
        """Return a client's overlay; None if it has none.

        Raises EAGAIN while another process has it, EIO if it cannot be opened.
        """
        client = self._names.of(address)
        return None if client is None else self._get(client)

    def _get(self, client: str) -> Overlay | None:
        found = self._open.get(client)
        if found is None:
            may_block()
            with self._lock:
                found = self._open.get(client) or self._opened(client)
                if found is None:
                    return None
                self._open[client] = found
        found.overlay.stays_open()
        return found.overlay

    def check_file(self, address: str, handle: bytes) -> None:
        """Raise EBADF for what is no handle of a client's, ESTALE if it was, EINVAL for no file.

        This process need not have the client's overlay open, nor can it then tell more.
        """
        client = self._names.of(address)
        if client is None:
            raise error(errno.EBADF)
        until, handles = self._handles.get(client, (0.0, None))
        if until < time.monotonic():
            may_block()
            try:
                handles = per_client.handles(self._layers, client)
            except ValueError as problem:  # its record is damaged
                raise error(errno.EIO) from problem
            if len(self._handles) >= _HANDLES_KNOWN:
                self._handles.clear()
            self._handles[client] = time.monotonic() + _HANDLES_SECONDS, handles
        if handles is None:
            raise error(errno.EBADF)
        handles.check_file(handle)

    def mount(self, address: str, *, is_asked_for: bool = False) -> Overlay:
        """A client's overlay, made if it has none; emptied first if that `is_asked_for`, and so
        configured, and the client does not use it.

        Raises EUSERS if there are too many, EACCES for a client without the name that it needs.
        """
        client = self._names.of(address)
        if client is None:
            if ONCE.first("no name", address, self._path):
                LOGGER.error(
                    "%s: export %s: refused, as it has no name: give it one in names, or at the "
                    "DHCP server whose leases are named",
                    address,
                    self._path,
                )
            raise error(errno.EACCES)
        if self._fresh is not None and is_asked_for:
            may_block()
            self._begin_anew(self._fresh, client)
        if client not in self._open:
            may_block()
            self._make(client)
        overlay = self._get(client)
        if overlay is None:
            raise error(errno.EAGAIN)  # somebody has just removed it
        if self._names.by_lease:
            per_client.note_address(overlay, address)
        return overlay

    def _begin_anew(self, fresh: FreshMounts, client: str) -> None:
        """Empty a client's layer, unless it is in use; raises EIO if that fails."""
        if not per_client.is_made(self._layers, client):
            fresh.begin(client)
            return
        if fresh.keeps(client):
            return
        with self._lock:
            if fresh.is_empty(client):
                return  # by the same MOUNT, sent twice
            opened = self._open.pop(client, None)
            if opened is not None:
                opened.overlay.let_go()
                del opened
            try:
                per_client.reset(self._layers, client, prepare(self._hook, RESET, client))
            except OSError as problem:
                if problem.errno == errno.EBUSY:
                    LOGGER.warning("%s: export %s: in use, and not emptied", client, self._path)
                    return
                LOGGER.error("%s: export %s: cannot be emptied: %s", client, self._path, problem)
                raise error(errno.EIO) from problem
            self._handles.pop(client, None)
            fresh.begin(client)
        LOGGER.info("%s: export %s: emptied, as it mounts", client, self._path)

    def _make(self, client: str) -> None:
        try:
            made = prepare(self._hook, MADE, client)
            if per_client.make(self._layers, client, self._limit, made):
                LOGGER.info("%s: export %s: its upper layer is made", client, self._path)
        except OSError as problem:
            if problem.errno != errno.EUSERS:
                LOGGER.error("%s: export %s: no upper layer: %s", client, self._path, problem)
                raise error(errno.EIO) from problem
            if ONCE.first("too many clients", client, self._path):
                LOGGER.error(
                    "%s: export %s: refused, as there are upper layers for %d clients already: "
                    "raise max_clients, or remove what is not needed (overlay-nfsd clients)",
                    client,
                    self._path,
                    self._limit,
                )
            raise

    def _opened(self, client: str) -> _Open | None:
        try:
            overlay = per_client.open_overlay(
                self._layers, client, fsid=self._fsid, caches=self._caches, limits=self._limits
            )
        except ConfigError as problem:
            if ONCE.first("client overlay", client, self._path, str(problem)):
                LOGGER.error("%s: export %s: %s", client, self._path, problem)
            cause = problem.__cause__
            busy = isinstance(cause, OSError) and cause.errno == errno.EBUSY
            raise error(errno.EAGAIN if busy else errno.EIO) from problem
        if overlay is None:
            return None
        if overlay.export_id in self.beside:
            overlay.let_go()
            if ONCE.first("client overlay", client, self._path, "copy"):
                LOGGER.error(
                    "%s: export %s: the client's workdir is a copy of that of another export: "
                    "reset the client (overlay-nfsd clients)",
                    client,
                    self._path,
                )
            raise error(errno.EIO)
        per_client.note_use(overlay)
        now = time.monotonic()
        return _Open(overlay, now, now)

    def let_go(self, active: Collection[str], now: float) -> None:
        """Close those of addresses that have not been `active` for a while; on the event loop."""
        clients = set(map(self._names.known, active))
        for client, each in list(self._open.items()):
            if client in clients:
                each.used = now
                if now - each.noted >= _NOTE_SECONDS:
                    each.noted = now
                    per_client.note_use(each.overlay)
            elif now - each.used >= IDLE_SECONDS:
                del self._open[client]
                each.overlay.let_go()

    def all(self) -> Iterator[Overlay]:
        """Yield those that are open."""
        for each in list(self._open.values()):
            yield each.overlay
