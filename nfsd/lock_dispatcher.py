"""Calls of locks, and the replies to our own calls, which come on the same sockets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from nfsd.callbacks import Callbacks
from nfsd.calls import Peer
from nfsd.program import Caller, Program
from nfsd.rpc import Dispatcher
from nfsd.tally import Tally
from nfsd.xdr.codec import Buffer, Parts


class LockDispatcher(Dispatcher):
    """Answers calls, and hands the replies to our own calls to who waits for them."""

    def __init__(
        self,
        callbacks: Callbacks,
        programs: Iterable[Program],
        standing: Callable[[Caller], Hashable],
        tally: Tally,
    ) -> None:
        super().__init__(programs, standing=standing, tally=tally)
        self._callbacks = callbacks

    def answer(self, record: Buffer, peer: Peer, parts: Parts) -> int:
        """As any dispatcher; a reply has no answer."""
        if self._callbacks.heard(record, peer.address):
            return 0
        if not peer.is_datagram:
            self._callbacks.proven(peer.address)
        return super().answer(record, peer, parts)
