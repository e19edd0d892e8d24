"""The command line: `overlay-nfsd serve ...`, `check`, `index`, `torture` and the others.

Each subcommand adds its own parser.  A refusal is one line on stderr that says
what to do about it, and exit status 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from nfsd import (
    check_command,
    clients_command,
    config_command,
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

_DESCRIPTION: Final = "Serve overlayfs-style layered directories over NFSv3."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = command_parser().parse_args(arguments)
    try:
        start_logging(verbose=getattr(options, "verbose", False))
        status: int = options.command(options)
    except (Refusal, ConfigError, ConfigFileError) as refusal:
        print(f"{PROGRAM}: {refusal}", file=sys.stderr)
        return _REFUSED
    return status


def command_parser() -> argparse.ArgumentParser:
    """What the command line may be."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version_text()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serve_command.add_to(commands)
    reload_command.add_to(commands)
    top_command.add_to(commands)
    config_command.add_to(commands)
    clients_command.add_to(commands)
    check_command.add_to(commands)
    index_command.add_to(commands)
    torture_command.add_to(commands)
    return parser
