"""The list of clients that have locks: what of it is on stable storage when."""

from __future__ import annotations

import errno

import pytest

from nfsd import lock_clients
from nfsd.lock_clients import LockClients
from nfsd.lock_table import Client

ALPHA, BETA = Client("192.0.2.1", b"alpha"), Client("2001:db8::1", b"\xffbeta")


class Disk:
    """What was written last; it may be full."""

    def __init__(self) -> None:
        self.contents: bytes | None = None
        self.is_full = False

    def write(self, contents: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "full")
        self.contents = contents

    def start(self, *, is_new: bool = True) -> LockClients:
        return LockClients(self.contents, self.write, is_new=is_new)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_the_list_is_there_after_a_restart(disk: Disk) -> None:
    first = disk.start()
    assert first.before == set()
    assert first.state % 2 == 1
    assert first.add(ALPHA)
    assert first.add(BETA)
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
    assert clients.add(ALPHA)
    assert disk.start().before == {ALPHA}


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


def test_the_list_is_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_clients, "CLIENTS_MAX", 1)
    clients = disk.start()
    assert clients.add(ALPHA)
    assert not clients.add(BETA)
    assert clients.add(ALPHA)


@pytest.mark.parametrize(
    "contents",
    [b"", b"[]", b"{", b'{"state": 3}', b'{"state": 3, "clients": [1]}', b"\xff", b"7"],
)
def test_a_damaged_list_is_none(disk: Disk, contents: bytes) -> None:
    disk.contents = contents
    clients = disk.start()
    assert clients.before == set()
    assert clients.add(ALPHA)
