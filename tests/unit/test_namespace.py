"""The namespace lock: how it is waited for."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Pipe

import pytest

from overlay.blocking import allow_blocking, forbid_blocking
from overlay.errors import WouldBlock
from overlay.namespace import AWAKE_SECONDS, Namespace

LONG = 30.0


@pytest.fixture
def namespaces() -> list[Namespace]:
    return [Namespace() for _ in range(21)]


@pytest.fixture(autouse=True)
def event_loop() -> Iterator[None]:
    """The test's thread is that of an event loop."""
    forbid_blocking()
    yield
    allow_blocking()


def seconds_awake(namespace: Namespace) -> float:
    """The processor time that it takes not to get a lock."""
    begun = time.thread_time()
    with pytest.raises(WouldBlock), namespace:
        pass
    return time.thread_time() - begun


def test_what_another_process_holds_is_waited_for_awake(namespaces: list[Namespace]) -> None:
    ours, its = Pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for each in namespaces:
                each.__enter__()
            its.send(None)
            signal.pause()
        finally:
            os._exit(0)
    try:
        assert ours.poll(LONG)
        # Who has lost the processor meanwhile has had less of it.
        assert statistics.median(map(seconds_awake, namespaces)) > AWAKE_SECONDS * 0.9
        assert seconds_awake(namespaces[0]) < AWAKE_SECONDS, "it is known to be held long"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_what_a_thread_of_ours_holds_is_waited_for_asleep(namespaces: list[Namespace]) -> None:
    def hold() -> None:
        for each in namespaces:
            each.__enter__()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold).result(LONG)
        assert min(map(seconds_awake, namespaces)) < AWAKE_SECONDS
