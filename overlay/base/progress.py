"""How far something that takes long has come, to be shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# To be called now and then with a number that grows, of entries that are done.
Progress: TypeAlias = Callable[[int], None]


def silent(_: int) -> None:
    """For progress that nobody follows."""
