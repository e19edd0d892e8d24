"""The list of clients that have locks: what of it is on stable storage when."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nfsd.lock import client_list
from nfsd.lock.client_list import LockClients, TooManyError
from nfsd.lock.types import Client

ALPHA, BETA = Client("192.0.2.1", b"alpha"), Client("2001:db8::1", b"\xffbeta")


class Disk:
    """What was written last; it may be full."""

    def __init__(self) -> None:
        self.contents: bytes | None = None
        self.is_full = False
        self.written = self.appended = 0
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.may_go_on.set()

    def read(self) -> bytes | None:
        return self.contents

    def write(self, contents: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "full")
        self.contents = contents
        self.written += len(contents)

    def append(self, contents: bytes) -> None:
        assert self.contents is not None, "there is nothing to write behind"
        self.appended += 1
        self.begun.set()
        assert self.may_go_on.wait(30)
        if self.is_full:
            self.contents += contents[: len(contents) // 2]
            raise OSError(errno.ENOSPC, "full")
        self.contents += contents
        self.written += len(contents)

    def start(self, *, is_new: bool = True) -> LockClients:
        return LockClients(self, is_new=is_new)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_the_list_is_there_after_a_restart(disk: Disk) -> None:
    first = disk.start()
    assert first.before == set()
    assert first.state % 2 == 1
    first.add(ALPHA)
    first.add(BETA)
    second = disk.start()
    assert second.before == second.all() == {ALPHA, BETA}
    assert second.state == first.state + 2
    assert disk.start(is_new=False).state == second.state
    assert disk.start().before == {ALPHA, BETA}


def test_the_state_fits_the_wire(disk: Disk) -> None:
    disk.contents = b'{"state": 2147483647, "clients": []}'
    assert disk.start().state == 1


def test_who_was_not_written_down_is_not_on_the_list(disk: Disk) -> None:
    clients = disk.start()
    disk.is_full = True
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            clients.add(ALPHA)
    disk.is_full = False
    clients.add(ALPHA)
    assert disk.start().before == {ALPHA}


def test_a_state_that_a_full_disk_did_not_take_is_written_with_the_next_client(disk: Disk) -> None:
    disk.start().add(ALPHA)
    disk.is_full = True
    clients = disk.start()
    assert clients.before == {ALPHA}
    disk.is_full = False
    clients.add(BETA)
    assert disk.start().state == clients.state + 2
    assert disk.start().before == {ALPHA, BETA}


def test_who_has_just_come_is_not_dropped(disk: Disk) -> None:
    clients = disk.start()
    clients.add(ALPHA)
    clients.add(BETA)
    clients.drop({ALPHA, BETA})
    assert clients.all() == {ALPHA, BETA}
    clients.add(BETA)
    clients.drop({ALPHA, BETA})
    assert clients.all() == {BETA}
    clients.drop({BETA})
    assert disk.start().before == set()


def number_of(clients: LockClients) -> int:
    """How many have come that are still to be written down."""
    coming = clients._coming
    return 0 if coming is None else len(coming.clients)


def named(number: int, address: str = "192.0.2.9") -> Client:
    return Client(address, b"%d" % number)


def test_one_address_leaves_room_for_others(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_list, "CLIENTS_MAX", 16)
    clients = disk.start()
    for number in range(8):
        clients.add(named(number))
    with pytest.raises(TooManyError) as full:
        clients.add(named(8))
    assert not full.value.passes
    clients.add(named(3))
    for number in range(4):
        clients.add(named(number, "192.0.2.10"))
    clients.add(ALPHA)
    for _ in range(2):
        clients.drop([named(number) for number in range(4)])
    clients.add(named(9))
    assert disk.start().before >= {ALPHA, named(9), named(7), named(0, "192.0.2.10")}


def test_one_address_has_not_many_new_names_at_once(disk: Disk) -> None:
    """So others need not wait for the disk as long as those all take."""
    clients = disk.start()
    for number in range(client_list.BURST):
        clients.add(named(number))
    lines = disk.appended
    for number in range(1000, 1000 + 2000):
        with contextlib.suppress(TooManyError):
            clients.add(named(number))
    assert disk.appended - lines < 200
    clients.add(ALPHA)


def test_who_comes_while_others_are_written_down_waits_for_one_write(disk: Disk) -> None:
    """And not for all of them, one after the other."""
    clients = disk.start()
    disk.begun, disk.may_go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(clients.add, ALPHA)
        assert disk.begun.wait(30)
        others = [pool.submit(clients.add, named(number)) for number in range(18)]
        deadline = time.monotonic() + 120
        while number_of(clients) < 18 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(each.done() for each in others)
        disk.may_go_on.set()
        for each in (first, *others):
            each.result(30)
    assert disk.appended == 2
    assert disk.start().before == {ALPHA, *map(named, range(18))}


def test_all_who_come_together_are_told_of_an_error(disk: Disk) -> None:
    clients = disk.start()
    disk.begun, disk.may_go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(clients.add, ALPHA)
        assert disk.begun.wait(30)
        others = [pool.submit(clients.add, named(number)) for number in range(4)]
        while number_of(clients) < 4:
            time.sleep(0.01)
        disk.is_full = True
        disk.may_go_on.set()
        for each in (first, *others):
            with pytest.raises(OSError, match="full"):
                each.result(30)
    assert clients.all() == set()
    disk.is_full = False
    clients.add(BETA)
    assert disk.start().before == {BETA}


def test_one_more_costs_one_line(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = disk.start()
    expected = set()
    for number in range(1500):
        client = named(number, f"192.0.{number % 100}.1")
        clients.add(client)
        expected.add(client)
    assert disk.written < 60 * 1500 + 3 * 60 * 1500, "a line each, and the list now and then"
    assert disk.start().before == expected


@pytest.mark.parametrize("length", range(1, 19))
def test_a_line_that_is_not_whole_is_none(disk: Disk, length: int) -> None:
    clients = disk.start()
    clients.add(ALPHA)
    whole = disk.contents
    assert whole is not None
    clients.add(named(1))
    assert disk.contents is not None
    disk.contents = disk.contents[: len(whole) + length]
    again = disk.start()
    assert again.before == {ALPHA}
    again.add(BETA)
    assert disk.start().before == {ALPHA, BETA}


def test_what_was_written_before_there_were_lines(disk: Disk) -> None:
    disk.contents = b'{\n "state": 7,\n "clients": [\n  [\n   "192.0.2.1",\n   "alpha"\n  ]\n ]\n}'
    clients = disk.start()
    assert clients.before == {ALPHA}
    assert clients.state == 9
    clients.add(BETA)
    assert disk.start().before == {ALPHA, BETA}


def test_who_took_nothing_back_cannot_later(disk: Disk) -> None:
    """Else it could take what was given to others after that grace period."""
    first = disk.start()
    first.add(ALPHA)
    first.add(BETA)
    second = disk.start()
    second.end_grace(lambda client: client == ALPHA)
    assert second.all() == {ALPHA, BETA}, "it may still have to be told"
    third = disk.start()
    assert third.before == {ALPHA}
    assert third.all() == {ALPHA, BETA}
    third.end_grace(lambda client: client == ALPHA)
    third.add(BETA)
    fourth = disk.start()
    assert fourth.before == {ALPHA, BETA}
    fourth.drop({BETA})
    assert disk.start().all() == {ALPHA}


@pytest.mark.parametrize(
    "contents",
    [
        *(b"", b"[]", b"{", b'{"state": 3}', b'{"state": 3, "clients": [1]}', b"\xff", b"7"),
        b'{"state": 3, "clients": []}\n["192.0.2.1"]\n',
        b'{"state": 3, "clients": []}\n7\n',
    ],
)
def test_a_damaged_list_is_none(disk: Disk, contents: bytes) -> None:
    disk.contents = contents
    clients = disk.start()
    assert clients.before == set()
    clients.add(ALPHA)
