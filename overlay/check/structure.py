"""What the kernel's attributes in the upper layer say: which directories merge, where data is.

These come first: until they are right, what else seems wrong may be their fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from index import xattrs
from index.identity import Identity
from index.index import GONE
from index.origin import Origin
from overlay.check import repair
from overlay.check.problem import Finding, Kind
from overlay.check.scan import Scan, UpperDir, UpperFile
from overlay.lookup.lower import is_redirect
from overlay.model.tree import Tree

# With one of these, names are missing or too many, and nothing follows from that.
MISLEADING = frozenset((Kind.OPAQUE_UNKNOWN, Kind.REDIRECT_MALFORMED, Kind.REDIRECT_NOWHERE))
_OPAQUE_VALUES = (b"y", b"x")


def structure_findings(tree: Tree, found: Scan) -> Iterator[Finding]:
    """Yield the problems with `opaque`, `redirect`, `impure`, `origin` and `metacopy`."""
    for path in dict.fromkeys(found.broken):
        yield Finding(Kind.REDIRECT_MALFORMED, path, None)
    if not found.root_impure:
        yield _impure(tree, b"")
    for record in found.dirs:
        yield from _opaque(tree, record)
        yield from _redirect(tree, found, record)
        if record.holds_origins and xattrs.IMPURE not in record.attributes:
            yield _impure(tree, record.path)
        yield from _origin_damaged(tree, record, record.mark)
    for file in found.files.values():
        yield from _origin_damaged(tree, file, file.mark)
        yield from _origin_contradicts(tree, file)
        yield from _metacopy(tree, found, file)


def _impure(tree: Tree, path: bytes) -> Finding:
    mend = partial(repair.be_impure, tree, path)
    return Finding(Kind.IMPURE_MISSING, path or b"/", mend)


def _opaque(tree: Tree, record: UpperDir) -> Iterator[Finding]:
    value = record.attributes.get(xattrs.OPAQUE)
    if value is not None and value not in _OPAQUE_VALUES:
        removed = record.bottom is not None and tree.index.find(record.bottom) == GONE
        wanted = b"y" if removed else None
        mend = partial(repair.put_upper, tree, record.path, xattrs.OPAQUE, wanted)
        yield Finding(Kind.OPAQUE_UNKNOWN, record.path, mend)


def _redirect(tree: Tree, found: Scan, record: UpperDir) -> Iterator[Finding]:
    value = record.attributes.get(xattrs.REDIRECT)
    if value is None or record.attributes.get(xattrs.OPAQUE) == b"y":
        return
    mend = partial(repair.renew_redirect, tree, found, record)
    if not is_redirect(value):
        yield Finding(Kind.REDIRECT_MALFORMED, record.path, mend)
    elif record.bottom is None:
        yield Finding(Kind.REDIRECT_NOWHERE, record.path, mend)


def _path(one: UpperFile | UpperDir) -> bytes:
    return one.paths[0] if isinstance(one, UpperFile) else one.path


def _origin_damaged(
    tree: Tree, one: UpperFile | UpperDir, mark: Identity | None
) -> Iterator[Finding]:
    value = one.attributes.get(xattrs.ORIGIN)
    # Empty is what the kernel writes where the lower layer has no handles.
    if value and not Origin.is_sound(value):
        wanted = None if mark is None or mark.is_dir else _origin_of(tree, mark)
        mend = partial(repair.put_upper, tree, _path(one), xattrs.ORIGIN, wanted)
        yield Finding(Kind.ORIGIN_MALFORMED, _path(one), mend)


def _origin_of(tree: Tree, mark: Identity) -> bytes | None:
    opened = tree.open_origin(mark, os.O_PATH)
    return None if opened is None else opened[0].origin(opened[1])


def _origin_contradicts(tree: Tree, file: UpperFile) -> Iterator[Finding]:
    """Of directories `origin` may differ: the kernel takes the topmost lower one, we the bottom."""
    value, mark = file.attributes.get(xattrs.ORIGIN), file.mark
    origin = Origin.unpack(value)
    if origin is None or mark is None or mark.is_by_path or origin.real == mark.real:
        return
    wanted = _origin_of(tree, mark)
    if wanted is not None and wanted != value:
        mend = partial(repair.put_upper, tree, file.paths[0], xattrs.ORIGIN, wanted)
        yield Finding(Kind.ORIGIN_CONTRADICTS, file.paths[0], mend)


def _metacopy(tree: Tree, found: Scan, file: UpperFile) -> Iterator[Finding]:
    origin = file.mark or file.adoptable
    if file.data_missing:
        fileid = None if origin is None else origin.fileid
        yield Finding(Kind.METACOPY_NO_DATA, file.paths[0], None, fileid)
    elif file.data_astray:
        paths = found.below.get(origin.fileid) if origin is not None else None
        mend = None
        if paths:
            mend = partial(repair.put_upper, tree, file.paths[0], xattrs.REDIRECT, paths[0])
        yield Finding(Kind.METACOPY_ASTRAY, file.paths[0], mend)
