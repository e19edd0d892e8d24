"""Whether the layers are there that are recorded: a layer may be left out, or not be mounted.

What is missing looks as if it had been removed.  To serve that is no harm, as long as
the index is not mended by it: a repair, and a removal of the index, wants the layers
that were served last, and no other that still is there.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace

from index.layers import UPPER_ID, Known, Opened, Record
from index.linux.fd import DIR_FLAGS, Fd
from index.match_layers import Recognised, root_identity
from overlay.model.config import ConfigError


def check_filled(recorded: Record | None, found: Sequence[Known], opened: Sequence[Opened]) -> None:
    """Refuse a lower layer that is empty and was not: nothing is mounted there.

    Raises ConfigError.
    """
    before = {known.id: known for known in recorded.layers} if recorded is not None else {}
    for now, one in zip(found, opened, strict=True):
        was = before.get(now.id)
        if was is None or one.is_upper or not _is_empty(one.root):
            continue
        if was.empty is False or (was.empty is None and was.root != now.root):
            raise ConfigError(
                f"lower layer {os.fsdecode(one.path)} is empty, which it was not when it was last "
                "served: mount what belongs there, or leave it out"
            )


def note_filled(record: Record, found: Sequence[Known], opened: Sequence[Opened]) -> Record:
    """Return the record, saying which lower layers are empty."""
    now = {
        known.id: _is_empty(one.root)
        for known, one in zip(found, opened, strict=True)
        if not one.is_upper
    }
    layers = (replace(known, empty=now.get(known.id, known.empty)) for known in record.layers)
    return replace(record, layers=tuple(layers))


def check_present(recorded: Record | None, found: Recognised, without: Collection[bytes]) -> None:
    """Refuse to work without a layer that is recorded, but for those that are named.

    Raises ConfigError.
    """
    if recorded is None:
        return
    stack = found.record.stack
    known = missing(recorded, stack, without)
    if known is not None:
        raise ConfigError(
            f"layer {known.path}, which was served with this workdir, is not among those given; "
            "all that it has would be taken for removed: name it, or, if it shall never be served "
            f"again, say --without {known.path}"
        )
    if found.copied and 0 not in found.copied:  # with the upper, all were moved
        paths = ", ".join(known.path for at, known in enumerate(found.known) if at in found.copied)
        raise ConfigError(
            f"{paths}: not the directory that was last served there: mount or name the right one, "
            "or, if it was copied, start the server once, which finds its objects again"
        )
    last = [number for number in recorded.stack if number in stack]
    if last != [number for number in stack if number in recorded.stack]:
        raise ConfigError(
            "the layers are in another order than they were last served in: name them in that "
            "order, or, if the new one is meant, start the server with it once"
        )


def missing(
    recorded: Record, stack: Collection[int], without: Collection[bytes] = ()
) -> Known | None:
    """Return a recorded layer that is not in the stack, but was in the last, or could be again."""
    gone = {os.path.realpath(path) for path in without}
    for known in recorded.layers:
        if known.id in (UPPER_ID, *stack) or os.fsencode(known.path) in gone:
            continue
        if known.id in recorded.stack or _is_still_there(known):
            return known
    return None


def _is_still_there(known: Known) -> bool:
    """Return whether a layer not served last could be again: where it was, or unmounted."""
    try:
        fd = Fd(os.open(known.path, DIR_FLAGS))
    except OSError:
        return False
    return _is_empty(fd) or root_identity(Opened(fd, os.fsencode(known.path))) == known.root


def _is_empty(directory: Fd) -> bool:
    with os.scandir(directory) as names:
        return next(names, None) is None
