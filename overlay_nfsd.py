"""The command `overlay-nfsd`, which sees first that the packages are its own.

They have common names. Where somebody else's `index`, say, is found before ours, as it may be
without an environment of our own, nothing that is done would mean what it says.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("nfsd", "overlay", "index")


def main() -> int:
    """Run the command line; returns the exit status."""
    problem = foreign()
    if problem is not None:
        print(f"overlay-nfsd: {problem}", file=sys.stderr)
        return 2
    status: int = import_module("nfsd.commands.cli").main()
    return status


def foreign() -> str | None:
    """What to say of the first package that is not beside this module; None if all are."""
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None:
            return f"its package {name} is not there: install it again"
        place = Path((spec.submodule_search_locations or [spec.origin or ""])[0]).resolve()
        if place.parent != Path(__file__).resolve().parent:
            return (
                f"{place} is another program's {name}, found before its own: install it into a "
                "virtual environment of its own (docs/install.md), and leave PYTHONPATH out"
            )
    return None


if __name__ == "__main__":
    sys.exit(main())
