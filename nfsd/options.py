"""Options that several subcommands share, and how a subcommand refuses."""

from __future__ import annotations

import argparse
import os
import re

from overlay.config import OverlayConfig


class Refusal(Exception):  # noqa: N818 - what is said is for the user, not an error of ours
    """The command cannot be carried out; the text is one line with the cure."""


def add_layer_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """The layers of an overlay that has an upper one."""
    parser.add_argument(
        "--lowerdir",
        required=required,
        metavar="TOP[:NEXT...]",
        help="read-only layers, the topmost first",
    )
    parser.add_argument(
        "--upperdir", required=required, metavar="DIR", help="the layer that changes go to"
    )
    parser.add_argument(
        "--workdir", required=True, metavar="DIR", help="the directory with the index"
    )


def overlay_config(lowerdir: str, upperdir: str | None, workdir: str | None) -> OverlayConfig:
    """The layers as the options name them; raises Refusal."""
    lowers = split_layers(lowerdir)
    if not all(lowers):
        raise Refusal(f"--lowerdir {lowerdir}: an empty name between colons: leave it out")
    if (upperdir is None) != (workdir is None):
        missing = "--workdir" if workdir is None else "--upperdir"
        raise Refusal(f"--upperdir and --workdir go together: give {missing} too")
    if upperdir is None or workdir is None:
        return OverlayConfig(lowers)
    return OverlayConfig(lowers, unescape(upperdir), unescape(workdir))


def split_layers(text: str) -> tuple[bytes, ...]:
    r"""The directories in a lowerdir option, where `\:` is a colon and `\\` a backslash."""
    found = [""]
    for sign in re.findall(r"\\.|.", text, re.DOTALL):
        if sign == ":":
            found.append("")
        else:
            found[-1] += sign[-1]
    return tuple(map(os.fsencode, found))


def unescape(text: str) -> bytes:
    """A directory in an option, where a backslash keeps the next sign."""
    return os.fsencode(re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL))
