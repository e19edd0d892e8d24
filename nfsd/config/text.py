"""The text of the configuration file as TOML; what is none is refused with line, cause and cure."""

from __future__ import annotations

import codecs
import os
import re
import stat
import tomllib
from typing import Any, Final

from overlay.base.refusal import Refusal

_POSITION: Final = re.compile(r"(?s)(.*) \(at (?:line (\d+), column \d+|end of document)\)")
_FORM: Final = (
    'write name = value, each name once, texts in quotes, like workers = 2 or path = "/x"'
)
_FILE_MAX: Final = 4 << 20  # bytes
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARK: Final = "\ufeff"
_IN_BRACES: Final = re.compile(r"\s*(clients|names)\s*=\s*\{")
# A client, in a table, without quotes: what TOML takes for a name has no such sign.
_BARE: Final = re.compile(r"(?:^|[{,])\s*([\w.-]*[:/*?@\[][\w.:/*?@\[\]-]*)\s*=")
_QUOTED: Final = re.compile(r'"[^"]*"|\'[^\']*\'|#.*')


def read(path: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a file, which may be no file at all, and its tables.

    Raises Refusal: `file:line: what is wrong and what to do`.
    """
    text = _decoded(path, _content(path))
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        found = _POSITION.fullmatch(str(problem))
        lines = text.splitlines()
        line = int(found[2]) if found and found[2] else len(lines)
        said = found[1] if found else str(problem)
        raise Refusal(f"{path}:{line}: not TOML: {_cause(lines, line, said)}") from None
    except (ValueError, RecursionError) as problem:  # a number, or tables within tables
        raise Refusal(f"{path}: not TOML: {problem}: {_FORM}") from None


def _content(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Refusal(f"{path}: not a regular file: write one, or name another")
            content = file.read(_FILE_MAX + 1)
    except OSError as problem:
        raise Refusal(f"{path}: {problem.strerror}: write one, or name another") from None
    except ValueError as problem:  # a path with a zero byte
        raise Refusal(f"{path}: {problem}: name another file") from None
    if len(content) > _FILE_MAX:
        raise Refusal(f"{path}: more than {_FILE_MAX >> 20} MiB: name another file")
    return content


def _decoded(path: str, content: bytes) -> str:
    """Return the text; a byte-order mark at the beginning is no part of it."""
    if content.startswith(_UTF16):
        raise Refusal(f"{path}: the text is UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        byte = content[problem.start]
        raise Refusal(
            f"{path}:{line}: the byte 0x{byte:02x} is no UTF-8: save the file as UTF-8"
        ) from None


def _cause(lines: list[str], number: int, said: str) -> str:
    """Return what is wrong in a line, as a person sees it, or else what the parser `said`."""
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    if _MARK in line:
        return "a byte-order mark, which no editor shows, is within the file: remove it"
    bare = _QUOTED.sub(lambda found: "" if found[0][0] == "#" else '""', line)
    table = _IN_BRACES.match(bare)
    unquoted = _BARE.search(bare)
    if unquoted is not None:
        return f'{unquoted[1]}: put it in quotes: "{unquoted[1]}" = ...'
    if table is not None and (bare.count("{") > bare.count("}") or re.search(r",\s*\}", bare)):
        return (
            f"{table[1]}: what is in braces is one line, with no comma at its end; over several "
            f"lines write [export.{table[1]}], and below it a line for each, like "
            '"10.0.0.0/8" = "rw"'
        )
    return f"{said}: {_FORM}"
