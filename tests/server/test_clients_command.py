"""`overlay-nfsd clients reset`: it empties what was named, once it was asked for, and no more."""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.commands.cli import command_parser, main
from tests.conformance.server import PROJECT

pytestmark = pytest.mark.once

CLIENT = "192.0.2.7"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a client that has changed something."""
    upper, work = tmp_path / "clients" / CLIENT / "upper", tmp_path / "clients" / CLIENT / "work"
    for directory in (tmp_path / "lower", upper, work):
        directory.mkdir(parents=True)
    (upper / "changed").write_text("by the client\n")
    file = tmp_path / "overlay-nfsd.toml"
    file.write_text(
        f'[[export]]\npath = "/pcs"\nlowerdir = ["{tmp_path}/lower"]\n'
        f'upperdir = "{tmp_path}/clients/{{client}}/upper"\n'
        f'workdir = "{tmp_path}/clients/{{client}}/work"\nclients = {{ "*" = "rw" }}\n'
    )
    return file


def changed(config: Path) -> bool:
    return (config.parent / "clients" / CLIENT / "upper" / "changed").exists()


def reset(
    config: Path, *words: str, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nfsd", "clients", "reset", "--config", config, CLIENT, *words],
        cwd=PROJECT,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_is_said_before_the_verb_is_not_taken_back(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clients", "--config", str(config), "reset", CLIENT, "--yes"]) == 0
    upper = config.parent / "clients" / CLIENT / "upper"
    assert f"empty upper layer in /pcs: {upper}\n" in capsys.readouterr().out
    assert not changed(config)


def below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def test_no_subcommand_has_a_default_for_what_may_be_said_before_it() -> None:
    """It would take the place of what was said."""

    def check(parser: argparse.ArgumentParser, above: set[str]) -> int:
        own = {each.dest: each.default for each in parser._actions if each.option_strings}
        own.pop("help", None)
        for name in above & set(own):
            assert own[name] is argparse.SUPPRESS, f"{parser.prog}: {name}"
        shared = len(above & set(own))
        return shared + sum(check(each, above | set(own)) for each in below(parser))

    assert check(command_parser(), set()) > 0


def test_without_a_terminal_nothing_is_emptied_unless_yes_is_said(config: Path) -> None:
    done = reset(config)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert changed(config)


@pytest.mark.parametrize(("answer", "is_done"), [(b"\n", False), (b"n\n", False), (b"y\n", True)])
def test_at_a_terminal_it_asks(config: Path, answer: bytes, is_done: bool) -> None:
    master, terminal = pty.openpty()
    try:
        os.write(master, answer)
        done = reset(config, stdin=terminal)
    finally:
        os.close(master)
        os.close(terminal)
    assert done.returncode == (0 if is_done else 2), done.stderr
    assert f"{config.parent}/clients/{CLIENT}/upper, of export /pcs" in done.stderr
    assert "Go on?" in done.stderr
    assert changed(config) is not is_done
