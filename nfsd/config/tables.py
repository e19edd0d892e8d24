"""The tables of the configuration file: settings of the types that they must have.

What is not as it must be is refused with its line and the cure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nfsd.base.size import SizeError, size_of
from nfsd.config.settings import EXPORT, SERVER
from overlay.base.refusal import Refusal

_PATHS: Final = 'a path in quotes, like "/srv/debian"'
# What other servers call it, and people who write from memory.
_OTHER_NAMES: Final = {
    "port": 'it stands behind the address, like listen = ["*:2049"]',
    "address": "is 'listen' meant?",
    "bind": "is 'listen' meant?",
    "threads": "is 'workers' meant?",
    "host": "is 'clients' meant?",
    "hosts": "is 'clients' meant?",
    "options": 'they stand behind each pattern: clients = { "10.0.0.0/8" = "rw" }',
}


class Reader:
    """Finds what is in the text of a file."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._lines = text.splitlines()

    def error(self, line: int, text: str) -> Refusal:
        """Return what is said of a line; 0 stands for the file."""
        return Refusal(f"{self.path}:{line}: {text}" if line else f"{self.path}: {text}")

    def line_of_table(self, name: str, number: int) -> int:
        """Return the line of the header of the table that is the `number`th of this name, or 0."""
        header = re.compile(rf"\s*\[+\s*{re.escape(name)}\s*\]+")
        found = [at for at, line in enumerate(self._lines, 1) if header.match(line)]
        return found[number] if number < len(found) else 0

    def line_of(self, name: str, start: int) -> int:
        """Return the line after `start` that sets `name`, or `start`."""
        table = r"\s*\[*\s*(?:[\w-]+\s*\.\s*)*"
        setting = re.compile(table + rf"""["']?{re.escape(name)}["']?\s*[=.\]]""")
        for at, line in enumerate(self._lines[start:], start + 1):
            if setting.match(line):
                return at
            if line.lstrip().startswith("[["):
                break
        return start


class Table:
    """One table of a file."""

    def __init__(self, reader: Reader, name: str, values: object, line: int) -> None:
        """`name` is as it is written, `line` that of its header; "" is the whole file."""
        self._reader = reader
        self._name = name
        self._line = line
        if not isinstance(values, dict):
            raise reader.error(line, f"write it once, as a table: {name}")
        self._values: Mapping[str, Any] = values

    @property
    def file(self) -> str:
        """Return the file that it is in."""
        return self._reader.path

    def known(self, names: tuple[str, ...]) -> None:
        """Raise Refusal for a setting that is none of these."""
        for name in self._values:
            if name not in names:
                raise self.error(name, self._misplaced(name, names))

    def _misplaced(self, name: str, names: tuple[str, ...]) -> str:
        """Return what is said of a name that is no setting of this table."""
        for section, table in (("[server]", SERVER), ("[[export]]", EXPORT)):
            if name in table and section != self._name:
                if isinstance(self._values[name], dict):
                    return f"write [export.{name}], below the [[export]] that it is of"
                return f"a setting of {section}: write it below that"
        if name in _OTHER_NAMES:
            return f"no such setting; {_OTHER_NAMES[name]}"
        close = difflib.get_close_matches(name, names, 1)
        return "no such setting; " + (
            f"is {close[0]!r} meant?" if close else f"there are {', '.join(names)}"
        )

    def error(self, name: str, text: str) -> Refusal:
        """Return what is said of a setting."""
        line = 0 if self._name else self._reader.line_of_table(name, 0)
        line = line or self._reader.line_of(name, self._line)
        return self._reader.error(line, f"{name}: {text}")

    def has(self, name: str) -> bool:
        """Return whether something is said of a setting."""
        return name in self._values

    def text(self, name: str, form: str = _PATHS) -> str | None:
        """Return a text that is not empty; `form` says what is to be given."""
        value = self._values.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.error(name, f"give {form}")
        return value

    def texts(self, name: str, default: list[str], form: str) -> tuple[str, ...]:
        """Return a list of texts; a single one stands for itself."""
        value = self._values.get(name, default)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
            raise self.error(name, f"give a list of texts, like {form}")
        return tuple(values)

    def number(self, name: str, smallest: int, largest: int) -> int | None:
        """Return a number within these bounds."""
        value = self._values.get(name)
        if value is None:
            return None
        if type(value) is not int or not smallest <= value <= largest:
            raise self.error(name, f"give a number from {smallest} to {largest}")
        return value

    def choice(self, name: str, words: tuple[str, ...]) -> str | None:
        """Return one of some words."""
        value = self._values.get(name)
        if value is not None and value not in words:
            raise self.error(name, "give " + " or ".join(f'"{word}"' for word in words))
        return None if value is None else str(value)

    def size(self, name: str, of: Callable[[str], int] = size_of) -> int | None:
        """Return a size in bytes, with a unit."""
        value = self._values.get(name)
        try:
            return None if value is None else of(value if isinstance(value, str) else "")
        except SizeError as problem:
            raise self.error(name, str(problem)) from None

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "give true or false")
        return value

    def pairs(self, name: str, form: str) -> dict[str, str]:
        """Clients, each with a text, and at least one; `form` says how they are written."""
        value = self._values.get(name)
        if isinstance(value, list):
            if value and all(isinstance(each, dict) for each in value):
                raise self.error(name, f"write [export.{name}], in single brackets")
            raise self.error(name, f"give {form}")
        if not isinstance(value, dict) or not value:
            raise self.error(name, f"give {form}")
        for pattern, options in value.items():
            if not isinstance(options, str):
                raise self.error(*self._no_pair(name, pattern, options, form))
        return value

    def _no_pair(self, name: str, pattern: str, options: object, form: str) -> tuple[str, str]:
        """Return where, and what is said of a pattern that has no text."""
        if pattern in EXPORT:
            return pattern, f"what is below [export.{name}] are clients: move it above that line"
        whole = pattern
        while isinstance(options, dict) and options:  # a.b = ... is a table within a table
            part, options = next(iter(options.items()))
            whole += f".{part}"
        if whole != pattern:
            return name, f'{whole}: put it in quotes: "{whole}" = ...'
        return name, f"give {form}"
