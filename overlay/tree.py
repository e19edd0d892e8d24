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
from index.entries import Index
from index.fd import Fd
from index.handles import RealHandle
from index.identity import DIRECTORY, NO_HANDLE, ROOT, Identity, Signer
from index.kernel import KernelIndex
from index.layers import Layer, Record
from index.locks import ProcessLock, copy_up_byte, let_go
from index.numbers import ShortNumbers
from index.paths import short_path
from index.syscalls import EXT4_MAGIC, TMPFS_MAGIC, XFS_MAGIC, filesystem_magic, syncfs
from index.workdir import Workdir
from overlay import umask
from overlay.attributes import Attributes
from overlay.budget import Budget
from overlay.cache import Room
from overlay.caches import Caches, Known
from overlay.changing import Changing, Mending, nothing
from overlay.departures import Departures
from overlay.errors import error
from overlay.generations import Generations, bump_all, last_change
from overlay.jobs import Jobs
from overlay.left_out import LeftOut
from overlay.namespace import Namespace
from overlay.node import DirNode, FileNode, LowerDir, Node, Place
from overlay.reserve import Reserve
from overlay.stack import Layers
from overlay.verifier import WriteVerifier
from overlay.writers import Writers

_ORDERED: Final = (EXT4_MAGIC, XFS_MAGIC, TMPFS_MAGIC)


