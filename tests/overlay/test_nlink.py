"""Link counts, and that hard links of a lower file stay one file through every operation."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.model.attributes import Changes
from tests.overlays import Dirs, Served, make_dirs, served


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    """In the lower layer `b` and `d/b2` are one file, and `three` adds a third name."""
    return make_dirs(tmp_path)


@pytest.fixture
def tree(dirs: Dirs) -> Iterator[Served]:
    with served(dirs) as overlay:
        yield overlay


def _counts(tree: Served, *paths: str) -> list[int]:
    """The link counts of names that must be one object."""
    assert len({tree.node(path).handle for path in paths}) == 1
    assert len({tree.attributes(path).fileid for path in paths}) == 1
    return [tree.attributes(path).nlink for path in paths]


def _is_stale(tree: Served, handle: bytes) -> bool:
    try:
        tree.overlay.getattr(tree.overlay.resolve(handle))
    except OSError as problem:
        assert problem.errno == errno.ESTALE  # noqa: PT017
        return True
    return False


def test_copy_up_changes_no_count(tree: Served) -> None:
    assert _counts(tree, "b", "d/b2") == [2, 2]
    tree.write("b", "new")
    assert _counts(tree, "b", "d/b2") == [2, 2]
    assert tree.read("d/b2")[:3] == b"new"
    tree.write("d/b2", "NEW")
    assert tree.read("b")[:3] == b"NEW"
    assert tree.attributes("a").nlink == 1
    tree.chmod("a", 0o600)
    assert tree.attributes("a").nlink == 1


@pytest.mark.parametrize("copied", [False, True], ids=["lower", "upper"])
def test_names_come_and_go(tree: Served, copied: bool) -> None:
    if copied:
        tree.write("b", "new")
    tree.link("b", "e/b3")
    assert _counts(tree, "b", "d/b2", "e/b3") == [3, 3, 3]
    tree.remove("b")
    assert _counts(tree, "d/b2", "e/b3") == [2, 2]
    tree.rename("d/b2", "e/b4")
    assert _counts(tree, "e/b3", "e/b4") == [2, 2]
    tree.rename("a", "e/b3")
    assert _counts(tree, "e/b4") == [1]
    handle = tree.node("e/b4").handle
    tree.remove("e/b4")
    assert _is_stale(tree, handle)


def test_rename_of_one_name_over_the_other_does_nothing(tree: Served) -> None:
    tree.rename("b", "d/b2")
    assert _counts(tree, "b", "d/b2") == [2, 2]


def test_the_last_name_takes_the_object(dirs: Dirs, tree: Served) -> None:
    handle, number = tree.node("b").handle, tree.attributes("b").fileid
    tree.remove("b")
    assert not _is_stale(tree, handle)
    tree.remove("d/b2")
    assert _is_stale(tree, handle)
    entry = (dirs.work / f"inodes/#{number}").lstat()
    assert (entry.st_mode, entry.st_rdev) == (0o20000 | entry.st_mode & 0o7777, 0)


def test_counts_outlive_a_restart(dirs: Dirs) -> None:
    with served(dirs) as tree:
        tree.link("b", "b3")
        tree.remove("d/b2")
        tree.link("a", "a2")
    with served(dirs) as tree:
        assert _counts(tree, "b", "b3") == [2, 2]
        assert _counts(tree, "a", "a2") == [2, 2]
        tree.remove("b")
        tree.remove("b3")
        tree.remove("a")
        assert _counts(tree, "a2") == [1]


def test_a_file_without_names_is_gone_after_a_restart_too(dirs: Dirs) -> None:
    with served(dirs) as tree:
        handle = tree.node("b").handle
        tree.remove("b")
        tree.remove("d/b2")
    with served(dirs) as tree:
        assert _is_stale(tree, handle)


def test_new_files(tree: Served) -> None:
    tree.create("new")
    tree.link("new", "d/new2")
    assert _counts(tree, "new", "d/new2") == [2, 2]
    handle = tree.node("new").handle
    tree.remove("new")
    assert _counts(tree, "d/new2") == [1]
    tree.rename("d/new2", "a")
    assert tree.node("a").handle == handle
    tree.remove("a")
    assert _is_stale(tree, handle)


@pytest.mark.parametrize("path", ["s", "p"])
def test_links_of_what_is_no_file(tree: Served, path: str) -> None:
    tree.link(path, "again")
    assert _counts(tree, path, "again") == [2, 2]
    tree.remove(path)
    assert _counts(tree, "again") == [1]


def test_a_change_by_handle_reaches_every_name(dirs: Dirs) -> None:
    with served(dirs) as tree:
        handle = tree.node("b").handle
    with served(dirs) as tree:
        overlay: Overlay = tree.overlay
        overlay.setattr(overlay.resolve(handle), ROOT, Changes(mode=0o601))
        assert [oct(tree.attributes(name).mode) for name in ("b", "d/b2")] == ["0o100601"] * 2
        assert _counts(tree, "b", "d/b2") == [2, 2]


def test_directories_cannot_be_linked(tree: Served) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EPERM)):
        tree.link("d", "d2")


@given(
    before=st.integers(1, 3),
    after=st.integers(0, 3),
    indexed=st.sampled_from(["write", "chmod", "link", "rename", "remove"]),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=40)
def test_the_lower_layer_gets_more_links_while_stopped(
    before: int, after: int, indexed: str, order: random.Random
) -> None:
    """No name that is left loses what a client has written; when all are gone, it is gone."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        dirs = make_dirs(Path(place))
        first = dirs.lower / "n0"
        first.write_text("lower")
        for number in range(1, before):
            (dirs.lower / f"n{number}").hardlink_to(first)
        names = [f"n{number}" for number in range(before)]
        with served(dirs) as tree:
            match indexed:
                case "write":
                    tree.write("n0", "first")
                case "chmod":
                    tree.chmod("n0", 0o600)
                case "link":
                    tree.link("n0", "linked")
                    names.append("linked")
                case "rename":
                    tree.rename("n0", "renamed")
                    names[0] = "renamed"
                case "remove" if before > 1:
                    tree.remove("n0")
                    del names[0]
        for number in range(before, before + after):
            (dirs.lower / f"n{number}").hardlink_to(first)
            names.append(f"n{number}")
        with served(dirs) as tree:
            order.shuffle(names)
            handle = tree.node(names[-1]).handle
            tree.write(names[-1], "client")
            while names:
                _counts(tree, *names)
                assert {tree.read(name)[:6] for name in names} == {b"client"}
                assert not _is_stale(tree, handle)
                tree.remove(names.pop())
            assert _is_stale(tree, handle)


def test_the_lower_layer_loses_links_while_stopped(dirs: Dirs) -> None:
    with served(dirs) as tree:
        tree.write("b", "client")
        tree.link("b", "b3")
        tree.remove("b")
    (dirs.lower / "b").unlink()
    (dirs.lower / "d/b2").unlink()
    with served(dirs) as tree:
        handle = tree.node("b3").handle
        assert tree.read("b3")[:6] == b"client"
        tree.link("b3", "b4")
        tree.remove("b3")
        assert tree.read("b4")[:6] == b"client"
        assert not _is_stale(tree, handle)
