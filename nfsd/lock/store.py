"""Where the list of clients that have locks is kept: beside the index of one overlay."""

from __future__ import annotations

from typing import Final

from overlay.filesystem import Overlay

_NAME: Final = b"lock-clients"


class OverlayStore:
    """A file of the server's own."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def read(self) -> bytes | None:
        return self._overlay.read_state(_NAME)

    def write(self, contents: bytes) -> None:
        self._overlay.write_state(_NAME, contents)

    def append(self, contents: bytes) -> None:
        self._overlay.append_state(_NAME, contents)


class NoStore:
    """No file: locks in a client's own overlay are not lost to others, so none is notified."""

    def read(self) -> bytes | None:
        return None

    def write(self, contents: bytes) -> None:
        return

    def append(self, contents: bytes) -> None:
        return
