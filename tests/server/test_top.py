"""`overlay-nfsd top`: what is shown of two scrapes, and of a server that runs."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from nfsd.metrics import metrics
from nfsd.metrics.prometheus import Distribution, Family, Labels, Value, read, written
from nfsd.metrics.top import Interval, Scraped, view
from tests.client import Client
from tests.conformance.server import PROJECT, Server, Stack
from tests.scraped import OPTIONS, page

pytestmark = [pytest.mark.processes, pytest.mark.once]

GETATTR = {"program": "nfs3", "procedure": "GETATTR"}
BUSY = [0] * len(metrics.DURATION.bounds)


def scraped(when: float, *values: tuple[Family, Labels, Value]) -> Scraped:
    """A scrape of these values alone, by way of the text."""
    text = written((family, [(labels, value)]) for family, labels, value in values)
    return Scraped(when, tuple(read(text)))


def times(**classes: int) -> Distribution:
    """So many calls in the classes that end at these numbers of microseconds."""
    found = [*BUSY, 0]
    for name, number in classes.items():
        found[metrics.DURATION.bounds.index(int(name[1:]) / 1e6)] = number
    return Distribution(found, sum(found) * 1e-5)


def shown(interval: Interval, width: int = 100) -> str:
    console = Console(width=width)
    with console.capture() as text:
        console.print(view(interval, "here", width))
    return text.get()


def test_a_view_of_what_happened_between() -> None:
    before = scraped(
        10.0,
        (metrics.CALLS, GETATTR, 1000),
        (metrics.CACHED, GETATTR, 900),
        (metrics.DURATION, GETATTR, times(u10=1000)),
    )
    after = scraped(
        12.0,
        (metrics.CALLS, GETATTR, 3000),
        (metrics.CALLS, {**GETATTR, "procedure": "WRITE"}, 0),
        (metrics.CACHED, GETATTR, 1900),
        (metrics.ERRORS, {**GETATTR, "status": "STALE"}, 50),
        (metrics.STALE, {"cause": "removed"}, 50),
        (metrics.DURATION, GETATTR, times(u10=2900, u20=100)),
        (metrics.CONNECTIONS, {"client": "10.0.0.7"}, 3),
        (metrics.CLIENTS, {}, 9),
        (metrics.COPYING, {"kind": "data"}, 2),
        (metrics.COPY_UP_BYTES, {"kind": "data"}, 5_000_000),
        (metrics.DEATHS, {}, 1),
        *((metrics.EXPORT_CALLS, {"export": f"/{number}"}, 2 + number) for number in range(10)),
        (metrics.EXPORT_ERRORS, {"export": "/9"}, 2),
        (metrics.EXPORT_DATA, {"export": "/9", "direction": "read"}, 3000),
        (metrics.EXPORT_DATA, {"export": "/9", "direction": "written"}, 1000),
    )
    text = shown(Interval(before, after))
    assert "1,000 calls/s" in text
    row = next(line for line in text.splitlines() if line.startswith("GETATTR"))
    assert row.split()[1:8] == ["1,000", "25", "50%", "10", "us", "18", "us"]
    assert "WRITE" not in text
    for part in ("10.0.0.7 3 connections", "2 under way", "2.5 MB/s", "stale: removed"):
        assert part in text
    assert "more                 8" in text
    for line in ("/9 +5.5 calls/s, 1.0 errors/s, 2 kB/s", "/2 +2.0 calls/s", "more +2 "):
        assert re.search(line, text), line
    assert "/1 " not in text
    assert "workers died" in text


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (100, "procedure calls/s errors/s cached mean 99 % in"),
        (59, "procedure calls/s errors/s mean 99 % in"),
        (50, "procedure calls/s mean 99 % in"),
        (40, "procedure calls/s mean"),
        (29, "procedure calls/s"),
    ],
)
def test_narrow_terminals_keep_the_names(width: int, titles: str) -> None:
    labels = {**GETATTR, "procedure": "READDIRPLUS"}
    before = scraped(1.0, (metrics.CALLS, labels, 0))
    text = shown(Interval(before, scraped(2.0, (metrics.CALLS, labels, 10_000_000))), width)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert titles in lines
    assert any(line.startswith("READDIRPLUS 10,000,000") for line in lines)


def test_nothing_happens() -> None:
    text = shown(Interval(scraped(1.0), scraped(2.0)))
    assert "no calls" in text
    assert "none" in text


@pytest.mark.parametrize(
    ("classes", "share", "within"),
    [
        ({"u5": 100}, 0.99, 4.95e-6),
        ({"u10": 50, "u100": 50}, 0.5, 10e-6),
        ({"u10": 50, "u100": 50}, 0.75, 75e-6),
        ({}, 0.99, 0.0),
    ],
)
def test_the_time_within_which_a_share_is_answered(
    classes: dict[str, int], share: float, within: float
) -> None:
    before = scraped(0.0, (metrics.DURATION, GETATTR, times()))
    after = scraped(1.0, (metrics.DURATION, GETATTR, times(**classes)))
    assert Interval(before, after).seconds_within(share) == pytest.approx(within)


def test_beyond_the_last_class_the_last_bound_is_said() -> None:
    before = scraped(0.0, (metrics.DURATION, GETATTR, Distribution([*BUSY, 0], 0)))
    after = scraped(1.0, (metrics.DURATION, GETATTR, Distribution([*BUSY, 7], 70)))
    assert Interval(before, after).seconds_within(0.99) == metrics.DURATION.bounds[-1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "lower").mkdir()
    stack = Stack((tmp_path / "lower",))
    running = Server(stack, tmp_path / "log", arguments=["--workers", "2", *OPTIONS])
    running.start()
    try:
        yield running
        running.stop()
    finally:
        running.kill()


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nfsd", "top", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def busy_top(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One view in which there were calls; on a busy machine it takes more than one look."""
    for _ in range(20):
        shown = top(*arguments, "--interval", "0.5")
        if "GETATTR" in shown.stdout:
            break
    return shown


