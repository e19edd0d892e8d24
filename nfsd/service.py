"""One server, put together from its configuration: overlays, programs, workers."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Final

from nfsd import mount, nfs3
from nfsd.clients import ClientTable, Resolver
from nfsd.config_file import Config, ExportConfig
from nfsd.exports import Export, Exports
from nfsd.metrics import Metrics
from nfsd.options import version_text
from nfsd.replay import ReplayCache
from nfsd.rpc import Dispatcher
from nfsd.scrape import Scrape
from nfsd.server import Server
from nfsd.tally import Tally
from nfsd.workers import Post, Workers
from overlay import counts
from overlay.config import ConfigError
from overlay.filesystem import Overlay

_REPLIES: Final = b"replies"
_KEPT_BYTES: Final = 128 << 20  # of replies, in each worker


class Service:
    """Everything that one server process and its workers need."""

    def __init__(
        self, config: Config, workers: int, *, trace: bool, progress: Callable[[int], None]
    ) -> None:
        """Open all exports; raises ConfigError, with nothing left open."""
        _raise_descriptor_limit()
        self._overlays: list[Overlay] = []
        self._tally = Tally()
        try:
            exports = Exports(self._open(config.exports, progress), self._tally.stale)
            for overlay in self._overlays:
                overlay.share(workers)
        except BaseException:
            self.close()
            raise
        # One cache for all exports, kept where changes are kept.
        writable = [overlay for overlay in self._overlays if not overlay.read_only]
        self._replays: ReplayCache | None = None
        if writable:
            state, epoch = writable[0].open_state(_REPLIES), writable[0].write_verifier
            self._replays = ReplayCache(state, workers, epoch)
        programs = [nfs3.program(exports), *mount.MountService(exports).programs()]
        self._dispatcher = Dispatcher(
            programs, self._replays, _KEPT_BYTES, exports.standing, self._tally
        )
        self._dispatcher.trace = trace
        self.workers = Workers(workers, self._work, self._ended)
        self._exports = exports

    def tell_numbers(self, listener: socket.socket) -> None:
        """Answer GET /metrics on a socket that listens."""
        metrics = Metrics(version_text(), self._tally, self.workers.staff, self._indexed)
        self.workers.attend(Scrape(listener, metrics.text))

    def _indexed(self) -> list[tuple[bytes, Overlay]]:
        exports = [(export.path, export.overlay) for export in self._exports.all]
        return [(path, overlay) for path, overlay in exports if not overlay.read_only]

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
        for overlay in self._overlays:
            overlay.close()

    def _work(self, post: Post) -> None:
        """What a worker does, just forked."""
        for overlay in self._overlays:
            overlay.join(post.slot, post.number)
        if self._replays is not None:
            self._replays.join(post.slot)
        self._tally.join(post.slot)
        counts.join(post.slot)
        server = Server(self._dispatcher, post.channel, post.closed, self._overlays)
        try:
            server.run()
        finally:
            for overlay in self._overlays:
                overlay.leave()

    def _ended(self, slot: int, pid: int) -> None:
        """What the parent does about a worker that is gone."""
        for overlay in self._overlays:
            overlay.died(pid)
        if self._replays is not None:
            self._replays.died(slot)


def _raise_descriptor_limit() -> None:
    """Objects in use are kept open, so take as many descriptors as are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
