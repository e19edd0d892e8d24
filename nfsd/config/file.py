"""The configuration file, /etc/overlay-nfsd.toml: exports, their layers and clients.

A file that is wrong in any way is refused as a whole, with the line and the cure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nfsd.base.size import space_of
from nfsd.config.lock import GRACE_MAX, LOCKS, PORT_MAX, LockConfig
from nfsd.config.settings import EXPORT, SERVER
from nfsd.config.tables import Reader, Table
from nfsd.config.text import read
from nfsd.export.client_match import Pattern, PatternError
from nfsd.export.mount_path import components
from nfsd.export.options import ExportOptions, OptionError
from nfsd.net.address import address_of
from overlay.base.client_name import is_label
from overlay.base.refusal import Refusal
from overlay.model.config import PLACEHOLDER, UNLIMITED, Limits, OverlayConfig
from overlay.per_client import is_per_client

# How clients learn the ports: from the machine's rpcbind, from this server, or not at all.
RPCBIND: Final = ("system", "embedded", "off")
_ADDRESS: Final = re.compile(r"(?:\[[^\[\]]+\]|[^:\[\]]+):([0-9]{1,5})")
MAX_CLIENTS: Final = 64
CACHE_BYTES: Final = 512 << 20  # where nothing else is said
_PLACEHOLDER: Final = os.fsdecode(PLACEHOLDER)
_METRICS: Final = 'ADDR:PORT, like "127.0.0.1:9049"'
_LAYERS: Final = '["/srv/layers/app", "/srv/layers/debian"]'
_CLIENTS: Final = 'patterns with options, like { "10.0.0.0/8" = "rw" }'
_NAMES: Final = 'addresses with names, like { "10.0.0.11" = "pc11" }'
_RESETS: Final = ("mount",)
_PATH_MAX: Final = 1024  # MNTPATHLEN of RFC 1813 appendix I


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """One `[[export]]`."""

    path: bytes
    layers: OverlayConfig
    clients: tuple[tuple[Pattern, ExportOptions], ...]
    max_clients: int = MAX_CLIENTS  # that have an upper layer of their own
    limits: Limits = UNLIMITED  # of each of these
    names: tuple[tuple[str, str], ...] = ()  # addresses, and what they are called
    resets: bool = False  # a client's layer is emptied when it mounts
    hook: str | None = None  # a program that prepares new layers of clients
    leases: tuple[str, ...] = ()  # files in which a DHCP server has names
    file: str = field(default="", compare=False)  # that it is written in

    @property
    def fsid(self) -> int | None:
        """Return the filesystem's number that the options ask for, the first of several."""
        asked = (options.fsid for _, options in self.clients)
        return next((fsid for fsid in asked if fsid is not None), None)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    listen: tuple[str, ...]
    workers: int | None
    exports: tuple[ExportConfig, ...]
    metrics: str | None = None  # ADDR:PORT where the numbers are told
    rpcbind: str | None = None  # one of RPCBIND, if it is said
    udp: bool = False
    manage_gids: bool = False  # groups of users are looked up here
    locks: LockConfig = field(default_factory=LockConfig)
    cache_bytes: int = CACHE_BYTES  # of memory for what is kept, by all workers together


def load(path: str) -> Config:
    """Read a configuration file, and those of exports in `path`.d.

    Raises Refusal, and nothing else, whatever the files are.
    """
    text, tables = read(path)
    reader = Reader(path, text)
    Table(reader, "", tables, 0).known(("server", "export"))
    found = _export_tables(reader, tables)
    for name in dropped_in(path):
        found += _of_drop_in(name, path)
    if not found:
        line = reader.line_of_table("export", 0)
        raise reader.error(line, "nothing is exported: write at least one [[export]]")
    return _config(reader, tables, found)


def drop_in_directory(path: str) -> str:
    """Return where files with further exports are, of a configuration file."""
    return f"{path}.d"


def dropped_in(path: str) -> list[str]:
    """Return these files, in the order in which they count; raises Refusal."""
    directory = drop_in_directory(path)
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise Refusal(
            f"{directory}: {problem.strerror}: make it a directory of *.toml, or remove it"
        ) from None
    return [
        os.path.join(directory, name)
        for name in names
        if name.endswith(".toml") and not name.startswith(".")
    ]


def _of_drop_in(name: str, path: str) -> list[Table]:
    text, tables = read(name)
    reader = Reader(name, text)
    if "server" in tables:
        line = reader.line_of_table("server", 0)
        raise reader.error(line, f"[server] stands in {path} alone: move it there")
    Table(reader, "", tables, 0).known(("export",))
    return _export_tables(reader, tables)


