"""An overlay's bell, which rings when another process has removed something (overlay.departures).

Rule: while much is told it is heard now and then, all at once; the bell is waited for only when
there was nothing to hear, as it may not ring for what is told meanwhile.
"""

from __future__ import annotations

from nfsd.loop import READABLE, EventLoop
from overlay.filesystem import Overlay


class Bell:
    """Has one overlay hear, on the thread of an event loop."""

    def __init__(self, overlay: Overlay, loop: EventLoop, pause: float) -> None:
        """`pause`: seconds between two times that it hears."""
        self._overlay = overlay
        self._loop = loop
        self._pause = pause

    def listen(self) -> None:
        """From now on hear, where there are other processes."""
        bell = self._overlay.bell
        if bell is None:
            return
        if self._overlay.hear():
            self._loop.call_later(self._pause, self.listen)
        else:
            self._loop.watch(bell, READABLE, self._rung)

    def _rung(self, _: int) -> None:
        assert self._overlay.bell is not None
        self._loop.forget(self._overlay.bell)
        self.listen()
