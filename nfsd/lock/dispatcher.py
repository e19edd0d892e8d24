"""Calls of NLM and NSM, and the replies to our own calls, which come on the same sockets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from nfsd.lock.callbacks import Callbacks
from nfsd.rpc.call_header import Peer
from nfsd.rpc.call_stats import CallStats
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.rpc.program import Caller, Program
from nfsd.xdr.codec import Buffer, Parts


class LockDispatcher(Dispatcher):
    """Answers calls, and hands on the replies to our own calls."""

    def __init__(
        self,
        callbacks: Callbacks,
        programs: Iterable[Program],
        standing: Callable[[Caller], Hashable],
        stats: CallStats,
    ) -> None:
        super().__init__(programs, standing=standing, stats=stats)
        self._callbacks = callbacks

    def answer(self, record: Buffer, peer: Peer, parts: Parts) -> int:
        """Answer a call, and hand on a reply."""
        if self._callbacks.heard(record, peer.address):
            return 0
        if not peer.is_datagram:
            self._callbacks.proven(peer.address)
        return super().answer(record, peer, parts)
