"""What documents print, taken out of them as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1] / "docs"


def printed(text: str, before: str) -> str:
    """The indented block behind a line of a document."""
    block = re.search(r"\n\n((?:    .*\n|\n)+)", text[text.index(before) :])
    assert block is not None, before
    return re.sub(r"(?m)^    ", "", block[1]).strip("\n") + "\n"


def commands(block: str) -> list[str]:
    """The command lines of a block; what goes on over lines is one, comments are none."""
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    return [line for line in (re.sub(r"\s+# .*", "", each).strip() for each in lines) if line]
