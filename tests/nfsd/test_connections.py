"""Many connections of one process: bounds, who gives way, turns; with real sockets and loop."""

from __future__ import annotations

import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from nfsd.net.allowance import FOR_CLIENTS, FOR_STRANGERS, RECORD_MAX
from nfsd.net.client_usage import TURN_NANOSECONDS, Source, source_name
from nfsd.net.connections import Connections
from nfsd.net.event_loop import READABLE, Loop
from nfsd.net.listen_address import address_of
from nfsd.net.listeners import stream_socket
from nfsd.net.receive_memory import SPARE_BUFFERS
from nfsd.net.send_queue import Unsent
from nfsd.net.thread_pool import FairPool
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.rpc.program import Caller, Procedure, Program, null
from nfsd.rpc.record import mark
from nfsd.xdr.codec import Parts, Signature, pack_void, unpack_void
from nfsd.xdr.generated.mount import pack_dirpath, unpack_dirpath
from overlay.base.blocking import allow_blocking, forbid_blocking, may_block

PROGRAM, VERSION, ECHO, WAIT, LARGE = 400_000, 2, 1, 2, 3
STRANGER = "127.0.0.9"
PATIENCE = 120.0
SECOND = 1_000_000_000


def echo(caller: Caller, text: bytes) -> bytes:
    return text


def large(caller: Caller, arguments: None) -> bytes:
    return bytes(8 << 20)


def wait(caller: Caller, arguments: None) -> None:
    """A call that has to wait for the disk, say."""
    may_block()


def pack_large(result: bytes, parts: Parts) -> None:
    parts += [struct.pack(">I", len(result)), result]


VOID, TEXT = (pack_void, unpack_void), (pack_dirpath, unpack_dirpath)
ROWS = (
    Procedure(Signature(0, "NULL", *VOID, *VOID), null),
    Procedure(Signature(ECHO, "ECHO", *TEXT, *TEXT), echo),
    Procedure(Signature(WAIT, "WAIT", *VOID, *VOID), wait),
    Procedure(Signature(LARGE, "LARGE", *VOID, pack_large, unpack_dirpath), large),
)


class House:
    """A process's connections on a loop, with a client's side that runs on another thread."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.pool = FairPool(5, "house")
        self.listener = stream_socket(address_of("127.0.0.1", 0))
        self.clients: list[socket.socket] = []
        dispatcher = Dispatcher([Program(PROGRAM, VERSION, ROWS)])
        self.connections = Connections(
            dispatcher, self.loop, self.pool, self.lets_in, lambda row: None
        )
        self.unknown: set[str] = set()  # addresses whose names have to be asked for
        self._failure: BaseException | None = None

    def lets_in(self, address: str, port: int) -> bool | None:
        return None if address in self.unknown else address != STRANGER

    def run(self, work: Callable[[], None]) -> None:
        """Serve until `work`, on its thread, is done."""
        self.loop.watch(self.listener.fileno(), READABLE, self._accept)
        self.connections.begin()
        thread = threading.Thread(target=self._do, args=(work,))
        thread.start()
        self.loop.call_later(3 * PATIENCE, self.loop.stop)
        forbid_blocking()
        try:
            self.loop.run()
        finally:
            allow_blocking()
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            self._failure = failure
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)

    def _accept(self, _: int) -> None:
        with suppress(BlockingIOError):
            while True:
                self.connections.open(self.listener.accept()[0])

    def connect(self, address: str, *, room: int = 0) -> socket.socket:
        """One more connection of a client; `room`: bytes that it receives without reading."""
        sock = socket.socket()
        if room:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.settimeout(PATIENCE)
        sock.bind((address, 0))
        sock.connect(self.listener.getsockname())
        self.clients.append(sock)
        return sock

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        assert self.connections.memory.held == 0
        for sock in (*self.clients, self.listener):
            sock.close()
        self.pool.shutdown()
        self.loop.close()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.close()


def call(procedure: int = 0, text: bytes | None = None) -> bytes:
    """A call's record with its mark."""
    message = struct.pack(">10I", 7, 0, 2, PROGRAM, VERSION, procedure, 0, 0, 0, 0)
    if text is not None:
        message += struct.pack(">I", len(text)) + text + bytes(-len(text) % 4)
    return mark(len(message)) + message


