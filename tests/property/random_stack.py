"""Random stacks of layers, written by the kernel's own overlayfs and edited as administrators do.

A few plain layers are made by hand.  Then the kernel mounts what there is, does random work in the
mount, and the upper layer becomes the topmost lower of the next mount, with other options each
time.  Some layers are replaced by copies of themselves, which have other inodes and may have lost
attributes or whiteouts; some files have their data in a data-only layer.

Rule: all that is random comes from one seed.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from tests.property import syscalls
from tests.property.layers import DEVICE, TIME
from tests.property.stack import Stack

_NAMES: Final = ("a", "b", "c", "d")
_MODES: Final = (0o644, 0o600, 0o755, 0o640)
_PREFIXES: Final = {False: "trusted.overlay.", True: "user.overlay."}
# What copies a directory's contents, and how often of ten that is chosen.
_COPIES: Final = {
    ("cp", "-a", "{old}/.", "{new}"): 4,
    ("tar", "--xattrs", "--xattrs-include=*"): 3,
    ("cp", "-dR", "--preserve=mode,ownership,timestamps,links", "{old}/.", "{new}"): 1,
}


@dataclass
class Made:
    """A stack, and how it came about."""

    stack: Stack
    shown: bytes  # options of a mount with the upper layer that shows everything
    counted: bool  # whether it shows link counts as they are: it shows the index's own
    userxattr: bool = False
    story: list[str] = field(default_factory=list)


@dataclass
class _Options:
    """How the kernel mounts one time."""

    redirect: bool
    metacopy: bool
    index: bool
    export: bool

    @classmethod
    def random(cls, rng: Random, *, userxattr: bool) -> _Options:
        if userxattr:
            return cls(False, False, rng.random() < 0.3, False)
        metacopy, index = rng.random() < 0.6, rng.random() < 0.5
        redirect = metacopy or rng.random() < 0.85
        return cls(redirect, metacopy, index, index and not metacopy and rng.random() < 0.5)

    def text(self, *, userxattr: bool) -> bytes:
        switch = {True: b"on", False: b"off"}
        parts = [b"index=" + switch[self.index], b"nfs_export=" + switch[self.export], b"xino=off"]
        if userxattr:
            parts.append(b"userxattr")
        else:
            parts.append(b"redirect_dir=" + (b"on" if self.redirect else b"follow"))
            parts.append(b"metacopy=" + switch[self.metacopy])
        return b",".join(parts)


def mount_options(
    lowers: list[Path], data: list[Path], upper: tuple[Path, Path] | None = None
) -> bytes:
    """The layers as options of a mount of the kernel's."""
    text = b":".join(map(os.fsencode, lowers))
    text = b"::".join([b"lowerdir=" + text, *map(os.fsencode, data)])
    if upper is not None:
        text += b",upperdir=%s,workdir=%s" % tuple(map(os.fsencode, upper))
    return text


def make(place: Path, rng: Random) -> Made:
    """A random stack below the empty directory `place`; the upper is empty or the kernel's."""
    return _Maker(place, rng).make()


