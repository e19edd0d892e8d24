"""Each kind of damage: planted on real layers, found, repaired, gone.

Rule: a check finds the planted damage and nothing else, changes nothing unless it is told to
repair, and after the repair clients have the tree and the handles that they should have.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from index.entry_names import own_name
from index.identity import Identity
from index.linux.fd import Fd
from index.linux.file_handle import handle_of
from overlay.base.credentials import ROOT
from overlay.check.problem import TEXTS, Kind, Problem
from overlay.check.run import check
from overlay.maintenance.seal import seal_overlay
from overlay.model.config import ConfigError
from overlay.model.contents import Stable
from tests.overlays import Dirs, Served, kernel_tree, make_dirs, mounted, served
from tests.property.disk import filesystem
from tests.property.trees import raw

_PREFIX = "trusted.overlay."
_ATIME, _CTIME = 6, 8


@dataclass(frozen=True)
class Base:
    """Layers that were worked on, and what clients know of them."""

    dirs: Dirs
    tree: dict[str, tuple[object, ...]]
    handles: dict[str, bytes]
    identities: dict[str, Identity]

    def number(self, path: str) -> int:
        return self.identities[path].fileid

    def entry(self, path: str) -> Path:
        """The index entry of what clients see at a path."""
        return self.dirs.work / "inodes" / f"#{self.number(path)}"

    def upper(self, path: str) -> Path:
        return self.dirs.upper / path


def work(at: Served) -> None:
    """Objects in every state that an upper layer and an index know."""
    at.write("a", "changed")
    at.chmod("c", 0o600)
    at.rename("c", "cc")
    at.write("d/f", "changed")
    at.rename("d/sub", "far")
    at.write("far/g", "changed")
    for path in ("b", "d/b2"):
        at.write(path, "changed")
    at.link("b", "b3")
    at.remove("opened/o")
    at.rmdir("opened")
    at.mkdir("opened")
    at.create("opened/new", "new")
    at.remove("s")
    at.create("s", "another")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    dirs = make_dirs(tmp_path)
    (dirs.lower / "k").write_text("lower k")
    raw(dirs.lower)
    with served(dirs) as at:
        work(at)
    with served(dirs) as at:
        identities = {path: at.node(path).identity for path in at.paths()}
        return Base(dirs, at.tree(), at.handles(), identities)


def put(path: Path, name: str, value: bytes) -> None:
    os.setxattr(path, _PREFIX + name, value, follow_symlinks=False)


def get(path: Path, name: str) -> bytes:
    return os.getxattr(path, _PREFIX + name, follow_symlinks=False)


def drop(path: Path, name: str) -> None:
    os.removexattr(path, _PREFIX + name, follow_symlinks=False)


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def copy(source: Path, target: Path) -> None:
    """A copy with all attributes, as `cp -a` makes."""
    shutil.copy2(source, target)
    for name in os.listxattr(source):
        os.setxattr(target, name, os.getxattr(source, name))


def leftover(base: Base) -> None:
    (base.dirs.work / "staging/1.2/deep").mkdir(parents=True)


def unfinished_removal(base: Base) -> None:
    real = handle_of(Fd(os.open(base.dirs.upper, os.O_RDONLY)))
    intent = base.dirs.work / f"staging/removing#{base.number('k')}"
    intent.symlink_to(f"{real.type}:{real.data.hex()}/k")


def lost_hard_link(base: Base) -> None:
    base.entry("a").unlink()
    copy(base.upper("a"), base.entry("a"))


def entry_nowhere(base: Base) -> None:
    base.entry("e").mkdir()
    put(base.entry("e"), "fh", base.identities["e"].pack())
    put(base.entry("e"), "upper", b"\1gone")
    put(base.entry("e"), "path", b"/nowhere")


def replaced_by_whiteout(base: Base) -> None:
    base.upper("a").unlink()
    whiteout(base.upper("a"))


def bury(base: Base, path: str) -> None:
    """As the index does: the number is taken, and whose it was is said beside."""
    whiteout(base.entry(path))
    whiteout(base.dirs.work / "inodes" / os.fsdecode(own_name(base.identities[path])))


def buried_directory(base: Base) -> None:
    shutil.rmtree(base.entry("d"))
    bury(base, "d")


def buried_file(base: Base) -> None:
    base.entry("a").unlink()
    bury(base, "a")


def contradicting_origin(base: Base) -> None:
    put(base.upper("a"), "origin", get(base.upper("cc"), "origin"))


def kernel_orphan(base: Base) -> None:
    (base.dirs.work / "index" / get(base.upper("cc"), "origin").hex()).write_text("nothing's")


@dataclass(frozen=True)
class Case:
    """One kind of planted damage."""

    name: str
    kind: Kind
    plant: Callable[[Base], object]
    where: str | None = None
    void: bool = False  # all handles are lost by it
    stale: str | None = None  # the object that is gone by it


CASES = (
    Case("key cut short", Kind.KEY_LOST, lambda at: (key(at)).write_bytes(b"short"), void=True),
    Case("key removed", Kind.KEY_LOST, lambda at: key(at).unlink(), void=True),
    Case("key readable", Kind.KEY_OPEN, lambda at: key(at).chmod(0o644)),
    Case("record damaged", Kind.RECORD_LOST, lambda at: record(at).write_text("{"), void=True),
    Case("record removed", Kind.RECORD_LOST, lambda at: record(at).unlink(), void=True),
    Case("leftover", Kind.LEFTOVER, leftover),
    Case("unfinished removal", Kind.REMOVAL_UNFINISHED, unfinished_removal),
    Case("opaque", Kind.OPAQUE_UNKNOWN, lambda at: put(at.upper("opened"), "opaque", b"z")),
    Case("redirect", Kind.REDIRECT_MALFORMED, lambda at: put(at.upper("far"), "redirect", b"a/b")),
    Case(
        "redirect upwards",
        Kind.REDIRECT_MALFORMED,
        lambda at: put(at.upper("far"), "redirect", b"/d/../d/sub"),
    ),
    Case("lost", Kind.REDIRECT_NOWHERE, lambda at: put(at.upper("far"), "redirect", b"/no/such")),
    Case("impure", Kind.IMPURE_MISSING, lambda at: drop(at.upper("d"), "impure"), "/d"),
    Case("impure root", Kind.IMPURE_MISSING, lambda at: drop(at.upper(""), "impure"), "/"),
    Case("origin", Kind.ORIGIN_MALFORMED, lambda at: put(at.upper("a"), "origin", b"x" * 30)),
    Case("origin of c", Kind.ORIGIN_CONTRADICTS, contradicting_origin),
    Case("metacopy", Kind.METACOPY_ASTRAY, lambda at: drop(at.upper("cc"), "redirect"), "/cc"),
    Case("entry name", Kind.ENTRY_NAME, lambda at: at.entry("a").rename(inodes(at) / "#01")),
    Case("junk entry", Kind.ENTRY_NAME, lambda at: (inodes(at) / "junk").mkdir(), "inodes/junk"),
    Case("no fh", Kind.FILE_NOT_ADOPTED, lambda at: drop(at.upper("a"), "fh"), "/a"),
    Case("no fh of entry", Kind.ENTRY_NO_FH, lambda at: drop(at.entry("far"), "fh")),
    Case("number", Kind.ENTRY_FH_OTHER, lambda at: at.entry("a").rename(inodes(at) / "#9999999")),
    Case("upper", Kind.ENTRY_UPPER_OTHER, lambda at: put(at.entry("a"), "upper", b"\1other")),
    Case("no upper", Kind.ENTRY_UPPER_OTHER, lambda at: drop(at.entry("a"), "upper")),
    Case("no entry", Kind.ENTRY_MISSING, lambda at: at.entry("a").unlink(), "/a"),
    Case("no entry of links", Kind.ENTRY_MISSING, lambda at: at.entry("b").unlink(), "/b"),
    Case("lost hard link", Kind.ENTRY_MISSING, lost_hard_link, "/a"),
    Case("no directory entry", Kind.ENTRY_MISSING, lambda at: at.entry("far").rmdir(), "/far"),
    Case("nowhere", Kind.ENTRY_NOWHERE, entry_nowhere),
    Case("fh", Kind.FH_MALFORMED, lambda at: put(at.upper("a"), "fh", b"damaged")),
    Case("fh of directory", Kind.FH_MALFORMED, lambda at: put(at.upper("far"), "fh", b"damaged")),
    Case("copy", Kind.FH_OF_ANOTHER, lambda at: copy(at.upper("a"), at.upper("new")), "/new"),
    Case("stale", Kind.DIRECTORY_UPPER_STALE, lambda at: put(at.entry("far"), "upper", b"\1old")),
    Case("no mark", Kind.DIRECTORY_NOT_ADOPTED, lambda at: drop(at.upper("far"), "fh"), "/far"),
    Case(
        "mark of d",
        Kind.DIRECTORY_FH_OTHER,
        lambda at: put(at.upper("far"), "fh", get(at.upper("d"), "fh")),
        "/far",
    ),
    Case("path", Kind.DIRECTORY_PATH_OLD, lambda at: put(at.entry("far"), "path", b"/was")),
    Case("not linked", Kind.NOT_LINKED_UP, lambda at: at.upper("a").unlink(), "/a"),
    Case("nameless", Kind.NAMELESS, replaced_by_whiteout, stale="a"),
    Case("buried", Kind.BURIED_VISIBLE, lambda at: bury(at, "k")),
    Case("buried file", Kind.BURIED_VISIBLE, buried_file, "/a"),
    Case("buried directory", Kind.BURIED_VISIBLE, buried_directory, "/d"),
    Case("hidden", Kind.HIDDEN, lambda at: whiteout(at.upper("k")), "/k", stale="k"),
    Case("nlink", Kind.NLINK_MALFORMED, lambda at: put(at.upper("b"), "nlink", b"two")),
    Case("wrong nlink", Kind.NLINK_WRONG, lambda at: put(at.upper("b"), "nlink", b"U+7")),
    Case("orphan", Kind.KERNEL_ENTRY_ORPHAN, kernel_orphan),
)


def inodes(base: Base) -> Path:
    return base.dirs.work / "inodes"


def key(base: Base) -> Path:
    return base.dirs.work / "identity/key"


def record(base: Base) -> Path:
    return base.dirs.work / "identity/layers.json"


def state(dirs: Dirs) -> dict[bytes, tuple[object, ...]]:
    """All there is on disk, but for what reading and opening change."""
    seen = {}
    for path, facts in raw(dirs.place).items():
        kept = list(facts)
        kept[_ATIME] = None
        if path.endswith(b"/work/staging"):
            kept[_CTIME] = None  # opening tries whether attributes can be set
        seen[path] = tuple(kept)
    return seen


def found(dirs: Dirs, *, repair: bool = False) -> list[Problem]:
    return list(check(dirs.config, repair=repair))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_planted_damage(base: Base, case: Case) -> None:
    lower = raw(base.dirs.lower)
    case.plant(base)
    planted = state(base.dirs)
    problems = found(base.dirs)
    assert [problem.kind for problem in problems] == [case.kind]
    assert case.where is None or problems[0].where == case.where.encode()
    assert state(base.dirs) == planted
    assert found(base.dirs, repair=True) == problems
    assert found(base.dirs) == []
    assert_served_well(base, case)
    assert found(base.dirs) == []
    assert raw(base.dirs.lower) == lower


def assert_served_well(base: Base, case: Case) -> None:
    """Clients have what they had, but for what is gone."""
    with served(base.dirs) as at:
        tree = at.tree()
        expected = {path: seen for path, seen in base.tree.items() if path != case.stale}
        assert {path: tree[path] for path in expected} == expected
        assert case.stale not in tree
        for path, handle in base.handles.items():
            if case.void or path == case.stale:
                with pytest.raises(OSError, match=r".") as refusal:
                    at.overlay.getattr(at.overlay.resolve(handle))
                assert refusal.value.errno == (errno.EBADF if case.void else errno.ESTALE)
            else:
                assert at.overlay.resolve(handle).handle == at.node(path).handle == handle
        numbers = [at.attributes(path).fileid for path in ("a", "new") if path in tree]
        assert len(numbers) == len(set(numbers))


def test_data_that_is_gone_is_told(base: Base) -> None:
    (base.dirs.lower / "c").unlink()
    for repair in (False, True, False):
        problems = found(base.dirs, repair=repair)
        assert [(one.kind, one.where) for one in problems] == [(Kind.METACOPY_NO_DATA, b"/cc")]
        assert not problems[0].repairable


def test_origin_that_is_gone_is_told(base: Base) -> None:
    (base.dirs.lower / "a").unlink()
    for repair in (False, True, False):
        problems = found(base.dirs, repair=repair)
        assert [one.kind for one in problems] == [Kind.ORIGIN_GONE]
        assert not problems[0].repairable
    with served(base.dirs) as at:
        assert at.overlay.resolve(base.handles["a"]).handle == at.node("a").handle
        assert at.read("a").startswith(b"changed")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside", "another filesystem"])
def test_copied_layers(
    base: Base, tmp_path_factory: pytest.TempPathFactory, elsewhere: bool
) -> None:
    """Handles of what is in the index outlive a copy of all the layers, and nothing is lost."""
    with served(base.dirs) as at:  # by handle alone, so that only the index has the contents
        k = at.overlay.resolve(base.handles["k"])
        at.overlay.write(k, ROOT, 0, b"by handle", Stable.UNSTABLE)
        tree = at.tree()
    place = tmp_path_factory.mktemp("copied")
    with filesystem("ext4", place) if elsewhere else nullcontext(place) as target:
        subprocess.run(["cp", "-a", f"{base.dirs.place}/.", target], check=True)
        dirs = Dirs(target)
        shutil.rmtree(base.dirs.place)
        with pytest.raises(ConfigError, match="copied that were never sealed"):
            found(dirs)
        found(dirs, repair=True)
        assert [one for one in found(dirs) if one.repairable] == []
        with served(dirs) as at:
            now = at.tree()
            assert now.keys() == tree.keys()
            assert {path: seen[5] for path, seen in now.items()} == {
                path: seen[5] for path, seen in tree.items()
            }
            for path in ("a", "cc", "d", "d/f", "far", "far/g", "b", "b3", "k"):
                handle = base.handles[path]
                assert at.overlay.resolve(handle).handle == at.node(path).handle == handle


def test_sealed_copy_that_was_not_started(
    base: Base, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is looked at as what a start will make of it, and stays as it is."""
    seal_overlay(base.dirs.config)
    copy = tmp_path_factory.mktemp("copied")
    subprocess.run(["cp", "-a", f"{base.dirs.place}/.", copy], check=True)
    dirs = Dirs(copy)
    parts = (dirs.lower, dirs.upper, dirs.work / "inodes", dirs.work / "identity")
    for _ in range(2):  # what reading changes is changed
        before = [raw(part) for part in parts]
        assert found(dirs) == []
    assert [raw(part) for part in parts] == before
    os.setxattr(dirs.upper / "far", "trusted.overlay.redirect", b"no//path/")
    (dirs.lower / "e/h").unlink()
    assert {one.kind for one in found(dirs)} == {Kind.COPY_INCOMPLETE, Kind.REDIRECT_MALFORMED}


