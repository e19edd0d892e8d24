"""`overlay-nfsd export add`, `remove` and `list`: exports in files of their own."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from nfsd.commands.options import add_config_option, add_layer_options, overlay_config
from nfsd.commands.reload import reload
from nfsd.config.file import ExportConfig, drop_in_directory, load
from nfsd.export.mount_path import components
from overlay.base.refusal import Refusal

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_NEW: Final = ".new"
_NAME_MAX: Final = 255  # bytes
_ADD: Final = """\
Export one more overlay: write it to a file of its own in the directory FILE.d beside
the configuration file, and have the server read that, if it runs. If the server refuses
it, the file is removed again, and nothing else changes.
"""
_ADD_EPILOG: Final = """\
example:
  overlay-nfsd export add /debian --lowerdir /srv/app:/srv/debian --upperdir /srv/upper \\
    --workdir /srv/work --clients 10.0.0.0/8=rw --clients build.example.org=rw,no_root_squash
"""
_REMOVE: Final = """\
Stop exporting it, and remove its file; the layers stay as they are. Handles of it that
clients hold are good again when it is exported again.
"""
_NO_SERVER: Final = "no server runs: it counts from the next start"


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    export = commands.add_parser("export", help="add and remove exports while the server runs")
    verbs = export.add_subparsers(metavar="VERB", required=True)
    add = _verb(verbs, "add", "export one more overlay", _ADD, _ADD_EPILOG)
    add.add_argument("path", metavar="/NAME", help="what clients mount it as")
    add_layer_options(add)
    add.add_argument(
        "--clients",
        action="append",
        required=True,
        metavar="PATTERN=OPTIONS",
        help="clients and their options, as in 10.0.0.0/8=rw; may be given several times",
    )
    add.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting of the export, as the file has it: max_clients=10, "
        """client_space='"10G"'""",
    )
    add.set_defaults(command=_add)
    remove = _verb(verbs, "remove", "remove an export", _REMOVE, "")
    remove.add_argument("path", metavar="/NAME", help="as it was added")
    remove.set_defaults(command=_remove)
    listed = _verb(verbs, "list", "list exports, and the files that they stand in", "", "")
    listed.set_defaults(command=_list)


def _verb(
    verbs: Commands, name: str, title: str, more: str, epilog: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=title,
        description=more or f"{title.capitalize()}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_option(parser)
    return parser


def _list(options: argparse.Namespace) -> int:
    for export in load(options.config).exports:
        print(f"{os.fsdecode(export.path):<24} {export.file}")
    return 0


def _add(options: argparse.Namespace) -> int:
    path = _path(options.path)
    text = _text(options, path)
    with _directory(options.config) as directory:
        name = _file_name(path)
        if name in os.listdir(directory):
            raise Refusal(f"{path} is exported already: remove it first")
        _write(directory, name, text)
        try:
            load(options.config)
            said = reload(options.config)
        except BaseException:
            os.unlink(name, dir_fd=directory)
            raise
    print(said or _NO_SERVER)
    return 0


def _remove(options: argparse.Namespace) -> int:
    path = _path(options.path)
    with _directory(options.config) as directory:
        found = _exported(options.config, path)
        if found is None:
            raise Refusal(f"{path} is not exported: see overlay-nfsd export list")
        name = _file_name(path)
        if found.file != os.path.join(drop_in_directory(options.config), name):
            raise Refusal(f"{path} stands in {found.file}: take it out there, and reload")
        os.rename(name, name + _NEW, src_dir_fd=directory, dst_dir_fd=directory)
        try:
            said = reload(options.config)
        except BaseException:
            os.rename(name + _NEW, name, src_dir_fd=directory, dst_dir_fd=directory)
            raise
        os.unlink(name + _NEW, dir_fd=directory)
    print(said or _NO_SERVER)
    return 0


def _path(text: str) -> str:
    names = components(os.fsencode(text))
    if not text.startswith("/") or b".." in names:
        raise Refusal(f"{text}: give what clients mount it as, an absolute path like /debian")
    return "/" + os.fsdecode(b"/".join(names))


def _file_name(path: str) -> str:
    """Return the name of the file of an export: another for each path."""
    name = f"{quote(path[1:], safe='') or '%2F'}.toml"
    if len(name) + len(_NEW) > _NAME_MAX:
        raise Refusal(f"{path[:40]}... is too long for the name of a file: write it by hand")
    return name


def _exported(file: str, path: str) -> ExportConfig | None:
    wanted = os.fsencode(path)
    return next((each for each in load(file).exports if each.path == wanted), None)


@contextmanager
def _directory(file: str) -> Iterator[int]:
    """The directory of files of exports, for one command at a time."""
    path = drop_in_directory(file)
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o755)
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as problem:
        raise Refusal(f"{path}: {problem.strerror}: it must be a directory of root's") from problem
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(directory)


def _write(directory: int, name: str, text: str) -> None:
    """Make a file, whole or not at all; raises Refusal."""
    new = name + _NEW
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with open(os.open(new, flags, 0o644, dir_fd=directory), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except (OSError, UnicodeEncodeError) as problem:
        for half in (new, name):
            with suppress(FileNotFoundError):
                os.unlink(half, dir_fd=directory)
        if isinstance(problem, OSError):
            raise Refusal(f"{name} cannot be written: {problem.strerror}") from problem
        raise Refusal("a name is not UTF-8: the configuration file can have no such name") from None


def _text(options: argparse.Namespace, path: str) -> str:
    """Return the file of an export."""
    if options.lowerdir is None:
        raise Refusal("name at least one lower layer, the topmost first: --lowerdir")
    layers = overlay_config(options)
    lines = ["# Written by `overlay-nfsd export add`.", "[[export]]", f"path = {_quoted(path)}"]
    for name, paths in (("lowerdir", layers.lowerdirs), ("datadir", layers.datadirs)):
        if paths:
            lines.append(f"{name} = [{', '.join(_quoted(_whole(each)) for each in paths)}]")
    for name, each in (("upperdir", layers.upperdir), ("workdir", layers.workdir)):
        if each is not None:
            lines.append(f"{name} = {_quoted(_whole(each))}")
    lines += ["userxattr = true"] if layers.userxattr else []
    clients = dict(_pair("--clients", text) for text in options.clients)
    shown = ", ".join(f"{_quoted(name)} = {_quoted(value)}" for name, value in clients.items())
    lines.append(f"clients = {{ {shown} }}")
    lines += [" = ".join(_pair("--set", text)) for text in options.set]
    return "\n".join(lines) + "\n"


def _pair(option: str, text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign or not value:
        raise Refusal(f"{option} {text}: give two words with = between")
    return name, value


def _whole(path: bytes) -> str:
    return os.fsdecode(os.path.abspath(path))


def _quoted(text: str) -> str:
    """Return a text of TOML: these of JSON are some."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
