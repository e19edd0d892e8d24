"""What the workers that begin together serve, and what one does from its first moment on."""

from __future__ import annotations

from dataclasses import dataclass

from nfsd.export.exports import Exports
from nfsd.lock.server import LockServer, LockSetup
from nfsd.net.datagrams import DatagramService
from nfsd.process.worker_process import WorkerContext
from nfsd.rpc.call_stats import CallStats
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.rpc.duplicate_cache import DuplicateRequestCache
from nfsd.server.worker import Server
from overlay.base import generations
from overlay.filesystem import Overlay
from overlay.model import copy_up_counts


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What workers that begin together serve."""

    exports: Exports
    overlays: tuple[Overlay, ...]  # that all of them have open
    dispatcher: Dispatcher
    datagrams: DatagramService
    stats: CallStats
    duplicates: DuplicateRequestCache | None
    locks: LockSetup | None


def work(setup: WorkerSetup, context: WorkerContext) -> None:
    """Run a worker, just forked, or the process that owns the locks."""
    generations.join(context.number)
    copy_up_counts.join(context.slot)
    setup.stats.join(context.slot)
    for overlay in setup.overlays:
        overlay.join(context.worker_id, context.number)
    if context.worker_id == context.workers:
        _own_locks(setup, context)
        return
    if setup.locks is not None:
        setup.locks.sockets.close()
    if setup.duplicates is not None:
        setup.duplicates.join(context.slot)
    server = Server(
        setup.dispatcher,
        context.channel,
        context.closed,
        context.beat,
        setup.overlays,
        setup.exports.access.lets_in,
        setup.exports.attend,
        setup.datagrams,
    )
    setup.exports.begin(server.answers)
    try:
        server.run()
    finally:
        for overlay in (*setup.overlays, *setup.exports.own_overlays()):
            overlay.leave()


def _own_locks(setup: WorkerSetup, context: WorkerContext) -> None:
    assert setup.locks is not None
    trace = setup.dispatcher.trace
    try:
        LockServer(setup.locks, context.channel, context.beat, trace=trace).run()
    finally:
        for overlay in setup.overlays:
            overlay.leave()
