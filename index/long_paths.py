"""Paths that are too long for an extended attribute, in the work directory.

A filesystem may have 4 KiB for all attributes of an inode, and a path may be longer.
`paths/` has such a path in pieces of whole names: a piece is a symbolic link to the piece
before it and the names, and is called by a digest of all the path so far.  So what
many paths have in common is there once, a piece is made by one system call and never
changes, and a copy of the work directory has it as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from index.fd import Fd, components, open_dir
from index.workdir import PATHS, Workdir

_PIECE: Final = 800  # bytes; XFS allows 1024 in a symbolic link
_DIGEST: Final = 16  # bytes
_NOTHING: Final = b""  # before the first piece


class LongPaths:
    """The paths that one work directory has."""

    def __init__(self, workdir: Workdir) -> None:
        self._root = workdir.root

    def put(self, path: bytes) -> bytes:
        """Keep a path; returns what to call it by."""
        pieces = list(_pieces(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(PATHS, 0o700, dir_fd=self._root)
        directory = open_dir(self._root, PATHS)
        *_, (last, _, _) = pieces
        if not _has(directory, last):
            # In their order: where there is one, those before it are there.
            for digest, before, names in pieces:
                with contextlib.suppress(FileExistsError):
                    os.symlink(before.hex().encode() + names, _name(digest), dir_fd=directory)
        return last

    def get(self, digest: bytes) -> bytes | None:
        """The path that is called so; None if there is none."""
        found = []
        try:
            directory = open_dir(self._root, PATHS)
            while digest != _NOTHING:
                before, slash, names = os.readlink(_name(digest), dir_fd=directory).partition(b"/")
                found.append(slash + names)
                digest = bytes.fromhex(before.decode())
        except FileNotFoundError:
            return None
        return b"".join(reversed(found))


def _name(digest: bytes) -> bytes:
    return digest.hex().encode()


def _has(directory: Fd, digest: bytes) -> bool:
    try:
        os.stat(_name(digest), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _pieces(path: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The digest of each piece of a path, of the piece before it, and its names."""
    so_far, before, piece = blake2b(digest_size=_DIGEST), _NOTHING, b""
    for name in components(path):
        if piece and len(piece) + 1 + len(name) > _PIECE:
            so_far.update(piece)
            yield so_far.digest(), before, piece
            before, piece = so_far.digest(), b""
        piece += b"/" + name
    so_far.update(piece)
    yield so_far.digest(), before, piece or b"/"
