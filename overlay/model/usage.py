"""What the upper layer of a client takes: counted by a walk, and noted while it is not open.

The note is taken away when it is read, and again before anything changes, so after a crash
there is none, and the layer is walked.  It counts only until the machine is restarted,
which may have undone what it counted, and if no kernel mount has changed the layer since.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Final

from index.linux.fd import Fd, is_whiteout, open_at, open_dir, open_path
from index.workdir import LAST_MOUNT, Workdir
from overlay.model.budget import Budget, Taken, space_of
from overlay.model.config import Limits
from overlay.model.write_verifier import boot_id

_NOTE: Final = b"taken"


def budget_of(workdir: Workdir, upper: Fd, limits: Limits) -> Budget:
    """Return the budget of an overlay just opened, with what its upper layer takes."""
    noted = _noted(workdir)
    forget(workdir)
    return Budget(limits, noted or count(upper, workdir.inodes), partial(forget, workdir))


def note(workdir: Workdir, budget: Budget) -> None:
    """Note what is taken, for the next time that the overlay is opened."""
    budget.save(partial(_write, workdir))


def forget(workdir: Workdir) -> None:
    """Record that what was noted does not hold any more."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NOTE, dir_fd=workdir.identity)


def count(upper: Fd, inodes: Fd | None) -> Taken:
    """Return what an upper layer takes, by a walk, and files that only its index has names of.

    Whiteouts are links of one inode, and take nothing.
    """
    seen: set[tuple[int, int]] = set()
    space = 0
    indexed = () if inodes is None else (st for st in walk(inodes) if not stat.S_ISDIR(st.st_mode))
    for st in chain(walk(upper), indexed):
        if (st.st_dev, st.st_ino) not in seen and not is_whiteout(st):
            seen.add((st.st_dev, st.st_ino))
            space += space_of(st)
    return Taken(space, len(seen))


def walk(top: Fd) -> Iterator[os.stat_result]:
    """Yield the attributes of all objects below a directory."""
    above = [(top, iter(os.listdir(top)))]
    while above:
        directory, names = above[-1]
        for name in map(os.fsencode, names):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # changed meanwhile
                st = os.fstat(open_path(directory, name))
                yield st
                if stat.S_ISDIR(st.st_mode):
                    below = open_dir(directory, name)
                    above.append((below, iter(os.listdir(below))))
                    break
        else:
            above.pop()


def _state(workdir: Workdir) -> bytes:
    """Return what must not have changed since."""
    return boot_id().strip() + b" " + (workdir.read(LAST_MOUNT) or b"")


def _write(workdir: Workdir, taken: Taken) -> None:
    """Not waiting for the disk: it does not count after the machine's end, nor cut short."""
    text = b"%d %d\n%s" % (taken.space, taken.files, _state(workdir))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.write(open_at(workdir.identity, _NOTE, flags, 0o600), text)


def _noted(workdir: Workdir) -> Taken | None:
    first, _, state = (workdir.read(_NOTE) or b"").partition(b"\n")
    numbers = first.split()
    if state != _state(workdir) or len(numbers) != 2 or not all(map(bytes.isdigit, numbers)):
        return None
    return Taken(int(numbers[0]), int(numbers[1]))