def is_served(sock: socket.socket, request: bytes = call()) -> bool:
    """Whether a call is answered; not if the connection is closed."""
    try:
        sock.sendall(request)
        return len(sock.recv(1 << 16)) > 0
    except ConnectionError:
        return False


def is_closed_soon(sock: socket.socket) -> bool:
    """Whether the other end closes; a timeout says that it does not."""
    with suppress(ConnectionError):
        while sock.recv(1 << 16):
            pass
    return True


def flood(sock: socket.socket, request: bytes) -> None:
    """Send as much as the other end takes, and read nothing."""
    sock.settimeout(0.3)
    with suppress(TimeoutError, ConnectionError):
        while True:
            sock.sendall(request * 1000)


def test_no_client_makes_room_for_a_stranger(house: House) -> None:
    house.connections.limit = 40

    def work() -> None:
        addresses = [f"127.0.0.{number}" for number in range(10, 18)]
        good = [house.connect(address) for address in addresses for _ in range(5)]
        assert all(map(is_served, good))
        strangers = [house.connect(STRANGER) for _ in range(60)]
        for sock in strangers:
            sock.close()
        for _ in range(10):
            assert not is_served(house.connect(STRANGER))
        assert all(map(is_served, good)), "a client had to go, that had nothing to do"
        assert is_served(house.connect("127.0.0.20"))
        assert sum(map(is_served, good)) == len(good) - 1

    house.run(work)


def test_a_stranger_makes_room_for_a_client(house: House) -> None:
    """Also if it does not take its replies, and whoever else there is."""
    house.connections.limit = 40

    def work() -> None:
        strangers = [house.connect(STRANGER, room=2048) for _ in range(100)]
        for sock in strangers[-5:]:
            flood(sock, call())
        good = [house.connect(f"127.0.0.{number}") for number in range(20, 60)]
        assert all(map(is_served, good))
        assert len(house.connections) == 40

    house.run(work)


