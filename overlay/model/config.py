"""What an overlay is made of, as on the command line of `mount -t overlay`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final

from overlay.base.refusal import Refusal

PLACEHOLDER: Final = b"{client}"  # in upperdir and workdir: a name of each client's own


class ConfigError(Refusal):
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
    # Of an export without an upper layer: by which its state is told from that of another
    # with the same bottommost layer.
    name: bytes = b""
    # Whether clients' directories are called by names, too, where upperdir has PLACEHOLDER.
    named: bool = False
    inode_bits: int = 64  # of the numbers that clients see: 32 or 64
    # Whether copying up may leave a file's data below, and a directory that merges be renamed,
    # as with these mount options; what is there of either is followed in any case.
    metacopy: bool = True
    redirect_dir: bool = True

    def of_export(self, path: bytes) -> OverlayConfig:
        """Return this configuration for the export that clients mount as `path`."""
        return replace(self, name=path) if self.upperdir is None else self

    @property
    def own(self) -> frozenset[bytes]:
        """Return the directories, or what stands for them, that one overlay at a time may have."""
        if self.upperdir is None or self.workdir is None:
            bottom = os.path.realpath(self.lowerdirs[-1])
            return frozenset((b"below %s for %s" % (bottom, self.name),))
        return frozenset(map(os.path.realpath, (self.upperdir, self.workdir)))


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upper layer may hold; None is without limit."""

    space: int | None = None  # bytes of disk
    files: int | None = None  # objects of any type

    def __bool__(self) -> bool:
        return self.space is not None or self.files is not None


UNLIMITED: Final = Limits()
