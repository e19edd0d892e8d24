"""What people are told of calls: paths for the handles in them, and why a handle is stale."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from nfsd.base.log import LOGGER, ONCE, shown
from nfsd.export.exports import Exports
from nfsd.export.mount_path import components
from nfsd.export.pseudo_root import EXPORT_ID
from nfsd.rpc.program import Caller
from overlay.base.errors import WouldBlock
from overlay.filesystem import Overlay
from overlay.model.outcomes import Cause


def _uncounted(_: Cause) -> None:
    """Nobody wants to know."""


class Diagnostics:
    """Of the calls to these exports; `count_stale` is told of each stale handle."""

    def __init__(self, exports: Exports, count_stale: Callable[[Cause], None] = _uncounted) -> None:
        self._exports = exports
        self._count_stale = count_stale

    def where(self, caller: Caller, handle: bytes) -> str:
        """Return what people call the object of a handle: its path, if one is known."""
        if Overlay.export_of(handle) == EXPORT_ID:
            return "(above the exports)"
        export, found = self._exports.shared(handle), None
        with suppress(OSError, WouldBlock):
            overlay, export, _ = self._exports.overlay_of(caller, handle)
            found = overlay.where(handle)
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
                export = self._exports.shared(handle)
                with suppress(OSError):
                    overlay, export, _ = self._exports.overlay_of(caller, handle)
                    cause = overlay.why_stale(handle)
                where = where if export is None else shown(export.path)
        self._count_stale(cause)
        if ONCE.first("stale", caller.address, where, cause):
            LOGGER.info("%s %s: a stale file handle: %s", caller.address, where, cause.value)
