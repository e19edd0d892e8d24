"""A layer that is missing is not taken for one whose objects were removed.

Rule: whatever is wrong with an overlay, to repair it or to take its index away without all its
layers is refused, and changes nothing on the disk; with them it finds what it would have found.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from overlay.base.credentials import ROOT
from overlay.check.run import check
from overlay.filesystem import Overlay
from overlay.maintenance.detach import detach
from overlay.model.config import ConfigError, OverlayConfig
from tests.overlays import Dirs, Served, mounted
from tests.property.trees import raw

_PREFIX = "trusted.overlay."
_ATIME, _MTIME, _CTIME = 6, 7, 8


@dataclass(frozen=True)
class Layers:
    """Three lower layers, an upper and a workdir."""

    place: Path

    @property
    def lowers(self) -> list[Path]:
        return [self.place / name for name in ("top", "middle", "bottom")]

    def config(self, *lowers: Path) -> OverlayConfig:
        upper, work = os.fsencode(self.place / "upper"), os.fsencode(self.place / "work")
        return OverlayConfig(tuple(map(os.fsencode, lowers or self.lowers)), upper, work)

    def disk(self) -> list[object]:
        """Everything that there is, but for when it was read and looked at."""
        return [
            {
                path: (*had[:_ATIME], had[_MTIME], *had[_CTIME + 1 :])
                for path, had in raw(top).items()
            }
            for top in sorted(self.place.iterdir())
        ]


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    made = Layers(tmp_path / "p")
    for name in ("upper", "work"):
        (made.place / name).mkdir(parents=True)
    for number, lower in enumerate(made.lowers):
        for name in ("common/deep", f"own{number}/deep"):
            (lower / name).mkdir(parents=True)
        for name in (f"f{number}", "file", f"common/f{number}", f"own{number}/deep/f", "common/x"):
            (lower / name).write_text(f"{name} of {number}")
        os.link(lower / f"f{number}", lower / f"common/link{number}")
    return made


def work(served: Served, dice: random.Random) -> None:
    """Change a few things of every layer."""
    for step in range(12):
        paths = [path for path in served.paths() if path]
        path = dice.choice(paths)
        todo: list[Callable[[], None]] = [
            partial(served.chmod, path, 0o700),
            partial(served.rename, path, f"renamed{step}"),
        ]
        if served.node(path).is_dir:
            todo.append(partial(served.create, f"{path}/made{step}", "made"))
        else:
            todo += [partial(served.remove, path), partial(served.write, path, "changed")]
        dice.choice(todo)()


def serve(config: OverlayConfig, dice: random.Random | None = None) -> dict[str, bytes]:
    """What clients see after some work: the contents of all files."""
    overlay = Overlay.open(config)
    try:
        served = Served(overlay)
        if dice is not None:
            work(served, dice)
        return {path: read(served, path) for path in served.paths()}
    finally:
        overlay.close()


def read(served: Served, path: str) -> bytes:
    """The contents of a file; nothing of a directory, or where the layer is out that has them."""
    if served.node(path).is_dir:
        return b""
    try:
        return served.read(path)
    except OSError as problem:
        if problem.errno != errno.EIO:
            raise
        return b""


def damage(layers: Layers, dice: random.Random) -> None:
    """Spoil a few attributes and entries."""
    inodes = list((layers.place / "work/inodes").iterdir())
    uppers = list((layers.place / "upper").rglob("*"))
    for path in dice.sample([*inodes, *uppers], k=min(3, len([*inodes, *uppers]))):
        had = os.listxattr(path, follow_symlinks=False)
        name = dice.choice(("fh", "upper", "path", "redirect", "opaque", "nlink", "origin"))
        if _PREFIX + name in had:
            value = dice.choice((b"", b"nonsense", b"\1\2\3"))
            os.setxattr(path, _PREFIX + name, value, follow_symlinks=False)


def left_out(layers: Layers, number: int) -> OverlayConfig:
    return layers.config(*(lower for at, lower in enumerate(layers.lowers) if at != number))


def unmounted(layers: Layers, number: int) -> OverlayConfig:
    os.rename(layers.lowers[number], layers.place / "aside")
    layers.lowers[number].mkdir()
    return layers.config()


def emptied(layers: Layers, number: int) -> OverlayConfig:
    (layers.place / "aside").mkdir()
    for path in layers.lowers[number].iterdir():
        path.rename(layers.place / "aside" / path.name)
    return layers.config()


def another(layers: Layers, number: int) -> OverlayConfig:
    other = layers.place / "another"
    other.mkdir()
    (other / "else").touch()
    lowers = list(layers.lowers)
    lowers[number] = other
    return layers.config(*lowers)


def other_order(layers: Layers, number: int) -> OverlayConfig:
    lowers = layers.lowers
    lowers.insert(number, lowers.pop(number - 1))
    return layers.config(*lowers)


_WAYS = (left_out, unmounted, emptied, another, other_order)


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_mended_without_a_layer(
    layers: Layers, seed: int, way: Callable[[Layers, int], OverlayConfig]
) -> None:
    dice = random.Random(seed)
    before = serve(layers.config(), dice)
    if seed % 2:
        damage(layers, dice)
    number = dice.randrange(3)
    wrong = way(layers, number)
    disk = layers.disk()
    for refused in (
        lambda: list(check(wrong, repair=True)),
        lambda: detach(wrong, copy_data=True),
    ):
        with pytest.raises(ConfigError):
            refused()
        assert layers.disk() == disk
    if way is emptied:
        for path in (layers.place / "aside").iterdir():
            path.rename(layers.lowers[number] / path.name)
    elif way is unmounted:
        layers.lowers[number].rmdir()
        os.rename(layers.place / "aside", layers.lowers[number])
    list(check(layers.config(), repair=True))
    if not seed % 2:
        assert serve(layers.config()) == before


def test_to_look_records_nothing(layers: Layers) -> None:
    serve(layers.config())
    list(check(left_out(layers, 0), repair=False))
    with pytest.raises(ConfigError, match="--without"):
        list(check(left_out(layers, 0), repair=True))


def test_a_layer_left_out_is_missed_after_it_was_served_without(layers: Layers) -> None:
    before = serve(layers.config(), random.Random(1))
    serve(left_out(layers, 0))
    with pytest.raises(ConfigError, match=r"top, which was served .* --without"):
        list(check(left_out(layers, 0), repair=True))
    assert serve(layers.config()) == before


def test_what_is_gone_for_good_is_done_without(layers: Layers) -> None:
    serve(layers.config(), random.Random(1))
    gone = os.fsencode(layers.lowers[0])
    list(check(left_out(layers, 0), repair=True, without=[gone]))
    serve(left_out(layers, 0))
    shutil.rmtree(layers.lowers[0])
    list(check(left_out(layers, 0), repair=True))


def test_a_layer_on_top_is_no_other_order(layers: Layers) -> None:
    serve(layers.config(), random.Random(2))
    (layers.place / "new").mkdir()
    list(check(layers.config(layers.place / "new", *layers.lowers), repair=True))


@pytest.mark.parametrize("way", [unmounted, emptied])
def test_what_is_not_mounted_is_not_served(
    layers: Layers, way: Callable[[Layers, int], OverlayConfig]
) -> None:
    serve(layers.config())
    config = way(layers, 1)
    disk = layers.disk()
    with pytest.raises(ConfigError, match="middle is empty, which it was not"):
        Overlay.open(config)
    assert layers.disk() == disk


def test_a_layer_that_always_was_empty_is_served(layers: Layers) -> None:
    (layers.place / "empty").mkdir()
    config = layers.config(layers.place / "empty", *layers.lowers)
    before = serve(config)
    (layers.place / "empty").rename(layers.place / "old")
    (layers.place / "empty").mkdir()
    assert serve(config) == before
    assert list(check(config, repair=True)) == []


def test_a_start_without_a_layer_mends_nothing_of_a_kernel_mount(tmp_path: Path) -> None:
    dirs = Dirs(tmp_path / "p")
    dirs.place.mkdir()
    layers = Layers(dirs.place)
    for path in (dirs.lower, dirs.upper, dirs.work, layers.place / "top"):
        path.mkdir()
    (layers.place / "top/d").mkdir()
    (layers.place / "top/d/f").write_text("of top")
    (dirs.lower / "other").write_text("other")
    both = os.fsencode(layers.place / "top"), os.fsencode(dirs.lower)
    config = replace(dirs.config, lowerdirs=both)
    overlay = Overlay.open(config)
    served = Served(overlay)
    served.rename("d", "renamed")
    served.chmod("renamed/f", 0o600)
    handle = served.node("renamed/f").handle
    overlay.close()
    with mounted(dirs) as target:
        (target / "by the kernel").touch()
    Overlay.open(dirs.config).close()
    overlay = Overlay.open(config)
    try:
        node = overlay.resolve(handle)
        assert bytes(overlay.read(node, ROOT, 0, 100)[0]) == b"of top"
        assert Served(overlay).read("renamed/f") == b"of top"
    finally:
        overlay.close()
