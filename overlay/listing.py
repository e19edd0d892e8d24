"""What a directory shows, in the order of READDIR cookies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A directory's entries in the order of their cookies, as parallel tuples."""

    cookies: tuple[int, ...]
    names: tuple[bytes, ...]
    fileids: tuple[int, ...]