def test_a_server_that_runs(server: Server, tmp_path: Path) -> None:
    at = page(server).removeprefix("http://").removesuffix("/metrics")
    done = threading.Event()

    def load() -> None:
        with Client(server.port) as client:
            root = client.mount()
            while not done.wait(0.001):
                client.nfs("GETATTR", root)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        once = busy_top("--metrics", at, "--once")
        picture = tmp_path / "top.svg"
        drawn = top("--metrics", at, "--picture", str(picture), "--interval", "0.5")
    finally:
        done.set()
        loading.join()
    assert (once.returncode, once.stderr) == (0, "")
    assert "GETATTR" in once.stdout
    assert "127.0.0.1 1 connection" in once.stdout
    assert drawn.returncode == 0
    assert "calls/s" in picture.read_text()


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_a_key_ends_it(server: Server, key: bytes) -> None:
    at = page(server).removeprefix("http://").removesuffix("/metrics")
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    process = subprocess.Popen(
        [sys.executable, "-m", "nfsd", "top", "--metrics", at],
        cwd=PROJECT,
        stdin=its,
        stdout=its,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.login_tty(its),
    )
    shown = select.poll()
    shown.register(ours, select.POLLIN)
    try:
        said = b""
        while b"one moment" not in said:
            assert shown.poll(60_000), "nothing is shown"
            said += os.read(ours, 4096)
        os.write(ours, key)
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if shown.poll(100):  # it waits until what it draws is taken
                with suppress(OSError):  # it has ended, and with it the terminal
                    os.read(ours, 4096)
        assert process.poll() == 0
        assert termios.tcgetattr(its) == before
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
        os.close(its)


def test_what_is_refused(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[export]]\npath = "/"\nlowerdir = "/srv"\nclients = { "*" = "ro" }\n')
    for arguments, cure in (
        (["--metrics", f"127.0.0.1:{server.port}"], "start the server with --metrics"),
        (["--metrics", "127.0.0.1:1"], "start the server with --metrics"),
        (["--metrics", "nonsense"], "give ADDR:PORT"),
        (["--config", str(config)], "has no metrics"),
        (["--metrics", "127.0.0.1:1", "--interval", "0"], "give seconds"),
    ):
        refused = top(*arguments)
        assert refused.returncode == 2
        assert cure in refused.stderr
        assert refused.stderr.count("\n") == 1
