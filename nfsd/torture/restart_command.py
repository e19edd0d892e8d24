"""The user's command that restarts, kills, or drops caches; it is started without a shell."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from typing import Final

from nfsd.torture.events import TIMED, EventError
from overlay.base.refusal import Refusal

_LIMIT: Final = 60.0


class RestartCommand:
    """A controller (nfsd.torture.events) of any server."""

    kinds: Final = TIMED

    def __init__(self, command: str) -> None:
        """Raises Refusal."""
        self._words = shlex.split(command)
        if not self._words:
            raise Refusal("--restart-command: give a command, like '/usr/local/sbin/nfs-ctl %a'")
        self._process: subprocess.Popen[bytes] | None = None

    def steps(self, kind: str) -> Iterator[None]:
        """Run it with `kind` in place of %a, or as its last word; raises EventError."""
        words = [each.replace("%a", kind) for each in self._words]
        if words == self._words:
            words.append(kind)
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            raise EventError(f"--restart-command {words[0]}: {error.strerror}") from error
        while (status := self._process.poll()) is None:
            yield
        self._process = None
        if status:
            raise EventError(f"--restart-command {kind}: exit status {status}")

    def break_off(self) -> None:
        """End the command if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_LIMIT)
            self._process = None
