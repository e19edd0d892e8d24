"""Images that are replaced, taken out, put back and edited on the filesystem of the upper layer.

A filesystem gives the inode numbers of what is deleted to what is made next.  A model
knows of every handle that was ever given out what its object is: its number for
clients, its contents, and whether a client has removed it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from index.linux.fd import Fd
from index.linux.file_handle import RealHandle, handle_of
from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.model.config import OverlayConfig
from tests.overlays import Served

_ROUNDS: Final = 6
_CALLS: Final = 12


@dataclass
class Object:
    """What is known of a handle."""

    fileid: int
    is_dir: bool
    content: bytes | None  # of a file; None where it cannot be known
    image: Path | None  # where it is, unless it is in the upper layer
    removed: bool = False


class Images:
    """One overlay, its images, and the model of it."""

    def __init__(self, place: Path, seed: int) -> None:
        self._place = place
        self._random = Random(seed)
        self._serial = 0
        # Metacopies lose their data with the image that has it.
        self._complete = self._random.random() < 0.5
        self._stack = [self._image() for _ in range(self._random.randint(1, 3))]
        self._base = self._image()
        self._out: list[Path] = []
        self._removed: set[RealHandle] = set()  # inodes whose objects clients have removed
        self.objects: dict[bytes, Object] = {}
        for name in ("upper", "work"):
            (place / name).mkdir(mode=0o700)

    def run(self) -> None:
        for _ in range(_ROUNDS):
            with self._served() as at:
                self._look(at)
                for _ in range(self._random.randrange(_CALLS)):
                    self._call(at)
                self._look(at)
            with self._served() as at:
                self._check_handles(at)
                self._look(at)
            for _ in range(self._random.randint(1, 2)):
                self._administrate()

    @contextmanager
    def _served(self) -> Iterator[Served]:
        lowers = tuple(os.fsencode(path) for path in (*self._stack, self._base))
        upper, work = (os.fsencode(self._place / name) for name in ("upper", "work"))
        overlay = Overlay.open(OverlayConfig(lowers, upper, work))
        try:
            yield Served(overlay)
        finally:
            overlay.close()
            os.umask(0o022)

    def _new(self, kind: str) -> str:
        self._serial += 1
        return f"{kind}{self._serial}"

    def _image(self) -> Path:
        """An image with files and directories whose contents tell them apart."""
        root = self._place / self._new("image")
        for directory in (root, root / "dir", root / "dir/sub"):
            directory.mkdir()
            for _ in range(self._random.randint(1, 5)):
                self._file(directory)
        (root / self._new("empty")).mkdir()
        (root / "same").write_text(self._new("content"))
        return root

    def _file(self, directory: Path) -> None:
        file = directory / self._new("file")
        file.write_text(self._new("content"))
        if self._random.random() < 0.2:
            (directory / self._new("link")).hardlink_to(file)

    # While the server is stopped.

    def _administrate(self) -> None:
        change = self._random.choice(("replace", "replace", "out", "back", "edit", "edit"))
        if change == "replace" and self._stack:
            at = self._random.randrange(len(self._stack))
            shutil.rmtree(self._stack[at])
            self._stack[at] = self._image()
        elif change == "out" and self._stack:
            self._out.append(self._stack.pop(self._random.randrange(len(self._stack))))
        elif change == "back" and self._out:
            path = self._out.pop()
            moved = path.rename(self._place / self._new("moved"))
            for known in self.objects.values():
                known.image = moved if known.image == path else known.image
            self._stack.insert(self._random.randint(0, len(self._stack)), moved)
        elif change == "edit":
            self._edit(self._random.choice([*self._stack, self._base]))

    def _edit(self, image: Path) -> None:
        """As a package manager does in a chroot."""
        files = sorted(path for path in image.rglob("*") if path.is_file())
        for path in self._random.sample(files, min(3, len(files))):
            match self._random.choice(("renew", "remove", "link", "add")):
                case "renew":
                    new = path.with_name("new")
                    new.write_text(self._new("content"))
                    new.rename(path)
                case "remove":
                    path.unlink()
                case "link" if self._is_left(path):
                    path.with_name(self._new("link")).hardlink_to(path)
                case "add":
                    self._file(path.parent)

    def _is_left(self, path: Path) -> bool:
        """Whether no client has removed the file: what is gone is gone, under any name."""
        inode = Fd(os.open(path, os.O_PATH))
        return handle_of(inode) not in self._removed

    # While it is served.

    def _call(self, at: Served) -> None:
        path = self._random.choice([path for path in at.paths() if path])
        node = at.node(path)
        known = self.objects[node.handle]
        if known.content and self._complete:
            self._write(at, path, known)
        match self._random.choice(("write", "chmod", "rename", "remove", "create", "link")):
            case "write" if not node.is_dir and known.content is not None:
                self._write(at, path, known)
            case "chmod":
                at.chmod(path, 0o700)
            case "rename":
                at.rename(path, f"{path.rpartition('/')[0]}/{self._new('moved')}".lstrip("/"))
            case "remove":
                self._remove(at, path, known)
            case "create":
                self._create(at, path if node.is_dir else path.rpartition("/")[0])
            case "link" if not node.is_dir:
                at.link(path, self._new("link"))
        self._look(at)

    def _write(self, at: Served, path: str, known: Object) -> None:
        assert known.content is not None
        content = self._new("written").encode().ljust(len(known.content), b"+")
        try:
            at.write(path, content.decode())
        except OSError as problem:
            assert problem.errno == errno.EIO  # noqa: PT017
            assert _content(at, at.node(path).handle) is None
        else:
            known.content = content

    def _remove(self, at: Served, path: str, known: Object) -> None:
        node = at.node(path)
        known.removed = node.is_dir or at.attributes(path).nlink == 1
        if known.removed:
            self._removed.add(node.identity.real)
        try:
            (at.rmdir if node.is_dir else at.remove)(path)
        except OSError as problem:
            assert problem.errno == errno.ENOTEMPTY  # noqa: PT017
            known.removed = False

    def _create(self, at: Served, directory: str) -> None:
        name = f"{directory}/{self._new('made')}".lstrip("/")
        if self._random.random() < 0.5:
            at.mkdir(name)
        else:
            at.create(name, self._new("content"))

    # What must hold.

    def _look(self, at: Served) -> None:
        """Every name that is listed is found, and is the object that it was."""
        paths, seen = [""], {}
        for path in paths:
            node = at.node(path)
            listed = {os.fsdecode(name): fileid for _, fileid, name in at.listed(node)[2:]}
            for name, fileid in listed.items():
                below = f"{path}/{name}".lstrip("/")
                found = at.node(below)
                assert found.fileid == at.attributes(below).fileid == fileid, below
                self._meet(at, below)
                seen[found.handle] = fileid
                if found.is_dir:
                    paths.append(below)
        assert len(set(seen.values())) == len(seen)

    def _meet(self, at: Served, path: str) -> None:
        node = at.node(path)
        known = self.objects.get(node.handle)
        content = None if node.is_dir else _content(at, node.handle)
        if known is None:
            image = None if node.is_upper else self._image_of(path, content)
            # What a new version of an image has under the same name is the same object.
            content = None if path == "same" else content
            self.objects[node.handle] = Object(node.fileid, node.is_dir, content, image)
            return
        assert not known.removed, path
        assert (known.fileid, known.is_dir) == (node.fileid, node.is_dir), path
        assert known.content is None or content in (known.content, None), path
        known.image = None if node.is_upper else known.image

    def _image_of(self, path: str, content: bytes | None) -> Path | None:
        for image in (*self._stack, self._base):
            if content is not None and (image / path).is_file():
                return image
        return None

    def _check_handles(self, at: Served) -> None:
        """A handle leads to its own object for ever, or to none; no two objects have one number."""
        living: dict[int, bytes] = {}
        for handle, known in self.objects.items():
            try:
                node = at.overlay.resolve(handle)
                number = at.overlay.getattr(node).fileid
            except OSError as problem:
                assert problem.errno == errno.ESTALE  # noqa: PT017
                continue
            assert not known.removed
            assert known.image not in self._out
            assert (node.handle, number) == (handle, known.fileid)
            assert number not in living
            living[number] = handle
            content = None if node.is_dir else _content(at, handle)
            assert known.content is None or content in (known.content, None)


def _content(at: Served, handle: bytes) -> bytes | None:
    """The data of a file; None where it was in a layer that is not there any more."""
    try:
        return bytes(at.overlay.read(at.overlay.resolve(handle), ROOT, 0, 1 << 20)[0])
    except OSError as problem:
        assert problem.errno == errno.EIO  # noqa: PT017
        return None
