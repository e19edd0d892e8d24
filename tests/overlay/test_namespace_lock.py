"""The namespace lock: how it is waited for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from overlay.base.blocking import allow_blocking, forbid_blocking
from overlay.base.errors import WouldBlock
from overlay.model.namespace_lock import AWAKE_SECONDS, Namespace
from tests.processes import kill, one_that_has

LONG = 30.0


@pytest.fixture(autouse=True)
def event_loop() -> Iterator[None]:
    """The test's thread is that of an event loop."""
    forbid_blocking()
    yield
    allow_blocking()


def hold(namespaces: list[Namespace]) -> None:
    for each in namespaces:
        each.enter()


@contextmanager
def held_by_a_process(namespaces: list[Namespace]) -> Iterator[None]:
    pid = one_that_has(partial(hold, namespaces))
    try:
        yield
    finally:
        kill(pid)


@contextmanager
def held_by_a_thread(namespaces: list[Namespace]) -> Iterator[None]:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold, namespaces).result(LONG)
        yield


def awake(namespace: Namespace) -> float:
    """The processor time that it takes not to get a lock, in seconds."""
    begun = time.thread_time()
    with pytest.raises(WouldBlock):
        namespace.enter()
    return time.thread_time() - begun


def awake_longer(some: list[Namespace], others: list[Namespace]) -> float:
    """How much more it takes for some than for others, each pair at one time: the median."""
    return statistics.median(
        awake(one) - awake(other) for one, other in zip(some, others, strict=True)
    )


def test_what_another_process_holds_is_waited_for_awake() -> None:
    """For a while; and what a thread of this process holds is not."""
    apart, ours = ([Namespace() for _ in range(51)] for _ in range(2))
    with held_by_a_process(apart), held_by_a_thread(ours):
        assert awake_longer(apart, ours) > AWAKE_SECONDS / 2
        # Now they are known to be held for long.
        assert abs(awake_longer(apart, ours)) < AWAKE_SECONDS / 2
