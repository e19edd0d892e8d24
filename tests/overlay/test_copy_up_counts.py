"""What is counted of copy-ups, and what is said of stale handles."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from overlay.base.counters import Rows
from overlay.base.credentials import ROOT
from overlay.model import copy_up_counts
from overlay.model.attributes import Changes
from overlay.model.contents import Stable
from overlay.model.copy_up_counts import CopyUps, Kind, copying
from overlay.model.outcomes import Cause
from tests.overlays import Dirs, make_dirs, served


def since(before: dict[Kind, CopyUps]) -> dict[str, tuple[int, int]]:
    """How many were copied up since, and how much, by kind."""
    now = copy_up_counts.copy_ups()
    more = {
        kind: (now[kind].done - was.done, now[kind].size - was.size) for kind, was in before.items()
    }
    return {kind.name: each for kind, each in more.items() if any(each)}


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return make_dirs(tmp_path)


def test_copy_ups_are_counted_by_kind(dirs: Dirs) -> None:
    size = (dirs.lower / "d/f").stat().st_size
    with served(dirs) as overlay:
        before = copy_up_counts.copy_ups()
        overlay.chmod("d/f", 0o600)
        assert since(before) == {"METADATA": (1, 0), "DIRECTORY": (1, 0)}
        overlay.write("d/f", "x")
        assert since(before) == {"METADATA": (1, 0), "DIRECTORY": (1, 0), "DATA": (1, size)}
        overlay.write("d/f", "y")
        overlay.chmod("d/f", 0o644)
        overlay.chmod("d", 0o700)
        assert since(before) == {"METADATA": (1, 0), "DIRECTORY": (1, 0), "DATA": (1, size)}
        assert copy_up_counts.copy_ups()[Kind.DATA].nanoseconds > before[Kind.DATA].nanoseconds
        assert {each.under_way for each in copy_up_counts.copy_ups().values()} == {0}


def test_only_what_is_left_by_a_truncation_is_counted(dirs: Dirs) -> None:
    with served(dirs) as overlay:
        before = copy_up_counts.copy_ups()
        overlay.overlay.setattr(overlay.node("a"), ROOT, Changes(size=5))
        assert since(before) == {"METADATA": (1, 0), "DATA": (1, 5)}


def test_one_that_fails_is_told_apart() -> None:
    before = copy_up_counts.copy_ups()[Kind.DATA]

    def copy() -> None:
        with copying(Kind.DATA, 5):
            assert copy_up_counts.copy_ups()[Kind.DATA].under_way == before.under_way + 1
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        copy()
    now = copy_up_counts.copy_ups()[Kind.DATA]
    assert (now.done, now.failed, now.size) == (before.done, before.failed + 1, before.size)
    assert now.under_way == before.under_way


def test_what_a_killed_process_counted_stays_and_what_it_was_making_does_not() -> None:
    """The next process in its slot counts on."""
    before = copy_up_counts.copy_ups()[Kind.DATA]
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            copy_up_counts.join(1)
            with copying(Kind.DATA, 7):
                pass
            with copying(Kind.DATA, 7):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert copy_up_counts.copy_ups()[Kind.DATA].under_way == before.under_way + 1
    assert copy_up_counts.copy_ups()[Kind.DATA].done == before.done + 2
    pid = os.fork()
    if pid == 0:
        copy_up_counts.join(1)
        os._exit(0)
    os.waitpid(pid, 0)
    now = copy_up_counts.copy_ups()[Kind.DATA]
    assert (now.done, now.under_way) == (before.done + 2, before.under_way)


def test_rows_are_summed() -> None:
    rows = Rows(3, writers=2)
    rows.row(0)[0] = 5
    rows.row(1)[0] = 7
    rows.row(1)[2] = 1
    assert rows.sums() == [12, 0, 1]


def test_why_a_handle_is_stale(dirs: Dirs) -> None:
    with served(dirs) as overlay:
        overlay.create("new")
        handles = overlay.handles()
        for path in ("a", "new", "d/sub/g"):
            overlay.remove(path)
        overlay.rmdir("d/sub")
        gone = {path: overlay.overlay.why_stale(handles[path]) for path in ("a", "new", "d/sub")}
        assert set(gone.values()) == {Cause.REMOVED}
        assert overlay.overlay.why_stale(handles["b"]) is Cause.PASSED
        with pytest.raises(OSError, match="not a file handle"):
            overlay.overlay.why_stale(b"\x01" * 40)


def test_stale_because_of_the_layers(dirs: Dirs) -> None:
    """Somebody changed them while no server ran."""
    with served(dirs) as overlay:
        handles = overlay.handles()
    (dirs.lower / "c").unlink()
    subprocess.run(["rm", "-r", dirs.lower / "e"], check=True)
    with served(dirs) as overlay:
        assert overlay.overlay.why_stale(handles["c"]) is Cause.INODE
        assert overlay.overlay.why_stale(handles["e"]) is Cause.INODE
    other = dirs.place / "other"
    other.mkdir()
    (dirs.lower / "gone").rename(other / "gone")
    with served(dirs) as overlay:
        assert overlay.overlay.why_stale(handles["gone"]) is Cause.PLACE
        overlay.overlay.write(overlay.node("a"), ROOT, 0, b"x", Stable.UNSTABLE)
