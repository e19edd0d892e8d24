"""Calls that would block: answered on a thread that may wait, then handed back to the loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from nfsd.base.log import LOGGER
from nfsd.net.event_loop import Loop
from nfsd.net.thread_pool import FairPool
from nfsd.rpc.call_header import Peer
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.xdr.codec import Buffer, Parts


class SlowCalls:
    """Has a dispatcher answer calls on the threads of a pool; used on the loop's thread."""

    def __init__(self, dispatcher: Dispatcher, loop: Loop, pool: FairPool) -> None:
        self._dispatcher = dispatcher
        self._loop = loop
        self._pool = pool

    def give(
        self,
        caller: str,
        record: Buffer,
        peer: Peer,
        begun: int,
        done: Callable[[Future[Parts]], None],
    ) -> None:
        """Have a call answered that came at `begun`; then `done` is called on the event loop.

        `caller` takes turns with others at the threads.
        """
        future = self._pool.submit(caller, partial(self._answer, record, peer, begun))
        future.add_done_callback(partial(self._hand_back, peer, done))

    def _answer(self, record: Buffer, peer: Peer, begun: int) -> Parts:
        parts: Parts = []
        self._dispatcher.answer_waiting(record, peer, parts, begun)
        return parts

    def _hand_back(
        self, peer: Peer, done: Callable[[Future[Parts]], None], future: Future[Parts]
    ) -> None:
        """On the thread."""
        try:
            self._loop.call_soon_threadsafe(partial(done, future))
        except RuntimeError:
            LOGGER.warning("%s: a reply came after the server had stopped", peer.address)
