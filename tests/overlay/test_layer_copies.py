"""Copies that an administrator makes within the upper layer are objects of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.check.run import check
from overlay.model.attributes import Changes
from tests.overlays import Served, make_dirs, served

_SOURCES = ("a", "b", "cc", "far", "e", "d", "opened", "p", "s", "new", "newdir")


# In directories that are not redirected, so that a copy of them does not merge with these.
_LOWER_ALONE = ("d/b2", "e/h")


def _work(at: Served) -> None:
    """Upper objects of every kind: copied up, metacopies, redirected, merged, new."""
    at.write("a", "changed")
    at.chmod("c", 0o600)
    at.rename("c", "cc")
    at.rename("gone", "far")
    at.write("far/x", "changed")
    at.rename("far/in/y", "far/in/z")
    at.chmod("e", 0o700)
    at.write("d/f", "changed")
    at.rename("d/sub", "d/moved")
    at.write("b", "changed")
    at.remove("opened/o")
    at.rmdir("opened")
    at.mkdir("opened")
    at.create("opened/new", "new")
    at.chmod("p", 0o600)
    at.overlay.setattr(at.node("s"), ROOT, Changes(uid=5))
    at.create("new", "new")
    at.mkdir("newdir")


def _contents(seen: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """Without the link counts and the numbers of inodes."""
    return {path: (facts[0], *facts[2:6]) for path, facts in seen.items()}


@pytest.mark.parametrize("seen_before", [True, False], ids=["met", "unmet"])
@pytest.mark.parametrize("source", _SOURCES)
def test_a_copy_is_told_apart(tmp_path: Path, source: str, seen_before: bool) -> None:
    """It shows what it was copied from; what is done to the one is not done to the other."""
    dirs = make_dirs(tmp_path)
    (dirs.lower / "gone/in/deep").mkdir()
    (dirs.lower / "gone/in/deep/q").write_text("lower q")
    with served(dirs) as at:
        _work(at)
        before, contents = at.handles(), _contents(at.tree())
    # Both before it and after it in the order in which names are met.
    for copy in ("copy", "0copy"):
        subprocess.run(["cp", "-a", dirs.upper / source, dirs.upper / copy], check=True)
    shown = dict(contents)
    for path, facts in contents.items():
        if (path == source or path.startswith(source + "/")) and path not in _LOWER_ALONE:
            shown |= {copy + path.removeprefix(source): facts for copy in ("copy", "0copy")}
    with served(dirs) as at:
        if seen_before:
            at.node("copy")
        handles = at.handles()
        assert _contents(at.tree()) == shown
        assert {path: handles[path] for path in before} == before
        mine = {path for path in handles if path.startswith(("copy", "0copy"))}
        others = [handles[path] for path in handles if path not in mine]
        assert len({handles[path] for path in mine}) == len(mine)
        assert not {handles[path] for path in mine} & set(others)
        fileids = {path: at.attributes(path).fileid for path in handles}
        assert len({fileids[path] for path in mine} | set(fileids.values())) == len(
            set(handles.values())
        )
    with served(dirs) as at:
        assert {
            path: at.overlay.resolve(handle).handle for path, handle in handles.items()
        } == handles
        assert at.handles() == handles
        for path in sorted(mine, reverse=True):
            if path.startswith("copy"):
                (at.rmdir if at.node(path).is_dir else at.remove)(path)
        left = _contents(at.tree())
        assert {path: left[path] for path in contents if path} == {
            path: facts for path, facts in contents.items() if path
        }
        assert {path: at.node(path).handle for path in before} == before
    assert list(check(dirs.config, repair=False)) == []


def test_a_copy_in_place_of_the_original_is_the_original(tmp_path: Path) -> None:
    """As after `cp -a` to another place and `rm -r`: a directory's handle goes on."""
    dirs = make_dirs(tmp_path)
    with served(dirs) as at:
        at.rename("gone", "far")
        handles = {path: at.node(path).handle for path in ("far", "far/x", "far/in", "far/in/y")}
    subprocess.run(["cp", "-a", dirs.upper / "far", dirs.upper / "copy"], check=True)
    shutil.rmtree(dirs.upper / "far")
    with served(dirs) as at:
        for path, handle in handles.items():
            assert at.node(path.replace("far", "copy")).handle == handle
            assert at.overlay.resolve(handle).handle == handle
