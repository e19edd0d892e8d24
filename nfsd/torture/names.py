"""Operations that change what objects are called: rename, remove, and what goes with them.

Each plans from the scenario's random numbers, changes the model and returns a
task, or None when nothing fits in this wave.  A directory changes its parent at
most once in a wave: two such renames could meet in an order that makes a loop.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from nfsd.torture import calls, checks
from nfsd.torture.calls import Task
from nfsd.torture.create import making, planned
from nfsd.torture.model import Name, Object
from nfsd.torture.work import Work
from nfsd.xdr.generated.nfs3 import NF3REG, NFS3ERR_NOENT

Gone: TypeAlias = tuple[Object, Name]

_AT_ONCE: Final = 40  # names that go in one wave
_FEW: Final = 30  # objects below which nothing is removed
_FAMILY: Final = 12  # objects below it with which a directory is removed


def rename_within(work: Work) -> Task | None:
    """Rename a file within its directory."""
    found = work.world.any_file()
    old = None if found is None else work.world.any_name(found)
    if found is None or old is None:
        return None
    return _to(work, found, old, work.world.new_name(old[0]))


def rename_across(work: Work) -> Task | None:
    """A file goes to another directory."""
    found, parent = work.world.any_file(), work.world.any_parent()
    old = None if found is None else work.world.any_name(found)
    if found is None or old is None or parent is None:
        return None
    return _to(work, found, old, work.world.new_name(parent))


def rename_directory(work: Work) -> Task | None:
    """Rename or move a directory, with work going on below it."""
    world = work.world
    found = world.any_directory()
    old = None if found is None else world.any_name(found)
    if found is None or old is None:
        return None
    parent: Object | None = old[0]
    if world.random.random() < 0.6:
        parent = world.any_parent()
    if parent is None or not _may_move(work, found, parent):
        return None
    entry = world.new_name(parent)
    if entry is None:
        return None
    world.moving = world.moving or parent is not old[0]
    return _to(work, found, old, entry)


def _may_move(work: Work, found: Object, parent: Object) -> bool:
    if parent is found.names[0][0]:
        return True
    if work.world.moving or work.world.depth(parent) > work.world.deepest:
        return False
    return not work.world.below(parent, found)


def rename_over(work: Work) -> Task | None:
    """Rename a file over another."""
    world = work.world
    found, target = world.any_file(), world.any_file()
    if found is None or target is None or found is target:
        return None
    old, entry = world.any_name(found), world.any_name(target)
    if old is None or entry is None or _too_few(work):
        return None
    return _over(work, found, old, target, entry)


def rename_over_directory(work: Work) -> Task | None:
    """Rename a directory over an empty one."""
    world = work.world
    found, target = world.any_directory(), world.any_directory()
    if found is None or target is None or found is target or not _empty(work, target):
        return None
    old, entry = world.any_name(found), world.any_name(target)
    if old is None or entry is None or not _may_move(work, found, entry[0]):
        return None
    world.moving = world.moving or entry[0] is not old[0]
    world.closed.add(target)
    return _over(work, found, old, target, entry)


def rename_onto_link(work: Work) -> Task | None:
    """Between two names of one file a rename does nothing."""
    found = work.world.any_file()
    if found is None or len(found.names) < 2:
        return None
    old, new = found.names[0], found.names[-1]
    if not work.world.free(old, new) or {old[0], new[0]} & work.world.closed:
        return None
    work.take(found, old, new)
    work.world.changed(found)
    work.world.note(found, f"RENAME of {old[1]!r} onto its own link {new[1]!r}")
    return _rename(work, (found,), old, new)


def remove(work: Work) -> Task | None:
    """A name goes; with the last one the file."""
    if _too_few(work):
        return None
    found = work.world.any_file()
    old = None if found is None else work.world.any_name(found)
    if found is None or old is None:
        return None
    return _remove(work, [_gone(work, found, old)])


def remove_all_but_one(work: Work) -> Task | None:
    """All names of a file go but one, which need not be the first."""
    world = work.world
    found = world.any_file()
    if found is None or len(found.names) < 2:
        return None
    names = [each for each in found.names if world.free(each) and each[0] not in world.closed]
    if len(names) < len(found.names):
        return None
    names.remove(world.random.choice(names))
    return _remove(work, [_gone(work, found, each) for each in names])


def rmdir(work: Work) -> Task | None:
    """An empty directory goes."""
    found = work.world.any_directory()
    if found is None or not _empty(work, found) or len(work.world.directories) < 5:
        return None
    old = work.world.any_name(found)
    if old is None:
        return None
    work.world.closed.add(found)
    return _remove(work, [_gone(work, found, old)])


def remove_family(work: Work) -> Task | None:
    """A directory goes with all that is in it; what has a name elsewhere stays."""
    world = work.world
    found = world.any_directory()
    old = None if found is None else world.any_name(found)
    below = [] if found is None else all_below(found, max(_FAMILY, world.deepest))
    if found is None or old is None or not below:
        return None
    whole = [*below, (found, old)]
    if not all(may_go(work, *each) for each in whole):
        return None
    return _remove(work, [_gone(work, *each) for each in closing(work, whole)])


def all_below(found: Object, most: int) -> list[Gone]:
    """The names below a directory, the deepest first; none if there are more than so many."""
    names: list[Gone] = []
    left = [found]
    for here in left:
        names += [(child, (here, name)) for name, child in here.children.items()]
        left += [child for child in here.children.values() if child.is_dir]
        if len(names) > most:
            return []
    return names[::-1]


def may_go(work: Work, found: Object, name: Name) -> bool:
    """Return whether nothing else touches an object, its name, or what is in it."""
    free = work.world.free(found, name) and found not in work.world.closed
    return free and not found.lost and bool(found.handle) and not work.world.users[found]


def closing(work: Work, gone: list[Gone]) -> list[Gone]:
    """Return these names; close the directories among them for everything else."""
    work.world.closed.update(found for found, _ in gone if found.is_dir)
    return gone


def emptying(work: Work, kept: list[Object]) -> list[Task]:
    """Removals of some of all that can go now; of `kept` what the lower layer has stays.

    What only the lower layer has goes first: no space is won by that.
    """
    world = work.world
    below = {each for root in kept for each, _ in all_below(root, world.count)}
    stays = {each for each in (*kept, *below) if each.is_dir or each.pristine}
    names = [
        (found, name)
        for found in (*world.files, *world.directories)
        if found not in stays and not (found.is_dir and found.children)
        for name in found.names
    ]
    names = [each for each in names if each[0].pristine] or names
    chosen = world.random.sample(names, min(len(names), _AT_ONCE))
    return [_remove(work, [_gone(work, *each)]) for each in chosen if may_go(work, *each)]


def recreate(work: Work) -> Task | None:
    """A file or empty directory goes, and another object gets its name at once."""
    world = work.world
    found = world.any_directory() if world.random.random() < 0.2 else world.any_file()
    if found is None or len(found.names) != 1 or (found.is_dir and not _empty(work, found)):
        return None
    old = world.any_name(found)
    if old is None:
        return None
    if found.is_dir:
        world.closed.add(found)
    gone = _gone(work, found, old)
    kind = found.kind if found.is_dir else NF3REG
    return _recreate(work, gone, planned(work, kind, old))


def burst(work: Work) -> Task | None:
    """Files come and go at one name, so that the filesystem uses their inode numbers again."""
    parent = work.world.any_parent()
    entry = None if parent is None else work.world.new_name(parent)
    if entry is None:
        return None
    steps: list[tuple[Object, Gone]] = []
    for _ in range(6):
        found = planned(work, NF3REG, entry)
        steps.append((found, _gone(work, found, entry)))
    return _burst(work, steps, entry)


def _too_few(work: Work) -> bool:
    return len(work.world.files) < _FEW


def _empty(work: Work, found: Object) -> bool:
    return not found.children and not work.world.users[found]


def _gone(work: Work, found: Object, old: Name) -> Gone:
    """Return the model's part of removing a name."""
    work.take(found, old)
    work.world.changed(found)
    work.world.note(found, f"{_remover(found)} of {old[1]!r} in object {old[0].number}")
    work.world.unbind(found, *old)
    return found, old


