"""The data of files that have only their metadata in a layer (overlayfs.rst, metacopy).

`overlay.metacopy` marks such a file, in the upper layer or in a lower one.  Its
data is the next lower file's, found by `overlay.redirect` or under the same
name; that one may be a metacopy too.  Where it is depends on where the file was
found, which its handle does not say.  So before a handle is given out the location
is recorded, unless the file itself says enough: on an upper file, and of a
lower one in the index, as the directory of a lower layer that has the file from
which the search goes on, and its name there.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import NamedTuple

from index import xattrs
from index.identity import Identity
from index.index import DirectoryEntry, Entry
from index.layers import Layer
from index.linux.fd import DIR_FLAGS, Fd, components
from overlay.lookup.lower import LowerFile, redirect_of, roots_below, search, search_below
from overlay.model.node import DirNode, LowerDir
from overlay.model.tree import Tree


class Data(NamedTuple):
    """Where a file's data is: in another inode, in no layer, or else in its own inode."""

    fd: Fd | None = None
    is_missing: bool = False


def is_metacopy(tree: Tree, fd: Fd) -> bool:
    """Return whether a file's data is elsewhere."""
    return tree.kernel.has_redirects and xattrs.has(fd, xattrs.METACOPY)


def data_of_lower(tree: Tree, found: LowerFile, identity: Identity, entry: Entry | None) -> Data:
    """Return where the data of a lower file is, which has this identity and index entry.

    One that was found by name is found by its handle from then on.
    """
    if not is_metacopy(tree, found.fd):
        return Data()
    there = found
    if found.below is None or (found.st.st_nlink > 1 and isinstance(entry, DirectoryEntry)):
        # What several names lead to has the data that the first of them was found to have.
        there = _where_recorded(tree, found, identity) or found
    if there is found and found.below is not None and not _says_enough(tree, found, identity):
        _record(tree, found, identity)
    return _searched(tree, there)


def data_of(
    tree: Tree,
    fd: Fd,
    identity: Identity,
    way: DirNode | LowerFile | None = None,
    name: bytes = b"",
) -> Data:
    """Return where the data of an upper file is.

    `way`: how it was found: by `name` in a directory, by its lower file, or by its handle.
    """
    if not is_metacopy(tree, fd):
        return Data()
    opened = tree.open_origin(identity, os.O_PATH)
    if opened is not None and not is_metacopy(tree, opened[1]):
        return Data(opened[1])
    found: LowerFile | None
    if isinstance(way, LowerFile) and way.below is not None:
        found = way
    elif isinstance(way, DirNode):
        found = _first(tree, fd, way.lowers, name)
    else:
        found = _recorded(tree, xattrs.get(fd, xattrs.DATA)) or _first(tree, fd, (), None)
    mine = found if identity.is_upper else _origin_on_path(tree, found, identity)
    if mine is None and opened is None and found is not None and _is_plausible(fd, found, identity):
        mine = found  # the layers were copied, and nothing contradicts it
    if mine is None:
        return Data(is_missing=True)
    if way is not None:
        _record_on(fd, data_location_of(mine))
    if not is_metacopy(tree, mine.fd):
        return Data(mine.fd)
    return _searched(tree, mine)


def leads_to(
    tree: Tree, fd: Fd, parent: DirNode, name: bytes, identity: Identity
) -> LowerFile | None:
    """Return the lower file with this identity, if an upper metacopy leads to or through it."""
    return _origin_on_path(tree, _first(tree, fd, parent.lowers, name), identity)


def recorded_layer(fd: Fd) -> int | None:
    """Return the id of the layer that has a metacopy's lower file, if that is recorded on it."""
    location = _unpack_location(xattrs.get(fd, xattrs.DATA))
    return None if location is None else location[0].source


def data_location_of(found: LowerFile) -> bytes:
    """Return a lower file's directory in its layer and its name there, to be recorded."""
    assert found.parent is not None
    assert found.below is not None
    directory = LowerDir(found.layer, found.parent).identity().pack()
    return bytes((len(directory),)) + directory + found.below.path[-1]


def _searched(tree: Tree, metacopy: LowerFile) -> Data:
    """Go down from one metacopy to the next until there is data."""
    while True:
        redirect, below = _redirect_of(tree, metacopy.fd), metacopy.below
        found: LowerFile | None = None
        if redirect is not None and redirect.startswith(b"/"):
            bases = roots_below(tree, metacopy.layer)
            found = _regular(search(tree, bases, components(redirect)))
            if found is None:
                data = _in_data_layers(tree, redirect)
                return Data(data, data is None)
        elif below is not None:
            path = below.path if redirect is None else [*below.path[:-1], redirect]
            found = _regular(search(tree, below.bases, path))
        if found is None:
            return Data(is_missing=True)
        if not is_metacopy(tree, found.fd):
            return Data(found.fd)
        metacopy = found


