"""The upper layer holds what the kernel's overlayfs would have put there, form by form.

The same operation is done by us and on a kernel mount of the same layers; then the two upper
directories are compared as they are on disk. Left out is what only the server needs (`fh`, `upper`,
`path`, `data`, `nlink`, and `redirect` of a file that has its data), and whether a redirect is
relative.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from index.linux.fd import Fd
from index.linux.file_handle import handle_of
from index.origin import Origin, filesystem_uuid
from overlay.base.credentials import ROOT
from tests.property import differences
from tests.property.kernel import KernelSide
from tests.property.layers import DEVICE, TIME
from tests.property.objects import InProcess
from tests.property.operations import (
    Chmod,
    Chown,
    Create,
    Link,
    Mkdir,
    Mknod,
    Operation,
    Rename,
    Rmdir,
    Symlink,
    Truncate,
    Unlink,
    Utimes,
    Write,
)
from tests.property.served import ServedSide
from tests.property.side import Path as Names
from tests.property.stack import Stack

ORIGIN, REDIRECT, METACOPY, *_INDEX = (
    f"trusted.overlay.{name}"
    for name in (
        "origin",
        "redirect",
        "metacopy",
        "fh",
        "upper",
        "path",
        "data",
        "nlink",
        "links",
        "redirect",
    )
)
_ROOT = (ORIGIN, "trusted.overlay.uuid")  # marks of the mount itself


def _names(path: str) -> Names:
    return tuple(os.fsencode(path).split(b"/"))


def _fill(stack: Stack) -> None:
    """Two lower layers with something of every kind."""
    top, bottom = stack.lowers
    for path in ("dir/sub", "merged", "full", "other"):
        (bottom / path).mkdir(parents=True)
    (top / "merged").mkdir()
    (top / "merged/above").write_bytes(b"above")
    (top / "merged/hidden").symlink_to("nowhere")
    for path in ("file", "dir/file", "dir/sub/deep", "merged/hidden", "merged/below", "full/x"):
        (bottom / path).write_bytes(b"content")
    os.link(bottom / "file", bottom / "name2")
    (bottom / "single").write_bytes(b"content")
    (bottom / "link").symlink_to("file")
    os.mkfifo(bottom / "fifo")
    os.mknod(bottom / "device", stat.S_IFBLK | 0o600, DEVICE)
    for lower in stack.lowers:
        for made in lower.rglob("*"):
            os.utime(made, ns=(TIME, TIME), follow_symlinks=False)


def _on_disk(upper: Path, lowers: Sequence[Path]) -> dict[str, dict[str, object]]:
    """The upper layer as it is on disk, with origins as paths of lower layers."""
    origins = {
        _origin(path): str(path.relative_to(lower)) for lower in lowers for path in _all(lower)
    }
    seen: dict[str, dict[str, object]] = {}
    for path in _all(upper):
        st = path.lstat()
        facts: dict[str, object] = {"mode": oct(st.st_mode), "rdev": st.st_rdev}
        if stat.S_ISREG(st.st_mode):
            facts |= {"size": st.st_size, "data": _has_data(path)}
        names = os.listxattr(path, follow_symlinks=False)
        for name in sorted(names):
            value = os.getxattr(path, name, follow_symlinks=False)
            if name == ORIGIN:
                facts[name] = origins.get(value, "?" if value else "none")
            elif name not in _INDEX:
                facts[name] = value
        if METACOPY in names or (stat.S_ISDIR(st.st_mode) and REDIRECT in names):
            facts[REDIRECT] = _absolute(path, upper)
        seen[str(path.relative_to(upper))] = facts
    for name in _ROOT:
        seen["."].pop(name, None)
    return seen


def _has_data(path: Path) -> bool:
    with open(path, "rb") as file:
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError as problem:
            assert problem.errno == errno.ENXIO  # noqa: PT017
            return False
    return True


def _absolute(path: Path, upper: Path) -> bytes:
    """Where an upper object's lower one is: a redirect, which may be relative to the parent's."""
    if path == upper:
        return b""
    try:
        redirect = os.getxattr(path, REDIRECT, follow_symlinks=False)
    except OSError:
        redirect = os.fsencode(path.name)
    return (
        redirect if redirect.startswith(b"/") else _absolute(path.parent, upper) + b"/" + redirect
    )


def _all(root: Path) -> list[Path]:
    return [root, *sorted(root.rglob("*"))]


def _origin(path: Path) -> bytes:
    fd = Fd(os.open(path, os.O_PATH | os.O_NOFOLLOW))
    uuid = filesystem_uuid(Fd(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)))
    assert uuid is not None
    return Origin(uuid, handle_of(fd)).pack()


_FORMS: dict[str, list[Operation]] = {
    "whiteout of a file": [Unlink(_names("single"), ROOT)],
    "whiteout of a copied-up file": [
        Write(_names("single"), ROOT, 0, b"x"),
        Unlink(_names("single"), ROOT),
    ],
    "whiteout of a directory": [
        Unlink(_names("full/x"), ROOT),
        Rmdir(_names("full"), ROOT),
    ],
    "file over a whiteout": [
        Unlink(_names("single"), ROOT),
        Create(_names("single"), ROOT, 0o640),
    ],
    "directory over a whiteout": [
        Unlink(_names("single"), ROOT),
        Mkdir(_names("single"), ROOT, 0o755),
    ],
    "directory made in a lower one": [Mkdir(_names("dir/new"), ROOT, 0o755)],
    "directory made in an upper one": [
        Mkdir(_names("new"), ROOT, 0o755),
        Mkdir(_names("new/new"), ROOT, 0o755),
    ],
    "redirect within the parent": [Rename(_names("dir"), _names("moved"), ROOT)],
    "redirect elsewhere": [Rename(_names("dir/sub"), _names("other/sub"), ROOT)],
    "redirect twice": [
        Rename(_names("dir"), _names("moved"), ROOT),
        Rename(_names("moved/sub"), _names("other/sub"), ROOT),
        Rename(_names("other/sub"), _names("sub"), ROOT),
    ],
    "rename and back": [
        Rename(_names("dir"), _names("moved"), ROOT),
        Rename(_names("moved"), _names("dir"), ROOT),
    ],
    "pure upper directory over a lower one": [
        Mkdir(_names("new"), ROOT, 0o755),
        Unlink(_names("full/x"), ROOT),
        Rename(_names("new"), _names("full"), ROOT),
    ],
    "pure upper directory out of another over a lower one": [
        Mkdir(_names("new"), ROOT, 0o755),
        Mkdir(_names("new/new"), ROOT, 0o755),
        Unlink(_names("full/x"), ROOT),
        Rename(_names("new/new"), _names("full"), ROOT),
    ],
    "file over a file": [Rename(_names("single"), _names("dir/file"), ROOT)],
    "copy-up with data": [Write(_names("single"), ROOT, 2, b"x")],
    "copy-up by truncation": [Truncate(_names("single"), ROOT, 0)],
    "metacopy": [Chmod(_names("single"), ROOT, 0o600)],
    "metacopy deep": [Chown(_names("dir/sub/deep"), ROOT, 5, 6)],
    "metacopy renamed": [
        Chmod(_names("dir/file"), ROOT, 0o600),
        Rename(_names("dir/file"), _names("other/file"), ROOT),
    ],
    "metacopy completed": [
        Chmod(_names("single"), ROOT, 0o600),
        Write(_names("single"), ROOT, 0, b"x"),
    ],
    "copy-up of a symbolic link": [Chown(_names("link"), ROOT, 5, 6)],
    "copy-up of a FIFO": [Chmod(_names("fifo"), ROOT, 0o600)],
    "copy-up of a device": [Utimes(_names("device"), ROOT, TIME, TIME)],
    "copy-up of a directory": [Chmod(_names("dir/sub"), ROOT, 0o700)],
    "copy-up of a merged directory": [Chmod(_names("merged"), ROOT, 0o700)],
    "link of a lower file": [Link(_names("single"), _names("dir/again"), ROOT)],
    "one name of two goes": [Unlink(_names("name2"), ROOT)],
    "both names go": [Unlink(_names("name2"), ROOT), Unlink(_names("file"), ROOT)],
    "symbolic link": [Symlink(_names("dir/new"), ROOT, b"target")],
    "device": [Mknod(_names("new"), ROOT, stat.S_IFCHR, 0o640, DEVICE)],
    "symbolic link hidden by another layer": [Unlink(_names("merged/hidden"), ROOT)],
}


@pytest.mark.parametrize("form", _FORMS)
def test_upper_layer_is_as_the_kernel_writes_it(form: str, tmp_path: Path) -> None:
    served, mounted = (Stack.make(tmp_path / name, 2) for name in ("served", "mounted"))
    os.umask(0)
    for stack in (served, mounted):
        _fill(stack)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    with closing(KernelSide(mounted, mountpoint, metacopy=True)) as kernel:
        for operation in _FORMS[form]:
            operation.run(kernel)
    with closing(InProcess(served.config)) as objects:
        for operation in _FORMS[form]:
            operation.run(ServedSide(objects))
    ours = _on_disk(served.upper, served.lowers)
    kernels = _on_disk(mounted.upper, mounted.lowers)
    for path in sorted(ours.keys() | kernels.keys()):
        assert (path, ours.get(path)) == (path, kernels.get(path))


def _mark(path: Path, name: str, value: bytes) -> None:
    os.setxattr(path, f"trusted.overlay.{name}", value)


def _metacopy(path: Path, size: int, redirect: bytes | None) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(path, "xb") as file:
        file.truncate(size)
    path.chmod(0o640)
    _mark(path, "metacopy", b"")
    if redirect is not None:
        _mark(path, "redirect", redirect)


def _plant_whiteouts(top: Path, middle: Path, bottom: Path) -> None:
    for lower in (middle, bottom):
        (lower / "dir").mkdir()
        (lower / "dir/file").write_bytes(b"content")
        (lower / "dir/seen").write_bytes(b"content")
    (top / "dir").mkdir()
    _mark(top / "dir", "opaque", b"x")
    (top / "dir/file").touch()
    _mark(top / "dir/file", "whiteout", b"")
    (top / "dir/empty").touch()


def _plant_opaque(top: Path, middle: Path, bottom: Path) -> None:
    for lower in (top, middle, bottom):
        (lower / "dir").mkdir()
        (lower / "dir" / lower.name).write_bytes(b"content")
    _mark(middle / "dir", "opaque", b"y")


def _plant_redirects(top: Path, middle: Path, bottom: Path) -> None:
    (bottom / "old/sub").mkdir(parents=True)
    (bottom / "old/sub/file").write_bytes(b"content")
    (bottom / "other/sub").mkdir(parents=True)
    (bottom / "other/sub/file2").write_bytes(b"content")
    (middle / "between").mkdir()
    (middle / "between/x").mkdir()
    _mark(middle / "between", "redirect", b"old")
    _mark(middle / "between/x", "redirect", b"/other/sub")
    (top / "new").mkdir()
    _mark(top / "new", "redirect", b"/between")
    (top / "new/sub").mkdir()
    for hidden in (middle / "old", middle / "other", top / "between"):
        os.mknod(hidden, stat.S_IFCHR, 0)


def _plant_metacopies(top: Path, middle: Path, bottom: Path) -> None:
    (bottom / "dir").mkdir()
    (bottom / "dir/file").write_bytes(b"content")
    (bottom / "same").write_bytes(b"content")
    (bottom / "chained").write_bytes(b"content")
    _metacopy(middle / "same", 7, None)
    _metacopy(middle / "link", 7, b"chained")
    _metacopy(top / "link2", 7, b"/link")
    _metacopy(top / "dir/moved", 7, b"file")


def _plant_data_only(top: Path, middle: Path, bottom: Path) -> None:
    (bottom.parent / "data/deep").mkdir(parents=True)
    (bottom.parent / "data/deep/content").write_bytes(b"content")
    _metacopy(top / "file", 7, b"/deep/content")
    _metacopy(bottom / "again", 7, b"/deep/content")


_PLANTS = [_plant_whiteouts, _plant_opaque, _plant_redirects, _plant_metacopies, _plant_data_only]


@pytest.mark.parametrize("plant", _PLANTS, ids=lambda plant: plant.__name__[1:])
def test_lower_forms_are_read_as_the_kernel_reads_them(
    plant: Callable[[Path, Path, Path], None], tmp_path: Path
) -> None:
    stack = Stack.make(tmp_path / "layers", 3)
    plant(*stack.lowers)
    data = tmp_path / "layers/data"
    stack = replace(stack, data=(data,) if data.exists() else ())
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    with closing(InProcess(stack.config)) as objects:
        ours = ServedSide(objects).tree()
    with closing(KernelSide(stack, mountpoint, metacopy=True)) as kernel:
        kernels = kernel.tree()
    assert len(kernels) > 2
    assert differences.of_trees(ours, kernels) == []