def test_every_kind_is_tested() -> None:
    kernels = {Kind.FILE_NOT_ADOPTED, Kind.DIRECTORY_NOT_ADOPTED}
    told = {Kind.METACOPY_NO_DATA, Kind.ORIGIN_GONE, Kind.COPY_INCOMPLETE}
    assert {case.kind for case in CASES} | kernels | told == set(Kind) == set(TEXTS)


def test_clean_layers_are_left_alone(base: Base) -> None:
    before = state(base.dirs)
    assert found(base.dirs) == []
    assert found(base.dirs, repair=True) == []
    assert state(base.dirs) == before


def kernel_session(mount: Path) -> None:
    """Work on a kernel mount: copying up, removing, replacing, renaming, linking."""
    with open(mount / "k", "a") as file:
        file.write("more")
    os.chmod(mount / "e", 0o700)
    (mount / "a").unlink()
    (mount / "p").unlink()
    (mount / "p").write_text("another")
    os.rename(mount / "gone/in", mount / "kept")
    shutil.rmtree(mount / "gone")
    os.link(mount / "cc", mount / "far/c3")
    (mount / "b").unlink()


_GONE = ("a", "p", "gone", "gone/x")
_MOVED = {"gone/in": "kept", "gone/in/y": "kept/y", "b": "b3"}


