"""What a repair takes away is kept, and taking the repair back gives the same bytes again."""

from __future__ import annotations

import os
import pty
import random
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from overlay.check.keep import Keeper
from overlay.check.run import check
from overlay.check.undo import undo
from overlay.model.config import ConfigError
from tests.overlay import test_check, test_presence
from tests.overlay.test_check import CASES, Base, Case
from tests.overlay.test_presence import Layers
from tests.overlays import Dirs, make_dirs, served
from tests.property.trees import raw

base = test_check.base
layers = test_presence.layers
_INO, _NLINK, _ATIME, _CTIME = 1, 2, 6, 8


def disk(place: Path) -> dict[bytes, tuple[object, ...]]:
    """All there is: names, types, contents, attributes and times of change, and which are one."""
    seen: dict[bytes, tuple[object, ...]] = {}
    first: dict[object, bytes] = {}
    for path, facts in sorted(raw(place).items()):
        kept = list(facts)
        mode = int(str(kept[0]))
        if b"/work/repaired" in path or path.endswith(b"/work"):
            continue
        kept[_ATIME] = kept[_CTIME] = None
        if stat.S_ISDIR(mode):
            kept[_NLINK] = None
        # Directories and whiteouts are made anew; of a file it counts which names are one.
        kept[_INO] = first.setdefault(kept[_INO], path) if stat.S_ISREG(mode) else None
        if stat.S_ISCHR(mode):
            kept = kept[:_NLINK]
        seen[path] = tuple(kept)
    return seen


def repaired(config: Dirs | Layers) -> bytes | None:
    made = config.config if isinstance(config, Dirs) else config.config()
    keeper = Keeper(made)
    list(check(made, repair=True, keeper=keeper))
    return keeper.path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_repair_can_be_undone(base: Base, case: Case) -> None:
    case.plant(base)
    before = disk(base.dirs.place)
    folder = repaired(base.dirs)
    assert folder is not None
    after = disk(base.dirs.place)
    assert after != before
    undo(base.dirs.config, folder)
    assert disk(base.dirs.place) == before
    problems = list(check(base.dirs.config, repair=False))
    assert [problem.kind for problem in problems] == [case.kind]
    again = repaired(base.dirs)
    assert again is not None
    assert list(check(base.dirs.config, repair=False)) == []
    test_check.assert_served_well(base, case)


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_repaired_and_back_again(layers: Layers, seed: int) -> None:
    dice = random.Random(seed)
    test_presence.serve(layers.config(), dice)
    for _ in range(3):
        test_presence.damage(layers, dice)
    before = disk(layers.place)
    folder = repaired(layers)
    if folder is None:
        assert disk(layers.place) == before
        return
    undo(layers.config(), folder)
    assert disk(layers.place) == before


def test_nothing_is_kept_where_nothing_is_repaired(base: Base) -> None:
    assert repaired(base.dirs) is None
    assert not (base.dirs.work / "repaired").exists()


def test_the_folder_says_what_was_done(base: Base) -> None:
    test_check.put(base.entry("a"), "nlink", b"two")
    folder = repaired(base.dirs)
    assert folder is not None
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d(\.\d+)?", os.path.basename(folder))
    log = Path(os.fsdecode(folder), "log").read_text()
    assert "nlink-malformed" in log
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_what_was_changed_since_is_not_undone(base: Base) -> None:
    test_check.put(base.upper("a"), "nlink", b"two")
    folder = repaired(base.dirs)
    assert folder is not None
    with served(base.dirs) as at:
        at.link("a", "linked")
    now = disk(base.dirs.place)
    with pytest.raises(ConfigError, match="was changed since the repair"):
        undo(base.dirs.config, folder)
    assert disk(base.dirs.place) == now


def test_refused_while_served(base: Base) -> None:
    test_check.put(base.upper("a"), "nlink", b"two")
    folder = repaired(base.dirs)
    assert folder is not None
    with served(base.dirs), pytest.raises(ConfigError, match="stop the server"):
        undo(base.dirs.config, folder)


def command(dirs: Dirs, *arguments: str) -> list[str]:
    layers = ["--lowerdir", str(dirs.lower), "--upperdir", str(dirs.upper)]
    start = [sys.executable, "-m", "nfsd", "check", *layers, "--workdir", str(dirs.work)]
    return [*start, *arguments]


def run(dirs: Dirs, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = command(dirs, *arguments)
    return subprocess.run(
        words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=180, check=False
    )


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    made = make_dirs(tmp_path)
    with served(made) as at:
        at.write("a", "changed")
    os.setxattr(made.upper / "a", "trusted.overlay.nlink", b"two")
    return made


def test_dry_run_changes_nothing_and_undo_takes_back(dirs: Dirs) -> None:
    before = disk(dirs.place)
    assert "--repair mends them" in run(dirs, "--repair", "--dry-run").stdout
    assert disk(dirs.place) == before
    done = run(dirs, "--repair", "--yes")
    assert "all repaired" in done.stdout
    found = re.search(r"--undo (\S+) takes it back", done.stderr)
    assert found is not None
    undone = run(dirs, "--undo", found[1])
    assert (undone.returncode, undone.stderr) == (0, "")
    assert disk(dirs.place) == before
    assert run(dirs, "--undo", found[1]).returncode == 2


@pytest.mark.parametrize(("answer", "status"), [(b"\n", 2), (b"n\n", 2), (b"y\n", 1)])
def test_on_a_terminal_it_asks(dirs: Dirs, answer: bytes, status: int) -> None:
    before = disk(dirs.place)
    ours, its = pty.openpty()
    try:
        words = command(dirs, "--repair")
        with subprocess.Popen(
            words, stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as on:
            os.write(ours, answer)
            out, err = on.communicate(timeout=180)
    finally:
        os.close(ours)
        os.close(its)
    assert b"--repair mends them" in out
    assert b"Repair this? [y/N]" in err
    assert on.returncode == status
    assert (disk(dirs.place) == before) == (status == 2)
