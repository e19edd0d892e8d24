"""`overlay-nfsd torture`: do file handles of an NFSv3 server hold?"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live

from nfsd.torture.events import EventError
from nfsd.torture.own_layers import LARGE, PREPARED, OwnLayers
from nfsd.torture.own_server import OwnServer
from nfsd.torture.prepare import prepare
from nfsd.torture.restart_command import RestartCommand
from nfsd.torture.run import Plan, Run
from nfsd.torture.scenarios import SCENARIOS, Scenario
from nfsd.torture.target import target
from overlay.base.refusal import Refusal

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_HELD: Final = 0
_WRONG: Final = 1
_NOWHERE: Final = "nfs://127.0.0.1/"  # until a server of its own is there
_WIDTH: Final = 140  # of the table where there is no terminal
_TITLE: Final = "Test whether an NFSv3 server's file handles hold."
_DESCRIPTION: Final = f"""\
{_TITLE}

Works in a directory of its own below the export, which it removes at the end,
and keeps on checking all handles that it holds: same bytes, fileid, type, size
and content while the object lives, NFS3ERR_STALE for ever after. With --serve it
makes filesystems and layers, starts a server, and also fills a disk, leaves a
layer out and replaces one. docs/torture.md tells how to read the table.
"""
_EPILOG: Final = """\
exit status: 0 no error in any column; 1 errors were found; 2 it could not be run

examples:
  overlay-nfsd torture nfs://127.0.0.1:2049/ --seconds 600
  overlay-nfsd torture --serve /var/tmp/torture --seconds 600
  overlay-nfsd torture --prepare /srv/lower/torture --seed 1
  overlay-nfsd torture nfs://127.0.0.1:2049/ --lower torture --restart-command './ctl %a'
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "torture",
        help="test whether an NFSv3 server's file handles hold",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_target(parser)
    _add_disturbance(parser)
    add = parser.add_argument
    add("--seconds", type=float, default=60.0, metavar="N", help="how long (default: 60)")
    add("--seed", type=int, metavar="S", help="do the same operations as another run")
    add("--keep", action="store_true", help="leave the directory as it is at the end")
    add("--json", action="store_true", help="one JSON object instead of a table")
    add("--list", action="store_true", help="the scenarios, a line each")
    add("--prepare", type=Path, metavar="DIRECTORY", help="fill a directory for a lower layer")
    add("--files", type=int, default=400, metavar="N", help="prepared for a scenario (400)")
    parser.set_defaults(command=_torture)


def _add_target(parser: argparse.ArgumentParser) -> None:
    """What is tested."""
    add = parser.add_argument
    add("url", nargs="?", metavar="nfs://HOST[:PORT]/EXPORT", help="the export (port: 2049)")
    add(
        "--serve",
        type=Path,
        metavar="DIRECTORY",
        help="instead: make filesystems and layers in this empty directory, and serve them",
    )
    add("--mountport", type=int, metavar="P", help="default: the same port, else the portmapper's")
    add("--scenario", nargs="+", action="extend", metavar="NAME", help="only these (see --list)")
    add("--lower", metavar="DIR", help="a prepared directory of the export; it is used up")
    add("--uid", type=int, default=os.geteuid(), help="AUTH_SYS user (default: yours)")
    add("--gid", type=int, default=os.getegid(), help="AUTH_SYS group (default: yours)")


def _add_disturbance(parser: argparse.ArgumentParser) -> None:
    """What happens to the server meanwhile."""
    add = parser.add_argument
    add(
        "--restart-command",
        metavar="CMD",
        help="run with restart, kill or drop as last word, or in place of %%a",
    )
    add(
        "--restart-every",
        type=float,
        default=20.0,
        metavar="N",
        help="seconds in which each of them happens once (default: 20)",
    )
    add(
        "--expect-replay",
        action="store_true",
        help="the server promises the first answer to a call that is sent again",
    )


