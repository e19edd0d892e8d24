"""The state that the overlay's verbs share: the layers, the index, the cache, the locks.

Lock order: a copy-up job, then the namespace lock, which is held by whatever changes names in
the upper layer or the index; lookups take no lock and trust the counters instead.

What is learnt by way of a node is kept only if the node is still true after the
counter of what is learnt was read: else it may be older than that counter says.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import Final

from index import xattrs
from index.identity import DIRECTORY, NO_HANDLE, ROOT, Identity, Signer
from index.index import Index
from index.kernel_index import KernelIndex
from index.layers import Layer, Record
from index.linux.fd import Fd
from index.linux.file_handle import RealHandle
from index.linux.file_lock import let_go
from index.linux.syscalls import EXT4_MAGIC, TMPFS_MAGIC, XFS_MAGIC, filesystem_magic, syncfs
from index.numbers import ShortNumbers
from index.paths import short_path
from index.workdir import Workdir
from overlay.base import umask
from overlay.base.copy_inode import NotCloned
from overlay.base.errors import error
from overlay.base.generations import Generations, last_change
from overlay.base.lru import CacheBudget
from overlay.model import usage
from overlay.model.attributes import Attributes
from overlay.model.budget import Budget
from overlay.model.caches import Caches, Known
from overlay.model.changing import Changing, Mending, nothing
from overlay.model.config import Limits
from overlay.model.copy_up_jobs import Jobs, lock_copy_up
from overlay.model.left_out import LeftOut
from overlay.model.namespace_lock import Namespace
from overlay.model.node import Dentry, DirNode, FileNode, LowerDir, Node
from overlay.model.removals import RemovalRing
from overlay.model.reserve import Reserve
from overlay.model.stack import Layers
from overlay.model.write_verifier import WriteVerifier
from overlay.model.writers import Writers

_ORDERED: Final = (EXT4_MAGIC, XFS_MAGIC, TMPFS_MAGIC)


class Tree:
    """One overlay, opened."""

    is_upper_copied = False  # and what is in the index leads to the original
    lost_names = 0  # sealed ones that copies of lower layers lack

    def __init__(
        self,
        layers: Layers,
        workdir: Workdir,
        index: Index,
        signer: Signer,
        kernel: xattrs.Kernel,
        record: Record,
        caches: Caches,
        is_whole: bool,
    ) -> None:
        self.layers = layers
        self.workdir = workdir
        self.index = index
        self._unattributed = record.unattributed or 0
        if self._unattributed:
            index.is_gone_of_old = self._is_gone_of_old
        self.kernel_index = KernelIndex(workdir)
        self.signer = signer
        self.kernel, self.sealed = kernel, record.sealed
        self.is_whole = is_whole  # no recorded layer is missing (overlay.startup.presence)
        self.cookie_key = workdir.key()[:16]
        self.verifier = WriteVerifier(workdir)
        self.caches = caches
        self.object_counters = Generations(0)  # where an object is, what it is made of
        self.listing_counters = Generations(1)  # which names a directory has
        self.name_counters = Generations(2)  # what a name is, by directory's handle and name
        self.attribute_counters = Generations(3)  # attributes of an object
        self.copy_ups = Jobs(partial(lock_copy_up, workdir))
        self.namespace = Namespace()
        self.mending: Mending[Tree] = Mending(nothing, nothing)
        self.removal_ring: RemovalRing | None = None  # where several processes serve the overlay
        self.root = self._make_root(record.root)
        self.short_numbers: ShortNumbers | None = None
        self.writers = Writers()
        self.budget: Budget | None = None  # of an upper layer that has limits
        self.reserve = Reserve(self.root.real)
        self.not_cloned = NotCloned()  # to the upper layer
        self._left_out = LeftOut(layers.lowers, record)
        self._keeps_order = filesystem_magic(self.root.real) in _ORDERED

    def _make_root(self, fileid: int) -> DirNode:
        lowers = tuple(self.root_of(layer) for layer in self.layers.lowers)
        upper = self.layers.upper
        identity = Identity(ROOT | DIRECTORY, 0, fileid, RealHandle(0, b""))
        handle, top = self.signer.encode(identity), upper.root if upper else None
        return DirNode(identity, handle, 0, None, upper=top, lowers=lowers)

    def limit(self, limits: Limits) -> None:
        """Have the upper layer hold no more, from now on."""
        if limits and self.layers.upper is not None:
            self.budget = usage.budget_of(self.workdir, self.layers.upper.root, limits)
        else:
            usage.forget(self.workdir)

    def note_copies(self, *, has_copied_upper: bool, lost_names: int) -> None:
        """Note what a look at an overlay has found whose layers were copied."""
        self.is_upper_copied, self.lost_names = has_copied_upper, lost_names

    def seal(self) -> None:
        """Have new upper inodes marked from now on."""
        self.sealed = True

    def use_index(self, index: Index) -> Index:
        """Look things up in another index from now on; return the one before."""
        before, self.index = self.index, index
        return before

    def shorten_numbers(self) -> None:
        """Have clients see numbers of 32 bits, before anybody is served."""
        self.short_numbers = ShortNumbers(self.workdir, self.namespace)
        self.root.number = self.short_numbers.of(self.root.identity.fileid)

    def share(self, processes: int, caches: Caches) -> None:
        """Be served by so many processes, each of which keeps what it learns in `caches`."""
        if processes > 1:
            self.removal_ring = RemovalRing(processes)
        self.caches = caches

    def keep_apart(self) -> None:
        """Leave the common caches: what is kept from now on goes with the tree."""
        common, self.caches = self.caches, Caches(CacheBudget(0))
        common.forget(self.signer)

    def finish(self) -> None:
        """Wait for copy-ups under way, let go of everything."""
        self.copy_ups.close()
        self.caches.forget(self.signer)
        if self.layers.seal is not None:
            self.layers.seal.close()

    def close(self) -> None:
        """Do as `finish`, and give up the exclusive hold, for all processes."""
        self.finish()
        if self.layers.upper is not None:
            let_go(self.layers.upper.root)
        for layer in (*self.layers.lowers, *self.layers.data):
            let_go(layer.root)
        let_go(self.workdir.root)
        umask.restore()

    def root_of(self, layer: Layer) -> LowerDir:
        """Return the root directory of a lower layer."""
        opaque = self.kernel.get(layer.root, xattrs.OPAQUE)
        return LowerDir(layer, layer.root, opaque == b"x")

    def changing(self) -> Changing:
        """Hold the namespace lock; on an event loop's thread raise WouldBlock if it is taken."""
        return Changing(self.namespace, self.workdir.unfinished, self)

    def mend_by(self, mending: Mending[Tree]) -> None:
        """Have changes that fail mended from now on."""
        self.mending = mending

    def take_back(self) -> None:
        """Take back what a change that failed has begun; the namespace lock is held."""
        self.mending.own(self)

    def take_over(self) -> None:
        """Put right what was left under the namespace lock, which is held."""
        self.mending.others(self)

    def cached(self, handle: bytes) -> Node | None:
        """Return the node of a handle, if one is at hand and still true."""
        node = self.caches.nodes.get(handle)
        if node is not None and self.object_counters.of(node.identity.fileid) == node.generation:
            return node
        return self.root if handle == self.root.handle else None

    def is_true(self, node: Node) -> bool:
        """Return whether what a node says still holds."""
        return node is self.root or self.object_counters.of(node.identity.fileid) == node.generation

    def add_file(
        self,
        identity: Identity,
        generation: int,
        layer: Layer,
        fd: Fd,
        mode: int,
        *,
        nlink_adjust: int = 0,
        dentry: Dentry | None = None,
        data: Fd | None = None,
        lacks_data: bool = False,
        was_copied: bool = False,
    ) -> FileNode:
        """Make a node for a non-directory and keep it at hand."""
        node = FileNode(
            identity,
            self.signer.encode(identity),
            generation,
            dentry,
            layer=layer,
            fd=fd,
            mode=mode,
            nlink_adjust=nlink_adjust,
            data=data,
            lacks_data=lacks_data,
            was_copied=was_copied,
        )
        self._keep(node)
        return node

    def add_dir(
        self,
        identity: Identity,
        generation: int,
        upper: Fd | None,
        lowers: tuple[LowerDir, ...],
        dentry: Dentry | None,
        *,
        was_copied: bool = False,
    ) -> DirNode:
        """Make a node for a directory and keep it at hand."""
        handle = self.signer.encode(identity)
        node = DirNode(
            identity, handle, generation, dentry, upper=upper, lowers=lowers, was_copied=was_copied
        )
        self._keep(node)
        return node

    def _keep(self, node: Node) -> None:
        short = self.short_numbers
        if short is not None:
            node.number = short.of(node.identity.fileid)
        self.caches.nodes.put(node.handle, node)

    def changed_object(self, fileid: int) -> None:
        """Record that what an object is made of has changed: nodes of it are no longer true."""
        self.object_counters.bump_with(self.attribute_counters, fileid)

    def put_attribute(self, fd: Fd, name: bytes, value: bytes) -> None:
        """Set an attribute that is not ours on an upper inode; ours make room for it.

        Raises NoXattrSpaceError where that is not enough.
        """
        try:
            self.kernel.put(fd, name, value)
        except xattrs.NoXattrSpaceError:
            self.index.marks.move_aside(fd)
            self.kernel.put(fd, name, value)

    def gone(self, node: Node) -> None:
        """The last name of an object went.  No descriptor may keep its space from being freed."""
        if node.is_upper and (node.is_indexed or self.sealed):
            self.workdir.finish(partial(self.index.marks.forget, node.real))
        if self.budget is not None and node.is_upper:
            self.budget.lost(os.fstat(node.real))
        self.caches.nodes.forget(node.handle)
        self.changed_object(node.fileid)
        if self.removal_ring is not None:
            self.removal_ring.tell(node.handle)

    def changed_attributes(self, fileid: int) -> None:
        """Record that attributes of an object have changed: its real inode's, or its link count."""
        self.attribute_counters.bump(fileid)

    def changed(self, node: Node) -> Attributes:
        """Record that attributes of an object have changed; return what they are now."""
        return self.ask(node, self.attribute_counters.bump(node.identity.fileid))

    def changed_name(self, directory: DirNode, name: bytes, now: Node | None) -> None:
        """Record what has a name in a directory now, if anything; `changed_listing` follows."""
        key, fileid = directory.handle + name, directory.identity.fileid
        # The listing's counter moves first (overlay.lookup.lookup).
        generation = self.name_counters.bump_after(self.listing_counters, fileid, hash(key))
        self.caches.names.put(key, Known(generation, None if now is None else now.handle))

    def changed_listing(self, directory: DirNode) -> Attributes:
        """Record that a directory's listing has changed; return its attributes now."""
        counters = self.attribute_counters
        generation = counters.bump_with(self.listing_counters, directory.identity.fileid)
        return self.ask(directory, generation)

    def sync(self, fd: Fd) -> None:
        """Bring a file of the upper layer to stable storage, with all that leads to it.

        With ext4 and XFS, fsync(2) takes along every change that was made before the
        file's last: its names, its index entry, directories.  Btrfs may log the file and
        its own names alone, so there the whole filesystem is synced.
        """
        if self._keeps_order:
            os.fsync(fd)
        else:
            syncfs(fd)

    def upper_path(self, fd: Fd) -> bytes | None:
        """Return the path of an upper directory from the upper layer's root.

        None if it is not in it, or has a longer path than the kernel tells.
        """
        assert self.layers.upper is not None
        prefix = self.layers.upper.prefix
        path = short_path(fd)
        if path is None or prefix == b"/":
            return path
        inside = path == prefix or path.startswith(prefix + b"/")
        return path.removeprefix(prefix) if inside else None

    def upper_path_in(self, directory: Fd, name: bytes) -> bytes | None:
        """Return the path of a name in an upper directory, from the upper layer's root."""
        path = self.upper_path(directory)
        return None if path is None else path.rstrip(b"/") + b"/" + name

    def open_origin(self, identity: Identity, flags: int) -> tuple[Layer, Fd] | None:
        """Return the lower inode that an object comes from, and a layer of its filesystem.

        None if it is in no layer any more.
        """
        if identity.is_upper:
            return None
        copied = None if self.layers.seal is None else self.layers.seal.location_of(identity)
        if copied is not None:
            return self._open_copied(*copied, flags)
        if identity.is_by_path:
            return self._open_by_path(identity, flags)
        layers, source = self.layers, identity.source
        layer = layers.by_id(source) if identity.is_dir else layers.on_filesystem(source)
        opened = None if layer is None else self._open_real(layer, identity.real, flags)
        if opened is None or identity.is_dir or self._left_out.has(source, opened[1]):
            return opened
        return None

    def _open_copied(self, layer_id: int, real: RealHandle, flags: int) -> tuple[Layer, Fd] | None:
        layer = self.layers.by_id(layer_id)
        if layer is None:
            return None
        if real.type != NO_HANDLE:
            return self._open_real(layer, real, flags) if layer.has_handles else None
        fd = layer.open_path(real.data, flags)
        return None if fd is None else (layer, fd)

    def _open_real(self, layer: Layer, real: RealHandle, flags: int) -> tuple[Layer, Fd] | None:
        fd = layer.open_handle(real, flags)
        return None if fd is None else (layer, fd)

    def _open_by_path(self, identity: Identity, flags: int) -> tuple[Layer, Fd] | None:
        layer = self.layers.by_id(identity.source)
        path = self.index.lower_path(identity)
        fd = None if layer is None or path is None else layer.open_path(path, flags)
        return None if layer is None or fd is None else (layer, fd)

    def _is_gone_of_old(self, identity: Identity) -> bool:
        """Return whether a whiteout of its number that does not say whose it is means an object.

        An object that has changed since the last such whiteout was made was not there yet.
        """
        opened = self.open_origin(identity, os.O_PATH)
        if opened is None or opened[0].is_renumbered:
            return True
        return os.fstat(opened[1]).st_ctime_ns <= self._unattributed

    def attributes(self, node: Node) -> Attributes:
        """Return the attributes of an object now; raises ESTALE when it has no name left.

        They are cached until an operation of ours changes them, as nobody else may.
        """
        generation = self.attribute_counters.of(node.identity.fileid)
        cached = node.cached_attributes
        if cached is not None and cached[0] == generation:
            return cached[1]
        return self.ask(node, generation)

    def ask(self, node: Node, generation: int) -> Attributes:
        """Return what fstat(2) says, to be cached while the counter stands so."""
        attributes = node.attributes(os.fstat(node.real))
        if attributes.nlink <= 0:
            raise error(errno.ESTALE)
        node.cached_attributes = generation, attributes
        return attributes

    def learn(self, node: Node, st: os.stat_result, last: int) -> None:
        """Cache what fstat(2) has said of a node's real inode.

        `last` is the last change (overlay.base.generations) as it was before that.
        """
        generation = self.attribute_counters.of(node.identity.fileid)
        attributes = node.attributes(st)
        if last_change() == last and attributes.nlink > 0:
            node.cached_attributes = generation, attributes
