"""The numbers that Prometheus is told: what there is, and how the parent process finds it.

Everything is read from memory that the workers share with the parent, or from
/proc: no worker is asked, so a scrape costs no client anything.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from nfsd.config.file import ExportConfig
from nfsd.metrics import export_metrics
from nfsd.metrics.prometheus import (
    PREFIX,
    Distribution,
    Family,
    Labels,
    Value,
    counter,
    gauge,
    written,
)
from nfsd.process.worker_numbers import WorkerNumbers
from nfsd.rpc.call_stats import BOUNDS, STATUSES, CallStats, Counted
from nfsd.rpc.duplicate_entry import Fate
from nfsd.rpc.export_stats import ExportCounts
from overlay.filesystem import Overlay
from overlay.model import copy_up_counts

_INDEX_SECONDS: Final = 0.05  # of each scrape, at most, for counting the entries of one index
_CLIENTS_MAX: Final = 1000  # named one by one
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


INFO: Final = gauge("info", "The version of the server; the value is 1.")
START: Final = gauge("start_time_seconds", "When the server was started, seconds since 1970.")
CALLS: Final = counter("calls", "Calls that reached a procedure.")
ERRORS: Final = counter("errors", "Calls whose reply has another status than OK.")
CACHED: Final = counter("cached_replies", "Calls that were answered from the reply cache.")
DURATION: Final = Family(
    f"{PREFIX}call_duration_seconds",
    "histogram",
    "From reading a call to having its reply, without the network.",
    tuple(bound / 1e9 for bound in BOUNDS),
)
REFUSED: Final = counter("refused_calls", "Calls that reached no procedure, by what RPC says.")
REPEATED: Final = counter(
    "repeated_calls",
    "Calls that came again: answered from the duplicate-request cache (done), under way (running), "
    "or begun by a worker that died (unknown).",
)
DATA: Final = counter("data_bytes", "Bytes of file contents in READ and WRITE.")
EXPORT_CALLS: Final = counter("export_calls", "Calls of NFS and NFSACL with a handle, by export.")
EXPORT_ERRORS: Final = counter("export_errors", "Those whose reply has another status than OK.")
EXPORT_DATA: Final = counter("export_data_bytes", "Bytes of file contents, by export.")
STALE: Final = counter("stale_handles", "Calls with a stale file handle, by its cause.")
COPY_UPS: Final = counter("copy_ups", "Objects that were copied up, by what was copied.")
COPY_UP_ERRORS: Final = counter("copy_up_errors", "Copy-ups that failed.")
COPY_UP_BYTES: Final = counter("copy_up_bytes", "Bytes of data copied up, shared ones included.")
COPY_UP_SECONDS: Final = counter("copy_up_seconds", "Time that copy-ups took.")
COPYING: Final = gauge("copy_ups_in_progress", "Copy-ups under way.")
ACCEPTED: Final = counter("accepted_connections", "Connections accepted.")
CONNECTIONS: Final = gauge("client_connections", "Open connections, by client.")
CLIENTS: Final = gauge("clients", "Clients that have an open connection.")
INDEX: Final = gauge("index_entries", "Entries in the index, by export.")
LOCKS: Final = gauge("locks", "Locks of files, by whether they are held or waiting.")
MEMORY: Final = gauge("resident_memory_bytes", "Resident memory, by process.")
CPU: Final = counter("cpu_seconds", "Processor time of all processes.")
WORKERS: Final = gauge("workers", "Workers that run.")
DEATHS: Final = counter("worker_deaths", "Workers that ended without being told to.")
FAMILIES: Final = (
    *(INFO, START, CALLS, ERRORS, CACHED, DURATION, REFUSED, REPEATED, DATA, STALE),
    *(EXPORT_CALLS, EXPORT_ERRORS, EXPORT_DATA),
    *(COPY_UPS, COPY_UP_ERRORS, COPY_UP_BYTES, COPY_UP_SECONDS, COPYING),
    *(ACCEPTED, CONNECTIONS, CLIENTS, INDEX, *export_metrics.FAMILIES),
    *(LOCKS, MEMORY, CPU, WORKERS, DEATHS),
)

_Values: TypeAlias = Iterable[tuple[Labels, Value]]


class Metrics:
    """All numbers of one server; to be asked in the parent process."""

    def __init__(
        self,
        version: str,
        stats: CallStats,
        worker_numbers: Callable[[], WorkerNumbers],
        overlays: Callable[[], Iterable[tuple[bytes, Overlay]]],
        exports: Callable[[], Iterable[ExportConfig]],
    ) -> None:
        """`overlays`: those whose index is counted, by the paths of their `exports`."""
        self._version = version
        self._stats = stats
        self._worker_numbers = worker_numbers
        self._overlays = overlays
        self._exports = exports
        self._started = time.time()

    def text(self) -> str:
        """Return all of them as a scrape gets them."""
        values: dict[Family, list[tuple[Labels, Value]]] = {family: [] for family in FAMILIES}
        for part in (self._calls(), self._copy_ups(), self._service(), self._of_exports()):
            for family, labels, value in part:
                values[family].append((labels, value))
        return written(values.items())

    def _calls(self) -> Iterator[tuple[Family, Labels, Value]]:
        totals = self._stats.totals()
        for each in totals.procedures:
            yield from _of_procedure(each)
        for reason, number in totals.refused.items():
            yield REFUSED, {"reason": reason}, number
        for fate, number in totals.repeated.items():
            yield REPEATED, {"was": _WAS[fate]}, number
        for direction, procedure in (("read", "READ"), ("written", "WRITE")):
            moved = sum(each.data for each in totals.procedures if each.procedure == procedure)
            yield DATA, {"direction": direction}, moved
        for cause, number in totals.stale.items():
            yield STALE, {"cause": cause.value}, number
        yield LOCKS, {"state": "held"}, totals.held_locks
        yield LOCKS, {"state": "waiting"}, totals.waiting_locks

    def _copy_ups(self) -> Iterator[tuple[Family, Labels, Value]]:
        for kind, each in copy_up_counts.copy_ups().items():
            labels = {"kind": kind.name.lower()}
            yield COPY_UPS, labels, each.done
            yield COPY_UP_ERRORS, labels, each.failed
            yield COPY_UP_BYTES, labels, each.size
            yield COPY_UP_SECONDS, labels, each.nanoseconds / 1e9
            yield COPYING, labels, each.under_way

    def _service(self) -> Iterator[tuple[Family, Labels, Value]]:
        worker_numbers = self._worker_numbers()
        yield INFO, {"version": self._version}, 1
        yield START, {}, self._started
        yield ACCEPTED, {}, worker_numbers.accepted
        yield CLIENTS, {}, len(worker_numbers.clients)
        for client in sorted(worker_numbers.clients)[:_CLIENTS_MAX]:
            yield CONNECTIONS, {"client": client}, worker_numbers.clients[client]
        yield WORKERS, {}, len(worker_numbers.pids)
        yield DEATHS, {}, worker_numbers.deaths
        processes = {"parent": os.getpid()}
        processes |= {f"worker {slot}": pid for slot, pid in sorted(worker_numbers.pids.items())}
        processes |= zip(("locks",), worker_numbers.others, strict=False)
        for name, pid in processes.items():
            yield MEMORY, {"process": name}, _resident(pid)
        yield CPU, {}, _cpu_seconds((*worker_numbers.pids.values(), *worker_numbers.others))

    def _of_exports(self) -> Iterator[tuple[Family, Labels, Value]]:
        for path, overlay in self._overlays():
            entries = overlay.index_entries(_INDEX_SECONDS)
            if entries is not None:
                yield INDEX, {"export": os.fsdecode(path)}, entries
        counted = self._stats.exports.totals()
        for path in sorted({export.path for export in self._exports()} & counted.keys()):
            yield from _of_export({"export": os.fsdecode(path)}, counted[path])
        yield from export_metrics.export_numbers(self._exports())


_WAS: Final = {Fate.DONE: "done", Fate.RUNNING: "running", Fate.UNKNOWN: "unknown"}


def _of_procedure(counted: Counted) -> Iterator[tuple[Family, Labels, Value]]:
    labels = {"program": counted.program, "procedure": counted.procedure}
    yield CALLS, labels, counted.calls
    if not counted.calls:
        return
    yield CACHED, labels, sum(counted.cached)
    yield DURATION, labels, Distribution(counted.times, counted.nanoseconds / 1e9)
    for status, *numbers in zip(STATUSES[1:], counted.made[1:], counted.cached[1:], strict=True):
        if any(numbers):
            yield ERRORS, {**labels, "status": status}, sum(numbers)


def _of_export(labels: Labels, counted: ExportCounts) -> Iterator[tuple[Family, Labels, Value]]:
    yield EXPORT_CALLS, labels, counted.calls
    yield EXPORT_ERRORS, labels, counted.errors
    yield EXPORT_DATA, {**labels, "direction": "read"}, counted.read
    yield EXPORT_DATA, {**labels, "direction": "written"}, counted.written


def _resident(pid: int) -> int:
    """Return how many bytes of memory a process has; 0 of one that has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _cpu_seconds(workers: Iterable[int]) -> float:
    """Of this process, of its children that ended, and of these that run."""
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        seconds += used.ru_utime + used.ru_stime
    for pid in workers:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        seconds += (int(fields[11]) + int(fields[12])) / _TICKS
    return round(seconds, 2)
