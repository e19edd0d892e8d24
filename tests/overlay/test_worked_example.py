"""The worked example of docs/design/concepts.md is what the server does with these layers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from index.identity import DIRECTORY, MAC_SIZE, ROOT, UPPER, Identity
from index.index import Gone, Index, UpperInode
from overlay.base.credentials import ROOT as ROOT_USER
from overlay.filesystem import Overlay
from overlay.model.config import OverlayConfig
from overlay.model.node import directory
from tests.overlays import Served

DOCUMENT = Path(__file__).parents[2] / "docs" / "design" / "concepts.md"
FLAGS = ((ROOT, "ROOT"), (DIRECTORY, "DIRECTORY"), (UPPER, "UPPER"))
LAYERS = ("app", "debian", "upper", "update")


def printed() -> list[dict[str, list[str]]]:
    """The tables of the example: of each path what the other columns say."""
    text = DOCUMENT.read_text()
    text = text[text.index("## A worked example") : text.index("## The index")]
    tables: list[dict[str, list[str]]] = []
    for line in text.split("\n"):
        if line.startswith("| path |"):
            tables.append({})
        elif line.startswith("| ") and tables:
            path, *others = (cell.strip(" `") for cell in line.strip("|").split("|"))
            tables[-1][path] = others
    return tables


def opened(place: Path, *lowers: str) -> Overlay:
    upper, work = (os.fsencode(place / name) for name in ("upper", "work"))
    stack = tuple(os.fsencode(place / name) for name in lowers)
    return Overlay.open(OverlayConfig(stack, upper, work))


def inodes(place: Path) -> dict[int, str]:
    """What is where in the layers, by inode number; they are on one filesystem."""
    found = [path for name in LAYERS for path in (place / name).rglob("*")]
    return {path.lstat().st_ino: str(path.relative_to(place)) for path in found}


def described(handle: bytes, places: dict[int, str], index: Index) -> list[str]:
    """The columns of a table for a handle, but the path."""
    identity = Identity.unpack(handle[:-MAC_SIZE])
    assert identity is not None
    entry = index.find(identity)
    kind = "upper inode" if isinstance(entry, UpperInode) else "upper directory"
    kind = "nothing" if entry is None else "gone" if isinstance(entry, Gone) else kind
    flags = " ".join(name for flag, name in FLAGS if identity.flags & flag)
    made_from = "itself" if identity.is_root else places[identity.fileid]
    return [flags, str(identity.source), made_from, kind]


def make_layers(place: Path) -> None:
    os.umask(0o022)
    for name in ("debian/etc", "debian/home", "app/etc", "app/opt/tool", "upper", "work"):
        (place / name).mkdir(parents=True)
    for name in ("debian/etc/passwd", "debian/etc/motd", "app/etc/app.conf", "app/opt/tool/run"):
        (place / name).write_text(name)


def change(served: Served) -> None:
    served.create("home/notes")
    served.write("etc/passwd", "changed")
    served.rename("opt", "data")
    served.remove("etc/motd")


def handles(served: Served) -> dict[str, bytes]:
    return {f"/{path}": handle for path, handle in served.handles().items()}


def test_the_tables_are_true(tmp_path: Path) -> None:
    before_changes, after_changes = printed()
    make_layers(tmp_path)
    places = inodes(tmp_path)
    overlay = opened(tmp_path, "app", "debian")
    served, index = Served(overlay), overlay._tree.index
    before = handles(served)
    found = {path: described(handle, places, index) for path, handle in before.items()}
    assert found == before_changes
    change(served)
    places = {**inodes(tmp_path), **places}
    after = {**handles(served), "(removed)": before["/etc/motd"]}
    found = {path: described(handle, places, index) for path, handle in after.items()}
    assert found == after_changes
    overlay.close()
    os.umask(0o022)


def test_handles_after_a_restart_with_another_layer(tmp_path: Path) -> None:
    make_layers(tmp_path)
    overlay = opened(tmp_path, "app", "debian")
    held = handles(Served(overlay))
    change(Served(overlay))
    held["/home/notes"] = handles(Served(overlay))["/home/notes"]
    overlay.close()
    os.umask(0o022)
    (tmp_path / "update/etc").mkdir(parents=True)
    (tmp_path / "update/etc/app.conf").write_text("updated")
    overlay = opened(tmp_path, "update", "app", "debian")
    now = handles(Served(overlay))
    assert held["/etc"] == now["/etc"]
    assert len(directory(overlay.resolve(held["/etc"])).lowers) == 3
    moved = overlay.resolve(held["/opt/tool"])
    assert overlay.where(moved.handle) == b"/data/tool"
    for path in ("/etc/passwd", "/home/notes"):
        assert held[path] == now[path] == overlay.resolve(held[path]).handle
    assert held["/opt/tool/run"] == now["/data/tool/run"]
    hidden = overlay.resolve(held["/etc/app.conf"])
    assert bytes(overlay.read(hidden, ROOT_USER, 0, 100)[0]) == b"app/etc/app.conf"
    assert now["/etc/app.conf"] != held["/etc/app.conf"]
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        overlay.resolve(held["/etc/motd"])
    overlay.close()
    os.umask(0o022)
