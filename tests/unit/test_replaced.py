"""A lower layer is deleted and another takes its place, with what clients have changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from overlay.config import OverlayConfig
from overlay.filesystem import Overlay
from tests.unit.overlays import Served


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
    """It has lost its lower directory for good, whatever there is later under its first name."""
    images = Images(tmp_path)
    images.replace("d/sub/first")
    overlay = images.opened()
    Served(overlay).create("d/sub/made", "made")
    handle = Served(overlay).node("d/sub").handle
    overlay.close()

    images.replace("d/second")
    overlay = images.opened()
    Served(overlay).rename("d/sub", "d/moved")
    overlay.close()

    images.replace("d/sub/third")
    overlay = images.opened()
    tree = Served(overlay)
    assert tree.node("d/moved").handle == handle
    assert tree.node("d/sub").handle != handle
    assert tree.attributes("d/sub").fileid != tree.attributes("d/moved").fileid
    assert tree.read("d/sub/third") == b"image/d/sub/third"
    assert tree.read("d/moved/made") == b"made"
    overlay.close()
