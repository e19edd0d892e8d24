"""The configuration file, /etc/overlay-nfsd.toml: what is exported, from which layers, to whom.

A file that is wrong in any way is refused as a whole, with the line and the cure.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nfsd.clients import Pattern, PatternError
from nfsd.export_options import ExportOptions, OptionError
from nfsd.exports import components
from nfsd.size import SizeError, size_of
from overlay.config import OverlayConfig

DEFAULT_PATH: Final = "/etc/overlay-nfsd.toml"
_POSITION: Final = re.compile(r"(?s)(.*) \(at (?:line (\d+), column \d+|end of document)\)")
CACHE_BYTES: Final = 512 << 20  # where nothing else is said
_PATH_MAX: Final = 1024  # MNTPATHLEN of RFC 1813 appendix I


class ConfigFileError(Exception):
    """The file cannot be used; the text is `file:line: what is wrong and what to do`."""


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """One `[[export]]`."""

    path: bytes
    layers: OverlayConfig
    clients: tuple[tuple[Pattern, ExportOptions], ...]

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
    cache_bytes: int = CACHE_BYTES  # of memory for what is kept, by all workers together


def load(path: str) -> Config:
    """Read a configuration file; raises ConfigFileError."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
    except OSError as problem:
        raise ConfigFileError(f"{path}: {problem.strerror}: write one, or name another") from None
    except UnicodeDecodeError as problem:
        raise ConfigFileError(f"{path}: {problem}: save it as UTF-8") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        found = re.fullmatch(
            r"(?s)(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(problem)
        )
        line = found[2] if found and found[2] else len(text.splitlines())
        raise ConfigFileError(f"{path}:{line}: {found[1] if found else problem}") from None
    return _Reader(path, text).config(tables)


class _Reader:
    """What the tables of a file mean."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def config(self, tables: Mapping[str, Any]) -> Config:
        self._known(tables, ("server", "export"), 0)
        server = _Table(self, tables.get("server", {}), self._line_of_table("server", 0))
        server.known(("listen", "workers", "cache_size"))
        found = tables.get("export", [])
        if not isinstance(found, list) or not found:
            raise self.error(0, "nothing is exported: write at least one [[export]]")
        exports = []
        for number, values in enumerate(found):
            table = _Table(self, values, self._line_of_table("export", number))
            exports.append(_export(table))
            if exports[-1].path in [export.path for export in exports[:-1]]:
                raise table.error("path", "is exported twice: give each export a path of its own")
        listen = server.texts("listen", ["0.0.0.0:2049", "[::]:2049"])
        workers, cache_bytes = server.number("workers", 1, 64), server.size("cache_size")
        return Config(listen, workers, tuple(exports), cache_bytes or CACHE_BYTES)

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
            raise reader.error(line, "write it as a table, in brackets")
        self._values = values

    def known(self, names: tuple[str, ...]) -> None:
        self._reader._known(self._values, names, self._line)

    def error(self, name: str, text: str) -> ConfigFileError:
        return self._reader.error(self._reader.line_of(name, self._line), f"{name}: {text}")

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.error(name, 'give a text, like "/srv/upper"')
        return value

    def texts(self, name: str, default: list[str]) -> tuple[str, ...]:
        """A list of texts; a single one stands for itself."""
        value = self._values.get(name, default)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
            raise self.error(name, 'give a list of texts, like ["/srv/app", "/srv/debian"]')
        return tuple(values)

    def number(self, name: str, smallest: int, largest: int) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if type(value) is not int or not smallest <= value <= largest:
            raise self.error(name, f"give a number from {smallest} to {largest}")
        return value

    def size(self, name: str) -> int | None:
        value = self._values.get(name)
        try:
            return None if value is None else size_of(value if isinstance(value, str) else "")
        except SizeError as problem:
            raise self.error(name, str(problem)) from None

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise self.error(name, "give true or false")
        return value

    def pairs(self, name: str) -> dict[str, str]:
        value = self._values.get(name)
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise self.error(name, 'give patterns with options, like { "10.0.0.0/8" = "rw" }')
        return value


def _export(table: _Table) -> ExportConfig:
    table.known(("path", "lowerdir", "upperdir", "workdir", "datadir", "userxattr", "clients"))
    path = os.fsencode(table.text("path") or "")
    names = components(path)
    if not path.startswith(b"/") or b".." in names or len(path) > _PATH_MAX:
        raise table.error("path", "give what clients mount it as, an absolute path like /debian")
    return ExportConfig(b"/" + b"/".join(names), _layers(table), _clients(table))


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
    if upper is not None and work is not None:
        _check_path(table, "upperdir", upper)
        _check_path(table, "workdir", work)
    return OverlayConfig(
        tuple(map(os.fsencode, lowers)),
        None if upper is None else os.fsencode(upper),
        None if work is None else os.fsencode(work),
        tuple(map(os.fsencode, data)),
        table.flag("userxattr"),
    )


def _check_path(table: _Table, name: str, path: str) -> None:
    if not path.startswith("/"):
        raise table.error(name, f"{path}: give an absolute path")


def _clients(table: _Table) -> tuple[tuple[Pattern, ExportOptions], ...]:
    found = []
    for pattern, options in table.pairs("clients").items():
        try:
            found.append((Pattern.parse(pattern), ExportOptions.parse(options)))
        except (PatternError, OptionError) as problem:
            raise table.error("clients", str(problem)) from None
    return tuple(found)
