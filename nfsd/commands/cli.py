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
from importlib import import_module
from typing import Final, TextIO

from nfsd.base.about import PROGRAM
from nfsd.base.log import start_logging
from nfsd.server.version import version_text
from overlay.base.refusal import Refusal

_REFUSED: Final = 2
_ENDED_BY: Final = 128  # and the signal's number, as shells say it

# A command is imported when it is typed, and all of them to be listed: without what draws tables,
# or attacks it, a server starts in two thirds of the time.
_COMMANDS: Final = {
    "serve": "nfsd.commands.serve",
    "reload": "nfsd.commands.reload",
    "top": "nfsd.commands.top",
    "check-config": "nfsd.commands.config",
    "exports": "nfsd.commands.config",
    "export": "nfsd.commands.export",
    "clients": "nfsd.commands.clients",
    "check": "nfsd.commands.check",
    "index": "nfsd.commands.index",
    "torture": "nfsd.torture.command",
}

_DESCRIPTION: Final = "Serve overlayfs-style layered directories over NFSv3."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    typed = words[0] if words and words[0] in _COMMANDS else None
    options = command_parser(typed).parse_args(words)
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
def command_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return what the command line may be; or what it may be with one command."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version_text()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    wanted = _COMMANDS.values() if only is None else (_COMMANDS[only],)
    for module in dict.fromkeys(wanted):
        import_module(module).add_to(commands)
    return parser
