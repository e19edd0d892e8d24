"""Fills a directory of a lower layer, before it is served, with what the scenarios copy up.

Directories are opened below each other by name: paths of some are longer than PATH_MAX.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from nfsd.torture.model import USUALLY_DEEPEST
from nfsd.torture.scenarios import Needs, Scenario

_FILES_IN_DIRECTORY: Final = 8
_FLAT: Final = "readdir"  # the scenario that wants one large directory
_DEPTH: Final = 5  # not deeper than the operations go themselves
_LONG: Final = 200  # bytes of the name of a directory that shall lie deep
_RECENT: Final = 4  # directories in which the next one may be
_LONG_AGO: Final = 1_000_000_000  # s since the epoch


class _Folder(NamedTuple):
    """A directory, by a descriptor."""

    fd: int
    name: str
    depth: int

    def make(self, name: str) -> _Folder:
        os.mkdir(name, dir_fd=self.fd)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        return _Folder(os.open(name, flags, dir_fd=self.fd), name, self.depth + 1)


def prepare(directory: Path, seed: int, scenarios: Sequence[Scenario], files: int) -> int:
    """Fill a directory with so many files a scenario; returns how many, raises OSError."""
    count = 0
    for scenario in scenarios:
        below = directory / scenario.name
        below.mkdir(parents=True)
        top = _Folder(os.open(below, os.O_RDONLY | os.O_DIRECTORY), scenario.name, 0)
        folders = [top]
        try:
            count += _prepare(folders, scenario, seed, files)
        finally:
            for folder in folders:
                os.close(folder.fd)
    return count


def _prepare(folders: list[_Folder], scenario: Scenario, seed: int, files: int) -> int:
    """Return the files of one scenario; `folders` are its top and those that were made last."""
    chance = random.Random(f"prepare {seed} {scenario.name}")
    count = 0
    for number in range(files):
        if scenario.name != _FLAT and number % _FILES_IN_DIRECTORY == 0:
            folders.append(_next_folder(folders, scenario, chance, number // _FILES_IN_DIRECTORY))
        if len(folders) > _RECENT + 1:
            os.close(folders.pop(1).fd)
        count += _prepare_file(folders[-1], chance, scenario, seed, files)
    return count


def _next_folder(
    folders: list[_Folder], scenario: Scenario, chance: random.Random, number: int
) -> _Folder:
    parent = chance.choice(folders[:1] + folders[-_RECENT:])
    if scenario.deepest == USUALLY_DEEPEST:
        return (parent if parent.depth < _DEPTH else folders[0]).make(f"d{number}")
    deep = folders[-1] if chance.random() < 0.95 else parent
    return (deep if deep.depth < scenario.deepest // 2 else folders[0]).make(
        f"d{number}".ljust(_LONG, "-")
    )


def _prepare_file(
    folder: _Folder, chance: random.Random, scenario: Scenario, seed: int, files: int
) -> int:
    """One file, sometimes with a second link, a symbolic link or a FIFO beside it."""
    # Chosen from twice as many names, so that two prepared layers share about half of them.
    name = f"{chance.randrange(2 * files if folder.name == _FLAT else 16):05}"
    kind = chance.random()
    if kind < 0.05 or scenario.needs is Needs.IMAGE:
        # Of this layer alone: a link that a higher layer hid would never be seen to go, and a
        # file of a new image with a name of the old one would be a new version of that.
        name = f"{name}-{seed}"
    at, own, tag = folder.fd, f"f{name}", f"{seed} {scenario.name}"
    try:
        file = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
    except FileExistsError:
        return 0
    with open(file, "w") as out:
        times = chance.choice((1, 1, 5, 400))
        out.write(f"prepared {tag} {folder.name.rstrip('-')} {own}\n" * times)
    os.utime(own, (_LONG_AGO, _LONG_AGO), dir_fd=at)
    if kind < 0.05:
        os.link(own, f"h{name}", src_dir_fd=at, dst_dir_fd=at)
    elif kind < 0.10:
        os.symlink(f"target {tag} {name}", f"l{name}", dir_fd=at)
    elif kind < 0.12:
        os.mkfifo(f"p{name}", 0o640, dir_fd=at)
    return 1