def test_who_does_not_go_on_is_closed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a record, or with replies; who has nothing to do may stay for ever."""
    monkeypatch.setattr(FOR_CLIENTS, "progress", SECOND)

    def work() -> None:
        idle, slow, half = (house.connect("127.0.0.2") for _ in range(3))
        deaf = house.connect("127.0.0.2", room=2048)
        assert is_served(idle)
        half.sendall(call()[:20])
        flood(deaf, call(ECHO, b"x" * 1024))
        until = time.monotonic() + PATIENCE
        with suppress(ConnectionError):
            for byte in call(ECHO, b"y" * 1000):
                slow.sendall(bytes([byte]))
                time.sleep(0.05)
                assert time.monotonic() < until, "a byte at a time goes on for ever"
        for sock in (half, deaf):
            sock.settimeout(PATIENCE)
            assert is_closed_soon(sock)
        assert is_served(idle)

    house.run(work)


def test_who_takes_replies_slowly_is_not_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FOR_CLIENTS, "progress", 3 * SECOND)

    def work() -> None:
        sock = house.connect("127.0.0.2", room=2048)
        sender = threading.Thread(target=sock.sendall, args=(call(ECHO, b"x" * 1024) * 5000,))
        sender.start()
        left = 5000 * (4 + 24 + 4 + 1024)
        begun = time.monotonic()
        while left:
            received = len(sock.recv(8192))
            assert received, "it is closed, though it goes on"
            left -= received
            if time.monotonic() - begun < 7:
                time.sleep(0.02)
        sender.join()

    house.run(work)


def test_a_reply_that_the_socket_does_not_take_at_once_is_sent_later(house: House) -> None:
    """Also if it is the only one, and nothing else happens."""

    def work() -> None:
        for _ in range(20):
            sock = house.connect("127.0.0.2", room=2048)
            sock.settimeout(PATIENCE)
            size, total = 4 + 24 + 4 + (8 << 20), 0
            sock.sendall(call(LARGE))
            time.sleep(0.01)
            while total < size:
                total += len(sock.recv(1 << 20))
            sock.close()

    house.run(work)


def test_strangers_are_told_and_closed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FOR_STRANGERS, "silence", SECOND)

    def work() -> None:
        asking = house.connect(STRANGER)
        for _ in range(5):
            assert is_served(asking)
            time.sleep(0.3)
        assert is_closed_soon(asking)
        large = house.connect(STRANGER)
        assert is_served(large, call(ECHO, b"x" * 1024))
        large.sendall(call() + mark(9000) + bytes(9000))
        assert len(large.recv(100)) == 28, "what came before is answered"
        assert is_closed_soon(large)

    house.run(work)


def test_what_connections_hold_is_bounded(house: House) -> None:
    """All together, whoever they are of; and who has little is served meanwhile."""
    memory, most = house.connections.memory, []
    memory.budget = 4 << 20

    def look() -> None:
        most.append(memory.held)
        house.loop.call_later(0.01, look)

    def work() -> None:
        good = house.connect("127.0.0.2")
        for number in range(3, 7):
            for _ in range(5):
                sock = house.connect(f"127.0.0.{number}", room=2048)
                flood(sock, call(ECHO, b"x" * 1024))
                assert is_served(good, call(ECHO, b"y" * 1024))
        deadline = time.monotonic() + PATIENCE
        while memory.held > memory.budget:
            assert is_served(good, call(ECHO, b"y" * 1024))
            assert time.monotonic() < deadline, "what is held is never let go of"
            time.sleep(0.05)
        assert is_served(good, call(WAIT))
        large = mark(1 << 20) + bytes((1 << 20) - 1)
        halves = [house.connect(f"127.0.0.{3 + number % 4}") for number in range(20)]
        for sock in halves:
            sock.settimeout(0.1)
            with suppress(TimeoutError, ConnectionError):
                sock.sendall(large)
            assert is_served(good)
        for sock in house.clients:
            if sock is not good:
                sock.close()
        deadline = time.monotonic() + PATIENCE
        while len(house.connections) > 1:
            assert is_served(good)
            assert time.monotonic() < deadline, "who is gone is not noticed"
            time.sleep(0.05)

    house.loop.call_soon(look)
    house.run(work)
    assert max(most) < 2 * memory.budget + SPARE_BUFFERS * RECORD_MAX


def test_who_may_be_let_in_is_no_stranger_yet(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He may write, but gives way to who is known; and is what he is as soon as that is known."""
    monkeypatch.setattr(FOR_STRANGERS, "silence", SECOND)
    house.connections.limit = 40
    house.unknown.update({"127.0.0.3", STRANGER})

    def work() -> None:
        first, second = house.connect("127.0.0.3"), house.connect(STRANGER)
        large = call(ECHO, b"x" * 1024)
        for sock in (first, second):
            sock.sendall(struct.pack(">I", 9000) + bytes(9000) + large)
            assert is_served(sock)
        house.unknown.clear()
        assert is_closed_soon(second)
        assert is_served(first)
        time.sleep(1.5)
        assert is_served(first)
        house.unknown.update({"127.0.0.4", "127.0.0.5"})
        waiting = [house.connect(f"127.0.0.{4 + number % 2}") for number in range(10)]
        known = [house.connect(f"127.0.0.{number}") for number in range(20, 60)]
        assert all(map(is_served, known[1:]))
        assert not any(map(is_served, waiting))

    house.run(work)


def test_what_waits_to_be_sent_takes_the_memory_that_is_counted() -> None:
    ours, its = socket.socketpair()
    ours.setblocking(False)
    unsent = Unsent(ours)
    unsent.send([b"x" * (1 << 20)], 1 << 20)
    with ours, its:
        for size, times in ((28, 2000), (2000, 200), (70_000, 10)):
            before = unsent.held
            tracemalloc.start()
            try:
                for number in range(times):
                    unsent.send([struct.pack(">I", number), bytes(size - 4)], size)
                taken, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert taken <= unsent.held - before
        its.setblocking(False)
        deadline = time.monotonic() + PATIENCE
        while unsent.size:
            with suppress(BlockingIOError):
                its.recv(1 << 16)
            unsent.flush()
            assert time.monotonic() < deadline
        assert (unsent.size, unsent.held) == (0, 0)


