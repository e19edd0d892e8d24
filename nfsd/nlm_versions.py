"""The versions of NLM: what each calls things, and how many bytes it can count.

Version 4 (RFC 1813 appendix II) counts them by 64 bits and has more statuses; versions 1 and 3
(XNFS chapters 10 and 14) count them by 32 bits, and only 3 of them has SHARE and what DOS needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nfsd.lock import END, Lock
from nfsd.xdr import nlm3, nlm4
from nfsd.xdr.codec import Signature
from nfsd.xdr.nlm4 import NLM4_DEADLCK, NLM4_PROGRAM

_COUNTED: Final = (1 << 32) - 1
_CLIPPED: Final = (1 << 31) - 1  # clients may take it for a signed number


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One of them."""

    number: int
    words: Any  # the module with its types
    prefix: str  # of their names
    signatures: Mapping[int, Signature]
    is_narrow: bool  # bytes are counted by 32 bits

    @property
    def program(self) -> tuple[int, int]:
        return NLM4_PROGRAM, self.number

    def res(self, cookie: bytes, status: int) -> Any:  # noqa: ANN401 - by version
        """The result of most procedures."""
        return self._type("res")(cookie, self._status(status))

    def shareres(self, cookie: bytes, status: int) -> Any:  # noqa: ANN401 - by version
        """That of SHARE and UNSHARE."""
        return self._type("shareres")(cookie, self._status(status), 0)

    def testres(self, cookie: bytes, status: int, found: Lock | None) -> Any:  # noqa: ANN401
        """That of TEST; `found` is in the way."""
        holder = None
        if found is not None:
            owner, begin, length = found.owner, self._count(found.begin), self._length(found)
            holder = self._type("holder")(found.exclusive, owner.svid, owner.oh, begin, length)
        reply = self._type("testrply")(self._status(status), holder)
        return self._type("testres")(cookie, reply)

    def granted(self, cookie: bytes, handle: bytes, lock: Lock) -> Any:  # noqa: ANN401
        """The arguments of GRANTED: the lock in the words in which it was asked for."""
        owner = lock.owner
        begin, length = self._count(lock.begin), self._length(lock)
        asked = self._type("lock")(
            *(owner.client.name, handle, owner.oh, owner.svid, begin, length)
        )
        return self._type("testargs")(cookie, lock.exclusive, asked)

    def _type(self, name: str) -> Any:  # noqa: ANN401 - a class of the module
        return getattr(self.words, f"{self.prefix}_{name}")

    def _length(self, lock: Lock) -> int:
        """How many bytes, 0 up to the end."""
        return 0 if lock.end == END else self._count(lock.end - lock.begin)

    def _count(self, number: int) -> int:
        """A number of bytes; if it cannot be said, the largest that all clients understand."""
        return _CLIPPED if self.is_narrow and number > _COUNTED else number

    def _status(self, status: int) -> int:
        """A status; one that there is not, as Linux says it: there are no locks."""
        if self.is_narrow and status > NLM4_DEADLCK:
            return nlm3.LCK_DENIED_NOLOCKS
        return status


def _by_number(signatures: tuple[Signature, ...]) -> dict[int, Signature]:
    return {each.number: each for each in signatures}


VERSIONS: Final = {
    each.number: each
    for each in (
        Version(nlm3.NLM_VERS, nlm3, "nlm", _by_number(nlm3.NLM_VERS_SIGNATURES), True),
        Version(nlm3.NLM_VERSX, nlm3, "nlm", _by_number(nlm3.NLM_VERSX_SIGNATURES), True),
        Version(nlm4.NLM4_V4, nlm4, "nlm4", _by_number(nlm4.NLM4_V4_SIGNATURES), False),
    )
}
