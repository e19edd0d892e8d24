"""The numbers that Prometheus is told: what there is, and how the parent process finds it.

Everything is read from memory that the workers share with the parent, or from
/proc: no worker is asked, so a scrape costs no client anything.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from nfsd import export_numbers
from nfsd.config_file import ExportConfig
from nfsd.exposition import (
    PREFIX,
    Distribution,
    Family,
    Labels,
    Value,
    counter,
    gauge,
    written,
)
from nfsd.replay_entry import Fate
from nfsd.tally import BOUNDS, STATUSES, Counted, Tally
from overlay import counts
from overlay.filesystem import Overlay

_INDEX_SECONDS: Final = 0.05  # of each scrape, at most, for counting the entries of one index
_CLIENTS_MAX: Final = 1000  # named one by one
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


INFO: Final = gauge("info", "The version of the server; the value is 1.")
START: Final = gauge("start_time_seconds", "When the server was started, seconds since 1970.")
CALLS: Final = counter("calls", "Calls that reached a procedure.")
ERRORS: Final = counter("errors", "Calls whose reply has another status than OK.")
KEPT: Final = counter("kept_replies", "Calls that were answered by a reply that was kept.")
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
    *(INFO, START, CALLS, ERRORS, KEPT, DURATION, REFUSED, REPEATED, DATA, STALE),
    *(COPY_UPS, COPY_UP_ERRORS, COPY_UP_BYTES, COPY_UP_SECONDS, COPYING),
    *(ACCEPTED, CONNECTIONS, CLIENTS, INDEX, *export_numbers.FAMILIES),
    *(LOCKS, MEMORY, CPU, WORKERS, DEATHS),
)

_Values: TypeAlias = Iterable[tuple[Labels, Value]]


class Staff(NamedTuple):
    """What the parent knows of its workers and their clients."""

    pids: Mapping[int, int]  # of the workers, by slot
    others: Sequence[int]  # pids of those that serve no connections: who owns the locks
    deaths: int
    accepted: int
    clients: Mapping[str, int]  # connections by address


class Metrics:
    """All numbers of one server; to be asked in the parent process."""

    def __init__(
        self,
        version: str,
        tally: Tally,
        staff: Callable[[], Staff],
        overlays: Callable[[], Iterable[tuple[bytes, Overlay]]],
        exports: Callable[[], Iterable[ExportConfig]],
    ) -> None:
        """`overlays`: those whose index is counted, by the paths of their `exports`."""
        self._version = version
        self._tally = tally
        self._staff = staff
        self._overlays = overlays
        self._exports = exports
        self._started = time.time()

    def text(self) -> str:
        """Everything, as it is told."""
        values: dict[Family, list[tuple[Labels, Value]]] = {family: [] for family in FAMILIES}
        for part in (self._calls(), self._copy_ups(), self._service(), self._of_exports()):
            for family, labels, value in part:
                values[family].append((labels, value))
        return written(values.items())

    def _calls(self) -> Iterator[tuple[Family, Labels, Value]]:
        totals = self._tally.totals()
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
        for kind, each in counts.copy_ups().items():
            labels = {"kind": kind.name.lower()}
            yield COPY_UPS, labels, each.done
            yield COPY_UP_ERRORS, labels, each.failed
            yield COPY_UP_BYTES, labels, each.size
            yield COPY_UP_SECONDS, labels, each.nanoseconds / 1e9
            yield COPYING, labels, each.under_way

    def _service(self) -> Iterator[tuple[Family, Labels, Value]]:
        staff = self._staff()
        yield INFO, {"version": self._version}, 1
        yield START, {}, self._started
        yield ACCEPTED, {}, staff.accepted
        yield CLIENTS, {}, len(staff.clients)
        for client in sorted(staff.clients)[:_CLIENTS_MAX]:
            yield CONNECTIONS, {"client": client}, staff.clients[client]
        yield WORKERS, {}, len(staff.pids)
        yield DEATHS, {}, staff.deaths
        processes = {"parent": os.getpid()}
        processes |= {f"worker {slot}": pid for slot, pid in sorted(staff.pids.items())}
        processes |= zip(("locks",), staff.others, strict=False)
        for name, pid in processes.items():
            yield MEMORY, {"process": name}, _resident(pid)
        yield CPU, {}, _cpu_seconds((*staff.pids.values(), *staff.others))

    def _of_exports(self) -> Iterator[tuple[Family, Labels, Value]]:
        for path, overlay in self._overlays():
            entries = overlay.index_entries(_INDEX_SECONDS)
            if entries is not None:
                yield INDEX, {"export": os.fsdecode(path)}, entries
        yield from export_numbers.export_numbers(self._exports())


_WAS: Final = {Fate.DONE: "done", Fate.RUNNING: "running", Fate.UNKNOWN: "unknown"}


def _of_procedure(counted: Counted) -> Iterator[tuple[Family, Labels, Value]]:
    labels = {"program": counted.program, "procedure": counted.procedure}
    yield CALLS, labels, counted.calls
    if not counted.calls:
        return
    yield KEPT, labels, sum(counted.kept)
    yield DURATION, labels, Distribution(counted.times, counted.nanoseconds / 1e9)
    for status, *numbers in zip(STATUSES[1:], counted.made[1:], counted.kept[1:], strict=True):
        if any(numbers):
            yield ERRORS, {**labels, "status": status}, sum(numbers)


def _resident(pid: int) -> int:
    """Bytes of memory; 0 of a process that has just ended."""
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
