"""One server, put together from its configuration: overlays, programs, listeners, workers.

The configuration may become another while clients are served (`change_to`): what
stays as it was stays open, and its clients notice nothing.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from nfsd import mount, nfs3
from nfsd.clients import ClientTable, Resolver
from nfsd.config_file import Config, ExportConfig
from nfsd.exports import Export, Exports
from nfsd.listeners import Listeners, close_others, listen
from nfsd.log import LOGGER
from nfsd.mounts import Mounts
from nfsd.replay import ReplayCache
from nfsd.rpc import Dispatcher
from nfsd.server import Server
from nfsd.worker import Post
from nfsd.workers import SLOTS, WORKERS_MAX, Workers
from overlay.config import ConfigError
from overlay.filesystem import Overlay

_REPLIES: Final = b"replies"
_KEPT_BYTES: Final = 128 << 20  # of replies, in each worker
_SHOWN: Final = 8  # exports in the status


class _Opened(NamedTuple):
    """An export's overlay, and the export as it was configured when that was opened."""

    config: ExportConfig
    overlay: Overlay

    def serves(self, config: ExportConfig) -> bool:
        """Whether this overlay is the one for an export as it is configured now."""
        return (config.layers, config.fsid) == (self.config.layers, self.config.fsid)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What workers that begin together serve."""

    overlays: tuple[Overlay, ...]
    dispatcher: Dispatcher
    replays: ReplayCache | None


class Service:
    """Everything that one server process and its workers need."""

    def __init__(
        self,
        config: Config,
        *,
        passed: Sequence[socket.socket] = (),
        trace: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Listen, and open all exports; with sockets `passed` by systemd, on these alone.

        Raises Refusal or ConfigError, with nothing left open.
        """
        _raise_descriptor_limit()
        self._trace, self._progress = trace, progress
        self._passed = {f"systemd:{number}": sock for number, sock in enumerate(passed)}
        self._opened: list[_Opened] = []
        self._replays: ReplayCache | None = None
        self._replays_at: Overlay | None = None  # where they are kept
        self._mounts = Mounts()
        self.workers = Workers(self._ended)
        self.listeners = self._listen(config, {})
        try:
            self._opened = self._open(config.exports)
        except BaseException:
            close_others(self.listeners, {})
            raise
        self._begin(config)

    def change_to(self, config: Config) -> None:
        """Serve another configuration, if it can be served; else raise Refusal or ConfigError.

        Only where an upper layer or workdir goes from one export to another, or gets
        other lower layers, do clients wait until all that is under way is done.
        """
        listeners = self._listen(config, self.listeners)
        try:
            self._change_exports(config.exports)
        except BaseException:
            close_others(listeners, self.listeners)
            raise
        before, self.listeners = self.listeners, listeners
        self._begin(config)
        close_others(before, listeners)

    def _change_exports(self, configs: Sequence[ExportConfig]) -> None:
        """Open what is new; then have all workers retire and let go of what is no longer there."""
        gone, new = list(self._opened), []
        for config in configs:
            known = next((each for each in gone if each.serves(config)), None)
            if known is None:
                new.append(config)
            else:
                gone.remove(known)
        held = frozenset[bytes]().union(*(each.config.layers.own for each in gone))
        if any(config.layers.own & held for config in new):
            self._exchange(gone, new)
        else:
            self._opened += self._open(new)
            self.workers.retire()
            for each in gone:
                self._opened.remove(each)
                each.overlay.leave()

    def _exchange(self, gone: Sequence[_Opened], new: Sequence[ExportConfig]) -> None:
        """Open what cannot be opened before that is closed which is to go."""
        self.workers.retire()
        self.workers.await_retired()
        for each in gone:
            self._opened.remove(each)
            each.overlay.close()
        try:
            self._opened += self._open(new)
        except ConfigError:
            for each in gone:
                try:
                    self._opened += self._open((each.config,))
                except ConfigError as problem:
                    LOGGER.critical("what was exported before is exported no more: %s", problem)
            self._begin(self._config)
            raise

    def _open(self, configs: Sequence[ExportConfig]) -> list[_Opened]:
        """Open overlays; raises ConfigError, with nothing left open."""
        opened: list[_Opened] = []
        try:
            for config in configs:
                overlay = Overlay.open(config.layers, self._progress, fsid=config.fsid)
                opened.append(_Opened(config, overlay))
        except (ConfigError, OSError) as problem:
            for each in opened:
                each.overlay.close()
            raise ConfigError(f"export {os.fsdecode(config.path)}: {problem}") from problem
        return opened

    def _listen(self, config: Config, before: Listeners) -> Listeners:
        return self._passed or listen(config.listen, before)

    def _begin(self, config: Config) -> None:
        """Have workers begin that serve this, from what is open."""
        self._config = config
        number = config.workers or processors()
        served = [
            (export, each.overlay)
            for export in config.exports
            for each in self._opened
            if each.serves(export)
        ]
        overlays = tuple(overlay for _, overlay in served)
        for overlay in overlays:
            # A single one, too, is one of two for as long as those before it have not left.
            overlay.share(max(number, 2))
        self._keep_replies(overlays)
        resolver = Resolver()
        exports = Exports(
            Export(export.path, overlay, ClientTable(export.clients, resolver))
            for export, overlay in served
        )
        programs = [nfs3.program(exports), *mount.MountService(exports, self._mounts).programs()]
        dispatcher = Dispatcher(programs, self._replays, _KEPT_BYTES, exports.standing)
        dispatcher.trace = self._trace
        self.workers.listen(self.listeners.values())
        self.workers.begin(number, partial(_work, _Offer(overlays, dispatcher, self._replays)))

    def _keep_replies(self, overlays: Sequence[Overlay]) -> None:
        """Have one cache for all exports, kept where changes are kept."""
        writable = [overlay for overlay in overlays if not overlay.read_only]
        if self._replays_at in writable:
            return
        before, self._replays, self._replays_at = self._replays, None, None
        if writable:
            self._replays_at = writable[0]
            state, epoch = writable[0].open_state(_REPLIES), writable[0].write_verifier
            self._replays = ReplayCache(state, SLOTS, epoch)
            if before is not None:
                self._replays.adopt(before)

    def serving(self) -> str:
        """What is served, in a line."""
        paths = [os.fsdecode(export.path) for export in self._config.exports]
        shown = ", ".join(paths[:_SHOWN]) + (", ..." if len(paths) > _SHOWN else "")
        return f"serving {shown}; exports: {len(paths)}, workers: {self.workers.number}"

    def status(self) -> str:
        """What is served, to how many connections."""
        return f"{self.serving()}, connections: {self.workers.connections}"

    def close(self) -> None:
        """Let go of all layers."""
        for each in self._opened:
            each.overlay.close()

    def _ended(self, slot: int, pid: int) -> None:
        """What the parent does about a worker that is gone."""
        for each in self._opened:
            each.overlay.died(pid)
        if self._replays is not None:
            self._replays.died(slot)


def _work(offer: _Offer, post: Post) -> None:
    """What a worker does, just forked."""
    for overlay in offer.overlays:
        overlay.join(post.seat, post.number)
    if offer.replays is not None:
        offer.replays.join(post.slot, post.seat, post.seats)
    server = Server(offer.dispatcher, post.channel, post.closed, post.beat, offer.overlays)
    try:
        server.run()
    finally:
        for overlay in offer.overlays:
            overlay.leave()


def processors() -> int:
    """How many workers there are unless somebody says otherwise."""
    return min(len(os.sched_getaffinity(0)), WORKERS_MAX)


def _raise_descriptor_limit() -> None:
    """Objects in use are kept open, so take as many descriptors as are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
