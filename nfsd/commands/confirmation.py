"""The question before a command destroys something, answered on the terminal or by `--yes`."""

from __future__ import annotations

import argparse
import sys

from overlay.base.refusal import Refusal


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add `--yes` to a subcommand that asks."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def confirm(options: argparse.Namespace, what: str) -> None:
    """Say what is about to be done and ask whether it shall; raises Refusal if it shall not.

    Nothing is asked where `--yes` was said, which it must be where there is no terminal.
    """
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise Refusal(f"{what}\nthere is no terminal to ask at: say --yes to do it")
    print(f"{what}\nGo on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refusal("nothing was changed")
