"""The path by which lower layers have what a directory has: asked for once, right for ever."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from index import xattrs
from index.linux.fd import Fd
from overlay.base.credentials import ROOT
from overlay.lookup.redirect import lower_path
from overlay.model.contents import Stable
from overlay.model.node import KEPT_PATH_MAX, directory
from tests.overlays import Dirs, Served, make_dirs, mounted, served

DEEP = 12
FILES = tuple("fghi")


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    dirs = make_dirs(tmp_path)
    (dirs.lower / "1/2/3/4").mkdir(parents=True)
    for name in FILES:
        (dirs.lower / "1/2/3/4" / name).write_text(f"lower {name}")
    return dirs


@pytest.fixture
def tree(dirs: Dirs) -> Iterator[Served]:
    with served(dirs) as overlay:
        yield overlay


def redirect(path: Path) -> bytes | None:
    return xattrs.get(Fd(os.open(path, os.O_PATH)), xattrs.REDIRECT)


def test_it_stays_when_directories_above_are_moved(dirs: Dirs, tree: Served) -> None:
    """Each file becomes a metacopy after another rename, and the kernel finds its data by path."""
    moves = [("1/2", "1/two"), ("1", "e/one"), ("e/one/two/3", "three"), ("three/4", "d/four")]
    where = "1/2/3/4"
    for name, (old, new) in zip(FILES, moves, strict=True):
        tree.chmod(f"{where}/{name}", 0o600)
        assert redirect(dirs.upper / where / name) == f"/1/2/3/4/{name}".encode()
        tree.rename(old, new)
        where = where.replace(old, new, 1)
    assert where == "d/four"
    for name in FILES:
        assert tree.read(f"{where}/{name}") == f"lower {name}".encode()
    with mounted(dirs) as kernel:
        for name in FILES:
            assert (kernel / where / name).read_text() == f"lower {name}"


def test_it_stays_when_a_directory_is_moved_and_another_takes_its_place(
    dirs: Dirs, tree: Served
) -> None:
    tree.chmod("1/2/3/4/f", 0o600)
    tree.rename("1/2", "away")
    tree.mkdir("1/2")
    tree.mkdir("1/2/3")
    tree.create("1/2/3/new", "upper")
    tree.rename("1/2/3/new", "away/3/4/new")
    tree.chmod("away/3/4/g", 0o600)
    assert redirect(dirs.upper / "away/3/4/g") == b"/1/2/3/4/g"
    assert lower_path(tree.overlay._tree, directory(tree.node("1/2/3")), b"x") == b"/1/2/3/x"
    tree.rename("1/2", "e/other")
    assert lower_path(tree.overlay._tree, directory(tree.node("e/other/3")), b"x") == (
        b"/e/other/3/x"
    ), "without lower directories it is where it is"
    assert tree.read("away/3/4/g") == b"lower g"


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_a_cold_look_finds(tmp_path: Path, seed: int) -> None:
    """After many renames, of each directory that has lower ones."""
    dirs = make_dirs(tmp_path)
    chance = random.Random(seed)
    for path in ("1/2/3", "1/4", "5/6/7"):
        (dirs.lower / path).mkdir(parents=True)
    with served(dirs) as tree:
        for count in range(60):
            merged = [path for path in tree.paths() if tree.node(path).is_dir]
            for path in merged:
                if chance.random() < 0.5:
                    lower_path(tree.overlay._tree, directory(tree.node(path)), b"x")
            old, where = chance.choice(merged[1:]), chance.choice(merged)
            new = f"{where}/n{count}".lstrip("/")
            if where != old and not where.startswith(f"{old}/"):
                tree.rename(old, new)
            if chance.random() < 0.3:
                tree.mkdir(f"{where}/m{count}".lstrip("/"))
        merged = [path for path in tree.paths() if tree.node(path).is_dir]
        kept = {path: tree.node(path) for path in merged}
        said = {p: lower_path(tree.overlay._tree, directory(n), b"x") for p, n in kept.items()}
    with served(dirs) as tree:
        for path in merged:
            node = directory(tree.node(path))
            assert node.lower_path is None
            assert lower_path(tree.overlay._tree, node, b"x") == said[path]


def test_depth_takes_no_calls(dirs: Dirs, tree: Served) -> None:
    """The second first write in a directory opens as much in a deep one as in another."""
    deep = "/".join(["e"] + [f"{level}" for level in range(DEEP)])
    (dirs.lower / deep).mkdir(parents=True)
    for place in ("e", deep):
        for name in ("one", "two"):
            (dirs.lower / place / name).write_text("lower")
    sys.addaudithook(_note)  # it cannot be taken away
    opened = {place: _opens(tree, f"{place}/one", f"{place}/two") for place in ("e", deep)}
    assert opened[deep] == opened["e"] > 0


_opened: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        _opened.append(str(arguments[0]))


def _opens(tree: Served, first: str, second: str) -> int:
    tree.write(first, "x")
    node = tree.node(second)
    _opened.clear()
    tree.overlay.write(node, ROOT, 0, b"x", Stable.UNSTABLE)
    return len(_opened)


def test_a_long_path_is_not_kept(dirs: Dirs, tree: Served) -> None:
    long = "/".join("d" * 200 for _ in range(4))
    (dirs.lower / long).mkdir(parents=True)
    (dirs.lower / long / "f").write_text("lower")
    tree.chmod(f"{long}/f", 0o600)
    assert redirect(dirs.upper / long / "f") == f"/{long}/f".encode()
    assert len(long) > KEPT_PATH_MAX
    assert directory(tree.node(long)).lower_path is None
