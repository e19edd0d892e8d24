"""`overlay-nfsd check-config` and `exports`: what the configuration file says."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nfsd.commands.options import add_config_option
from nfsd.config.file import Config, load
from nfsd.export.options import ExportOptions
from nfsd.server.control import HELD, ask
from nfsd.server.ports import held_for
from nfsd.server.preflight import NOTHING, Held, check
from overlay.base.refusal import Refusal
from overlay.model.config import ConfigError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_CHECK: Final = """
The checks are those that a start and a reload make, ports, filesystems and layers
included. Nothing is made or changed. Ports and directories that a running server of this
file uses count as free. Under systemd the service may have fewer rights than you
(ReadWritePaths=, ProtectHome=): a reload says so.
"""


def add_to(commands: Commands) -> None:
    """Add the subcommands to the command line."""
    for name, title, more, run in (
        ("check-config", "say whether the configuration file can be served", _CHECK, _check),
        ("exports", "list the exports of the configuration file, and their clients", "", _exports),
    ):
        parser = commands.add_parser(
            name,
            help=title,
            description=f"{title.capitalize()}.\n{more}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_config_option(parser)
        parser.set_defaults(command=run)


def _check(options: argparse.Namespace) -> int:
    config = load(options.config)
    try:
        check(config, held=_held(options.config, config))
    except ConfigError as problem:
        raise Refusal(f"{options.config}: {problem}") from problem
    print(f"{options.config} is in order; exports: {len(config.exports)}")
    return 0


def _held(file: str, config: Config) -> Held:
    """Return what there may be in use: by the server of this file, and by systemd for it."""
    try:
        answer = ask(file, HELD)
    except OSError as problem:
        raise Refusal(f"cannot ask the server: {problem.strerror}: run this as root") from problem
    held = Held.parse(answer) if answer else NOTHING
    return replace(held, ports=(*held.ports, *held_for(config)))


def _exports(options: argparse.Namespace) -> int:
    for export in load(options.config).exports:
        print(os.fsdecode(export.path))
        for pattern, rights in export.clients:
            print(f"    {pattern.text:<24} {options_text(rights)}")
    return 0


def options_text(options: ExportOptions) -> str:
    """Return all options in force, as exports(5) writes them."""
    words = [
        "ro" if options.read_only else "rw",
        "sync" if options.sync else "async",
        "secure" if options.secure else "insecure",
        "root_squash" if options.root_squash else "no_root_squash",
        "all_squash" if options.all_squash else "no_all_squash",
        f"anonuid={options.anonuid}",
        f"anongid={options.anongid}",
    ]
    for name in ("squash_uids", "squash_gids"):
        ranges = [f"{each[0]}-{each[-1]}" for each in getattr(options, name)]
        words += [f"{name}={':'.join(ranges)}"] if ranges else []
    words += [] if options.fsid is None else [f"fsid={options.fsid}"]
    return ",".join(words)
