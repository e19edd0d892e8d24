"""The manual pages, made of the command line's parsers and the tables of settings.

    python -m nfsd.commands.manual DIRECTORY

writes overlay-nfsd.8 and overlay-nfsd.toml.5 there, in the language of man(7).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from nfsd.base.about import PROGRAM
from nfsd.commands.cli import command_parser
from nfsd.commands.options import DEFAULT_PATH
from nfsd.config import settings

EXAMPLE: Final = """\
[server]
listen = ["0.0.0.0:2049"]
workers = 2
metrics = "127.0.0.1:9049"

[[export]]
path = "/debian"
lowerdir = ["/srv/layers/app", "/srv/layers/debian-12"]
upperdir = "/srv/upper"
workdir = "/srv/work"
clients = { "10.0.0.0/8" = "rw", "build*.example.org" = "rw,no_root_squash" }
"""
_DESCRIPTION: Final = f"""\
{PROGRAM} serves a stack of directories over NFSv3: read-only lower layers under one writable
upper layer, merged as Linux's overlayfs merges them. File handles stay valid for as long as the
object exists, whatever happens to it and to the server.

It needs root. {DEFAULT_PATH} lists the exports; see overlay-nfsd.toml(5)."""
_ENVIRONMENT: Final = {
    "STATE_DIRECTORY": "The directory for the state of read-only exports, in place of "
    "/var/lib/overlay-nfsd. It and all directories above it belong to root, and no other user can "
    "write to them. systemd sets it (StateDirectory=).",
    "RUNTIME_DIRECTORY": "The directory of the sockets for `overlay-nfsd reload`, in place of "
    "/run/overlay-nfsd. It must be the same for the server and for the caller.",
    "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES": "Sockets that systemd passes. They take the place of "
    "listen.",
    "NOTIFY_SOCKET, WATCHDOG_USEC": "How systemd learns that the server is ready, and that it "
    "is alive.",
    "JOURNAL_STREAM": "If the log goes to the journal, lines have priorities in place of times.",
}
_ENDINGS: Final = {
    "EXIT STATUS": "0 if all is well; 2 if the command was refused, with a line that says what to "
    "do; 1 if a command that looks for problems has found some.",
    "SIGNALS": "SIGTERM and SIGINT end the server: it reads no more, answers what it has read, and "
    "stops within ten seconds. On SIGHUP it reads its configuration again, as with `overlay-nfsd "
    "reload`, which also reports the result; a file that is wrong changes nothing. Any of its "
    "processes may be killed at any moment without harm. ps(1) shows them as `overlay-nfsd: "
    "supervisor`, which takes the signals, `overlay-nfsd: worker 1` and so on, and "
    "`overlay-nfsd: locks`.",
    "FILES": f"{DEFAULT_PATH} is the configuration. WORKDIR/inodes is the index. WORKDIR/identity "
    "has the key that signs file handles, and the record of the layers. /run/overlay-nfsd, or "
    "RUNTIME_DIRECTORY, has the sockets at which servers accept requests to reload.",
}


def command_page() -> str:
    """Return the manual page of the command."""
    parser = command_parser()
    lines = _begun(PROGRAM, 8, "NFSv3 server for layered directories")
    lines += [".SH SYNOPSIS", f".B {PROGRAM}", r"\fICOMMAND\fR [\fIOPTION\fR ...]"]
    lines += [".br", f".B {PROGRAM}", r"\fB\-\-version\fR | \fB\-\-help\fR"]
    lines += [".SH DESCRIPTION", *_text(_DESCRIPTION), ".SH OPTIONS", *_options(parser)]
    lines += [".PP", *_text("Each command takes -h, too."), ".SH COMMANDS"]
    for name, command in _commands(parser):
        lines += _command(name, command)
    lines += [".SH ENVIRONMENT", *_list(_ENVIRONMENT)]
    for title, text in _ENDINGS.items():
        lines += [f".SH {title}", *_text(text)]
    lines += [".SH SEE ALSO", *_text("overlay-nfsd.toml(5), exports(5), nfs(5), mount(8)")]
    return "\n".join(lines) + "\n"


def file_page() -> str:
    """Return the manual page of the configuration file."""
    lines = _begun(f"{PROGRAM}.toml", 5, f"configuration of {PROGRAM}")
    lines += [".SH SYNOPSIS", *_text(DEFAULT_PATH), ".SH DESCRIPTION"]
    lines += _text(
        "The file lists the exports, with their layers and the clients that may mount them. It is "
        "TOML, in UTF-8. A file with any mistake is refused as a whole, with the line and what to "
        "do about it. `overlay-nfsd check-config` checks it, and `overlay-nfsd exports` shows the "
        "exports. Options of `overlay-nfsd serve` override it.\n\nFiles in "
        f"{DEFAULT_PATH}.d whose names end in .toml have further [[export]] tables, and nothing "
        "else; `overlay-nfsd export` adds and removes them."
    )
    for title, table in (
        ("THE [server] TABLE", settings.SERVER),
        ("EACH [[export]] TABLE", settings.EXPORT),
    ):
        lines += [f'.SH "{title}"', *_list(table)]
    lines += [".SH PATTERNS OF CLIENTS", *_text("As in exports(5). The most specific kind that")]
    lines += [*_text("matches decides, in this order; of one kind, the one written first.")]
    lines += _list(settings.PATTERNS)
    lines += [".SH OPTIONS OF EXPORTS", *_text("With the names and defaults of exports(5). Of two")]
    lines += [*_text("the first is the default. Options without meaning here are accepted, too.")]
    lines += _list(settings.OPTIONS)
    lines += [".SH EXAMPLE", *_verbatim(EXAMPLE)]
    lines += [".SH SEE ALSO", *_text(f"{PROGRAM}(8), exports(5)")]
    return "\n".join(lines) + "\n"


def _begun(name: str, section: int, what: str) -> list[str]:
    return [
        r".\" Made by python -m nfsd.commands.manual: change that, or the texts it is made of.",
        f'.TH "{name.upper()}" {section} "" "{PROGRAM}"',
        ".SH NAME",
        rf"{_escaped(name)} \- {_escaped(what)}",
    ]


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command that does something, by its full name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                if command.get_default("command") is not None:
                    yield name, command
                yield from ((f"{name} {below}", each) for below, each in _commands(command))


def _command(name: str, command: argparse.ArgumentParser) -> list[str]:
    lines = [f".SS {_escaped(name)}", *_text(command.description or ""), *_options(command)]
    if command.epilog:
        lines += [".PP", *_verbatim(command.epilog)]
    return lines


def _options(command: argparse.ArgumentParser) -> list[str]:
    """Return the options of a command, without those of commands below it."""
    lines: list[str] = []
    for action in command._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        shown = ", ".join(rf"\fB{_escaped(each)}\fR" for each in action.option_strings)
        if action.nargs != 0:
            shown += f" {_value(action)}"
        meaning = (action.help or "") % {**vars(action), "prog": PROGRAM}
        lines += [".TP", shown.strip(), *_text(meaning[:1].upper() + meaning[1:])]
    return lines


def _value(action: argparse.Action) -> str:
    names = action.metavar or "|".join(map(str, action.choices or (action.dest,)))
    return rf"\fI{_escaped(names if isinstance(names, str) else ' '.join(names))}\fR"


def _list(table: Mapping[str, str]) -> Iterator[str]:
    for name, meaning in table.items():
        yield ".TP"
        yield rf"\fB{_escaped(name)}\fR"
        yield from _text(meaning)


def _text(text: str) -> Iterator[str]:
    """Paragraphs, and lists and commands that are set off by spaces as they are."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        if number:
            yield ".PP"
        if paragraph.startswith("  "):
            yield from _verbatim(paragraph)
        else:
            yield from map(_line, paragraph.split("\n"))


def _verbatim(text: str) -> Iterable[str]:
    return [".nf", *map(_line, text.rstrip("\n").split("\n")), ".fi"]


def _line(text: str) -> str:
    escaped = _escaped(text)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-")


def main(directory: Path) -> None:
    """Write both pages."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{PROGRAM}.8").write_text(command_page())
    (directory / f"{PROGRAM}.toml.5").write_text(file_page())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
