"""What a call asks for, in words: handles as paths where one is known (`serve -v`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Final

from nfsd.base.log import shown
from nfsd.export.diagnostics import Diagnostics
from nfsd.rpc.program import Caller
from nfsd.xdr.generated.nfs3 import diropargs3

# Fields of arguments that are worth a word; handles go by several names.
_HANDLES: Final = frozenset(("object", "file", "dir", "fsroot"))
_NUMBERS: Final = frozenset(("offset", "count", "size", "cookie", "maxcount", "access", "stable"))


def described(
    diagnostics: Diagnostics,
    caller: Caller,
    arguments: object,
) -> str:
    """Return the arguments of a procedure of NFSv3 or NFSACL."""
    return " ".join(_words(partial(diagnostics.where, caller), "object", arguments))


def _words(
    where: Callable[[bytes], str],
    name: str,
    value: object,
) -> Iterator[str]:
    if isinstance(value, diropargs3):
        yield f"{where(value.dir).rstrip('/')}/{shown(value.name)}"
    elif isinstance(value, bytes) and name in _HANDLES:
        yield where(value)
    elif isinstance(value, int) and name in _NUMBERS:
        yield f"{name} {int(value)}"
    elif is_dataclass(value):
        for field in fields(value):
            yield from _words(where, field.name, getattr(value, field.name))
