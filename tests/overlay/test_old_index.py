"""Work directories of earlier versions, whose whiteouts do not say whose they are."""

from __future__ import annotations

import errno
import json
import os
import time
from functools import partial
from pathlib import Path

import pytest

from index.entry_names import own_name
from nfsd.commands.cli import main
from overlay.check.run import check
from overlay.filesystem import Overlay
from overlay.model.config import ConfigError
from tests.overlays import Dirs, make_dirs, served


def _as_before(dirs: Dirs) -> None:
    """What the earlier version would have left: no second links, nothing of them in the record."""
    for name in os.listdir(dirs.work / "inodes"):
        if "." in name:
            (dirs.work / "inodes" / name).unlink()
    path = dirs.work / "identity/layers.json"
    record = json.loads(path.read_bytes())
    del record["since"], record["unattributed"]
    path.write_text(json.dumps(record))


def test_a_later_version_is_not_undone(tmp_path: Path) -> None:
    """Who goes back to this version is told, and loses nothing, whatever he asks for."""
    dirs = make_dirs(tmp_path)
    with served(dirs) as at:
        at.remove("a")
    form = dirs.work / "identity/format"
    assert form.read_text() == "1\n"
    form.write_text("2\n")
    before = sorted(dirs.work.rglob("*"))
    config, where = dirs.config, f"--workdir={dirs.work}"
    for refused in (
        partial(Overlay.open, config),
        lambda: list(check(config, repair=True)),
    ):
        with pytest.raises(ConfigError, match=r"in format 2, and this one knows 1: run that"):
            refused()
    assert main(["index", "detach", where, "--yes"]) == 2
    assert sorted(dirs.work.rglob("*")) == before
    form.unlink()  # as it was before the format was recorded
    with served(dirs) as at, pytest.raises(OSError, match="No such file"):
        at.node("a")
    assert form.read_text() == "1\n"


@pytest.fixture
def removed(tmp_path: Path) -> tuple[Dirs, bytes]:
    """An overlay in which a client has removed a file, and the file's handle."""
    dirs = make_dirs(tmp_path)
    with served(dirs) as at:
        handle = at.node("a").handle
        at.remove("a")
    _as_before(dirs)
    return dirs, handle


def test_what_was_removed_stays_stale(removed: tuple[Dirs, bytes]) -> None:
    dirs, handle = removed
    for _ in range(2):
        with served(dirs) as at:
            with pytest.raises(OSError, match="Stale") as refused:
                at.overlay.resolve(handle)
            assert refused.value.errno == errno.ESTALE


def test_what_was_made_since_is_another_object(removed: tuple[Dirs, bytes]) -> None:
    """Its number has a whiteout, which was made before it was."""
    dirs, _ = removed
    time.sleep(0.05)  # the filesystem's clock ticks
    new = dirs.lower / "made since"
    new.write_text("new")
    (dirs.work / f"inodes/#{new.stat().st_ino}").hardlink_to(dirs.work / "staging/whiteout")
    time.sleep(0.05)
    new.chmod(0o600)  # linking the whiteout has changed its time, as it has that of all its names
    with served(dirs) as at:
        handle = at.node("made since").handle
        assert at.read("made since") == b"new"
        at.write("made since", "NEW")
        assert at.overlay.resolve(handle).handle == handle


def test_what_is_removed_now_says_whose_it_was(removed: tuple[Dirs, bytes]) -> None:
    dirs, _ = removed
    with served(dirs) as at:
        name = own_name(at.node("c").identity)
        at.remove("c")
    assert os.fsdecode(name) in os.listdir(dirs.work / "inodes")
