"""Our side: paths are walked by handle, one LOOKUP for each name, as a client does."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from overlay.base.credentials import ROOT, Credentials
from overlay.model.attributes import Changes
from tests.property.objects import Handle, Objects
from tests.property.side import Path, When
from tests.property.trees import Entry, Tree, past


class ServedSide:
    """Operations on paths, done through `objects`."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def find(self, path: Path, cred: Credentials = ROOT) -> Handle:
        """The handle of the object at `path`."""
        handle = self.objects.root()
        for name in path:
            handle = self.objects.lookup(handle, name, cred)
        return handle

    def create(self, path: Path, cred: Credentials, mode: int) -> None:
        self.objects.create(self.find(path[:-1], cred), path[-1], cred, mode)

    def mkdir(self, path: Path, cred: Credentials, mode: int) -> None:
        self.objects.mkdir(self.find(path[:-1], cred), path[-1], cred, mode)

    def symlink(self, path: Path, cred: Credentials, target: bytes) -> None:
        self.objects.symlink(self.find(path[:-1], cred), path[-1], cred, target)

    def mknod(self, path: Path, cred: Credentials, kind: int, mode: int, rdev: int) -> None:
        self.objects.mknod(self.find(path[:-1], cred), path[-1], cred, kind, mode, rdev)

    def write(self, path: Path, cred: Credentials, offset: int, data: bytes) -> None:
        self.objects.write(self.find(path, cred), cred, offset, data)

    def truncate(self, path: Path, cred: Credentials, size: int) -> None:
        self.objects.setattr(self.find(path, cred), cred, Changes(size=size))

    def chmod(self, path: Path, cred: Credentials, mode: int) -> None:
        self.objects.setattr(self.find(path, cred), cred, Changes(mode=mode))

    def chown(self, path: Path, cred: Credentials, uid: int | None, gid: int | None) -> None:
        self.objects.setattr(self.find(path, cred), cred, Changes(uid=uid, gid=gid))

    def utimes(self, path: Path, cred: Credentials, atime: When, mtime: When) -> None:
        self.objects.setattr(self.find(path, cred), cred, Changes(atime=atime, mtime=mtime))

    def link(self, path: Path, new: Path, cred: Credentials) -> None:
        handle = self.find(path, cred)
        self.objects.link(handle, self.find(new[:-1], cred), new[-1], cred)

    def rename(self, path: Path, new: Path, cred: Credentials) -> None:
        parent = self.find(path[:-1], cred)
        self.objects.rename(parent, path[-1], self.find(new[:-1], cred), new[-1], cred)

    def unlink(self, path: Path, cred: Credentials) -> None:
        self.objects.remove(self.find(path[:-1], cred), path[-1], cred)

    def rmdir(self, path: Path, cred: Credentials) -> None:
        self.objects.rmdir(self.find(path[:-1], cred), path[-1], cred)

    def read(self, path: Path, cred: Credentials, offset: int, count: int) -> bytes:
        return self.objects.read(self.find(path, cred), cred, offset, count)

    def readlink(self, path: Path, cred: Credentials) -> bytes:
        return self.objects.readlink(self.find(path, cred), cred)

    def readdir(self, path: Path, cred: Credentials) -> tuple[bytes, ...]:
        entries = self.objects.readdir(self.find(path, cred), cred)
        return tuple(sorted(name for name, _ in entries if name not in (b".", b"..")))

    def access(self, path: Path, cred: Credentials) -> int:
        return self.objects.access(self.find(path, cred), cred)

    def walk(self) -> Iterator[tuple[Path, Handle]]:
        """Every path with its handle; checks that listings agree with lookups on the way."""
        pending: list[tuple[Path, Handle]] = [((), self.objects.root())]
        while pending:
            path, handle = pending.pop()
            yield path, handle
            if not self.objects.getattr(handle).is_dir:
                continue
            for name, fileid in self.objects.readdir(handle, ROOT):
                child = self.objects.lookup(handle, name, ROOT)
                shown = self.objects.getattr(child).fileid
                assert shown == fileid, f"{path} {name!r}: READDIR {fileid}, GETATTR {shown}"
                if name not in (b".", b".."):
                    pending.append(((*path, name), child))

    def tree(self) -> Tree:
        found = dict(self.walk())
        first: dict[Handle, Path] = {}
        for path in sorted(found):
            first.setdefault(found[path], path)
        return {path: self._entry(handle, first[handle]) for path, handle in found.items()}

    def _entry(self, handle: Handle, same_as: Path) -> Entry:
        had = self.objects.getattr(handle)
        content = b""
        if stat.S_ISREG(had.mode):
            content = self.objects.read(handle, ROOT, 0, had.size)
        elif stat.S_ISLNK(had.mode):
            content = self.objects.readlink(handle, ROOT)
        return Entry(
            stat.S_IFMT(had.mode),
            stat.S_IMODE(had.mode),
            had.nlink,
            had.uid,
            had.gid,
            0 if had.is_dir else had.size,
            had.rdev,
            past(had.atime),
            past(had.mtime),
            content,
            self.objects.xattrs(handle),
            same_as,
        )
