"""The source distribution has all of a checkout, and makes the same wheel, with its metadata."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.machine import command
from tests.conformance.server import PROJECT

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]

_LIMIT: Final = 600.0  # seconds for one command
_MADE: Final = {"PKG-INFO", "setup.cfg", "nfsd/commit.txt"}
_BUILD: Final = "import sys; from setuptools import build_meta as b; b.build_{}(sys.argv[1])"


def checkout(place: Path) -> Path:
    """Clone what is committed; what is compiled is a copy below the checkout, without git."""
    top = command(["git", "rev-parse", "--show-toplevel"], timeout=60, cwd=PROJECT).strip()
    command(["git", "clone", "--quiet", top, place / "checkout"], timeout=60)
    return place / "checkout"


def build(python: Path, source: Path, kind: str, place: Path) -> Path:
    """Build an sdist or a wheel without compiling; return the one file that was made."""
    place.mkdir()
    subprocess.run(
        [str(python), "-c", _BUILD.format(kind), str(place)],
        cwd=source,
        env={**os.environ, "OVERLAY_NFSD_COMPILE": "0"},
        timeout=_LIMIT,
        check=True,
    )
    (made,) = place.iterdir()
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_source_distribution_is_a_checkout_and_makes_the_same_wheel(tmp_path: Path) -> None:
    source = checkout(tmp_path)
    command([sys.executable, "-m", "venv", tmp_path / "venv"], timeout=_LIMIT)
    python = tmp_path / "venv/bin/python"
    command([python, "-m", "pip", "install", "--quiet", "setuptools>=77"], timeout=_LIMIT)

    packed = build(python, source, "sdist", tmp_path / "sdist")
    tracked = set(command(["git", "ls-files"], timeout=60, cwd=source).split("\n")) - {""}
    with tarfile.open(packed) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
        names = {each.name.partition("/")[2] for each in file.getmembers() if each.isfile()}
    assert {name for name in names if ".egg-info/" not in name} == tracked | _MADE

    (unpacked,) = (tmp_path / "unpacked").iterdir()
    first = contents(build(python, source, "wheel", tmp_path / "first"))
    second = contents(build(python, unpacked, "wheel", tmp_path / "second"))
    assert first == second
    for package in ("nfsd", "overlay", "index"):
        assert f"{package}/py.typed" in first
    commit = command(["git", "rev-parse", "HEAD"], timeout=60, cwd=source)
    assert commit.startswith(first["nfsd/commit.txt"].decode().strip())
    (metadata,) = (text for name, text in first.items() if name.endswith("/METADATA"))
    for line in (b"License-Expression: Apache-2.0", b"Summary: ", b"Classifier: Typing :: Typed"):
        assert line in metadata
    assert b"\n# overlay-nfsd" in metadata
