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
MEDIUM_BYTES: Final = 64 * KIB  # of others
DEPTH: Final = 12  # directories above others that are small
WIDE_NAMES: Final = 10_000  # in one directory, half of them in both layers
MANY: Final = 100  # directories, each with so many names
REMOVED_NAMES: Final = 20  # in each directory that is removed with what is in it
BIG_BYTES: Final = 256 * MIB
LARGE_BYTES: Final = 1024 * MIB

BIG: Final = "big"  # is read
LARGE: Final = "large"  # has its attributes changed before it is written to
LINK: Final = "link"
LISTING: Final = "listing"
WIDE: Final = "wide"
SMALL: Final = "small"
MEDIUM: Final = "medium"
DEEP: Final = "/".join(["deep", *map(str, range(1, DEPTH))])
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


def many(number: int) -> str:
    """The path of one of many directories."""
    return f"many/{number:02}"


def once(where: str, number: int) -> str:
    """The path of a file, in SMALL, MEDIUM or DEEP, that is there to be written to once."""
    return f"{where}/{file_name(number)}"


def removed(number: int) -> str:
    """The path of a directory that is there to be removed."""
    return f"removed/{number:04}"


def names_in(directory: str, count: int) -> list[str]:
    """The paths of so many files in a directory."""
    return [f"{directory}/{file_name(each)}" for each in range(count)]


def make_layers(top: Path, bottom: Path, written: int, gone: int) -> None:
    """Both lower layers, with files to be written to once and directories to be removed."""
    listed = names_in(LISTING, LISTED) + names_in(WIDE, WIDE_NAMES)
    listed += [path for each in range(MANY) for path in names_in(many(each), MANY)]
    _fill(bottom, [*files(), *listed], FILE_BYTES)
    _fill(top, [*files()[::2], *listed[::2]], FILE_BYTES)
    for where, size in (SMALL, SMALL_BYTES), (MEDIUM, MEDIUM_BYTES), (DEEP, SMALL_BYTES):
        _fill(bottom, [once(where, each) for each in range(written)], size)
    for each in range(gone):
        _fill(bottom, names_in(removed(each), REMOVED_NAMES), FILE_BYTES)
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
