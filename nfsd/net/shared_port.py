"""One more socket for a port that other sockets of this server have: 0.0.0.0 beside 127.0.0.1.

The kernel lets sockets of one user share a port that all say so (SO_REUSEPORT), and goes
on to let others of that user in for as long as the port is in use, also when none says
so any more: another server would then take half of the clients.  So it is never said
but for this moment, and by sockets that belong to a user that does not exist.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from nfsd.net.listen_address import Address, bound_address

_NO_USER: Final = 0xFFFF_FFF0


@contextmanager
def shared(
    sock: socket.socket, address: Address, others: Iterable[socket.socket]
) -> Iterator[None]:
    """Meanwhile `sock` can be bound to the address, and listen, beside these `others`.

    Raises OSError; without others that have the port nothing is shared.
    """
    having = [
        each
        for each in others
        if each.fileno() >= 0 and each.type == sock.type and address.overlaps(bound_address(each))
    ]
    with ExitStack() as stack:
        for each in (sock, *having) if having else ():
            stack.enter_context(_sharing(each))
        yield


@contextmanager
def _sharing(sock: socket.socket) -> Iterator[None]:
    owner = os.fstat(sock.fileno()).st_uid
    os.fchown(sock.fileno(), _NO_USER, -1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
    try:
        yield
    finally:
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, False)
            os.fchown(sock.fileno(), owner, -1)
