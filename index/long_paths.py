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
from typing import Final, NamedTuple

from index.linux.fd import Fd, open_dir
from index.workdir import PATHS, Workdir

_PIECE: Final = 800  # bytes; XFS allows 1024 in a symbolic link
_DIGEST: Final = 16  # bytes
_NOTHING: Final = b""  # before the first piece


class _Piece(NamedTuple):
    digest: bytes  # of the path so far
    before: bytes  # the digest of the piece before
    names: bytes


class LongPaths:
    """The paths that one work directory has."""

    def __init__(self, workdir: Workdir) -> None:
        self._root = workdir.root

    def put(self, path: bytes) -> bytes:
        """Keep a path; returns what to call it by."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(PATHS, 0o700, dir_fd=self._root)
        directory, missing = open_dir(self._root, PATHS), []
        pieces = list(_pieces(path))
        for piece in reversed(pieces):
            if _has(directory, piece.digest):
                break  # and so are those before it, as they are made in their order
            missing.append(piece)
        for piece in reversed(missing):
            with contextlib.suppress(FileExistsError):
                target = piece.before.hex().encode() + piece.names
                os.symlink(target, _name(piece.digest), dir_fd=directory)
        return pieces[-1].digest

    def get(self, digest: bytes) -> bytes | None:
        """Return the path that is called so; None if there is none."""
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


def _pieces(path: bytes) -> Iterator[_Piece]:
    """Yield an absolute path in pieces of whole names, which fit into a piece each."""
    so_far, before, begin = blake2b(digest_size=_DIGEST), _NOTHING, 0
    while begin < len(path):
        end = begin + _PIECE
        end = len(path) if end >= len(path) else path.rindex(b"/", begin + 1, end + 1)
        so_far.update(path[begin:end])
        piece = _Piece(so_far.digest(), before, path[begin:end])
        yield piece
        before, begin = piece.digest, end
