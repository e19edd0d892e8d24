"""Listings in small pieces: what stands throughout is seen exactly once."""

from __future__ import annotations

import os
import random
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT, Credentials
from overlay.lookup import readdir
from overlay.lookup.lookup import lookup
from overlay.model.node import DirNode, Node
from overlay.model.tree import Tree
from tests.overlays import Dirs, Served, make_dirs, served

_COUNT = 300


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    """`d` shows names of the lower and of the upper layer."""
    dirs = make_dirs(tmp_path)
    for number in range(_COUNT):
        (dirs.lower / f"d/low{number}").touch()
    with served(dirs) as tree:
        for number in range(_COUNT):
            tree.create(f"d/up{number}")
    return dirs


@pytest.fixture
def tree(dirs: Dirs) -> Iterator[Served]:
    with served(dirs) as overlay:
        yield overlay


def _piece(tree: Served, cookie: int, count: int) -> list[tuple[int, str]]:
    """The next entries after a cookie, as READDIR finds them."""
    entries = tree.overlay.readdir(tree.node("d"), ROOT).after(cookie)
    return [(found, os.fsdecode(name)) for found, _, name in islice(entries, count)]


def _cookies_and_names(tree: Served, path: str) -> tuple[list[int], list[bytes]]:
    entries = tree.listed(tree.node(path))
    return [cookie for cookie, _, _ in entries], [name for _, _, name in entries]


def _disturb(tree: Served, chance: random.Random, round_: int) -> None:
    """Create, remove, rename, copy up and link names that do not count."""
    tree.create(f"d/new{round_}")
    tree.chmod(f"d/low{chance.randrange(100, _COUNT)}", 0o600)
    tree.rename(f"d/new{round_}", f"d/newer{round_}")
    tree.link(f"d/up{chance.randrange(100, _COUNT)}", f"d/link{round_}")
    tree.remove(f"d/low{round_}")
    tree.remove(f"d/up{round_}")


def test_what_stands_is_seen_once(dirs: Dirs) -> None:
    chance = random.Random(1)
    seen: list[str] = []
    cookie = 0
    for round_ in range(80):
        with served(dirs) as tree:  # a restart between any two pieces
            piece = _piece(tree, cookie, 17)
            if not piece:
                break
            seen += [name for _, name in piece]
            cookie = piece[-1][0]
            _disturb(tree, chance, round_)
    standing = {f"{kind}{n}" for kind in ("low", "up") for n in range(100, _COUNT)}
    assert standing | {".", "..", "f", "sub", "b2"} <= set(seen)
    assert len(seen) == len(set(seen))


def test_cookies(dirs: Dirs, tree: Served) -> None:
    cookies, names = _cookies_and_names(tree, "d")
    assert cookies[:2] == [1, 2]
    assert names[:2] == [b".", b".."]
    assert cookies == sorted(set(cookies))
    assert 2 < cookies[2] <= cookies[-1] < 1 << 63
    assert len(names) == 2 * _COUNT + 3 + 2
    real = set(os.listdir(dirs.lower / "d")) | set(os.listdir(dirs.upper / "d"))
    assert set(map(os.fsdecode, names[2:])) == real


def test_a_name_keeps_its_cookie(dirs: Dirs) -> None:
    def cookie(tree: Served, name: bytes) -> int:
        return next(found for found, _, each in tree.listed(tree.node("d")) if each == name)

    with served(dirs) as tree:
        before = cookie(tree, b"low7")
        tree.remove("d/low7")
        tree.create("d/low7")
        tree.rename("d", "e/d")
        tree.rename("e/d", "d")
        assert cookie(tree, b"low7") == before
    with served(dirs) as tree:
        assert cookie(tree, b"low7") == before


@pytest.mark.parametrize("hashed", [0, 1, 2, 3, 77, (1 << 63) - 300, (1 << 63) - 1])
def test_names_of_one_hash_have_cookies_of_their_own(
    dirs: Dirs, monkeypatch: pytest.MonkeyPatch, hashed: int
) -> None:
    monkeypatch.setattr(
        readdir, "name_hashes", lambda key, names: array("Q", [hashed] * len(names))
    )
    with served(dirs) as tree:
        assert _cookies_and_names(tree, "d/sub")[0] == [1, 2, max(hashed, 3)]
        cookies, names = _cookies_and_names(tree, "d")
    first = min(max(hashed, 3), (1 << 63) - len(names) + 2)
    assert cookies[2:] == list(range(first, first + len(names) - 2))
    assert names[:2] == [b".", b".."]
    assert names[2:] == sorted(names[2:])


def test_numbers_are_those_of_the_objects(tree: Served) -> None:
    tree.chmod("d/low1", 0o600)
    tree.rename("a", "d/a")
    tree.rename("d/sub", "d/sub2")
    tree.mkdir("d/new")
    tree.rename("d", "e/d")
    for path in ("e/d", "e", "", "e/d/new", "e/d/sub2"):
        node = tree.node(path)
        for _, number, name in tree.listed(node):
            found = tree.overlay.lookup(node, name, ROOT)
            assert tree.overlay.getattr(found).fileid == number, (path, name)


def test_what_is_removed_meanwhile_is_not_listed(
    tree: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.mkdir("d/new")

    def removed(overlay: Tree, node: DirNode, name: bytes) -> Node | None:
        if name == b"new":
            tree.rmdir("d/new")
        return lookup(overlay, node, name)

    monkeypatch.setattr(readdir, "lookup", removed)
    assert b"new" not in [name for _, _, name in tree.listed(tree.node("d"))]


def test_a_listing_needs_permission_to_read(tree: Served) -> None:
    nobody = Credentials(1000, 1000)
    tree.chmod("d", 0o711)
    with pytest.raises(PermissionError):
        tree.overlay.readdir(tree.node("d"), nobody)
    tree.chmod("d", 0o744)
    assert len(list(tree.overlay.readdir(tree.node("d"), nobody).after(0))) > _COUNT


def test_dropped_caches_change_nothing(tree: Served) -> None:
    before = tree.listed(tree.node("d"))
    Path("/proc/sys/vm/drop_caches").write_text("2")
    tree.create("d/new")
    tree.remove("d/new")
    assert tree.listed(tree.node("d")) == before
