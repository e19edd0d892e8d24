"""What clients' upper layers are called, in place of {client}: a name for an address, or itself.

Names are those of the configuration, else those that DHCP servers have on record
(nfsd.export.dhcp_leases), else those under which an address last mounted: leases expire while
machines go on, and servers restart.  Where there are leases, a client without a name has no
layer; without them it is called by its address, as where no names are given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from nfsd.export import dhcp_leases
from overlay.base.blocking import may_block

_FORMER_SECONDS: Final = 10.0  # for which it is known who mounted as what
_LOOK_SECONDS: Final = 1.0  # between two looks whether a file of leases has changed


class ClientNames:
    """The names of one export's clients."""

    def __init__(
        self,
        names: Mapping[str, str],
        files: Sequence[str] = (),
        recorded: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`files` are those of leases; `recorded` is asked for the names of former mounts."""
        self._names = names
        self._files = files
        self._recorded = recorded
        self._leased: dict[str, dict[str, str]] = {}  # of each file
        self._seen: dict[str, tuple[int, int, int]] = {}  # what each was when it was read
        self._due = 0.0  # seconds of the monotonic clock
        self._found: dict[str, str | None] = {}
        self._former: tuple[float, Mapping[str, str]] = (0.0, {})  # until when, names of mounts

    @property
    def by_lease(self) -> bool:
        """Return whether names come and go with leases."""
        return bool(self._files)

    def of(self, address: str) -> str | None:
        """Return what a client's layer is called; None if it has none.  May read files."""
        if not self._files:
            return self._names.get(address, address)
        if time.monotonic() >= self._due:
            may_block()
            self._look()
        if address not in self._found:
            may_block()
            self._found[address] = self._find(address)
        return self._found[address]

    def known(self, address: str) -> str | None:
        """Return the same as it was last found; reads nothing."""
        return self._found.get(address) if self._files else self._names.get(address, address)

    def _find(self, address: str) -> str | None:
        if address in self._names:
            return self._names[address]
        for leased in self._leased.values():
            if address in leased:  # without a name it is somebody else's than it was
                return leased[address] or None
        return self._found.get(address) or self._last(address)

    def _last(self, address: str) -> str | None:
        """Return the name under which an address last mounted."""
        until, names = self._former
        if time.monotonic() >= until:
            names = self._recorded()
            self._former = time.monotonic() + _FORMER_SECONDS, names
        return names.get(address)

    def _look(self) -> None:
        """Read the files that have changed."""
        for file in self._files:
            try:
                status = os.stat(file)
                seen = status.st_mtime_ns, status.st_size, status.st_ino
                if self._seen.get(file) != seen:
                    self._leased[file] = dhcp_leases.names(file)
                    self._seen[file] = seen
            except (OSError, ValueError) as problem:
                if ONCE.first("leases", file, type(problem).__name__):
                    LOGGER.warning("leases %s: %s: the last contents count", file, problem)
        self._found = {
            address: self._find(address) for address, name in self._found.items() if name
        }
        self._due = time.monotonic() + _LOOK_SECONDS


def name_of(names: Sequence[ClientNames], address: str) -> str:
    """Return what the first of several exports calls a client; its address where none does."""
    return next((name for each in names if (name := each.of(address)) is not None), address)
