"""The numbers that a server tells, as a test reads them: with another program's parser."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.server import Server

OPTIONS: Final = ("--metrics", "127.0.0.1:0")
_LIMIT: Final = 90.0


class Numbers:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {each.name: each for each in text_string_to_metric_families(text)}
        self._samples = [each for family in self.families.values() for each in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            each.value
            for each in self._samples
            if each.name == f"overlay_nfsd_{name}" and labels.items() <= each.labels.items()
        )

    def labels(self, name: str, label: str) -> set[str]:
        """What a label is in the samples of this name."""
        found = [each for each in self._samples if each.name == f"overlay_nfsd_{name}"]
        return {each.labels[label] for each in found}

    def counters(self) -> dict[tuple[str, str], float]:
        """All that may only grow."""
        growing = ("_total", "_bucket", "_sum", "_count")
        return {
            (each.name, str(sorted(each.labels.items()))): each.value
            for each in self._samples
            if each.name.endswith(growing)
        }


def page(server: Server) -> str:
    """Where a server started with OPTIONS tells its numbers."""
    found = re.search(r"numbers: (http://\S+/metrics)\n", server.banner + server.output())
    assert found is not None, f"no address of numbers was printed: {server.banner}"
    return found[1]


def scrape(server: Server) -> Numbers:
    """The numbers now."""
    with urllib.request.urlopen(page(server), timeout=_LIMIT) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Numbers(answer.read().decode())


def scraped_when(server: Server, what: Callable[[Numbers], bool]) -> Numbers:
    """The numbers as soon as they are so."""
    deadline = time.monotonic() + _LIMIT
    while not what(numbers := scrape(server)):
        assert time.monotonic() < deadline, numbers.text
        time.sleep(0.05)
    return numbers
