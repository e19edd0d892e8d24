"""`overlay-nfsd top`: what a running server does, live on a terminal, from its numbers."""

from __future__ import annotations

import argparse
import http.client
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nfsd.commands.options import DEFAULT_PATH, add_config_option
from nfsd.config.file import load
from nfsd.metrics import metrics
from nfsd.metrics.prometheus import read
from nfsd.metrics.top import Interval, Scraped, view
from nfsd.net.listen_address import addresses
from overlay.base.refusal import Refusal

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_PATIENCE: Final = 10.0  # seconds for one answer
_COLUMNS: Final = 100
_QUIT: Final = frozenset(b"qQ\x03")  # q, and Ctrl-C
_NO_KEY: Final = b"\0"  # _POSIX_VDISABLE of termios(3)
_DESCRIPTION: Final = """\
Show calls per second by procedure, how long they take, which clients call, and what is
being copied up. The server must serve its metrics: start it with --metrics, or set metrics
in the [server] table of its configuration file. The key q, or Ctrl-C, ends it.
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "top",
        help="show what a running server does",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--metrics",
        metavar="ADDR:PORT",
        help="where the server serves its metrics (default: what the configuration file says)",
    )
    add_config_option(parser, None)
    parser.add_argument(
        "--interval",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between two views (default: %(default)s)",
    )
    parser.add_argument("--once", action="store_true", help="print one view and end")
    parser.add_argument("--picture", metavar="FILE.svg", help="draw one view there and end")
    parser.set_defaults(command=_top)


def _top(options: argparse.Namespace) -> int:
    where = options.metrics or load(options.config or DEFAULT_PATH).metrics
    if where is None:
        raise Refusal("the configuration file has no metrics in [server]: set it, or say --metrics")
    if not options.interval > 0:
        raise Refusal(f"--interval {options.interval}: give seconds, more than 0")
    at = addresses(where, "--metrics")[0]
    host, port = at.host, at.port
    try:
        before = _scraped(host, port)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise Refusal(
            f"no numbers at {where}: {problem}: start the server with --metrics {where}"
        ) from problem
    if options.once or options.picture:
        time.sleep(options.interval)
        _draw(Interval(before, _scraped(host, port)), where, options.picture)
        return 0
    with suppress(KeyboardInterrupt), _keys(), Live(Text("one moment"), screen=True) as live:
        _follow(live, before, (host, port), where, options.interval)
    return 0


def _follow(live: Live, before: Scraped, at: tuple[str, int], where: str, seconds: float) -> None:
    """Show one interval after the other, until somebody has had enough."""
    while not _is_quit(seconds):
        try:
            after = _scraped(*at)
        except (OSError, http.client.HTTPException) as problem:
            live.update(Text(f"no numbers at {where}: {problem}"))
            continue
        if after.total(metrics.START) == before.total(metrics.START):
            live.update(view(Interval(before, after), where, live.console.width), refresh=True)
        before = after


@contextmanager
def _keys() -> Iterator[None]:
    """Meanwhile keys come as they are pressed and are not shown, where there are any.

    Ctrl-C is a key like any other: a signal could come where what it raises is lost.
    """
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    during = termios.tcgetattr(sys.stdin)
    during[6][termios.VINTR] = _NO_KEY
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, during)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_quit(seconds: float) -> bool:
    """Wait so long, or until a key is pressed that ends it, and return whether one was."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if not sys.stdin.isatty():
            time.sleep(left)
        elif select.select([sys.stdin], [], [], left)[0]:
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or not _QUIT.isdisjoint(keys):
                return True
    return False


def _draw(interval: Interval, where: str, picture: str | None) -> None:
    """Print a view, or draw it."""
    if picture is None:
        console = Console()
        console.print(view(interval, where, console.width))
        return
    with open(os.devnull, "w") as nowhere:
        console = Console(
            file=nowhere,
            record=True,
            width=_COLUMNS,
            force_terminal=True,
            color_system="256",
        )
        console.print(view(interval, where, _COLUMNS))
    Path(picture).write_text(console.export_svg(title="overlay-nfsd top"))


def _scraped(host: str, port: int) -> Scraped:
    """Return the numbers now; raises OSError, HTTPException, ValueError."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"{answer.status} {answer.reason}")
    finally:
        connection.close()
    return Scraped(time.monotonic(), tuple(read(text)))
