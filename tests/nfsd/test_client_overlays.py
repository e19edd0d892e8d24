"""Overlays of single clients: opened when they are asked for, closed when they are idle."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from index.linux import fd_limit
from nfsd.export.client_overlays import IDLE_SECONDS, ClientOverlays
from nfsd.process.balance import Balance
from overlay import per_client
from overlay.base import client_name
from overlay.base.blocking import allow_blocking, forbid_blocking
from overlay.base.credentials import ROOT
from overlay.base.errors import WouldBlock
from overlay.base.generations import watched
from overlay.filesystem import Overlay
from overlay.model.attributes import Changes
from overlay.model.config import ConfigError, OverlayConfig

CLIENT = "10.0.0.1"


@pytest.fixture
def layers(tmp_path: Path) -> OverlayConfig:
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower" / "file").write_text("lower")
    (tmp_path / "clients").mkdir()
    of_client = os.fsencode(tmp_path) + b"/clients/{client}"
    return OverlayConfig(
        (os.fsencode(tmp_path / "lower"),), of_client + b"/upper", of_client + b"/work"
    )


def overlays_of(layers: OverlayConfig) -> ClientOverlays:
    return ClientOverlays(b"/x", layers, None, 4)


def mounted(overlays: ClientOverlays) -> Overlay:
    """A client's overlay, in which something was looked up."""
    overlay = overlays.mount(CLIENT)
    overlay.getattr(overlay.lookup(overlay.root, b"file", ROOT))
    overlay.readdir(overlay.root, ROOT)
    return overlay


def is_open(layers: OverlayConfig) -> bool:
    return per_client.usage(layers, CLIENT).is_open


def test_one_is_closed_when_it_is_idle_and_nobody_uses_it(layers: OverlayConfig) -> None:
    overlays = overlays_of(layers)
    used: Overlay | None = mounted(overlays)
    now = time.monotonic()
    overlays.let_go((), now + IDLE_SECONDS / 2)
    assert overlays.get(CLIENT) is used
    overlays.let_go((CLIENT,), now + IDLE_SECONDS)
    overlays.let_go((), now + IDLE_SECONDS + 1)
    assert overlays.get(CLIENT) is used
    overlays.let_go((), now + 2 * IDLE_SECONDS)
    assert not list(overlays.all())
    assert is_open(layers), "a call that is under way still uses it"
    used = None
    assert not is_open(layers)
    assert used is None


def test_one_that_was_closed_is_opened_again(layers: OverlayConfig) -> None:
    overlays = overlays_of(layers)
    overlay = mounted(overlays)
    handle = overlay.lookup(overlay.root, b"file", ROOT).handle
    overlay.create(overlay.root, b"new", ROOT, Changes(mode=0o644), True)
    overlays.let_go((), time.monotonic() + IDLE_SECONDS)
    # By a call that is under way; what is kept of the upper layer holds that.
    overlay.create(overlay.root, b"newer", ROOT, Changes(mode=0o644), True)
    del overlay
    again = overlays.get(CLIENT)
    assert again is not None
    assert again.resolve(handle).handle == handle


def test_what_was_learnt_does_not_outlast_it(layers: OverlayConfig) -> None:
    """Else a reply that is kept would be given for a handle that a reset made stale."""
    overlays = overlays_of(layers)
    mounted(overlays)
    _, basis = watched(lambda: overlays.get(CLIENT) and None)
    assert basis.holds()
    overlays.let_go((), time.monotonic() + IDLE_SECONDS)
    assert not basis.holds()


def test_no_other_process_has_it_at_the_same_time(
    layers: OverlayConfig,
) -> None:
    overlays, others = overlays_of(layers), overlays_of(layers)
    mounted(overlays)
    with pytest.raises(OSError, match=os.strerror(errno.EAGAIN)):
        others.get(CLIENT)
    with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
        per_client.reset(layers, CLIENT)
    overlays.let_go((), time.monotonic() + IDLE_SECONDS)
    assert others.get(CLIENT) is not None


def test_the_event_loop_does_not_wait_for_it(layers: OverlayConfig) -> None:
    overlays = overlays_of(layers)
    forbid_blocking()
    try:
        with pytest.raises(WouldBlock):
            overlays.get(CLIENT)
        with pytest.raises(WouldBlock):
            overlays.mount(CLIENT)
    finally:
        allow_blocking()
    assert overlays.get(CLIENT) is None


def test_a_client_is_made_once_and_not_beyond_the_limit(layers: OverlayConfig) -> None:
    first, second = "10.0.0.1", "10.0.0.2"
    assert per_client.make(layers, first, 2)
    assert not per_client.make(layers, first, 2)
    for stray in ("lost+found", "10.0.0.01", "old.10.0.0.1"):  # count for nobody
        assert per_client.make(layers, stray, 2)
    assert per_client.make(layers, second, 2)
    with pytest.raises(OSError, match=os.strerror(errno.EUSERS)):
        per_client.make(layers, "10.0.0.3", 2)
    assert not per_client.make(layers, second, 1)
    assert per_client.clients(layers) == [first, second]


