"""How a connection gets from the parent, which accepts it, to the worker that serves it, and back.

It goes through a pair of Unix sockets, to the worker together with the row where
it is counted (nfsd.process.balance).  The parent's last word is that it sends no more: the
worker then gives back what it has, each connection once all is answered that was read
from it, together with what was read of a call that is not complete; another worker
goes on from there.  What is on its way when the worker dies is closed.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final, NamedTuple

from nfsd.base.log import LOGGER, ONCE
from nfsd.net.connections import NO_ROW

_ROW: Final = struct.Struct("i")


class Given(NamedTuple):
    """A connection, the row where it is counted, and what was read but not understood yet."""

    sock: socket.socket
    row: int = NO_ROW
    begun: bytes = b""


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the parent's end and the worker's; neither ever waits."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


class LostError(OSError):
    """A connection came for which there was no descriptor: its client finds it closed."""

    def __init__(self, row: int) -> None:
        super().__init__(errno.EMFILE, os.strerror(errno.EMFILE))
        self.row = row


def give(to: socket.socket, connection: Given) -> bool:
    """Send a connection, which the sender still has to close.

    Whether it could be taken; if not, as when there is no memory or no descriptor for it,
    it can be tried again a little later.
    """
    fds = [connection.sock.fileno()]
    try:
        if connection.begun:
            fds.append(_in_memory(connection.begun))
        socket.send_fds(to, [_ROW.pack(connection.row)], fds)
    except (BlockingIOError, ConnectionError):
        return False
    except OSError as error:
        if ONCE.first("give", str(error.errno)):
            LOGGER.error("a connection cannot be given on at present: %s", error.strerror)
        return False
    finally:
        for fd in fds[1:]:
            os.close(fd)
    return True


def take(source: socket.socket) -> Given | None:
    """Receive a connection; None if there is none at present.

    Raises EOFError when no more will come, LostError when no further descriptor can
    be opened, another OSError if it is to be tried again a little later.
    """
    try:
        data, fds, flags, _ = socket.recv_fds(source, _ROW.size, 2)
    except BlockingIOError:
        return None
    if not data:
        raise EOFError
    (row,) = _ROW.unpack(data)
    if not fds or flags & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise LostError(row)
    begun = b""
    if len(fds) > 1:
        with open(fds[1], "rb") as file:
            begun = file.read()
    return Given(socket.socket(fileno=fds[0]), row, begun)


def _in_memory(content: bytes) -> int:
    """Return a file, to be closed, with this content, to be read from its beginning."""
    fd = os.memfd_create("begun", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
