"""Handles outlive the layers: copied to other places and filesystems, replaced, squashed (I5)."""

from __future__ import annotations

import errno
import logging
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.check.run import check
from overlay.filesystem import Overlay
from overlay.maintenance.seal import seal_overlay
from overlay.model.attributes import Changes
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from tests.overlays import Dirs, Served, kernel_tree, make_dirs, mounted, served
from tests.property import syscalls
from tests.property.disk import KINDS, filesystem


def _copy(source: Path, target: Path) -> None:
    """As `rsync -aHAX`, or tar, do: links are kept within what is copied at once."""
    subprocess.run(["cp", "-a", "--", source, target], check=True, timeout=180)


def _work(tree: Served) -> None:
    """Bring about objects of every kind."""
    tree.chmod("a", 0o600)
    tree.write("b", "written")  # has two lower names
    tree.rename("d/sub", "e/sub")
    tree.rename("d", "moved")
    tree.link("moved/f", "e/linked")
    tree.remove("c")
    tree.create("new", "new")
    tree.link("new", "e/new2")
    tree.mkdir("made")
    tree.create("made/file", "in made")
    tree.overlay.symlink(*tree.parent("made/link"), ROOT, b"file", Changes())
    tree.remove("gone/in/y")
    tree.rmdir("gone/in")


@contextmanager
def _opened(config: OverlayConfig) -> Iterator[Served]:
    overlay = Overlay.open(config)
    try:
        yield Served(overlay)
    finally:
        overlay.close()


class Before:
    """What clients know of an overlay."""

    def __init__(self, tree: Served, removed: list[bytes]) -> None:
        self.handles = tree.handles()
        self.tree = tree.tree()
        self.removed = removed

    def holds(self, config: OverlayConfig) -> None:
        """Every object is what it was: its handle, its number, its contents."""
        with _opened(config) as tree:
            self.holds_in(tree)
        for path, handle in self.handles.items():
            with _opened(config) as tree:  # nothing is known but the handle
                attributes = tree.overlay.getattr(tree.overlay.resolve(handle))
                had = self.tree[path]
                assert (attributes.mode, attributes.fileid) == (had[0], had[6]), path
        for handle in self.removed:
            with _opened(config) as tree:
                assert _is_stale(tree, handle)

    def holds_in(self, tree: Served) -> None:
        assert tree.handles() == self.handles
        assert tree.tree() == self.tree
        for path, handle in self.handles.items():
            node = tree.overlay.resolve(handle)
            assert node.handle == handle, path
            assert tree.overlay.getattr(node) == tree.attributes(path), path
        for handle in self.removed:
            assert _is_stale(tree, handle)


def _is_stale(tree: Served, handle: bytes) -> bool:
    try:
        tree.overlay.getattr(tree.overlay.resolve(handle))
    except OSError as problem:
        if problem.errno != errno.ESTALE:
            raise
        return True
    return False


def _numbers_are_unique(tree: Served) -> None:
    handles = tree.handles()
    numbers = {tree.attributes(path).fileid for path in handles}
    assert len(numbers) == len(set(handles.values()))


def _problems(config: OverlayConfig) -> list[str]:
    return [
        f"{problem.where!r} {problem.kind}"
        for problem in check(config, repair=False)
        if not problem.harmless
    ]


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    place = tmp_path / "first"
    place.mkdir(0o755)
    return make_dirs(place)


@pytest.fixture
def before(dirs: Dirs) -> Before:
    """A sealed overlay that was worked with, some of it before the seal and some after."""
    with served(dirs) as tree:
        tree.chmod("p", 0o600)
        tree.create("early", "early")
        tree.mkdir("old")
        tree.create("old/one", "one")
    seal_overlay(dirs.config)
    with served(dirs) as tree:
        removed = [tree.node(path).handle for path in ("c", "gone/in/y", "gone/in", "old/one")]
        tree.remove("old/one")
        _work(tree)
        return Before(tree, removed)


def test_a_seal_changes_nothing(dirs: Dirs, before: Before) -> None:
    before.holds(dirs.config)
    assert _problems(dirs.config) == []
    assert seal_overlay(dirs.config).lower == 0
    before.holds(dirs.config)


@pytest.mark.parametrize("kind", KINDS)
def test_all_layers_moved_to_another_filesystem(
    dirs: Dirs, before: Before, kind: str, tmp_path: Path
) -> None:
    with _disk(kind, tmp_path) as disk:
        moved = Dirs(disk / "moved")
        _copy(dirs.place, moved.place)
        before.holds(moved.config)
        assert _problems(moved.config) == []
        with mounted(moved) as target:
            assert _unnumbered(kernel_tree(target)) == _unnumbered(before.tree)
        before.holds(moved.config)


