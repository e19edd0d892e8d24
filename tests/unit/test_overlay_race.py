"""What one thread sees while another is in the middle of something."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from overlay import rename
from overlay.filesystem import Overlay
from overlay.node import DirNode, Node
from overlay.tree import Tree
from tests.compiled import only_interpreted
from tests.unit.overlays import Served, make_dirs


@pytest.mark.parametrize("cold", [False, True])
def test_a_directory_lives_while_one_above_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    """Between rename(2) and the counters, a walk meets new names with old knowledge."""
    overlay = Overlay.open(make_dirs(tmp_path).config)
    served = Served(overlay)
    for path in ("x", "x/y", "x/y/z"):
        served.mkdir(path)
    handle = served.node("x/y/z").handle
    seen: list[bytes | OSError] = []

    def ask() -> None:
        try:
            seen.append(overlay.resolve(handle).handle)
        except OSError as problem:
            seen.append(problem)

    threads: list[threading.Thread] = []
    record_path = rename._record_path

    def in_the_middle(tree: Tree, node: Node, new_dir: DirNode, new: bytes) -> None:
        if cold:
            tree.caches.nodes.clear()
        threads.append(threading.Thread(target=ask))
        threads[0].start()
        threads[0].join(0.2)  # it may have to wait for the rename to be done
        record_path(tree, node, new_dir, new)

    only_interpreted(rename)
    monkeypatch.setattr(rename, "_record_path", in_the_middle)
    served.rename("x", "e/x2")
    threads[0].join(10)
    assert seen == [handle]
    assert overlay.resolve(handle).handle == handle
    overlay.close()
