"""`overlay-nfsd check`: what is wrong with the layers and the index, in words."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Final

from nfsd import descriptors
from nfsd.options import Refusal, add_layer_options, add_without, overlay_config, without
from nfsd.progress import Progress
from overlay.check.keep import Keeper
from overlay.check.problem import Problem
from overlay.check.run import check
from overlay.check.undo import undo
from overlay.config import OverlayConfig

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_CLEAN: Final = 0
_FOUND: Final = 1
_TITLE: Final = "Look for what is wrong with an overlay that no server has open."
_DESCRIPTION: Final = f"""\
{_TITLE}

Goes through the upper layer, the lower layers, the index and the work directory
and says for each problem what is wrong, what it means for clients, and what a
repair does. Without --repair nothing is changed; what a repair changes or takes
away is kept in repaired/ of the workdir, and --undo takes it back. The server mends by itself, at
every start, what a crash or work on a kernel mount leaves.
"""
_EPILOG: Final = """\
exit status: 0 nothing is wrong, or nothing but notes; 1 problems were found
(and repaired, with --repair, if they say so); 2 the check was refused

example:
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
    add_layer_options(parser, lower=True, upper=True, work=True)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="repair what can be repaired; on a terminal it says what that is, and asks",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --repair: say what it would do, no more"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--undo",
        metavar="FOLDER",
        help="take back a repair, if nothing was changed since: FOLDER is what it said, in "
        "repaired/ of the workdir",
    )
    add_without(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    parser.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    descriptors.raise_limit()  # one is open for each level of directories
    config = overlay_config(options)
    if options.undo is not None:
        if options.repair:
            raise Refusal("--repair and --undo do not go together: give one of them")
        print(f"undone; names that are as they were: {undo(config, os.fsencode(options.undo)):,}")
        return _CLEAN
    repair = options.repair and not options.dry_run
    if not repair or options.yes or not sys.stdin.isatty():
        return _status(_run(options, config, repair=repair))
    found = _run(options, config, repair=False)
    if not any(problem.repairable for problem in found):
        return _status(found)
    print("Repair this? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refusal("nothing was changed")
    return _status(_run(options, config, repair=True))


def _run(options: argparse.Namespace, config: OverlayConfig, *, repair: bool) -> list[Problem]:
    """Look or repair, and say what was found."""
    keeper = Keeper(config)
    problems: list[Problem] = []
    with Progress("checking") as progress:
        for problem in check(
            config, repair=repair, without=without(options), progress=progress, keeper=keeper
        ):
            progress.hide()
            problems.append(problem)
            print(_json(problem) if options.json else _text(problem, repair), flush=True)
    if not options.json:
        print(_summary(problems, repair))
    if keeper.path is not None:
        where = os.fsdecode(keeper.path)
        print(f"what was there before is in {where}: --undo {where} takes it back", file=sys.stderr)
    return problems


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


def _json(problem: Problem) -> str:
    return json.dumps(
        {
            "kind": problem.kind.value,
            "where": os.fsdecode(problem.where),
            "wrong": problem.wrong,
            "meaning": problem.meaning,
            "repair": problem.repair,
            "harmless": problem.harmless,
        }
    )


def _summary(problems: list[Problem], repaired: bool) -> str:
    if not problems:
        return "nothing is wrong"
    notes = sum(problem.harmless for problem in problems)
    left = sum(not problem.repairable for problem in problems)
    said = f"problems: {len(problems) - notes}, notes: {notes}"
    if repaired:
        return f"{said}; all repaired but {left}" if left else f"{said}; all repaired"
    rest = f", all but {left}" if left else ""
    return f"{said}; --repair mends them{rest}"
