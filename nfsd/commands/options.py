"""Options that several subcommands share."""

from __future__ import annotations

import argparse
import os
import re
from typing import Final

from overlay.base.refusal import Refusal
from overlay.model.config import OverlayConfig

DEFAULT_PATH: Final = "/etc/overlay-nfsd.toml"


def add_config_option(parser: argparse.ArgumentParser, default: str | None = DEFAULT_PATH) -> None:
    """Add `--config`; with the default None a subcommand can tell whether it was given.

    Where a parser above has it too, the default is argparse.SUPPRESS: what was said there
    holds, as another default would take its place.
    """
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=default,
        help=f"the configuration file (default: {DEFAULT_PATH})",
    )


def add_layer_options(parser: argparse.ArgumentParser) -> None:
    """The layers of an overlay."""
    parser.add_argument(
        "--lowerdir",
        metavar="TOP[:NEXT...][::DATA...]",
        help="read-only layers, the topmost first; after a double colon data-only layers",
    )
    parser.add_argument("--upperdir", metavar="DIR", help="the layer that changes go to")
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        help="beside the upper layer, on its filesystem: index and staging area",
    )
    parser.add_argument(
        "--userxattr",
        action="store_true",
        help="the layers' private attributes are user.overlay.*, not trusted.overlay.*",
    )


def add_without(parser: argparse.ArgumentParser) -> None:
    """Layers that were served and never shall be again."""
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="DIR",
        help="go on without this layer, which was served with the workdir and is gone for good; "
        "may be given several times",
    )


def without(options: argparse.Namespace) -> tuple[bytes, ...]:
    """Return the layers that are named so."""
    return tuple(map(unescape, options.without))


def overlay_config(options: argparse.Namespace) -> OverlayConfig:
    """Return the layers as the options name them; raises Refusal."""
    lowers, data = _lower_and_data(options.lowerdir)
    upper, work = options.upperdir, options.workdir
    if (upper is None) != (work is None):
        missing = "--workdir" if work is None else "--upperdir"
        raise Refusal(f"--upperdir and --workdir go together: give {missing} too")
    return OverlayConfig(
        lowers,
        None if upper is None else unescape(upper),
        None if work is None else unescape(work),
        data,
        options.userxattr,
    )


def _lower_and_data(lowerdir: str) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the lower layers and, each behind a double colon, the data-only ones."""
    names = split_layers(lowerdir)
    lowers = names if b"" not in names else names[: names.index(b"")]
    rest = names[len(lowers) :]
    data = rest[1::2]
    if not lowers or not all(data) or any(rest[::2]) or len(rest) % 2:
        raise Refusal(f"--lowerdir {lowerdir}: an empty name between colons: leave it out")
    return lowers, data


def split_layers(text: str) -> tuple[bytes, ...]:
    r"""Return the directories in a lowerdir option, where `\:` is a colon and `\\` a backslash."""
    found = [""]
    for sign in re.findall(r"\\.|.", text, re.DOTALL):
        if sign == ":":
            found.append("")
        else:
            found[-1] += sign[-1]
    return tuple(map(os.fsencode, found))


def unescape(text: str) -> bytes:
    """Return a directory in an option, where a backslash keeps the next sign."""
    return os.fsencode(re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL))
