"""Runs the restart command while the test goes on: restart, kill, drop, at even intervals.

The command is the user's; it is started without a shell, is waited for without
stopping the test, and must come to an end.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

from nfsd.options import Refusal

EVENTS: Final = ("restart", "kill", "drop")
_LIMIT: Final = 60.0


class EventError(Exception):
    """The restart command failed."""


class Events:
    """`poll` starts what is due and tells of what has ended."""

    def __init__(
        self,
        command: str,
        kinds: Sequence[str],
        period: float,
        ended: Callable[[str], None],
    ) -> None:
        self._words = shlex.split(command)
        if not self._words:
            raise Refusal("--restart-command: give a command, like '/usr/local/sbin/nfs-ctl %a'")
        self._kinds = list(kinds)
        self._gap = period / len(self._kinds)
        self._ended = ended
        self._due = time.monotonic() + self._gap
        self._process: subprocess.Popen[bytes] | None = None
        self._kind = ""
        self._begun = 0.0
        self.counts = dict.fromkeys(EVENTS, 0)

    @property
    def running(self) -> str:
        """What is going on now."""
        return self._kind if self._process is not None else ""

    def poll(self, *, start: bool) -> None:
        """Look at the command that runs; if there is none and one is due, start it."""
        now = time.monotonic()
        if self._process is not None:
            status = self._process.poll()
            if status is None and now - self._begun > _LIMIT:
                self.stop()
                raise EventError(f"--restart-command {self._kind}: not done in {_LIMIT:.0f} s")
            if status:
                raise EventError(f"--restart-command {self._kind}: exit status {status}")
            if status == 0:
                self._process = None
                self.counts[self._kind] += 1
                self._ended(self._kind)
        elif start and now >= self._due:
            self._start(now)

    def _start(self, now: float) -> None:
        self._kind = self._kinds[sum(self.counts.values()) % len(self._kinds)]
        self._due = now + self._gap
        self._begun = now
        words = [each.replace("%a", self._kind) for each in self._words]
        if words == self._words:
            words.append(self._kind)
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            raise EventError(f"--restart-command {words[0]}: {error.strerror}") from error

    def stop(self) -> None:
        """End the command if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_LIMIT)
            self._process = None
