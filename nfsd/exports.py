"""What is exported to whom, and which export a handle or a path belongs to.

Whoever calls is let into an export only by its options for that client: they say
whether he may write, from which ports he may call, and whom he acts for.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

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
    """One overlay under one name."""

    path: bytes  # as clients mount it: absolute, without a slash at the end but for the root
    overlay: Overlay
    clients: ClientTable[ExportOptions]


# The options that a client has in each export, None where it is not let in.
Standing: TypeAlias = tuple[ExportOptions | None, ...]


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
            export.overlay.root.handle[_EXPORT_ID]: i for i, export in enumerate(self.all)
        }
        # Whether there are clients whose changes are to be on the disk when they are answered.
        self.has_sync = any(
            options.sync for export in self.all for _, options in export.clients.rows
        )
        self._standings: dict[tuple[str, bool], tuple[float, Standing]] = {}

    def standing(self, caller: Caller) -> Standing:
        """What the caller's machine may do; raises WouldBlock where names have to be asked for."""
        key = caller.address, caller.port < _PRIVILEGED
        known = self._standings.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        address, is_privileged = address_of(caller.address), key[1]
        found = [export.clients.find(address) for export in self.all]
        standing = tuple(
            options if options and (is_privileged or not options.secure) else None
            for options in found
        )
        if len(self._standings) >= _KNOWN:
            self._standings.clear()
        self._standings[key] = time.monotonic() + _LIFETIME, standing
        return standing

    def enter(self, caller: Caller, handle: bytes, *, write: bool = False) -> Entered:
        """The object of a handle, for a caller who is let in.

        Raises EBADF if no export knows the handle, ESTALE, EACCES for a client that
        is not let in, EROFS for one that may not `write`.
        """
        position = self._position.get(handle[_EXPORT_ID])
        if position is None:
            raise error(errno.EBADF)
        overlay, options = self.all[position].overlay, self.standing(caller)[position]
        if options is None:
            raise error(errno.EACCES)
        node = overlay.resolve(handle)
        if write:
            if options.read_only:
                raise error(errno.EROFS)
            if options.sync:
                may_block()  # it ends with a wait for the disk
        return Entered(overlay, node, options.squash(caller.credentials))

    def may_write(self, caller: Caller, overlay: Overlay) -> bool:
        """Whether a caller may change anything in an export at all."""
        position = self._position[overlay.root.handle[_EXPORT_ID]]
        options = self.standing(caller)[position]
        return options is not None and not options.read_only and not overlay.read_only

    def settle(self, caller: Caller, handles: Iterable[bytes]) -> None:
        """Bring a change of these objects to stable storage, unless the export is `async`."""
        standing = self.standing(caller)
        for handle in handles:
            position = self._position[handle[_EXPORT_ID]]
            options = standing[position]
            if options is not None and options.sync:
                self.all[position].overlay.settle(handle)

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
