"""Which thread must never wait.

The server's event loop calls the overlay in place, because most calls take
microseconds.  What may take longer asks here first and, on that thread, raises
`WouldBlock` before it has changed anything; the server then makes the same
call on a thread that may wait.
"""

from __future__ import annotations

import threading

from overlay.base.errors import WouldBlock

_impatient: set[int] = set()


def forbid_blocking() -> None:
    """Declare the calling thread to be an event loop's."""
    _impatient.add(threading.get_ident())


def allow_blocking() -> None:
    """Record that the calling thread is no event loop any more."""
    _impatient.discard(threading.get_ident())


def must_not_wait() -> bool:
    """Return whether the calling thread is an event loop's."""
    return threading.get_ident() in _impatient


def may_block() -> None:
    """Raise `WouldBlock` on an event loop's thread; what follows may take long."""
    if threading.get_ident() in _impatient:
        raise WouldBlock
