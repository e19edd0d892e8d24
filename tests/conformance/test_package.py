"""The Debian package as it is built; installed, upgraded and purged it is by package.py."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conformance.checkout import copy_checkout
from tests.conformance.machine import command
from tests.conformance.package import build
from tests.conformance.server import PROJECT

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]


def copied(place: Path) -> Path:
    """What packaging/Containerfile copies of a checkout, to build the package there."""
    copy_checkout(place / "whole")
    text = (PROJECT / "packaging/Containerfile").read_text()
    for line in re.findall(r"^COPY ([^-].*)$", text, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            into = place / "copied" / (target if len(sources) == 1 else source)
            into.parent.mkdir(parents=True, exist_ok=True)
            if (place / "whole" / source).is_dir():
                shutil.copytree(place / "whole" / source, into)
            else:
                shutil.copy2(place / "whole" / source, into)
    return place / "copied"


def test_a_package_of_what_the_image_is_built_of(tmp_path: Path) -> None:
    """It is whole, names no place where it was built, and wants this very Python."""
    package = build(copied(tmp_path))
    root = tmp_path / "root"
    command(["dpkg-deb", "--raw-extract", package, root], timeout=120)
    command(["md5sum", "--check", "--quiet", "DEBIAN/md5sums"], timeout=120, cwd=root)
    mine = str(tmp_path).encode()
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if mine in path.read_bytes()] == []
    names = {path.name for path in root.rglob("*")}
    assert not names & {"pip", "setuptools", "__pycache__"}
    assert {"nfsd", "lmdb", "overlay-nfsd.service", "overlay-nfsd.8.gz"} <= names
    assert (root / "DEBIAN/conffiles").read_text() == "/etc/overlay-nfsd.toml.example\n"
    (site,) = (root / "usr/lib/overlay-nfsd/lib").glob("python3.*/site-packages")
    depends = command(["dpkg-deb", "--field", package, "Depends"], timeout=60)
    assert f"python3 (>= {site.parent.name.removeprefix('python')})" in depends
    for name in ("postinst", "prerm", "postrm"):
        command(["sh", "-n", root / "DEBIAN" / name], timeout=60)
