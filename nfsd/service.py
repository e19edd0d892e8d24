"""One server, put together from its configuration: overlays, programs, workers."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from typing import Final

from nfsd import mount, nfs3
from nfsd.clients import ClientTable, Resolver
from nfsd.config_file import Config, ExportConfig
from nfsd.exports import Export, Exports
from nfsd.replay import ReplayCache
from nfsd.rpc import Dispatcher
from nfsd.server import Server
from nfsd.workers import Post, Workers
from overlay.cache import Room
from overlay.caches import Caches
from overlay.config import ConfigError
from overlay.filesystem import Overlay
from overlay.generations import COUNTERS_BYTES

_REPLIES: Final = b"replies"
# Of the memory for what is kept; the rest lies between what is kept, or is worked with.
_COUNTED: Final = 3 / 4


class Service:
    """Everything that one server process and its workers need."""

    def __init__(
        self, config: Config, workers: int, *, trace: bool, progress: Callable[[int], None]
    ) -> None:
        """Open all exports; raises ConfigError, with nothing left open."""
        _raise_descriptor_limit()
        room = Room(int((config.cache_bytes - COUNTERS_BYTES) * _COUNTED) // workers)  # of each
        caches = Caches(room)
        self._overlays: list[Overlay] = []
        try:
            exports = Exports(self._open(config.exports, progress, caches))
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
        self._dispatcher = Dispatcher(programs, self._replays, room, exports.standing)
        self._dispatcher.trace = trace
        self.workers = Workers(workers, self._work, self._ended)

    def _open(
        self, configs: Sequence[ExportConfig], progress: Callable[[int], None], caches: Caches
    ) -> list[Export]:
        resolver = Resolver()
        exports = []
        for config in configs:
            try:
                overlay = Overlay.open(config.layers, progress, fsid=config.fsid, caches=caches)
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
