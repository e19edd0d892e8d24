"""What a newcomer does first where something is lacking: it is said, and the next try works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.server import PROJECT
from tests.overlays import Dirs, make_dirs, mounted
from tests.property import syscalls

pytestmark = pytest.mark.once

PACKAGING = PROJECT / "packaging"


def run(
    *words: str | Path, cwd: Path = PROJECT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_python_that_makes_no_environments(tmp_path: Path) -> None:
    """As Debian's without python3-venv, which leaves half of one, before and after it is there."""
    place, lacking = tmp_path / "venv", tmp_path / "lacking" / "ensurepip"
    lacking.mkdir(parents=True)
    (lacking / "__init__.py").write_text("raise ImportError")
    make = PACKAGING / "venv.sh", os.path.realpath(sys.executable), place
    done = run(*make, environment={"PYTHONPATH": str(lacking.parent)})
    assert (done.returncode, place.exists()) == (2, False)
    assert done.stderr.endswith("makes no virtual environments: apt-get install python3-venv\n")
    half = run(make[1], "-m", "venv", "--without-pip", place)
    assert half.returncode == 0, half.stderr
    for _ in range(2):
        done = run(*make)
        assert done.returncode == 0, done.stderr
        assert run(place / "bin/python", "-m", "pip", "--version").returncode == 0


def test_no_python(tmp_path: Path) -> None:
    done = run(PACKAGING / "venv.sh", "no-such-python", tmp_path / "venv")
    assert done.returncode == 2
    assert "apt-get install python3 python3-venv" in done.stderr


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return make_dirs(tmp_path)


def test_a_demonstration_on_overlayfs(dirs: Dirs) -> None:
    """It is refused there, and no half of it is taken for a whole one."""
    syscalls.private_mounts()
    with mounted(dirs) as root:
        for _ in range(2):
            done = run(PACKAGING / "demo.sh", root / "demo")
            assert done.returncode == 2
            assert "like DEMO=/dev/shm/demo" in done.stderr
            assert not list(root.glob("demo*"))


def test_a_demonstration_is_whole_and_stays(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    (place / "lower1").mkdir(parents=True)
    done = run(PACKAGING / "demo.sh", place)
    assert done.returncode == 2
    assert f"{place} is there already, and is no demonstration or half of one" in done.stderr
    (place / "lower1").rmdir()
    assert run(PACKAGING / "demo.sh", place).returncode == 0
    (place / "upper" / "mine").touch()
    assert run(PACKAGING / "demo.sh", place).returncode == 0
    assert (place / "upper" / "mine").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("name", ["nfsd", "overlay", "index"])
def test_a_package_of_somebody_else(tmp_path: Path, name: str) -> None:
    """...with the name of one of ours, that is found first."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    start = "import sys, overlay_nfsd; sys.exit(overlay_nfsd.main())"
    words = sys.executable, "-c", start, "--version"
    done = run(*words, cwd=tmp_path, environment={"PYTHONPATH": str(PROJECT)})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path / name} is another program's {name}" in done.stderr
    done = run(*words, environment={"PYTHONPATH": str(PROJECT)})
    assert (done.returncode, done.stderr) == (0, "")
