"""`overlay-nfsd clients`, which lists upper layers of clients, and `clients reset`."""

from __future__ import annotations

import argparse
import errno
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from index.linux import fd_limit
from nfsd.commands.confirmation import add_yes, confirm
from nfsd.commands.options import add_config_option
from nfsd.commands.overlay_choice import client_name, has_layers
from nfsd.config.file import ExportConfig, load
from nfsd.export.client_hook import RESET, prepare
from overlay import per_client
from overlay.base.refusal import Refusal
from overlay.per_client import Usage

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_TITLE: Final = "List the clients that have an upper layer of their own."
_DESCRIPTION: Final = f"""\
{_TITLE}

The command reads the configuration file and the directories, and asks no server.
"""
_RESET: Final = """\
Give a client an empty upper layer: everything that it has changed is gone, and all
file handles that it holds are stale. The command prints the directory and asks first.

It is refused while the server has the client's layers open, which is until a minute after
the client's last call: switch the client off first.
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "clients",
        help="list clients that have upper layers of their own, and empty one",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="as a JSON list, for programs")
    parser.set_defaults(command=_list)
    verbs = parser.add_subparsers(metavar="VERB")
    reset = verbs.add_parser(
        "reset",
        help="empty a client's upper layer",
        description=_RESET,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_option(reset, argparse.SUPPRESS)
    reset.add_argument("--export", metavar="/NAME", help="in this export alone (default: in all)")
    add_yes(reset)
    reset.add_argument("client", metavar="CLIENT", help="its address, or name, as it is listed")
    reset.set_defaults(command=_reset)


def _exports(options: argparse.Namespace) -> list[ExportConfig]:
    found = [one for one in load(options.config).exports if per_client.is_per_client(one.layers)]
    if not found:
        raise Refusal(f"{options.config}: no export has {{client}} in its upperdir")
    return found


def _list(options: argparse.Namespace) -> int:
    fd_limit.raise_limit()  # one is open for each level of directories
    rows = list(_usage(_exports(options)))
    if options.json:
        print(json.dumps([_values(export, usage) for export, usage in rows], indent=1))
    elif not rows:
        print("no client has an upper layer yet")
    else:
        Console().print(_table(rows))
    return 0


def _usage(exports: list[ExportConfig]) -> Iterator[tuple[ExportConfig, Usage]]:
    for export in exports:
        names = per_client.clients(export.layers)
        for name in sorted(names, key=_order):
            yield export, per_client.usage(export.layers, name)


def _order(name: str) -> tuple[int, int, str]:
    """Names, addresses of IPv4, of IPv6."""
    try:
        address = ip_address(name)
    except ValueError:
        return 0, 0, name
    return address.version, int(address), name


def _values(export: ExportConfig, usage: Usage) -> dict[str, object]:
    last = usage.last_use
    return {
        "client": usage.client,
        "export": os.fsdecode(export.path),
        "files": usage.files,
        "files_limit": export.limits.files,
        "bytes": usage.size,
        "bytes_limit": export.limits.space,
        "last_use": None if last is None else datetime.fromtimestamp(last, UTC).isoformat(),
        "open": usage.is_open,
    }


def _table(rows: list[tuple[ExportConfig, Usage]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title, justify in (("client", "left"), ("export", "left"), ("files", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("last use", no_wrap=True)
    for export, usage in rows:
        files, space = f"{usage.files:,}", _size(usage.size)
        if export.limits.files is not None:
            files += f" of {export.limits.files:,}"
        if export.limits.space is not None:
            space += f" of {_size(export.limits.space)}"
        table.add_row(usage.client, os.fsdecode(export.path), files, space, _when(usage))
    return table


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _when(usage: Usage) -> str:
    if usage.is_open:
        return "now"
    if usage.last_use is None:
        return "never"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(usage.last_use))


def _reset(options: argparse.Namespace) -> int:
    client = client_name(options.client)
    wanted = None if options.export is None else os.fsencode(options.export)
    exports = [
        export
        for export in _exports(options)
        if wanted in (None, export.path) and has_layers(export, client)
    ]
    if not exports:
        raise Refusal(f"{client} has no upper layer: see overlay-nfsd clients")
    confirm(options, _warning(options.config, client, exports))
    for export in exports:
        _reset_in(export, client)
    return 0


def _warning(config: str, client: str, exports: list[ExportConfig]) -> str:
    """Return what is about to be emptied, as the configuration file has it."""
    lines = [f"{config}: all that {client} has changed is about to be removed:"]
    lines += [f"  {_upper(each, client)}, of export {os.fsdecode(each.path)}" for each in exports]
    return "\n".join(lines)


def _upper(export: ExportConfig, client: str) -> str:
    return os.fsdecode(per_client.of_client(export.layers, client).upperdir or b"")


def _reset_in(export: ExportConfig, client: str) -> None:
    """Empty the upper that a client has in an export; raises Refusal."""
    try:
        per_client.reset(export.layers, client, prepare(export.hook, RESET, client))
    except OSError as problem:
        if problem.errno == errno.EBUSY:
            raise Refusal(
                f"{client} is in use: switch it off and try again in a minute, or stop the server"
            ) from problem
        raise Refusal(
            f"{client}: {problem.strerror}: what is left is emptied when it mounts"
        ) from problem
    where = f"{os.fsdecode(export.path)}: {_upper(export, client)}"
    print(f"{client} has an empty upper layer in {where}")
