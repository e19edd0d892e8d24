"""What the workers that begin together serve, and what one does from its first moment on."""

from __future__ import annotations

from dataclasses import dataclass

from nfsd.datagrams import DatagramService
from nfsd.exports import Exports
from nfsd.lock_server import LockOffer, LockServer
from nfsd.replay import ReplayCache
from nfsd.rpc import Dispatcher
from nfsd.server import Server
from nfsd.tally import Tally
from nfsd.worker import Post
from overlay import counts, generations
from overlay.filesystem import Overlay


@dataclass(frozen=True, slots=True)
class Offer:
    """What workers that begin together serve."""

    exports: Exports
    overlays: tuple[Overlay, ...]  # that all of them have open
    dispatcher: Dispatcher
    datagrams: DatagramService
    tally: Tally
    replays: ReplayCache | None
    locks: LockOffer | None


def work(offer: Offer, post: Post) -> None:
    """What a worker does, just forked, or the one who owns the locks."""
    generations.join(post.number)
    counts.join(post.slot)
    offer.tally.join(post.slot)
    for overlay in offer.overlays:
        overlay.join(post.seat, post.number)
    if post.seat == post.seats:
        _own_locks(offer, post)
        return
    if offer.locks is not None:
        offer.locks.sockets.close()
    if offer.replays is not None:
        offer.replays.join(post.slot)
    server = Server(
        *(offer.dispatcher, post.channel, post.closed, post.beat, offer.overlays),
        *(offer.exports.lets_in, offer.exports.attend, offer.datagrams),
    )
    offer.exports.begin(server.answers)
    try:
        server.run()
    finally:
        for overlay in (*offer.overlays, *offer.exports.own_overlays()):
            overlay.leave()


def _own_locks(offer: Offer, post: Post) -> None:
    assert offer.locks is not None
    trace = offer.dispatcher.trace
    try:
        LockServer(offer.locks, post.channel, post.beat, trace=trace).run()
    finally:
        for overlay in offer.overlays:
            overlay.leave()
