"""What the figures should come to, and whether they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.bench.figures import number, table

_TEXT: Final = """\
What is asked for, the most that it may be, and what was found.

"""


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure that is to be no more than so much."""

    what: str
    most: float
    found: float
    unit: str

    @property
    def row(self) -> list[str]:
        """Of the table."""
        verdict = "met" if self.found <= self.most else "**not met**"
        return [
            self.what,
            *(f"{number(each)} {self.unit}" for each in (self.most, self.found)),
            verdict,
        ]


def section(aims: list[Aim]) -> str:
    """All of them."""
    head = ["", "at most", "found", ""]
    return "## Aims\n\n" + _TEXT + table(head, [aim.row for aim in aims])
