"""The commands `check` and `index detach`: what they say and how they end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.overlays import Dirs, make_dirs, served


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    made = make_dirs(tmp_path)
    with served(made) as at:
        at.write("a", "changed")
    return made


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nfsd", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
    )


def check(dirs: Dirs, *arguments: str) -> subprocess.CompletedProcess[str]:
    layers = ["--lowerdir", str(dirs.lower), "--upperdir", str(dirs.upper)]
    return run("check", *layers, "--workdir", str(dirs.work), *arguments)


def damage(dirs: Dirs) -> None:
    os.setxattr(dirs.upper / "a", "trusted.overlay.nlink", b"two")


def test_clean(dirs: Dirs) -> None:
    done = check(dirs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing is wrong\n", "")


def test_problem_in_words_then_repaired(dirs: Dirs) -> None:
    damage(dirs)
    done = check(dirs)
    assert done.returncode == 1
    where, means, repair, summary = done.stdout.splitlines()
    assert where.startswith("inodes/#")
    assert "`overlay.nlink` is damaged" in where
    assert means.endswith("means    every access to the file fails")
    assert repair.endswith("repair   the names are counted")
    assert summary == "problems: 1, notes: 0; --repair mends them"
    done = check(dirs, "--repair")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "problems: 1, notes: 0; all repaired"
    assert check(dirs).returncode == 0


def test_notes_alone_are_no_failure(dirs: Dirs) -> None:
    (dirs.upper / "a").unlink()
    done = check(dirs)
    assert done.returncode == 0
    assert "[note: not-linked-up]" in done.stdout


def test_json(dirs: Dirs) -> None:
    damage(dirs)
    done = check(dirs, "--json")
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert said["kind"] == "nlink-malformed"
    assert said["harmless"] is False
    assert set(said) == {"kind", "where", "wrong", "meaning", "repair", "harmless"}


def test_refused_while_served(dirs: Dirs) -> None:
    with served(dirs):
        done = check(dirs, "--repair")
    assert done.returncode == 2
    assert "in use by another server" in done.stderr


def test_refused_without_layers(dirs: Dirs) -> None:
    shutil.rmtree(dirs.lower)
    done = check(dirs)
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_missing_workdir_is_refused(dirs: Dirs) -> None:
    shutil.rmtree(dirs.work)
    done = check(dirs)
    assert done.returncode == 2
    assert "cannot check the workdir" in done.stderr


def test_detach_asks(dirs: Dirs) -> None:
    done = run("index", "detach", "--workdir", str(dirs.work))
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert (dirs.work / "inodes").exists()


def test_detach(dirs: Dirs) -> None:
    done = run("index", "detach", "--workdir", str(dirs.work), "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "detached: 1 files were in the index\n"
    assert not (dirs.work / "inodes").exists()
    again = run("index", "detach", "--workdir", str(dirs.work), "--yes")
    assert again.returncode == 2
    assert "there is no index" in again.stderr


def test_detach_says_that_metacopies_are_left(dirs: Dirs) -> None:
    with served(dirs) as at:
        at.chmod("c", 0o600)
    done = run("index", "detach", "--workdir", str(dirs.work), "--yes")
    assert "1 of the upper layer's files" in done.stdout
    assert "metacopy=on" in done.stdout
