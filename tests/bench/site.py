"""One server's tree as workloads need it: handles looked up once, work files made when asked for.

Rule: nothing here is measured; a handle stays good over a restart of the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, Final

from nfsd.xdr.generated.nfs3 import (
    NFS3ERR_EXIST,
    NFS3ERR_NOTSUPP,
    UNCHECKED,
    CREATE3args,
    MKDIR3args,
    READDIRPLUS3args,
    createhow3,
    diropargs3,
)
from tests.bench import tree
from tests.wire import NfsError, Wire, sattr

PAGE_NAMES_BYTES: Final = 8 << 10  # READDIRPLUS's dircount and maxcount
PAGE_BYTES: Final = 32 << 10
TARGET_BYTES: Final = 8 * tree.MIB  # of each file that is written to


class Site:
    """A server's export, with the tree of `tree`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._used: Counter[str] = Counter()
        self._directories: dict[str, bytes] = {"": wire.root}

    @property
    def root(self) -> bytes:
        """The export's root."""
        return self.wire.root

    def name(self, path: str) -> diropargs3:
        """The directory's handle and the name."""
        parent, _, name = path.rpartition("/")
        if parent not in self._directories:
            self._directories[parent] = self.wire.lookup(parent)
        return diropargs3(self._directories[parent], name.encode())

    def handles(self, paths: Sequence[str]) -> list[bytes]:
        """The handles of many paths."""
        calls = [("LOOKUP", self.name(path)) for path in paths]
        return [found.resok.object for found in self.wire.client.pipeline(calls, 64)]

    @cached_property
    def files(self) -> list[bytes]:
        """The handles of all files."""
        return self.handles(tree.files())

    @cached_property
    def big(self) -> bytes:
        """The file that is read."""
        return self.wire.lookup(tree.BIG)

    @cached_property
    def link(self) -> bytes:
        """The symbolic link."""
        return self.wire.lookup(tree.LINK)

    def unused(self, what: str, count: int) -> range:
        """So many numbers that nobody has got of this before."""
        self._used[what] += count
        return range(self._used[what] - count, self._used[what])

    def untouched(self, where: str, count: int) -> list[bytes]:
        """Handles of files in a directory that nobody has asked for before."""
        return self.handles([tree.once(where, each) for each in self.unused(where, count)])

    @cache  # noqa: B019 - lives as long as the run
    def directory(self, number: int) -> bytes:
        """A directory of its own for a connection to change things in."""
        where = diropargs3(self.wire.lookup(tree.WORK), b"d%d" % number)
        if self.wire.status("MKDIR", MKDIR3args(where, sattr(0o755))) not in (0, NFS3ERR_EXIST):
            raise NfsError(NFS3ERR_EXIST)
        return self.wire.lookup(f"{tree.WORK}/d{number}")

    def file(self, directory: bytes, name: bytes) -> bytes:
        """An empty file in such a directory."""
        where = diropargs3(directory, name)
        self.wire.call("CREATE", CREATE3args(where, createhow3(UNCHECKED, sattr(0o644))))
        found: bytes = self.wire.call("LOOKUP", where).object
        return found

    @cache  # noqa: B019 - lives as long as the run
    def target(self, number: int) -> bytes:
        """A file for a lane to write to, already full."""
        handle = self.file(self.directory(0), b"target%d" % number)
        for offset in range(0, TARGET_BYTES, tree.MIB):
            self.wire.write(handle, bytes(tree.MIB), offset, stable=0)
        return handle

    @cached_property
    def has_readdirplus(self) -> bool:
        """Whether the server has READDIRPLUS at all."""
        arguments = READDIRPLUS3args(self.root, 0, bytes(8), PAGE_NAMES_BYTES, PAGE_BYTES)
        return self.wire.status("READDIRPLUS", arguments) != NFS3ERR_NOTSUPP

    def pages(self, path: str) -> list[tuple[READDIRPLUS3args, int]]:
        """The READDIRPLUS calls that list a directory, and how many entries each brings."""
        directory = self.wire.lookup(path)
        found: list[tuple[READDIRPLUS3args, int]] = []
        cookie, verifier, eof = 0, bytes(8), False
        while not eof:
            page = READDIRPLUS3args(directory, cookie, verifier, PAGE_NAMES_BYTES, PAGE_BYTES)
            result: Any = self.wire.call("READDIRPLUS", page)
            entries, eof, verifier = result.reply.entries, result.reply.eof, result.cookieverf
            found.append((page, len(entries)))
            cookie = entries[-1].cookie if entries else cookie
        return found
