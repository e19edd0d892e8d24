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

from index.linux import fd_limit
from index.linux.fd import Fd
from nfsd.base.log import LOGGER
from nfsd.config.file import Config, ExportConfig
from nfsd.export.client_match import ClientTable
from nfsd.export.client_names import ClientNames, name_of
from nfsd.export.client_overlays import ClientOverlays
from nfsd.export.diagnostics import Diagnostics
from nfsd.export.exports import Export, Exports
from nfsd.export.resolver import Resolver
from nfsd.metrics.http import Scrape
from nfsd.metrics.metrics import Metrics
from nfsd.net.datagrams import DatagramService
from nfsd.net.listen_address import bound_address
from nfsd.nfs import acl, mount, procedures
from nfsd.nfs.mount_list import Mounts
from nfsd.portmap.endpoints import by_datagram, registrations, rpcbind_mode
from nfsd.portmap.portmapper import Portmapper
from nfsd.portmap.rpcbind import Registering
from nfsd.process.supervisor import SLOTS, WORKERS_MAX, Workers
from nfsd.rpc.call_stats import CallStats
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.rpc.duplicate_cache import DuplicateRequestCache
from nfsd.rpc.program import Program
from nfsd.server import preflight
from nfsd.server.preflight import Held
from nfsd.server.sockets import NOTHING, open_sockets
from nfsd.server.version import version_text
from nfsd.server.worker_main import WorkerSetup, work
from nfsd.xdr.generated.rpcbind import RPCBPROG
from overlay import per_client
from overlay.base.generations import COUNTERS_BYTES
from overlay.base.lru import CacheBudget
from overlay.filesystem import Overlay
from overlay.model import overlap
from overlay.model.caches import Caches
from overlay.model.config import ConfigError

_REPLIES: Final = b"replies"
# Of the memory for caches; the rest lies between entries, or is in use.
_COUNTED: Final = 2 / 3
_SHOWN: Final = 8  # exports in the status


