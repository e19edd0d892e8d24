"""Accepting connections on an event loop, whatever accept(2) says.

An error may be of the one connection that was waiting, which is gone with it; or of
this process or machine, and then it lasts for a while.  None is a reason to end.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from nfsd.net.event_loop import READABLE, Call, Loop

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
_AT_ONCE: Final = 16  # connections, before others have their turn
_PAUSE_SECONDS: Final = 0.2  # after an error that lasts, before the next attempt


class Acceptor:
    """Accepts for one process; keeps a spare descriptor, to refuse with when no other is left."""

    def __init__(
        self,
        loop: Loop,
        accepted: Callable[[socket.socket], None],
        make_room: Call = lambda: None,
    ) -> None:
        """Have `accepted` called with each connection.

        `make_room` may let go of something when there is no descriptor or memory for
        one.  Raises OSError if there is no descriptor now.
        """
        self._loop = loop
        self._accepted = accepted
        self._make_room = make_room
        self._listeners: tuple[socket.socket, ...] = ()
        self._is_held = self._has_failed = False
        self._spare: int | None = _some_descriptor()

    def listen(self, listeners: Iterable[socket.socket]) -> None:
        """Accept on these sockets and on no others, which are to be closed.

        What waits at those is accepted at once.
        """
        before, self._listeners = self._listeners, tuple(listeners)
        for listener in set(before).difference(self._listeners):
            self._loop.forget(listener.fileno())
            while self._accept_one(listener):
                pass
            listener.shutdown(socket.SHUT_RD)  # a worker just forked has it open a moment longer
        self._watch()

    def hold(self) -> None:
        """Let connections wait, until they are to be accepted again."""
        self._is_held = True
        self._watch()

    def resume(self) -> None:
        """Accept connections again."""
        if self._is_held:
            self._is_held = False
            self._watch()

    def close(self) -> None:
        """Close its sockets; also in a process just forked, where they stay the parent's."""
        for listener in self._listeners:
            self._loop.forget(listener.fileno())
            listener.close()
        self._listeners = ()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _watch(self) -> None:
        for listener in self._listeners:
            if self._is_held or self._has_failed:
                self._loop.forget(listener.fileno())
            else:
                accept = partial(self._accept, listener)
                self._loop.watch(listener.fileno(), READABLE, accept)

    def _accept(self, listener: socket.socket, _: int) -> None:
        for _ in range(_AT_ONCE):
            if self._is_held or not self._accept_one(listener):
                return

    def _accept_one(self, listener: socket.socket) -> bool:
        """Return whether a connection waited, which may be gone already."""
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if ONCE.first("accept", str(error.errno)):
                LOGGER.error("cannot accept connections: %s", error.strerror)
            return error.errno in _OF_THE_CONNECTION or self._goes_on_after(error, listener)
        self._accepted(sock)
        return True

    def _goes_on_after(self, error: OSError, listener: socket.socket) -> bool:
        """Refuse the connection for which there is no descriptor; else try again later."""
        self._make_room()
        if error.errno in _NO_DESCRIPTOR and self._refuse(listener):
            return True
        self._has_failed = True
        self._watch()
        self._loop.call_later(_PAUSE_SECONDS, self._try_again)
        return False

    def _refuse(self, listener: socket.socket) -> bool:
        """Close a connection that waits: the client knows it at once, and comes again."""
        if self._spare is None:
            return False
        os.close(self._spare)
        self._spare = None
        try:
            listener.accept()[0].close()
        except OSError:
            return False
        finally:
            with suppress(OSError):  # another process was quicker: of ENFILE
                self._spare = _some_descriptor()
        return True

    def _try_again(self) -> None:
        self._has_failed = False
        self._watch()


def _some_descriptor() -> int:
    return os.open(b"/", os.O_PATH | os.O_CLOEXEC)
