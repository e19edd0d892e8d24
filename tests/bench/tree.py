"""The layers that every server is measured on: what is in them, and how they are made.

Rule: names and sizes are here alone; what a workload touches, it finds by these.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20

DIRECTORIES: Final = 20
FILES: Final = 20_000  # in all these directories, half of them in both layers
FILE_BYTES: Final = KIB
LISTED: Final = 2_000  # names in the directory that is listed, half of them in both layers
SMALL_BYTES: Final = 4 * KIB  # of each file that is written to for the first time
BIG_BYTES: Final = 256 * MIB
LARGE_BYTES: Final = 1024 * MIB

BIG: Final = "big"  # is read
LARGE: Final = "large"  # has its attributes changed before it is written to
LINK: Final = "link"
LISTING: Final = "listing"
SMALL: Final = "small"
WORK: Final = "work"  # where workloads make what they change


def directory(number: int) -> str:
    """The path of a directory of files."""
    return f"files/{number:02}"


def file_name(number: int) -> str:
    """The name of a file, of all of them, in its directory."""
    return f"file{number:05}"


@cache
def files() -> tuple[str, ...]:
    """The paths of all files."""
    return tuple(f"{directory(each % DIRECTORIES)}/{file_name(each)}" for each in range(FILES))


def small_file(number: int) -> str:
    """The path of a file that is there to be written to once."""
    return f"{SMALL}/{file_name(number)}"


def make_layers(top: Path, bottom: Path, small: int) -> None:
    """Both lower layers, with so many small files."""
    listed = [f"{LISTING}/{file_name(each)}" for each in range(LISTED)]
    _fill(bottom, [*files(), *listed], FILE_BYTES)
    _fill(top, [*files()[::2], *listed[::2]], FILE_BYTES)
    _fill(bottom, map(small_file, range(small)), SMALL_BYTES)
    _fill(bottom, [BIG], BIG_BYTES)
    _fill(bottom, [LARGE], LARGE_BYTES)
    (bottom / LINK).symlink_to(files()[0])
    (bottom / WORK).mkdir()


def _fill(layer: Path, paths: Iterable[str], size: int) -> None:
    chunk = os.urandom(min(size, MIB))
    made: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        if parent not in made:
            (layer / parent).mkdir(parents=True, exist_ok=True)
            made.add(parent)
        with (layer / path).open("wb") as file:
            for _ in range(size // len(chunk)):
                file.write(chunk)
