"""Which clients have said that they have restarted, and the state that each has since.

A client may say so repeatedly, by several of its names: that is one restart.
"""

from __future__ import annotations

from typing import Final

from nfsd.lock.types import Client

_NAMES_MAX: Final = 16  # of one address, the last ones
_ADDRESSES_MAX: Final = 10_000


class Restarts:
    """The states that clients have sent, by address and name."""

    def __init__(self) -> None:
        self._states: dict[str, dict[bytes, int]] = {}

    def is_news(self, client: Client, state: int) -> bool:
        """Return whether a client has not sent this state before."""
        said = self._states.get(client.address, {})
        return not any(
            known == state and is_same_name(name, client.name) for name, known in said.items()
        )

    def note(self, client: Client, state: int) -> None:
        """Record that a client has sent this state."""
        said = self._states.pop(client.address, {})
        said.pop(client.name, None)
        said[client.name] = state
        if len(said) > _NAMES_MAX:
            del said[next(iter(said))]
        self._states[client.address] = said
        if len(self._states) > _ADDRESSES_MAX:
            del self._states[next(iter(self._states))]


def is_same_name(one: bytes, other: bytes) -> bool:
    """Return whether two names are a machine's, one of them perhaps without its domain."""
    one, other = one.lower().rstrip(b"."), other.lower().rstrip(b".")
    if b"." in one and b"." in other:
        return one == other
    return one.split(b".")[0] == other.split(b".")[0]
