"""One server, put together from its configuration: overlays, programs, workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from nfsd import mount, nfs3
from nfsd.client_overlays import ClientOverlays
from nfsd.clients import ClientTable, Resolver
from nfsd.config_file import Config, ExportConfig
from nfsd.exports import Export, Exports
from nfsd.options import raise_descriptor_limit
from nfsd.replay import ReplayCache
from nfsd.rpc import Dispatcher
from nfsd.server import Server
from nfsd.workers import Post, Workers
from overlay import generations, per_client
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
        raise_descriptor_limit()
        self._overlays: list[Overlay] = []
        try:
            exports = Exports(self._open(config.exports, progress))
            for overlay in self._overlays:
                overlay.share(workers)
        except BaseException:
            self.close()
            raise
        self._exports = exports
        self._replays = self._open_replays(config, workers)
        programs = [nfs3.program(exports), *mount.MountService(exports).programs()]
        self._dispatcher = Dispatcher(programs, self._replays, _KEPT_BYTES, exports.standing)
        self._dispatcher.trace = trace
        by_client = any(map(_is_per_client, config.exports))
        self.workers = Workers(workers, self._work, self._ended, by_client=by_client)

    def _open(
        self, configs: Sequence[ExportConfig], progress: Callable[[int], None]
    ) -> list[Export]:
        resolver = Resolver()
        exports = []
        for config in configs:
            try:
                overlay = self._open_one(config, progress)
            except ConfigError as problem:
                raise ConfigError(f"export {os.fsdecode(config.path)}: {problem}") from problem
            exports.append(Export(config.path, overlay, ClientTable(config.clients, resolver)))
        return exports

    def _open_one(
        self, config: ExportConfig, progress: Callable[[int], None]
    ) -> Overlay | ClientOverlays:
        if _is_per_client(config):
            return ClientOverlays(config.path, config.layers, config.fsid, config.max_clients)
        overlay = Overlay.open(config.layers, progress, fsid=config.fsid)
        self._overlays.append(overlay)
        return overlay

    def _open_replays(self, config: Config, workers: int) -> ReplayCache | None:
        """One cache for all exports, kept where changes are kept; None if there are none."""
        for overlay in self._overlays:
            if not overlay.read_only:
                return ReplayCache(overlay.open_state(_REPLIES), workers, overlay.write_verifier)
        for export in filter(_is_per_client, config.exports):
            state = per_client.open_state(export.layers, _REPLIES)
            return ReplayCache(state, workers, per_client.epoch())
        return None

    def close(self) -> None:
        """Let go of all layers."""
        for overlay in self._overlays:
            overlay.close()

    def _work(self, post: Post) -> None:
        """What a worker does, just forked."""
        generations.join(post.number)
        for overlay in self._overlays:
            overlay.join(post.slot, post.number)
        if self._replays is not None:
            self._replays.join(post.slot)
        attend = self._exports.attend
        server = Server(self._dispatcher, post.channel, post.closed, self._overlays, attend)
        try:
            server.run()
        finally:
            for overlay in (*self._overlays, *self._exports.own_overlays()):
                overlay.leave()

    def _ended(self, slot: int, pid: int) -> None:
        """What the parent does about a worker that is gone."""
        for overlay in self._overlays:
            overlay.died(pid)
        if self._replays is not None:
            self._replays.died(slot)


def _is_per_client(config: ExportConfig) -> bool:
    return per_client.is_per_client(config.layers)