class _Maker:
    def __init__(self, place: Path, rng: Random) -> None:
        self._place = place
        self._rng = rng
        self._userxattr = rng.random() < 0.12
        self._lowers: list[Path] = []  # topmost first
        self._data: list[Path] = []
        self._story: list[str] = []
        self._number = 0
        (place / "mnt").mkdir()

    def make(self) -> Made:
        rng = self._rng
        for _ in range(rng.choice((1, 1, 2, 2, 3))):
            self._lowers.insert(0, self._plain())
        if not self._userxattr and rng.random() < 0.25:
            self._put_data_apart()
        rounds = rng.choice((1, 1, 2, 2, 3, 4))
        upper = work = options = None
        for number in range(rounds):
            upper, work, options = self._mounted()
            if number == rounds - 1 and rng.random() < 0.4:
                break
            self._lowers.insert(0, upper)
            upper = work = options = None
            if rng.random() < 0.25:
                self._copy(rng.randrange(len(self._lowers)))
        if upper is None or work is None or options is None:
            upper, work = self._new("upper"), self._new("work")
            options = _Options(True, True, True, False)
        stack = Stack(tuple(self._lowers), upper, work, tuple(self._data))
        shown = self._text(upper, work, _Options(True, True, options.index, False))
        return Made(stack, shown, not options.export, self._userxattr, self._story)

    def _text(self, upper: Path, work: Path, options: _Options) -> bytes:
        text = mount_options(self._lowers, self._data, (upper, work))
        return text + b"," + options.text(userxattr=self._userxattr)

    def _new(self, kind: str) -> Path:
        self._number += 1
        path = self._place / f"{kind}{self._number}"
        path.mkdir(0o755)
        return path

    def _plain(self) -> Path:
        """A layer as it comes out of an archive."""
        rng, root = self._rng, self._new("plain")
        directories = [root]
        for _ in range(rng.randrange(4, 16)):
            path = rng.choice(directories) / rng.choice(_NAMES)
            kind = rng.choice("dddfffflsp")
            with suppress(FileExistsError, PermissionError):
                if kind == "d" and len(path.relative_to(root).parts) < 5:
                    path.mkdir()
                    directories.append(path)
                elif kind == "f":
                    with path.open("x") as file:
                        file.write(
                            f"{path.relative_to(self._place)} {rng.random()}"[: rng.randrange(60)]
                        )
                    path.chmod(rng.choice(_MODES))
                elif kind == "s":
                    path.symlink_to("a")
                elif kind == "p":
                    os.mkfifo(path) if rng.random() < 0.5 else os.mknod(path, stat.S_IFBLK, DEVICE)
                elif kind == "l":
                    files = [
                        one for one in root.rglob("*") if one.is_file() and not one.is_symlink()
                    ]
                    if files:
                        os.link(rng.choice(sorted(files)), path)
        for path in root.rglob("*"):
            os.utime(path, ns=(TIME, TIME), follow_symlinks=False)
        self._story.append(f"plain {root.name}: {_listed(root)}")
        return root

    def _put_data_apart(self) -> None:
        """Some files of the topmost layer become metacopies of files in data-only layers."""
        rng, top = self._rng, self._lowers[0]
        for _ in range(rng.choice((1, 1, 2))):
            self._data.append(self._new("data"))
        files = sorted(one for one in top.rglob("*") if one.is_file() and not one.is_symlink())
        for file in files:
            if rng.random() < 0.6 and file.stat().st_nlink == 1:
                blob = f"blobs/{rng.randrange(10**6)}"
                for data in self._data if rng.random() < 0.3 else [rng.choice(self._data)]:
                    (data / "blobs").mkdir(exist_ok=True)
                    shutil.copy2(file, data / blob)
                st = file.stat()
                os.truncate(file, 0)
                os.truncate(file, st.st_size)
                os.setxattr(file, "trusted.overlay.metacopy", b"")
                os.setxattr(file, "trusted.overlay.redirect", b"/" + blob.encode())
                os.utime(file, ns=(TIME, TIME))
                self._story.append(f"data of {file.relative_to(self._place)} in {blob}")

    def _mounted(self) -> tuple[Path, Path, _Options]:
        """One mount of the kernel's with random work; returns its upper, workdir and options."""
        rng = self._rng
        options = _Options.random(rng, userxattr=self._userxattr)
        if self._data:
            options.redirect, options.metacopy, options.export = True, True, False
        upper, work = self._new("upper"), self._new("work")
        text = self._text(upper, work, options)
        self._story.append(f"mount {upper.name} over {[p.name for p in self._lowers]}: {options}")
        root = self._place / "mnt"
        syscalls.mount(b"random", os.fsencode(root), b"overlay", text)
        try:
            for _ in range(rng.randrange(1, 16)):
                self._work(root)
        finally:
            syscalls.unmount(os.fsencode(root))
        return upper, work, options

    def _work(self, root: Path) -> None:
        rng = self._rng
        paths = _paths(root)
        directories = [root, *filter(_is_dir, paths)]
        path = rng.choice(paths) if paths else root
        new = rng.choice(directories) / rng.choice(_NAMES)
        verb, work = rng.choice(_WORK)
        names = [str(one.relative_to(root)) for one in (path, new)]
        if path == root:
            return
        try:
            work(rng, path, new)
        except (OSError, shutil.Error) as problem:
            if isinstance(problem, shutil.Error) or problem.errno is None:
                return
        else:
            self._story.append(f"  {verb} {names[0]} {names[1]}")

    def _copy(self, at: int) -> None:
        """Replace a layer by a copy of itself; the old one may go or stay on the filesystem."""
        rng, old = self._rng, self._lowers[at]
        new = self._new("copy")
        command = rng.choices(list(_COPIES), list(_COPIES.values()))[0]
        if command[0] == "tar":
            flags = [*command[1:], "--numeric-owner"]
            with subprocess.Popen(
                ["tar", "-C", old, *flags, "-cf", "-", "."], stdout=subprocess.PIPE
            ) as out:
                subprocess.run(
                    ["tar", "-C", new, *flags, "-xpf", "-"], stdin=out.stdout, check=True
                )
        else:
            words = [word.format(old=old, new=new) for word in command]
            subprocess.run(words, check=True, capture_output=True)
        edit = rng.choice(("", "", "", "whiteouts", "add"))
        if edit == "whiteouts" and not any(map(_is_redirected, _paths(new))):
            # Else what was renamed would have two names (docs/differences.md).
            for path in _paths(new):
                st = path.lstat()
                if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0 and rng.random() < 0.7:
                    path.unlink()
        elif edit == "add":
            with suppress(OSError):
                path = new / rng.choice(_NAMES)
                path.unlink(missing_ok=True)
                path.write_text("added")
        gone = rng.random() < 0.5
        if gone:
            shutil.rmtree(old)
        self._lowers[at] = new
        self._story.append(f"{new.name} is {old.name} by {command}, {edit=}, {gone=}")


