"""`overlay-nfsd reload`: have the server read its configuration again, and wait for the verdict."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Final

from nfsd.commands.options import add_config_option
from nfsd.server.control import RELOAD, ask
from nfsd.server.reload import DONE, REFUSED
from overlay.base.refusal import Refusal

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_TITLE: Final = "Have the server read its configuration file again."
_DESCRIPTION: Final = f"""\
{_TITLE}

The command ends when the server serves what the file says, or has refused to. Then the exit
status is 2, the reason is printed, and everything stays as it was. Clients lose no
connection and no call.
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "reload",
        help="have the server read its configuration file again",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_option(parser)
    parser.set_defaults(command=_reload)


def _reload(options: argparse.Namespace) -> int:
    said = reload(options.config)
    if said is None:
        raise Refusal(
            f"no server serves {os.path.abspath(options.config)}: start it, or name the file that "
            "it was started with (--config)"
        )
    print(said)
    return 0


def reload(file: str) -> str | None:
    """Have the server of a configuration file read it, and return what it says of that.

    None if there is no server.  Raises Refusal if the server does not serve what the file says.
    """
    try:
        verdict = ask(file, RELOAD)
    except OSError as problem:
        raise Refusal(
            f"cannot ask the server: {problem.strerror}: run this as root, or as the server's user"
        ) from problem
    if verdict is None:
        return None
    if verdict.startswith(DONE):
        return os.fsdecode(verdict.removeprefix(DONE))
    if not verdict.startswith(REFUSED):
        raise Refusal("the server has ended before it had read its configuration: see its log")
    raise Refusal(os.fsdecode(verdict.removeprefix(REFUSED)))