class Killed(BaseException):
    """In place of what a kill would keep from being done."""


def killed(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize("stop", ["_make_upper", "copy_metadata"])
def test_making_that_is_cut_short_is_done_again(
    layers: OverlayConfig, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    os.chmod(layers.lowerdirs[0], 0o1751)
    overlays = overlays_of(layers)
    with monkeypatch.context() as patch:
        patch.setattr(per_client, stop, killed)
        with pytest.raises(Killed):
            overlays.mount(CLIENT)
    assert not per_client.is_made(layers, CLIENT)
    assert overlays.get(CLIENT) is None
    overlay = mounted(overlays)
    assert stat.S_IMODE(overlay.getattr(overlay.root).mode) == 0o1751


@pytest.mark.parametrize("stop", ["discard", "begin", "upper", "rename", "metadata"])
def test_a_reset_that_is_cut_short_leaves_no_old_index(
    layers: OverlayConfig, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    """Whatever was done of it: a new upper has handles of its own, the old ones never lead in."""
    overlays = overlays_of(layers)
    overlay: Overlay | None = mounted(overlays)
    assert overlay is not None
    old = overlay.lookup(overlay.root, b"file", ROOT).handle
    overlay.remove(overlay.root, b"file", ROOT)
    old_id = overlay.export_id
    overlay = None
    overlays.let_go((), time.monotonic() + IDLE_SECONDS)

    targets = {
        "discard": (per_client, "_discard"),
        "begin": (per_client, "_begin_anew"),
        "upper": (per_client, "_make_upper"),
        "rename": (os, "fsync"),
        "metadata": (per_client, "copy_metadata"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*targets[stop], killed)
        with pytest.raises(Killed):
            per_client.reset(layers, CLIENT)
    again = overlays.mount(CLIENT)
    if again.export_id == old_id:
        assert stop == "discard", "nothing was done yet"
        with pytest.raises(OSError, match="Stale"):
            again.resolve(old)
        return
    assert old_id in again.retired_ids
    assert again.lookup(again.root, b"file", ROOT).handle != old
    assert overlay is None


def test_nobody_else_on_the_server_gets_to_what_clients_write(tmp_path: Path) -> None:
    """Root of a client may make a set-uid file there; whatever the umask is."""
    (tmp_path / "lower").mkdir(mode=0o755)
    at = os.fsencode(tmp_path) + b"/{client}/of/"
    layers = OverlayConfig((os.fsencode(tmp_path / "lower"),), at + b"upper", at + b"its/work")
    os.umask(0)
    per_client.make(layers, CLIENT, 1)
    made = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / CLIENT).rglob("*")}
    made[tmp_path / CLIENT] = stat.S_IMODE((tmp_path / CLIENT).stat().st_mode)
    assert made.pop(tmp_path / CLIENT / "of" / "upper") == 0o755
    assert set(made.values()) == {0o700}


def test_deep_trees_are_counted_and_removed(layers: OverlayConfig) -> None:
    """However deep a client nests its directories, deeper than calls or paths can go."""
    fd_limit.raise_limit()
    depth = 1500
    per_client.make(layers, CLIENT, 1)
    upper = per_client.of_client(layers, CLIENT).upperdir
    assert upper is not None
    os.mkdir(upper + b"/0")  # as what is removed is called on the way
    os.mkdir(upper + b"/0/x")
    fd = os.open(upper, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(b"1", dir_fd=fd)
        os.mknod(b"file", dir_fd=fd)
        below = os.open(b"1", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert per_client.usage(layers, CLIENT).files == 2 + 2 * depth
    per_client.reset(layers, CLIENT)
    assert per_client.usage(layers, CLIENT).files == 0
    assert sorted(os.listdir(os.path.dirname(upper))) == [b"upper", b"work"]


def test_what_a_directory_is_called_for_a_client() -> None:
    assert all(map(client_name.is_client, ("10.0.0.1", "::1", "2001:db8::5")))
    assert not any(
        map(client_name.is_client, ("10.0.0.01", "::0001", "2001:DB8::5", "a", "", "10.0.0.1.old"))
    )


def test_a_place_for_clients_must_be_there(layers: OverlayConfig, tmp_path: Path) -> None:
    (tmp_path / "clients").rmdir()
    with pytest.raises(ConfigError, match="where clients' directories are to be made"):
        overlays_of(layers)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_client_has_one_worker(workers: int) -> None:
    balance = Balance(workers, 100, by_client=str)
    clients = [f"10.0.0.{number}" for number in range(2 * workers)]
    homes = [balance.order(client) for client in clients]
    assert sorted(home for (home,) in homes) == sorted([*range(workers)] * 2)
    assert [balance.order(client) for client in clients] == homes
    assert [balance.order(f"::ffff:{client}") for client in clients] == homes
