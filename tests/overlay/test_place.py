"""Names looked up from the layer that a listing has found them in: the same, at less cost."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from index.linux.fd import Fd
from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.lookup import lookup, lower
from overlay.model.config import OverlayConfig
from overlay.model.listing import Entry, Place
from overlay.model.node import Node
from overlay.ops import common
from tests.compiled import only_interpreted
from tests.overlays import Dirs, Served, make_dirs
from tests.processes import processes

Placed = list[tuple[Entry, Place | None]]
_DIRECTORIES = "", "d", "d/sub", "e", "gone"
_PATHS = "a", "b", "c", "d", "d/f", "d/b2", "d/sub", "e/h", "new", "d/new", "e/new", "gone"
# Placed entries that a process has seen, with the handles of their directories.
_SEEN: list[tuple[bytes, bytes, Place | None]] = []


def _placed(overlay: Overlay, node: Node) -> Placed:
    return list(overlay.readdir(node, ROOT).placed_after(0))


def _layered(place: Path, layers: int) -> OverlayConfig:
    """Each lower layer has a file of its own in `d`, and all have the directories `d/sub`."""
    for name in ("upper", "work"):
        (place / name).mkdir(parents=True)
    for number in range(layers):
        (place / f"{number}/d/sub").mkdir(parents=True)
        (place / f"{number}/d/own{number}").touch()
        (place / f"{number}/d/sub/own{number}").touch()
    lowers = tuple(os.fsencode(place / f"{number}") for number in range(layers))
    return OverlayConfig(lowers, os.fsencode(place / "upper"), os.fsencode(place / "work"))


@pytest.fixture
def layered(tmp_path: Path) -> Iterator[Served]:
    os.umask(0o022)
    overlay = Overlay.open(_layered(tmp_path, 4))
    yield Served(overlay)
    overlay.close()
    os.umask(0o022)


def _handle(overlay: Overlay, node: Node, name: bytes, place: Place | None) -> bytes | None:
    found = overlay.find(node, name, place)
    return None if found is None else found.handle


def test_the_layers_above_are_not_asked(layered: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    only_interpreted(lookup)
    asked: list[bytes] = []

    def ask(opened: Callable[[Fd, bytes], object], directory: Fd, name: bytes) -> object:
        asked.append(name)
        return opened(directory, name)

    for module in (lookup, lower):
        monkeypatch.setattr(module, "open_rare_name", partial(ask, module.open_rare_name))
    layered.create("d/new")
    directory, overlay = layered.node("d"), layered.overlay
    entries = _placed(overlay, directory)
    layered.overlay._tree.caches.names.clear()
    asked.clear()
    for (_, _, name), place in entries:
        assert overlay.find(directory, name, place) is not None
    # What merges is looked for in the layers below.
    assert set(asked) <= {b"sub"}
    layered.overlay._tree.caches.names.clear()
    for (_, _, name), _ in entries:
        assert overlay.find(directory, name) is not None
    assert {b"new", b"own0", b"own1", b"own2", b"own3"} <= set(asked)


def test_directories_merge_as_ever(layered: Served) -> None:
    overlay = layered.overlay
    for (_, _, name), place in _placed(overlay, layered.node("d")):
        overlay._tree.caches.names.clear()
        overlay._tree.caches.nodes.clear()
        assert overlay.find(layered.node("d"), name, place) is not None
    names = [name for (_, _, name), _ in _placed(overlay, layered.node("d/sub"))]
    assert sorted(names) == [b".", b"..", b"own0", b"own1", b"own2", b"own3"]


def _attempt(tree: Served, name: str, *arguments: str) -> None:
    """Do something, whether or not it can be done."""
    with suppress(OSError):
        getattr(tree, name)(*arguments)


def _see(tree: Served) -> None:
    """Remember all entries of directories, as listings have them now."""
    for path in _DIRECTORIES:
        try:
            node = tree.node(path)
            entries = _placed(tree.overlay, node)
        except OSError:
            continue
        _SEEN.extend((node.handle, name, place) for (_, _, name), place in entries)
    del _SEEN[:-100]


def _compare(tree: Served) -> int:
    """Look all that is remembered up, with its place and without; how many are still there."""
    overlay, count = tree.overlay, 0
    for handle, name, place in _SEEN:
        found = []
        # What was learnt by the place is what is known from then on.
        for is_known, with_place in (False, None), (False, place), (True, None):
            if not is_known:
                overlay._tree.caches.names.clear()
            try:
                found.append(_handle(overlay, overlay.resolve(handle), name, with_place))
            except OSError as problem:
                found.append(os.strerror(problem.errno or 0).encode())
        assert found == found[:1] * 3, (name, place)
        count += found[0] is not None
    return count


@pytest.mark.parametrize("seed", range(6))
def test_what_others_change_is_found_as_by_name(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    there = 0
    with processes(make_dirs(tmp_path)) as (_, (one, other)):
        for _ in range(50):
            if chance.random() < 0.5:
                one(_see)
            what = chance.choice(("create", "remove", "rename", "link", "rmdir", "mkdir", "write"))
            paths = chance.sample(_PATHS, 2 if what in ("rename", "link", "write") else 1)
            other(_attempt, what, *paths)
            there += one(_compare)
    assert there > 500


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return make_dirs(tmp_path)


@pytest.mark.parametrize("path", ["d/b2", "d/f", "d/sub"])
def test_in_the_middle_of_a_change_nothing_lasting_is_learnt(
    dirs: Dirs, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The names are changed, and what is known of the name, but not yet of the listing."""
    only_interpreted(common)
    overlay = Overlay.open(dirs.config)
    tree = Served(overlay)
    if path == "d/sub":
        tree.remove("d/sub/g")
    directory, name = tree.node("d"), path.rpartition("/")[2].encode()
    place = next(place for (_, _, each), place in _placed(overlay, directory) if each == name)
    assert place is not None
    listing_changed = common.listing_changed

    def in_the_middle(*arguments: object) -> object:
        overlay._tree.caches.names.clear()
        overlay.find(directory, name, place)
        return listing_changed(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(common, "listing_changed", in_the_middle)
    if path == "d/sub":
        tree.rmdir(path)
    else:
        tree.remove(path)
    for parent, known in product(("d",), (place, None)):
        assert overlay.find(tree.node(parent), name, known) is None
    overlay.close()
