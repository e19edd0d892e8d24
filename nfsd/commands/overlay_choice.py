"""Which overlays a command works on: exports of the configuration file, or layers by path."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from nfsd.base.about import PROGRAM
from nfsd.commands.options import DEFAULT_PATH, add_config_option, add_layer_options
from nfsd.config.file import ExportConfig, load
from overlay import per_client
from overlay.base.client_name import is_client, is_label
from overlay.base.refusal import Refusal
from overlay.model.config import OverlayConfig

_REFUSED: Final = 2


@dataclass(frozen=True, slots=True)
class Chosen:
    """One overlay, and what it is called: by the export, and the client that has it for itself."""

    name: str  # empty where the layers were named
    config: OverlayConfig


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add what says which overlays are meant."""
    parser.add_argument(
        "exports",
        nargs="*",
        metavar="EXPORT",
        help="an export of the configuration file, by its path; or name the layers",
    )
    parser.add_argument(
        "--client",
        metavar="CLIENT",
        help="this client's own layers, where the export has {client} in upperdir",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="all exports of the file that have an upper layer, or all clients of the EXPORT",
    )
    add_config_option(parser, None)
    add_layer_options(parser)


def chosen(
    options: argparse.Namespace, by_layers: Callable[[argparse.Namespace], OverlayConfig]
) -> list[Chosen]:
    """Return the overlays that are meant, one at least; raises Refusal.

    `by_layers` makes one of the options that name layers, where these are given.
    """
    names_layers = any((options.lowerdir, options.upperdir, options.workdir))
    names_exports = any((options.exports, options.client, options.all, options.config))
    if names_layers and names_exports:
        raise Refusal("name exports of the configuration file or layers, not both")
    if names_layers:
        return [Chosen("", by_layers(options))]
    if options.client is not None and options.all:
        raise Refusal("--client and --all exclude each other: give one")
    return _of_file(options, options.config or DEFAULT_PATH)


def _of_file(options: argparse.Namespace, file: str) -> list[Chosen]:
    if not any((options.exports, options.client, options.all)):
        raise Refusal(
            f"say which overlay: an export of {file}, as in /debian, or --all, or "
            "--lowerdir, --upperdir and --workdir"
        )
    exports = _exports(options.exports, file)
    if options.client is not None:
        return _of_client(options.client, exports)
    found = [each for export in exports for each in _of_export(options, export)]
    if not found:
        raise Refusal(f"{file}: there is no upper layer yet in what is named")
    return found


def _exports(named: Sequence[str], file: str) -> list[ExportConfig]:
    """Return the exports of these paths, or all."""
    known = {os.fsdecode(export.path): export for export in load(file).exports}
    for name in named:
        if name not in known:
            raise Refusal(f"{file}: no export {name}: there are {', '.join(known)}")
        if known[name].layers.upperdir is None:
            raise Refusal(f"export {name} has no upper layer, so it has no index: name another")
    return [known[name] for name in named] or list(known.values())


def _of_export(options: argparse.Namespace, export: ExportConfig) -> Iterator[Chosen]:
    name, layers = os.fsdecode(export.path), export.layers
    if per_client.is_per_client(layers):
        if not options.all:
            raise Refusal(
                f"export {name} has layers for each client: say --client CLIENT, or --all"
            )
        yield from (_client_of(export, client) for client in per_client.clients(layers))
    elif layers.upperdir is not None:
        yield Chosen(name, layers)


def _of_client(text: str, exports: Sequence[ExportConfig]) -> list[Chosen]:
    client = client_name(text)
    made = [export for export in exports if has_layers(export, client)]
    if not made:
        raise Refusal(f"{client} has no upper layer there: see overlay-nfsd clients")
    return [_client_of(export, client) for export in made]


def _client_of(export: ExportConfig, client: str) -> Chosen:
    layers = per_client.of_client(export.layers, client)
    return Chosen(f"{os.fsdecode(export.path)} of {client}", layers)


def client_name(text: str) -> str:
    """Return what the directory is called of a client that is given by address or name.

    Raises Refusal.
    """
    if is_label(text.lower()):
        return text.lower()
    try:
        return str(ip_address(text))
    except ValueError:
        cure = "give one that is listed by overlay-nfsd clients"
        raise Refusal(f"{text} is no address, and no name of a client: {cure}") from None


def has_layers(export: ExportConfig, client: str) -> bool:
    """Return whether a client has layers of its own in an export."""
    layers = export.layers
    return (
        per_client.is_per_client(layers)
        and is_client(client, named=layers.named)
        and per_client.is_made(layers, client)
    )


def for_each(
    overlays: Sequence[Chosen], run: Callable[[Chosen], int], *, titled: bool = True
) -> int:
    """Do something with each; returns the worst exit status.

    Where there are several, one that is refused keeps none from its turn, and each has its
    name said before unless it is not `titled`.
    """
    if len(overlays) == 1:
        return run(overlays[0])
    worst = 0
    for each in overlays:
        if titled:
            print(f"{each.name}:", flush=True)
        try:
            status = run(each)
        except Refusal as refusal:
            print(f"{PROGRAM}: {each.name}: {refusal}", file=sys.stderr, flush=True)
            status = _REFUSED
        worst = max(worst, status)
    return worst