def test_who_has_used_up_a_turn_waits_for_others() -> None:
    """However many connections: those of one client have one turn together."""
    loop = Loop()
    busy, other = Source("busy", loop), Source("other", loop)
    done: list[str] = []
    left = {"busy": 50, "other": 5}

    def go(source: Source) -> None:
        if source.left <= 0:
            source.wait(lambda: go(source))
            return
        done.append(source.name)
        source.spend(TURN_NANOSECONDS if source is busy else TURN_NANOSECONDS // 100)
        left[source.name] -= 1
        if not left["busy"] and not left["other"]:
            loop.stop()

    for _ in range(left["busy"]):
        loop.call_soon(lambda: go(busy))

    def later() -> None:
        go(other)
        if left["other"]:
            loop.call_soon(later)

    loop.call_soon(later)
    loop.call_later(PATIENCE, loop.stop)
    loop.run()
    loop.close()
    assert len(done) == 55
    assert "other" not in done[15:], done


def test_a_turn_has_no_end_where_nobody_else_is() -> None:
    loop = Loop()
    others: list[str] = []
    source = Source("one", loop, is_alone=lambda: not others)
    for _ in range(3):
        source.spend(2 * TURN_NANOSECONDS)
        assert source.renew() == TURN_NANOSECONDS
    assert not source.is_over(2 * TURN_NANOSECONDS)
    others.append("another")
    assert source.is_over(2 * TURN_NANOSECONDS)
    source.spend(2 * TURN_NANOSECONDS)
    assert source.renew() == -TURN_NANOSECONDS
    loop.close()


@pytest.mark.parametrize("other", [STRANGER, "127.0.0.11"])
def test_a_client_is_alone_until_another_comes(house: House, other: str) -> None:
    is_alone: list[bool] = []

    def work() -> None:
        for address in ("127.0.0.10", "127.0.0.10", other, "127.0.0.10"):
            sock = house.connect(address)
            assert is_served(sock)
            is_alone.append(house.connections._is_of_one())
            if address == other:
                sock.close()
                deadline = time.monotonic() + PATIENCE
                while len(house.connections) > 2:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)

    house.run(work)
    assert is_alone == [True, True, False, True]


@pytest.mark.parametrize("pause", [0.0, 60.0])
def test_each_round_begins_another_turn(pause: float) -> None:
    """...so that a client that is alone is not stopped, but for those of which nothing is known."""
    loop = Loop()
    source = Source("one", loop, pause)
    part, left = TURN_NANOSECONDS // 5, []

    def go() -> None:
        source.renew()
        left.append(source.left)
        source.spend(part)
        source.renew()
        source.spend(part)
        if len(left) < 3:
            loop.call_soon(go)
        else:
            loop.stop()

    loop.call_soon(go)
    loop.run()
    loop.close()
    spent = 2 * part if pause else 0
    assert left == [TURN_NANOSECONDS - round * spent for round in range(3)]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("2001:db8::5", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_machine_is_one_source(address: str, name: str) -> None:
    assert source_name(address) == name


def test_threads_are_shared_by_callers() -> None:
    """Who has a hundred things to be done leaves threads to others, and turns."""
    pool = FairPool(20, "test")
    go_on = threading.Event()
    order: list[int] = []

    def held(number: int) -> int:
        order.append(number)
        assert go_on.wait(PATIENCE)
        return number

    futures = [pool.submit("busy", partial(held, number)) for number in range(100)]
    for _ in range(3):
        assert pool.submit("other", lambda: 7).result(PATIENCE) == 7
    deadline = time.monotonic() + PATIENCE
    while len(order) < 16:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(order) == 16, "of 20 threads one caller has 16"
    go_on.set()
    assert [future.result(PATIENCE) for future in futures] == list(range(100))
    failing = pool.submit("busy", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(PATIENCE)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit("busy", lambda: None)


def test_a_thread_that_cannot_be_started_is_started_with_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = FairPool(2, "test")
    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", start)
        first = pool.submit("a", lambda: 1)
    second = pool.submit("b", lambda: 2)
    assert (first.result(PATIENCE), second.result(PATIENCE)) == (1, 2)
    pool.shutdown()


def test_a_pool_that_ends_finishes_what_has_begun() -> None:
    pool = FairPool(1, "test")
    begun, go_on = threading.Event(), threading.Event()

    def held() -> int:
        begun.set()
        assert go_on.wait(PATIENCE)
        return 1

    first, second = pool.submit("a", held), pool.submit("a", held)
    assert begun.wait(PATIENCE)
    threading.Timer(0.1, go_on.set).start()
    pool.shutdown()
    assert first.result() == 1
    assert second.cancelled()
