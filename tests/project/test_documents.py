"""The documents hold together: links, tables, and the files that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
# For whoever uses the program: what they say is tested, but where is of no use to their readers.
FOR_USERS = (
    *("README.md", "SECURITY.md"),
    *(
        f"docs/{name}.md"
        for name in (
            *("comparison", "containers", "differences", "diskless", "exports", "formats"),
            *("install", "locking", "mounting", "operations", "systemd", "torture"),
        )
    ),
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A file or directory of the project as it is written in text; capitals stand for anything.
NAMED = re.compile(
    r"(?<![\w./-])(?:nfsd|overlay|index|tests|packaging|docs)/[\w./-]*[\w]\.(?:py|md|sh|x|toml|svg|json|yml)\b(?!\.\w)"
)
RUN = re.compile(r"-m ((?:nfsd|tests)(?:\.\w+)*)")
PLACEHOLDER = re.compile(r"[A-Z]{3,}\.|NAME")


def named(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a document that are not code."""
    is_fenced = False
    for number, line in enumerate(path.read_text().split("\n"), 1):
        is_fenced ^= line.startswith("```")
        if not is_fenced and not line.startswith("    "):
            yield number, line


def anchors(path: Path) -> set[str]:
    """What links to the headings of a document end with."""
    found = set()
    for _, line in lines(path):
        if line.startswith("#"):
            text = re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower())
            found.add(text.replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    wrong = []
    for number, line in lines(path):
        for target in LINK.findall(line):
            place, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", place):
                continue
            file = path if not place else path.parent / place
            if not file.exists() or (anchor and anchor not in anchors(file)):
                wrong.append(f"{named(path)}, line {number}: {target}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_rows_of_a_table_are_alike_and_say_something(path: Path) -> None:
    wrong, columns = [], 0
    for number, line in lines(path):
        if not line.startswith("|"):
            columns = 0
            continue
        cells = re.split(r"(?<!\\)\|", line)[1:-1]  # also within code
        columns = columns or len(cells)
        if len(cells) != columns or not any(cell.strip() for cell in cells[1:]):
            wrong.append(f"{named(path)}, line {number}: {line}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_files_that_are_named_are_there(path: Path) -> None:
    wrong = [
        f"{named(path)}, line {number}: {name}"
        for number, line in lines(path)
        for name in NAMED.findall(line)
        if not PLACEHOLDER.search(name) and not (PROJECT / name).exists()
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_that_are_run_are_there() -> None:
    """Also in what is typed."""
    named = {name for path in DOCUMENTS for name in RUN.findall(path.read_text())}
    assert len(named) > 5
    assert not [name for name in named if find_spec(name) is None]


@pytest.mark.parametrize("name", FOR_USERS)
def test_documents_for_users_name_no_tests(name: str) -> None:
    text = (PROJECT / name).read_text()
    assert not re.findall(r"\btest_\w+|\btests/[\w/]+\.py", text)


def test_the_patterns_find_what_they_look_for() -> None:
    assert NAMED.findall("see `nfsd/rpc/dispatcher.py`, tests/unit/test_a.py.") == [
        "nfsd/rpc/dispatcher.py",
        "tests/unit/test_a.py",
    ]
    assert LINK.findall("[a](b.md#c) and [d](e)") == ["b.md#c", "e"]
    assert "what-is-on-stable-storage" in anchors(PROJECT / "docs/design/concepts.md")
    assert len(DOCUMENTS) > 20
