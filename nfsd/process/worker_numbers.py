"""What the parent process knows of its workers and their clients, to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class WorkerNumbers(NamedTuple):
    """What the parent knows of its workers and their clients."""

    pids: Mapping[int, int]  # of the workers, by slot
    others: Sequence[int]  # pids of processes without connections: that which owns the locks
    deaths: int
    accepted: int
    clients: Mapping[str, int]  # connections by address
