"""`overlay-nfsd index`: seal the layers before they are copied, or take the index away."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from index.linux import fd_limit
from nfsd.commands.confirmation import add_yes, confirm
from nfsd.commands.options import add_without, overlay_config, unescape, without
from nfsd.commands.overlay_choice import Chosen, add_choice, chosen, for_each
from nfsd.commands.progress_line import Progress
from overlay.base.refusal import Refusal
from overlay.maintenance.detach import detach, recorded_config
from overlay.maintenance.seal import seal_overlay
from overlay.model.config import OverlayConfig

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_SEAL: Final = """\
Seal an overlay that no server has open: record which object every name of the
lower layers is, and mark the objects of the upper layer. From then on the layers
can be copied: lowers, upper and workdir, together or each by itself, to another
place, filesystem or machine. The next start finds every object again, and the file
handles that clients hold go on working, with the same inode numbers.

Once is enough. Seal again after a lower layer was added.
"""
_SEAL_EPILOG: Final = """\
Stop the server, copy with everything that belongs to files, start it with the new
paths:
  rsync -aHAX --numeric-ids /srv/ /new/srv/
  tar --xattrs --xattrs-include='*' --acls -C /srv -c . | tar --xattrs \\
    --xattrs-include='*' --acls -C /new/srv -x
The upper layer and the workdir share hard links, so copy them at once; links that
a copy lost are made again.

examples:
  overlay-nfsd index seal /debian
  overlay-nfsd index seal --all
  overlay-nfsd index seal --workdir /srv/work
"""
_DETACH: Final = """\
Remove the index, so that clean layers for the kernel's overlayfs remain: a
kernel mount (with index=on,metacopy=on,redirect_dir=on) then shows the same tree
with the same inode numbers and link counts.

EVERY FILE HANDLE THAT CLIENTS HOLD BECOMES VOID, for good: unmount the clients
first. The layers can be served again, with new handles.
"""
_DETACH_EPILOG: Final = """\
Without an export, the layers are those that were last served with the work
directory, unless they are named with --lowerdir and --upperdir.

examples:
  overlay-nfsd index detach /debian
  overlay-nfsd index detach --workdir /srv/work
"""
_WARNING: Final = """\
The index is about to be removed in {works}.
EVERY FILE HANDLE THAT CLIENTS HOLD BECOMES VOID: unmount the clients first."""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    index = commands.add_parser("index", help="seal the layers, or take the index away")
    actions = index.add_subparsers(metavar="ACTION", required=True)
    parser = actions.add_parser(
        "seal",
        help="let the layers be copied without a handle becoming stale",
        description=_SEAL,
        epilog=_SEAL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_choice(parser)
    parser.set_defaults(command=_seal)
    parser = actions.add_parser(
        "detach",
        help="leave clean layers for the kernel's overlayfs",
        description=_DETACH,
        epilog=_DETACH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_choice(parser)
    parser.add_argument(
        "--copy-data",
        action="store_true",
        help="copy up the data of files that have only metadata in the upper layer, "
        "so that a mount needs no metacopy=on",
    )
    add_without(parser)
    add_yes(parser)
    parser.set_defaults(command=_detach)


def _seal(options: argparse.Namespace) -> int:
    fd_limit.raise_limit()  # one is open for each level of directories
    return for_each(chosen(options, _named_layers), _seal_one)


def _seal_one(overlay: Chosen) -> int:
    with Progress("sealing") as progress:
        done = seal_overlay(overlay.config, progress=progress)
    print(f"sealed: {done.lower:,} names of lower layers, {done.upper:,} of the upper layer")
    return 0


def _detach(options: argparse.Namespace) -> int:
    fd_limit.raise_limit()  # one is open for each level of directories
    overlays = chosen(options, _named_layers)
    works = [os.path.realpath(each.config.workdir or b"") for each in overlays]
    confirm(options, _WARNING.format(works=", ".join(map(os.fsdecode, works))))
    return for_each(overlays, partial(_detach_one, options))


def _detach_one(options: argparse.Namespace, overlay: Chosen) -> int:
    with Progress("detaching") as progress:
        done = detach(
            overlay.config,
            copy_data=options.copy_data,
            without=without(options),
            progress=progress,
        )
    print(f"detached: {done.files} files were in the index")
    if done.metacopies:
        print(
            f"{done.metacopies} of the upper layer's files have their data in a lower one: "
            "mount with metacopy=on"
        )
    return 0


def _named_layers(options: argparse.Namespace) -> OverlayConfig:
    if options.workdir is None:
        raise Refusal("name the work directory, too: --workdir")
    if (options.lowerdir is None) != (options.upperdir is None):
        missing = "--lowerdir" if options.lowerdir is None else "--upperdir"
        raise Refusal(f"--lowerdir and --upperdir go together: give {missing} too, or neither")
    if options.lowerdir is None:
        return recorded_config(unescape(options.workdir))
    return overlay_config(options)