def _torture(options: argparse.Namespace) -> int:
    if options.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:<20}{scenario.line}")
        return _HELD
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    if options.prepare is not None:
        return _prepare(options.prepare, seed, options.files)
    if (options.url is None) == (options.serve is None):
        raise Refusal("torture: give nfs://HOST[:PORT]/EXPORT, or --serve, --prepare or --list")
    plan = Plan(
        target=target(options.url or _NOWHERE, options.mountport),
        scenarios=_chosen(options.scenario),
        seconds=options.seconds,
        seed=seed,
        lower=None if options.lower is None else os.fsencode(options.lower),
        restart_every=options.restart_every,
        expect_replay=options.expect_replay,
        uid=options.uid,
        gid=options.gid,
    )
    if options.serve is not None:
        return _serve(plan, options)
    if options.restart_command is not None:
        plan = replace(plan, controller=RestartCommand(options.restart_command))
    return _run(plan, json=options.json, keep=options.keep)


def _serve(plan: Plan, options: argparse.Namespace) -> int:
    """Run on a server that is started for it."""
    for name in ("lower", "mountport", "restart_command"):
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise Refusal(f"--{option}: not with --serve, which sees to that itself")
    if os.geteuid() != 0:
        raise Refusal("--serve: needs root, to mount filesystems and to serve them")
    # Else the server and the mounts would stay.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    layers = OwnLayers(options.serve, plan.scenarios, plan.seed, options.files)
    own = OwnServer(layers)
    layers.make()
    try:
        own.start()
        own_plan = replace(
            plan,
            target=own.export(LARGE),
            lower=os.fsencode(PREPARED),
            controller=own,
            own=own,
            expect_replay=True,
        )
        status = _run(own_plan, json=options.json, keep=options.keep)
        own.stop()
    except EventError as error:
        raise Refusal(str(error)) from error
    finally:
        own.kill()
        if not options.keep:
            _remove(layers)
    return _judged(status, own, keep=options.keep)


def _remove(layers: OwnLayers) -> None:
    try:
        layers.remove()
    except OSError as error:
        print(f"torture: {error.strerror}: unmount and remove the rest yourself", file=sys.stderr)


def _judged(status: int, own: OwnServer, *, keep: bool) -> int:
    """Return the exit status, with what the server has said.

    Its log stays if something is wrong.
    """
    if own.complaint:
        print(f"torture: the server has logged an exception: {own.layers.log}", file=sys.stderr)
        return _WRONG
    if status == _HELD and not keep:
        own.layers.remove_log()
    return status


def _prepare(directory: Path, seed: int, files: int) -> int:
    try:
        count = prepare(directory, seed, SCENARIOS, files)
    except OSError as error:
        name = error.filename or directory
        raise Refusal(f"--prepare {name}: {error.strerror}: give an empty directory") from error
    print(f"{count:,} files in {directory}, seed {seed}")
    return _HELD


def _chosen(names: list[str] | None) -> list[Scenario]:
    """Return the scenarios by name, in the order of the table; raises Refusal."""
    known = {each.name for each in SCENARIOS}
    for name in names or ():
        if name not in known:
            raise Refusal(f"--scenario {name}: there is none of this name: see --list")
    return [each for each in SCENARIOS if not names or each.name in names]


def _run(plan: Plan, *, json: bool, keep: bool) -> int:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    if json or not console.is_terminal:
        run = Run(plan)
        _go(run)
    else:
        with Live(console=console, transient=True, auto_refresh=False) as live:
            run = Run(
                plan, lambda run: live.update(run.report().table(console.width), refresh=True)
            )
            _go(run)
    report = run.report()
    if not keep and not run.clean_up():
        print(f"torture: {run.directory} could not be removed", file=sys.stderr)
    if json:
        print(report.json())
    else:
        if report.wrong:
            print(report.faults())
        console.print(report.table(console.width))
        print(report.summary())
    return _WRONG if report.wrong else _HELD


def _go(run: Run) -> None:
    """Run until the end, or until the user has seen enough."""
    try:
        run.run()
    except KeyboardInterrupt:
        print("torture: stopped", file=sys.stderr)
    except EventError as error:
        raise Refusal(str(error)) from error
