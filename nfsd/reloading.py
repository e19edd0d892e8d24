"""Reading the configuration again while clients are served (SIGHUP, `systemctl reload`).

What cannot be served is refused with the same words as at a start, in the log and
in the status, and all stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable

from nfsd.config_file import Config, ConfigFileError
from nfsd.log import LOGGER
from nfsd.options import Refusal
from nfsd.service import Service
from nfsd.systemd import Notifier
from overlay.config import ConfigError


class Reloading:
    """Called, it has `service` serve what `read` returns, and tells the service manager."""

    def __init__(self, service: Service, notifier: Notifier, read: Callable[[], Config]) -> None:
        self._service = service
        self._notifier = notifier
        self._read = read
        self._refused = ""

    def __call__(self) -> None:
        self._notifier.reloading()
        try:
            self._service.change_to(self._read())
        except (Refusal, ConfigError, ConfigFileError) as problem:
            self._refused = f"reload refused: {problem}; "
            LOGGER.error("reload refused, all stays as it was: %s", problem)
        except Exception as problem:  # whatever a file says, who is served goes on to be
            self._refused = f"reload failed: {type(problem).__name__}: {problem}; "
            LOGGER.critical("reload failed, all stays as it was", exc_info=problem)
        else:
            self._refused = ""
            LOGGER.info("reloaded: %s", self._service.serving())
        self._notifier.status(self.status())
        self._notifier.ready()

    def status(self) -> str:
        """What is served, in a line, and what the last reload was refused for."""
        return self._refused + self._service.status()
