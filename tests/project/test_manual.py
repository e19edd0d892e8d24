"""The manual pages: they are as the code is now, whole, and what they say is taken."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from nfsd.commands import manual
from nfsd.commands.cli import command_parser
from nfsd.config import settings
from nfsd.config.file import load
from nfsd.export.client_match import Pattern
from nfsd.export.options import ExportOptions
from overlay.base.refusal import Refusal
from tests.conformance.server import PROJECT

pytestmark = pytest.mark.once

PAGES = PROJECT / "docs" / "man"


def test_the_pages_are_fresh(tmp_path: Path) -> None:
    manual.main(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in PAGES.iterdir())
    for name in names:
        assert (PAGES / name).read_text() == (tmp_path / name).read_text(), "run make man"


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Every option of every command below a parser."""
    found = {each for action in parser._actions for each in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*map(options, action.choices.values()))
    return found


def test_every_option_is_there() -> None:
    page = manual.command_page().replace(r"\-", "-")
    told = set(re.findall(r"\\fB(--?[\w-]+)\\fR", page))
    assert options(command_parser()) - told == {"-h"}


def test_no_line_is_taken_for_a_request() -> None:
    known = {"TH", "SH", "SS", "TP", "PP", "B", "br", "nf", "fi", '\\"'}
    for page in (manual.command_page(), manual.file_page()):
        requests = {line[1:].split()[0] for line in page.splitlines() if line[:1] in (".", "'")}
        assert requests <= known


def test_the_example_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(manual.EXAMPLE)
    assert load(str(file)).metrics == "127.0.0.1:9049"


@pytest.mark.parametrize("name", [*settings.SERVER, *settings.EXPORT])
def test_every_setting_is_taken(tmp_path: Path, name: str) -> None:
    """It may be refused for its value, but not for its name."""
    file = tmp_path / "config.toml"
    table = "server" if name in settings.SERVER else "[export]"
    file.write_text(f"[{table}]\n{name} = 1979-05-27\n")
    with pytest.raises(Refusal) as refused:
        load(str(file))
    assert "no such setting" not in str(refused.value)


def test_every_option_of_exports_is_taken_and_every_default_is_one() -> None:
    for names in settings.OPTIONS:
        default, *others = names.split(", ")
        for each in (default, *others):
            ExportOptions.parse(each.replace("N", "1"))
        if "N" not in default:
            assert ExportOptions.parse(default) == ExportOptions(), default


def test_every_pattern_is_one_and_more_specific_than_the_next() -> None:
    kinds = [
        [Pattern.parse(text).kind for text in names.split(", ")] for names in settings.PATTERNS
    ]
    assert all(len(set(each)) == 1 for each in kinds)
    order = [each[0] for each in kinds]
    assert order == sorted(order)
