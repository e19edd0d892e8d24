"""Problems with the work directory itself.

Those of `identity/` must be looked at before the layers are opened, because
opening makes what is missing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial

from index.layers import RECORD, parse_record
from index.linux.fd import Fd, open_at, open_dir, open_name
from index.workdir import KEY_SIZE, Workdir
from overlay.check.private import attributes_of, mark_of
from overlay.check.problem import Finding, Kind
from overlay.model.tree import Tree
from overlay.startup.recover import recover

_KEY = b"key"


def was_served(workdir: bytes) -> bool:
    """Return whether there is anything of ours in a work directory."""
    root = Fd(os.open(workdir, os.O_RDONLY | os.O_DIRECTORY))
    ours = {"identity", "inodes"}.intersection(os.listdir(root))
    return any(os.listdir(open_dir(root, os.fsencode(name))) for name in ours)


def identity_findings(workdir: bytes) -> list[Finding]:
    """Return the problems with the key and the record.

    Mending them needs the server to be stopped.
    """
    root = Fd(os.open(workdir, os.O_RDONLY | os.O_DIRECTORY))
    try:
        identity = open_dir(root, b"identity")
    except FileNotFoundError:
        lost = {Kind.KEY_LOST: _KEY, Kind.RECORD_LOST: RECORD}
        return [Finding(kind, b"identity/" + name, lambda: None) for kind, name in lost.items()]
    return [*_key(identity), *_record(identity)]


def _remove(identity: Fd, name: bytes) -> None:
    if name in map(os.fsencode, os.listdir(identity)):
        os.unlink(name, dir_fd=identity)


def _key(identity: Fd) -> Iterator[Finding]:
    where = b"identity/" + _KEY
    try:
        st = os.stat(_KEY, dir_fd=identity, follow_symlinks=False)
    except FileNotFoundError:
        yield Finding(Kind.KEY_LOST, where, lambda: None)  # opening makes one
        return
    if not stat.S_ISREG(st.st_mode) or st.st_size != KEY_SIZE:
        yield Finding(Kind.KEY_LOST, where, partial(_remove, identity, _KEY))
    elif stat.S_IMODE(st.st_mode) != 0o600 or st.st_uid != 0:
        yield Finding(Kind.KEY_OPEN, where, partial(_close_key, identity))


def _close_key(identity: Fd) -> None:
    os.chown(_KEY, 0, 0, dir_fd=identity, follow_symlinks=False)
    os.chmod(_KEY, 0o600, dir_fd=identity)


def _record(identity: Fd) -> Iterator[Finding]:
    try:
        with open(os.dup(open_at(identity, RECORD, os.O_RDONLY)), "rb") as file:
            parse_record(file.read())
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        mend = partial(_remove, identity, RECORD)
        yield Finding(Kind.RECORD_LOST, b"identity/" + RECORD, mend)


def staging_findings(tree: Tree) -> Iterator[Finding]:
    """Yield what a dead server left in `staging/`; the objects that it is of are in doubt."""
    mend = partial(recover, tree)
    for name in tree.workdir.leftovers():
        where = b"staging/" + name
        removal = tree.index.removals.find(name)
        if removal is not None:
            yield Finding(Kind.REMOVAL_UNFINISHED, where, mend, removal.identity.fileid)
        else:
            yield Finding(Kind.LEFTOVER, where, mend, _marked(tree, name))


def _marked(tree: Tree, name: bytes) -> int | None:
    """Return the number of the object that something in `staging/` is of, if it says so."""
    found = open_name(tree.workdir.staging, name)
    mark = None if found is None else mark_of(attributes_of(tree, found[0]))
    return None if mark is None else mark.fileid


def held(workdir: bytes) -> Workdir:
    """Return the work directory, held against other servers; raises EBUSY."""
    return Workdir(Fd(os.open(workdir, os.O_RDONLY | os.O_DIRECTORY)))
