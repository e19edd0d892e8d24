"""Who may lock, unlock, and speak for a machine: every procedure of NLM and NSM asks here first.

Rule: whoever is refused has changed nothing.  A user of a client's machine who is not its
root calls from another port, so where an export is `secure` he is nobody there.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from nfsd.exports import Exports
from nfsd.program import Caller
from nfsd.xdr.nlm4 import NLM4_FAILED, NLM4_GRANTED, NLM4_STALE_FH
from overlay.errors import error

_OF_ERRNO: Final = {errno.ESTALE: NLM4_STALE_FH, errno.EBADF: NLM4_STALE_FH}
_ROOTS_PORT: Final = 1


class LockAccess:
    """What callers may do about the locks of these exports."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports

    def is_own(self, caller: Caller, handle: bytes) -> bool:
        """Whether a handle, if it is one, is of an overlay that the caller alone has."""
        return self._exports.is_own(caller, handle)

    def to_lock(self, caller: Caller, handle: bytes) -> int:
        """Whether a caller may lock: only regular files, that he owns or may read or write.

        What a file in a client's own overlay is only the worker can tell that has it open;
        that it is no directory is in its handle.
        """
        try:
            if self.is_own(caller, handle):
                self._exports.check_own(caller, handle)
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
        """Whether a caller may give up what he has of a file, which may be gone."""
        try:
            if self.is_own(caller, handle):
                self._exports.check_own(caller, handle)
            else:
                self._exports.enter(caller, handle)
        except OSError as problem:
            if problem.errno != errno.ESTALE:
                return status_of(problem)
        return NLM4_GRANTED

    def to_speak(self, caller: Caller) -> bool:
        """Whether a caller may speak for its machine, as to say that it has started anew.

        He must be let in wherever the machine's root is, and so into one export at least.
        """
        root = Caller(caller.address, _ROOTS_PORT, b"", caller.credentials, caller.local)
        access = self._exports.access
        machine, own = access.standing(root).options, access.standing(caller).options
        may = [each is not None for each in machine]
        return any(may) and may == [each is not None for each in own]


def status_of(problem: OSError) -> int:
    """What NLM calls an error."""
    return _OF_ERRNO.get(problem.errno or 0, NLM4_FAILED)
