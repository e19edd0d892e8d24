"""What is exported, and which export a handle or a path belongs to."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass

from overlay.errors import error
from overlay.filesystem import Overlay
from overlay.node import Node


@dataclass(frozen=True, slots=True)
class Export:
    """One overlay under one name."""

    path: bytes  # as clients mount it: absolute, without a slash at the end but for the root
    overlay: Overlay


class Exports:
    """All exports of one server, the most deeply nested first."""

    def __init__(self, exports: Iterable[Export]) -> None:
        ordered = sorted(exports, key=lambda export: len(components(export.path)), reverse=True)
        self.all: tuple[Export, ...] = tuple(ordered)
        self._overlays = tuple(export.overlay for export in self.all)

    def resolve(self, handle: bytes) -> tuple[Overlay, Node]:
        """The overlay and object of a handle; raises EBADF if no export knows it, or ESTALE.

        A handle is signed with its export's key, so at most one takes it.
        """
        for overlay in self._overlays:
            try:
                return overlay, overlay.resolve(handle)
            except OSError as problem:
                if problem.errno != errno.EBADF:
                    raise
        raise error(errno.EBADF)

    def find(self, path: bytes) -> tuple[Export, list[bytes]]:
        """The export that holds `path`, and the names left to walk below it.

        Raises ENOENT, EINVAL if the path is not absolute, EACCES if it goes up.
        """
        if not path.startswith(b"/"):
            raise error(errno.EINVAL)
        names = components(path)
        if b".." in names:
            raise error(errno.EACCES)
        for export in self.all:
            above = components(export.path)
            if names[: len(above)] == above:
                return export, names[len(above) :]
        raise error(errno.ENOENT)


def components(path: bytes) -> list[bytes]:
    """The names in a path."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]
