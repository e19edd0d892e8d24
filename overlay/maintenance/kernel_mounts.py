"""What a start does about a kernel overlay mount that changed the layers since the last time.

The kernel knows nothing of our index: a file that it removed keeps a handle
that works, a file that it copied up keeps a handle to the old contents.  Both
are mended before the first request, by the part of the check that is about
names.  Otherwise a start costs a few system calls: every kernel mount makes
the directory `workdir/work` anew, so its inode and change time tell.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Final

from index.workdir import COPIED, LAST_MOUNT
from overlay.check.run import KERNEL_WORK, check_tree
from overlay.model.tree import Tree

_LOGGER: Final = logging.getLogger("overlay-nfsd.start")
_KERNELS: Final = b"work"


def mend_kernel_work(tree: Tree) -> None:
    """Bring the index up to date if the kernel mounted these layers since the last start."""
    if tree.layers.upper is None:
        return
    seen, now = tree.workdir.read(LAST_MOUNT), _last_mount(tree)
    if seen == now:
        return
    if not tree.is_whole:
        _LOGGER.warning(
            "the kernel mounted these layers since the last start, and a layer is left out that "
            "was served then: the index is brought up to date when it is there again"
        )
        return
    # Before the first start nobody had a handle that could be wrong.
    if seen is not None or next(tree.index.entries(), None) is not None:
        _mend(tree, seen)
    tree.workdir.write(LAST_MOUNT, now)


def _last_mount(tree: Tree) -> bytes:
    try:
        st = os.stat(_KERNELS, dir_fd=tree.workdir.root, follow_symlinks=False)
    except FileNotFoundError:
        return b"never"
    return b"%d %d" % (st.st_ino, st.st_ctime_ns)


def _mend(tree: Tree, seen: bytes | None) -> None:
    found = Counter(
        problem.kind.value for problem in check_tree(tree, repair=True, kinds=KERNEL_WORK)
    )
    said = ", ".join(f"{number} {kind}" for kind, number in sorted(found.items()))
    _LOGGER.info(
        "%s since the last start; mended in the index: %s",
        "layers were copied" if seen == COPIED else "the kernel mounted these layers",
        said or "nothing to mend",
    )
