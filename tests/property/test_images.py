"""An inode number that comes back is another object, and a layer that is out is out.

By hand: OVERLAY_IMAGES=1000 OVERLAY_IMAGES_SEED=5 python -m pytest tests/property/test_images.py
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.property.images import Images

_NUMBER: Final = int(os.environ.get("OVERLAY_IMAGES", "6"))
_SEED: Final = int(os.environ.get("OVERLAY_IMAGES_SEED", "0"))


@pytest.mark.parametrize("seed", range(_SEED, _SEED + _NUMBER))
def test_images_come_and_go(ext4: Path, seed: int) -> None:
    os.umask(0o022)
    place = ext4 / "images"
    place.mkdir()
    try:
        Images(place, seed).run()
    finally:
        shutil.rmtree(place)
