"""What a call costs beside the locks of many owners: `python -m tests.bench.lock_table`.

Of the table of locks alone, in processor time: what a call costs before and after that, to
be received, decoded, checked and answered, does not depend on the locks.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from statistics import median

from nfsd.lock.table import LockTable
from nfsd.lock.types import Client, Lock, Outcome, Owner
from nfsd.process import interpreter

NUMBERS = (10, 1_000, 100_000)
CALLS = 2_000
ROUNDS = 5


def owner(number: int) -> Owner:
    return Owner(Client("192.0.2.1", b"alpha"), number, b"%d@alpha" % number)


def table_of(number: int, *, files: int) -> LockTable:
    """A table in which so many owners have a byte each, of as many files."""
    table = LockTable(lambda *_: None)
    for place in range(number):
        lock = Lock(owner(place), 10 * place, 10 * place + 1, place % 2 == 0)
        assert table.lock(b"%d" % (place % files), lock, wait=False) is Outcome.GRANTED
    return table


def measure(number: int, *, files: int) -> dict[str, float]:
    """Microseconds of each call: one more owner locks bytes between those of others."""
    table = table_of(number, files=files)
    gc.collect()
    interpreter.tune()
    calls: dict[str, Callable[[bytes, Lock], object]] = {
        "TEST": table.test,
        "LOCK": lambda key, lock: table.lock(key, lock, wait=False),
        "UNLOCK": table.unlock,
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        costs = dict.fromkeys(calls, 0.0)
        for _ in range(max(1, CALLS // number)):
            places = random.sample(range(number), min(number, CALLS))
            locks = [Lock(owner(number + 1), 10 * at + 5, 10 * at + 6, True) for at in places]
            wanted = [(b"%d" % (at % files), lock) for at, lock in zip(places, locks, strict=True)]
            for name, call in calls.items():
                begun = time.process_time()
                for key, lock in wanted:
                    call(key, lock)
                costs[name] += time.process_time() - begun
        for name, seconds in costs.items():
            found[name].append(seconds / max(number * (CALLS // number), min(number, CALLS)) * 1e6)
    return {name: median(each) for name, each in found.items()}


def main() -> None:
    print("| owners | | " + " | ".join(("TEST", "LOCK", "UNLOCK")) + " |")
    print("|---|---|---|---|---|")
    for number in NUMBERS:
        for files, where in ((1, "on one file"), (number, "each on a file of its own")):
            costs = measure(number, files=files)
            row = " | ".join(f"{each:.0f}" for each in costs.values())
            print(f"| {number:,} | {where} | {row} |")


if __name__ == "__main__":
    main()
