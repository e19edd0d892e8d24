"""`overlay-nfsd check`: what is wrong with the layers and the index, in words."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from index.linux import fd_limit
from nfsd.commands.options import add_without, overlay_config, without
from nfsd.commands.overlay_choice import Chosen, add_choice, chosen, for_each
from nfsd.commands.progress_line import Progress
from overlay.base.refusal import Refusal
from overlay.check.keep import Keeper
from overlay.check.problem import Problem
from overlay.check.run import check
from overlay.check.undo import undo
from overlay.model.config import OverlayConfig

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_CLEAN: Final = 0
_FOUND: Final = 1
_TITLE: Final = "Look for what is wrong with an overlay that no server has open."
_DESCRIPTION: Final = f"""\
{_TITLE}

The check goes through the upper layer, the lower layers, the index and the work
directory, and says for each problem what is wrong, what it means for clients, and what
a repair does. Notes are no problems: they are counted, and shown with -v. Without
--repair nothing is changed. A repair stores what it changes or removes in repaired/ of
the workdir, and --undo restores it. Every start mends by itself what a crash or a kernel
mount has left.

A sealed copy of the layers is checked as its first start will see it.
"""
_EPILOG: Final = """\
exit status: 0 nothing is wrong, or nothing but notes; 1 problems were found
(and repaired, with --repair, if they say so); 2 the check was refused

examples:
  overlay-nfsd check /debian
  overlay-nfsd check --client 10.0.0.11
  overlay-nfsd check --all
  overlay-nfsd check --lowerdir /srv/app:/srv/debian --upperdir /srv/upper --workdir /srv/work
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "check",
        help="look for damage, and repair it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_choice(parser)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="repair what can be repaired; on a terminal, say what that is, and ask",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --repair: say what it would do, no more"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--undo",
        metavar="FOLDER",
        help="undo a repair, if nothing has changed since: FOLDER is what it printed, in "
        "repaired/ of the workdir",
    )
    add_without(parser)
    parser.add_argument(
        "-v", dest="notes", action="store_true", help="show notes too, as a repair always does"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line, for programs: of problems and notes",
    )
    parser.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    fd_limit.raise_limit()  # one is open for each level of directories
    overlays = chosen(options, _named_layers)
    if options.undo is not None:
        return _undo(options, overlays)
    return for_each(overlays, partial(_check_one, options), titled=not options.json)


def _named_layers(options: argparse.Namespace) -> OverlayConfig:
    for name in ("lowerdir", "upperdir", "workdir"):
        if getattr(options, name) is None:
            raise Refusal(f"--lowerdir, --upperdir and --workdir go together: give --{name} too")
    return overlay_config(options)


def _undo(options: argparse.Namespace, overlays: list[Chosen]) -> int:
    if options.repair:
        raise Refusal("--repair and --undo do not go together: give one of them")
    if len(overlays) > 1:
        raise Refusal("--undo is for one overlay: name it")
    names = undo(overlays[0].config, os.fsencode(options.undo))
    print(f"undone; names that are as they were: {names:,}")
    return _CLEAN


def _check_one(options: argparse.Namespace, overlay: Chosen) -> int:
    repair = options.repair and not options.dry_run
    if not repair or options.yes or not sys.stdin.isatty():
        return _status(_run(options, overlay, repair=repair))
    found = _run(options, overlay, repair=False)
    if not any(problem.repairable for problem in found):
        return _status(found)
    print("Repair this? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refusal("nothing was changed")
    return _status(_run(options, overlay, repair=True))


def _run(options: argparse.Namespace, overlay: Chosen, *, repair: bool) -> list[Problem]:
    """Look or repair, and say what was found."""
    keeper = Keeper(overlay.config)
    problems: list[Problem] = []
    with Progress("checking") as progress:
        for problem in check(
            overlay.config,
            repair=repair,
            without=without(options),
            progress=progress,
            keeper=keeper,
        ):
            progress.hide()
            problems.append(problem)
            if options.json:
                print(_json(problem, overlay.name), flush=True)
            elif _is_told(options, problem):
                print(_text(problem, repair), flush=True)
    if not options.json:
        print(_summary(options, problems, repair))
    if keeper.path is not None:
        where = os.fsdecode(keeper.path)
        print(f"what was there before is in {where}: --undo {where} takes it back", file=sys.stderr)
    return problems


def _is_told(options: argparse.Namespace, problem: Problem) -> bool:
    """Return whether all is said of a problem; a note is wanted, or repaired like anything else."""
    return not problem.harmless or options.notes or options.repair


def _status(problems: list[Problem]) -> int:
    return _FOUND if any(not problem.harmless for problem in problems) else _CLEAN


def _text(problem: Problem, repaired: bool) -> str:
    kind = "note" if problem.harmless else "problem"
    if problem.repair is None:
        last = "  repair   none by machine"
    else:
        last = f"  {'repaired' if repaired else 'repair  '} {problem.repair}"
    where = os.fsdecode(problem.where).encode(errors="backslashreplace").decode()
    return "\n".join(
        (
            f"{where}: {problem.wrong} [{kind}: {problem.kind.value}]",
            f"  means    {problem.meaning}",
            last,
        )
    )


def _json(problem: Problem, overlay: str) -> str:
    said = {
        "kind": problem.kind.value,
        "where": os.fsdecode(problem.where),
        "wrong": problem.wrong,
        "meaning": problem.meaning,
        "repair": problem.repair,
        "harmless": problem.harmless,
    }
    return json.dumps({"overlay": overlay, **said} if overlay else said)


def _summary(options: argparse.Namespace, problems: list[Problem], repaired: bool) -> str:
    if not problems:
        return "nothing is wrong"
    notes = sum(problem.harmless for problem in problems)
    left = sum(not problem.repairable for problem in problems)
    hidden = sum(not _is_told(options, problem) for problem in problems)
    counted = f"notes: {notes}" + (" (-v tells them)" if hidden else "")
    if notes == len(problems) and not options.repair:
        return f"nothing is wrong; {counted}"
    said = f"problems: {len(problems) - notes}, {counted}"
    if repaired:
        return f"{said}; all repaired but {left}" if left else f"{said}; all repaired"
    rest = f", all but {left}" if left else ""
    return f"{said}; --repair mends them{rest}"
