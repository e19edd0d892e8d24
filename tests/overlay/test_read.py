"""READ says where the file ends by what was read, whatever its size was said to be."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from overlay.base.blocking import allow_blocking, forbid_blocking
from overlay.base.credentials import ROOT
from overlay.base.errors import WouldBlock
from overlay.model.attributes import Changes
from overlay.model.contents import Buffer
from overlay.ops.io import RESIDENT_MIN
from tests.overlays import Dirs, Served, make_dirs, mounted, served

SIZE = 2 * RESIDENT_MIN
READS = [(0, SIZE), (0, 4096), (4096, SIZE), (SIZE - 1, 1), (SIZE - 4096, RESIDENT_MIN)]


def read(tree: Served, path: str, offset: int, count: int) -> tuple[bytes, bool]:
    """As an event loop has it read: in place, or else by a thread that may wait."""

    def in_place() -> tuple[Buffer, bool] | None:
        forbid_blocking()
        try:
            return tree.overlay.read(node, ROOT, offset, count)
        except WouldBlock:
            return None
        finally:
            allow_blocking()  # a later thread may have the number of this one

    node = tree.node(path)
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(in_place).result()
    data, eof = found or tree.overlay.read(node, ROOT, offset, count)
    return bytes(data), eof


@pytest.mark.parametrize("left", [0, 1, 4096, 5000])
@pytest.mark.parametrize(("offset", "count"), READS)
def test_a_file_that_was_cut_meanwhile(tmp_path: Path, offset: int, count: int, left: int) -> None:
    """Another process has cut it, and has not said so yet."""
    dirs = make_dirs(tmp_path)
    content = os.urandom(SIZE)
    with served(dirs) as tree:
        tree.create("new")
        (dirs.upper / "new").write_bytes(content)
        tree.overlay.setattr(tree.node("new"), ROOT, Changes(mode=0o600))
        assert tree.attributes("new").size == SIZE
        os.truncate(dirs.upper / "new", left)
        data, eof = read(tree, "new", offset, count)
        assert data == content[:left][offset : offset + count]
        if len(data) < count:
            assert eof
            assert tree.attributes("new").size == left


def metacopy(dirs: Dirs, content: bytes, size: int) -> None:
    """A metacopy in the upper layer, of a size, whose data is `content`."""
    (dirs.lower / "meta").write_bytes(content)
    with served(dirs) as tree:
        tree.chmod("meta", 0o600)
    os.truncate(dirs.upper / "meta", size)


@pytest.mark.parametrize("missing", [1, 100, 4096, RESIDENT_MIN])
@pytest.mark.parametrize(("offset", "count"), READS)
def test_a_metacopy_larger_than_its_data(
    tmp_path: Path, offset: int, count: int, missing: int
) -> None:
    dirs = make_dirs(tmp_path)
    content = os.urandom(SIZE - missing)
    metacopy(dirs, content, SIZE)
    with mounted(dirs) as kernel, open(kernel / "meta", "rb") as file:
        assert os.fstat(file.fileno()).st_size == SIZE
        expected = os.pread(file.fileno(), count, offset)
    with served(dirs) as tree:
        tree.read("meta")
        data, eof = read(tree, "meta", offset, count)
        assert data == expected == content[offset : offset + count]
        assert eof == (offset + count >= len(content) or offset + count >= SIZE)
        assert tree.attributes("meta").size == SIZE
