"""What is exported to whom, and which export a handle or a path belongs to.

Whoever calls is let into an export only by its options for that client: they say
whether he may write, from which ports he may call, and whom he acts for.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from nfsd.client_overlays import ClientOverlays
from nfsd.clients import ClientTable, address_of
from nfsd.export_options import ExportOptions
from nfsd.program import Caller
from overlay.blocking import may_block
from overlay.credentials import Credentials
from overlay.errors import error
from overlay.filesystem import Overlay
from overlay.node import Node

_PRIVILEGED: Final = 1024  # ports below are the client machine's root's
_LIFETIME: Final = 60.0  # seconds for which it is known what a client may do
_KNOWN: Final = 10_000  # clients
_EXPORT_ID: Final = slice(4, 8)  # of a handle (index.identity)


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """One overlay under one name, or one for each client."""

    path: bytes  # as clients mount it: absolute, without a slash at the end but for the root
    overlay: Overlay | ClientOverlays
    clients: ClientTable[ExportOptions]


class Standing(NamedTuple):
    """What a client may do, and is shown."""

    options: tuple[ExportOptions | None, ...]  # in each export, None where it is not let in
    client: str | None  # its address, if it is let in where each client has an overlay of its own


class Entered(NamedTuple):
    """An object in an export, and whom the caller acts for there."""

    overlay: Overlay
    node: Node
    credentials: Credentials


class Exports:
    """All exports of one server, the most deeply nested first."""

    def __init__(self, exports: Iterable[Export]) -> None:
        ordered = sorted(exports, key=lambda export: len(components(export.path)), reverse=True)
        self.all: tuple[Export, ...] = tuple(ordered)
        self._position = {
            export.overlay.export_id: position
            for position, export in enumerate(self.all)
            if isinstance(export.overlay, Overlay)
        }
        self._own = [
            (position, export.overlay)
            for position, export in enumerate(self.all)
            if isinstance(export.overlay, ClientOverlays)
        ]
        self._standings: dict[tuple[str, bool], tuple[float, Standing]] = {}

    def standing(self, caller: Caller) -> Standing:
        """What the caller's machine may do; raises WouldBlock where names have to be asked for."""
        key = caller.address, caller.port < _PRIVILEGED
        known = self._standings.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        address, is_privileged = address_of(caller.address), key[1]
        found = [export.clients.find(address) for export in self.all]
        allowed = tuple(
            options if options and (is_privileged or not options.secure) else None
            for options in found
        )
        has_own = any(allowed[position] is not None for position, _ in self._own)
        standing = Standing(allowed, str(address) if has_own else None)
        if len(self._standings) >= _KNOWN:
            self._standings.clear()
        self._standings[key] = time.monotonic() + _LIFETIME, standing
        return standing

    def enter(self, caller: Caller, handle: bytes, *, write: bool = False) -> Entered:
        """The object of a handle, for a caller who is let in.

        Raises EBADF if no export knows the handle, ESTALE, EACCES for a client that
        is not let in, EROFS for one that may not `write`.
        """
        overlay, options = self._place(caller, handle)
        node = overlay.resolve(handle)
        if write:
            if options.read_only:
                raise error(errno.EROFS)
            if options.sync:
                may_block()  # it ends with a wait for the disk
        return Entered(overlay, node, options.squash(caller.credentials))

    def _place(self, caller: Caller, handle: bytes) -> tuple[Overlay, ExportOptions]:
        """The overlay that a handle is of, and what the caller may do in it."""
        standing = self.standing(caller)
        position = self._position.get(handle[_EXPORT_ID])
        if position is None:
            return self._own_place(standing, handle)
        overlay, options = self.all[position].overlay, standing.options[position]
        if options is None:
            raise error(errno.EACCES)
        assert isinstance(overlay, Overlay)
        return overlay, options

    def _own_place(self, standing: Standing, handle: bytes) -> tuple[Overlay, ExportOptions]:
        """The same for a handle of the caller's own overlay."""
        is_retired = False
        for position, overlays in self._own:
            options = standing.options[position]
            if options is None or standing.client is None:
                continue
            overlay = overlays.get(standing.client)
            if overlay is None:
                continue
            if overlay.export_id == handle[_EXPORT_ID]:
                return overlay, options
            is_retired = is_retired or handle[_EXPORT_ID] in overlay.retired_ids
        raise error(errno.ESTALE if is_retired else errno.EBADF)

    def mounted(self, caller: Caller, position: int) -> Overlay:
        """The overlay of an export for a caller who mounts it; his own is made if need be.

        Raises EACCES for a client that is not let in, EUSERS if too many have their own.
        """
        overlay, standing = self.all[position].overlay, self.standing(caller)
        if standing.options[position] is None:
            raise error(errno.EACCES)
        if isinstance(overlay, Overlay):
            return overlay
        assert standing.client is not None
        return overlay.mount(standing.client)

    def own_overlays(self) -> Iterator[Overlay]:
        """The overlays of single clients that are open in this process."""
        for _, overlays in self._own:
            yield from overlays.all()

    def attend(self, addresses: Collection[str]) -> None:
        """Clients at these addresses are active; close what others have not used for a while."""
        if not self._own:
            return
        clients = {str(address_of(address)) for address in addresses}
        for _, overlays in self._own:
            overlays.let_go(clients, time.monotonic())

    def may_write(self, caller: Caller, handle: bytes) -> bool:
        """Whether a caller may change anything in the export of a handle at all."""
        overlay, options = self._place(caller, handle)
        return not options.read_only and not overlay.read_only

    def settle(self, caller: Caller, handles: Iterable[bytes]) -> None:
        """Bring a change of these objects to stable storage, unless the export is `async`."""
        for handle in handles:
            overlay, options = self._place(caller, handle)
            if options.sync:
                overlay.settle(handle)

    def find(self, path: bytes) -> tuple[int, list[bytes]]:
        """The position of the export that holds `path`, and the names left to walk below it.

        Raises ENOENT, EINVAL if the path is not absolute, EACCES if it goes up.
        """
        if not path.startswith(b"/"):
            raise error(errno.EINVAL)
        names = components(path)
        if b".." in names:
            raise error(errno.EACCES)
        for position, export in enumerate(self.all):
            above = components(export.path)
            if names[: len(above)] == above:
                return position, names[len(above) :]
        raise error(errno.ENOENT)


def components(path: bytes) -> list[bytes]:
    """The names in a path."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]
