"""Which numbers the index may have: a number that it has is never missed."""

from __future__ import annotations

import os
from pathlib import Path

from index.number_filter import ENTRIES_MAX, NumberFilter
from overlay.base.generations import bump_all
from overlay.filesystem import Overlay
from tests.overlays import Served, make_dirs


def test_what_was_there_at_the_start_and_what_is_added_may_be_there() -> None:
    numbers = NumberFilter([5, 1 << 63])
    assert numbers.may_have(5)
    assert numbers.may_have(1 << 63)
    assert not numbers.may_have(6)
    numbers.add(6)
    assert numbers.may_have(6)


def test_with_too_many_entries_nothing_is_excluded() -> None:
    assert not NumberFilter(range(ENTRIES_MAX)).may_have(ENTRIES_MAX)
    assert NumberFilter(range(ENTRIES_MAX + 1)).may_have(ENTRIES_MAX + 1)


def test_what_another_process_adds_is_known() -> None:
    numbers = NumberFilter(())
    if not (pid := os.fork()):
        numbers.add(7)
        os._exit(0)
    os.waitpid(pid, 0)
    assert numbers.may_have(7)


def test_every_object_that_the_index_gets_is_found_before_and_after_a_restart(
    tmp_path: Path,
) -> None:
    """A copied-up file, directory and hard link, a removed file, a renamed directory."""
    dirs = make_dirs(tmp_path)
    served = Served(Overlay.open(dirs.config))
    before = served.handles()
    served.write("a", "x")
    served.chmod("d", 0o700)
    served.write("b", "x")
    served.remove("c")
    served.rename("e", "moved")
    names = {name.partition(".")[0] for name in os.listdir(dirs.work / "inodes")}
    assert len(names) >= 5
    for _ in range(2):
        index = served.overlay._tree.index
        assert all(index.has_number(int(name[1:])) for name in names)
        bump_all()
        served.overlay._tree.caches.nodes.clear()
        after = served.handles()
        assert all(after[path] == before[path] for path in ("a", "d", "b", "d/b2"))
        assert after["moved"] == before["e"]
        served.overlay.close()
        served = Served(Overlay.open(dirs.config))
    served.overlay.close()
