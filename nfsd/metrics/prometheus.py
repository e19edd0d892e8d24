"""Prometheus' text format, written and read: names, labels and values, one sample a line.

Source: the exposition formats of Prometheus, text format version 0.0.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

PREFIX: Final = "overlay_nfsd_"  # of the names of this server's numbers
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SAMPLE: Final = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)",?')
_ESCAPES: Final = {"\\": r"\\", "\n": r"\n", '"': r"\""}
_UNESCAPES: Final = {escaped: sign for sign, escaped in _ESCAPES.items()}

Labels: TypeAlias = Mapping[str, str]


class Family(NamedTuple):
    """What is told of one thing: counter, gauge or histogram; a histogram has upper bounds."""

    name: str
    kind: str
    help: str
    bounds: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Return the names of its samples."""
        if self.kind != "histogram":
            return (self.name,)
        return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")


def counter(name: str, text: str) -> Family:
    """Return what of ours only grows."""
    return Family(f"{PREFIX}{name}_total", "counter", text)


def gauge(name: str, text: str) -> Family:
    """Return what of ours goes up and down."""
    return Family(PREFIX + name, "gauge", text)


class Distribution(NamedTuple):
    """The value of a histogram: how many are in each class, the last unbounded, and their sum."""

    classes: Sequence[int]
    total: float


Value: TypeAlias = float | Distribution


class Sample(NamedTuple):
    """One line that was read."""

    name: str
    labels: Labels
    value: float


def written(families: Iterable[tuple[Family, Iterable[tuple[Labels, Value]]]]) -> str:
    """Return the text for these families with the values that each has, by labels."""
    lines: list[str] = []
    for family, values in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for labels, value in values:
            lines.extend(_lines(family, labels, value))
    return "\n".join(lines) + "\n"


def _lines(family: Family, labels: Labels, value: Value) -> Iterator[str]:
    if not isinstance(value, Distribution):
        yield f"{family.name}{_labels(labels)} {value}"
        return
    bucket, total, count = family.series
    sums = list(accumulate(value.classes))
    for bound, up_to in zip((*map(str, family.bounds), "+Inf"), sums, strict=True):
        yield f"{bucket}{_labels({**labels, 'le': bound})} {up_to}"
    yield f"{total}{_labels(labels)} {value.total}"
    yield f"{count}{_labels(labels)} {sums[-1]}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return re.sub(r'[\\\n"]', lambda found: _ESCAPES[found[0]], value)


def read(text: str) -> list[Sample]:
    """Return the samples in a text that `written` made.

    Raises ValueError for what it would not make.
    """
    samples = []
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.fullmatch(line)
        if found is None:
            raise ValueError(f"no sample: {line[:80]}")
        labels = {
            name: re.sub(r"\\.", lambda escaped: _UNESCAPES[escaped[0]], value)
            for name, value in _LABEL.findall(found["labels"] or "")
        }
        samples.append(Sample(found["name"], labels, float(found["value"])))
    return samples
