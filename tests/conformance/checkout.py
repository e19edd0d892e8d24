"""Checkouts of this project, as somebody has them who installs it: without what git ignores."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conformance.machine import UnavailableError, command
from tests.conformance.server import PROJECT


def top() -> Path:
    """Where git has this checkout: tests also run in a compiled copy, of which it knows nothing."""
    return Path(command(["git", "rev-parse", "--show-toplevel"], timeout=60, cwd=PROJECT).strip())


def copy_checkout(into: Path) -> None:
    """Copy this checkout as it is now."""
    source = top()
    for name in filter(None, command(["git", "ls-files"], timeout=60, cwd=source).split("\n")):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, into / name)


def unpack(revision: str, into: Path) -> None:
    """Have another version there, as git has it."""
    into.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=top(), capture_output=True, check=False
    )
    if archive.returncode != 0:
        raise UnavailableError(f"git archive {revision}: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", into], input=archive.stdout, check=True)
