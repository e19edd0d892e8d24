"""The layers of one overlay, and which of them a handle or an attribute of an inode means."""

from __future__ import annotations

import os
from dataclasses import dataclass

from index.layers import Layer
from index.seal import Seal


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of one overlay, topmost lower first."""

    upper: Layer | None
    lowers: tuple[Layer, ...]
    data: tuple[Layer, ...] = ()  # data-only layers, reached by the redirects of metacopies
    seal: Seal | None = None  # where to find what was copied

    def by_id(self, layer_id: int) -> Layer | None:
        """Return the layer a directory's handle names; None when it was taken out of the stack."""
        return next((layer for layer in self.all() if layer.id == layer_id), None)

    def on_filesystem(self, number: int) -> Layer | None:
        """Return any layer of the filesystem that a file's handle names."""
        return next(
            (one for one in self.lowers if one.filesystem == number and one.has_handles), None
        )

    def on_device(self, device: int) -> Layer | None:
        """Return any lower layer whose inodes have this st_dev."""
        return next((one for one in self.lowers if os.fstat(one.root).st_dev == device), None)

    def with_uuid(self, uuid: bytes) -> Layer | None:
        """Return any lower layer on the filesystem that `overlay.origin` names."""
        return next((one for one in self.lowers if one.uuid == uuid and one.has_handles), None)

    def all(self) -> tuple[Layer, ...]:
        return self.lowers if self.upper is None else (self.upper, *self.lowers)
