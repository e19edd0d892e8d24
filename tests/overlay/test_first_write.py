"""What a first write leaves is known without a look, and is what a look finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from tests.overlays import Dirs, Served, kernel_tree, make_dirs, mounted, served

PATHS = ("a", "d/f", "b", "d/b2", "d/sub/g")


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    dirs = make_dirs(tmp_path)
    os.link(dirs.lower / "b", dirs.lower / "e/b3")
    for number, path in enumerate(PATHS):
        os.chown(dirs.lower / path, 10 + number, 100 + number)
        (dirs.lower / path).chmod(0o4751 if number % 2 else 0o640)
        os.setxattr(dirs.lower / path, "user.a", b"%d" % number)
    return dirs


@pytest.fixture
def tree(dirs: Dirs) -> Iterator[Served]:
    with served(dirs) as overlay:
        yield overlay


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("by", ["name", "handle"])
def test_attributes_are_those_that_a_cold_look_finds(
    dirs: Dirs, tree: Served, path: str, by: str
) -> None:
    """The link count among them, of one with several names too."""
    before = tree.attributes(path)
    handle = tree.node(path).handle
    if by == "handle":
        tree.overlay._tree.caches.nodes.clear()
        tree.overlay._tree.caches.names.clear()
    change = tree.overlay.write(tree.overlay.resolve(handle), ROOT, 0, b"x", Stable.UNSTABLE)
    assert change.before is not None
    assert change.before.mtime == before.mtime
    assert (change.after.nlink, change.after.size) == (before.nlink, before.size)
    warm = tree.overlay.getattr(tree.overlay.resolve(handle))
    assert warm == change.after
    tree.overlay._tree.caches.nodes.clear()
    assert tree.overlay.getattr(tree.overlay.resolve(handle)) == warm
    assert tree.attributes(path) == warm


@pytest.mark.parametrize("first", ["b", "d/b2"])
def test_each_name_of_a_file_leads_to_what_was_written(
    dirs: Dirs, tree: Served, first: str
) -> None:
    """And gets its upper link when the file is written by it; not twice."""
    other = "d/b2" if first == "b" else "b"
    content = (dirs.lower / "b").read_bytes()
    tree.write(first, "one")
    assert (dirs.upper / first).exists()
    assert not (dirs.upper / other).exists()
    tree.write(other, "ONE+")
    expected = b"ONE+" + content[4:]
    for path in (first, other):
        assert tree.read(path) == expected
        assert tree.attributes(path).nlink == 3
    tree.remove(first)
    assert tree.attributes(other).nlink == 2
    assert tree.read(other) == expected
    with mounted(dirs) as kernel:
        assert (kernel / other).read_bytes() == expected
        assert not (kernel / first).exists()


def test_a_name_that_was_removed_meanwhile_stays_removed(tree: Served) -> None:
    """The other name of a file is written by a node that was found by the one that went."""
    node = tree.node("d/b2")
    tree.remove("d/b2")
    tree.overlay.write(node, ROOT, 0, b"x", Stable.UNSTABLE)
    assert "d/b2" not in tree.paths()
    assert tree.read("b").startswith(b"x")
    assert tree.attributes("b").nlink == 2


def test_a_name_that_a_layer_above_has_stays_its(tmp_path: Path) -> None:
    """The kernel tells a name of a file that is opened by its handle, in the file's own layer."""
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    for layer, name in ((top, "name"), (bottom, "other")):
        layer.mkdir()
        (layer / name).write_text(layer.name)
    (bottom / "name").hardlink_to(bottom / "other")  # the name that the kernel has met last
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    work.mkdir(0o755)
    lowers = (os.fsencode(top), os.fsencode(bottom))
    overlay = Overlay.open(OverlayConfig(lowers, os.fsencode(upper), os.fsencode(work)))
    tree = Served(overlay)
    handle = tree.node("other").handle
    overlay._tree.caches.nodes.clear()
    overlay._tree.caches.names.clear()
    overlay.write(overlay.resolve(handle), ROOT, 0, b"BOTTOM", Stable.UNSTABLE)
    assert tree.read("name") == b"top"
    assert tree.read("other") == b"BOTTOM"
    overlay.close()


def test_a_name_that_another_file_has_by_now_stays_its(tree: Served) -> None:
    node = tree.node("d/b2")
    tree.rename("d/b2", "d/moved")
    tree.create("d/b2", "new")
    tree.overlay.write(node, ROOT, 0, b"x", Stable.UNSTABLE)
    assert tree.read("d/b2") == b"new"
    assert tree.read("d/moved").startswith(b"x")


def test_the_directory_is_marked_before_a_listing_needs_it(dirs: Dirs, tree: Served) -> None:
    """Each directory once; one that has the place of another later is another."""
    numbers = {path: tree.attributes(path).fileid for path in tree.paths()}
    for path in ("d/f", "d/b2", "d/sub/g", "e/h"):
        tree.write(path, "x")
        assert os.getxattr((dirs.upper / path).parent, "trusted.overlay.impure") == b"y"
    tree.rename("e", "away")
    tree.mkdir("e")
    tree.rename("away/h", "e/h")
    numbers |= {"away": numbers["e"], "e": tree.attributes("e").fileid}
    numbers["away/b3"] = numbers["b"]
    assert os.getxattr(dirs.upper / "e", "trusted.overlay.impure") == b"y"
    for _ in range(2):
        for path in ("", "d", "d/sub", "e", "away"):
            for _, number, name in tree.listed(tree.node(path))[2:]:
                assert number == numbers[f"{path}/{os.fsdecode(name)}".lstrip("/")]
        tree.overlay._tree.caches.listings.clear()


def test_the_kernel_shows_the_same(dirs: Dirs, tree: Served) -> None:
    for path in PATHS:
        tree.write(path, path)
    seen = {path: about[5] for path, about in tree.tree().items()}
    with mounted(dirs) as kernel:
        assert {path: about[5] for path, about in kernel_tree(kernel).items()} == seen


_opened: list[bytes] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], bytes):
        _opened.append(arguments[0])


def test_the_lower_name_is_not_opened_again(tree: Served) -> None:
    tree.write("d/f", "the directory has its upper one by now")
    node = tree.node("d/sub/g")
    tree.chmod("d/sub", 0o700)
    sys.addaudithook(_note)  # it cannot be taken away
    _opened.clear()
    tree.overlay.write(node, ROOT, 0, b"x", Stable.UNSTABLE)
    assert b"." in _opened, "a file without a name is made"
    assert b"g" not in _opened
