"""What clients are told about locks without having asked, until they have heard it.

That a lock is theirs now, for which they waited; that all their locks are lost, because
the server has started anew; and the results of what they asked for by a message.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from nfsd.callbacks import CallbackError, Callbacks
from nfsd.lock import Client
from nfsd.lock_budget import Budget
from nfsd.lock_clients import LockClients
from nfsd.lock_grants import Grant
from nfsd.lock_manager import LockManager
from nfsd.log import LOGGER, ONCE, log_exception_once
from nfsd.nlm_versions import VERSIONS, Version
from nfsd.nsm import NOTIFY, NSM
from nfsd.xdr.codec import Signature
from nfsd.xdr.nlm4 import NLMPROC4_GRANTED, NLMPROC4_GRANTED_MSG
from nfsd.xdr.nsm import stat_chge

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_RESULTS_MAX: Final = 4096  # under way; one that is more is lost, as a datagram may be
_GRANTS_MAX: Final = 8  # that one address is told of at a time; it takes more as it answers
_RESULT_SECONDS: Final = 5.0  # for a result, which is sent once
# Until an answer comes, a call is made again, each time after twice as long.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_GRANT_SECONDS: Final = 300.0  # after which who does not answer is taken for dead
_NOTIFY_SECONDS: Final = 900.0
_TEND_SECONDS: Final = 60.0  # between two times that clients without locks are looked for


class LockMessenger:
    """Tells clients, on the event loop; what it is asked to do may be asked by any thread."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_working = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._manager: LockManager | None = None
        self._untold: set[Client] = set()
        self._results = Budget(_RESULTS_MAX)
        # By address: the grants under way, until when each is told, and those that wait.
        self._telling: dict[str, int] = {}
        self._queues: dict[str, deque[tuple[Grant, float]]] = {}
        self._closed: dict[bytes, asyncio.Event] = {}  # by cookie, of those under way

    def begin(self, manager: LockManager, clients: LockClients, untold: Collection[Client]) -> None:
        """Begin on the running loop: tell these clients that their locks are lost."""
        self._loop = asyncio.get_running_loop()
        self._manager = manager
        self._untold = set(untold)
        for client in self._untold:
            self._start(partial(self._notify, client, clients.state))
        self._start(partial(self._tend, clients))

    @property
    def untold(self) -> frozenset[Client]:
        """Those who have not heard yet that their locks are lost."""
        return frozenset(self._untold)

    def grant(self, grant: Grant) -> None:
        """Tell a client of its lock until it says that it knows."""
        self._spawn(self._queue, grant)

    def closed(self, grant: Grant) -> None:
        """A client knows of its lock, or has it no more."""
        self._spawn(self._wake, grant.cookie)

    def has_work(self) -> None:
        """Have the manager do what calls have left to be done, in turns with all else."""
        if not self._is_working:
            self._is_working = True
            self._spawn(self._work)

    def _work(self) -> None:
        assert self._manager is not None
        assert self._loop is not None
        self._is_working = False
        if self._manager.work():
            self._is_working = True
            self._loop.call_soon(self._work)

    def send_result(
        self,
        client: Client,
        version: Version,
        procedure: int,
        result: Any,  # noqa: ANN401 - by procedure
    ) -> None:
        """Send the result of a message, once."""
        self._spawn(self._send, client.address, version, procedure, result)

    def _spawn(self, start: Callable[..., None], *what: Any) -> None:  # noqa: ANN401
        assert self._loop is not None, "nobody has called yet"
        self._loop.call_soon_threadsafe(start, *what)

    def _send(self, address: str, *what: Any) -> None:  # noqa: ANN401 - as it was given
        if self._results.has(address, 1):
            self._results.take(address, 1)
            self._start(partial(self._send_result, address, *what))
        elif ONCE.first("lock messages"):
            LOGGER.warning("too many calls to clients are under way: results are lost")

    def _queue(self, grant: Grant) -> None:
        address = grant.lock.owner.client.address
        until = time.monotonic() + _GRANT_SECONDS
        self._queues.setdefault(address, deque()).append((grant, until))
        self._tell_next(address)

    def _tell_next(self, address: str) -> None:
        """Tell who is at an address of more, if few are being told."""
        queue = self._queues.get(address)
        while queue and self._telling.get(address, 0) < _GRANTS_MAX:
            self._telling[address] = self._telling.get(address, 0) + 1
            self._start(partial(self._tell, *queue.popleft()))
        if not queue:
            self._queues.pop(address, None)

    def _wake(self, cookie: bytes) -> None:
        event = self._closed.get(cookie)
        if event is not None:
            event.set()

    def _start(self, work: Work) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log_exception_once("a call to a client", error)

    async def _send_result(
        self,
        address: str,
        version: Version,
        procedure: int,
        result: Any,  # noqa: ANN401 - by procedure
    ) -> None:
        signature = version.signatures[procedure]
        try:
            await self._call(address, version.program, signature, result, _RESULT_SECONDS)
        finally:
            self._results.take(address, -1)

    async def _tell(self, grant: Grant, until: float) -> None:
        """Tell a client of its lock until it knows, then of the next."""
        event = self._closed[grant.cookie] = asyncio.Event()
        address = grant.lock.owner.client.address
        try:
            await self._tell_until(grant, until, event)
        finally:
            del self._closed[grant.cookie]
            self._telling[address] -= 1
            if not self._telling[address]:
                del self._telling[address]
            self._tell_next(address)

    async def _tell_until(self, grant: Grant, until: float, closed: asyncio.Event) -> None:
        assert self._manager is not None
        version = VERSIONS[grant.how.version]
        number = NLMPROC4_GRANTED_MSG if grant.how.by_message else NLMPROC4_GRANTED
        call = (
            *(grant.lock.owner.client.address, version.program, version.signatures[number]),
            version.granted(grant.cookie, grant.handle, grant.lock),
        )
        for pause in _pauses():
            if not self._manager.is_open(grant):
                return
            if time.monotonic() > until:
                if ONCE.first("not taken", call[0]):
                    LOGGER.warning("%s does not take its lock: it is freed", call[0])
                self._manager.give_up(grant)
                return
            begun = time.monotonic()
            answer = await self._call(*call, pause, sending=grant.count)
            if answer is not None and not grant.how.by_message:
                self._manager.settle(grant, answer.stat)
            with suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), begun + pause - time.monotonic())

    async def _notify(self, client: Client, state: int) -> None:
        change = stat_chge(os.fsencode(socket.gethostname()), state)
        until = time.monotonic() + _NOTIFY_SECONDS
        for pause in _pauses():
            begun = time.monotonic()
            if await self._call(client.address, NSM, NOTIFY, change, pause, nothing=True):
                break
            if begun > until:
                LOGGER.warning("%s could not be told that its locks are lost", client.address)
                break
            await asyncio.sleep(begun + pause - time.monotonic())
        self._untold.discard(client)

    async def _call(
        self,
        address: str,
        program: tuple[int, int],
        signature: Signature,
        arguments: Any,  # noqa: ANN401
        patience: float,
        *,
        nothing: Any = None,  # noqa: ANN401
        sending: Callable[[], None] = lambda: None,
    ) -> Any:  # noqa: ANN401
        """What a client answers, `nothing` if that is empty; None if it does not answer."""
        call = (address, program, signature, arguments, patience, sending)
        try:
            answer = await self._callbacks.call(*call)
        except (CallbackError, TimeoutError) as error:
            if ONCE.first("callback", address, signature.name, type(error).__name__):
                LOGGER.warning("%s: %s: %s", address, signature.name, str(error) or "no answer")
            return None
        return nothing if answer is None else answer

    async def _tend(self, clients: LockClients) -> None:
        """Now and then take clients off the list that have no locks."""
        assert self._manager is not None
        while True:
            await asyncio.sleep(_TEND_SECONDS)
            if not self._manager.is_grace:
                idle = self._manager.idle_clients(clients.all() - self._untold)
                await asyncio.to_thread(clients.drop, idle)


def _pauses() -> Iterable[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)
