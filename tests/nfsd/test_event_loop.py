"""The event loop: what is called back, when, what does not end it; and coroutines on it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from nfsd.net.event_loop import READABLE, WRITABLE, Loop
from nfsd.net.wait import Wait, start


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.call_later(30, made.stop)  # a test that would hang
    yield made
    made.close()


def test_a_descriptor_is_watched_until_it_is_forgotten(loop: Loop) -> None:
    ours, other = socket.socketpair()
    seen: list[tuple[int, bytes]] = []

    def read(events: int) -> None:
        seen.append((events, ours.recv(1)))
        if len(seen) == 3:
            loop.forget(ours.fileno())
            loop.call_later(0.02, loop.stop)

    with ours, other:
        other.send(b"abcd")
        loop.watch(ours.fileno(), READABLE, read)
        loop.run()
    assert seen == [(READABLE, b"a"), (READABLE, b"b"), (READABLE, b"c")]


def test_a_watcher_takes_the_place_of_another(loop: Loop) -> None:
    ours, other = socket.socketpair()
    seen: list[int] = []

    def write(events: int) -> None:
        seen.append(events)
        loop.stop()

    with ours, other:
        other.send(b"a")
        loop.watch(ours.fileno(), READABLE, lambda _: seen.append(0))
        loop.watch(ours.fileno(), WRITABLE, write)
        loop.run()
    assert seen == [WRITABLE]


def test_one_that_was_forgotten_is_not_called_any_more(loop: Loop) -> None:
    """Also if both could be read when the loop asked."""
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def watch(mine: int, others: int) -> None:
        def read(_: int) -> None:
            called.append(mine)
            loop.forget(others)
            loop.stop()

        loop.watch(mine, READABLE, read)

    fds = [ours.fileno() for ours, _ in pairs]
    watch(fds[0], fds[1])
    watch(fds[1], fds[0])
    for _, other in pairs:
        other.send(b"x")
    loop.run()
    assert len(called) == 1
    for each in pairs:
        each[0].close()
        each[1].close()


def test_the_end_of_the_other_side_is_an_event(loop: Loop) -> None:
    ours, other = socket.socketpair()
    seen: list[int] = []

    def end(events: int) -> None:
        seen.append(events)
        loop.stop()

    with ours:
        loop.watch(ours.fileno(), READABLE, end)
        other.close()
        loop.run()
    assert seen[0] & READABLE


def test_calls_come_in_order_and_when_they_are_due(loop: Loop) -> None:
    seen: list[str] = []
    begun = time.monotonic()
    loop.call_later(0.05, lambda: seen.append("later"))
    loop.call_later(0.1, loop.stop)
    loop.call_later(0.01, lambda: seen.append("sooner"))
    loop.call_soon(lambda: seen.append("first"))
    loop.call_soon(lambda: loop.call_soon(lambda: seen.append("third")))
    loop.call_soon(lambda: seen.append("second"))
    loop.run()
    assert seen == ["first", "second", "third", "sooner", "later"]
    assert time.monotonic() - begun >= 0.1


def test_who_calls_again_and_again_lets_others_have_their_turn(loop: Loop) -> None:
    ours, other = socket.socketpair()

    def again() -> None:
        loop.call_soon(again)

    with ours, other:
        loop.watch(ours.fileno(), READABLE, lambda _: loop.stop())
        again()
        loop.call_later(0.01, lambda: other.close())
        loop.run()


def test_a_thread_wakes_the_loop(loop: Loop) -> None:
    called_on: list[int] = []

    def call() -> None:
        called_on.append(threading.get_ident())
        loop.stop()

    thread = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(call))
    thread.start()
    loop.run()
    thread.join()
    assert called_on == [threading.get_ident()]
    with pytest.raises(RuntimeError):
        loop.call_soon_threadsafe(call)


def test_a_signal_wakes_the_loop(loop: Loop) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        loop.on_signal(signal.SIGUSR1, loop.stop)
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        loop.run()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_fails_is_logged_and_ends_nothing(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    ours, other = socket.socketpair()

    def fail(_: int = 0) -> None:
        ours.recv(1)
        raise ZeroDivisionError

    with ours, other:
        other.send(b"ab")
        loop.call_soon(fail)
        loop.watch(ours.fileno(), READABLE, fail)
        loop.call_later(0.05, loop.stop)
        loop.run()
    assert caplog.text.count("event loop failed") == 1  # both come from one place


def test_one_that_was_stopped_runs_again(loop: Loop) -> None:
    seen: list[str] = []
    loop.call_soon(loop.stop)
    loop.run()
    loop.call_soon(lambda: seen.append("again"))
    loop.call_soon(loop.stop)
    loop.run()
    assert seen == ["again"]


def test_a_forked_process_lets_go_of_it_and_the_parent_goes_on(loop: Loop) -> None:
    ours, other = socket.socketpair()
    with ours, other:
        loop.watch(ours.fileno(), READABLE, lambda _: loop.stop())
        pid = os.fork()
        if pid == 0:
            loop.close()
            loop.forget(ours.fileno())
            os._exit(0)
        assert os.waitpid(pid, 0) == (pid, 0)
        other.send(b"a")
        begun = time.monotonic()
        loop.run()
    assert time.monotonic() - begun < 20, "it is watched no more"


def test_a_coroutine_waits_for_time_or_for_what_is_said(loop: Loop) -> None:
    seen: list[bytes | None] = []
    answer = Wait(20)

    async def work() -> None:
        seen.append(await Wait(0.01))
        loop.call_soon(lambda: answer.end(b"said"))
        loop.call_soon(lambda: answer.end(b"again"))
        seen.append(await answer)
        loop.stop()

    start(loop, work())
    loop.run()
    assert seen == [None, b"said"]
