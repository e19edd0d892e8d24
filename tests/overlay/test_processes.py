"""Several processes that serve one overlay: what one does, another sees at once.

Where it matters what one sees while another is in the middle of something, the
middle is a function of the overlay's that is made to stop there.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, replace
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest

from index.index import Index
from overlay.base import blocking
from overlay.base.credentials import ROOT
from overlay.base.errors import WouldBlock
from overlay.lookup import lookup, readdir
from overlay.model import copy_up_jobs, permission
from overlay.model.attributes import Changes
from overlay.model.sole import Sole
from overlay.model.tree import Tree
from overlay.ops import complete_metacopy, copy_up, create, file_copy, remove, rename
from tests.compiled import only_interpreted
from tests.overlays import Dirs, Served, make_dirs, served
from tests.processes import Process, processes

PATHS = ["a", "b", "c", "d", "d/f", "d/b2", "d/sub", "d/sub/g", "e", "e/h", "gone", "s", "p", "new"]
PATHS += ["d/new", "e/sub", "e/sub/g", "gone/new", "opened/o", "new/new"]


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return make_dirs(tmp_path)


@pytest.fixture
def two(dirs: Dirs) -> Iterator[tuple[Process, Process]]:
    with processes(dirs) as (_, (one, other)):
        yield one, other


def handle_of(tree: Served, path: str) -> bytes:
    return tree.node(path).handle


def handle_or_errno(tree: Served, path: str) -> bytes | int:
    """What a lookup finds; also makes what it does not find a known fact."""
    try:
        return tree.node(path).handle
    except OSError as problem:
        return problem.errno or 0


def permissions(tree: Served, path: str) -> int:
    return tree.attributes(path).mode & 0o777


def size_of(tree: Served, path: str) -> int:
    return tree.attributes(path).size


def links(tree: Served, handle: bytes) -> int:
    """How many, or minus the errno."""
    try:
        return tree.overlay.getattr(tree.overlay.resolve(handle)).nlink
    except OSError as problem:
        return -(problem.errno or 0)


def everything(tree: Served) -> tuple[Any, ...]:
    """All that a process can be asked but access times, which asking changes."""
    found = tree.tree(), tree.handles(), [handle_or_errno(tree, path) for path in PATHS]
    return *found, {path: astuple(replace(tree.attributes(path), atime=0)) for path in tree.paths()}


def attempt(tree: Served, name: str, *arguments: Any) -> int:  # noqa: ANN401 - by name
    """The errno of one of Served's verbs, 0 if it succeeds."""
    try:
        getattr(tree, name)(*arguments)
    except OSError as problem:
        return problem.errno or 0
    return 0


def operations(seed: int) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(seed)

    def some() -> str:
        return chance.choice(PATHS)

    while True:
        yield chance.choice(
            (
                ("chmod", some(), chance.randrange(0o1000)),
                ("write", some(), f"{chance.random()}\n"),
                ("create", some(), "made\n"),
                ("mkdir", some()),
                ("remove", some()),
                ("rmdir", some()),
                ("rename", some(), some()),
                ("rename", some(), some()),
                ("link", some(), some()),
            )
        )


@pytest.mark.parametrize("seed", range(3))
def test_what_one_does_the_other_sees(dirs: Dirs, seed: int) -> None:
    chance = random.Random(seed)
    done = 0
    with processes(dirs) as (_, both):
        for number, operation in zip(range(120), operations(seed), strict=False):
            one, other = chance.sample(both, 2)
            done += one(attempt, *operation) == 0
            assert other(everything) == one(everything), (number, operation)
        last = both[0](Served.tree)
    assert done > 20
    with served(dirs) as again:
        assert again.tree() == last


def test_removed_is_stale_at_once(two: tuple[Process, Process]) -> None:
    one, other = two
    for path, how in (("a", "remove"), ("d/sub/g", "remove"), ("d/sub", "rmdir"), ("b", "remove")):
        handle = other(handle_of, path)
        had = other(links, handle)
        assert had > 0
        assert one(attempt, how, path) == 0
        now = other(links, handle)
        if path == "b":  # it is d/b2 as well
            assert (had, now) == (2, 1)
        else:
            assert now == -errno.ESTALE
        assert other(handle_or_errno, path) == errno.ENOENT


