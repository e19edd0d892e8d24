"""Reading and writing the contents of regular files (RFC 1813 sections 3.3.6, 3.3.7, 3.3.21).

Data that is in the page cache is read in place, or sent from there; for anything
else the call is made again on a thread that may wait for the disk.  Written data is always
passed to the kernel before the call returns, so only a crash of the machine
can lose it before a COMMIT.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from index.linux.fd import Fd
from index.linux.page_cache import resident
from overlay.base.blocking import may_block, must_not_wait
from overlay.base.credentials import Credentials
from overlay.base.errors import WouldBlock, error
from overlay.model import permission
from overlay.model.attributes import Change
from overlay.model.contents import Buffer, Stable
from overlay.model.node import FileNode, Node
from overlay.model.protection import require_changeable
from overlay.model.sole import Sole
from overlay.model.tree import Tree
from overlay.ops.copy_up import copy_up_data
from overlay.ops.setattr import mode_after_write

_MAX_OFFSET: Final = (1 << 63) - 1
RESIDENT_MIN: Final = 128 << 10  # bytes; of less, a copy costs less than a mapping
_NO_NOWAIT: Final = (errno.EOPNOTSUPP, errno.EINVAL)


def regular(node: Node) -> FileNode:
    """`node` as a regular file; raises EISDIR or EINVAL."""
    if not isinstance(node, FileNode):
        raise error(errno.EISDIR)
    if not stat.S_ISREG(node.mode):
        raise error(errno.EINVAL)
    return node


def read(tree: Tree, node: Node, cred: Credentials, offset: int, count: int) -> tuple[Buffer, bool]:
    """Return up to `count` bytes from `offset`, and whether the file ends there.

    The size says how much to ask for, and what was read says where the file ends: it may
    have been cut meanwhile, and a metacopy may be larger than its data.
    On a thread that must not wait, much data is not read but seen where it is: it is for
    system calls alone (index.linux.page_cache).
    """
    file = regular(node)
    size = permission.require_data(tree, file, cred, permission.READ).size
    if count == 0 or offset >= size:
        return b"", offset >= size
    wanted = min(count, size - offset)
    fd = file.reader()
    data: Buffer | None = None
    if not must_not_wait():
        data = _read(fd, wanted, offset)
    elif wanted >= RESIDENT_MIN and (file.data is None or _has(file.data, offset + wanted)):
        data = resident(fd, offset, wanted)
    if data is None:
        data = _read_cached(fd, wanted, offset)
    if len(data) == wanted:
        return data, offset + wanted >= size
    if file.data is None:
        tree.changed_attributes(file.fileid)  # what was known of its size is not so any more
    return data, True


def _has(fd: Fd, size: int) -> bool:
    """Return whether a file has so many bytes."""
    return os.fstat(fd).st_size >= size


def _read(fd: Fd, count: int, offset: int) -> Buffer:
    """Read so many bytes, or less if the file ends before.

    Less may also have been read because the rest cannot be: that is told by asking for it.
    """
    data = rest = os.pread(fd, count, offset)
    while rest and len(data) < count:
        rest = os.pread(fd, count - len(data), offset + len(data))
        data += rest
    return data


def _read_cached(fd: Fd, count: int, offset: int) -> Buffer:
    """Read without waiting for the disk; raises WouldBlock if that is not possible."""
    buffer = bytearray(count)
    try:
        got = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        raise WouldBlock from None
    except OSError as problem:
        if problem.errno in _NO_NOWAIT:
            return _read(fd, count, offset)  # a filesystem in memory
        raise
    if got < count:
        raise WouldBlock  # the rest is not cached, or a write to the file is under way
    return buffer


def write(
    tree: Tree, node: Node, cred: Credentials, offset: int, data: Buffer, stable: Stable
) -> Change:
    """Write all of `data` at `offset`, to stable storage if asked; returns the file's change.

    Raises EFBIG beyond what a file can hold, ENOSPC or EDQUOT when full.
    """
    file = regular(node)
    permission.require_data(tree, file, cred, permission.WRITE)
    require_changeable(tree, file)
    if offset + len(data) > _MAX_OFFSET:
        raise error(errno.EFBIG)
    file = copy_up_data(tree, file)
    if stable is not Stable.UNSTABLE:
        may_block()
    fd = file.writer()
    sole = Sole(tree, file)
    sole.begin()  # quicker than `with`, where this is compiled
    is_done = False
    try:
        mode = mode_after_write(sole.before, cred)
        if mode is not None:
            os.fchmod(fd, mode)
        _write_for(tree, file, cred, fd, data, offset)
        change = sole.change()
        is_done = True
    finally:
        sole.end(is_done=is_done)
    if stable is not Stable.UNSTABLE:
        sync(tree, fd)
    return change


def _write_for(
    tree: Tree, file: FileNode, cred: Credentials, fd: Fd, data: Buffer, offset: int
) -> None:
    """Write for somebody: within the limits of the upper layer, and not into what is root's."""
    if tree.budget is not None:
        with tree.budget.writing(file.fileid, fd, offset, len(data)), tree.reserve.left_by(cred):
            _write(fd, memoryview(data), offset)
    elif cred.is_root:
        _write(fd, memoryview(data), offset)
    else:
        with tree.reserve.left_by(cred):
            _write(fd, memoryview(data), offset)


def _write(fd: Fd, rest: memoryview, offset: int) -> None:
    while rest:
        done = os.pwrite(fd, rest, offset)
        rest, offset = rest[done:], offset + done


def commit(tree: Tree, node: Node) -> Change:
    """Bring what was written to a file to stable storage; returns the file's change."""
    file = regular(node)
    if file.is_upper and not file.is_metacopy:
        may_block()
        sync(tree, file.writer())
    attributes = tree.attributes(file)
    return Change(attributes, attributes)  # which it does not change


def sync(tree: Tree, fd: Fd) -> None:
    """Sync a file; a failure means that earlier unstable writes may be lost, and clients are told.

    For DATA_SYNC too: fdatasync(2) may leave out the link of a file that was just copied
    up into the index, and without that the data belongs to nobody.
    """
    try:
        tree.sync(fd)
    except OSError:
        tree.verifier.data_lost()
        raise
