"""`overlay-nfsd serve`: what the configuration file exports, or one overlay named by options."""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from nfsd.base.about import PROGRAM
from nfsd.base.log import LOGGER, goes_to_journal
from nfsd.base.size import SizeError, size_of
from nfsd.commands.options import DEFAULT_PATH, add_config_option, add_layer_options, overlay_config
from nfsd.commands.progress_line import Progress
from nfsd.config.file import CACHE_BYTES, RPCBIND, Config, ExportConfig, load
from nfsd.config.lock import add_lock_options, lock_config
from nfsd.export.client_match import Pattern
from nfsd.export.mount_path import components
from nfsd.export.options import ExportOptions
from nfsd.net.listeners import bound_to
from nfsd.portmap.endpoints import rpcbind_mode
from nfsd.process.signals import ignore_stops
from nfsd.process.supervisor import WORKERS_MAX
from nfsd.process.systemd import Notifier, passed_sockets
from nfsd.process.title import be_called
from nfsd.process.watchdog import Watch
from nfsd.server.control import Control, control_listener, forget
from nfsd.server.reload import Reloading
from nfsd.server.service import Service
from overlay.base.refusal import Refusal
from overlay.startup.open import take_rights

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_LISTEN: Final = "127.0.0.1:2049"  # of an overlay named by options
_OF_LAYERS: Final = (
    *("upperdir", "workdir", "userxattr", "export"),
    *("inode-bits", "no-metacopy", "no-redirect-dir"),
)
# To everybody, as root: for trying it out, and for networks where that is wanted.
EVERYBODY_OPTIONS: Final = "rw,insecure,async,no_root_squash"
EVERYBODY: Final = ((Pattern.parse("*"), ExportOptions.parse(EVERYBODY_OPTIONS)),)
_DESCRIPTION: Final = f"""\
Serve what the configuration file ({DEFAULT_PATH}) exports, to the clients that it
names. With --lowerdir, serve one overlay without a file, to every client that can
connect, with the options {EVERYBODY_OPTIONS} of exports(5). The
layers are named as in `mount -t overlay`, the topmost lower directory first,
directories separated by colons, a colon or backslash in a name written \\: or \\\\.
Without --upperdir the export is read-only.
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
    add_config_option(parser, None)
    add_layer_options(parser)
    _add_overlay_options(parser)
    _add_server_options(parser)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="log every call, with handles as paths where one is known",
    )
    parser.set_defaults(command=_serve)


def _add_overlay_options(parser: argparse.ArgumentParser) -> None:
    """Options that stand in the file's [[export]] tables, too."""
    parser.add_argument(
        "--export", metavar="/NAME", help="what clients mount the overlay as (default: /)"
    )
    parser.add_argument(
        "--inode-bits",
        type=int,
        choices=(32, 64),
        help="how many bits the inode numbers have that clients see: 32 for old programs "
        "of 32 bits (default: 64)",
    )
    parser.add_argument(
        "--no-metacopy",
        action="store_true",
        help="copy up whole files, for an upper layer that others read file by file",
    )
    parser.add_argument(
        "--no-redirect-dir",
        action="store_true",
        help="refuse to rename a directory that a lower layer has, too; implies --no-metacopy",
    )


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    """Options that stand in the file's [server] table, too."""
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
        help="processes that serve clients (default: the file's, or one for each processor)",
    )
    parser.add_argument(
        "--cache-size",
        metavar="SIZE",
        help="memory for caches, of all workers together, like 256M "
        f"(default: the file's, or {CACHE_BYTES >> 20}M)",
    )
    parser.add_argument(
        "--metrics",
        metavar="ADDR:PORT",
        help="answer GET /metrics there, for Prometheus and `overlay-nfsd top` "
        "(default: the file's, or nowhere)",
    )
    parser.add_argument(
        "--rpcbind",
        choices=RPCBIND,
        help="how clients learn the ports: from this machine's rpcbind, from this server on port "
        "111, or from mount options (default: the file's; or system, unless only this machine is "
        "served)",
    )
    parser.add_argument(
        "--udp", action="store_true", help="serve NFS by UDP, too (default: the file's, or not)"
    )
    add_lock_options(parser)


