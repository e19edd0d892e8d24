"""The event loop: listening sockets, connections, threads for what may block, a clean stop.

Everything runs on one thread, in place; only calls that would block run in a
small pool.  Nothing that a client sends and nothing that a handler raises ends
the server.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from nfsd.connection import Connection
from nfsd.log import LOGGER, ONCE, log_exception_once
from nfsd.rpc import Dispatcher
from overlay.blocking import allow_blocking, forbid_blocking

CONNECTIONS_MAX: Final = 1000
THREADS: Final = 16
_SHARED_BYTES: Final = 64 << 10  # what one read takes of anything small
_BACKLOG: Final = 1024
_ACCEPT_AT_ONCE: Final = 64
_STOP_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
# mallopt(3): data of READ and WRITE passes through buffers of up to 1 MiB.  Given
# back to the kernel each time, every page of them would be faulted in and zeroed
# anew, which costs more than all else that is done for a WRITE.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 32 << 20
# A thread that computes must soon let the event loop go on.
_SWITCH_SECONDS: Final = 0.0005
_GC_THRESHOLD: Final = 50_000
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Server:
    """Serves a dispatcher's programs on listening sockets, until it is told to stop."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._listeners: list[socket.socket] = []
        self._connections: dict[Connection, None] = {}  # the newest last
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="blocking")
        self._shared = memoryview(bytearray(_SHARED_BYTES))
        self._done: asyncio.Event = asyncio.Event()
        self._is_stopping = False

    def listen(self, family: socket.AddressFamily, address: tuple[Any, ...]) -> tuple[str, int]:
        """Listen on a TCP address; returns it with the port that port 0 became.

        Raises OSError if the address is taken or is not this machine's.
        """
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        self._listeners.append(sock)
        host, port = sock.getsockname()[:2]
        return host, port

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; `ready` is called when clients can connect."""
        _tune()
        try:
            asyncio.run(self._run(ready))
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_unhandled)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        for listener in self._listeners:
            loop.add_reader(listener, self._accept, listener)
        forbid_blocking()
        try:
            ready()
            await self._done.wait()
        finally:
            allow_blocking()
            for connection in list(self._connections):
                connection.close()

    def stop(self) -> None:
        """Accept and read no more, answer what was read, then let `run` return."""
        if self._is_stopping:
            return
        self._is_stopping = True
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            listener.close()
        loop.call_later(_STOP_SECONDS, self._done.set)
        for connection in list(self._connections):
            connection.finish()
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._is_stopping and not self._connections:
            self._done.set()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._rest(listener, error)
                return
            self._connect(sock)

    def _connect(self, sock: socket.socket) -> None:
        if len(self._connections) >= CONNECTIONS_MAX and not self._close_one():
            if ONCE.first("refused"):
                LOGGER.warning("connections are refused: %d are busy", CONNECTIONS_MAX)
            sock.close()
            return
        try:
            connection = Connection(
                sock, self._dispatcher, self._pool, self._shared, self._disconnected
            )
        except OSError:
            sock.close()  # the client is gone already
            return
        self._connections[connection] = None

    def _close_one(self) -> bool:
        """Close the connection that has been idle for longest; clients connect again."""
        idle = [each for each in self._connections if each.is_idle]
        if not idle:
            return False
        if ONCE.first("idle"):
            LOGGER.warning("more than %d connections: idle ones are closed", CONNECTIONS_MAX)
        min(idle, key=lambda each: each.last_used).close()
        return True

    def _disconnected(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._stop_if_done()

    def _rest(self, listener: socket.socket, error: OSError) -> None:
        """Out of descriptors or memory: close what is idle and try again soon."""
        if ONCE.first("accept", error.errno):
            LOGGER.error("cannot accept connections: %s", error.strerror)
        self._close_one()
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_RETRY_SECONDS, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if not self._is_stopping:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)


def _tune() -> None:
    """Set up this process for a server: the interpreter's switching, its collector, the heap."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _log_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is None:
        LOGGER.error("event loop: %s", context.get("message"))
    else:
        log_exception_once("event loop", error)
