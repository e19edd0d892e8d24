"""Which version of the program this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from nfsd.base.about import PROGRAM
from nfsd.xdr import codec


@cache
def version_text() -> str:
    """Return the version that is installed, its commit if known, and whether it is compiled.

    See setup.py for the last two.
    """
    try:
        number = version(PROGRAM)
    except PackageNotFoundError:
        number = "(not installed)"
    commit = files("nfsd") / "commit.txt"
    if commit.is_file():
        number += f", commit {commit.read_text().strip()}"
    return number if codec.__file__.endswith(".py") else f"{number} (compiled)"
