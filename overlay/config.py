"""What an overlay is made of, as on the command line of `mount -t overlay`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

PLACEHOLDER: Final = b"{client}"  # in upperdir and workdir: a name of each client's own


class ConfigError(Exception):
    """The overlay cannot be served as asked; the text says why and what to do about it."""


@dataclass(frozen=True, slots=True)
class OverlayConfig:
    """Paths of the layers, the topmost lower first; no upper means read-only.

    `datadirs` are data-only lower layers (`lower::data`): they show no names, but
    hold the data that metacopies of the other layers redirect to.
    """

    lowerdirs: tuple[bytes, ...]
    upperdir: bytes | None = None
    workdir: bytes | None = None
    datadirs: tuple[bytes, ...] = ()
    userxattr: bool = False  # user.overlay.* in place of trusted.overlay.*, as the mount option

    @property
    def own(self) -> frozenset[bytes]:
        """Directories that one overlay alone may have at a time, or what stands for them."""
        if self.upperdir is None or self.workdir is None:
            return frozenset((b"below " + os.path.realpath(self.lowerdirs[-1]),))
        return frozenset(map(os.path.realpath, (self.upperdir, self.workdir)))