def open_and_deleted(tree: Served) -> int:
    """How many inodes without a name this process keeps from being freed."""
    tree.overlay.hear()
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{name}").endswith(" (deleted)")
    return count


def test_removed_is_open_nowhere(two: tuple[Process, Process]) -> None:
    one, other = two
    before = one(open_and_deleted), other(open_and_deleted)
    for number in range(50):
        one(Served.create, f"new{number}", "data")
        other(Served.read, f"new{number}")
        other(Served.write, f"new{number}", "more")
    for number in range(50):
        one(Served.remove, f"new{number}")
    assert (one(open_and_deleted), other(open_and_deleted)) == before


def events(tree: Served) -> int:
    """How many events this process has had since it was listened for."""
    assert tree.overlay.removal_event is not None
    try:
        return os.eventfd_read(tree.overlay.removal_event)
    except BlockingIOError:
        return 0
    finally:
        tree.overlay.hear()


def test_an_event_is_sent_once_until_it_is_read(two: tuple[Process, Process]) -> None:
    one, other = two
    for count in (1, 4, 0, 2):
        for number in range(count):
            one(Served.create, f"new{number}", "data")
            one(Served.remove, f"new{number}")
        assert other(events) == (count > 0)
    assert one(events) == 0


def test_removed_is_open_nowhere_even_if_too_many_to_tell(two: tuple[Process, Process]) -> None:
    one, other = two
    before = other(open_and_deleted)
    for number in range(3):
        one(Served.create, f"kept{number}")
        other(Served.read, f"kept{number}")
        one(Served.remove, f"kept{number}")
    one(make_and_remove, 5000)
    assert other(open_and_deleted) == before


def make_and_remove(tree: Served, number: int) -> None:
    for _ in range(number):
        tree.create("passing")
        tree.remove("passing")


# What follows stops a process in the middle.


class Gate:
    """A function where the first that comes, in any process, stops; made before they are forked."""

    def __init__(
        self, patch: pytest.MonkeyPatch, where: object, name: str, *, after: bool = False
    ) -> None:
        self._arrived, arrival = Pipe(duplex=False)
        departure, self._leave = Pipe(duplex=False)
        only_interpreted(where)
        self._shared = shared = mmap.mmap(-1, 2)  # whether it is shut, how many came
        real = getattr(where, name)

        def stop() -> None:
            shared[1] = min(shared[1] + 1, 255)
            if shared[0]:
                shared[0] = 0
                arrival.send(None)
                departure.recv()

        def passing(*arguments: Any, **words: Any) -> Any:  # noqa: ANN401 - as the function has it
            if not after:
                stop()
            result = real(*arguments, **words)
            if after:
                stop()
            return result

        patch.setattr(where, name, passing)

    @property
    def passed(self) -> int:
        """How many have come here since it was shut."""
        return self._shared[1]

    def shut(self) -> None:
        self._shared[:] = b"\1\0"

    def wait(self) -> None:
        """Until somebody has come."""
        assert self._arrived.poll(10), "nobody came here"

    def open(self) -> None:
        self._leave.send(None)


Gates = Callable[..., Gate]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gates:
    return lambda where, name, **how: Gate(monkeypatch, where, name, **how)


def meanwhile(gate: Gate, one: Process, what: tuple[Any, ...], then: Callable[[], object]) -> Any:  # noqa: ANN401
    """Have `one` stop in the middle of `what`, do something else, and let it finish."""
    gate.shut()
    one.begin(*what)
    gate.wait()
    then()
    gate.open()
    return one.end()


def test_a_name_is_made_once(dirs: Dirs, gate: Gates) -> None:
    stop = gate(create, "_make_file")
    with processes(dirs) as (_, (one, other)):
        stop.shut()
        one.begin(attempt, "create", "new")
        stop.wait()
        other.begin(attempt, "create", "new")
        assert not other.is_done
        stop.open()
        assert (one.end(), other.end()) == (0, errno.EEXIST)
        assert one(handle_or_errno, "new") == other(handle_or_errno, "new")


def create_or_open(tree: Served, path: str) -> bytes:
    parent, name = tree.parent(path)
    return tree.overlay.create(parent, name, ROOT, Changes(mode=0o600), False).node.handle


