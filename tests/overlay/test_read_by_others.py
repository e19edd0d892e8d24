"""Upper layers that others read file by file, as `buildah commit` does: `metacopy`, `redirect_dir`.

They know whiteouts and opaque directories, and nothing of metacopies, redirects and the index.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nfsd.commands.cli import main
from overlay.filesystem import Overlay
from overlay.model.config import ConfigError
from tests.overlays import Dirs, Served, kernel_tree, make_dirs, mounted, served
from tests.property.trees import raw

_PLAIN = b"index=off,metacopy=off,redirect_dir=nofollow,xino=off"
_LARGE = 3 << 20  # bytes: more than is copied by the thread that asks for it


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    dirs = make_dirs(tmp_path)
    (dirs.lower / "large").write_bytes(b"large" * (_LARGE // 5))
    raw(dirs.lower)
    return dirs


@contextmanager
def serving(dirs: Dirs, *, metacopy: bool = False, redirect_dir: bool = False) -> Iterator[Served]:
    overlay = Overlay.open(replace(dirs.config, metacopy=metacopy, redirect_dir=redirect_dir))
    try:
        yield Served(overlay)
    finally:
        overlay.close()
        os.umask(0o022)


def committed(dirs: Dirs) -> Path:
    """The image that a container engine makes of the layers."""
    image = dirs.place / "image"
    shutil.copytree(dirs.lower, image, symlinks=True, copy_function=_copy)
    for path in sorted(dirs.upper.rglob("*")):
        st, target = path.lstat(), image / path.relative_to(dirs.upper)
        is_kept = stat.S_ISDIR(st.st_mode) and target.is_dir() and not target.is_symlink()
        if is_kept and b"opaque" in b"".join(map(os.fsencode, os.listxattr(path))):
            is_kept = False
        if not is_kept:
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        if stat.S_ISDIR(st.st_mode):
            target.mkdir(exist_ok=True)
            target.chmod(stat.S_IMODE(st.st_mode))
        elif not stat.S_ISCHR(st.st_mode) or st.st_rdev:
            _copy(str(path), str(target))
    return image


def _copy(source: str, target: str) -> None:
    if stat.S_ISFIFO(os.lstat(source).st_mode):
        os.mkfifo(target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _contents(tree: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """What an image keeps of a tree: modes, owners, sizes, contents."""
    return {path: (seen[0], *seen[2:6]) for path, seen in tree.items() if path}


def _move(served: Served, old: str, new: str) -> None:
    """What `mv` does with a directory that cannot be renamed."""
    with pytest.raises(OSError, match="cross-device") as refused:
        served.rename(old, new)
    assert refused.value.errno == errno.EXDEV
    served.mkdir(new)
    for _, _, entry in served.listed(served.node(old))[2:]:
        name = os.fsdecode(entry)
        if served.node(f"{old}/{name}").is_dir:
            _move(served, f"{old}/{name}", f"{new}/{name}")
        else:
            served.create(f"{new}/{name}", served.read(f"{old}/{name}").decode())
            served.remove(f"{old}/{name}")
    served.rmdir(old)


def test_a_commit_has_what_was_served(dirs: Dirs) -> None:
    with serving(dirs) as served:
        served.chmod("a", 0o600)
        served.chmod("large", 0o640)
        served.rename("c", "e/c")
        served.link("d/f", "linked")
        _move(served, "d", "moved")
        served.remove("gone/x")
        served.write("e/h", "written")
        shown = served.tree()
    assert _contents(kernel_tree(committed(dirs))) == _contents(shown)
    with mounted(dirs, _PLAIN) as view:
        assert _contents(kernel_tree(view)) == _contents(shown)


def test_a_renamed_directory_stays_where_it_is(dirs: Dirs) -> None:
    with serving(dirs) as served:
        with pytest.raises(OSError, match="cross-device"):
            served.rename("d", "e/d")
        with pytest.raises(OSError, match="not empty"):
            served.rmdir("e")
        served.mkdir("new")
        with pytest.raises(OSError, match="cross-device"):
            served.rename("d", "new")
        assert not (dirs.upper / "d").exists()  # as in the kernel nothing is copied up for that
        served.rename("new", "e/new")


def test_what_was_made_before_is_read(dirs: Dirs) -> None:
    with serving(dirs, metacopy=True, redirect_dir=True) as served:
        served.chmod("large", 0o640)
        served.rename("d", "moved")
        handles, shown = served.handles(), served.tree()
    assert "trusted.overlay.metacopy" in os.listxattr(dirs.upper / "large")
    with serving(dirs) as served:
        assert (served.handles(), served.tree()) == (handles, shown)
        with pytest.raises(OSError, match="cross-device"):
            served.rename("moved", "d")


def test_a_metacopy_can_be_had_alone_no_redirect(dirs: Dirs) -> None:
    with serving(dirs, redirect_dir=True) as served:
        served.chmod("large", 0o640)
        served.rename("d", "moved")
        assert served.read("moved/f") == (dirs.lower / "d/f").read_bytes()
    assert (dirs.upper / "large").read_bytes() == (dirs.lower / "large").read_bytes()


def test_a_refused_start_leaves_nothing_in_the_workdir(dirs: Dirs) -> None:
    with mounted(dirs, _PLAIN):
        before = sorted(dirs.work.rglob("*"))
        with pytest.raises(ConfigError, match="mounted by the kernel"):
            Overlay.open(dirs.config)
        assert sorted(dirs.work.rglob("*")) == before


def test_a_start_that_another_export_is_refused_for_leaves_nothing(dirs: Dirs) -> None:
    """...in the workdir of one that was in order; one that was served before stays what it is."""
    file, other = dirs.place / "overlay-nfsd.toml", dirs.place / "other"
    for name in ("lower", "upper", "work"):
        (other / name).mkdir(parents=True)
    text = (
        '[[export]]\npath = "/{0}"\nlowerdir = "{1}/lower"\nupperdir = "{1}/upper"\n'
        'workdir = "{1}/work"\nclients = {{ "*" = "rw" }}\n'
    )
    file.write_text(text.format("good", dirs.place) + text.format("bad", other))
    serve = ["serve", "--config", str(file), "--listen", "127.0.0.1:0"]
    with mounted(Dirs(other), _PLAIN):
        assert main(serve) == 2
        assert list(dirs.work.iterdir()) == []
        with served(dirs) as before:
            handles = before.handles()
        assert main(serve) == 2
        with served(dirs) as after:
            assert after.handles() == handles
