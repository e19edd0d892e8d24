"""What the checks of full disks and of layers that come and go find wrong, answer by answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nfsd.torture import checks, space
from nfsd.torture.calls import Reply, Task
from nfsd.torture.ledger import Column, Ledger
from nfsd.torture.model import Object, Registry, World
from nfsd.torture.work import Work
from nfsd.xdr.generated.nfs3 import (
    NF3DIR,
    NF3REG,
    NFS3_OK,
    NFS3ERR_IO,
    NFS3ERR_NOENT,
    NFS3ERR_STALE,
    FSSTAT3resok,
    READ3resok,
    fattr3,
    nfstime3,
    specdata3,
)

OWN = b"object 2 of it, wave 0\n"
STALE = Reply(NFS3ERR_STALE)


def attributes(fileid: int = 2, size: int = len(OWN)) -> Reply:
    time = nfstime3(0, 0)
    about = fattr3(NF3REG, 0o644, 1, 0, 0, size, size, specdata3(0, 0), 1, fileid, time, time, time)
    return Reply(NFS3_OK, about)


def data(content: bytes) -> Reply:
    return Reply(NFS3_OK, READ3resok(None, len(content), True, content))


class Scene:
    """A file in a directory."""

    def __init__(self) -> None:
        world = World("it", 4, Registry())
        self.root = world.new(NF3DIR)
        world.roots.append(self.root)
        self.file = world.new(NF3REG, OWN)
        self.file.handle, self.file.fileid = b"two", 2
        world.bind(self.file, self.root, b"name")
        self.work = Work(world, Ledger("it"), expect_replay=True)

    def answer(self, task: Task, replies: Sequence[Reply]) -> dict[Column, int]:
        """Errors of a task whose calls have these answers."""
        left = list(replies)
        try:
            next(task)
            for _ in replies:
                task.send(left.pop(0))
        except StopIteration:
            assert not left, "not all was asked for"
        else:
            raise AssertionError("more was asked for")
        return {column: count for column, count in self.work.ledger.errors.items() if count}


@pytest.mark.parametrize(
    ("changed", "complete", "replies", "wrong"),
    [
        (False, False, (STALE, STALE), None),
        (False, False, (attributes(),), Column.ALIVE_DEAD),
        (False, False, (STALE, data(OWN)), Column.ALIVE_DEAD),
        (True, True, (attributes(), data(OWN)), None),
        (True, False, (attributes(), Reply(NFS3ERR_IO)), None),
        (True, True, (attributes(), Reply(NFS3ERR_IO)), Column.OTHER),
        (True, True, (STALE,), Column.STALE_ALIVE),
        (True, True, (attributes(fileid=3),), Column.CHANGED_FILEID),
        (True, True, (attributes(), data(b"object 3 of it, wave 0\n")), Column.WRONG_OBJECT),
    ],
)
def test_a_file_whose_layer_has_gone(
    changed: bool, complete: bool, replies: Sequence[Reply], wrong: Column | None
) -> None:
    scene = Scene()
    scene.file.changed, scene.file.complete = changed, complete
    errors = scene.answer(checks.loose(scene.work, scene.file), replies)
    assert errors == ({} if wrong is None else {wrong: 1})


@pytest.mark.parametrize(
    ("content", "is_right"),
    [
        (b"NEWnewold", True),  # as it was told, the rest as it was
        (b"NEWnewxxx", True),  # all of it was written, though that was not told
        (b"NEWnewxxxyy", True),  # and also behind the former end
        (b"NEWoldold", False),  # what was told is not there
        (b"NEWnewzzz", False),  # neither old nor new
        (b"NEWnew", False),  # shorter than it was
        (b"NEWnewxxxyyyy", False),  # longer than was written
    ],
)
def test_after_a_refused_write_what_was_acknowledged_is_there(
    content: bytes, is_right: bool
) -> None:
    scene = Scene()
    scene.file.content = b"NEWnewxxxyyy"
    task = checks.written_in_part(scene.work, scene.file, b"oldoldold", 6)
    assert scene.answer(task, [data(content)]) == ({} if is_right else {Column.OTHER: 1})
    assert scene.file.content == content


def test_what_was_refused_must_not_be_there() -> None:
    for reply, errors in ((Reply(NFS3ERR_NOENT), {}), (Reply(NFS3_OK), {Column.OTHER: 1})):
        scene = Scene()
        assert scene.answer(checks.absent(scene.work, scene.root, b"new"), [reply]) == errors


def test_space_must_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_PATIENCE", 0)
    for free, errors in ((950, {}), (850, {Column.OTHER: 1})):
        scene = Scene()
        reply = Reply(NFS3_OK, FSSTAT3resok(None, 2000, 1000, free, 9, 9, 9, 0))
        task = space.regained(scene.work, space.Free(1000))
        assert scene.answer(task, [reply]) == errors


def test_a_name_that_was_refused_is_given_back() -> None:
    """Also to what the server was asked to replace, which was dead for the model."""
    scene = Scene()
    world = scene.work.world
    world.unbind(scene.file, scene.root, b"name")
    assert scene.file in world.dead
    world.restore(scene.file, scene.root, b"name")
    assert scene.file.alive
    assert scene.file in world.files
    assert scene.root.children == {b"name": scene.file}


def test_of_a_layer_that_was_deleted_only_what_clients_changed_stays() -> None:
    scene = Scene()
    world = scene.work.world
    other: Object = world.new(NF3REG, OWN)
    world.bind(other, scene.root, b"other")
    for each in (scene.file, other):
        each.removable = True
    world.changed(other)
    world.loosen(for_good=True)
    assert not world.files
    world.forget()
    assert list(world.loose) == [other]
    assert world.dead == [scene.file]
    assert scene.root.children == {b"other": other}
    world.meet_again(other)
    assert world.files == [other]


def test_nothing_is_expected_of_a_file_whose_names_nobody_can_count() -> None:
    """One of its names went with its layer, and the server may count it still."""
    scene = Scene()
    world = scene.work.world
    scene.file.uncounted = True
    reply = attributes()
    reply.ok.nlink = 7
    assert scene.answer(checks.attributes(scene.work, scene.file), [reply]) == {}
    world.unbind(scene.file, scene.root, b"name")
    assert scene.file.lost
    assert not world.dead