def create_exclusive(tree: Served, path: str, verifier: bytes) -> bytes | int:
    parent, name = tree.parent(path)
    try:
        return tree.overlay.create_exclusive(parent, name, ROOT, verifier).node.handle
    except OSError as problem:
        return problem.errno or 0


def test_who_comes_second_opens_the_file(dirs: Dirs, gate: Gates) -> None:
    stop = gate(create, "_make_file")
    with processes(dirs) as (_, (one, other)):
        stop.shut()
        one.begin(create_or_open, "new")
        stop.wait()
        other.begin(create_or_open, "new")
        assert not other.is_done
        stop.open()
        assert one.end() == other.end()


@pytest.mark.parametrize("same", [True, False])
def test_an_exclusive_create_by_both(dirs: Dirs, gate: Gates, same: bool) -> None:
    stop = gate(create, "_make_file")
    with processes(dirs) as (_, (one, other)):
        stop.shut()
        one.begin(create_exclusive, "new", b"verifier")
        stop.wait()
        other.begin(create_exclusive, "new", b"verifier" if same else b"anothers")
        assert not other.is_done
        stop.open()
        made = one.end()
        assert isinstance(made, bytes)
        assert other.end() == (made if same else errno.EEXIST)


def mkdir_in_place(tree: Served, path: str) -> bool:
    """Whether a thread that must not wait is told that it would."""
    parent, name = tree.parent(path)
    blocking.forbid_blocking()
    try:
        tree.overlay.mkdir(parent, name, ROOT, Changes())
    except WouldBlock:
        return True
    finally:
        blocking.allow_blocking()
    return False


def test_an_event_loop_does_not_wait_for_another_process(dirs: Dirs, gate: Gates) -> None:
    stop = gate(create, "_make_file")
    with processes(dirs) as (_, (one, other)):
        assert not other(mkdir_in_place, "first")
        blocks = []
        what = attempt, "create", "new"
        meanwhile(stop, one, what, lambda: blocks.append(other(mkdir_in_place, "second")))
        assert blocks == [True]
        assert not other(mkdir_in_place, "second")


def find(tree: Served, directory: bytes, name: str) -> bytes | int:
    """What a directory, by its handle, has under a name."""
    try:
        parent = tree.overlay.resolve(directory)
        return tree.overlay.lookup(parent, name.encode(), ROOT).handle
    except OSError as problem:
        return problem.errno or 0


@pytest.mark.parametrize("where", [permission, lookup], ids=["before the counter", "after"])
def test_a_name_made_in_a_directory_just_copied_up(dirs: Dirs, gate: Gates, where: object) -> None:
    """What was looked up by way of a directory's former node is not kept."""
    stop = gate(where, "require" if where is permission else "find_lower")
    with processes(dirs) as (_, (one, other)):
        directory = other(handle_of, "d")
        what = find, directory, "new"
        found = meanwhile(stop, other, what, lambda: one(Served.create, "d/new"))
        handle = one(handle_of, "d/new")
        assert found in (handle, errno.ENOENT)
        assert other(find, directory, "new") == handle
        assert other(everything) == one(everything)


def test_a_directory_copied_up_while_it_is_looked_for(dirs: Dirs, gate: Gates) -> None:
    stop = gate(lookup, "find_lower")
    with processes(dirs) as (_, (one, other)):
        meanwhile(stop, other, (handle_or_errno, "d"), lambda: one(Served.create, "d/new"))
        assert other(handle_or_errno, "d/new") == one(handle_or_errno, "d/new")
        assert other(everything) == one(everything)


def test_a_directory_removed_while_it_is_looked_for(dirs: Dirs, gate: Gates) -> None:
    stop = gate(lookup, "find_lower")
    with processes(dirs) as (_, (one, other)):
        one(Served.remove, "d/sub/g")
        meanwhile(stop, other, (handle_or_errno, "d/sub"), lambda: one(Served.rmdir, "d/sub"))
        assert other(everything) == one(everything)


def listed(tree: Served, directory: bytes) -> tuple[bytes, ...]:
    return tuple(name for _, _, name in tree.listed(tree.overlay.resolve(directory)))


@pytest.mark.parametrize("where", [permission, readdir], ids=["before the counter", "after"])
def test_a_listing_made_while_a_name_is(dirs: Dirs, gate: Gates, where: object) -> None:
    stop = gate(where, "require" if where is permission else "parent_of")
    with processes(dirs) as (_, (one, other)):
        directory = other(handle_of, "d")
        meanwhile(stop, other, (listed, directory), lambda: one(Served.create, "d/new"))
        assert b"new" in other(listed, directory)


