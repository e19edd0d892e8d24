"""`overlay-nfsd index detach`: take the index away and leave layers for the kernel."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from nfsd.options import Refusal, add_layer_options, overlay_config, unescape
from nfsd.progress import Progress
from overlay.config import OverlayConfig
from overlay.detach import detach, recorded_config

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_DESCRIPTION: Final = """\
Take the index away, so that clean layers for the kernel's overlayfs remain: a
kernel mount (with index=on,metacopy=on,redirect_dir=on) then shows the same tree
with the same inode numbers and link counts.

EVERY FILE HANDLE THAT CLIENTS HOLD BECOMES VOID, for good: unmount the clients
first. The layers can be served again, with new handles.
"""
_EPILOG: Final = """\
The layers are those that were last served with the work directory, unless they
are named with --lowerdir and --upperdir.

example:
  overlay-nfsd index detach --workdir /srv/work
"""
_WARNING: Final = """\
The index in {work} is about to be removed.
EVERY FILE HANDLE THAT CLIENTS HOLD BECOMES VOID: unmount the clients first.
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    index = commands.add_parser("index", help="take the index away")
    actions = index.add_subparsers(metavar="ACTION", required=True)
    parser = actions.add_parser(
        "detach",
        help="leave clean layers for the kernel's overlayfs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_layer_options(parser, lower=False, upper=False)
    parser.add_argument(
        "--copy-data",
        action="store_true",
        help="copy up the data of files that have only metadata in the upper layer, "
        "so that a mount needs no metacopy=on",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=_detach)


def _detach(options: argparse.Namespace) -> int:
    config = _config(options)
    if not options.yes:
        _ask(options.workdir)
    with Progress("detaching") as progress:
        done = detach(config, copy_data=options.copy_data, progress=progress)
    print(f"detached: {done.files} files were in the index")
    if done.metacopies:
        print(
            f"{done.metacopies} of the upper layer's files have their data in a lower one: "
            "mount with metacopy=on"
        )
    return 0


def _config(options: argparse.Namespace) -> OverlayConfig:
    if (options.lowerdir is None) != (options.upperdir is None):
        missing = "--lowerdir" if options.lowerdir is None else "--upperdir"
        raise Refusal(f"--lowerdir and --upperdir go together: give {missing} too, or neither")
    if options.lowerdir is None:
        return recorded_config(unescape(options.workdir))
    return overlay_config(options)


def _ask(workdir: str) -> None:
    if not sys.stdin.isatty():
        raise Refusal("detaching makes every handle of every client void: say --yes to do it")
    print(_WARNING.format(work=os.path.realpath(workdir)), end="", file=sys.stderr)
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refusal("nothing was changed")
