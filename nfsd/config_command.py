"""`overlay-nfsd check-config` and `exports`: what the configuration file says."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from nfsd import ports
from nfsd.config_file import DEFAULT_PATH, ExportConfig, load
from nfsd.export_options import ExportOptions
from nfsd.options import Refusal
from overlay.config import ConfigError
from overlay.overlap import check_exports
from overlay.per_client import is_per_client, prepare

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: Commands) -> None:
    """Add the subcommands to the command line."""
    for name, title, run in (
        ("check-config", "say whether the configuration file can be served", _check),
        ("exports", "say what the configuration file exports to whom", _exports),
    ):
        parser = commands.add_parser(name, help=title, description=title.capitalize() + ".")
        add_config_option(parser)
        parser.set_defaults(command=run)


def add_config_option(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add `--config` to a subcommand that needs the file.

    With `again` a parser above this one has it too, and what is said there holds unless it
    is said here: a default of this one would take its place.
    """
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS if again else DEFAULT_PATH,
        help=f"the configuration file (default: {DEFAULT_PATH})",
    )


def _check(options: argparse.Namespace) -> int:
    config = load(options.config)
    ports.check(config, (), ())
    for export in config.exports:
        _check_directories(options.config, export)
    try:
        check_exports([(export.path, export.layers) for export in config.exports])
    except ConfigError as problem:
        raise Refusal(f"{options.config}: {problem}") from problem
    print(f"{options.config} is in order; exports: {len(config.exports)}")
    return 0


def _check_directories(file: str, export: ExportConfig) -> None:
    layers = export.layers
    if is_per_client(layers):
        try:
            prepare(layers)
        except ConfigError as problem:
            raise Refusal(f"{file}: export {os.fsdecode(export.path)}: {problem}") from problem
        return
    named = [*layers.lowerdirs, *layers.datadirs, layers.upperdir, layers.workdir]
    for path in named:
        if path is not None and not os.path.isdir(path):
            raise Refusal(
                f"{file}: export {os.fsdecode(export.path)}: {os.fsdecode(path)} is not a "
                "directory: make it, or name another"
            )


def _exports(options: argparse.Namespace) -> int:
    for export in load(options.config).exports:
        print(os.fsdecode(export.path))
        for pattern, rights in export.clients:
            print(f"    {pattern.text:<24} {options_text(rights)}")
    return 0


def options_text(options: ExportOptions) -> str:
    """All options in force, as exports(5) writes them."""
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
