"""One walk over a real lower layer, which writes what its names are into the seal.

The first walk seals a layer: every name has the identity of its inode.  The same
walk over a copy of the layer gives what it finds under a sealed name the sealed
identity; what is new has its own.  A layer that others were squashed into is
walked beside all of them, by the rules by which they were merged.

Rule: a directory that is marked as finished is complete in the seal, so a walk
that was cut short goes on after it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from index import xattrs
from index.identity import NO_HANDLE, Identity, fits_wire
from index.layers import Layer
from index.linux.fd import Fd, is_whiteout, open_dir, open_name
from index.linux.file_handle import RealHandle, handle_at
from index.seal import ROOT_NUMBER, Sealed, SealWriter
from overlay.base.progress import Progress


@dataclass(slots=True)
class Walked:
    """What a walk met."""

    names: int = 0
    gone: int = 0  # sealed names that are not there any more


class _Source(NamedTuple):
    """A directory of a recorded layer: the layer's id, the directory's number."""

    layer: int
    number: int


class _Directory(NamedTuple):
    """A directory of the walked layer, its number, and what was sealed of it.

    Its path is wanted where there are no file handles; else a deep tree has no long ones.
    """

    fd: Fd
    path: bytes
    number: int
    sources: tuple[_Source, ...]


class LowerWalk:
    """The walk over one layer, whose names may have been sealed as those of `sources`."""

    def __init__(
        self,
        layer: Layer,
        sources: tuple[int, ...],
        kernel: xattrs.Kernel,
        writer: SealWriter,
        progress: Progress,
    ) -> None:
        self._layer = layer
        self._kernel = kernel
        self._writer = writer
        self._progress = progress
        self._walked = Walked()
        self._is_by_handle = layer.has_handles and layer.has_equal_handles
        roots = tuple(_Source(source, ROOT_NUMBER) for source in sources)
        self._root = _Directory(layer.root, b"", ROOT_NUMBER, roots)

    def run(self) -> Walked:
        """Walk it all, depth first; only the directories on the way down are open."""
        way = [self._below(self._root)]
        while way:
            directory = next(way[-1], None)
            if directory is None:
                way.pop()
            else:
                way.append(self._below(directory))
        self._writer.finish_layer(self._layer.id)
        return self._walked

    def _below(self, directory: _Directory) -> Iterator[_Directory]:
        """Write what is in a directory; its subdirectories are to be walked next."""
        known = [self._writer.children(source.layer, source.number) for source in directory.sources]
        if self._writer.is_finished(self._layer.id, directory.number):
            there = self._writer.children(self._layer.id, directory.number)
        else:
            there = self._write(directory, known)
        for name, sealed in there.items():
            # Of a directory that is finished there may be names of what was there before.
            if stat.S_ISDIR(sealed.type) and (found := open_name(directory.fd, name)) is not None:
                sources = _sources(directory.sources, known, name)
                path = b"" if self._is_by_handle else directory.path + b"/" + name
                yield _Directory(found[0], path, sealed.identity.fileid, sources)

    def _write(
        self, directory: _Directory, known: list[dict[bytes, Sealed]]
    ) -> dict[bytes, Sealed]:
        there: dict[bytes, Sealed] = {}
        for raw in os.listdir(open_dir(directory.fd, b".")):
            name = os.fsencode(raw)
            st = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            there[name] = self._name(directory, name, st, known)
            self._writer.put_name(self._layer.id, directory.number, name, there[name])
        self._writer.finish_directory(self._layer.id, directory.number)
        self._walked.names += len(there)
        self._walked.gone += sum(
            sealed.type != 0 and name not in there
            for names in known
            for name, sealed in names.items()
        )
        self._progress(self._walked.names)
        return there

    def _name(
        self,
        directory: _Directory,
        name: bytes,
        st: os.stat_result,
        known: list[dict[bytes, Sealed]],
    ) -> Sealed:
        layer, is_dir = self._layer, stat.S_ISDIR(st.st_mode)
        path = directory.path + b"/" + name
        real = handle_at(directory.fd, name) if layer.has_handles else None
        if real is not None and fits_wire(real):
            number, own = st.st_ino, layer.own_identity(st, real, is_dir=is_dir)
        else:
            own = layer.own_identity_by_path(path, is_dir=is_dir)
            number, real = own.fileid, RealHandle(NO_HANDLE, path)
        if is_whiteout(st):
            return Sealed(0, False, own)
        identity = _identity(known, name, stat.S_IFMT(st.st_mode)) or own
        if identity != own:
            self._writer.put_inode(layer.filesystem, number, layer.id, real, identity)
        return Sealed(
            stat.S_IFMT(st.st_mode), is_dir and self._is_opaque(directory, name), identity
        )

    def _is_opaque(self, directory: _Directory, name: bytes) -> bool:
        return self._kernel.get(open_dir(directory.fd, name), xattrs.OPAQUE) == b"y"


def _merged(known: list[dict[bytes, Sealed]], name: bytes) -> Iterator[tuple[int, Sealed]]:
    """Yield what merges under a name, by the position of the layer: the topmost decides.

    A file hides all that is below it, a directory merges with directories until one is opaque.
    """
    for i, names in enumerate(known):
        sealed = names.get(name)
        if sealed is None:
            continue
        if sealed.type == 0:
            return
        yield i, sealed
        if sealed.opaque or not stat.S_ISDIR(sealed.type):
            return


def _identity(known: list[dict[bytes, Sealed]], name: bytes, kind: int) -> Identity | None:
    """Return the sealed identity of this name and type: a directory's is its bottommost's."""
    found = None
    for _, sealed in _merged(known, name):
        if sealed.type != kind:
            break
        found = sealed.identity
    return found


def _sources(
    sources: tuple[_Source, ...], known: list[dict[bytes, Sealed]], name: bytes
) -> tuple[_Source, ...]:
    """Return the sealed directories that a subdirectory is a copy of."""
    return tuple(
        _Source(sources[i].layer, sealed.identity.fileid)
        for i, sealed in _merged(known, name)
        if stat.S_ISDIR(sealed.type)
    )
