"""Intents of removals, in `staging/`: for a start after a crash to go by.

See overlay.ops.last_name.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from index import xattrs
from index.entry_names import fileid_of, number_name, own_name, owner_of
from index.identity import Identity
from index.linux.fd import open_name
from index.linux.file_handle import RealHandle
from index.workdir import REMOVING, Workdir

_LONGEST_LINK: Final = 1000  # bytes; XFS allows 1024


@dataclass(frozen=True, slots=True)
class Removal:
    """A removal that may or may not have happened when the server died."""

    identity: Identity
    parent: RealHandle
    path: bytes | None  # of the parent, should the upper layer be copied before the next start
    name: bytes


class Removals:
    """The removals that are under way."""

    def __init__(self, workdir: Workdir) -> None:
        self._workdir = workdir
        self._inodes = workdir.inodes

    def begin(self, removal: Removal) -> None:
        """Note that the last name of an object is about to go."""
        parent = b"%d:%s" % (removal.parent.type, removal.parent.data.hex().encode())
        target = parent + (removal.path or b"") + b"/" + removal.name
        if len(target) > _LONGEST_LINK:
            target = parent + b"/" + removal.name
        name = _intent(own_name(removal.identity))
        self._workdir.unfinished.names.append(name)
        os.symlink(target, name, dir_fd=self._workdir.staging)

    def end(self, identity: Identity) -> None:
        """Forget an intent, if there is one: whether the object is gone is decided."""
        try:
            os.unlink(_intent(own_name(identity)), dir_fd=self._workdir.staging)
        except FileNotFoundError:  # an earlier version's
            with suppress(FileNotFoundError):
                os.unlink(_intent(number_name(identity.fileid)), dir_fd=self._workdir.staging)

    def find(self, name: bytes) -> Removal | None:
        """Return the intent that is called so in `staging/`; None if it is none, or not there."""
        if not name.startswith(REMOVING):
            return None
        try:
            target = os.readlink(name, dir_fd=self._workdir.staging)
        except FileNotFoundError:
            return None
        where, _, removed = target.rpartition(b"/")
        handle, slash, path = where.partition(b"/")
        handle_type, _, data = handle.partition(b":")
        parent = RealHandle(int(handle_type), bytes.fromhex(data.decode()))
        identity = self._victim(b"#" + name.removeprefix(REMOVING))
        return Removal(identity, parent, slash + path or None, removed)

    def unfinished(self) -> list[Removal]:
        """Return the intents that a dead process left."""
        found = map(self.find, self._workdir.leftovers())
        return [removal for removal in found if removal is not None]

    def _victim(self, name: bytes) -> Identity:
        """Return the object that an intent is about.

        An earlier version's gives no more than its number: it is the one whose entry has the
        number, else the one that a whiteout means that does not say whose it is.
        """
        identity = owner_of(name)
        if identity is None:
            found = open_name(self._inodes, name)
            mark = None if found is None else xattrs.get(found[0], xattrs.FH)
            identity = Identity.unpack(mark)
        return identity or Identity(0, 0, fileid_of(name) or 0, RealHandle(0, b""))


def _intent(name: bytes) -> bytes:
    return REMOVING + name.removeprefix(b"#")