def test_and_back_again(dirs: Dirs, before: Before, tmp_path: Path) -> None:
    with _disk("xfs", tmp_path) as disk:
        moved = Dirs(disk / "moved")
        _copy(dirs.place, moved.place)
        with served(moved) as tree:
            tree.create("made there", "there")
            tree.remove("early")
            tree.rename("made/file", "made there 2")
            after = Before(tree, [*before.removed, before.handles["early"]])
        back = Dirs(tmp_path / "second")
        _copy(moved.place, back.place)
        after.holds(back.config)
        assert _problems(back.config) == []


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("what", ["lower", "upper"])
def test_only_some_layers_moved(
    dirs: Dirs, before: Before, what: str, kind: str, tmp_path: Path
) -> None:
    with _disk(kind, tmp_path) as disk:
        config = _moved_in_part(dirs, what, disk)
        before.holds(config)
        assert _problems(config) == []


def test_the_old_copy_is_left_alone(dirs: Dirs, before: Before, tmp_path: Path) -> None:
    """It still is on the same filesystem, where handles could open its inodes."""
    moved = Dirs(tmp_path / "second")
    _copy(dirs.place, moved.place)
    for path, handle in before.handles.items():
        with served(moved) as tree:
            node = tree.overlay.resolve(handle)
            if stat.S_ISREG(node.type):
                tree.overlay.write(node, ROOT, 0, b"in the copy", Stable.UNSTABLE)
                assert tree.read(path).startswith(b"in the copy")
    again = Dirs(tmp_path / "third")
    _copy(dirs.place, again.place)
    before.holds(again.config)


@pytest.mark.parametrize("what", ["lower", "upper"])
def test_new_objects_have_numbers_of_their_own(
    dirs: Dirs, before: Before, what: str, tmp_path: Path
) -> None:
    """On the same filesystem, where the inode numbers of the old layers are used again."""
    (tmp_path / "there").mkdir(0o755)
    with _opened(_moved_in_part(dirs, what, tmp_path / "there")) as tree:
        for number in range(100):
            tree.create(f"more{number}")
            tree.mkdir(f"made/more{number}")
        handles = tree.handles()
        numbers = {tree.attributes(path).fileid for path in handles}
        assert len(numbers) == len(set(handles.values()))
        assert set(before.handles.values()) <= set(handles.values())