def _paths(root: Path) -> list[Path]:
    """Everything below a directory that can be seen, sorted."""
    found: list[Path] = []
    for directory, names, files in os.walk(root):
        found += [Path(directory) / name for name in (*names, *files)]
    return sorted(filter(os.path.lexists, found))


def _is_dir(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _is_redirected(path: Path) -> bool:
    return _is_dir(path) and "trusted.overlay.redirect" in os.listxattr(path)


def _listed(root: Path) -> list[str]:
    return [f"{path.relative_to(root)}{'/' if _is_dir(path) else ''}" for path in _paths(root)]


def _rename(rng: Random, path: Path, new: Path) -> None:
    path.rename(new)


def _rename_near(rng: Random, path: Path, new: Path) -> None:
    path.rename(path.parent / new.name)


def _replace(rng: Random, path: Path, new: Path) -> None:
    _remove(rng, new, new)
    path.rename(new)


def _remove(rng: Random, path: Path, new: Path) -> None:
    if _is_dir(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove_and_make(rng: Random, path: Path, new: Path) -> None:
    _remove(rng, path, new)
    path.mkdir()
    (path / rng.choice(_NAMES)).write_text(f"made {rng.random()}")


def _write(rng: Random, path: Path, new: Path) -> None:
    if path.is_file() and not path.is_symlink():
        with path.open("r+") as file:
            file.seek(rng.randrange(20))
            file.write(f"written {rng.random()}")


def _truncate(rng: Random, path: Path, new: Path) -> None:
    if path.is_file() and not path.is_symlink():
        os.truncate(path, rng.randrange(20))


def _mark(rng: Random, path: Path, new: Path) -> None:
    if not path.is_symlink():
        os.setxattr(path, "user.note", str(rng.random()).encode())


def _chmod(rng: Random, path: Path, new: Path) -> None:
    if not path.is_symlink():
        path.chmod(rng.choice(_MODES) | (0o100 if path.is_dir() else 0))


def _link(rng: Random, path: Path, new: Path) -> None:
    os.link(path, new, follow_symlinks=False)


def _create(rng: Random, path: Path, new: Path) -> None:
    with new.open("x") as file:
        file.write(f"new {rng.random()}")


def _mkdir(rng: Random, path: Path, new: Path) -> None:
    new.mkdir()


def _touch(rng: Random, path: Path, new: Path) -> None:
    os.utime(path, ns=(TIME, TIME), follow_symlinks=False)


_Work = Callable[[Random, Path, Path], None]
_WORK: Final[list[tuple[str, _Work]]] = [
    *[("mv", _rename)] * 5,
    *[("mv in place", _rename_near)] * 3,
    *[("mv over", _replace)] * 2,
    ("rm", _remove),
    ("rm, mkdir", _remove_and_make),
    ("write", _write),
    ("truncate", _truncate),
    *[("chmod", _chmod)] * 4,
    ("setxattr", _mark),
    *[("ln", _link)] * 2,
    ("create", _create),
    *[("mkdir", _mkdir)] * 2,
    ("touch", _touch),
]