def _config(reader: Reader, tables: Mapping[str, Any], found: Sequence[Table]) -> Config:
    """Return what the tables of the files mean."""
    server = Table(reader, "[server]", tables.get("server", {}), reader.line_of_table("server", 0))
    server.known(tuple(SERVER))
    exports: list[ExportConfig] = []
    for table in found:
        export = replace(_export(table), file=table.file)
        for other in exports:
            _check_distinct(table, export, other)
        exports.append(export)
    if server.flag("udp") and any(is_per_client(each.layers) for each in exports):
        raise server.error("udp", f"does not go with {_PLACEHOLDER} in upperdir: leave it out")
    return Config(
        _listen(server),
        server.number("workers", 1, 64),
        tuple(exports),
        _metrics(server),
        server.choice("rpcbind", RPCBIND),
        server.flag("udp"),
        server.flag("manage_gids"),
        _locks(server),
        server.size("cache_size") or CACHE_BYTES,
    )


def _export_tables(reader: Reader, tables: Mapping[str, Any]) -> list[Table]:
    found, line = tables.get("export", []), reader.line_of_table("export", 0)
    if isinstance(found, dict) and found:
        raise reader.error(line, "export: there may be several: write [[export]], in two brackets")
    if not isinstance(found, list):
        raise reader.error(line, "nothing is exported: write at least one [[export]]")
    return [
        Table(reader, "[[export]]", values, reader.line_of_table("export", number))
        for number, values in enumerate(found)
    ]


def _locks(server: Table) -> LockConfig:
    port = server.number("lock_port", 0, PORT_MAX)
    grace = server.number("grace", 0, GRACE_MAX)
    return LockConfig().changed(server.choice("locks", LOCKS), port, grace)


def _export(table: Table) -> ExportConfig:
    table.known(tuple(EXPORT))
    path = os.fsencode(table.text("path") or "")
    names = components(path)
    is_bad = b".." in names or b"\0" in path or len(path) > _PATH_MAX
    if is_bad or not path.startswith(b"/"):
        raise table.error("path", "give what clients mount it as, an absolute path like /debian")
    path = b"/" + b"/".join(names)
    layers = _layers(table).of_export(path)
    most = table.number("max_clients", 1, 65536)
    called, leases = _names(table)
    if called or leases:
        layers = replace(layers, named=True)
    space, files = table.size("client_space", space_of), table.number("client_files", 1, 1 << 40)
    hook = table.text("hook")
    if hook is not None:
        _check_path(table, "hook", hook)
    given = {
        "max_clients": most,
        "client_space": space,
        "client_files": files,
        "names": called or None,
        "leases": leases or None,
        "reset": table.choice("reset", _RESETS),
        "hook": hook,
    }
    for name, value in given.items():
        if value is not None and not is_per_client(layers):
            raise table.error(name, f"goes with {_PLACEHOLDER} in upperdir and workdir")
    resets = given["reset"] is not None
    given_to, limits = _clients(table), Limits(space, files)
    return ExportConfig(
        path, layers, given_to, most or MAX_CLIENTS, limits, called, resets, hook, leases
    )


def _names(table: Table) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return what clients' layers are called, and the files of leases that say so."""
    found = {}
    for text, name in (table.pairs("names", _NAMES) if table.has("names") else {}).items():
        try:
            address = str(address_of(text))
        except ValueError:
            raise table.error("names", f"{text} is no address: give {_NAMES}") from None
        if not is_label(name.lower()):
            cure = "give letters, digits, - and _, without a domain"
            raise table.error("names", f"{name!r} cannot be the name of a layer: {cure}")
        found[address] = name.lower()
    files = table.texts("leases", [], '["/var/lib/misc/dnsmasq.leases"]')
    for path in files:
        _check_path(table, "leases", path)
    return tuple(found.items()), files


def _check_distinct(table: Table, export: ExportConfig, other: ExportConfig) -> None:
    """What no two exports may share."""
    theirs = os.fsdecode(other.path)
    if export.path == other.path:
        raise table.error("path", f"{theirs} is exported twice: give each export its own")
    if export.fsid is not None and export.fsid == other.fsid:
        raise table.error("clients", f"fsid={export.fsid} is that of {theirs}: give another")
    for name in ("upperdir", "workdir"):
        path = getattr(export.layers, name)
        if path is not None and path == getattr(other.layers, name):
            raise table.error(name, f"is that of {theirs}: give each export its own")


def _listen(server: Table) -> tuple[str, ...]:
    found = server.texts("listen", ["*:2049"], '["10.0.0.1:2049", "[::]:2049"]')
    if not found:
        raise server.error("listen", "name at least one address, like 0.0.0.0:2049")
    for text in found:
        if not _is_address(text):
            raise server.error("listen", f"{text}: give ADDR:PORT, like 10.0.0.1:2049 or [::]:2049")
    return found


def _metrics(server: Table) -> str | None:
    found = server.text("metrics", _METRICS)
    if found is not None and not _is_address(found):
        raise server.error("metrics", f"{found}: give {_METRICS}")
    return found


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and int(match[1]) <= PORT_MAX


