"""Taking the index away: the kernel then shows what clients saw, and nothing of ours is left."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.check.problem import Kind
from overlay.check.run import check
from overlay.filesystem import Overlay
from overlay.maintenance.detach import detach, recorded_config
from overlay.model.attributes import Changes
from overlay.model.config import ConfigError
from overlay.model.contents import Stable
from tests.overlays import (
    KERNEL_OPTIONS,
    Dirs,
    Served,
    kernel_tree,
    make_dirs,
    mounted,
    served,
)
from tests.property import syscalls
from tests.property.trees import raw

_OURS = {"trusted.overlay.fh", "trusted.overlay.upper", "trusted.overlay.path"}


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return make_dirs(tmp_path)


def work(dirs: Dirs) -> None:
    """Some of everything, with lower names left that only the index holds together."""
    with served(dirs) as at:
        at.write("a", "changed")
        at.chmod("c", 0o600)
        at.rename("d/sub/g", "moved")
        at.link("e/h", "d/h2")
        at.remove("gone/x")
        at.rename("opened", "closed")
        at.create("new", "new")
        at.rename("d", "far")
        at.link("new", "far/new2")
        hard, symlink, fifo = (at.node(path).handle for path in ("b", "s", "p"))
    with served(dirs) as at:  # by handle alone, so that no name gets its upper link
        overlay = at.overlay
        overlay.write(overlay.resolve(hard), ROOT, 0, b"by handle", Stable.UNSTABLE)
        for handle in (symlink, fifo):
            overlay.setattr(overlay.resolve(handle), ROOT, Changes(uid=7))


def ours(dirs: Dirs) -> set[str]:
    """Our own attributes that are in the upper layer."""
    found: set[str] = set()
    for path in (dirs.upper, *dirs.upper.rglob("*")):
        found |= _OURS & set(os.listxattr(path, follow_symlinks=False))
    return found


@pytest.mark.parametrize("copy_data", [False, True])
def test_kernel_shows_the_same_tree(dirs: Dirs, copy_data: bool) -> None:
    lower = raw(dirs.lower)
    work(dirs)
    with served(dirs) as at:
        before = at.tree()
    assert before["b"][1] == 2
    assert ours(dirs)
    done = detach(dirs.config, copy_data=copy_data)
    assert done.files > 0
    assert (done.metacopies == 0) == copy_data
    with mounted(dirs) as mount:
        after = kernel_tree(mount)
        assert os.path.samefile(mount / "b", mount / "far/b2")
    root = {path: seen for path, seen in after.items() if path}
    assert root == {path: seen for path, seen in before.items() if path}
    assert ours(dirs) == set()
    assert sorted(os.listdir(dirs.work)) == ["index", "work"]
    assert raw(dirs.lower) == lower


def test_copied_data_needs_no_metacopy(dirs: Dirs) -> None:
    work(dirs)
    with served(dirs) as at:
        before = at.read("c")
    detach(dirs.config, copy_data=True)
    with mounted(dirs, b"index=on,metacopy=off,redirect_dir=on") as mount:
        assert (mount / "c").read_bytes() == before


def test_link_counts_go_on_in_the_kernel(dirs: Dirs) -> None:
    work(dirs)
    detach(dirs.config, copy_data=False)
    with mounted(dirs) as mount:
        (mount / "b").unlink()
        assert (mount / "far/b2").stat().st_nlink == 1
        assert (mount / "far/b2").read_bytes().startswith(b"by handle")
        os.link(mount / "far/b2", mount / "third")
        assert (mount / "third").stat().st_nlink == 2


def test_served_again(dirs: Dirs) -> None:
    """With new handles, and everything else as it was."""
    work(dirs)
    with served(dirs) as at:
        before, handle = at.tree(), at.node("a").handle
    detach(dirs.config, copy_data=False)
    with served(dirs) as at:
        assert at.tree() == before
        with pytest.raises(OSError, match="not a file handle"):
            at.overlay.resolve(handle)
    # What was removed before is news to the new index.
    kinds = {problem.kind for problem in check(dirs.config, repair=False)}
    assert kinds <= {Kind.HIDDEN}


def test_interrupted_detaching_is_finished(dirs: Dirs) -> None:
    work(dirs)
    with served(dirs) as at:
        before = at.tree()
    # As after a crash just behind the point of no return.
    os.rename(dirs.work / "inodes", dirs.work / "kept")
    detach_point = dirs.work / "detached"
    os.rename(dirs.work / "kept", detach_point)
    del before["b"], before["far/b2"], before["s"], before["p"]  # only the index has these
    detach(dirs.config, copy_data=False)
    assert ours(dirs) == set()
    assert not detach_point.exists()
    with mounted(dirs) as mount:
        after = kernel_tree(mount)
    assert {path: after[path] for path in before if path} == {
        path: seen for path, seen in before.items() if path
    }


def test_layers_are_read_from_the_record(dirs: Dirs) -> None:
    with served(dirs):
        pass
    assert recorded_config(os.fsencode(dirs.work)) == dirs.config
    detach(dirs.config, copy_data=False)
    with pytest.raises(ConfigError, match="no index"):
        recorded_config(os.fsencode(dirs.work))


def test_contents_without_a_name_are_not_lost(dirs: Dirs) -> None:
    with served(dirs) as at:
        at.write("a", "kept")
        number = at.attributes("a").fileid
    (dirs.upper / "a").unlink()
    (dirs.lower / "a").unlink()
    with pytest.raises(ConfigError, match="without a name"):
        detach(dirs.config, copy_data=False)
    assert (dirs.work / "inodes" / f"#{number}").read_bytes().startswith(b"kept")


def random_work(at: Served, dice: random.Random, first: int = 0) -> None:
    """Metadata changed alone, names changed, now and then contents."""
    for step in range(first, first + 10):
        path = dice.choice([path for path in at.paths() if path])
        is_dir = at.node(path).is_dir
        match dice.randrange(4):
            case 0:
                at.chmod(path, 0o700 if is_dir else 0o600)
            case 1 if not is_dir:
                at.link(path, f"link{step}")
            case 2 if not is_dir and dice.random() < 0.3:
                at.write(path, "changed")
            case _:
                at.rename(path, f"renamed{step}")


def image(lower: Path, old: list[str], dice: random.Random) -> None:
    """A new layer that has other files under names that there were."""
    lower.mkdir(0o755)
    for path in dice.sample(old, k=len(old) // 2):
        place = lower / path
        if all(not above.exists() or above.is_dir() for above in place.parents):
            place.parent.mkdir(0o755, parents=True, exist_ok=True)
            if not place.exists():
                place.write_text(f"image: {path}\n" * 100)


def contents(at: Served) -> dict[str, bytes | None]:
    return {
        path: at.read(path) if stat.S_ISREG(at.attributes(path).mode) else None
        for path in at.paths()
    }


@pytest.mark.parametrize("seed", range(12))
def test_no_file_shows_anothers_contents(dirs: Dirs, seed: int) -> None:
    """A new image has the names that metacopies were renamed from: their data goes along."""
    dice = random.Random(seed)
    (dirs.lower / "p").unlink()
    with served(dirs) as at:
        old = [path for path in at.paths() if path and not at.node(path).is_dir]
        random_work(at, dice)
    top = dirs.place / "image"
    image(top, old, dice)
    config = replace(dirs.config, lowerdirs=(os.fsencode(top), os.fsencode(dirs.lower)))
    overlay = Overlay.open(config)
    random_work(Served(overlay), dice, 10)
    before = contents(Served(overlay))
    overlay.close()
    detach(config, copy_data=bool(seed % 2))
    with stacked(dirs, top) as mount:
        after = kernel_tree(mount)
    shown = {path: seen[5] for path, seen in after.items()}
    assert shown.keys() == before.keys()
    files = {path: content for path, content in before.items() if content is not None}
    assert {path: shown[path] for path in files} == files


@contextmanager
def stacked(dirs: Dirs, top: Path) -> Iterator[Path]:
    """A kernel mount with one layer more."""
    syscalls.private_mounts()
    target = dirs.place / "mnt"
    target.mkdir()
    layers = f"lowerdir={top}:{dirs.lower},upperdir={dirs.upper},workdir={dirs.work},"
    options = layers.encode() + KERNEL_OPTIONS
    syscalls.mount(b"test", os.fsencode(target), b"overlay", options)
    try:
        yield target
    finally:
        syscalls.unmount(os.fsencode(target))