def _remover(found: Object) -> str:
    return "RMDIR" if found.is_dir else "REMOVE"


def _to(work: Work, found: Object, old: Name, new: Name | None) -> Task | None:
    """Return a rename to a name that is free."""
    if new is None:
        return None
    work.take(found, old, new)
    work.world.changed(found)
    work.world.note(
        found,
        f"RENAME of {old[1]!r} in object {old[0].number} to {new[1]!r} in object {new[0].number}",
    )
    work.world.bind(found, *new)
    work.world.unbind(found, *old)
    return _rename(work, (found,), old, new)


def _over(work: Work, found: Object, old: Name, target: Object, entry: Name) -> Task:
    """Return a rename over what is there."""
    work.take(found, old, entry)
    work.take(target)
    for each in (found, target):
        work.world.changed(each)
        text = f"object {found.number} {old[1]!r} over object {target.number} {entry[1]!r}"
        work.world.note(each, f"RENAME of {text}")
    work.world.unbind(target, *entry)
    work.world.bind(found, *entry)
    work.world.unbind(found, *old)
    return _rename(work, (found, target), old, entry)


def _rename(work: Work, touched: tuple[Object, ...], old: Name, new: Name) -> Task:
    reply = yield calls.rename(old[0].handle, old[1], new[0].handle, new[1])
    if work.refused(reply):
        _not_renamed(work, touched, old, new)
    elif not work.done(reply, f"RENAME of {old[1]!r} to {new[1]!r}", touched, NFS3ERR_NOENT):
        work.world.spoil(touched[0], old, new)


def _not_renamed(work: Work, touched: tuple[Object, ...], old: Name, new: Name) -> None:
    if old in touched[0].names:
        return  # it was between two names of one file
    work.world.bind(touched[0], *old)
    work.world.unbind(touched[0], *new)
    for each in touched[1:]:
        work.world.restore(each, *new)


def _remove(work: Work, gone: list[Gone]) -> Task:
    """Remove names one after the other."""
    for found, (parent, name) in gone:
        call = (calls.rmdir if found.is_dir else calls.remove)(parent.handle, name)
        reply = yield call
        if not work.done(reply, f"{call.procedure} of {name!r}", (found,), NFS3ERR_NOENT):
            for each, entry in gone:
                work.world.spoil(each, entry)
            return


def _recreate(work: Work, gone: Gone, successor: Object) -> Task:
    found, entry = gone
    yield from _remove(work, [gone])
    if found.lost:
        work.world.give_up(successor)
        return
    yield from making(work, successor, entry)
    yield from checks.dead(work, found)


def _burst(work: Work, steps: list[tuple[Object, Gone]], entry: Name) -> Task:
    for found, gone in steps:
        yield from making(work, found, entry)
        if found.lost or not found.handle:
            return
        yield from _remove(work, [gone])