def _layers(table: Table) -> OverlayConfig:
    lowers, data = (table.texts(name, [], _LAYERS) for name in ("lowerdir", "datadir"))
    upper, work = table.text("upperdir"), table.text("workdir")
    if not lowers:
        raise table.error("lowerdir", "name at least one lower layer, the topmost first")
    if (upper is None) != (work is None):
        missing = "workdir" if work is None else "upperdir"
        raise table.error(missing, "upperdir and workdir go together: give both or none")
    for name, paths in (("lowerdir", lowers), ("datadir", data)):
        for path in paths:
            _check_path(table, name, path)
            _check_one(table, name, path)
    _check_named_once(table, lowers, data, upper, work)
    if upper is not None and work is not None:
        _check_path(table, "upperdir", upper)
        _check_path(table, "workdir", work)
        _check_placeholders(table, upper, work)
    metacopy, redirect_dir = _made(table)
    return OverlayConfig(
        tuple(map(os.fsencode, lowers)),
        None if upper is None else os.fsencode(upper),
        None if work is None else os.fsencode(work),
        tuple(map(os.fsencode, data)),
        table.flag("userxattr"),
        inode_bits=_inode_bits(table),
        metacopy=metacopy,
        redirect_dir=redirect_dir,
    )


def _made(table: Table) -> tuple[bool, bool]:
    """Return whether metacopies and redirects are made; a metacopy is found by its redirect."""
    userxattr = table.flag("userxattr")
    redirect_dir = table.flag("redirect_dir", default=not userxattr)
    metacopy = table.flag("metacopy", default=redirect_dir)
    if redirect_dir and userxattr:
        raise table.error("redirect_dir", "does not go with userxattr = true: leave one out")
    if metacopy and not redirect_dir:
        raise table.error("metacopy", "needs redirect_dir = true: leave it out")
    return metacopy, redirect_dir


def _inode_bits(table: Table) -> int:
    bits = table.number("inode_bits", 32, 64)
    if bits not in (None, 32, 64):
        raise table.error("inode_bits", "give 32 or 64")
    return bits or 64


def _check_path(table: Table, name: str, path: str) -> None:
    if not path.startswith("/"):
        raise table.error(name, f"{path}: give an absolute path")
    if "\0" in path:
        raise table.error(name, "there is a zero byte in the path: leave it out")
    if name in ("lowerdir", "datadir") and _PLACEHOLDER in path:
        raise table.error(
            name, f"{path}: lower layers are for all clients: write no {_PLACEHOLDER}"
        )


def _check_one(table: Table, name: str, path: str) -> None:
    """Refuse what names several directories, as `mount -t overlay` has them, and is none."""
    layers, _, data = path.partition("::")
    if ":/" not in path or os.path.lexists(path):
        return
    cure = f"{name} = {_listed(layers)}"
    if data:
        cure += f" and datadir = {_listed(data)}"
    raise table.error(name, f"{path} is one path, and is not there; of several write {cure}")


def _listed(paths: str) -> str:
    return "[" + ", ".join(f'"{each}"' for each in paths.split(":") if each) + "]"


def _check_named_once(
    table: Table, lowers: tuple[str, ...], data: tuple[str, ...], *above: str | None
) -> None:
    seen: set[str] = set()
    settings = zip(("upperdir", "workdir"), above, strict=True)
    rows = [*(("lowerdir", path) for path in lowers), *(("datadir", path) for path in data)]
    for name, path in (*rows, *settings):
        if path in seen:
            raise table.error(name, f"{path} is named twice: each layer is a directory of its own")
        if path is not None:
            seen.add(path)


def _check_placeholders(table: Table, upper: str, work: str) -> None:
    """Either both paths are one client's, and different for each, or none is."""
    for name, path, other in (("upperdir", upper, work), ("workdir", work, upper)):
        for word in re.findall(r"\{\w*\}", path):
            if word != _PLACEHOLDER:
                raise table.error(
                    name, f"{word} stands for nothing: {_PLACEHOLDER} is what there is"
                )
        if path.count(_PLACEHOLDER) > 1:
            raise table.error(name, f"write {_PLACEHOLDER} once")
        if path.count(_PLACEHOLDER) < other.count(_PLACEHOLDER):
            raise table.error(name, f"each client needs its own: write {_PLACEHOLDER} in it too")


def _clients(table: Table) -> tuple[tuple[Pattern, ExportOptions], ...]:
    found = []
    for pattern, options in table.pairs("clients", _CLIENTS).items():
        try:
            found.append((Pattern.parse(pattern), ExportOptions.parse(options)))
        except (PatternError, OptionError) as problem:
            raise table.error("clients", str(problem)) from None
    return tuple(found)
