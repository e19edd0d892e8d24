"""Accepting connections, whatever accept(2) says.

An error may be of the one connection that was waiting, which is gone with it; or of
this process or machine, and then it lasts for a while.  None is a reason to end.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

from nfsd.log import LOGGER, ONCE

# Linux passes on what became of the connection meanwhile (accept(2), "Error handling"),
# and a firewall's refusal.
_OF_THE_CONNECTION: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
        errno.ETIMEDOUT,
    }
)
_NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE)
_TRIES: Final = 64  # connections that are gone already, before others have their turn
# After an error that lasts, before the next attempt.
PAUSE_SECONDS: Final = 0.2


class Acceptor:
    """Accepts for one process; keeps a spare descriptor, to refuse with when no other is left."""

    def __init__(self) -> None:
        """Raises OSError if there is no descriptor now."""
        self._spare: int | None = _some_descriptor()

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Any] | None:
        """A connection and its address; None if none waits.

        Raises OSError for what lasts: it is logged, and the caller is to try again after
        PAUSE_SECONDS, or to let go of a descriptor.
        """
        for _ in range(_TRIES):
            try:
                return listener.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if ONCE.first("accept", str(error.errno)):
                    LOGGER.error("cannot accept connections: %s", error.strerror)
                if error.errno not in _OF_THE_CONNECTION:
                    raise
        return None

    def refuse(self, listener: socket.socket, error: OSError) -> bool:
        """Close a connection that waits, if the error was that there is no descriptor for it.

        Whether that was done: who is refused knows it at once, and comes again.
        """
        if error.errno not in _NO_DESCRIPTOR or self._spare is None:
            return False
        os.close(self._spare)
        self._spare = None
        try:
            sock, _ = listener.accept()
            sock.close()
        except OSError:
            return False
        finally:
            self._keep_spare()
        return True

    def _keep_spare(self) -> None:
        try:
            self._spare = _some_descriptor()
        except OSError:
            self._spare = None  # another process was quicker: of ENFILE

    def close(self) -> None:
        """Let go of the spare descriptor."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


def _some_descriptor() -> int:
    return os.open(b"/", os.O_PATH | os.O_CLOEXEC)