def _serve(options: argparse.Namespace) -> int:
    notifier = Notifier()
    config = configuration(options)
    take_rights()
    be_called("supervisor")
    with Progress("finding objects again") as progress:
        service = Service(config, passed=passed_sockets(), trace=options.verbose, progress=progress)
    sockets = service.sockets
    said = banner(config, sockets.bound)
    if sockets.locking.port is not None:
        said += f"\nlocks: NLM and NSM on port {sockets.locking.port}"
    for host, port in bound_to(sockets.metrics):
        said += f"\nnumbers: http://{_host(host)}:{port}/metrics"
    file = options.config or DEFAULT_PATH
    reloading, is_asked = None, False
    if options.lowerdir is None:
        reloading = Reloading(service, notifier, partial(configuration, options))
        is_asked = _listen_to_commands(service, reloading, file)
    try:
        _run(service, notifier, said, reloading)
    finally:
        service.close()
        if is_asked:
            forget(file)
    ignore_stops()
    return 0


def _listen_to_commands(service: Service, reloading: Reloading, file: str) -> bool:
    """Have `overlay-nfsd reload` ask for one, and be told what came of it; whether it can."""
    listener = control_listener(file)
    if listener is None:
        return False
    workers = service.workers
    control = Control(workers.loop, listener, workers.reload_soon, lambda: service.held.dump())
    workers.after_in_child.append(control.close)
    reloading.tell(control.begun)
    return True


def _run(service: Service, notifier: Notifier, said: str, reloading: Reloading | None) -> None:
    """Serve until told to stop."""
    watch = Watch(
        notifier, service.workers, service.status if reloading is None else reloading.status
    )

    def ready() -> None:
        if goes_to_journal(sys.stdout):
            LOGGER.info("%s", service.serving())
        else:
            print(said, flush=True)
        notifier.ready()
        watch.begin()

    service.workers.run(ready, reloading, notifier.stopping)


def configuration(options: argparse.Namespace) -> Config:
    """Return what is to be served; raises Refusal."""
    listen = tuple(options.listen or ())
    workers = None if options.workers is None else workers_number(options.workers)
    cache_bytes = None if options.cache_size is None else cache_size(options.cache_size)
    config = _from_file(options) if options.lowerdir is None else _from_options(options)
    return replace(
        config,
        listen=listen or config.listen,
        workers=workers or config.workers,
        cache_bytes=cache_bytes or config.cache_bytes,
        metrics=options.metrics or config.metrics,
        rpcbind=options.rpcbind or config.rpcbind,
        udp=options.udp or config.udp,
        locks=lock_config(options, config.locks),
    )


def _from_file(options: argparse.Namespace) -> Config:
    for name in _OF_LAYERS:
        if getattr(options, name.replace("-", "_")) not in (None, False):
            raise Refusal(f"--{name} needs --lowerdir; without it the file says what is served")
    return load(options.config or DEFAULT_PATH)


def _from_options(options: argparse.Namespace) -> Config:
    """Return one overlay, for everybody."""
    if options.config is not None:
        raise Refusal("--config and --lowerdir exclude each other: give one")
    path = export_path(options.export or "/")
    layers = replace(
        overlay_config(options).of_export(path),
        inode_bits=options.inode_bits or 64,
        metacopy=not (options.no_metacopy or options.no_redirect_dir),
        redirect_dir=not options.no_redirect_dir,
    )
    export = ExportConfig(path, layers, EVERYBODY)
    return Config((_LISTEN,), None, (export,))


def workers_number(text: str) -> int:
    """Return how many workers there are to be; raises Refusal."""
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= WORKERS_MAX:
        raise Refusal(f"--workers {text}: give a number from 1 to {WORKERS_MAX}")
    return int(text)


def cache_size(text: str) -> int:
    """Return how many bytes of memory the caches may take; raises Refusal."""
    try:
        return size_of(text)
    except SizeError as problem:
        raise Refusal(f"--cache-size {text}: {problem}") from None


def export_path(text: str) -> bytes:
    """Return the export's name as clients mount it; raises Refusal."""
    path = os.fsencode(text)
    if not path.startswith(b"/") or b".." in components(path) or len(path) > 1024:
        raise Refusal(f"--export {text}: give an absolute path like /debian")
    return b"/" + b"/".join(components(path))


def banner(config: Config, bound: list[tuple[str, int]]) -> str:
    """Return what is served, and how to mount it."""
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
    # A client that does not find the port of the locks waits for minutes, unless told not to look.
    locks = config.locks.served and rpcbind_mode(config, bound) != "off"
    command = mount_command(config.exports[0].path, *bound[0], locks=locks)
    lines += ["mount it with", f"  {command}"]
    return "\n".join(lines)


def mount_command(path: bytes, host: str, port: int, *, locks: bool = False) -> str:
    """Return the command that mounts the export on a Linux client."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    proto = "tcp6" if ":" in host else "tcp"
    options = f"vers=3,proto={proto},port={port},mountport={port}" + ("" if locks else ",nolock")
    return f"mount -t nfs -o {options} {_host(host)}:{os.fsdecode(path)} /mnt"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
