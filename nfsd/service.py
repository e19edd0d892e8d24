"""One server, put together from its configuration: overlays, programs, listeners, workers.

The configuration may become another while clients are served (`change_to`): what
stays as it was stays open, and its clients notice nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from nfsd import checks, descriptors, mount, nfs3, nfsacl
from nfsd.addresses import bound_address
from nfsd.checks import Held
from nfsd.client_names import ClientNames, name_of
from nfsd.client_overlays import ClientOverlays
from nfsd.clients import ClientTable
from nfsd.config_file import Config, ExportConfig
from nfsd.datagrams import DatagramService
from nfsd.exports import Export, Exports
from nfsd.log import LOGGER
from nfsd.metrics import Metrics
from nfsd.mounts import Mounts
from nfsd.offer import Offer, work
from nfsd.options import version_text
from nfsd.portmapper import Portmapper
from nfsd.program import Program
from nfsd.reach import by_datagram, registrations, rpcbind_mode
from nfsd.replay import ReplayCache
from nfsd.resolver import Resolver
from nfsd.rpc import Dispatcher
from nfsd.rpcbind import Registering
from nfsd.scrape import Scrape
from nfsd.sockets import NOTHING, open_sockets
from nfsd.tally import Tally
from nfsd.workers import SLOTS, WORKERS_MAX, Workers
from nfsd.xdr.rpcbind import RPCBPROG
from overlay import overlap, per_client
from overlay.cache import Room
from overlay.caches import Caches
from overlay.config import ConfigError
from overlay.descriptor import Fd
from overlay.filesystem import Overlay
from overlay.generations import COUNTERS_BYTES

_REPLIES: Final = b"replies"
# Of the memory for what is kept; the rest lies between what is kept, or is worked with.
_COUNTED: Final = 2 / 3
_SHOWN: Final = 8  # exports in the status


class _Opened(NamedTuple):
    """An export's overlay, and the export as it was configured when that was opened."""

    config: ExportConfig
    overlay: Overlay | ClientOverlays

    def serves(self, config: ExportConfig) -> bool:
        """Whether this overlay is the one for an export as it is configured now."""
        return _is_of(config) == _is_of(self.config)

    @property
    def shared(self) -> Iterator[Overlay]:
        """The overlay, if all workers have it open; one of a client's own, one of them has."""
        if isinstance(self.overlay, Overlay):
            yield self.overlay


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
        descriptors.raise_limit()
        self._trace, self._progress = trace, progress
        self._passed = {f"systemd:{number}": sock for number, sock in enumerate(passed)}
        self._opened: list[_Opened] = []
        self._replays: ReplayCache | None = None
        self._replays_at: _Opened | None = None  # where they are kept
        self._mounts = Mounts()
        self._tally = Tally()
        self._registering = Registering()
        self.workers = Workers(self._ended)
        self._numbers = Metrics(
            *(version_text(), self._tally, self.workers.staff, self._indexed),
            lambda: self._config.exports,
        )
        self._scrapes: dict[socket.socket, Scrape] = {}
        self.sockets = NOTHING
        self._check(config)
        self.sockets = open_sockets(config, self._passed, NOTHING)
        try:
            self._opened = self._open(config.exports)
        except BaseException:
            self.sockets.close_others(NOTHING)
            raise
        self._begin(config)

    def change_to(self, config: Config) -> None:
        """Serve another configuration, if it can be served; else raise Refusal or ConfigError.

        Only where an upper layer or workdir goes from one export to another, or gets
        other lower layers, do clients wait until all that is under way is done.
        """
        self._check(config)
        before, sockets = self.sockets, open_sockets(config, self._passed, self.sockets)
        try:
            self._change_exports(config.exports)
        except BaseException:
            sockets.close_others(before)
            raise
        self.sockets = sockets
        self._begin(config)
        before.close_others(sockets)

    def _check(self, config: Config) -> None:
        """Raise Refusal or ConfigError for what could not be served."""
        checks.check(config, list(map(bound_address, self._passed.values())), self.held)

    def _change_exports(self, configs: Sequence[ExportConfig]) -> None:
        """Open what is new; then have all workers retire and let go of what is no longer there."""
        gone, new = list(self._opened), []
        for config in configs:
            known = next((each for each in gone if each.serves(config)), None)
            if known is None:
                new.append(config)
            else:
                gone.remove(known)
        if any(_clash(config, each.config) for config in new for each in gone):
            self._exchange(gone, new)
        else:
            self._opened += self._open(new)
            self.workers.retire()
            for each in gone:
                self._opened.remove(each)
                for overlay in each.shared:
                    overlay.leave()

    def _exchange(self, gone: Sequence[_Opened], new: Sequence[ExportConfig]) -> None:
        """Open what cannot be opened before that is closed which is to go."""
        self.workers.retire()
        self.workers.await_retired()
        for each in gone:
            self._opened.remove(each)
        _close(gone)
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
                opened.append(_Opened(config, self._open_one(config)))
        except (ConfigError, OSError) as problem:
            for overlay in (each for one in opened for each in one.shared):
                overlay.abandon()
            raise ConfigError(f"export {os.fsdecode(config.path)}: {problem}") from problem
        return opened

    def _open_one(self, config: ExportConfig) -> Overlay | ClientOverlays:
        if per_client.is_per_client(config.layers):
            return ClientOverlays(
                config.path, config.layers, config.fsid, config.max_clients, config.limits
            )
        return Overlay.open(config.layers, self._progress, fsid=config.fsid)

    def _begin(self, config: Config) -> None:
        """Have workers begin that serve this, from what is open."""
        self._config = config
        number, others = config.workers or processors(), self.sockets.locking.owners
        served = [
            (export, each)
            for export in config.exports
            for each in self._opened
            if each.serves(export)
        ]
        overlays = tuple(overlay for _, each in served for overlay in each.shared)
        # Of each worker, which begins with it empty: this process keeps nothing.
        room = Room(int((config.cache_bytes - COUNTERS_BYTES) * _COUNTED) // number)
        caches = Caches(room)
        names: list[ClientNames] = []
        for export, each in served:
            if isinstance(each.overlay, ClientOverlays):
                each.overlay.keep_in(caches)
                names.append(_names(export))
                each.overlay.treat(names[-1], resets=export.resets, hook=export.hook)
            else:
                # A single one, too, is one of two for as long as those before it have not left.
                each.overlay.share(max(number + others, 2), caches)
        self._keep_replies([each for _, each in served])
        resolver = Resolver()
        exports = Exports(
            (
                Export(export.path, each.overlay, ClientTable(export.clients, resolver))
                for export, each in served
            ),
            self._tally.stale,
            resolver if config.manage_gids else None,
        )
        streams = self.sockets.reached.streams
        self.workers.listen((*self.sockets.listeners.values(), *streams.values()))
        self._tell_numbers()
        offer = self._offer(exports, overlays, room)
        by_client = partial(name_of, names) if names else None
        self.workers.begin(number, partial(work, offer), by_client=by_client, others=others)

    def _offer(self, exports: Exports, overlays: tuple[Overlay, ...], room: Room) -> Offer:
        """What workers serve, and who is told of it."""
        config, bound, locking = self._config, self.sockets.bound, self.sockets.locking
        mode = rpcbind_mode(config, bound)
        portmapper = Portmapper()
        programs = (
            nfs3.program(exports),
            nfsacl.program(exports),
            *mount.MountService(exports, self._mounts).programs(),
            *portmapper.programs(),
        )
        streamed = [each for each in programs if each.number != RPCBPROG or mode == "embedded"]
        datagrams = by_datagram(config, mode, streamed)
        known = registrations(bound, streamed, datagrams) + locking.registrations()
        portmapper.know(known)
        self._registering.want(known if mode == "system" else ())
        answering = partial(self._dispatcher, exports, room)
        by_udp = DatagramService(
            tuple(self.sockets.reached.datagrams.values()), answering(datagrams)
        )
        return Offer(
            *(exports, overlays, answering(streamed), by_udp, self._tally, self._replays),
            locking.offer(exports, overlays, self._tally),
        )

    def _dispatcher(self, exports: Exports, room: Room, programs: Iterable[Program]) -> Dispatcher:
        dispatcher = Dispatcher(programs, self._replays, room, exports.access.basis, self._tally)
        dispatcher.trace = self._trace
        return dispatcher

    def _keep_replies(self, served: Sequence[_Opened]) -> None:
        """Have one cache for all exports, kept where changes are kept."""
        writable = [each for each in served if each.config.layers.upperdir is not None]
        if self._replays_at in writable:
            return
        before, self._replays, self._replays_at = self._replays, None, None
        if writable:
            self._replays_at = writable[0]
            state, epoch = _state(writable[0])
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

    @property
    def held(self) -> Held:
        """What this server has in use, which what it is to serve next may have."""
        directories = (each.directories for one in self._opened for each in one.shared)
        return Held(tuple(self.sockets.ports()), frozenset().union(*directories))

    def _tell_numbers(self) -> None:
        """Answer GET /metrics where that is configured, and nowhere else."""
        wanted = self.sockets.metrics.values()
        for listener in set(self._scrapes).difference(wanted):
            self.workers.attend_no_more(self._scrapes.pop(listener))
        for listener in wanted:
            if listener not in self._scrapes:
                self._scrapes[listener] = Scrape(listener, self._numbers.text)
                self.workers.attend(self._scrapes[listener])

    def _indexed(self) -> list[tuple[bytes, Overlay]]:
        return [
            (each.config.path, overlay)
            for each in self._opened
            for overlay in each.shared
            if not overlay.read_only
        ]

    def close(self) -> None:
        """Let go of all layers."""
        self._registering.want(())
        self.sockets.close_others(NOTHING)
        _close(self._opened)

    def _ended(self, slot: int, pid: int) -> None:
        """What the parent does about a worker that is gone."""
        for each in self._opened:
            for overlay in each.shared:
                overlay.died(pid)
        if self._replays is not None:
            self._replays.died(slot)


def _names(config: ExportConfig) -> ClientNames:
    """What the layers of an export's clients are called."""
    recorded = partial(per_client.addresses, config.layers)
    return ClientNames(dict(config.names), config.leases, recorded)


def _clash(new: ExportConfig, gone: ExportConfig) -> bool:
    """Whether the overlay of one cannot be opened before that of the other is closed."""
    return bool(new.layers.own & gone.layers.own) or overlap.clash(new.layers, gone.layers)


def _is_of(config: ExportConfig) -> tuple[object, ...]:
    """What an overlay is opened with."""
    return config.layers, config.fsid, config.max_clients, config.limits


def _state(opened: _Opened) -> tuple[Fd, bytes]:
    """A file where answers are kept, and the epoch that they are of."""
    for overlay in opened.shared:
        return overlay.open_state(_REPLIES), overlay.write_verifier
    return per_client.open_state(opened.config.layers, _REPLIES), per_client.epoch()


def _close(opened: Sequence[_Opened]) -> None:
    for each in opened:
        for overlay in each.shared:
            overlay.close()


def processors() -> int:
    """How many workers there are unless somebody says otherwise."""
    return min(len(os.sched_getaffinity(0)), WORKERS_MAX)
