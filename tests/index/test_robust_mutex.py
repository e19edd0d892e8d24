"""Mutexes between processes: who holds one, and who gets it from one that died with it."""

from __future__ import annotations

import os
import threading
import time

from index.linux.robust_mutex import Mutex, mutexes
from tests.processes import kill, one_that_has

SHORT = 0.05
LONG = 30.0


def held_by_another(mutex: Mutex) -> int:
    """The pid of a process that holds it until it is killed."""

    def take() -> None:
        mutex.acquire()
        mutex.acquire()

    return one_that_has(take)


def test_it_excludes_other_processes() -> None:
    mutex, free = mutexes(2)
    pid = held_by_another(mutex)
    try:
        free.acquire()
        assert not mutex.acquire_at_once()
        free.release()
        assert not mutex.acquire_at_once()
        begun = time.monotonic()
        assert not mutex.acquire_within(SHORT)
        assert time.monotonic() - begun >= SHORT
    finally:
        kill(pid)


def test_the_next_has_it_from_one_that_died() -> None:
    for take in (
        Mutex.acquire,
        Mutex.acquire_at_once,
        lambda mutex: mutex.acquire_within(SHORT),
    ):
        (mutex,) = mutexes(1)
        for _ in range(2):
            kill(held_by_another(mutex))
            assert take(mutex) in (True, None)
            pid = os.fork()
            if pid == 0:
                os._exit(mutex.acquire_at_once())
            assert os.waitpid(pid, 0)[1] == 0, "another process takes it as well"
            mutex.release()


def test_a_process_that_waits_has_it_from_one_that_dies() -> None:
    (mutex,) = mutexes(1)
    pid = held_by_another(mutex)
    killer = threading.Timer(SHORT, kill, (pid,))
    killer.start()
    mutex.acquire()
    killer.join()
    mutex.release()


def test_a_thread_may_take_it_again_and_another_may_not() -> None:
    (mutex,) = mutexes(1)
    found: list[bool] = []

    def look() -> None:
        found.append(mutex.acquire_at_once())
        if found[-1]:
            mutex.release()

    def look_elsewhere() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    mutex.acquire()
    mutex.acquire()
    look_elsewhere()
    mutex.release()
    look_elsewhere()
    mutex.release()
    look_elsewhere()
    assert found == [False, False, True]


def test_a_thread_that_waits_lets_others_go_on() -> None:
    (mutex,) = mutexes(1)
    mutex.acquire()
    got = threading.Event()

    def wait() -> None:
        mutex.acquire()
        got.set()
        mutex.release()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(SHORT)
    mutex.release()
    assert got.wait(LONG)
    thread.join()