class _Opened(NamedTuple):
    """An export's overlay, and the export as it was configured when that was opened."""

    config: ExportConfig
    overlay: Overlay | ClientOverlays

    def serves(self, config: ExportConfig) -> bool:
        """Return whether this overlay is the one for an export as it is configured now."""
        return _is_of(config) == _is_of(self.config)

    @property
    def shared(self) -> Iterator[Overlay]:
        """Yield the overlay, if all workers have it open.

        One of a client's own is open in one of them.
        """
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

        Raises Refusal, with nothing left open.
        """
        fd_limit.raise_limit()
        self._trace, self._progress = trace, progress
        self._passed = {f"systemd:{number}": sock for number, sock in enumerate(passed)}
        self._opened: list[_Opened] = []
        self._duplicates: DuplicateRequestCache | None = None
        self._duplicates_at: _Opened | None = None  # the file that it is in
        self._mounts = Mounts()
        self._stats = CallStats()
        self._registering = Registering()
        self.workers = Workers(self._ended)
        self._numbers = Metrics(
            version_text(),
            self._stats,
            self.workers.worker_numbers,
            self._indexed,
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
        """Serve another configuration, if it can be served; else raise Refusal.

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
        if sockets.locking.port not in (None, before.locking.port):
            LOGGER.info("locks: NLM and NSM on port %d", sockets.locking.port)
        before.close_others(sockets)

    def _check(self, config: Config) -> None:
        """Raise Refusal for what could not be served."""
        preflight.check(config, list(map(bound_address, self._passed.values())), self.held)

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
                    LOGGER.critical("the earlier exports cannot be opened again: %s", problem)
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
        budget = CacheBudget(int((config.cache_bytes - COUNTERS_BYTES) * _COUNTED) // number)
        caches = Caches(budget)
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
        exports = self._exports(config, served)
        streams = self.sockets.endpoints.streams
        self.workers.listen((*self.sockets.listeners.values(), *streams.values()))
        self._tell_numbers()
        setup = self._setup(exports, overlays, budget)
        by_client = partial(name_of, names) if names else None
        self.workers.begin(number, partial(work, setup), by_client=by_client, others=others)

    def _exports(self, config: Config, served: list[tuple[ExportConfig, _Opened]]) -> Exports:
        """Return what is open, to whom, and what its calls are counted under."""
        resolver = Resolver()
        exports = []
        for export, each in served:
            clients = ClientTable(export.clients, resolver)
            number = self._stats.exports.number(export.path)
            exports.append(Export(export.path, each.overlay, clients, number))
        return Exports(exports, resolver if config.manage_gids else None)

    def _setup(
        self, exports: Exports, overlays: tuple[Overlay, ...], budget: CacheBudget
    ) -> WorkerSetup:
        """Return what workers serve, and who is told of it."""
        config, bound, locking = self._config, self.sockets.bound, self.sockets.locking
        mode = rpcbind_mode(config, bound)
        portmapper, diagnostics = Portmapper(), Diagnostics(exports, self._stats.stale)
        programs = (
            procedures.program(exports, diagnostics),
            acl.program(exports, diagnostics),
            *mount.MountService(exports, self._mounts).programs(),
            *portmapper.programs(),
        )
        streamed = [each for each in programs if each.number != RPCBPROG or mode == "embedded"]
        datagrams = by_datagram(config, mode, streamed)
        known = registrations(bound, streamed, datagrams) + locking.registrations()
        portmapper.know(known)
        self._registering.want(known if mode == "system" else ())
        answering = partial(self._dispatcher, exports, budget)
        by_udp = DatagramService(
            tuple(self.sockets.endpoints.datagrams.values()), answering(datagrams)
        )
        return WorkerSetup(
            exports,
            overlays,
            answering(streamed),
            by_udp,
            self._stats,
            self._duplicates,
            locking.setup(exports, overlays, self._stats),
        )

    def _dispatcher(
        self, exports: Exports, budget: CacheBudget, programs: Iterable[Program]
    ) -> Dispatcher:
        dispatcher = Dispatcher(
            programs, self._duplicates, budget, exports.access.basis, self._stats
        )
        dispatcher.trace = self._trace
        return dispatcher

    def _keep_replies(self, served: Sequence[_Opened]) -> None:
        """Have one cache for all exports, kept where changes are kept."""
        writable = [each for each in served if each.config.layers.upperdir is not None]
        if self._duplicates_at in writable:
            return
        before, self._duplicates, self._duplicates_at = self._duplicates, None, None
        if writable:
            self._duplicates_at = writable[0]
            state, epoch = _state(writable[0])
            self._duplicates = DuplicateRequestCache(state, SLOTS, epoch)
            if before is not None:
                self._duplicates.adopt(before)

    def serving(self) -> str:
        """Return what is served, in a line."""
        paths = [os.fsdecode(export.path) for export in self._config.exports]
        shown = ", ".join(paths[:_SHOWN]) + (", ..." if len(paths) > _SHOWN else "")
        return f"serving {shown}; exports: {len(paths)}, workers: {self.workers.number}"

    def status(self) -> str:
        """Return what is served, to how many connections."""
        return f"{self.serving()}, connections: {self.workers.connections}"

    @property
    def held(self) -> Held:
        """Return what this server has in use, which what it is to serve next may have."""
        directories = (each.directories for one in self._opened for each in one.shared)
        return Held(tuple(self.sockets.ports()), frozenset().union(*directories))

    def _tell_numbers(self) -> None:
        """Answer GET /metrics where that is configured, and nowhere else."""
        wanted = self.sockets.metrics.values()
        in_child = self.workers.after_in_child
        for listener in set(self._scrapes).difference(wanted):
            scrape = self._scrapes.pop(listener)
            in_child.remove(scrape.close)
            scrape.close()
        for listener in wanted:
            if listener not in self._scrapes:
                scrape = Scrape(self.workers.loop, listener, self._numbers.text)
                self._scrapes[listener] = scrape
                in_child.append(scrape.close)

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
        self.workers.loop.close()
        self.sockets.close_others(NOTHING)
        _close(self._opened)

    def _ended(self, slot: int, pid: int) -> None:
        """Do in the parent what is to be done about a worker that is gone."""
        for each in self._opened:
            for overlay in each.shared:
                overlay.died(pid)
        if self._duplicates is not None:
            self._duplicates.died(slot)


def _names(config: ExportConfig) -> ClientNames:
    """Return what the layers of an export's clients are called."""
    recorded = partial(per_client.addresses, config.layers)
    return ClientNames(dict(config.names), config.leases, recorded)


def _clash(new: ExportConfig, gone: ExportConfig) -> bool:
    """Return whether the overlay of one cannot be opened before that of the other is closed."""
    return bool(new.layers.own & gone.layers.own) or overlap.clash(new.layers, gone.layers)


def _is_of(config: ExportConfig) -> tuple[object, ...]:
    """Return what an overlay is opened with."""
    return config.layers, config.fsid, config.max_clients, config.limits


def _state(opened: _Opened) -> tuple[Fd, bytes]:
    """Return a file that has answers, and the epoch that they are of."""
    for overlay in opened.shared:
        return overlay.open_state(_REPLIES), overlay.write_verifier
    return per_client.open_state(opened.config.layers, _REPLIES), per_client.epoch()


def _close(opened: Sequence[_Opened]) -> None:
    for each in opened:
        for overlay in each.shared:
            overlay.close()


def processors() -> int:
    """Return how many workers there are unless somebody says otherwise."""
    return min(len(os.sched_getaffinity(0)), WORKERS_MAX)
