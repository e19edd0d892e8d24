"""One attack beside a good client: what that saw, and what the server took."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from typing import Final

from tests.conformance.server import Server
from tests.hostile.attacks import ATTACKS
from tests.hostile.good import Record, good
from tests.hostile.target import Levels, Target, levels

_LOOK: Final = 0.2
_REST_SECONDS: Final = 20.0  # seconds after an attack, until levels must be what they were
NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of an attack."""

    attack: str
    records: list[Record]
    most: Levels  # more than before, while it went on
    left: Levels  # and afterwards

    @property
    def errors(self) -> list[str]:
        """What went wrong for the good client."""
        named = (f"{each.name}: {error}" for each in self.records for error in each.errors)
        return list(dict.fromkeys(named))

    def row(self) -> str:
        """A line of a table in Markdown; times in milliseconds, memory in MiB."""
        cells = [self.attack, str(sum(len(each.seconds) for each in self.records))]
        cells.append(str(len(self.errors)))
        cells += (f"{each.at(0.99) * 1e3:.1f} ({each.at(1) * 1e3:.0f})" for each in self.records)
        cells += [f"{self.most.memory / 2**20:+.0f}", f"{self.left.memory / 2**20:+.0f}"]
        cells += [f"{self.most.connections:+d}", f"{self.left.connections:+d}"]
        cells.append(f"{self.left.descriptors:+d}")
        return "| " + " | ".join(cells) + " |"


HEAD: Final = (
    "| attack | good calls | errors | GETATTR p99 (max) ms | WRITE FILE_SYNC | LOCK "
    "| connect, GETATTR | memory most, MiB | after | connections most | after "
    "| descriptors after |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def trial(server: Server, target: Target, attack: str, seconds: float) -> Trial:
    """Attack a server for so long."""
    before = most = levels(server)
    attacker = None
    if attack != NONE:
        work, until = ATTACKS[attack], time.monotonic() + seconds
        attacker = multiprocessing.get_context("fork").Process(target=work, args=(target, until))
        attacker.start()
    with good(target) as records:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(_LOOK)
            most = Levels(*map(max, most, levels(server)))
    if attacker is not None:
        attacker.join(seconds + _REST_SECONDS)
        if attacker.is_alive():
            attacker.kill()
            attacker.join()
    return Trial(attack, records, most.over(before), _at_rest(server, before).over(before))


def _at_rest(server: Server, before: Levels) -> Levels:
    """The levels once connections are what they were, or as they stay."""
    deadline = time.monotonic() + _REST_SECONDS
    while levels(server).connections > before.connections and time.monotonic() < deadline:
        time.sleep(_LOOK)
    time.sleep(1)  # for what is let go of then
    return levels(server)
