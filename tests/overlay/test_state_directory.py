"""Where the key is kept: made for root alone, and refused where anybody else could replace it.

The random paths are attacked in earnest, by a process of another user, which tries at every height.
"""

from __future__ import annotations

import os
import random
import stat
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from overlay.filesystem import Overlay
from overlay.model import state_directory
from overlay.model.config import ConfigError, OverlayConfig
from overlay.model.state_directory import open_private
from tests.overlays import Dirs, make_dirs, served
from tests.property.syscalls import plain_root_rules

_EVE = 1000
_MODES = (0o700, 0o755, 0o750, 0o775, 0o777, 0o1777, 0o1775, 0o711)


def refused(path: Path) -> bool:
    try:
        open_private(os.fsencode(path), "")
    except ConfigError:
        return True
    return False


def attacked(way: list[Path]) -> bool:
    """Whether another user can put something of his in the place of what is on the way."""

    pid = os.fork()
    if pid == 0:
        done = True
        try:
            plain_root_rules()  # which an overlay in this process has changed
            os.setgroups([])
            os.setresgid(_EVE, _EVE, _EVE)
            os.setresuid(_EVE, _EVE, _EVE)
            done = any(_taken(*pair) for pair in pairwise(way)) or _planted(way[-1])
        finally:
            os._exit(done)
    return os.waitpid(pid, 0)[1] != 0


def _opened_up(path: Path) -> None:
    """What an owner can do: give himself all rights."""
    if path.is_symlink():
        raise OSError
    os.chmod(path, 0o777)


def _taken(parent: Path, child: Path) -> bool:
    stolen = child.with_name("stolen")
    works: tuple[Callable[[], object], ...] = (
        lambda: _opened_up(parent),
        lambda: os.rename(child, stolen),
    )
    for work in works:
        try:
            work()
        except OSError:
            continue
        return True
    return False


def _planted(directory: Path) -> bool:
    try:
        _opened_up(directory)
    except OSError:
        try:
            (directory / "planted").mkdir()
        except OSError:
            return False
    return True


def random_way(dice: random.Random, place: Path) -> list[Path]:
    """Directories one in the other, of several modes and owners, one of them behind a link."""
    way = [place]
    for depth in range(dice.randint(1, 4)):
        path = way[-1] / f"d{depth}"
        if dice.random() < 0.2:
            target = way[-1] / f"t{depth}"
            target.mkdir()
            path.symlink_to(dice.choice((target, target.name)))
            way.append(path)
            path = target
        else:
            path.mkdir()
        way.append(path)
    for path in way[1:]:
        owner = dice.choice((0, 0, 0, 0, 0, _EVE))
        os.chown(path, owner, dice.choice((0, _EVE)), follow_symlinks=False)
        if not path.is_symlink():
            mode = dice.choice(_MODES if dice.random() < 0.5 else _MODES[:2])
            os.chmod(path, mode)
    return way


@pytest.mark.parametrize("seed", range(40))
def test_refused_where_another_user_gets_in(tmp_path: Path, seed: int) -> None:
    os.chmod(tmp_path, 0o711)
    for above in tmp_path.parents:  # so that the attacker gets here at all
        if above.stat().st_uid == 0 and above.name.startswith("pytest"):
            os.chmod(above, 0o711)
    dice = random.Random(seed)
    for number in range(10):
        place = tmp_path / f"{number}"
        place.mkdir()
        place.chmod(0o711)
        way = random_way(dice, place)
        shown = [(str(each), oct(each.lstat().st_mode), each.lstat().st_uid) for each in way]
        # Where he cannot get to what is his, nothing happens; it is refused all the same.
        verdict = refused(way[-1])
        assert verdict or not attacked(way), shown
        if not verdict:
            continue
        assert any(
            st.st_uid == _EVE or st.st_mode & 0o022
            for st in (each.lstat() for each in way[1:])
            if not stat.S_ISLNK(st.st_mode) or st.st_uid == _EVE
        ), shown


