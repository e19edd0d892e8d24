"""Calls to clients about locks, made again until they are answered.

A client is notified that it has a lock for which it waited, and that all its locks are lost because
the server has restarted.  It is sent the results of its asynchronous calls (`_MSG`), too.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from nfsd.base.log import LOGGER, ONCE
from nfsd.lock.budget import Budget
from nfsd.lock.callbacks import CallbackError, Callbacks
from nfsd.lock.grants import Grant
from nfsd.lock.manager import LockManager
from nfsd.lock.nlm_versions import VERSIONS, Version
from nfsd.lock.nsm import NOTIFY, NSM
from nfsd.lock.types import Client
from nfsd.net.event_loop import Call, Loop
from nfsd.net.wait import Wait, start
from nfsd.xdr.codec import A, R, Signature
from nfsd.xdr.generated.nlm4 import NLMPROC4_GRANTED, NLMPROC4_GRANTED_MSG
from nfsd.xdr.generated.nsm import stat_chge

_RESULTS_MAX: Final = 4096  # under way; more are dropped, as a datagram may be
_GRANTS_MAX: Final = 8  # under way to one address; the next follow as it answers
_RESULT_SECONDS: Final = 5.0  # for a result, which is sent once
# Until an answer comes a call is made again, each time after twice as long.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_GRANT_SECONDS: Final = 300.0  # after which a client that does not answer is taken for dead
_NOTIFY_SECONDS: Final = 900.0


class LockMessenger:
    """Calls clients, on the event loop; its methods may be called by any thread."""

    def __init__(self, callbacks: Callbacks, loop: Loop) -> None:
        self._callbacks = callbacks
        self._loop = loop
        self._is_working = False
        self._manager: LockManager | None = None
        self._untold: set[Client] = set()
        self._results = Budget(_RESULTS_MAX)
        # By address: how many grants are under way; the queued ones, and when each is given up.
        self._in_flight: dict[str, int] = {}
        self._queues: dict[str, deque[tuple[Grant, float]]] = {}
        self._closed: dict[bytes, Wait] = {}  # by cookie, of those under way

    def begin(self, manager: LockManager, untold: Collection[Client], state: int) -> None:
        """Notify the clients `untold` that their locks are lost, and of our new `state`."""
        self._manager = manager
        self._untold = set(untold)
        for client in untold:
            start(self._loop, self._notify(client, state))

    @property
    def untold(self) -> frozenset[Client]:
        """Return the clients that have not yet confirmed that their locks are lost."""
        return frozenset(self._untold)

    def grant(self, grant: Grant) -> None:
        """Notify a client of its lock until it confirms."""
        self._spawn(partial(self._queue, grant))

    def closed(self, grant: Grant) -> None:
        """Record that a client has confirmed its lock, or has it no more."""
        self._spawn(partial(self._wake, grant.cookie))

    def has_work(self) -> None:
        """Have the manager do the work that calls have left, in turns with other events."""
        if not self._is_working:
            self._is_working = True
            self._spawn(self._work)

    def _work(self) -> None:
        assert self._manager is not None
        self._is_working = False
        if self._manager.work():
            self._is_working = True
            self._loop.call_soon(self._work)

    def send_result(self, client: Client, version: Version, procedure: int, result: object) -> None:
        """Send the result of an asynchronous call, once."""
        self._spawn(partial(self._send, client.address, version, procedure, result))

    def _spawn(self, call: Call) -> None:
        with suppress(RuntimeError):  # the loop has ended: the next process sends what matters
            self._loop.call_soon_threadsafe(call)

    def _send(self, address: str, version: Version, procedure: int, result: object) -> None:
        if self._results.has(address, 1):
            self._results.take(address, 1)
            start(self._loop, self._send_result(address, version, procedure, result))
        elif ONCE.first("lock messages"):
            LOGGER.warning("too many calls to clients are under way: results are lost")

    def _queue(self, grant: Grant) -> None:
        address = grant.lock.owner.client.address
        until = time.monotonic() + _GRANT_SECONDS
        self._queues.setdefault(address, deque()).append((grant, until))
        self._tell_next(address)

    def _tell_next(self, address: str) -> None:
        """Notify the clients at an address of more grants, if few are under way."""
        queue = self._queues.get(address)
        while queue and self._in_flight.get(address, 0) < _GRANTS_MAX:
            self._in_flight[address] = self._in_flight.get(address, 0) + 1
            start(self._loop, self._tell(*queue.popleft()))
        if not queue:
            self._queues.pop(address, None)

    def _wake(self, cookie: bytes) -> None:
        closed = self._closed.get(cookie)
        if closed is not None:
            closed.end()

    async def _send_result(
        self, address: str, version: Version, procedure: int, result: object
    ) -> None:
        signature = version.signatures[procedure]
        try:
            await self._call(address, version.program, signature, result, _RESULT_SECONDS)
        finally:
            self._results.take(address, -1)

    async def _tell(self, grant: Grant, until: float) -> None:
        """Notify a client of its lock until it confirms; then begin the next."""
        address = grant.lock.owner.client.address
        try:
            await self._tell_until(grant, until)
        finally:
            self._closed.pop(grant.cookie, None)
            self._in_flight[address] -= 1
            if not self._in_flight[address]:
                del self._in_flight[address]
            # Not at once: where this process ends, no further client is called.
            self._loop.call_soon(partial(self._tell_next, address))

    async def _tell_until(self, grant: Grant, until: float) -> None:
        assert self._manager is not None
        version = VERSIONS[grant.how.version]
        number = NLMPROC4_GRANTED_MSG if grant.how.by_message else NLMPROC4_GRANTED
        call = (
            grant.lock.owner.client.address,
            version.program,
            version.signatures[number],
            version.granted(grant.cookie, grant.handle, grant.lock),
        )
        for pause in _pauses():
            if not self._manager.is_open(grant):
                return
            if time.monotonic() > until:
                if ONCE.first("not taken", call[0]):
                    LOGGER.warning("%s does not confirm its lock: it is released", call[0])
                self._manager.give_up(grant)
                return
            begun = time.monotonic()
            answer = await self._call(*call, pause, sending=grant.count)
            if answer is not None and not grant.how.by_message:
                self._manager.acknowledge(grant, answer[0].stat)
            if self._manager.is_open(grant):
                closed = self._closed[grant.cookie] = Wait(begun + pause - time.monotonic())
                await closed

    async def _notify(self, client: Client, state: int) -> None:
        change = stat_chge(os.fsencode(socket.gethostname()), state)
        until = time.monotonic() + _NOTIFY_SECONDS
        for pause in _pauses():
            begun = time.monotonic()
            if await self._call(client.address, NSM, NOTIFY, change, pause):
                break
            if begun > until:
                LOGGER.warning("%s could not be notified that its locks are lost", client.address)
                break
            await Wait(begun + pause - time.monotonic())
        self._untold.discard(client)

    async def _call(
        self,
        address: str,
        program: tuple[int, int],
        signature: Signature[A, R],
        arguments: A,
        patience: float,
        *,
        sending: Callable[[], None] = lambda: None,
    ) -> tuple[R] | None:
        """Return the answer of a client, in a tuple; None if there is none."""
        call = (address, program, signature, arguments, patience, sending)
        try:
            return (await self._callbacks.call(*call),)
        except (CallbackError, TimeoutError) as error:
            if ONCE.first("callback", address, signature.name, type(error).__name__):
                LOGGER.warning("%s: %s: %s", address, signature.name, str(error) or "no answer")
            return None


def _pauses() -> Iterable[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)
