"""The command line: `overlay-nfsd serve ...`, `check`, `index detach`, `torture`.

Each subcommand adds its own parser.  A refusal is one line on stderr that says
what to do about it, and exit status 2.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import resource
import socket
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from nfsd import check_command, index_command, mount, nfs3
from nfsd.exports import Export, Exports, components
from nfsd.log import LOGGER
from nfsd.options import Refusal, add_layer_options, overlay_config
from nfsd.replay import ReplayCache
from nfsd.rpc import Dispatcher
from nfsd.server import Server
from nfsd.torture import command as torture_command
from overlay.config import ConfigError, OverlayConfig
from overlay.filesystem import Overlay

PROGRAM: Final = "overlay-nfsd"
_REFUSED: Final = 2

_DESCRIPTION: Final = "Serve overlayfs-style layered directories over NFSv3."
_SERVE: Final = """\
Serve one overlay. The layers are named as in `mount -t overlay`: the topmost
lower directory first, directories separated by colons, a colon or backslash in
a name written \\: or \\\\. Without --upperdir the export is read-only.
"""
_EXAMPLE: Final = """\
example:
  overlay-nfsd serve --lowerdir /srv/app:/srv/debian --upperdir /srv/upper --workdir /srv/work
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _start_logging(getattr(options, "verbose", False))
        status: int = options.command(options)
    except (Refusal, ConfigError) as refusal:
        print(f"{PROGRAM}: {refusal}", file=sys.stderr)
        return _REFUSED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve one overlay",
        description=_SERVE,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_layer_options(serve, lower=True, upper=False)
    serve.add_argument(
        "--export", default="/", metavar="/NAME", help="what clients mount it as (default: /)"
    )
    serve.add_argument(
        "--listen",
        default="127.0.0.1:2049",
        metavar="ADDR:PORT",
        help="port 0 picks one (default: 127.0.0.1:2049)",
    )
    serve.add_argument("-v", "--verbose", action="store_true", help="log every call")
    serve.set_defaults(command=_serve)
    check_command.add_to(commands)
    index_command.add_to(commands)
    torture_command.add_to(commands)
    return parser


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return "(not installed)"


def _start_logging(verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{PROGRAM}: %(levelname)s: %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG if verbose else logging.INFO)


def _serve(options: argparse.Namespace) -> int:
    config = overlay_config(options)
    path = export_path(options.export)
    family, address = listen_address(options.listen)
    _raise_descriptor_limit()
    overlay = Overlay.open(config)
    try:
        exports = Exports([Export(path, overlay)])
        programs = [nfs3.program(exports), *mount.MountService(exports).programs()]
        replays = None
        if not overlay.read_only:
            replays = ReplayCache(overlay.open_state(b"replies"), overlay.write_verifier)
        dispatcher = Dispatcher(programs, replays)
        dispatcher.trace = options.verbose
        server = Server(dispatcher)
        try:
            host, port = server.listen(family, address)
        except OSError as error:
            raise Refusal(
                f"cannot listen on {options.listen}: {error.strerror}: "
                "stop what listens there, or choose another with --listen ADDR:PORT (port 0: any)"
            ) from error
        server.run(lambda: print(banner(config, path, host, port), flush=True))
    finally:
        overlay.close()
    return 0


def export_path(text: str) -> bytes:
    """The export's name as clients mount it; raises Refusal."""
    path = os.fsencode(text)
    if not path.startswith(b"/") or b".." in components(path) or len(path) > 1024:
        raise Refusal(f"--export {text}: give an absolute path like /debian")
    return b"/" + b"/".join(components(path))


def listen_address(text: str) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """The TCP address in ADDR:PORT or [ADDR]:PORT; raises Refusal."""
    match = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})", text)
    if match is None or int(match["port"]) > 65535:
        raise Refusal(f"--listen {text}: give ADDR:PORT, like 127.0.0.1:2049 or [::1]:2049")
    host = match["v6"] or match["host"]
    try:
        found = socket.getaddrinfo(host, int(match["port"]), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Refusal(f"--listen {text}: {error.strerror}: give an address of this machine") from (
            error
        )
    family, _, _, _, address = found[0]
    return family, address


def banner(config: OverlayConfig, path: bytes, host: str, port: int) -> str:
    """What is served, and how to mount it."""
    lines = [f"{PROGRAM}: serving {os.fsdecode(path)} on {_host(host)}:{port}"]
    lines += [f"  lower  {os.fsdecode(lower)}" for lower in config.lowerdirs]
    if config.upperdir is not None and config.workdir is not None:
        lines.append(f"  upper  {os.fsdecode(config.upperdir)}")
        lines.append(f"  work   {os.fsdecode(config.workdir)}")
    else:
        lines.append("  read-only: no upper layer")
    lines += ["mount it with", f"  {mount_command(path, host, port)}"]
    return "\n".join(lines)


def mount_command(path: bytes, host: str, port: int) -> str:
    """The command that mounts the export on a Linux client."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    proto = "tcp6" if ":" in host else "tcp"
    options = f"vers=3,proto={proto},port={port},mountport={port},nolock"
    return f"mount -t nfs -o {options} {_host(host)}:{os.fsdecode(path)} /mnt"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _raise_descriptor_limit() -> None:
    """Objects in use are kept open, so take as many descriptors as are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
