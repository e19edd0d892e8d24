"""The command line: `overlay-nfsd serve ...`, `check`, `index`, `torture` and the others.

Each subcommand adds its own parser.  A refusal is one line on stderr that says
what to do about it, and exit status 2.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from collections.abc import Sequence
from functools import cache
from typing import Final, TextIO

from nfsd.base.about import PROGRAM
from nfsd.base.log import start_logging
from nfsd.commands import check, clients, config, export, index, reload, serve, top
from nfsd.server.version import version_text
from nfsd.torture import command as torture_command
from overlay.base.refusal import Refusal

_REFUSED: Final = 2
_ENDED_BY: Final = 128  # and the signal's number, as shells say it

_DESCRIPTION: Final = "Serve overlayfs-style layered directories over NFSv3."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = command_parser().parse_args(arguments)
    try:
        start_logging(verbose=getattr(options, "verbose", False))
        status: int = options.command(options)
        sys.stdout.flush()
    except Refusal as refusal:
        print(f"{PROGRAM}: {refusal}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt:
        return _ENDED_BY + signal.SIGINT
    except BrokenPipeError:
        if not _is_cut(sys.stdout):
            raise
        return _ENDED_BY + signal.SIGPIPE
    return status


def _is_cut(output: TextIO) -> bool:
    """Return whether nobody reads the output any more; what is left of it then goes nowhere."""
    poll = select.poll()
    poll.register(output, 0)
    is_cut = any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    if is_cut:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    return is_cut


@cache
def command_parser() -> argparse.ArgumentParser:
    """Return what the command line may be."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version_text()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serve.add_to(commands)
    reload.add_to(commands)
    top.add_to(commands)
    config.add_to(commands)
    export.add_to(commands)
    clients.add_to(commands)
    check.add_to(commands)
    index.add_to(commands)
    torture_command.add_to(commands)
    return parser
