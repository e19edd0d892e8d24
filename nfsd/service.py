"""One server, put together from its configuration: overlays, programs, workers."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from nfsd import mount, nfs3
from nfsd.clients import ClientTable, Resolver
from nfsd.config_file import Config, ExportConfig
from nfsd.exports import Export, Exports
from nfsd.lock_clients import LockClients
from nfsd.lock_server import LockServer
from nfsd.lock_sockets import LockSockets
from nfsd.replay import ReplayCache
from nfsd.rpc import Dispatcher
from nfsd.server import Server
from nfsd.workers import Post, Workers
from overlay.config import ConfigError
from overlay.filesystem import Overlay

_REPLIES: Final = b"replies"
_LOCK_CLIENTS: Final = b"lock-clients"
_KEPT_BYTES: Final = 128 << 20  # of replies, in each worker


class Service:
    """Everything that one server process and its workers need."""

    def __init__(
        self, config: Config, workers: int, *, trace: bool, progress: Callable[[int], None]
    ) -> None:
        """Open all exports; raises ConfigError, with nothing left open."""
        _raise_descriptor_limit()
        self._overlays: list[Overlay] = []
        self._locks = config.locks
        self._lock_sockets: LockSockets | None = None
        self._lock_slot = workers  # the one after the workers'
        others = 1 if config.locks.served else 0
        try:
            exports = Exports(self._open(config.exports, progress))
            for overlay in self._overlays:
                overlay.share(workers + others)
        except BaseException:
            self.close()
            raise
        self._exports = exports
        # One cache for all exports, kept where changes are kept.
        writable = [overlay for overlay in self._overlays if not overlay.read_only]
        self._keeper = (writable or self._overlays)[0]
        self._replays: ReplayCache | None = None
        if writable:
            state, epoch = writable[0].open_state(_REPLIES), writable[0].write_verifier
            self._replays = ReplayCache(state, workers, epoch)
        programs = [nfs3.program(exports), *mount.MountService(exports).programs()]
        self._dispatcher = Dispatcher(programs, self._replays, _KEPT_BYTES, exports.standing)
        self._dispatcher.trace = trace
        self.workers = Workers(workers, self._work, self._ended, others)

    def listen_for_locks(self, hosts: Sequence[str]) -> LockSockets | None:
        """Serve NLM and NSM at these addresses, if locks are served at all; raises OSError."""
        if self._locks.served:
            self._lock_sockets = LockSockets(hosts, self._locks.port)
        return self._lock_sockets

    def _open(
        self, configs: Sequence[ExportConfig], progress: Callable[[int], None]
    ) -> list[Export]:
        resolver = Resolver()
        exports = []
        for config in configs:
            try:
                overlay = Overlay.open(config.layers, progress, fsid=config.fsid)
            except ConfigError as problem:
                raise ConfigError(f"export {os.fsdecode(config.path)}: {problem}") from problem
            self._overlays.append(overlay)
            exports.append(Export(config.path, overlay, ClientTable(config.clients, resolver)))
        return exports

    def close(self) -> None:
        """Let go of all layers."""
        if self._lock_sockets is not None:
            self._lock_sockets.close()
        for overlay in self._overlays:
            overlay.close()

    def _work(self, post: Post) -> None:
        """What a worker does, just forked, or the process that owns the locks."""
        for overlay in self._overlays:
            overlay.join(post.slot, post.number)
        try:
            if post.slot == self._lock_slot:
                self._serve_locks()
            else:
                self._serve(post)
        finally:
            for overlay in self._overlays:
                overlay.leave()

    def _serve(self, post: Post) -> None:
        if self._lock_sockets is not None:
            self._lock_sockets.close()
        if self._replays is not None:
            self._replays.join(post.slot)
        Server(self._dispatcher, post.channel, post.closed, self._overlays).run()

    def _serve_locks(self) -> None:
        assert self._lock_sockets is not None, "locks are served somewhere"
        keeper = self._keeper
        clients = LockClients(
            keeper.read_state(_LOCK_CLIENTS), partial(keeper.write_state, _LOCK_CLIENTS)
        )
        grace = self._locks.grace
        LockServer(self._exports, clients, self._lock_sockets, self._overlays, grace).run()

    def _ended(self, slot: int, pid: int) -> None:
        """What the parent does about a worker that is gone."""
        for overlay in self._overlays:
            overlay.died(pid)
        if self._replays is not None and slot != self._lock_slot:
            self._replays.died(slot)


def _raise_descriptor_limit() -> None:
    """Objects in use are kept open, so take as many descriptors as are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