def test_data_is_copied_by_one(dirs: Dirs, gate: Gates) -> None:
    stop = gate(file_copy, "copy_data", after=True)
    content = (dirs.lower / "a").read_bytes()
    with processes(dirs) as (_, (one, other)):
        for process in (one, other):
            process(Served.read, "a")
        stop.shut()
        one.begin(Served.write, "a", "ONE")
        stop.wait()
        other.begin(Served.write, "a", "OT")
        assert not other.is_done
        stop.open()
        one.end()
        other.end()
        assert stop.passed == 1
        for process in (one, other):
            assert process(Served.read, "a") in (b"ONE" + content[3:], b"OTE" + content[3:])


def test_data_of_a_metacopy_is_completed_by_one(dirs: Dirs, gate: Gates) -> None:
    """The second would write the lower data over what the client of the first has written."""
    stop = gate(complete_metacopy, "copy_data")
    content = (dirs.lower / "a").read_bytes()
    with processes(dirs) as (_, (one, other)):
        one(Served.chmod, "a", 0o600)
        for process in (one, other):
            assert process(Served.read, "a") == content
        stop.shut()
        other.begin(Served.write, "a", "OTHER")
        stop.wait()
        one.begin(Served.write, "a", "O")
        assert not one.is_done
        stop.open()
        one.end()
        other.end()
        assert stop.passed == 1
        for process in (one, other):
            assert process(Served.read, "a") == b"OTHER" + content[5:]


def test_whoever_waits_too_long_is_told(dirs: Dirs, gate: Gates) -> None:
    stop = gate(file_copy, "copy_data")
    told = []
    with processes(dirs) as (_, (one, other)):

        def ask() -> None:
            told.append(other(impatient, "write", "a", "OTHER"))

        meanwhile(stop, one, (Served.write, "a", "ONE"), ask)
        assert told == [errno.EAGAIN]
        assert other(impatient, "write", "a", "OTHER") == 0


def impatient(tree: Served, *what: str) -> int:
    before, copy_up_jobs.PATIENCE = copy_up_jobs.PATIENCE, 0.2  # type: ignore[misc]  # Final elsewhere
    try:
        return attempt(tree, *what)
    finally:
        copy_up_jobs.PATIENCE = before  # type: ignore[misc]


def test_a_file_removed_while_it_is_copied_up(dirs: Dirs, gate: Gates) -> None:
    stop = gate(file_copy, "copy_data")
    with processes(dirs) as (_, (one, other)):
        what = attempt, "write", "a", "ONE"
        assert meanwhile(stop, one, what, lambda: other(Served.remove, "a")) == errno.ESTALE
        assert one(everything) == other(everything)


def test_a_directory_removed_while_a_file_gets_its_name_there(dirs: Dirs, gate: Gates) -> None:
    os.link(dirs.lower / "b", dirs.lower / "gone/in/b3")
    stop = gate(copy_up, "copy_up_dir", after=True)
    with processes(dirs) as (_, (one, other)):

        def remove_all() -> None:
            for name in ("b3", "y"):
                other(Served.remove, f"gone/in/{name}")
            other(Served.rmdir, "gone/in")

        one(Served.chmod, "b", 0o600)  # the inode is copied up, its name there is not yet
        what = attempt, "rename", "gone/in/b3", "gone/in/b4"
        assert meanwhile(stop, one, what, remove_all) == errno.ESTALE
        assert other(permissions, "b") == 0o600
        assert one(everything) == other(everything)


def test_hard_links_are_one_in_all_processes(dirs: Dirs) -> None:
    """The first to copy one up makes the kernel's index, which the other must use."""
    with processes(dirs) as (_, (one, other)):
        other(Served.read, "b")
        one(Served.chmod, "b", 0o600)
        assert other(permissions, "d/b2") == 0o600
        other(Served.remove, "b")
        other(Served.remove, "d/b2")
        assert list((dirs.work / "index").iterdir()) == []


def verifier(tree: Served) -> bytes:
    return tree.overlay.write_verifier


def lose_data(tree: Served) -> None:
    tree.overlay._tree.verifier.data_lost()


