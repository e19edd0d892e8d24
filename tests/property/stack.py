"""The directories of one overlay."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from overlay.model.config import OverlayConfig


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the layers are, the topmost lower first."""

    lowers: tuple[Path, ...]
    upper: Path
    work: Path
    data: tuple[Path, ...] = ()  # data-only layers
    is_plain: bool = False  # the upper layer gets neither metacopies nor redirects

    @classmethod
    def make(cls, place: Path, lowers: int, *, is_plain: bool = False) -> Stack:
        """Empty layers below `place`."""
        stack = cls(
            tuple(place / f"lower{number}" for number in range(lowers)),
            place / "upper",
            place / "work",
            is_plain=is_plain,
        )
        for directory in (place, *stack.lowers, stack.upper, stack.work):
            directory.mkdir(0o755)  # whatever the umask is now
        return stack

    @property
    def config(self) -> OverlayConfig:
        return OverlayConfig(
            tuple(os.fsencode(lower) for lower in self.lowers),
            os.fsencode(self.upper),
            os.fsencode(self.work),
            tuple(os.fsencode(layer) for layer in self.data),
            metacopy=not self.is_plain,
            redirect_dir=not self.is_plain,
        )
