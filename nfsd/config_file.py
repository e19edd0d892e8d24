"""The configuration file, /etc/overlay-nfsd.toml: what is exported, from which layers, to whom.

A file that is wrong in any way is refused as a whole, with the line and the cure.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nfsd.clients import Pattern, PatternError
from nfsd.export_options import ExportOptions, OptionError
from nfsd.lock_options import GRACE_MAX, LOCKS, PORT_MAX, LockConfig
from nfsd.mount_path import components
from nfsd.settings import EXPORT, SERVER
from nfsd.size import SizeError, size_of, space_of
from overlay.config import PLACEHOLDER, UNLIMITED, Limits, OverlayConfig
from overlay.per_client import is_per_client

DEFAULT_PATH: Final = "/etc/overlay-nfsd.toml"
# How clients learn our ports: from the machine's rpcbind, from us on port 111, or not at all.
RPCBIND: Final = ("system", "embedded", "off")
_POSITION: Final = re.compile(r"(?s)(.*) \(at (?:line (\d+), column \d+|end of document)\)")
_ADDRESS: Final = re.compile(r"(?:\[[^\[\]]+\]|[^:\[\]]+):([0-9]{1,5})")
MAX_CLIENTS: Final = 64
CACHE_BYTES: Final = 512 << 20  # where nothing else is said
_PLACEHOLDER: Final = os.fsdecode(PLACEHOLDER)
_TOML: Final = (
    'write name = value, each name once, texts in quotes, like workers = 2 or path = "/x"'
)
_FILE_MAX: Final = 4 << 20  # bytes
_PATH_MAX: Final = 1024  # MNTPATHLEN of RFC 1813 appendix I


class ConfigFileError(Exception):
    """The file cannot be used; the text is `file:line: what is wrong and what to do`."""


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """One `[[export]]`."""

    path: bytes
    layers: OverlayConfig
    clients: tuple[tuple[Pattern, ExportOptions], ...]
    max_clients: int = MAX_CLIENTS  # that have an upper layer of their own
    limits: Limits = UNLIMITED  # of each of these

    @property
    def fsid(self) -> int | None:
        """The number of the filesystem that the options ask for, the first if there are several."""
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
    """Read a configuration file; raises ConfigFileError, whatever the file is."""
    text = _text(path)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        found = _POSITION.fullmatch(str(problem))
        line = found[2] if found and found[2] else len(text.splitlines())
        raise ConfigFileError(
            f"{path}:{line}: not TOML: {found[1] if found else problem}: {_TOML}"
        ) from None
    except (ValueError, RecursionError) as problem:  # a number, or tables within tables
        raise ConfigFileError(f"{path}: not TOML: {problem}: {_TOML}") from None
    return _Reader(path, text).config(tables)


def _text(path: str) -> str:
    """The text of a file, which may be no file at all."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ConfigFileError(f"{path}: not a regular file: write one, or name another")
            content = file.read(_FILE_MAX + 1)
    except OSError as problem:
        raise ConfigFileError(f"{path}: {problem.strerror}: write one, or name another") from None
    except ValueError as problem:  # a path with a zero byte
        raise ConfigFileError(f"{path}: {problem}: name another file") from None
    if len(content) > _FILE_MAX:
        raise ConfigFileError(f"{path}: more than {_FILE_MAX >> 20} MiB: name another file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ConfigFileError(f"{path}: {problem}: save it as UTF-8") from None


class _Reader:
    """What the tables of a file mean."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def config(self, tables: Mapping[str, Any]) -> Config:
        self._known(tables, ("server", "export"), 0)
        server = _Table(self, tables.get("server", {}), self._line_of_table("server", 0))
        server.known(tuple(SERVER))
        found = tables.get("export", [])
        if not isinstance(found, list) or not found:
            line = self._line_of_table("export", 0)
            raise self.error(line, "nothing is exported: write at least one [[export]]")
        exports: list[ExportConfig] = []
        for number, values in enumerate(found):
            table = _Table(self, values, self._line_of_table("export", number))
            export = _export(table)
            for other in exports:
                _check_distinct(table, export, other)
            exports.append(export)
        if server.flag("udp") and any(is_per_client(each.layers) for each in exports):
            raise server.error("udp", f"does not go with {_PLACEHOLDER} in upperdir: leave it out")
        return Config(
            _listen(server),
            server.number("workers", 1, 64),
            tuple(exports),
            server.text("metrics"),
            server.choice("rpcbind", RPCBIND),
            server.flag("udp"),
            server.flag("manage_gids"),
            _locks(server),
            server.size("cache_size") or CACHE_BYTES,
        )

    def error(self, line: int, text: str) -> ConfigFileError:
        return ConfigFileError(f"{self._path}:{line}: {text}" if line else f"{self._path}: {text}")

    def _known(self, values: Mapping[str, Any], names: tuple[str, ...], start: int) -> None:
        for name in values:
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                cure = f"is {close[0]!r} meant?" if close else f"there are {', '.join(names)}"
                raise self.error(self.line_of(name, start), f"{name}: no such setting; {cure}")

    def _line_of_table(self, name: str, number: int) -> int:
        header = re.compile(rf"\s*\[+\s*{re.escape(name)}\s*\]+")
        found = [at for at, line in enumerate(self._lines, 1) if header.match(line)]
        return found[number] if number < len(found) else 0

    def line_of(self, name: str, start: int) -> int:
        """The line after `start` that sets `name`, or `start`."""
        table = r"\s*\[*\s*(?:[\w-]+\s*\.\s*)*"
        setting = re.compile(table + rf"""["']?{re.escape(name)}["']?\s*[=.\]]""")
        for at, line in enumerate(self._lines[start:], start + 1):
            if setting.match(line):
                return at
            if line.lstrip().startswith("[["):
                break
        return start


class _Table:
    """One table, whose settings are read with the types that they must have."""

    def __init__(self, reader: _Reader, values: Any, line: int) -> None:  # noqa: ANN401 - TOML
        self._reader = reader
        self._line = line
        if not isinstance(values, dict):
            raise reader.error(line, "write it once, as a table: [server]")
        self._values = values

    def known(self, names: tuple[str, ...]) -> None:
        self._reader._known(self._values, names, self._line)

    def error(self, name: str, text: str) -> ConfigFileError:
        return self._reader.error(self._reader.line_of(name, self._line), f"{name}: {text}")

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.error(name, 'give one text, like "/srv/debian"')
        return value

    def texts(self, name: str, default: list[str]) -> tuple[str, ...]:
        """A list of texts; a single one stands for itself."""
        value = self._values.get(name, default)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
            raise self.error(name, 'give a list of texts, like ["one", "two"]')
        return tuple(values)

    def number(self, name: str, smallest: int, largest: int) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if type(value) is not int or not smallest <= value <= largest:
            raise self.error(name, f"give a number from {smallest} to {largest}")
        return value

    def choice(self, name: str, words: tuple[str, ...]) -> str | None:
        value = self._values.get(name)
        if value is not None and value not in words:
            raise self.error(name, "give " + " or ".join(f'"{word}"' for word in words))
        return None if value is None else str(value)

    def size(self, name: str, of: Callable[[str], int] = size_of) -> int | None:
        value = self._values.get(name)
        try:
            return None if value is None else of(value if isinstance(value, str) else "")
        except SizeError as problem:
            raise self.error(name, str(problem)) from None

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "give true or false")
        return value

    def pairs(self, name: str) -> dict[str, str]:
        value = self._values.get(name)
        if (
            not isinstance(value, dict)
            or not value
            or not all(isinstance(one, str) for one in value.values())
        ):
            raise self.error(name, 'give patterns with options, like { "10.0.0.0/8" = "rw" }')
        return value


def _locks(server: _Table) -> LockConfig:
    port = server.number("lock_port", 0, PORT_MAX)
    grace = server.number("grace", 0, GRACE_MAX)
    return LockConfig().changed(server.choice("locks", LOCKS), port, grace)


def _export(table: _Table) -> ExportConfig:
    table.known(tuple(EXPORT))
    path = os.fsencode(table.text("path") or "")
    names = components(path)
    is_bad = b".." in names or b"\0" in path or len(path) > _PATH_MAX
    if is_bad or not path.startswith(b"/"):
        raise table.error("path", "give what clients mount it as, an absolute path like /debian")
    path = b"/" + b"/".join(names)
    layers = _layers(table).of_export(path)
    most = table.number("max_clients", 1, 65536)
    space, files = table.size("client_space", space_of), table.number("client_files", 1, 1 << 40)
    given = {"max_clients": most, "client_space": space, "client_files": files}
    for name, value in given.items():
        if value is not None and not is_per_client(layers):
            raise table.error(name, f"goes with {_PLACEHOLDER} in upperdir and workdir")
    clients, limits = _clients(table), Limits(space, files)
    return ExportConfig(path, layers, clients, most or MAX_CLIENTS, limits)


def _check_distinct(table: _Table, export: ExportConfig, other: ExportConfig) -> None:
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


def _listen(server: _Table) -> tuple[str, ...]:
    found = server.texts("listen", ["*:2049"])
    if not found:
        raise server.error("listen", "name at least one address, like 0.0.0.0:2049")
    for text in found:
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match[1]) > PORT_MAX:
            raise server.error("listen", f"{text}: give ADDR:PORT, like 10.0.0.1:2049 or [::]:2049")
    return found


