"""Listening for what other processes have removed from an overlay.

See overlay.model.removals.

Rule: while much is removed, it is read now and then, all at once; the event is waited for only when
there was nothing to read, as it may not come for what is removed meanwhile.
"""

from __future__ import annotations

from nfsd.net.event_loop import READABLE, Loop
from overlay.filesystem import Overlay


class RemovalListener:
    """Has one overlay read what was removed, on the thread of an event loop."""

    def __init__(self, overlay: Overlay, loop: Loop, pause: float) -> None:
        """`pause`: seconds between two reads."""
        self._overlay = overlay
        self._loop = loop
        self._pause = pause

    def listen(self) -> None:
        """Read from now on, where there are other processes."""
        event = self._overlay.removal_event
        if event is None:
            return
        if self._overlay.hear():
            self._loop.call_later(self._pause, self.listen)
        else:
            self._loop.watch(event, READABLE, self._removed)

    def _removed(self, _: int) -> None:
        assert self._overlay.removal_event is not None
        self._loop.forget(self._overlay.removal_event)
        self.listen()
