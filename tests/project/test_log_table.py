"""docs/operations.md has a row for each line that the server can log."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PROJECT = Path(__file__).parents[2]
LEVELS = ("info", "warning", "error", "critical", "log")
# What is said after these is another text, which has a row of its own.
WITHOUT_WORDS = {"%s", "%s %s", "%s: %s", "%s: %s: %s", "%s: export %s: %s"}
FEWEST = 5  # letters that tell one line from another


def formats(path: Path) -> Iterator[str]:
    """The texts with which a module calls a logger."""
    for call in ast.walk(ast.parse(path.read_text())):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        of = call.func.value
        if isinstance(of, ast.Name) and of.id.endswith("LOGGER") and call.func.attr in LEVELS:
            yield from (
                each.value
                for each in call.args[:2]
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


def clauses(text: str) -> list[str]:
    """What is fixed in a text, up to the first mark."""
    parts = re.split(r"%[sdgr]", text.replace("`", ""))
    found = [re.split(r"[,;:(]", part.strip(" ,;:()"))[0].strip() for part in parts]
    return [each for each in found if len(each) >= FEWEST]


def test_each_line_of_the_log_is_explained() -> None:
    text = (PROJECT / "docs" / "operations.md").read_text()
    table = text[text.index("| line | means | do |") :]
    rows = " ".join(table[: table.index("\n\nA line that begins")].replace("`", "").split())
    found, missing = 0, []
    for package in ("nfsd", "overlay", "index"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            for each in formats(path) if "torture" not in path.parts else ():
                found += 1
                if each not in WITHOUT_WORDS and not any(part in rows for part in clauses(each)):
                    missing.append(f"{path.relative_to(PROJECT)}: {each}")
    assert found > 50
    assert not missing, "\n".join(missing)
