"""What clients are told about locks without having asked, until they have heard it.

That a lock is theirs now, for which they waited; that all their locks are lost, because
the server has started anew; and the results of what they asked for by a message.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from functools import partial
from typing import Any, Final, TypeAlias

from nfsd.callbacks import CallbackError, Callbacks
from nfsd.lock_clients import LockClients
from nfsd.lock_manager import Grant, LockManager
from nfsd.lock_table import END, Client
from nfsd.log import LOGGER, ONCE, log_exception_once
from nfsd.nlm import NLM, SIGNATURES
from nfsd.nsm import NOTIFY, NSM
from nfsd.xdr.nlm4 import (
    NLMPROC4_GRANTED,
    NLMPROC4_GRANTED_MSG,
    nlm4_lock,
    nlm4_testargs,
)
from nfsd.xdr.nsm import stat_chge

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_TASKS_MAX: Final = 4096  # under way; a result that is more is lost, as a datagram may be
_RESULT_SECONDS: Final = 5.0  # for a result, which is sent once
# Until an answer comes, a call is made again, each time after twice as long.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_GRANT_SECONDS: Final = 300.0  # after which who does not answer is taken for dead
_NOTIFY_SECONDS: Final = 900.0
_TEND_SECONDS: Final = 300.0  # between two times that clients without locks are looked for


class LockMessenger:
    """Tells clients, on the event loop; what it is asked to do may be asked by any thread."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._manager: LockManager | None = None
        self._untold: set[Client] = set()

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
        self._spawn(self._start, partial(self._tell, grant))

    def send_result(self, client: Client, procedure: int, result: Any) -> None:  # noqa: ANN401
        """Send the result of a message, once."""
        self._spawn(self._start_if_possible, partial(self._send_result, client, procedure, result))

    def _spawn(self, start: Callable[[Work], None], work: Work) -> None:
        assert self._loop is not None, "nobody has called yet"
        self._loop.call_soon_threadsafe(start, work)

    def _start_if_possible(self, work: Work) -> None:
        if len(self._tasks) < _TASKS_MAX:
            self._start(work)
        elif ONCE.first("lock messages"):
            LOGGER.warning("more than %d calls to clients: results are lost", _TASKS_MAX)

    def _start(self, work: Work) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log_exception_once("a call to a client", error)

    async def _send_result(self, client: Client, procedure: int, result: Any) -> None:  # noqa: ANN401
        signature = SIGNATURES[procedure]
        await self._call(client, NLM, signature, result, _RESULT_SECONDS)

    async def _tell(self, grant: Grant) -> None:
        assert self._manager is not None
        until = time.monotonic() + _GRANT_SECONDS
        number = NLMPROC4_GRANTED_MSG if grant.by_message else NLMPROC4_GRANTED
        for pause in _pauses():
            if not self._manager.is_open(grant):
                return
            if time.monotonic() > until:
                LOGGER.warning("%s does not take its lock: it is freed", grant.lock.owner.client[0])
                self._manager.give_up(grant)
                return
            grant.told += 1
            begun = time.monotonic()
            client = grant.lock.owner.client
            answer = await self._call(client, NLM, SIGNATURES[number], _granted(grant), pause)
            if answer is not None and not grant.by_message:
                self._manager.settle(grant, answer.stat)
            await self._while_open(grant, begun + pause)

    async def _while_open(self, grant: Grant, until: float) -> None:
        """Wait until then, or until a client knows of its lock."""
        assert self._manager is not None
        while self._manager.is_open(grant) and time.monotonic() < until:
            await asyncio.sleep(0.1)

    async def _notify(self, client: Client, state: int) -> None:
        change = stat_chge(os.fsencode(socket.gethostname()), state)
        until = time.monotonic() + _NOTIFY_SECONDS
        for pause in _pauses():
            begun = time.monotonic()
            if await self._call(client, NSM, NOTIFY, change, pause, nothing=True):
                break
            if begun > until:
                LOGGER.warning("%s could not be told that its locks are lost", client.address)
                break
            await asyncio.sleep(begun + pause - time.monotonic())
        self._untold.discard(client)

    async def _call(
        self,
        client: Client,
        program: tuple[int, int],
        signature: Any,  # noqa: ANN401
        arguments: Any,  # noqa: ANN401
        patience: float,
        *,
        nothing: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """What a client answers, `nothing` if that is empty; None if it does not answer."""
        try:
            answer = await self._callbacks.call(
                client.address, program, signature, arguments, patience
            )
        except (CallbackError, TimeoutError) as error:
            if ONCE.first("callback", client.address, signature.name, type(error).__name__):
                why = str(error) or "no answer"
                LOGGER.warning("%s: %s: %s", client.address, signature.name, why)
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


def _granted(grant: Grant) -> nlm4_testargs:
    """The lock in the words in which the client has asked for it."""
    owner, begin, end, exclusive = grant.lock
    length = 0 if end == END else end - begin
    lock = nlm4_lock(owner.client.name, grant.handle, owner.oh, owner.svid, begin, length)
    return nlm4_testargs(grant.cookie, exclusive, lock)
