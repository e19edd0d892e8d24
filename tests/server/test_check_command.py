"""The commands `check` and `index detach`: what they say and how they end."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overlay.filesystem import Overlay
from overlay.model.config import OverlayConfig
from tests.overlays import Dirs, Served, make_dirs, served

pytestmark = pytest.mark.once


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    made = make_dirs(tmp_path)
    with served(made) as at:
        at.write("a", "changed")
    return made


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nfsd", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=180, check=False
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
    assert (done.returncode, done.stdout) == (0, "nothing is wrong; notes: 1 (-v tells them)\n")
    done = check(dirs, "-v")
    assert done.returncode == 0
    assert "[note: not-linked-up]" in done.stdout
    assert done.stdout.splitlines()[-1] == "nothing is wrong; notes: 1"
    done = check(dirs, "--repair")
    assert "[note: not-linked-up]" in done.stdout  # what a repair changes is told


@pytest.fixture
def file(tmp_path_factory: pytest.TempPathFactory, dirs: Dirs) -> Path:
    """A configuration: an overlay, one for each client, of which two have come, and an image."""
    place = tmp_path_factory.mktemp("file")
    clients = ("10.0.0.11", "10.0.0.12")
    for client, part in itertools.product(clients, ("upper", "work")):
        (place / client / part).mkdir(parents=True)
    for client in clients:
        own = OverlayConfig(
            dirs.config.lowerdirs,
            os.fsencode(place / client / "upper"),
            os.fsencode(place / client / "work"),
        )
        overlay = Overlay.open(own)
        Served(overlay).write("a", client)
        overlay.close()
    file = place / "overlay-nfsd.toml"
    rows = {
        "/debian": f'upperdir = "{dirs.upper}"\nworkdir = "{dirs.work}"',
        "/room": f'upperdir = "{place}/{{client}}/upper"\nworkdir = "{place}/{{client}}/work"',
        "/image": "",
    }
    file.write_text(
        "".join(
            f'[[export]]\npath = "{path}"\nlowerdir = "{dirs.lower}"\n{layers}\n'
            'clients = { "*" = "rw" }\n'
            for path, layers in rows.items()
        )
    )
    return file


def test_exports_of_the_file(dirs: Dirs, file: Path) -> None:
    damage(dirs)
    os.setxattr(file.parent / "10.0.0.12/upper/a", "trusted.overlay.nlink", b"two")
    one = run("check", "--config", str(file), "/debian")
    assert (one.returncode, one.stderr) == (1, "")
    assert one.stdout.splitlines()[-1] == "problems: 1, notes: 0; --repair mends them"
    client = run("check", "--config", str(file), "--client", "10.0.0.11")
    assert (client.returncode, client.stdout) == (0, "nothing is wrong\n")
    everything = run("check", "--config", str(file), "--all", "--json")
    assert everything.returncode == 1
    said = [json.loads(line) for line in everything.stdout.splitlines()]
    assert [each["overlay"] for each in said] == ["/debian", "/room of 10.0.0.12"]
    assert run("check", "--config", str(file), "/room", "--all", "--repair").returncode == 1
    assert run("check", "--config", str(file), "/room", "--all").returncode == 0


def test_one_that_is_served_keeps_none_from_being_checked(dirs: Dirs, file: Path) -> None:
    with served(dirs):
        done = run("check", "--config", str(file), "--all")
    assert done.returncode == 2
    assert "/debian: the workdir is in use by another server" in done.stderr
    assert done.stdout.count("nothing is wrong") == 2


def test_sealed_and_detached_by_export(dirs: Dirs, file: Path) -> None:
    done = run("index", "seal", "--config", str(file), "--all")
    assert done.returncode == 0
    assert done.stdout.count("sealed: ") == 3
    done = run("index", "detach", "--config", str(file), "/debian", "--yes")
    assert (done.returncode, done.stdout) == (0, "detached: 1 files were in the index\n")
    assert not (dirs.work / "inodes").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "an export of"),
        (("/other",), "no export /other: there are /debian, /room, /image"),
        (("/image",), "export /image has no upper layer"),
        (("/room",), "say --client CLIENT, or --all"),
        (("--client", "10.0.0.13"), "no upper layer there"),
        (("--client", "../10.0.0.11"), "is no address"),
        (("--client", "10.0.0.11", "--all"), "exclude each other"),
        (("/debian", "--workdir", "/x"), "not both"),
        (("/debian", "/room", "--all", "--undo", "x"), "is for one overlay"),
    ],
)
def test_what_is_not_clear_is_refused(file: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("check", "--config", str(file), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


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
