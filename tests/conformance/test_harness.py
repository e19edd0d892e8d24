"""The harness itself: what the guest tests rely on must not be wrong in silence."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import guest_image, layers, machine, walk
from tests.conformance.guest import GuestError, check_nfs_answers
from tests.conformance.server import Server, Stack

WALKED = """=== stat
41ed 0 0 4096 3 0 0 100 11 .
81a4 5 6 3 2 0 0 101 12 ./a file
81a4 5 6 3 2 0 0 101 12 ./same
a1ff 0 0 6 1 0 0 102 13 ./link
21b6 0 0 0 1 1 3 103 14 ./null
=== links
'./link' -> 'a file'
=== content
abc  ./a file
abc  ./same
=== end
"""


def test_a_walk_is_parsed() -> None:
    tree = walk.parse(WALKED)
    assert tree.entries["a file"] == walk.Seen(0o100644, (5, 6), 3, 2, (0, 0), 101, "abc")
    assert tree.entries["link"].content == "a file"
    assert tree.entries["null"].device == (1, 3)
    assert tree.groups() == {frozenset({"a file", "same"})}


def test_a_walk_cut_short_is_no_walk() -> None:
    with pytest.raises(AssertionError, match="did not come to its end"):
        walk.parse(WALKED.removesuffix("=== end\n"))


def test_differing_trees_are_told_apart() -> None:
    tree = walk.parse(WALKED).entries
    walk.check_same(tree, dict(tree))
    with pytest.raises(AssertionError, match="null"):
        walk.check_same(tree, {name: seen for name, seen in tree.items() if name != "null"})


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"other"),
        lambda file: file.chmod(0o600),
        lambda file: os.utime(file, (1, 1)),
        lambda file: os.setxattr(file, "user.note", b"x"),
        lambda file: os.link(file, file.with_name("second")),
        lambda file: file.unlink(),
    ],
    ids=["content", "mode", "times", "xattr", "link", "removal"],
)
def test_a_manifest_shows_a_change(change: Callable[[Path], object], tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_bytes(b"first")
    before = layers.manifest(tmp_path)
    assert layers.differences(before, layers.manifest(tmp_path)) == []
    change(file)
    assert layers.differences(before, layers.manifest(tmp_path)) != []


def test_a_broken_build_is_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAY_NFSD_CACHE", str(tmp_path / "cache"))

    def broken(target: Path) -> None:
        (target / "half").touch()
        raise machine.UnavailableError("no such package")

    with pytest.raises(machine.UnavailableError):
        machine.cached("thing", broken)
    made = machine.cached("thing", lambda target: (target / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert machine.cached("thing", broken) == made


def test_modules_are_loaded_after_those_they_need(tmp_path: Path) -> None:
    needs = {"nfsv3": "nfs,sunrpc", "nfs": "sunrpc,lockd", "lockd": "sunrpc", "sunrpc": ""}
    modules = {name: tmp_path / f"{name}.ko" for name in needs}
    for name, path in modules.items():
        path.write_bytes(b"ELF\0depends=" + needs[name].encode() + b"\0name=x\0")
    order = [path.stem for path in guest_image._load_order(modules, ["nfsv3", "built_in"])]
    assert order == ["sunrpc", "lockd", "nfs", "nfsv3"]


def test_a_guest_is_not_booted_without_a_server() -> None:
    with pytest.raises(GuestError, match="no NFS server answers"):
        check_nfs_answers(1, timeout=1)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = Server(Stack((tmp_path / "missing",)), tmp_path / "log")
    with pytest.raises(AssertionError, match="ended with status 2"):
        server.start()
