"""The versions of NLM: their types, and how many bits offsets have.

Version 4 (RFC 1813 appendix II) has offsets of 64 bits, and more statuses.  Versions 1 and 3
(XNFS chapters 10 and 14) have offsets of 32 bits; version 1 lacks SHARE and what DOS needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, TypeAlias

from nfsd.lock.types import END, Lock
from nfsd.xdr.codec import Signature
from nfsd.xdr.generated import nlm3, nlm4
from nfsd.xdr.generated.nlm4 import NLM4_DEADLCK, NLM4_PROGRAM

_COUNTED: Final = (1 << 32) - 1
_CLIPPED: Final = (1 << 31) - 1  # clients may take it for a signed number

# Arguments, and what is in them, by version: their fields have the same names.
AskedLock: TypeAlias = nlm3.nlm_lock | nlm4.nlm4_lock
AskedShare: TypeAlias = nlm3.nlm_share | nlm4.nlm4_share
TestArgs: TypeAlias = nlm3.nlm_testargs | nlm4.nlm4_testargs
LockArgs: TypeAlias = nlm3.nlm_lockargs | nlm4.nlm4_lockargs
CancelArgs: TypeAlias = nlm3.nlm_cancargs | nlm4.nlm4_cancargs
UnlockArgs: TypeAlias = nlm3.nlm_unlockargs | nlm4.nlm4_unlockargs
ShareArgs: TypeAlias = nlm3.nlm_shareargs | nlm4.nlm4_shareargs
Notify: TypeAlias = nlm3.nlm_notify | nlm4.nlm4_notify
Result: TypeAlias = nlm3.nlm_res | nlm4.nlm4_res


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One version of NLM."""

    number: int
    words: ModuleType  # with its types
    prefix: str  # of their names
    signatures: Mapping[int, Signature[Any, Any]]
    is_narrow: bool  # offsets have 32 bits

    @property
    def program(self) -> tuple[int, int]:
        return NLM4_PROGRAM, self.number

    def res(self, cookie: bytes, status: int) -> object:
        """Return the result of most procedures."""
        return self._type("res")(cookie, self._status(status))

    def shareres(self, cookie: bytes, status: int) -> object:
        """Return the result of SHARE and UNSHARE."""
        return self._type("shareres")(cookie, self._status(status), 0)

    def testres(self, cookie: bytes, status: int, found: Lock | None) -> object:
        """Return the result of TEST; `found` conflicts."""
        holder = None
        if found is not None:
            owner, begin, length = found.owner, self._count(found.begin), self._length(found)
            holder = self._type("holder")(found.exclusive, owner.svid, owner.oh, begin, length)
        reply = self._type("testrply")(self._status(status), holder)
        return self._type("testres")(cookie, reply)

    def granted(self, cookie: bytes, handle: bytes, lock: Lock) -> object:
        """Return the arguments of GRANTED: the lock as the client has asked for it."""
        owner = lock.owner
        begin, length = self._count(lock.begin), self._length(lock)
        asked = self._type("lock")(owner.client.name, handle, owner.oh, owner.svid, begin, length)
        return self._type("testargs")(cookie, lock.exclusive, asked)

    def _type(self, name: str) -> Callable[..., object]:
        """Return a class of the module."""
        found: Callable[..., object] = getattr(self.words, f"{self.prefix}_{name}")
        return found

    def _length(self, lock: Lock) -> int:
        """Return how many bytes a lock covers, 0 for all up to the end."""
        return 0 if lock.end == END else self._count(lock.end - lock.begin)

    def _count(self, number: int) -> int:
        """Return an offset or length; one that is too large becomes the largest usual one."""
        return _CLIPPED if self.is_narrow and number > _COUNTED else number

    def _status(self, status: int) -> int:
        """Return a status; for one that the version lacks, NOLOCKS, as Linux does."""
        if self.is_narrow and status > NLM4_DEADLCK:
            return nlm3.LCK_DENIED_NOLOCKS
        return status


def _by_number(signatures: Sequence[Signature[Any, Any]]) -> dict[int, Signature[Any, Any]]:
    return {each.number: each for each in signatures}


VERSIONS: Final = {
    each.number: each
    for each in (
        Version(nlm3.NLM_VERS, nlm3, "nlm", _by_number(nlm3.NLM_VERS_SIGNATURES), True),
        Version(nlm3.NLM_VERSX, nlm3, "nlm", _by_number(nlm3.NLM_VERSX_SIGNATURES), True),
        Version(nlm4.NLM4_V4, nlm4, "nlm4", _by_number(nlm4.NLM4_V4_SIGNATURES), False),
    )
}
