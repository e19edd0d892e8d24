"""A lower layer is deleted and another takes its place, with what clients have changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from overlay.filesystem import Overlay
from overlay.model.config import OverlayConfig
from tests.overlays import Served


class Images:
    """An overlay of a layer that stays and an image that is replaced."""

    def __init__(self, place: Path) -> None:
        self._place = place
        for name in ("upper", "work"):
            (place / name).mkdir(mode=0o700)
        self.write("base/d/of-base")

    def write(self, path: str) -> None:
        file = self._place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)

    def replace(self, *paths: str) -> None:
        """Another image, with these files."""
        shutil.rmtree(self._place / "image", ignore_errors=True)
        for path in paths:
            self.write(f"image/{path}")

    def opened(self) -> Overlay:
        os.umask(0o022)
        image, base, upper, work = (
            os.fsencode(self._place / name) for name in ("image", "base", "upper", "work")
        )
        return Overlay.open(OverlayConfig((image, base), upper, work))


def test_a_directory_that_was_renamed_without_its_layer_is_not_what_a_later_image_has(
    tmp_path: Path,
) -> None:
    """Nor is what lies in it; whatever merges with it by name still is part of it."""
    images = Images(tmp_path)
    images.replace("d/sub/below/first", "d/stays/first")
    overlay = images.opened()
    tree = Served(overlay)
    tree.create("d/sub/below/made", "made")
    tree.create("d/stays/made", "made")
    paths = {"d/stays": "d/stays", "d/sub": "d/moved", "d/sub/below": "d/moved/below"}
    handles = {new: tree.node(old).handle for old, new in paths.items()}
    overlay.close()

    images.replace("d/second")
    overlay = images.opened()
    Served(overlay).rename("d/sub", "d/moved")
    overlay.close()

    images.replace("d/sub/below/third", "d/stays/third")
    overlay = images.opened()
    tree = Served(overlay)
    assert {path: tree.node(path).handle for path in handles} == handles
    everything = tree.handles()
    assert len(set(everything.values())) == len(everything)
    assert tree.read("d/sub/below/third") == b"image/d/sub/below/third"
    assert tree.read("d/stays/third") == b"image/d/stays/third"
    assert tree.read("d/moved/below/made") == b"made"
    overlay.close()
