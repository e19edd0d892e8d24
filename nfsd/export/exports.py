"""Which export a handle or a path belongs to, and which overlay it is there.

A client is let into an export only by the export's options for that client (nfsd.export.access).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NoReturn, TypeAlias, TypeVar, overload

from nfsd.base.log import LOGGER, ONCE, shown
from nfsd.export.access import Access, Standing
from nfsd.export.client_match import ClientTable
from nfsd.export.client_overlays import ClientOverlays
from nfsd.export.filesystem import Filesystem
from nfsd.export.mount_path import components, walk
from nfsd.export.options import ExportOptions
from nfsd.export.pseudo_root import EXPORT_ID, PseudoRoot, SeenRoot
from nfsd.export.resolver import Resolver
from nfsd.net.address import address_of
from nfsd.rpc.program import Caller
from overlay.base.blocking import may_block
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.filesystem import Overlay
from overlay.model.node import Node

_NUMBERS_MAX: Final = 10_000  # of overlays whose number is known


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """One overlay under one name, or one for each client."""

    path: bytes  # as clients mount it: absolute, without a slash at the end but for the root
    overlay: Overlay | ClientOverlays
    clients: ClientTable[ExportOptions]
    number: int = 0  # what its calls are counted under (nfsd.rpc.export_stats)


# Every Filesystem that there is.  By their classes, as compiled code calls the methods of
# Overlay directly then; those of a Protocol it looks up by name.
Readable: TypeAlias = Overlay | SeenRoot
F = TypeVar("F", bound=Filesystem)
# An object in an export, and whom the caller acts for there.
Entered: TypeAlias = tuple[F, Node, Credentials]


def _depth(export: Export) -> int:
    return len(components(export.path))


class Exports:
    """All exports of one server, the most deeply nested first."""

    def __init__(self, exports: Iterable[Export], users: Resolver | None = None) -> None:
        """`users`: see Access."""
        ordered = sorted(exports, key=_depth, reverse=True)
        self.all: tuple[Export, ...] = tuple(ordered)
        self._position = {
            export.overlay.export_id: position
            for position, export in enumerate(self.all)
            if isinstance(export.overlay, Overlay)
        }
        # By what their handles begin with: what all see, and clients' own that were met here.
        self._numbers = self._shared_numbers()
        paths = [tuple(components(export.path)) for export in self.all]
        self._above = None if () in paths else PseudoRoot(paths)
        # Where each client has an overlay of its own.
        self.own = [
            (position, export.overlay)
            for position, export in enumerate(self.all)
            if isinstance(export.overlay, ClientOverlays)
        ]
        for _, overlays in self.own:
            overlays.beside = frozenset(self._position)
        own = [position for position, _ in self.own]
        self.access = Access([export.clients for export in self.all], own, users)

    def _shared_numbers(self) -> dict[bytes, int]:
        return {export: self.all[position].number for export, position in self._position.items()}

    def number(self, handle: bytes) -> int:
        """Return what a call with this handle is counted under.

        Of a client's own overlay that is known once the client was let in.
        """
        return self._numbers.get(Overlay.export_of(handle), 0)

    def shared(self, handle: bytes) -> Export | None:
        """Return the export that a handle is of; None where each client has an overlay."""
        position = self._position.get(Overlay.export_of(handle))
        return None if position is None else self.all[position]

    @overload
    def enter(self, caller: Caller, handle: bytes) -> Entered[Readable]: ...

    @overload
    def enter(self, caller: Caller, handle: bytes, *, write: Literal[True]) -> Entered[Overlay]: ...

    def enter(self, caller: Caller, handle: bytes, *, write: bool = False) -> Entered[Any]:
        """Return the object of a handle, for a caller that is let in.

        Raises EBADF if no export knows the handle, ESTALE, EACCES for a client that
        is not let in, EROFS for one that may not `write`.
        """
        if self._above is not None and Overlay.export_of(handle) == EXPORT_ID:
            return self._enter_above(self._above, caller, handle, write=write)
        overlay, _, options = self.overlay_of(caller, handle)
        node = overlay.resolve(handle)
        if write:
            if options.read_only:
                raise error(errno.EROFS)
            if options.sync:
                may_block()  # it ends with a wait for the disk
        return overlay, node, self.access.acting(caller, options)

    def enter_with_rights(
        self, caller: Caller, handle: bytes
    ) -> tuple[Readable, Node, Credentials, bool]:
        """Return what `enter` does, and whether the caller may change anything there at all."""
        if self._above is not None and Overlay.export_of(handle) == EXPORT_ID:
            return *self._enter_above(self._above, caller, handle, write=False), False
        overlay, _, options = self.overlay_of(caller, handle)
        node, may_write = overlay.resolve(handle), not options.read_only and not overlay.read_only
        return overlay, node, self.access.acting(caller, options), may_write

    def _enter_above(
        self, above: PseudoRoot, caller: Caller, handle: bytes, *, write: bool
    ) -> Entered[Readable]:
        """Return a directory above the exports."""
        seen = self._seen(caller, above)
        node = seen.resolve(handle)
        if write:
            raise error(errno.EROFS)
        return seen, node, caller.credentials

    def _seen(self, caller: Caller, above: PseudoRoot) -> SeenRoot:
        options = self.access.resolved(caller).options
        let_in = [at for at, each in enumerate(options) if each is not None]
        return above.seen(let_in, partial(self._root, caller))

    def _root(self, caller: Caller, position: int) -> Node:
        return self._mounted(caller, position).root

    def walk(self, caller: Caller, path: bytes) -> Node:
        """Return what is at `path`, in an export or above them.

        See nfsd.export.mount_path for links.

        Raises ENOENT, EINVAL if the path is not absolute, EACCES if it goes up or leads
        where the caller is not let in, ELOOP, EUSERS as `_mounted`.
        """
        position, names = self._find(path)
        if position is None:
            assert self._above is not None
            return self._seen(caller, self._above).directory(tuple(names))
        overlay = self._mounted(caller, position, is_asked_for=not names)
        return walk(overlay, self.all[position].path, names)

    def overlay_of(self, caller: Caller, handle: bytes) -> tuple[Overlay, Export, ExportOptions]:
        """Return the overlay and export that a handle is of, and what the caller may do there.

        Raises what `enter` does.
        """
        standing = self.access.standing(caller)
        position = self._position.get(Overlay.export_of(handle))
        if standing.unresolved:
            needed = self.access.own if position is None else (position,)
            standing = self.access.resolved(caller, needed)
        if position is None:
            return self._own_overlay(standing, handle, caller)
        export, options = self.all[position], standing.options[position]
        if options is None:
            _refuse(caller, export)
        overlay = export.overlay
        assert isinstance(overlay, Overlay)
        return overlay, export, options

    def _own_overlay(
        self, standing: Standing, handle: bytes, caller: Caller
    ) -> tuple[Overlay, Export, ExportOptions]:
        """Return the same for a handle of the caller's own overlay."""
        export_id, is_retired = Overlay.export_of(handle), False
        if export_id == EXPORT_ID:
            raise error(errno.EBADF)  # no overlay has it, so none need be opened
        for position, overlays in self.own:
            options = standing.options[position]
            if options is None or standing.client is None:
                continue
            overlay = overlays.get(standing.client)
            if overlay is None:
                continue
            if overlay.export_id == export_id:
                overlays.use(standing.client, caller.address, caller.port)
                export = self.all[position]
                self._numbers[export_id] = export.number
                return overlay, export, options
            is_retired = is_retired or export_id in overlay.retired_ids
        raise error(errno.ESTALE if is_retired else errno.EBADF)

    def begin(self, answers: Callable[[str, int], bool]) -> None:
        """Serve in this process, where `answers` says whether a client has a connection still."""
        for _, overlays in self.own:
            overlays.begin(answers)

    def _mounted(self, caller: Caller, position: int, *, is_asked_for: bool = False) -> Overlay:
        """Return the overlay of an export for a caller that mounts it; its own is made if need be.

        Or emptied, where that is configured and the export itself `is_asked_for`.

        Raises EACCES for a client that is not let in, EUSERS if too many have their own.
        """
        overlay, standing = self.all[position].overlay, self.access.resolved(caller, (position,))
        if standing.options[position] is None:
            raise error(errno.EACCES)
        if isinstance(overlay, Overlay):
            return overlay
        assert standing.client is not None
        return overlay.mount(standing.client, is_asked_for=is_asked_for)

    def own_overlays(self) -> list[Overlay]:
        """Return the overlays of single clients that are open in this process."""
        return [overlay for _, overlays in self.own for overlay in overlays.all()]

    def attend(self, active: Collection[str], connected: Collection[str]) -> bool:
        """Close the overlays of clients that have not been active for a while.

        Return whether a client that is connected may do something else than it might, as a
        name leads elsewhere by now.
        """
        if self.own:
            clients = {str(address_of(address)) for address in active}
            for _, overlays in self.own:
                overlays.let_go(clients, time.monotonic())
            if len(self._numbers) > _NUMBERS_MAX:
                self._numbers = self._shared_numbers()
        return self.access.look_again(connected)

    def _find(self, path: bytes) -> tuple[int | None, list[bytes]]:
        """Return the position of the export that holds `path`, and the names left to walk below it.

        None, and all names, for a directory above the exports.
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
        if self._above is None or not self._above.has(tuple(names)):
            raise error(errno.ENOENT)
        return None, names


def _refuse(caller: Caller, export: Export) -> NoReturn:
    if ONCE.first("not let in", caller.address, export.path):
        LOGGER.warning("%s %s: not let in", caller.address, shown(export.path))
    raise error(errno.EACCES)
