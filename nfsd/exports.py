"""What is exported to whom, and which export a handle or a path belongs to.

Whoever calls is let into an export only by its options for that client: they say
whether he may write, from which ports he may call, and whom he acts for.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NoReturn, TypeAlias, TypeVar, overload

from nfsd.access import Access, Standing
from nfsd.client_overlays import ClientOverlays
from nfsd.clients import ClientTable
from nfsd.export_options import ExportOptions
from nfsd.log import LOGGER, ONCE, shown
from nfsd.mount_path import components, walk
from nfsd.program import Caller
from nfsd.pseudo_root import EXPORT_ID, PseudoRoot, SeenRoot
from nfsd.resolver import Resolver, address_of
from overlay.blocking import may_block
from overlay.credentials import Credentials
from overlay.descriptor import Fd
from overlay.errors import Cause, WouldBlock, error
from overlay.filesystem import Overlay
from overlay.node import Node

_ANYBODY: Final = Credentials(65534, 65534)  # of a machine, where the user does not matter


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """One overlay under one name, or one for each client."""

    path: bytes  # as clients mount it: absolute, without a slash at the end but for the root
    overlay: Overlay | ClientOverlays
    clients: ClientTable[ExportOptions]


# What a client may see anything of: an overlay, or the directories above all of them.
Readable: TypeAlias = Overlay | SeenRoot
F = TypeVar("F", bound=Readable)
# An object in an export, and whom the caller acts for there.
Entered: TypeAlias = tuple[F, Node, Credentials]


def _uncounted(_: Cause) -> None:
    """Nobody wants to know."""


def _depth(export: Export) -> int:
    return len(components(export.path))


class Exports:
    """All exports of one server, the most deeply nested first."""

    def __init__(
        self,
        exports: Iterable[Export],
        count_stale: Callable[[Cause], None] = _uncounted,
        users: Resolver | None = None,
    ) -> None:
        """`count_stale` is told of each stale handle; `users`: see Access."""
        ordered = sorted(exports, key=_depth, reverse=True)
        self.all: tuple[Export, ...] = tuple(ordered)
        self._position = {
            export.overlay.export_id: position
            for position, export in enumerate(self.all)
            if isinstance(export.overlay, Overlay)
        }
        paths = [tuple(components(export.path)) for export in self.all]
        self._above = None if () in paths else PseudoRoot(paths)
        self._own = [
            (position, export.overlay)
            for position, export in enumerate(self.all)
            if isinstance(export.overlay, ClientOverlays)
        ]
        for _, overlays in self._own:
            overlays.beside = frozenset(self._position)
        self._count_stale = count_stale
        # Whether there are clients whose changes are to be on the disk when they are answered.
        self.has_sync = any(
            options.sync for export in self.all for _, options in export.clients.rows
        )
        own = [position for position, _ in self._own]
        self.access = Access([export.clients for export in self.all], own, users)

    def lets_in(self, address: str, port: int) -> bool | None:
        """Whether a client may do anything in any export; None where names will tell."""
        standing = self.access.standing(Caller(address, port, b"", _ANYBODY))
        if any(options is not None for options in standing.options):
            return True
        return None if standing.unresolved else False

    @overload
    def enter(self, caller: Caller, handle: bytes) -> Entered[Readable]: ...

    @overload
    def enter(self, caller: Caller, handle: bytes, *, write: Literal[True]) -> Entered[Overlay]: ...

    def enter(self, caller: Caller, handle: bytes, *, write: bool = False) -> Entered[Any]:
        """The object of a handle, for a caller who is let in.

        Raises EBADF if no export knows the handle, ESTALE, EACCES for a client that
        is not let in, EROFS for one that may not `write`.
        """
        if Overlay.export_of(handle) == EXPORT_ID:
            return self._enter_above(caller, handle, write=write)
        overlay, options = self._place(caller, handle)
        node = overlay.resolve(handle)
        if write:
            if options.read_only:
                raise error(errno.EROFS)
            if options.sync:
                may_block()  # it ends with a wait for the disk
        return overlay, node, self.access.acting(caller, options)

    def _enter_above(self, caller: Caller, handle: bytes, *, write: bool) -> Entered[Readable]:
        """A directory above the exports."""
        if self._above is None:
            raise error(errno.EBADF)
        seen = self._seen(caller, self._above)
        node = seen.resolve(handle)
        if write:
            raise error(errno.EROFS)
        return seen, node, caller.credentials

    def _seen(self, caller: Caller, above: PseudoRoot) -> SeenRoot:
        options = self.access.resolved(caller).options
        let_in = [at for at, each in enumerate(options) if each is not None]
        return above.seen(let_in, partial(self._root, caller))

    def _root(self, caller: Caller, position: int) -> Node:
        return self.mounted(caller, position).root

    def walk(self, caller: Caller, path: bytes) -> Node:
        """What is at `path`, in an export or above them; see nfsd.mount_path for links.

        Raises ENOENT, EINVAL if the path is not absolute, EACCES if it goes up or leads
        where the caller is not let in, ELOOP, EUSERS as `mounted`.
        """
        position, names = self._find(path)
        if position is None:
            assert self._above is not None
            return self._seen(caller, self._above).directory(tuple(names))
        overlay = self.mounted(caller, position, is_asked_for=not names)
        return walk(overlay, self.all[position].path, names)

    def _place(self, caller: Caller, handle: bytes) -> tuple[Overlay, ExportOptions]:
        """The overlay that a handle is of, and what the caller may do in it."""
        standing = self.access.standing(caller)
        position = self._position.get(Overlay.export_of(handle))
        if standing.unresolved:
            standing = self._resolved(caller, position)
        if position is None:
            return self._own_place(standing, handle, caller)
        overlay, options = self.all[position].overlay, standing.options[position]
        if options is None:
            self._refuse(caller, position)
        assert isinstance(overlay, Overlay)
        return overlay, options

    def _resolved(self, caller: Caller, position: int | None) -> Standing:
        """What the caller may do in an export, or else where each client has an overlay."""
        own = [each for each, _ in self._own]
        return self.access.resolved(caller, own if position is None else (position,))

    def _own_place(
        self, standing: Standing, handle: bytes, caller: Caller
    ) -> tuple[Overlay, ExportOptions]:
        """The same for a handle of the caller's own overlay."""
        is_retired = False
        for position, overlays in self._own:
            options = standing.options[position]
            if options is None or standing.client is None:
                continue
            overlay = overlays.get(standing.client)
            if overlay is None:
                continue
            if overlay.export_id == Overlay.export_of(handle):
                overlays.use(standing.client, caller.address, caller.port)
                return overlay, options
            is_retired = is_retired or Overlay.export_of(handle) in overlay.retired_ids
        raise error(errno.ESTALE if is_retired else errno.EBADF)

    def open_upper(self, handle: bytes) -> Fd | None:
        """The upper inode of a file that all workers have, opened; None if there is none.

        None, too, where it would have to be waited for.
        """
        position = self._position.get(Overlay.export_of(handle))
        overlay = None if position is None else self.all[position].overlay
        if not isinstance(overlay, Overlay):
            return None
        with suppress(OSError, WouldBlock):
            return overlay.open_upper(overlay.resolve(handle))
        return None

    def is_own(self, caller: Caller, handle: bytes) -> bool:
        """Whether a handle can only be of an overlay that the caller alone has."""
        export = Overlay.export_of(handle)
        if export in self._position or export == EXPORT_ID:
            return False
        return self._resolved(caller, None).client is not None

    def check_own(self, caller: Caller, handle: bytes) -> None:
        """Raise EBADF, ESTALE or EINVAL unless this is a file of the caller's own overlay.

        Which another process has open: what else it may be is not known here.
        """
        standing, problem = self.access.standing(caller), error(errno.EBADF)
        for position, overlays in self._own:
            if standing.options[position] is None or standing.client is None:
                continue
            try:
                return overlays.check_file(standing.client, handle)
            except OSError as found:
                if found.errno != errno.EBADF:
                    problem = found
        raise problem

    def begin(self, answers: Callable[[str, int], bool]) -> None:
        """Serve in this process, where `answers` says whether a client has a connection still."""
        for _, overlays in self._own:
            overlays.begin(answers)

    def mounted(self, caller: Caller, position: int, *, is_asked_for: bool = False) -> Overlay:
        """The overlay of an export for a caller who mounts it; his own is made if need be.

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
        """The overlays of single clients that are open in this process."""
        return [overlay for _, overlays in self._own for overlay in overlays.all()]

    def attend(self, active: Collection[str], connected: Collection[str]) -> bool:
        """Close the overlays of clients that have not been active for a while.

        Return whether a client that is connected may do something else than it might, as a
        name leads elsewhere by now.
        """
        if self._own:
            clients = {str(address_of(address)) for address in active}
            for _, overlays in self._own:
                overlays.let_go(clients, time.monotonic())
        return self.access.look_again(connected)

    def _refuse(self, caller: Caller, position: int) -> NoReturn:
        path = self.all[position].path
        if ONCE.first("not let in", caller.address, path):
            LOGGER.warning("%s %s: not let in", caller.address, shown(path))
        raise error(errno.EACCES)

    def _export_of(self, caller: Caller, handle: bytes) -> Export | None:
        """The export that a handle is of; where each client has a layer, if it is the caller's."""
        position = self._position.get(Overlay.export_of(handle))
        if position is not None:
            return self.all[position]
        client = self.access.standing(caller).client
        for position, overlays in self._own:
            overlay = None if client is None else overlays.get(client)
            if overlay is not None and overlay.export_id == Overlay.export_of(handle):
                return self.all[position]
        return None

    def where(self, caller: Caller, handle: bytes) -> str:
        """What people call the object of a handle: its path, if one is known."""
        if Overlay.export_of(handle) == EXPORT_ID:
            return "(above the exports)"
        export, found = None, None
        with suppress(OSError, WouldBlock):
            export = self._export_of(caller, handle)
            found = self._place(caller, handle)[0].where(handle)
        if export is None:
            return "(no handle of ours)"
        if found is None:
            return f"{shown(export.path)} (handle {handle.hex()})"
        return shown(b"/" + b"/".join(components(export.path) + components(found)))

    def stale(self, caller: Caller, handles: Iterable[bytes]) -> None:
        """Count and log why a call with these handles was told that one of them is stale."""
        cause, where = Cause.PASSED, "?"
        for handle in handles:
            if cause is Cause.PASSED:
                export = self._export_of(caller, handle)
                where = where if export is None else shown(export.path)
                with suppress(OSError):
                    cause = self._place(caller, handle)[0].why_stale(handle)
        self._count_stale(cause)
        if ONCE.first("stale", caller.address, where, cause):
            LOGGER.info("%s %s: a stale file handle: %s", caller.address, where, cause.value)

    def may_write(self, caller: Caller, handle: bytes) -> bool:
        """Whether a caller may change anything in the export of a handle at all."""
        if Overlay.export_of(handle) == EXPORT_ID:
            return False
        overlay, options = self._place(caller, handle)
        return not options.read_only and not overlay.read_only

    def settle(self, caller: Caller, handles: Iterable[bytes]) -> None:
        """Bring a change of these objects to stable storage, unless the export is `async`."""
        for handle in handles:
            overlay, options = self._place(caller, handle)
            if options.sync:
                overlay.settle(handle)

    def _find(self, path: bytes) -> tuple[int | None, list[bytes]]:
        """The position of the export that holds `path`, and the names left to walk below it.

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
