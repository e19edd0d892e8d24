"""What a call asks for, in words: handles as paths where one is known (`serve -v`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from nfsd.exports import Exports
from nfsd.log import shown
from nfsd.xdr.nfs3 import diropargs3

# Fields of arguments that are worth a word; handles go by several names.
_HANDLES: Final = frozenset(("object", "file", "dir", "fsroot"))
_NUMBERS: Final = frozenset(("offset", "count", "size", "cookie", "maxcount", "access", "stable"))


def described(exports: Exports, arguments: Any) -> str:  # noqa: ANN401 - by procedure
    """The arguments of an NFSv3 procedure."""
    return " ".join(_words(exports, "object", arguments))


def _words(exports: Exports, name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - any field
    if isinstance(value, diropargs3):
        yield f"{exports.where(value.dir).rstrip('/')}/{shown(value.name)}"
    elif isinstance(value, bytes) and name in _HANDLES:
        yield exports.where(value)
    elif isinstance(value, int) and name in _NUMBERS:
        yield f"{name} {int(value)}"
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field, part in zip(value._fields, value, strict=True):
            yield from _words(exports, field, part)
