"""Processes from the outside: the processors and the memory that they use, and where they run.

A server is its process and all that descend from it.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, TypeAlias

Cpus: TypeAlias = frozenset[int]

_PROC: Final = Path("/proc")
_OFTEN: Final = 0.1  # seconds between two looks


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it has ended
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def cpu_seconds(pids: Collection[int]) -> float:
    """What processes have used of processors so far, all their threads together."""
    # The clock of a process as clock_getcpuclockid(3) makes it: exact, where stat counts ticks.
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def resident_bytes(pids: Collection[int]) -> int:
    """The memory that processes hold, what they share counted once."""
    total = 0
    for pid in pids:
        found = re.search(r"^Pss:\s+(\d+) kB", (_PROC / f"{pid}/smaps_rollup").read_text(), re.M)
        assert found is not None, "no Pss in smaps_rollup"
        total += int(found[1]) * 1024
    return total


def descriptors(pids: Collection[int]) -> int:
    """How many descriptors the one has open that has the most."""
    return max(len(os.listdir(_PROC / f"{pid}/fd")) for pid in pids)


class Most:
    """What some processes hold and have open at most, from now on.

    A look takes some milliseconds of a processor, which may be that of a call that is timed.
    """

    def __init__(self, pids: Sequence[int], seconds: float = _OFTEN) -> None:
        """`seconds`: between two looks."""
        self._pids, self._pause = pids, seconds
        self._before = resident_bytes(pids)
        self.held = 0  # bytes more than before
        self.opened = 0  # descriptors of the one that has the most
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._done.wait(self._pause):
            self.look()

    def look(self) -> None:
        """Look now, too."""
        self.held = max(self.held, resident_bytes(self._pids) - self._before)
        self.opened = max(self.opened, descriptors(self._pids))

    def stop(self) -> None:
        """Look for the last time."""
        self._done.set()
        self._watcher.join()
        self.look()


def pin(pids: Collection[int], cpus: Cpus) -> None:
    """Have every thread of some processes run on these processors only."""
    for pid in pids:
        for task in (_PROC / f"{pid}/task").iterdir():
            try:
                os.sched_setaffinity(int(task.name), cpus)
            except ProcessLookupError:
                continue  # the thread has ended


def on(cpus: Cpus, words: Sequence[str]) -> list[str]:
    """A command that runs on these processors only, and does not outlive this process."""
    listed = ",".join(map(str, sorted(cpus)))
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "--cpu-list", listed, *words]
