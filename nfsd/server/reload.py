"""Reading the configuration again while clients are served (`overlay-nfsd reload`, SIGHUP).

What cannot be served is refused with the same words as at a start, to the process that asked, in
the log and in the status, and all stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nfsd.base.log import LOGGER
from nfsd.config.file import Config
from nfsd.process.systemd import Notifier
from nfsd.server.service import Service
from overlay.base.refusal import Refusal

DONE: Final = b"done: "
REFUSED: Final = b"refused: "


def _nobody(verdict: bytes) -> None:
    """There is nobody to be told."""


class Reloading:
    """Called, it has `service` serve what `read` returns, and tells the service manager."""

    def __init__(self, service: Service, notifier: Notifier, read: Callable[[], Config]) -> None:
        self._service = service
        self._notifier = notifier
        self._read = read
        self._refused = ""
        self._begun: Callable[[], Callable[[bytes], None]] = lambda: _nobody

    def tell(self, begun: Callable[[], Callable[[bytes], None]]) -> None:
        """Call this when a reload begins, and what it returns with the verdict."""
        self._begun = begun

    def __call__(self) -> None:
        tell = self._begun()
        self._notifier.reloading()
        try:
            self._service.change_to(self._read())
        except Refusal as problem:
            self._refused = f"reload refused: {problem}; "
            verdict = f"reload refused, all stays as it was: {problem}"
            LOGGER.error("%s", verdict)
        except Exception as problem:  # whatever a file says, clients are served as before
            self._refused = f"reload failed: {type(problem).__name__}: {problem}; "
            verdict = f"reload failed, all stays as it was: {type(problem).__name__}: {problem}"
            LOGGER.critical("reload failed, all stays as it was", exc_info=problem)
        else:
            self._refused = ""
            verdict = f"reloaded: {self._service.serving()}"
            LOGGER.info("%s", verdict)
        self._notifier.status(self.status())
        self._notifier.ready()
        tell((REFUSED if self._refused else DONE) + verdict.encode(errors="surrogateescape"))

    def status(self) -> str:
        """Return what is served, in a line, and what the last reload was refused for."""
        return self._refused + self._service.status()
