"""Connections and datagrams on an event loop of asyncio's, for who waits for much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nfsd.loop import READABLE, WRITABLE, Call


class AsyncioLoop:
    """An `EventLoop` (nfsd.loop) on the loop that runs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def watch(self, fd: int, events: int, watcher: Callable[[int], None]) -> None:
        """As Loop.watch."""
        self.forget(fd)
        if events & READABLE:
            self._loop.add_reader(fd, watcher, READABLE)
        if events & WRITABLE:
            self._loop.add_writer(fd, watcher, WRITABLE)

    def forget(self, fd: int) -> None:
        """As Loop.forget."""
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)

    def call_soon(self, call: Call) -> None:
        """As Loop.call_soon."""
        self._loop.call_soon(call)

    def call_soon_threadsafe(self, call: Call) -> None:
        """As Loop.call_soon_threadsafe."""
        self._loop.call_soon_threadsafe(call)

    def call_later(self, seconds: float, call: Call) -> None:
        """As Loop.call_later."""
        self._loop.call_later(seconds, call)
