"""Which callers may lock, unlock, and speak for a machine: all procedures of NLM and NSM ask here.

Rule: a call that is refused has changed nothing.  Users of a client's machine that are not its root
call from other ports, so they have no rights where an export is `secure`.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Final

from index.linux.fd import Fd
from nfsd.export.exports import Exports
from nfsd.export.pseudo_root import EXPORT_ID
from nfsd.rpc.program import Caller
from nfsd.xdr.generated.nlm4 import NLM4_FAILED, NLM4_GRANTED, NLM4_STALE_FH
from overlay.base.errors import WouldBlock, error
from overlay.filesystem import Overlay

_OF_ERRNO: Final = {errno.ESTALE: NLM4_STALE_FH, errno.EBADF: NLM4_STALE_FH}
_ROOTS_PORT: Final = 1


class LockAccess:
    """What callers may do with the locks of these exports."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports

    def is_own(self, caller: Caller, handle: bytes) -> bool:
        """Return whether a handle, if it is valid, is of the caller's own overlay."""
        exports = self._exports
        if exports.shared(handle) is not None or Overlay.export_of(handle) == EXPORT_ID:
            return False
        return exports.access.resolved(caller, exports.access.own).client is not None

    def _check_own(self, caller: Caller, handle: bytes) -> None:
        """Raise EBADF, ESTALE or EINVAL unless this is a file of the caller's own overlay.

        Another process has that open, so nothing else of the file is known here.
        """
        standing, problem = self._exports.access.standing(caller), error(errno.EBADF)
        for position, overlays in self._exports.own:
            if standing.options[position] is None or standing.client is None:
                continue
            try:
                return overlays.check_file(standing.client, handle)
            except OSError as found:
                if found.errno != errno.EBADF:
                    problem = found
        raise problem

    def open_upper(self, handle: bytes) -> Fd | None:
        """Return the upper inode of a file of a shared overlay, opened; None if there is none.

        None, too, if opening it would block.
        """
        export = self._exports.shared(handle)
        if export is None or not isinstance(export.overlay, Overlay):
            return None
        with suppress(OSError, WouldBlock):
            return export.overlay.open_upper(export.overlay.resolve(handle))
        return None

    def to_lock(self, caller: Caller, handle: bytes) -> int:
        """Return NLM4_GRANTED for a regular file that the caller owns, or may read or write.

        Only the worker that has a client's own overlay open knows more of a file in it than its
        handle says: that it is no directory.
        """
        try:
            if self.is_own(caller, handle):
                self._check_own(caller, handle)
                return NLM4_GRANTED
            overlay, node, cred = self._exports.enter(caller, handle)
            if not stat.S_ISREG(node.type):
                raise error(errno.EINVAL)
            owns = overlay.getattr(node).uid == cred.uid
            if not owns and not any(
                each & (os.R_OK | os.W_OK) for each in overlay.access(node, cred)
            ):
                raise error(errno.EACCES)
        except OSError as problem:
            return status_of(problem)
        return NLM4_GRANTED

    def to_unlock(self, caller: Caller, handle: bytes) -> int:
        """Return NLM4_GRANTED if a caller may release its locks on a file, which may be gone."""
        try:
            if self.is_own(caller, handle):
                self._check_own(caller, handle)
            else:
                self._exports.enter(caller, handle)
        except OSError as problem:
            if problem.errno != errno.ESTALE:
                return status_of(problem)
        return NLM4_GRANTED

    def to_speak(self, caller: Caller) -> bool:
        """Return whether a caller may speak for its machine, for example say that it has restarted.

        The caller must be let in wherever the machine's root is, and into one export at least.
        """
        root = Caller(caller.address, _ROOTS_PORT, b"", caller.credentials, caller.local)
        access = self._exports.access
        machine, own = access.standing(root).options, access.standing(caller).options
        may = [each is not None for each in machine]
        return any(may) and may == [each is not None for each in own]


def status_of(problem: OSError) -> int:
    """Return the NLM status of an error."""
    return _OF_ERRNO.get(problem.errno or 0, NLM4_FAILED)
