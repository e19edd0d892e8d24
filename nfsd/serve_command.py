"""`overlay-nfsd serve`: what the configuration file exports, or one overlay named by options."""

from __future__ import annotations

import argparse
import os
import re
import socket
from typing import TYPE_CHECKING, Any, Final

from nfsd.clients import Pattern
from nfsd.config_file import CACHE_BYTES, DEFAULT_PATH, Config, ExportConfig, load
from nfsd.export_options import ExportOptions
from nfsd.exports import components
from nfsd.options import PROGRAM, Refusal, add_layer_options, overlay_config
from nfsd.progress import Progress
from nfsd.service import Service
from nfsd.size import SizeError, size_of

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_WORKERS_MAX: Final = 64
_LISTEN: Final = "127.0.0.1:2049"  # of an overlay named by options
# To everybody, as root: for trying it out, and for networks where that is wanted.
EVERYBODY: Final = ((Pattern.parse("*"), ExportOptions.parse("rw,insecure,async,no_root_squash")),)
_DESCRIPTION: Final = f"""\
Serve what the configuration file exports ({DEFAULT_PATH}), to the clients that it
names. Or, with --lowerdir, serve one overlay without a file, to everybody who can
connect, with root as root: the layers are named as in `mount -t overlay`, the topmost
lower directory first, directories separated by colons, a colon or backslash in a
name written \\: or \\\\. Without --upperdir the export is read-only.
"""
_EXAMPLES: Final = """\
examples:
  overlay-nfsd serve
  overlay-nfsd serve --lowerdir /srv/app:/srv/debian --upperdir /srv/upper --workdir /srv/work
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "serve",
        help="serve overlays to NFS clients",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"the configuration file (default: {DEFAULT_PATH})"
    )
    add_layer_options(parser, lower=False, upper=False, work=False)
    parser.add_argument(
        "--export", metavar="/NAME", help="what clients mount the overlay as (default: /)"
    )
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ADDR:PORT",
        help="port 0 picks one; may be given several times "
        f"(default: the file's, or {_LISTEN} with --lowerdir)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        help="processes that serve clients (default: the file's, or one for each processor, "
        f"here {_processors()})",
    )
    parser.add_argument(
        "--cache-size",
        metavar="SIZE",
        help="memory for what is kept, of all workers together, like 256M "
        f"(default: the file's, or {CACHE_BYTES >> 20}M)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every call")
    parser.set_defaults(command=_serve)


def _serve(options: argparse.Namespace) -> int:
    config = configuration(options)
    addresses = [listen_address(text) for text in config.listen]
    workers = config.workers or _processors()
    with Progress("finding objects again") as progress:
        service = Service(config, workers, trace=options.verbose, progress=progress)
    try:
        bound = []
        for text, (family, address) in zip(config.listen, addresses, strict=True):
            try:
                bound.append(service.workers.listen(family, address))
            except OSError as error:
                raise Refusal(
                    f"cannot listen on {text}: {error.strerror}: "
                    "stop what listens there, or choose another with --listen ADDR:PORT "
                    "(port 0: any)"
                ) from error
        said = banner(config, bound)
        service.workers.run(lambda: print(said, flush=True))
    finally:
        service.close()
    return 0


def configuration(options: argparse.Namespace) -> Config:
    """What is to be served; raises Refusal or ConfigFileError."""
    listen = tuple(options.listen or ())
    workers = None if options.workers is None else workers_number(options.workers)
    cache_bytes = None if options.cache_size is None else cache_size(options.cache_size)
    if options.lowerdir is None:
        for name in ("upperdir", "workdir", "export"):
            if getattr(options, name) is not None:
                raise Refusal(f"--{name} needs --lowerdir; without it the file says what is served")
        config = load(options.config or DEFAULT_PATH)
        return Config(
            listen or config.listen,
            workers or config.workers,
            config.exports,
            cache_bytes or config.cache_bytes,
        )
    if options.config is not None:
        raise Refusal("--config and --lowerdir exclude each other: give one")
    export = ExportConfig(export_path(options.export or "/"), overlay_config(options), EVERYBODY)
    return Config(listen or (_LISTEN,), workers, (export,), cache_bytes or CACHE_BYTES)


def _processors() -> int:
    return min(len(os.sched_getaffinity(0)), _WORKERS_MAX)


def workers_number(text: str) -> int:
    """How many workers there are to be; raises Refusal."""
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _WORKERS_MAX:
        raise Refusal(f"--workers {text}: give a number from 1 to {_WORKERS_MAX}")
    return int(text)


def cache_size(text: str) -> int:
    """Bytes of memory for what is kept; raises Refusal."""
    try:
        return size_of(text)
    except SizeError as problem:
        raise Refusal(f"--cache-size {text}: {problem}") from None


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


def banner(config: Config, bound: list[tuple[str, int]]) -> str:
    """What is served, and how to mount it."""
    addresses = ", ".join(f"{_host(host)}:{port}" for host, port in bound)
    lines = []
    for export in config.exports:
        layers = export.layers
        lines.append(f"{PROGRAM}: serving {os.fsdecode(export.path)} on {addresses}")
        lines += [f"  lower  {os.fsdecode(lower)}" for lower in layers.lowerdirs]
        if layers.upperdir is not None and layers.workdir is not None:
            lines.append(f"  upper  {os.fsdecode(layers.upperdir)}")
            lines.append(f"  work   {os.fsdecode(layers.workdir)}")
        else:
            lines.append("  read-only: no upper layer")
    lines += ["mount it with", f"  {mount_command(config.exports[0].path, *bound[0])}"]
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