def _redirect_of(tree: Tree, fd: Fd) -> bytes | None:
    try:
        return redirect_of(tree, fd)
    except OSError as problem:
        if problem.errno != errno.EIO:
            raise
        return b"/"  # nonsense: there is nothing


def _regular(found: LowerFile | tuple[LowerDir, ...]) -> LowerFile | None:
    is_file = isinstance(found, LowerFile) and stat.S_ISREG(found.st.st_mode)
    return found if isinstance(found, LowerFile) and is_file else None


def _in_data_layers(tree: Tree, redirect: bytes) -> Fd | None:
    """Return the data at a path of a data-only layer, which has no marks of its own."""
    for layer in tree.layers.data:
        fd = layer.open_path(redirect, os.O_PATH)
        if fd is not None and stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
    return None


def _first(
    tree: Tree, fd: Fd, lowers: tuple[LowerDir, ...], name: bytes | None
) -> LowerFile | None:
    """Return the topmost lower file that an upper metacopy leads to, as the kernel looks for it."""
    redirect = _redirect_of(tree, fd)
    if redirect is not None and redirect.startswith(b"/"):
        return _regular(search(tree, tree.root.lowers, components(redirect)))
    wanted = redirect or name
    return None if wanted is None else _regular(search(tree, lowers, [wanted]))


def _origin_on_path(tree: Tree, found: LowerFile | None, identity: Identity) -> LowerFile | None:
    """Return the file with this identity among those under one path.

    A layer above may have another.
    """
    while found is not None:
        if found.identity() == identity:
            return found
        found = _regular(search_below(tree, found))
    return None


def _is_plausible(fd: Fd, found: LowerFile, identity: Identity) -> bool:
    """Return whether an upper metacopy may have been made of a lower file, as a copy of it."""
    was_copied = found.layer.is_renumbered and found.layer.filesystem != identity.source
    if found.layer.has_handles and not was_copied:
        return False  # what it was made of was replaced: by this one, maybe
    if recorded_layer(fd) not in (None, found.layer.id):
        return False
    return found.st.st_size == os.fstat(fd).st_size


def _says_enough(tree: Tree, found: LowerFile, identity: Identity) -> bool:
    """Return whether a lower metacopy's data is found without knowing where the file is."""
    if identity.is_by_path:
        return True  # that is recorded anyway (Tree.remember)
    redirect = _redirect_of(tree, found.fd)
    if redirect is None or not redirect.startswith(b"/"):
        return False
    return _only_layer(tree, found.layer)


def _only_layer(tree: Tree, layer: Layer) -> bool:
    return sum(one.filesystem == layer.filesystem for one in tree.layers.lowers) == 1


def _record(tree: Tree, found: LowerFile, identity: Identity) -> None:
    location = data_location_of(found)
    if tree.index.data_location(identity) == location:
        return
    with tree.changing():
        entry = tree.index.find(identity)
        if entry is None or isinstance(entry, DirectoryEntry):
            tree.index.put_directory(identity, data=location)
            tree.changed_object(identity.fileid)


def _record_on(fd: Fd, location: bytes) -> None:
    if xattrs.get(fd, xattrs.DATA) != location:
        with suppress(xattrs.NoXattrSpaceError):  # then it is looked for by names each time
            xattrs.put(fd, xattrs.DATA, location)


def _where_recorded(tree: Tree, found: LowerFile, identity: Identity) -> LowerFile | None:
    """Return a lower metacopy as it is found by what is recorded of it.

    None if there is nothing.
    """
    if identity.is_by_path:
        path = tree.index.lower_path(identity)
        layer = tree.layers.by_id(identity.source)
        there = None if path is None or layer is None else _at(tree, layer, components(path))
    else:
        there = _recorded(tree, tree.index.data_location(identity))
    is_it = there is not None and os.path.samestat(there.st, found.st)
    return there if is_it else None


def _recorded(tree: Tree, value: bytes | None) -> LowerFile | None:
    """Return the lower file at a recorded location."""
    location = _unpack_location(value)
    opened = None if location is None else tree.open_origin(location[0], DIR_FLAGS)
    if location is None or opened is None:
        return None
    layer, directory = opened
    return _at(tree, layer, [*components(layer.path_of(directory)), location[1]])


def _at(tree: Tree, layer: Layer, path: list[bytes]) -> LowerFile | None:
    """Return the file that one layer has at a path."""
    lowers = tree.root.lowers
    position = [one.layer for one in lowers].index(layer) if layer in tree.layers.lowers else -1
    found = None if position < 0 else _regular(search(tree, lowers[position:], path))
    return found if found is not None and found.layer is layer else None


def _unpack_location(value: bytes | None) -> tuple[Identity, bytes] | None:
    if not value:
        return None
    end = 1 + value[0]
    directory = Identity.unpack(value[1:end])
    return None if directory is None or end >= len(value) else (directory, value[end:])
