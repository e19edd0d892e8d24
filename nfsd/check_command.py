"""`overlay-nfsd check`: what is wrong with the layers and the index, in words."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Final

from nfsd import descriptors
from nfsd.options import add_layer_options, add_without, overlay_config, without
from nfsd.progress import Progress
from overlay.check.problem import Problem
from overlay.check.run import check

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_CLEAN: Final = 0
_FOUND: Final = 1
_TITLE: Final = "Look for what is wrong with an overlay that no server has open."
_DESCRIPTION: Final = f"""\
{_TITLE}

Goes through the upper layer, the lower layers, the index and the work directory
and says for each problem what is wrong, what it means for clients, and what a
repair does. Without --repair nothing is changed. The server mends by itself, at
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
    parser.add_argument("--repair", action="store_true", help="repair what can be repaired")
    add_without(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    parser.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    descriptors.raise_limit()  # one is open for each level of directories
    config = overlay_config(options)
    problems: list[Problem] = []
    with Progress("checking") as progress:
        for problem in check(
            config, repair=options.repair, without=without(options), progress=progress
        ):
            progress.hide()
            problems.append(problem)
            print(_json(problem) if options.json else _text(problem, options.repair), flush=True)
    if not options.json:
        print(_summary(problems, options.repair))
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
