"""Taking the index away, so that clean layers for the kernel's overlayfs remain.

Afterwards a kernel mount shows the tree that clients saw, with the same inode
numbers and link counts; every handle that clients hold is void.  Rule: until
the index is put out of use, by one rename, nothing is done that a server could
not go on with; after it, detaching again finishes the work.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from index import xattrs
from index.layers import RECORD, UPPER_ID, Opened, Record, parse_record
from index.linux.fd import Fd, open_at
from index.match_layers import root_identity
from overlay.base.progress import Progress, silent
from overlay.check import repair
from overlay.check.problem import Kind
from overlay.check.run import check_tree
from overlay.check.scan import Scan, UpperFile, scan
from overlay.lookup import nlink
from overlay.lookup.resolve import resolve
from overlay.model.config import ConfigError, OverlayConfig
from overlay.model.node import FileNode
from overlay.model.tree import Tree
from overlay.ops.copy_up import copy_up_data
from overlay.startup.open import Purpose, open_tree
from overlay.startup.recover import recover

_OURS = (
    xattrs.FH,
    xattrs.UPPER,
    xattrs.PATH,
    xattrs.LINKS,
    xattrs.SHARES,
    xattrs.LOWER,
    xattrs.LONG_REDIRECT,
    xattrs.DATA,
)


@dataclass(frozen=True, slots=True)
class Detached:
    """What was done."""

    files: int  # that were in the index
    metacopies: int  # whose data still is in a lower layer


def recorded_config(workdir: bytes) -> OverlayConfig:
    """Return the layers that were last used with a work directory; raises ConfigError."""
    where = os.fsdecode(workdir)
    try:
        root = Fd(os.open(workdir, os.O_RDONLY | os.O_DIRECTORY))
        identity = open_at(root, b"identity", os.O_RDONLY | os.O_DIRECTORY)
        with open(os.dup(open_at(identity, RECORD, os.O_RDONLY)), "rb") as file:
            record = parse_record(file.read())
    except FileNotFoundError as problem:
        raise ConfigError(f"--workdir {where}: there is no index in it") from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        cure = "run overlay-nfsd check --repair first"
        raise ConfigError(f"--workdir {where}: its record cannot be read: {cure}") from problem
    if record.workdir not in ("", root_identity(Opened(root, workdir))):
        raise ConfigError(
            f"--workdir {where} is a copy: give --lowerdir and --upperdir, as those that it "
            "records may be of the original"
        )
    paths = _paths(record)
    if not paths or record.stack[0] != UPPER_ID:
        raise ConfigError(
            f"--workdir {where} does not record its layers: give --lowerdir and --upperdir"
        )
    lowers = paths[1 : len(paths) - record.data_only]
    datas = paths[len(paths) - record.data_only :]
    return OverlayConfig(tuple(lowers), paths[0], workdir, tuple(datas))


def _paths(record: Record) -> list[bytes]:
    known = {layer.id: os.fsencode(layer.path) for layer in record.layers}
    return [known[number] for number in record.stack if number in known]


def detach(
    config: OverlayConfig,
    *,
    copy_data: bool,
    without: Collection[bytes] = (),
    progress: Progress = silent,
) -> Detached:
    """Take the index of an overlay away; with `copy_data` complete all metacopies first.

    Raises ConfigError if the layers cannot be opened, are in use, or would lose something.
    """
    tree = open_tree(config, purpose=Purpose.REPAIR, without=without, progress=progress)
    try:
        files = 0
        if not tree.workdir.is_retired:
            recover(tree)
            files = _prepare(tree, copy_data, progress)
            tree.workdir.retire_index()
        found = scan(tree, progress)
        _each(tree, found, _strip)
        metacopies = sum(xattrs.METACOPY in file.attributes for file in found.files.values())
        tree.workdir.dissolve()
    finally:
        tree.close()
    return Detached(files, metacopies)


def _prepare(tree: Tree, copy_data: bool, progress: Progress) -> int:
    """Bring all that only the index knows into the upper layer; how many files it had."""
    for problem in check_tree(tree, repair=True, progress=progress):
        if problem.kind is Kind.METACOPY_NO_DATA and copy_data:
            raise ConfigError(
                f"{os.fsdecode(problem.where)}: its data is in no lower layer: "
                "detach without --copy-data, or bring the layer back"
            )
    found = scan(tree, progress)
    _refuse_nameless(found)
    for fileid, paths in found.lower_names.items():
        entry = found.entries.get(fileid)
        if entry is not None and entry.fh is not None and not entry.is_dir:
            repair.link_names(tree, entry.fh, paths)
    indexed = [file for file in scan(tree, progress).files.values() if file.mark is not None]
    upper = repair.UpperPaths(tree)
    for file in indexed:
        # What the kernel would show other contents of is completed in any case.
        if xattrs.METACOPY in file.attributes and (copy_data or file.data_astray):
            _complete(tree, file)
        _write_nlink(tree, file, upper.open(file.paths[0]))
    _refuse_astray(scan(tree, progress))
    return len(indexed)


def _refuse_astray(found: Scan) -> None:
    for file in found.files.values():
        if file.data_astray:
            raise ConfigError(
                f"{os.fsdecode(file.paths[0])} would show the contents of another file without the "
                "index: copy it, put the copy in its place while the server runs, and detach again"
            )


def _refuse_nameless(found: Scan) -> None:
    for fileid, entry in found.entries.items():
        if entry.is_dir or entry.is_whiteout or entry.st.st_ino in found.files:
            continue
        if fileid not in found.lower_names:
            raise ConfigError(
                f"{os.fsdecode(entry.where)} in the workdir has contents without a name, "
                "as its lower file is gone: save them elsewhere, remove it, and detach again"
            )


def _complete(tree: Tree, file: UpperFile) -> None:
    assert file.mark is not None
    node = resolve(tree, tree.signer.encode(file.mark))
    if isinstance(node, FileNode):
        copy_up_data(tree, node)


def _write_nlink(tree: Tree, file: UpperFile, fd: Fd) -> None:
    """Leave `overlay.nlink` as the kernel uses it: only where its index holds names together.

    It counts from the lower inode, because the upper one is about to lose a link.
    """
    assert file.mark is not None
    st = os.fstat(fd)
    origin = file.attributes.get(xattrs.ORIGIN)
    held = None if origin is None else tree.kernel_index.find(origin)
    if held is not None and os.path.samestat(os.fstat(held), st):
        repair.write_nlink(tree, fd, file.mark, nlink.count(tree, file.mark, fd, st))
        value = tree.index.marks.get(fd, xattrs.NLINK)
        if value is not None:  # it is the kernel's from now on, so not aside
            with suppress(xattrs.NoXattrSpaceError):
                tree.put_attribute(fd, tree.kernel.nlink, value)
    elif xattrs.has(fd, tree.kernel.nlink):  # what has no user attributes refuses to drop one
        xattrs.drop(fd, tree.kernel.nlink)
    if tree.kernel.nlink != xattrs.NLINK:
        xattrs.drop(fd, xattrs.NLINK)


def _each(tree: Tree, found: Scan, work: Callable[[Fd], None]) -> None:
    upper = repair.UpperPaths(tree)
    for file in found.files.values():
        work(upper.open(file.paths[0]))
    for record in found.dirs:
        work(upper.open(record.path))


def _strip(fd: Fd) -> None:
    """Remove our attributes from an object of the upper layer."""
    had = xattrs.names(fd)
    redirects = stat.S_ISDIR(os.fstat(fd).st_mode) or xattrs.METACOPY in had
    for attribute in _OURS if redirects else (*_OURS, xattrs.REDIRECT):
        if attribute in had:
            xattrs.drop(fd, attribute)
