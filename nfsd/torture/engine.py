"""Runs tasks over several connections: one thread, one selector, many calls on their way.

Which call goes out when depends on the server's speed, but nothing is decided
here: a task's calls are made in its own order, a group ends when all its tasks
have, and only then is its owner asked for more.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from nfsd.rpc.client import RefusedError, results
from nfsd.torture.calls import Reply, Task
from nfsd.torture.channel import Channel, LostError, Pending
from nfsd.torture.wire import Packer
from nfsd.xdr.codec import Buffer, XdrError
from nfsd.xdr.generated.nfs3 import NFS3ERR_JUKEBOX

CONNECTIONS: Final = 4
WINDOW: Final = 16  # calls without an answer on one connection
PATIENCE: Final = 120.0  # seconds for one call, or for a connection
_ANSWER_LIMIT: Final = 30.0  # after which a call is sent again over a new connection
_JUKEBOX_WAIT: Final = 0.2
_TICK: Final = 0.1
_BUFFER: Final = 1 << 20


class Group:
    """Tasks that one owner started together."""

    __slots__ = ("done", "left")

    def __init__(self, left: int, done: Callable[[], None]) -> None:
        self.left = left
        self.done = done


class Engine:
    """Tasks in, calls out; `tick` is called ten times a second."""

    def __init__(
        self, address: tuple[str, int], packer: Packer, tick: Callable[[], None] = lambda: None
    ) -> None:
        self._packer = packer
        self._tick = tick
        shared = memoryview(bytearray(_BUFFER))
        self._channels = [Channel(address, shared) for _ in range(CONNECTIONS)]
        self._selector = selectors.DefaultSelector()
        self._ready: deque[Pending] = deque()
        self._later: list[tuple[float, int, Pending]] = []
        self._order = itertools.count()
        # Not from the seed: a server that remembers answers must not take a second run for
        # the first one sent again.
        self._xid = int.from_bytes(os.urandom(4), "big")
        self._groups = 0
        self.patience = PATIENCE
        self.calls = 0
        self.resent = 0
        self.delayed = 0  # answers that asked to come again later

    def add(self, tasks: Sequence[Task], done: Callable[[], None]) -> None:
        """Start tasks; `done` is called when all of them have ended."""
        assert tasks, "a group of no tasks never ends"
        group = Group(len(tasks), done)
        self._groups += 1
        for task in tasks:
            self._advance(task, group, None, time.monotonic())

    def held(self, then: Callable[[], None]) -> Callable[[], None]:
        """`then`, to be called once; until then the engine runs on, also without tasks."""
        self._groups += 1

        def called() -> None:
            self._groups -= 1
            then()

        return called

    def run(self) -> None:
        """Until all groups have ended; raises LostError when the server is gone."""
        next_tick = 0.0
        try:
            while self._groups:
                now = time.monotonic()
                if now >= next_tick:
                    next_tick = now + _TICK
                    self._tick()
                    self._watch(now)
                self._fill(now)
                for key, events in self._selector.select(self._wait(now)):
                    self._serve(key.data, events)
        finally:
            self.close()

    def abandon(self) -> None:
        """Forget what has not ended, after a run that was broken off."""
        self.close()
        self._ready.clear()
        self._later.clear()
        self._groups = 0
        for channel in self._channels:
            channel.pending.clear()

    def close(self) -> None:
        """End all connections; `run` may be called again."""
        for channel in self._channels:
            self._drop(channel)

    def _wait(self, now: float) -> float:
        """Return how long to wait for the connections; bounded, so that nothing is forgotten."""
        due = [each.retry_at for each in self._channels if each.socket is None]
        if self._later:
            due.append(self._later[0][0])
        return max(0.0, min(_TICK, *(at - now for at in due))) if due else _TICK

    def _watch(self, now: float) -> None:
        """Send again over a new connection what was not answered in time."""
        for channel in self._channels:
            oldest = next(iter(channel.pending.values()), None)
            if oldest is None:
                continue
            if now - oldest.born > self.patience:
                name = oldest.call.procedure
                raise LostError(f"{name}: no answer for {self.patience:.0f} s")
            if channel.socket is not None and now - oldest.sent > _ANSWER_LIMIT:
                self._drop(channel)

    def _fill(self, now: float) -> None:
        """Connect what is not, and give waiting calls to the connections in turn."""
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        for channel in self._channels:
            if not channel.up:
                if channel.retry_at > now or not channel.connect(self.patience):
                    continue
                assert channel.socket is not None
                self.resent += len(channel.pending)
                self._selector.register(channel.socket, selectors.EVENT_READ, channel)
            while self._ready and len(channel.pending) < WINDOW:
                self._xid = (self._xid + 1) & 0xFFFFFFFF
                pending = self._ready.popleft()
                channel.put(self._xid, pending, self._packer.pack(self._xid, pending.call))
            self._flush(channel)

    def _flush(self, channel: Channel) -> None:
        if channel.socket is None or not channel.unsent:
            return
        try:
            channel.flush()
        except OSError:
            self._drop(channel)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.unsent else 0)
        if self._selector.get_key(channel.socket).events != events:
            self._selector.modify(channel.socket, events, channel)

    def _drop(self, channel: Channel) -> None:
        if channel.socket is not None:
            self._selector.unregister(channel.socket)
            channel.lose()

    def _serve(self, channel: Channel, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(channel)
        if events & selectors.EVENT_READ and channel.up:
            try:
                records = channel.receive()
            except OSError:
                self._drop(channel)
                return
            for record in records:
                self._answered(channel, record)

    def _answered(self, channel: Channel, record: Buffer) -> None:
        try:
            xid, _ = results(record)
        except (RefusedError, XdrError):
            xid = int.from_bytes(record[:4], "big")
        pending = channel.pending.pop(xid, None)
        if pending is None:
            return  # a second answer to a call that was sent twice
        self.calls += 1
        reply = self._packer.unpack(record, pending.call, pending.resent)
        if reply.status == NFS3ERR_JUKEBOX and time.monotonic() - pending.born < self.patience:
            # As the Linux client: a new call, since the first one has had its answer.
            self.delayed += 1
            at = time.monotonic() + _JUKEBOX_WAIT
            heapq.heappush(self._later, (at, next(self._order), pending))
            return
        assert isinstance(pending.group, Group)
        self._advance(pending.task, pending.group, reply, time.monotonic())

    def _advance(self, task: Task, group: Group, reply: Reply | None, now: float) -> None:
        try:
            call = next(task) if reply is None else task.send(reply)
        except StopIteration:
            group.left -= 1
            if group.left == 0:
                self._groups -= 1
                group.done()
            return
        pending = Pending(call, task, group, born=now)
        if reply is None:
            self._ready.append(pending)
        else:  # what has begun comes first, else a long task would hold up its whole group
            self._ready.appendleft(pending)
