"""Telling of layers that say what they remove as registries keep it (OCI image-spec, layer.md).

There a name `.wh.NAME` removes NAME, and `.wh..wh..opq` all that is below a directory. Overlayfs
knows neither: a layer that was unpacked without regard to them shows what was removed.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from index.layers import Layer
from index.linux.fd import Fd, open_dir, proc_path

_PREFIX: Final = b".wh."
_NAMES_MAX: Final = 4096  # that are looked at when a layer is opened
# A byte for each layer, by its root: whether it was told of, by whichever process of the server.
_TOLD: Final = mmap.mmap(-1, 4096)
_LOGGER: Final = logging.getLogger("overlay-nfsd.start")


def look_for(layer: Layer) -> None:
    """Look at the first names of a lower layer, in its root and in the directories there."""
    with suppress(OSError):  # what cannot be read fails where it is asked for
        left = _NAMES_MAX
        top = _first(layer, layer.root, left)
        for each in top:
            left -= 1
            if left > 0 and each.is_dir(follow_symlinks=False):
                left -= len(_first(layer, open_dir(layer.root, each.name), left))


def _first(layer: Layer, directory: Fd, number: int) -> list[os.DirEntry[bytes]]:
    """Return the first entries of a directory, and log if one is such a whiteout."""
    with os.scandir(proc_path(directory)) as entries:
        found = list(islice(entries, number))
    tell_of(layer, directory, [each.name for each in found])
    return found


def tell_of(layer: Layer, directory: Fd, names: Sequence[bytes]) -> None:
    """Log a lower layer, once, if there is such a name among those of one of its directories."""
    if b"/" + _PREFIX not in b"/" + b"/".join(names):  # quicker than to ask each name
        return
    st = os.fstat(layer.root)
    digest = hashlib.blake2b(b"%d:%d" % (st.st_dev, st.st_ino), digest_size=2).digest()
    at = int.from_bytes(digest) % len(_TOLD)
    if _TOLD[at]:
        return
    _TOLD[at] = 1
    name = next(each for each in names if each.startswith(_PREFIX))
    where = layer.path_in(directory, name)
    _LOGGER.warning(
        "lower layer %s has whiteouts of the OCI format (%s), which hide nothing here, so what was "
        "removed is shown: let a container engine unpack the image (docs/containers.md)",
        os.fsdecode(layer.path),
        os.fsdecode(where.lstrip(b"/")),
    )