def _layers(table: _Table) -> OverlayConfig:
    lowers, data = table.texts("lowerdir", []), table.texts("datadir", [])
    upper, work = table.text("upperdir"), table.text("workdir")
    if not lowers:
        raise table.error("lowerdir", "name at least one lower layer, the topmost first")
    if (upper is None) != (work is None):
        missing = "workdir" if work is None else "upperdir"
        raise table.error(missing, "upperdir and workdir go together: give both or none")
    for name, paths in (("lowerdir", lowers), ("datadir", data)):
        for path in paths:
            _check_path(table, name, path)
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


def _made(table: _Table) -> tuple[bool, bool]:
    """Whether metacopies and redirects are made; a metacopy is found by its redirect."""
    userxattr = table.flag("userxattr")
    redirect_dir = table.flag("redirect_dir", default=not userxattr)
    metacopy = table.flag("metacopy", default=redirect_dir)
    if redirect_dir and userxattr:
        raise table.error("redirect_dir", "does not go with userxattr = true: leave one out")
    if metacopy and not redirect_dir:
        raise table.error("metacopy", "needs redirect_dir = true: leave it out")
    return metacopy, redirect_dir


def _inode_bits(table: _Table) -> int:
    bits = table.number("inode_bits", 32, 64)
    if bits not in (None, 32, 64):
        raise table.error("inode_bits", "give 32 or 64")
    return bits or 64


