"""What one thread sees while another is in the middle of something."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.linux.fd import Fd
from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.lookup import readdir
from overlay.lookup.adopt import is_impure
from overlay.model.attributes import Changes
from overlay.model.node import DirNode, FileNode, Node
from overlay.model.tree import Tree
from overlay.ops import rename
from tests.compiled import only_interpreted
from tests.overlays import Served, make_dirs


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
    move = rename._move

    def in_the_middle(
        tree: Tree, old_dir: DirNode, old: bytes, new_dir: DirNode, new: bytes, node: Node
    ) -> None:
        move(tree, old_dir, old, new_dir, new, node)
        if cold:
            tree.caches.nodes.clear()
        threads.append(threading.Thread(target=ask))
        threads[0].start()
        threads[0].join(0.2)  # it may have to wait for the rename to be done

    only_interpreted(rename)
    monkeypatch.setattr(rename, "_move", in_the_middle)
    served.rename("x", "e/x2")
    threads[0].join(10)
    assert seen == [handle]
    assert overlay.resolve(handle).handle == handle
    overlay.close()


@pytest.mark.parametrize("how", ["write", "link", "rename"])
def test_a_file_is_copied_up_while_its_directory_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Between the question whether entries have numbers of their own and the reading of them.

    Copying up changes no listing, so what is found then is kept.
    """
    overlay = Overlay.open(make_dirs(tmp_path).config)
    served = Served(overlay)
    served.mkdir("fresh")
    served.chmod("d", 0o700)  # it is in the upper layer, with nothing in it
    listed = "fresh" if how == "rename" else "d"
    numbers = {name: served.attributes(f"d/{name}").fileid for name in ("f", "b2", "sub")}
    asked: list[bool] = []

    def in_the_middle(tree: Tree, fd: Fd) -> bool:
        answer = is_impure(tree, fd)
        asked.append(answer)
        if len(asked) == 1:
            if how == "write":
                served.write("d/f", "changed")
            elif how == "link":
                served.link("d/f", "fresh/more")
            else:
                served.rename("d/f", "fresh/f")
        return answer

    only_interpreted(readdir)
    monkeypatch.setattr(readdir, "is_impure", in_the_middle)
    for _ in range(2):
        found = {
            os.fsdecode(name): number for _, number, name in served.listed(served.node(listed))
        }
        shown = numbers.keys() & found.keys()
        assert {name: found[name] for name in shown} == {name: numbers[name] for name in shown}
        assert "f" in shown
    assert asked[0] is False
    overlay.close()


@pytest.fixture
def eager() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager")
def test_threads_open_the_same_file_at_once(tmp_path: Path) -> None:
    """Each must get a descriptor that is open, whoever was first to open the file.

    Compiled code lets go of what an attribute had before it has what is new.  If
    letting go closes a descriptor others run meanwhile, and must not find it there.
    """
    overlay = Overlay.open(make_dirs(tmp_path).config)
    served = Served(overlay)
    served.create("file")
    kept, rounds, crew = served.node("file"), 2000, 4
    assert isinstance(kept, FileNode)
    ino = os.fstat(kept.fd).st_ino
    nodes = [
        FileNode(kept.identity, b"", 0, None, layer=kept.layer, fd=kept.fd, mode=0, nlink_adjust=0)
        for _ in range(rounds)
    ]
    gate = threading.Barrier(crew)
    seen: set[object] = set()

    def use() -> None:
        for node in nodes:
            gate.wait(60)
            for descriptor in (node.reader, node.writer) * 3:
                try:
                    seen.add(os.fstat(descriptor()).st_ino)
                except OSError as problem:
                    seen.add(problem)

    threads = [threading.Thread(target=use) for _ in range(crew)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {ino}
    overlay.close()


@pytest.mark.usefixtures("eager")
def test_a_directory_is_listed_while_names_come_and_go(tmp_path: Path) -> None:
    """Of a FIFO only lstat(2) tells that it is no whiteout, and by then it may be gone."""
    overlay = Overlay.open(make_dirs(tmp_path).config)
    served = Served(overlay)
    served.mkdir("fresh")
    stays = [b"%d" % number for number in range(200)]
    for name in stays:
        overlay.mknod(served.node("fresh"), name, ROOT, stat.S_IFIFO, 0, Changes())
    is_over = threading.Event()

    def change() -> None:
        while not is_over.is_set():
            overlay.mknod(served.node("fresh"), b"passing", ROOT, stat.S_IFIFO, 0, Changes())
            overlay.remove(served.node("fresh"), b"passing", ROOT)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(1000):
            names = {name for _, _, name in overlay.readdir(served.node("fresh"), ROOT).after(0)}
            assert names - {b"passing"} == {b".", b"..", *stays}
    finally:
        is_over.set()
        thread.join(60)
    overlay.close()