def test_work_of_a_kernel_mount_is_taken_over(base: Base) -> None:
    with mounted(base.dirs) as mount:
        kernel_session(mount)
    kinds = {problem.kind for problem in found(base.dirs)}
    assert kinds == {
        Kind.FILE_NOT_ADOPTED,
        Kind.DIRECTORY_NOT_ADOPTED,
        Kind.HIDDEN,
        Kind.NAMELESS,
        Kind.NLINK_WRONG,
    }
    found(base.dirs, repair=True)
    assert found(base.dirs) == []
    assert_kernel_session(base)


def test_a_start_takes_over_the_work_of_a_kernel_mount(
    base: Base, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted(base.dirs) as mount:
        kernel_session(mount)
    with caplog.at_level("INFO"):
        assert_kernel_session(base)
    assert "the kernel mounted these layers" in caplog.text
    caplog.clear()
    assert found(base.dirs) == []
    with caplog.at_level("INFO"), served(base.dirs):
        assert caplog.text == ""


def assert_kernel_session(base: Base) -> None:
    """Handles from before the kernel mount lead to what the kernel made of their objects."""
    with served(base.dirs) as at:
        for path, handle in base.handles.items():
            if path in _GONE:
                with pytest.raises(OSError, match=r".") as refusal:
                    at.overlay.getattr(at.overlay.resolve(handle))
                assert refusal.value.errno == errno.ESTALE, path
            else:
                assert at.node(_MOVED.get(path, path)).handle == handle, path
        assert at.overlay.read(at.overlay.resolve(base.handles["k"]), ROOT, 0, 99)[0] == (
            b"lower kmore"
        )
        assert at.attributes("cc").nlink == 2
        assert at.attributes("b3").nlink == 2


def test_clean_layers_of_a_kernel_mount(tmp_path: Path) -> None:
    """Nothing is said of layers that were never served, and nothing is done to them."""
    dirs = make_dirs(tmp_path)
    with mounted(dirs) as mount:
        (mount / "a").write_text("changed")
        shutil.rmtree(mount / "gone")
        os.rename(mount / "d", mount / "far")
        os.link(mount / "b", mount / "b4")
        seen = kernel_tree(mount)
    before = state(dirs)
    assert found(dirs) == []
    assert state(dirs) == before
    with served(dirs) as at:
        assert {path: at.tree()[path] for path in seen if path} == {
            path: facts for path, facts in seen.items() if path
        }
    problems = found(dirs, repair=True)
    assert {problem.kind for problem in problems} <= {Kind.HIDDEN}
    with served(dirs) as at:
        assert set(at.tree()) == set(seen)
