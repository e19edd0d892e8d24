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
from typing import Final, TextIO

from nfsd import (
    check_command,
    clients_command,
    config_command,
    export_command,
    index_command,
    reload_command,
    serve_command,
    top_command,
)
from nfsd.config_text import ConfigFileError
from nfsd.log import start_logging
from nfsd.options import PROGRAM, Refusal, version_text
from nfsd.torture import command as torture_command
from overlay.config import ConfigError

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
    except (Refusal, ConfigError, ConfigFileError) as refusal:
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
    """Whether nobody reads the output any more; what is left of it then goes nowhere."""
    poll = select.poll()
    poll.register(output, 0)
    is_cut = any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    if is_cut:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    return is_cut


def command_parser() -> argparse.ArgumentParser:
    """What the command line may be."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version_text()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serve_command.add_to(commands)
    reload_command.add_to(commands)
    top_command.add_to(commands)
    config_command.add_to(commands)
    export_command.add_to(commands)
    clients_command.add_to(commands)
    check_command.add_to(commands)
    index_command.add_to(commands)
    torture_command.add_to(commands)
    return parser
