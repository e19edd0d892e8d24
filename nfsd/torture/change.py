"""Operations that change what an object is, not what it is called: data, size, mode.

Each plans from the scenario's random numbers and returns a task, or None.  The
ones called `fresh_` are the first change of an object of a lower layer, which
is copied up by it.
"""

from __future__ import annotations

from collections.abc import Callable

from nfsd.torture import calls
from nfsd.torture.calls import Task
from nfsd.torture.create import link_of, writing
from nfsd.torture.model import Object
from nfsd.torture.work import Work


def write(work: Work) -> Task | None:
    """Write over a file, behind its end, or leave a hole."""
    return _write(work, _file(work))


def truncate(work: Work) -> Task | None:
    """Make a file shorter or longer."""
    return _truncate(work, _file(work))


def mode(work: Work) -> Task | None:
    """Change the mode of a file or directory."""
    world = work.world
    found = world.any_directory() if world.random.random() < 0.3 else world.any_file()
    return None if found is None or found.is_link else _mode(work, found)


def fresh_write(work: Work) -> Task | None:
    """Copy up by a write."""
    return _fresh(work, _write)


def fresh_truncate(work: Work) -> Task | None:
    """Copy up by a truncation."""
    return _fresh(work, _truncate)


def fresh_mode(work: Work) -> Task | None:
    """Copy up by a chmod."""
    return _fresh(work, _mode)


def fresh_link(work: Work) -> Task | None:
    """Copy up by a hard link."""
    return _fresh(work, link_of)


def any_fresh(work: Work) -> Task | None:
    """Copy up in one of these ways."""
    return work.world.random.choice((fresh_write, fresh_truncate, fresh_mode, fresh_link))(work)


def _fresh(work: Work, change: Callable[[Work, Object | None], Task | None]) -> Task | None:
    # One in four waves, so that the lower layer's files last for minutes.
    if work.world.wave % 4:
        return None
    return change(work, work.world.any_file(work.world.fresh))


def _file(work: Work) -> Object | None:
    """Return a regular file; the pristine ones are kept for what they are there for."""
    found = work.world.any_file()
    return found if found is not None and found.is_file and not found.pristine else None


def _write(work: Work, found: Object | None) -> Task | None:
    if found is None:
        return None
    random, old = work.world.random, found.content
    data = work.content(found, work.world.wave) or b"."
    # At its beginning mostly, so that the content goes on saying whose it is.
    offset = 0 if random.random() < 0.7 else random.randrange(len(old) + 100)
    if len(old) > 200_000:
        offset = 0
    found.content = old[:offset].ljust(offset, b"\0") + data + old[offset + len(data) :]
    found.complete = True
    _changed(work, found, f"WRITE {len(data)} bytes at {offset}")
    return writing(work, found, offset, data, old)


def _truncate(work: Work, found: Object | None) -> Task | None:
    if found is None:
        return None
    random, old = work.world.random, found.content
    size = random.choice((0, random.randrange(len(old) + 1), len(old) + random.randrange(5000)))
    size = min(size, 200_000)
    found.content = old[:size].ljust(size, b"\0")
    found.complete = True
    _changed(work, found, f"SETATTR size {size}")
    return _set_size(work, found, size, old)


def _mode(work: Work, found: Object | None) -> Task | None:
    if found is None:
        return None
    bits = work.world.random.choice((0o600, 0o644, 0o755, 0o700))
    # A directory stays one that its owner can use, whoever that is.
    bits |= 0o700 if found.is_dir else 0
    old, found.mode = found.mode, bits
    _changed(work, found, f"SETATTR mode {bits:o}")
    return _set_mode(work, found, bits, old)


def _changed(work: Work, found: Object, text: str) -> None:
    work.take(found)
    work.world.changed(found)
    work.world.note(found, text)


def _set_size(work: Work, found: Object, size: int, old: bytes) -> Task:
    reply = yield calls.set_size(found.handle, size)
    if work.refused(reply):
        found.content = old
    else:
        work.done(reply, "SETATTR", (found,))


def _set_mode(work: Work, found: Object, mode: int, old: int) -> Task:
    reply = yield calls.set_mode(found.handle, mode)
    if work.refused(reply):
        found.mode = old
    else:
        work.done(reply, "SETATTR", (found,))