@pytest.mark.parametrize("what", ["lower", "upper", "all"])
def test_what_is_removed_afterwards_is_stale(
    dirs: Dirs, before: Before, what: str, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir(0o755)
    config = _moved_in_part(dirs, what, tmp_path / "there")
    with _opened(config) as tree:
        for path in sorted(tree.paths()[1:], reverse=True):
            (tree.rmdir if tree.node(path).is_dir else tree.remove)(path)
    for path, handle in before.handles.items():
        with _opened(config) as tree:
            assert _is_stale(tree, handle) == (path != ""), path
    assert _problems(config) == []


def test_changes_afterwards_keep_handles(dirs: Dirs, before: Before, tmp_path: Path) -> None:
    """Objects that were copied can be renamed, linked and copied up like any others."""
    moved = Dirs(tmp_path / "second")
    _copy(dirs.place, moved.place)
    with served(moved) as tree:
        tree.rename("made", "e/made")  # of the upper layer
        tree.rename("moved", "renamed")  # merged
        tree.rename("new", "e/made/new")  # has two names
        tree.remove("e/new2")
        tree.link("early", "e/made/early")
        tree.chmod("e/h", 0o640)  # not copied up before
        tree.write("gone/x", "x")
        after = Before(tree, before.removed)
        for old, new in (
            ("made/file", "e/made/file"),
            ("moved/f", "renamed/f"),
            ("new", "e/made/new"),
            ("early", "e/made/early"),
            ("e/h", "e/h"),
            ("gone/x", "gone/x"),
        ):
            assert before.handles[old] == after.handles[new]
        assert tree.attributes("e/made/new").nlink == 1
        assert tree.attributes("early").nlink == 2
    after.holds(moved.config)
    assert _problems(moved.config) == []


def test_hard_links_that_the_copy_lost_are_made_again(
    dirs: Dirs, before: Before, tmp_path: Path
) -> None:
    """The index, and the names of one file, copied each by itself."""
    moved = Dirs(tmp_path / "second")
    moved.place.mkdir(0o755)
    _copy(dirs.lower, moved.lower)
    _copy(dirs.work, moved.work)
    copy = ["cp", "-R", "--preserve=mode,ownership,timestamps,xattr", "--"]
    subprocess.run([*copy, dirs.upper, moved.upper], check=True, timeout=180)
    assert (moved.upper / "new").stat().st_ino != (moved.upper / "e/new2").stat().st_ino
    before.holds(moved.config)
    assert _problems(moved.config) == []
    with served(moved) as tree:
        tree.write("e/new2", "through the other name")
        assert tree.read("new") == b"through the other name"


def test_a_copy_by_hand_is_a_file_of_its_own(dirs: Dirs, before: Before, tmp_path: Path) -> None:
    """What has the mark of an object but is not equal to it was no link of it."""
    moved = Dirs(tmp_path / "second")
    _copy(dirs.place, moved.place)
    _copy(moved.upper / "early", moved.upper / "made" / "other")
    (moved.upper / "made" / "other").write_text("something else")
    with served(moved) as tree:
        assert tree.node("made/other").handle != tree.node("early").handle
        assert tree.read("early") == b"early"
        assert tree.read("made/other") == b"something else"
    assert _problems(moved.config) == []


def test_mending_that_is_cut_short_is_made_up_for(
    dirs: Dirs, before: Before, tmp_path: Path
) -> None:
    moved = Dirs(tmp_path / "second")
    _copy(dirs.place, moved.place)
    stops = 0
    for stop in range(1, 100):
        steps = 0

        def progress(count: int, last: int = stop) -> None:
            nonlocal steps
            steps += 1
            if steps == last:
                raise InterruptedError

        try:
            Overlay.open(moved.config, progress).close()
        except InterruptedError:
            stops += 1
        else:
            break
    assert stops > 5
    before.holds(moved.config)
    assert _problems(moved.config) == []


def test_without_a_seal_what_the_index_has_is_found(
    dirs: Dirs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(dirs) as tree:
        untouched = tree.node("e/h").handle
        removed = [tree.node(path).handle for path in ("c", "gone/in/y", "gone/in")]
        _work(tree)
        before = Before(tree, removed)
    moved = Dirs(tmp_path / "second")
    _copy(dirs.place, moved.place)
    with caplog.at_level(logging.INFO), served(moved) as tree:
        assert "never sealed" in caplog.text
        assert "have no mark" in caplog.text
        for path in ("a", "b", "moved/b2", "moved", "moved/f", "e/linked", "e/sub"):
            assert tree.node(path).handle == before.handles[path], path
            assert tree.overlay.getattr(tree.overlay.resolve(before.handles[path]))
        assert tree.read("b") == tree.read("moved/b2")
        assert _unnumbered(tree.tree()) == _unnumbered(before.tree)
        assert _is_stale(tree, untouched)
        assert _is_stale(tree, before.handles["new"])
        assert all(_is_stale(tree, handle) for handle in removed)
    assert _problems(moved.config) == []


def test_a_check_does_not_mend_a_move(dirs: Dirs, before: Before, tmp_path: Path) -> None:
    moved = Dirs(tmp_path / "second")
    _copy(dirs.place, moved.place)
    record = (moved.work / "identity/layers.json").read_bytes()
    assert list(check(moved.config, repair=False)) == []
    assert (moved.work / "identity/layers.json").read_bytes() == record
    assert list(check(moved.config, repair=True)) == []
    before.holds(moved.config)


class TestImages:
    """A stack of lower layers that is updated while clients hold handles."""

    @pytest.fixture
    def stack(self, tmp_path: Path) -> tuple[OverlayConfig, Before]:
        base, app, upper, work = (tmp_path / name for name in ("base", "app", "upper", "work"))
        for made in (base / "etc", base / "usr/share", app / "usr/share", app / "opt", upper, work):
            made.mkdir(parents=True)
        for path in ("etc/passwd", "etc/old", "usr/share/a", "usr/share/hidden", "usr/b"):
            (base / path).write_text(f"base {path}")
        for path in ("usr/share/a", "usr/share/c", "opt/tool"):
            (app / path).write_text(f"app {path}")
        os.mknod(app / "usr/share/hidden", 0o20000)  # a whiteout
        os.link(base / "usr/b", base / "usr/share/b2")
        (base / "srv").mkdir()
        (base / "srv/under").write_text("under")
        (app / "srv").mkdir()
        (app / "srv/over").write_text("over")
        os.setxattr(app / "srv", b"trusted.overlay.opaque", b"y")
        layers = tuple(map(os.fsencode, (app, base)))
        config = OverlayConfig(layers, os.fsencode(upper), os.fsencode(work))
        seal_overlay(config)
        with _opened(config) as tree:
            tree.write("etc/passwd", "written")
            tree.rename("opt", "usr/opt")
            hidden = [tree.node("etc/old").handle]
            tree.remove("etc/old")
            before = Before(tree, hidden)
        assert "usr/share/hidden" not in before.handles
        assert "srv/under" not in before.handles
        return config, before

    def test_a_layer_on_top(self, stack: tuple[OverlayConfig, Before], tmp_path: Path) -> None:
        config, before = stack
        top = tmp_path / "top"
        (top / "usr/share").mkdir(parents=True)
        (top / "usr/share/added").write_text("added")
        config = replace(config, lowerdirs=(os.fsencode(top), *config.lowerdirs))
        with _opened(config) as tree:
            handles = tree.handles()
            assert {path: handles[path] for path in before.handles} == before.handles
            assert set(handles) - set(before.handles) == {"usr/share/added"}

    @pytest.mark.parametrize("same_place", [True, False])
    def test_a_lower_replaced_by_a_copy_of_itself(
        self, stack: tuple[OverlayConfig, Before], same_place: bool, tmp_path: Path
    ) -> None:
        config, before = stack
        for name in ("app", "base"):
            copy = tmp_path / f"{name} copied"
            _copy(tmp_path / name, copy)
            subprocess.run(["rm", "-r", tmp_path / name], check=True)
            if same_place:
                copy.rename(tmp_path / name)
            else:
                lowers = (
                    os.fsencode(copy) if os.fsencode(tmp_path / name) == lower else lower
                    for lower in config.lowerdirs
                )
                config = replace(config, lowerdirs=tuple(lowers))
            before.holds(config)
            assert _problems(config) == []

    def test_a_lower_filled_anew(self, stack: tuple[OverlayConfig, Before], tmp_path: Path) -> None:
        """The same root directory, but other inodes in it."""
        config, before = stack
        kept = tmp_path / "kept"
        _copy(tmp_path / "base", kept)
        for filled in (tmp_path / "base").iterdir():
            subprocess.run(["rm", "-r", filled], check=True)
        subprocess.run(["cp", "-aT", kept, tmp_path / "base"], check=True)
        before.holds(config)

    @pytest.mark.parametrize("name", [b"app", b"base", b"squashed"])
    def test_two_lowers_squashed_into_one(
        self, stack: tuple[OverlayConfig, Before], name: bytes, tmp_path: Path
    ) -> None:
        """Into a new place, or into that of one of them."""
        config, before = stack
        both = OverlayConfig(config.lowerdirs)
        squashed = tmp_path / "merged"
        target = tmp_path / "mnt"
        target.mkdir(0o755)
        layers = b"lowerdir=" + b":".join(both.lowerdirs)
        syscalls.mount(b"test", os.fsencode(target), b"overlay", layers)
        try:
            _copy(target, squashed)
        finally:
            syscalls.unmount(os.fsencode(target))
        for lower in config.lowerdirs:
            subprocess.run(["rm", "-r", lower], check=True)
        squashed.rename(tmp_path / os.fsdecode(name))
        config = replace(config, lowerdirs=(os.fsencode(tmp_path / os.fsdecode(name)),))
        before.holds(config)
        assert _problems(config) == []
        before.holds(config)


def _moved_in_part(dirs: Dirs, what: str, there: Path) -> OverlayConfig:
    """The lower layer, or the upper one with its workdir, or all, moved to an empty directory."""
    config = dirs.config
    if what != "upper":
        _copy(dirs.lower, there / "base")
        subprocess.run(["rm", "-r", dirs.lower], check=True)
        config = replace(config, lowerdirs=(os.fsencode(there / "base"),))
    if what != "lower":
        both = [dirs.upper, dirs.work]
        subprocess.run(["cp", "-a", "--", *both, there], check=True, timeout=180)
        subprocess.run(["rm", "-r", *both], check=True)
        upper, work = os.fsencode(there / "upper"), os.fsencode(there / "work")
        config = replace(config, upperdir=upper, workdir=work)
    return config


def _unnumbered(tree: dict[str, tuple[object, ...]]) -> object:
    """Without inode numbers, of which copies have others, and links, as the kernel counts ours."""
    return {path: (had[0], *had[2:-1]) for path, had in tree.items()}


@contextmanager
def _disk(kind: str, place: Path) -> Iterator[Path]:
    (place / "disk").mkdir()
    with filesystem(kind, place / "disk") as disk:
        yield disk
