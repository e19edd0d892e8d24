"""The overlay as one object: what a server calls.

Every method is synchronous and may be called from any thread.  It raises
`OSError` with the errno a local filesystem would give (overlay.base.errors lists the
ones that stand for something else) or, on a thread that must not wait,
`WouldBlock`.  Permission is checked in every method against the caller's
credentials; names are single components.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import partial

from index.identity import export_of
from index.linux.fd import Fd, reopen
from overlay.base.credentials import Credentials
from overlay.base.errors import error
from overlay.base.progress import Progress, silent
from overlay.lookup import readdir
from overlay.lookup.diagnose import cause, where
from overlay.lookup.lookup import lookup
from overlay.lookup.resolve import current, parent_of, resolve
from overlay.maintenance.kernel_mounts import mend_kernel_work
from overlay.model import permission, protection, usage
from overlay.model.acl import Acl
from overlay.model.attributes import Attributes, Change, Changes
from overlay.model.budget import Taken
from overlay.model.caches import Caches
from overlay.model.config import Limits, OverlayConfig
from overlay.model.contents import Buffer, Stable
from overlay.model.listing import Listing, Place
from overlay.model.node import DirNode, FileNode, Node, directory
from overlay.model.outcomes import Cause
from overlay.model.tree import Tree
from overlay.ops import create, io, link, remove, rename, setacl, setattr, stable
from overlay.ops.common import Created, by_name, check_name, existing
from overlay.ops.spare_space import fill_spare, with_spare
from overlay.startup import processes
from overlay.startup.in_use import Held, which
from overlay.startup.open import check_openable, open_tree
from overlay.startup.recover import mend_failures, recover


class Overlay:
    """One merged tree of layers."""

    def __init__(self, tree: Tree, fsid: int | None = None) -> None:
        self._tree = tree
        self.read_only = tree.layers.upper is None
        # The number of this filesystem for clients, constant for the export.
        self.fsid = tree.signer.export if fsid is None else fsid
        # As they are in handles: the export's id, and those whose handles are stale.
        self.export_id = tree.signer.export.to_bytes(4, "big")
        retired = tree.workdir.retired_exports()
        self.retired_ids = frozenset(each.to_bytes(4, "big") for each in retired)

    @classmethod
    def open(
        cls,
        config: OverlayConfig,
        progress: Progress = silent,
        *,
        fsid: int | None = None,
        caches: Caches | None = None,
    ) -> Overlay:
        """Open the layers, own the upper one, mend what a crash, a copy or a kernel mount left.

        `fsid`: the number of the filesystem for clients, if it is not to be our own.
        `caches`: what it is to share with other overlays of this process.
        Raises ConfigError.
        """
        tree = open_tree(config, progress=progress, caches=caches)
        recover(tree)
        mend_failures(tree)
        mend_kernel_work(tree)
        fill_spare(tree)
        return cls(tree, fsid)

    @staticmethod
    def check(config: OverlayConfig, held: Held = frozenset()) -> None:
        """Raise ConfigError unless it could be opened; nothing is made, changed or kept.

        Directories that are `held` are in use by the server that is to open it.
        """
        check_openable(config, held)

    @property
    def directories(self) -> Held:
        """Return all that it has in use, by device and inode."""
        layers = self._tree.layers
        roots = [each.root for each in (*layers.lowers, *layers.data)]
        roots += [] if layers.upper is None else [layers.upper.root]
        return frozenset(map(which, (*roots, self._tree.workdir.root)))

    def close(self) -> None:
        """Wait for copy-ups under way and let go of the layers; nothing may be called after."""
        self._tree.close()

    def abandon(self) -> None:
        """Do as `close`, for one that was served to nobody; of a new index nothing is left."""
        if self._tree.workdir.is_new:
            self._tree.workdir.dissolve()
        self._tree.close()

    @staticmethod
    def export_of(handle: bytes) -> bytes:
        """Return the export that what begins like a handle names, as `export_id`."""
        return export_of(handle)

    def share(self, number: int, caches: Caches | None = None) -> None:
        """Prepare for so many processes at a time, forked from this one.

        See overlay.startup.processes.

        `caches`: what each of them is to keep things in, for other overlays, too.
        This one then calls nothing but `died`, and `close` when there are none any more,
        or `leave` to let those that there are still go on.  Called again, it prepares for
        others, while those that there are go on as long as they will.
        """
        processes.share(self._tree, number, Caches() if caches is None else caches)

    def join(self, slot: int, number: int) -> None:
        """Be a process, just forked: in this slot, from 0, and of a number, from 1, of its own."""
        processes.join(self._tree, slot, number)

    def leave(self) -> None:
        """End a process that joined: wait for copy-ups under way."""
        self._tree.finish()
        self._note_taken()

    def died(self, pid: int) -> None:
        """Record that a process that joined has ended, whatever ended it."""
        processes.died(self._tree, pid)

    def stays_open(self) -> None:
        """What is being learnt holds no longer than until `let_go` (overlay.base.generations)."""
        self._tree.object_counters.of(self.root.fileid)

    def let_go(self) -> None:
        """Let go of it in this process: it is closed with the last reference to it."""
        self._tree.object_counters.bump(self.root.fileid)
        self._tree.keep_apart()
        self._note_taken()

    def limit(self, limits: Limits) -> None:
        """Have the upper layer hold no more, from now on; for the only process that serves it.

        What it holds was noted when it was last let go of, or else is counted by a walk.
        """
        self._tree.limit(limits)

    @property
    def upper_taken(self) -> Taken | None:
        """Return what the upper layer holds, where that is counted because it is limited."""
        return None if self._tree.budget is None else self._tree.budget.taken

    def _note_taken(self) -> None:
        if self._tree.budget is not None:
            usage.note(self._tree.workdir, self._tree.budget)

    @property
    def removal_event(self) -> int | None:
        """Return a descriptor that can be read when there is something to `hear`."""
        return None if self._tree.removal_ring is None else self._tree.removal_ring.event

    def hear(self) -> bool:
        """Let go of what other processes have removed; returns whether there was something.

        Until there is nothing, it must be asked for again: the event may not come.
        """
        return processes.hear(self._tree)

    @property
    def root(self) -> DirNode:
        return self._tree.root

    @property
    def write_verifier(self) -> bytes:
        """Return 8 bytes that change when data written unstable may have been lost."""
        return self._tree.verifier.value

    def open_state(self, name: bytes) -> Fd:
        """Return a file of the server's own beside the index, made empty if it is not there."""
        return self._tree.workdir.open_state(name)

    def read_state(self, name: bytes) -> bytes | None:
        """Return the contents of such a file, replaced as a whole; None if it is not there."""
        return self._tree.workdir.read(name)

    def write_state(self, name: bytes, contents: bytes) -> None:
        """Replace such a file, whole or not at all, on stable storage."""
        self._tree.workdir.write(name, contents)

    def append_state(self, name: bytes, contents: bytes) -> None:
        """Have more behind such a file, on stable storage; raises OSError, perhaps half way."""
        self._tree.workdir.append(name, contents)

    def resolve(self, handle: bytes) -> Node:
        """Return the object of a file handle; raises EBADF if it is none, ESTALE if it is gone."""
        return self._tree.cached(handle) or resolve(self._tree, handle)

    def index_entries(self, seconds: float) -> int | None:
        """Return how many entries the index has, as far as that is known after so long.

        See index.entry_count.
        """
        return self._tree.index.entry_count.count(seconds)

    def where(self, handle: bytes) -> bytes | None:
        """Return a path of an object from the root, if one is known; for people."""
        return where(self._tree, handle)

    def why_stale(self, handle: bytes) -> Cause:
        """Return what became of the object of a handle that was stale.

        Raises EBADF if it is none.
        """
        return cause(self._tree, handle)

    def _directory(self, node: Node) -> DirNode:
        return directory(current(self._tree, node))

    def getattr(self, node: Node) -> Attributes:
        return self._tree.attributes(current(self._tree, node))

    def setattr(
        self, node: Node, cred: Credentials, changes: Changes, guard: int | None = None
    ) -> Change:
        """Change attributes; `guard`: the ctime (ns) that the object must have, else ECANCELED."""
        return setattr.setattr(self._tree, node, cred, changes, guard)

    def access(self, node: Node, cred: Credentials) -> tuple[int, ...]:
        """Return what `cred` may do: sets of os.R_OK, W_OK and X_OK, each granted together."""
        node = current(self._tree, node)
        rights = permission.rights(self._tree, node, self._tree.attributes(node), cred)
        return protection.left_of(self._tree, node, rights)

    def get_acls(self, node: Node) -> tuple[Acl, Acl]:
        """Return the access ACL and the default ACL.

        Where there is none, the former is made of the mode, and the latter is nothing.
        """
        return setacl.get_acls(self._tree, current(self._tree, node))

    def set_acls(
        self, node: Node, cred: Credentials, access: Acl | None, default: Acl | None
    ) -> None:
        """Replace an object's ACLs; `None` leaves one alone, one without entries goes."""
        setacl.set_acls(self._tree, current(self._tree, node), cred, access, default)

    def lookup(self, parent: Node, name: bytes, cred: Credentials) -> Node:
        """Return the object called `name`; `.` and `..` too, and the root's `..` is the root."""
        check_name(name)
        parent = self._directory(parent)
        permission.require(self._tree, parent, cred, permission.EXECUTE)
        if name == b".":
            return parent
        if name == b"..":
            return parent_of(self._tree, parent)
        return existing(self._tree, parent, name)

    def find(self, parent: Node, name: bytes, place: Place | None = None) -> Node | None:
        """Return the object called `name`, without a permission check: for listings.

        `place`: where the listing has it (overlay.model.listing).
        """
        parent = self._directory(parent)
        if name == b".":
            return parent
        if name == b"..":
            return parent_of(self._tree, parent)
        return lookup(self._tree, parent, name, place)

    def open_upper(self, node: Node) -> Fd | None:
        """Return a non-directory's upper inode, opened to read and write; None if it has none."""
        node = current(self._tree, node)
        if isinstance(node, FileNode) and node.is_upper:
            return reopen(node.fd, os.O_RDWR)
        return None

    def readlink(self, node: Node, cred: Credentials) -> bytes:
        """Return the target of a symbolic link; raises EINVAL for anything else."""
        node = current(self._tree, node)
        if not isinstance(node, FileNode) or not stat.S_ISLNK(node.mode):
            raise error(errno.EINVAL)
        return os.readlink(b"", dir_fd=node.fd)

    def read(self, node: Node, cred: Credentials, offset: int, count: int) -> tuple[Buffer, bool]:
        """Return up to `count` bytes from `offset`, and whether the file ends there."""
        return io.read(self._tree, current(self._tree, node), cred, offset, count)

    def write(
        self, node: Node, cred: Credentials, offset: int, content: Buffer, stable: Stable
    ) -> Change:
        """Write all of `content` at `offset`."""
        return io.write(self._tree, current(self._tree, node), cred, offset, content, stable)

    def commit(self, node: Node, offset: int, count: int) -> Change:
        """Bring written data to stable storage; the whole file's, whatever range is asked for."""
        return io.commit(self._tree, current(self._tree, node))

    def create(
        self, parent: Node, name: bytes, cred: Credentials, changes: Changes, guarded: bool
    ) -> Created:
        """Create a regular file; unless `guarded`, one that exists is opened."""
        within = directory(parent)
        verb = partial(create.create, self._tree, within, name, cred, changes, guarded=guarded)
        return by_name(self._tree, verb, parent)

    def create_exclusive(
        self, parent: Node, name: bytes, cred: Credentials, verifier: bytes
    ) -> Created:
        """Create a regular file once, however often the call is repeated with its verifier."""
        within = directory(parent)
        verb = partial(create.create_exclusive, self._tree, within, name, cred, verifier)
        return by_name(self._tree, verb, parent)

    def sync(self, handle: bytes) -> None:
        """Bring an object's last change, or that of a directory's names, to stable storage."""
        stable.sync_object(self._tree, handle)

    def mkdir(self, parent: Node, name: bytes, cred: Credentials, changes: Changes) -> Created:
        verb = partial(create.mkdir, self._tree, directory(parent), name, cred, changes)
        return by_name(self._tree, verb, parent)

    def symlink(
        self, parent: Node, name: bytes, cred: Credentials, target: bytes, changes: Changes
    ) -> Created:
        verb = partial(create.symlink, self._tree, directory(parent), name, cred, target, changes)
        return by_name(self._tree, verb, parent)

    def mknod(
        self,
        parent: Node,
        name: bytes,
        cred: Credentials,
        type_: int,
        rdev: int,
        changes: Changes,
    ) -> Created:
        """Create a device, FIFO or socket; `type_` is one of stat.S_IFCHR, S_IFBLK, ..."""
        within = directory(parent)
        verb = partial(create.mknod, self._tree, within, name, cred, type_, rdev, changes)
        return by_name(self._tree, verb, parent)

    def remove(self, parent: Node, name: bytes, cred: Credentials) -> Change:
        """Remove a non-directory's name; returns the parent's change."""
        verb = partial(remove.remove, self._tree, directory(parent), name, cred)
        return with_spare(self._tree, partial(by_name, self._tree, verb, parent))

    def rmdir(self, parent: Node, name: bytes, cred: Credentials) -> Change:
        """Remove an empty directory; returns the parent's change."""
        verb = partial(remove.rmdir, self._tree, directory(parent), name, cred)
        return with_spare(self._tree, partial(by_name, self._tree, verb, parent))

    def rename(
        self, old_dir: Node, old: bytes, new_dir: Node, new: bytes, cred: Credentials
    ) -> tuple[Change, Change]:
        """Rename an object; returns the changes of both directories."""
        source, target = directory(old_dir), directory(new_dir)
        verb = partial(rename.rename, self._tree, source, old, target, new, cred)
        return by_name(self._tree, verb, old_dir, new_dir)

    def link(self, node: Node, parent: Node, name: bytes, cred: Credentials) -> Change:
        """Give an object a further name; returns the parent's change."""
        verb = partial(link.link, self._tree, node, directory(parent), name, cred)
        return by_name(self._tree, verb, node, parent)

    def readdir(self, node: Node, cred: Credentials) -> Listing:
        """Return all entries of a directory in the order of their cookies."""
        node = self._directory(node)
        permission.require(self._tree, node, cred, permission.READ)
        return readdir.readdir(self._tree, node)

    def statvfs(self, node: Node) -> os.statvfs_result:
        """Return the space of the filesystem of new data, or what the limits leave of that."""
        space, budget = os.fstatvfs(self._tree.root.real), self._tree.budget
        return space if budget is None else budget.left(space)