def _check_path(table: _Table, name: str, path: str) -> None:
    if not path.startswith("/"):
        raise table.error(name, f"{path}: give an absolute path")
    if "\0" in path:
        raise table.error(name, "there is a zero byte in the path: leave it out")
    if name in ("lowerdir", "datadir") and _PLACEHOLDER in path:
        raise table.error(
            name, f"{path}: lower layers are for all clients: write no {_PLACEHOLDER}"
        )


def _check_named_once(
    table: _Table, lowers: tuple[str, ...], data: tuple[str, ...], *above: str | None
) -> None:
    seen: set[str] = set()
    settings = zip(("upperdir", "workdir"), above, strict=True)
    rows = [*(("lowerdir", path) for path in lowers), *(("datadir", path) for path in data)]
    for name, path in (*rows, *settings):
        if path in seen:
            raise table.error(name, f"{path} is named twice: each layer is a directory of its own")
        if path is not None:
            seen.add(path)


def _check_placeholders(table: _Table, upper: str, work: str) -> None:
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


def _clients(table: _Table) -> tuple[tuple[Pattern, ExportOptions], ...]:
    found = []
    for pattern, options in table.pairs("clients").items():
        try:
            found.append((Pattern.parse(pattern), ExportOptions.parse(options)))
        except (PatternError, OptionError) as problem:
            raise table.error("clients", str(problem)) from None
    return tuple(found)
