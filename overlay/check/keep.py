"""What repairs have taken away and changed, kept in the work directory so that it can be undone.

    repaired/2026-11-29T13.05.02/
        log        a line for each thing that was repaired
        kept/      what had a name in the index or in `staging/` and has none any more
        changes    a JSON object a line for each name that is not as it was: before and after

`changes` is written when the repair has ended.  A folder without it is of a repair that did
not end; nothing of what it took away is lost either, but it cannot be undone by machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from typing import Any, Final

from index.linux.fd import Fd, open_at, open_dir, open_path
from index.linux.syscalls import rename
from index.workdir import Workdir
from overlay.check.image import REPAIRED, Image, Thing, take, which_inode
from overlay.check.problem import Problem
from overlay.model.config import OverlayConfig

CHANGES: Final = b"changes"
KEPT: Final = b"kept"
_LOG: Final = b"log"
_FORMAT: Final = "%Y-%m-%dT%H.%M.%S"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY


class Keeper:
    """Keeps what one repair takes away; nothing is made before something is repaired."""

    def __init__(self, config: OverlayConfig) -> None:
        self._config = config
        self._before: Image = {}
        self._folder: Fd | None = None
        self._name = b""

    @property
    def path(self) -> bytes | None:
        """Return where it is kept; None if nothing was repaired."""
        if self._folder is None or self._config.workdir is None:
            return None
        return os.path.join(self._config.workdir, REPAIRED, self._name)

    def _take(self, work: Fd) -> Image:
        assert self._config.upperdir is not None
        return take(Fd(os.open(self._config.upperdir, _DIRECTORY)), work)

    def begin(self, workdir: Workdir) -> None:
        """Something is about to be repaired, in a work directory that is held."""
        if self._folder is None:
            self._before = self._take(workdir.root)
            self._make(workdir.root)
        if workdir.repaired is None:  # by way of the mount that it has, for names to be moved there
            above = open_dir(workdir.root, REPAIRED)
            self._folder = open_dir(above, self._name)
            workdir.repaired = open_dir(self._folder, KEPT)

    def _make(self, work: Fd) -> None:
        above = _directory(work, REPAIRED)
        stamp = time.strftime(_FORMAT).encode()
        for number in range(1000):
            self._name = stamp if number == 0 else b"%s.%d" % (stamp, number)
            try:
                os.mkdir(self._name, 0o700, dir_fd=above)
            except FileExistsError:
                continue
            break
        _directory(open_dir(above, self._name), KEPT)

    def note(self, problem: Problem) -> None:
        """Record that one thing was repaired."""
        if self._folder is None or problem.repair is None:
            return
        where = os.fsdecode(problem.where).encode(errors="backslashreplace").decode()
        line = f"{where}: {problem.kind.value}: {problem.wrong}: {problem.repair}\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.write(open_at(self._folder, _LOG, flags, 0o600), line.encode())

    def finish(self, workdir: Workdir) -> None:
        """Write down what the repair, which has ended, changed."""
        if self._folder is None or self._config.upperdir is None:
            return
        after = self._take(workdir.root)
        self._drop_what_is_elsewhere(after)
        by_inode = {thing.inode: path for path, thing in after.items() if not thing.is_dir}
        upper = Fd(os.open(self._config.upperdir, _DIRECTORY))
        rows: list[dict[str, Any]] = [{"upper": which_inode(upper)}]
        changed = {
            path
            for path in self._before.keys() | after.keys()
            if self._before.get(path) != after.get(path)
        }
        # To undo a change of a name changes the time of the directory that it is in.
        above = {path.rpartition(b"/")[0] for path in changed} & self._before.keys()
        for path in sorted(changed | above):
            was, now = self._before.get(path), after.get(path)
            source = None if was is None else by_inode.get(was.inode)
            rows.append(_row(path, was, now, source))
        data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        fd = open_at(self._folder, b"changes.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(os.dup(fd), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        rename(self._folder, b"changes.new", self._folder, CHANGES)

    def _drop_what_is_elsewhere(self, after: Image) -> None:
        """Keep no second link of what still has a name: it would count."""
        assert self._folder is not None
        kept = open_dir(self._folder, KEPT)
        inodes = {thing.inode for thing in after.values() if not thing.is_dir}
        for name in map(os.fsencode, os.listdir(kept)):
            fd = open_path(kept, name)
            if which_inode(fd) in inodes and not stat.S_ISDIR(os.fstat(fd).st_mode):
                os.unlink(name, dir_fd=kept)


def _directory(parent: Fd, name: bytes) -> Fd:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return open_dir(parent, name)


def _row(path: bytes, was: Thing | None, now: Thing | None, source: bytes | None) -> dict[str, Any]:
    return {
        "path": os.fsdecode(path),
        "before": _packed(was),
        "after": _packed(now),
        # Where the inode that had the name still has one.
        "source": None if source is None else os.fsdecode(source),
    }


def _packed(thing: Thing | None) -> dict[str, Any] | None:
    if thing is None:
        return None
    content = None if thing.content is None else thing.content.hex()
    attributes = {os.fsdecode(name): value.hex() for name, value in thing.attributes.items()}
    return {**thing._asdict(), "content": content, "attributes": attributes}


def unpacked(fields: dict[str, Any] | None) -> Thing | None:
    """Return what was packed into `changes`."""
    if fields is None:
        return None
    content = None if fields["content"] is None else bytes.fromhex(fields["content"])
    had = {os.fsencode(name): bytes.fromhex(value) for name, value in fields["attributes"].items()}
    return Thing(**{**fields, "content": content, "attributes": had})