def test_lost_data_is_known_to_all(two: tuple[Process, Process], dirs: Dirs) -> None:
    one, other = two
    seen = [other(verifier)]
    assert one(verifier) == seen[0]
    for process in (one, other):
        process(lose_data)
        assert one(verifier) == other(verifier)
        assert one(verifier) not in seen
        seen.append(one(verifier))
    assert (dirs.work / "identity" / "sync-failures").read_bytes() == b"2"


# Where a process dies in the middle of a change: a function, and what leads to it.
DEATHS: dict[str, tuple[object, str, tuple[str, ...]]] = {
    "renamed, told nobody": (rename, "_record_path", ("rename", "d", "e/d")),
    "renamed a file, told nobody": (rename, "_record_path", ("rename", "a", "e/a")),
    "whiteout, not buried": (Index, "bury", ("remove", "a")),
    "whiteout, not buried, of a directory": (Index, "bury", ("rmdir", "gone/in")),
    "intent, no whiteout": (remove, "put_whiteout", ("remove", "a")),
    "copied, not committed": (copy_up, "_commit", ("write", "a", "X")),
    "committed, no name": (copy_up, "_link_name", ("write", "a", "X")),
    "made, told nobody": (create, "renamed", ("create", "new")),
    "link aside": (copy_up, "_commit", ("chmod", "s", "1")),
}


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize("death", DEATHS)
def test_a_process_dies_in_the_middle(dirs: Dirs, gate: Gates, death: str, noticed: bool) -> None:
    """...and another goes on, whether or not the opener has noticed before the next change."""
    where, name, what = DEATHS[death]
    stop = gate(where, name)
    with processes(dirs) as (overlay, (one, other)):
        if what[0] == "rmdir":
            one(Served.remove, "gone/in/y")
        before = other(everything)
        stop.shut()
        one.begin(attempt, what[0], *(int(word) if word == "1" else word for word in what[1:]))
        stop.wait()
        one.kill()
        if noticed:
            overlay.died(one.pid)
        assert other(attempt, "mkdir", "new2") == 0
        third = Process(overlay, 0, 3)
        try:
            seen = third(everything)
            assert other(everything) == seen
            overlay.died(one.pid)
            assert [path for path in seen[1] if path in before[1] and path != what[1]]
            for path, handle in seen[1].items():
                assert before[1].get(path, handle) == handle
            assert set(os.listdir(dirs.work / "staging")) <= {"whiteout"}
            last = third(Served.tree)
        finally:
            third.kill()
    with served(dirs) as again:
        assert again.tree() == last


def mode_of(tree: Served, path: str) -> int:
    return tree.attributes(path).mode


@pytest.mark.parametrize("path", ["a", "s"])
def test_what_a_dead_process_copied_up_is_known_by_the_next_change(
    dirs: Dirs, gate: Gates, path: str
) -> None:
    """It has told nobody, and the opener has not noticed: the other knows the lower file."""
    stop = gate(copy_up, "_link_name")
    with processes(dirs) as (overlay, (one, other)):
        for process in (one, other):
            process(handle_of, path)
        stop.shut()
        one.begin(attempt, "chmod", path, 0o600)
        stop.wait()
        one.kill()
        assert other(attempt, "chmod", path, 0o640) == 0
        assert other(mode_of, path) & 0o777 == (0o777 if path == "s" else 0o640)
        overlay.died(one.pid)


def test_what_a_dead_process_removed_is_open_nowhere(dirs: Dirs, gate: Gates) -> None:
    stop = gate(Tree, "gone")
    with processes(dirs) as (overlay, (one, other)):
        before = other(open_and_deleted)
        one(Served.create, "new", "data")
        other(Served.read, "new")
        stop.shut()
        one.begin(Served.remove, "new")
        stop.wait()
        one.kill()
        overlay.died(one.pid)
        assert other(open_and_deleted) == before


def test_what_a_dead_process_wrote_is_seen(dirs: Dirs, gate: Gates) -> None:
    stop = gate(Sole, "change")
    with processes(dirs) as (overlay, (one, other)):
        one(Served.write, "a", "first")
        size = other(size_of, "a")
        stop.shut()
        one.begin(Served.write, "a", "x" * (size + 1))
        stop.wait()
        one.kill()
        overlay.died(one.pid)
        assert other(size_of, "a") == size + 1
