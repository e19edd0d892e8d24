"""Directories that a lower layer has moved: their stack has another path at each level.

Rule: the layers are written by the host kernel's overlayfs, as an image build does, and what is
served is held against its view of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.layers import differences, kernel_view, manifest, mounted
from tests.conformance.server import Server
from tests.conftest import Serve
from tests.wire import Facts, Wire

pytestmark = pytest.mark.conformance

# Where each directory of the lowest layer is once the layers above it have moved it: within its
# directory (a redirect that is a name), and elsewhere (a path), also below a new, opaque directory.
MOVED = {"names/b": "one", "away/two": "two", "fresh/deep/three": "three", "top/fresh": "four"}


def build(tmp_path: Path, level: int, lowers: list[Path], script: list[tuple[str, str]]) -> Path:
    """A layer over others, in which the kernel renamed directories; parents are made."""
    layer, work, merged = (tmp_path / f"{kind}{level}" for kind in ("layer", "work", "merged"))
    for directory in (layer, work, merged):
        directory.mkdir()
    options = f"lowerdir={':'.join(map(str, lowers))},upperdir={layer},workdir={work}"
    with mounted("overlay", merged, f"{options},redirect_dir=on,index=off"):
        for old, new in script:
            (merged / new).parent.mkdir(parents=True, exist_ok=True)
            (merged / old).rename(merged / new)
    shutil.rmtree(work)
    return layer


@pytest.fixture
def lowers(tmp_path: Path) -> Iterator[list[Path]]:
    """Three layers; the lower two must be untouched at the end, and so must the top one."""
    bottom = tmp_path / "layer0"
    for place, name in (("names/a", "one"), ("two", "two"), ("three", "three"), ("four", "four")):
        (bottom / place / "sub").mkdir(parents=True)
        (bottom / place / name).write_text(name)
        (bottom / place / "sub" / "file").write_text(f"below {name}")
    middle = build(
        tmp_path,
        1,
        [bottom],
        [("names/a", "names/b"), ("two", "away/two"), ("three", "fresh/three"), ("four", "five")],
    )
    script = [("fresh/three", "fresh/deep/three"), ("five", "top/fresh")]
    top = build(tmp_path, 2, [middle, bottom], script)
    stack = [top, middle, bottom]
    before = [manifest(layer) for layer in stack]
    yield stack
    after = [manifest(layer) for layer in stack]
    assert [differences(*pair) for pair in zip(before, after, strict=True)] == [[], [], []]


def check_view(server: Server, wire: Wire, view: Path, places: dict[str, str]) -> None:
    """Each moved directory holds what it held, and the kernel sees it where the server does."""
    assert server.stack.upper is not None
    with kernel_view((server.stack.upper, *server.stack.lowers), view):
        for place, name in places.items():
            wanted = sorted(os.fsencode(entry) for entry in os.listdir(view / place))
            assert wanted == sorted([name.encode(), b"sub"])
            assert sorted(wire.names(wire.lookup(place))) == wanted
            assert wire.read(wire.lookup(f"{place}/{name}")) == name.encode()
            assert wire.read(wire.lookup(f"{place}/sub/file")) == f"below {name}".encode()


def facts(wire: Wire, places: dict[str, str]) -> dict[str, Facts]:
    """What the handles of the moved directories, and of what is in them, stand for."""
    return {
        f"{name}/{inside}": wire.facts(f"{place}/{inside}")
        for place, name in places.items()
        for inside in ("", "sub", "sub/file", name)
    }


def restarted(server: Server, wire: Wire) -> Wire:
    """A client of the server after a crash, which has forgotten all that it had cached."""
    wire.close()
    server.restart(crash=True)
    return Wire(server.port)


def test_handles_below_moved_directories(serve: Serve, lowers: list[Path], tmp_path: Path) -> None:
    server = serve(lowers)
    wire = Wire(server.port)
    check_view(server, wire, tmp_path / "view", MOVED)
    known = facts(wire, MOVED)
    for fact in known.values():
        # By the handle alone, by a server that knows nothing else yet.
        wire = restarted(server, wire)
        assert wire.of(fact.handle) == fact
    assert facts(wire, MOVED) == known
    wire.close()


@pytest.mark.parametrize("place", MOVED)
def test_moved_again(place: str, serve: Serve, lowers: list[Path], tmp_path: Path) -> None:
    server = serve(lowers)
    wire = Wire(server.port)
    known = facts(wire, MOVED)
    wire.mkdir("new")
    wire.rename(place, "new/place")
    places = {"new/place" if old == place else old: name for old, name in MOVED.items()}
    check_view(server, wire, tmp_path / "view", places)
    wire = restarted(server, wire)
    assert {key: wire.of(fact.handle) for key, fact in known.items()} == known
    assert facts(wire, places) == known
    wire.write(known[f"{MOVED[place]}/sub/file"].handle, b"BELOW")
    assert wire.read(wire.lookup("new/place/sub/file")).startswith(b"BELOW ")
    wire.close()


def test_moved_back_to_where_it_was(serve: Serve, lowers: list[Path], tmp_path: Path) -> None:
    server = serve(lowers)
    wire = Wire(server.port)
    known = facts(wire, MOVED)
    back = {"names/a": "one", "two": "two", "three": "three", "four": "four"}
    for (old, _), new in zip(MOVED.items(), back, strict=True):
        wire.rename(old, new)
    for _ in range(2):
        check_view(server, wire, tmp_path / "view", back)
        assert facts(wire, back) == known
        wire = restarted(server, wire)
    wire.close()