def read_only(tmp_path: Path) -> OverlayConfig:
    lower = tmp_path / "only"
    lower.mkdir(exist_ok=True)
    return OverlayConfig((os.fsencode(lower),))


def test_where_there_are_no_file_handles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State of a read-only export lies on any filesystem, as the root of a container is."""
    for name in ("below", "above", "room", "merged"):
        (tmp_path / name).mkdir(0o755)
    layers = f"lowerdir={tmp_path}/below,upperdir={tmp_path}/above,workdir={tmp_path}/room"
    merged = str(tmp_path / "merged")
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", merged], check=True)
    try:
        monkeypatch.setenv("STATE_DIRECTORY", f"{merged}/state")
        for _ in range(2):
            Overlay.open(read_only(tmp_path)).close()
    finally:
        subprocess.run(["umount", merged], check=True)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_made_for_root_alone_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "above/state"))
    before = os.umask(umask)
    try:
        Overlay.open(read_only(tmp_path)).close()
    finally:
        os.umask(before)
    made = [tmp_path / "above", *(tmp_path / "above").rglob("*")]
    directories = [path for path in made if path.is_dir()]
    assert len(directories) >= 6  # above, state, the export's, and those in it
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}


def test_what_others_may_have_planted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with pytest.raises(ConfigError, match=r"state can be written to by others .* chmod go-w"):
        Overlay.open(read_only(tmp_path))


def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory as earlier versions made it where nobody named another."""
    default = tmp_path / "overlay-nfsd"
    default.mkdir()
    default.chmod(0o777)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(state_directory, "STATE_DIRECTORY", os.fsencode(default))
    return default


def test_what_earlier_versions_left_open_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = earlier(tmp_path, monkeypatch)
    (default / "of another export").mkdir()
    Overlay.open(read_only(tmp_path)).close()
    assert stat.S_IMODE(default.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["directory", "link", "file"])
def test_unless_somebody_has_been_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    default = earlier(tmp_path, monkeypatch)
    planted = default / "planted"
    if kind == "directory":
        planted.mkdir()
    elif kind == "link":
        planted.symlink_to("/tmp")
    else:
        planted.touch()
    os.chown(planted, _EVE, _EVE, follow_symlinks=False)
    with pytest.raises(ConfigError, match="can be written to by others"):
        Overlay.open(read_only(tmp_path))


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    made = make_dirs(tmp_path)
    with served(made) as at:
        at.write("a", "changed")
    return made


@pytest.mark.parametrize("name", ["", "identity", "inodes", "staging"])
def test_workdir_of_another_user_is_refused(dirs: Dirs, name: str) -> None:
    os.chown(dirs.work / name, _EVE, _EVE)
    with pytest.raises(ConfigError, match="belongs to uid 1000"):
        Overlay.open(dirs.config)
    os.chown(dirs.work / name, 0, 0)
    os.chmod(dirs.work / name, 0o770)
    with pytest.raises(ConfigError, match="can be written to by others"):
        Overlay.open(dirs.config)


def test_index_that_others_can_read_is_closed(dirs: Dirs) -> None:
    for name in ("identity", "inodes", "staging"):
        os.chmod(dirs.work / name, 0o755)
    with served(dirs):
        for name in ("identity", "inodes", "staging"):
            assert stat.S_IMODE((dirs.work / name).stat().st_mode) == 0o700


@pytest.mark.parametrize("spoil", ["mode", "owner", "link"])
def test_key_that_others_may_know_is_refused(dirs: Dirs, spoil: str) -> None:
    key = dirs.work / "identity/key"
    if spoil == "mode":
        key.chmod(0o644)
    elif spoil == "owner":
        os.chown(key, _EVE, _EVE)
    else:
        os.rename(key, dirs.place / "elsewhere")
        key.symlink_to(dirs.place / "elsewhere")
    with pytest.raises(ConfigError, match="identity/key"):
        Overlay.open(dirs.config)