def _lock_copy_up(workdir: Workdir, number: int, wait: bool) -> ProcessLock:
    """The lock of one object's copy-up among the processes that serve the overlay."""
    return workdir.lock(copy_up_byte(number), wait=wait)


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
    ) -> None:
        self.layers = layers
        self.workdir = workdir
        self.index = index
        self._unattributed = record.unattributed or 0
        if self._unattributed:
            index.is_gone_of_old = self._is_gone_of_old
        self.kernel_index = KernelIndex(workdir)
        self.signer = signer
        self.kernel = kernel
        self.sealed = record.sealed
        self.is_whole = True  # whether no layer is missing that is recorded (overlay.presence)
        self.cookie_key = workdir.key()[:16]
        self.verifier = WriteVerifier(workdir)
        self.caches = caches
        self.objects = Generations(0)  # where an object is, what it is made of
        self.listings = Generations(1)  # which names a directory has
        self.names = Generations(2)  # what a name is, by the directory's handle and the name
        self.stats = Generations(3)  # attributes of an object
        self.copy_ups = Jobs(partial(_lock_copy_up, workdir))
        self.namespace = Namespace()
        self.mending: Mending[Tree] = Mending(nothing, nothing)
        self.departures: Departures | None = None  # where several processes serve the overlay
        self.root = self._make_root(record.root)
        self.short_numbers: ShortNumbers | None = None
        self.writers = Writers()
        self.budget: Budget | None = None  # of an upper layer that has limits
        self.reserve = Reserve(self.root.real)
        self._left_out = LeftOut(layers.lowers, record)
        self._keeps_order = filesystem_magic(self.root.real) in _ORDERED
        self.data_roots = tuple(self._root_of(layer) for layer in layers.data)

    def _make_root(self, fileid: int) -> DirNode:
        lowers = tuple(self._root_of(layer) for layer in self.layers.lowers)
        upper = self.layers.upper
        identity = Identity(ROOT | DIRECTORY, 0, fileid, RealHandle(0, b""))
        handle = self.signer.encode(identity)
        top = upper.root if upper else None
        return DirNode(identity, handle, 0, None, upper=top, lowers=lowers)

    def shorten_numbers(self) -> None:
        """Have clients see numbers of 32 bits, before anybody is served."""
        self.short_numbers = ShortNumbers(self.workdir, self.namespace)
        self.root.number = self.short_numbers.of(self.root.identity.fileid)

    def keep_apart(self) -> None:
        """Leave the common caches: what is kept from now on goes with the tree."""
        common, self.caches = self.caches, Caches(Room(0))
        common.forget(self.signer)

    def finish(self) -> None:
        """Wait for copy-ups under way, let go of everything."""
        self.copy_ups.close()
        self.caches.forget(self.signer)
        if self.layers.seal is not None:
            self.layers.seal.close()

    def close(self) -> None:
        """As `finish`, and give up the exclusive hold, for all processes."""
        self.finish()
        if self.layers.upper is not None:
            let_go(self.layers.upper.root)
        for layer in (*self.layers.lowers, *self.layers.data):
            let_go(layer.root)
        let_go(self.workdir.root)
        umask.restore()

    def _root_of(self, layer: Layer) -> LowerDir:
        opaque = self.kernel.get(layer.root, xattrs.OPAQUE)
        return LowerDir(layer, layer.root, opaque == b"x")

    def changing(self) -> Changing:
        """Hold the namespace lock; on an event loop's thread raise WouldBlock if it is taken."""
        return Changing(self.namespace, self.workdir.unfinished, self)

    def take_back(self) -> None:
        """Take back what a change that failed has begun; the namespace lock is held."""
        self.mending.own(self)

    def take_over(self) -> None:
        """Put right what was left under the namespace lock, which is held."""
        self.mending.others(self)

    def cached(self, handle: bytes) -> Node | None:
        """The node of a handle, if one is at hand and still true."""
        node = self.caches.nodes.get(handle)
        if node is not None and self.objects.of(node.identity.fileid) == node.generation:
            return node
        return self.root if handle == self.root.handle else None

    def is_true(self, node: Node) -> bool:
        """Whether what a node says still holds."""
        return node is self.root or self.objects.of(node.identity.fileid) == node.generation

    def add_file(
        self,
        identity: Identity,
        generation: int,
        layer: Layer,
        fd: Fd,
        mode: int,
        *,
        nlink_adjust: int = 0,
        place: Place | None = None,
        data: Fd | None = None,
        lacks_data: bool = False,
        was_copied: bool = False,
    ) -> FileNode:
        """Make a node for a non-directory and keep it at hand."""
        handle = self.signer.encode(identity)
        node = FileNode(
            identity,
            handle,
            generation,
            place,
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
        place: Place | None,
        *,
        was_copied: bool = False,
    ) -> DirNode:
        """Make a node for a directory and keep it at hand."""
        handle = self.signer.encode(identity)
        node = DirNode(
            identity,
            handle,
            generation,
            place,
            upper=upper,
            lowers=lowers,
            was_copied=was_copied,
        )
        self._keep(node)
        return node

    def _keep(self, node: Node) -> None:
        short = self.short_numbers
        if short is not None:
            node.number = short.of(node.identity.fileid)
        self.caches.nodes.put(node.handle, node)

    def changed_object(self, fileid: int) -> None:
        """What an object is made of has changed: nodes of it are no longer true."""
        self.objects.bump_with(self.stats, fileid)

    def put_attribute(self, fd: Fd, name: bytes, value: bytes) -> None:
        """Set an attribute that is not ours on an upper inode; ours make room for it.

        Raises NoRoomError where that is not enough.
        """
        try:
            self.kernel.put(fd, name, value)
        except xattrs.NoRoomError:
            self.index.marks.make_room(fd)
            self.kernel.put(fd, name, value)

    def is_impure(self, fd: Fd) -> bool:
        """Whether an upper directory may have entries whose numbers are not their inodes'."""
        if self.kernel.get(fd, xattrs.IMPURE) is not None:
            return True
        aside = self.index.marks.aside(fd)
        return aside is not None and xattrs.get(aside, xattrs.IMPURE) is not None

    def gone(self, node: Node) -> None:
        """The last name of an object went.  No descriptor may keep its space from being freed."""
        if node.is_upper and (node.is_indexed or self.sealed):
            self.workdir.finish(partial(self.index.marks.forget, node.real))
        if self.budget is not None and node.is_upper:
            self.budget.lost(os.fstat(node.real))
        self.caches.nodes.forget(node.handle)
        self.changed_object(node.fileid)
        if self.departures is not None:
            self.departures.tell(node.handle)

    def changed_attributes(self, fileid: int) -> None:
        """Attributes of an object have changed, those of its real inode or its link count."""
        self.stats.bump(fileid)

    def changed(self, node: Node) -> Attributes:
        """The same, and what they are now."""
        return self.ask(node, self.stats.bump(node.identity.fileid))

    def changed_name(self, directory: DirNode, name: bytes, now: Node | None) -> None:
        """A name in a directory is another object's now, or nobody's; `changed_listing` follows."""
        key = directory.handle + name
        handle = None if now is None else now.handle
        self.caches.names.put(key, Known(self.names.bump(hash(key)), handle))

    def changed_listing(self, directory: DirNode) -> Attributes:
        """What a directory's listing shows has changed; returns its attributes now."""
        generation = self.stats.bump_with(self.listings, directory.identity.fileid)
        return self.ask(directory, generation)

    def forget_facts(self) -> None:
        """Nothing that any process has learnt so far counts any more."""
        bump_all()

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
        """Path of an upper directory from the upper layer's root.

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
        """The same of a name in an upper directory."""
        path = self.upper_path(directory)
        return None if path is None else path.rstrip(b"/") + b"/" + name

    def open_origin(self, identity: Identity, flags: int) -> tuple[Layer, Fd] | None:
        """The lower inode that an object comes from, and a layer of its filesystem.

        None if it is in no layer any more.
        """
        if identity.is_upper:
            return None
        copied = None if self.layers.seal is None else self.layers.seal.place_of(identity)
        if copied is not None:
            return self._open_copied(*copied, flags)
        if identity.is_by_path:
            return self._open_by_path(identity, flags)
        if identity.is_dir:
            layer = self.layers.by_id(identity.source)
        else:
            layer = self.layers.on_filesystem(identity.source)
        opened = None if layer is None else self._open_real(layer, identity.real, flags)
        if opened is None or identity.is_dir or self._left_out.has(identity.source, opened[1]):
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
        try:
            return layer, layer.open_handle(real, flags)
        except OSError as problem:
            if problem.errno != errno.ESTALE:
                raise
            return None

    def _open_by_path(self, identity: Identity, flags: int) -> tuple[Layer, Fd] | None:
        layer = self.layers.by_id(identity.source)
        path = self.index.lower_path(identity)
        fd = None if layer is None or path is None else layer.open_path(path, flags)
        return None if layer is None or fd is None else (layer, fd)

    def _is_gone_of_old(self, identity: Identity) -> bool:
        """Whether an object is meant by a whiteout of its number that does not say whose it is.

        Whoever has changed since the last such whiteout was made was not there yet.
        """
        opened = self.open_origin(identity, os.O_PATH)
        if opened is None or opened[0].is_renumbered:
            return True
        return os.fstat(opened[1]).st_ctime_ns <= self._unattributed

    def remember(self, identity: Identity, path: bytes) -> None:
        """Record the path of a lower object that cannot be found by handle."""
        if self.index.find(identity) is None:
            with self.changing():
                if self.index.find(identity) is None:
                    self.index.put_directory(identity, redirect=path)

    def attributes(self, node: Node) -> Attributes:
        """Attributes of an object now; raises ESTALE when it has no name left.

        They are kept until an operation of ours changes them, as nobody else may.
        """
        generation = self.stats.of(node.identity.fileid)
        kept = node.kept
        if kept is not None and kept[0] == generation:
            return kept[1]
        return self.ask(node, generation)

    def ask(self, node: Node, generation: int) -> Attributes:
        """What fstat(2) says, to be kept while the counter stands so."""
        attributes = node.attributes(os.fstat(node.real))
        if attributes.nlink <= 0:
            raise error(errno.ESTALE)
        node.kept = generation, attributes
        return attributes

    def learn(self, node: Node, st: os.stat_result, last: int) -> None:
        """Keep what fstat(2) has said of a node's real inode.

        `last` is the last change (overlay.generations) as it was before that.
        """
        generation, attributes = self.stats.of(node.identity.fileid), node.attributes(st)
        if last_change() == last and attributes.nlink > 0:
            node.kept = generation, attributes
