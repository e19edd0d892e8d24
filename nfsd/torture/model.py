"""What the server is expected to have: objects, their names, their contents.

The model is exact because operations on one object are never on their way at
the same time.  It is changed when an operation is planned, not when it is
answered; so what is done next does not depend on the order of the answers, and
the seed alone decides it.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from nfsd.xdr.generated.nfs3 import NF3DIR, NF3LNK, NF3REG, ftype3

_HISTORY: Final = 20
_PATH_END: Final = 300  # bytes of a path that are told
_LEVELS: Final = 1000  # more directories above one than any scenario makes
_LENGTHS: Final = (3, 30, 200, 255, 255)  # of long names, in bytes
# Dead handles of one scenario that go on being checked; beyond it chance decides which.
_DEAD: Final = 20_000

USUALLY_DEEPEST: Final = 8

Name: TypeAlias = "tuple[Object, bytes]"


@dataclass(slots=True, eq=False)
class Object:
    """One object, as it must be."""

    number: int
    kind: int
    handle: bytes = b""
    fileid: int = 0
    content: bytes = b""  # a file's data, a symbolic link's target
    mode: int = 0o644
    alive: bool = True
    # After an error nothing exact can be said of it any more.
    lost: bool = False
    pristine: bool = False  # a lower layer's file that was not changed by us
    removable: bool = False  # of a layer that comes and goes
    changed: bool = False  # by us, so that the upper layer has it
    complete: bool = False  # data and all
    # A name went with its layer: nobody can tell when the last one is gone.
    uncounted: bool = False
    told: set[str] = field(default_factory=set)  # errors that leave it as it is
    names: list[Name] = field(default_factory=list)
    children: dict[bytes, Object] = field(default_factory=dict)
    history: deque[str] = field(default_factory=lambda: deque(maxlen=_HISTORY))

    @property
    def is_dir(self) -> bool:
        return self.kind == NF3DIR

    @property
    def is_file(self) -> bool:
        return self.kind == NF3REG

    @property
    def is_link(self) -> bool:
        return self.kind == NF3LNK

    def path(self) -> str:
        """Its first name and those of the directories above it."""
        parts: list[str] = []
        here = self
        while here.names and len(parts) < _LEVELS:
            here, name = here.names[0]
            parts.append(name.decode(errors="backslashreplace"))
        path = "/".join(reversed(parts))
        if len(path) > _PATH_END:
            return f"...{path[-_PATH_END:]} ({len(path)} bytes)"
        return path or ("(the scenario's root)" if self.alive else "(no name)")

    def __str__(self) -> str:
        kind = ftype3(self.kind).name.removeprefix("NF3").lower()
        return f"object {self.number} ({kind}) {self.path()}, handle {self.handle.hex()}"


class Registry:
    """Handles and fileids of all scenarios: whose is it that came instead?"""

    def __init__(self) -> None:
        self.handles: dict[bytes, Object] = {}
        self.fileids: dict[int, Object] = {}

    def learn(self, found: Object) -> Object | None:
        """Return a new object's handle and fileid; another that has the same handle or fileid."""
        other = self.handles.get(found.handle)
        if other is None or other is found:
            self.handles[found.handle] = found
            before = self.fileids.get(found.fileid)
            self.fileids[found.fileid] = found
            other = before
        return None if other is found else other

    def of_fileid(self, fileid: int) -> Object | None:
        """Return the living object with this fileid."""
        found = self.fileids.get(fileid)
        return found if found is not None and found.alive else None


class World:
    """The objects of one scenario, and which of them have something on its way.

    Directories are made and moved at most `deepest` below each other; with `deepest` beyond
    what a path can name, names are long too.
    """

    def __init__(
        self, scenario: str, seed: int, registry: Registry, deepest: int = USUALLY_DEEPEST
    ) -> None:
        self.deepest = deepest
        self.scenario = scenario
        self.random = random.Random(f"{seed} {scenario}")
        self.registry = registry
        self.roots: list[Object] = []
        self.live: dict[Object, None] = {}
        self.dead: list[Object] = []
        self.files: list[Object] = []  # all living but directories
        self.directories: list[Object] = []
        self.fresh: list[Object] = []  # pristine files of lower layers
        self.loose: dict[Object, None] = {}  # whose layer has gone
        self.wave = 0
        self.busy: set[object] = set()
        self.closed: set[Object] = set()  # directories that come or go in this wave
        self.users: Counter[Object] = Counter()  # calls on their way below a directory
        self.moving = False  # a directory changes its parent in this wave
        self._number = 0

    @property
    def count(self) -> int:
        """Return how many objects were ever there."""
        return self._number

    def new(self, kind: int, content: bytes = b"") -> Object:
        """Return a living object that has no name yet."""
        self._number += 1
        found = Object(self._number, kind, content=content)
        self.live[found] = None
        (self.directories if found.is_dir else self.files).append(found)
        return found

    def bind(self, found: Object, parent: Object, name: bytes) -> None:
        """Give it a name."""
        found.names.append((parent, name))
        parent.children[name] = found

    def unbind(self, found: Object, parent: Object, name: bytes) -> None:
        """Take a name from it; the last one takes its life."""
        found.names.remove((parent, name))
        del parent.children[name]
        if not found.names:
            self._die(found)

    def restore(self, found: Object, parent: Object, name: bytes) -> None:
        """Give back a name that the server has refused to take."""
        self.bind(found, parent, name)
        if not found.alive:
            found.alive = True
            self.dead.remove(found)
            self.live[found] = None
            (self.directories if found.is_dir else self.files).append(found)

    def _die(self, found: Object) -> None:
        found.alive = False
        self._leave(found)
        if found.uncounted:
            found.lost = True
        elif len(self.dead) < _DEAD:
            self.dead.append(found)
        else:
            self.dead[self.random.randrange(_DEAD)] = found

    def changed(self, found: Object) -> None:
        """It is no longer as the lower layer has it."""
        found.changed = True
        if found.pristine:
            found.pristine = False
            if found in self.live:
                self.fresh.remove(found)

    def loosen(self, *, for_good: bool = False) -> None:
        """The layer that comes and goes is about to go: expect of what it has what may be.

        `for_good`: its inode numbers are free, but for what the upper layer has of it.
        """
        for found in [each for each in self.live if each.removable]:
            self.loose[found] = None
            self._leave(found)
            self.note(found, "its layer goes")
            found.alive = not for_good or (found.changed and not found.is_dir)
        self.closed.update(each for each in self.loose if each.is_dir)

    def tighten(self) -> None:
        """It is back: expect everything again."""
        for found in list(self.loose):
            self.meet_again(found)

    def meet_again(self, found: Object) -> None:
        """An object is back, as it was."""
        del self.loose[found]
        self.closed.discard(found)
        self.note(found, "it is there again")
        found.alive = True
        self.registry.fileids[found.fileid] = found
        self.live[found] = None
        (self.directories if found.is_dir else self.files).append(found)
        if found.pristine:
            self.fresh.append(found)

    def lose_name(self, found: Object, parent: Object, name: bytes) -> None:
        """A name of what does not come back is another object's now."""
        found.names.remove((parent, name))
        del parent.children[name]

    def forget(self) -> None:
        """What has not come back never will: files that no client has changed are dead."""
        for found in [each for each in self.loose if not each.alive and not each.is_dir]:
            for name in list(found.names):
                self.lose_name(found, *name)
            del self.loose[found]
            self.dead.append(found)

    def _leave(self, found: Object) -> None:
        del self.live[found]
        (self.directories if found.is_dir else self.files).remove(found)
        if found.pristine:
            self.fresh.remove(found)

    def give_up(self, found: Object) -> None:
        """Expect nothing of it any more; its names stay taken."""
        if found.lost or found in self.roots:
            return
        found.lost = True
        if found in self.live:
            self._leave(found)
        self.loose.pop(found, None)

    def spoil(self, found: Object, *entries: Name) -> None:
        """Names of which nobody knows whether they are there: never use them again."""
        self.give_up(found)
        for parent, name in entries:
            parent.children.setdefault(name, found)

    def next_wave(self) -> None:
        """All that was on its way has ended."""
        self.wave += 1
        self.busy.clear()
        self.closed = {each for each in self.loose if each.is_dir}
        self.users.clear()
        self.moving = False

    def claim(self, *keys: object) -> None:
        """Nothing else may touch these in this wave: objects, or names as (parent, name)."""
        self.busy.update(keys)

    def free(self, *keys: object) -> bool:
        """Return whether nothing has claimed any of these."""
        return self.busy.isdisjoint(keys)

    def note(self, found: Object, text: str) -> None:
        """Write down what is done to an object."""
        found.history.append(f"wave {self.wave}: {text}")

    def below(self, found: Object, ancestor: Object) -> bool:
        """Return whether a directory is `ancestor` or lies below it."""
        here = found
        for _ in range(_LEVELS):
            if here is ancestor:
                return True
            if not here.names:
                return False
            here = here.names[0][0]
        raise AssertionError("the model has a loop of directories")

    def depth(self, found: Object) -> int:
        """Return how many directories lie above one."""
        count, here = 0, found
        while here.names and count < _LEVELS:
            here = here.names[0][0]
            count += 1
        return count

    # Chance decides with a bounded number of tries: a wave goes on with fewer operations.

    def any_parent(self) -> Object | None:
        """Return a directory in which names may change."""
        for _ in range(5):
            found = self.random.choice(self.directories)
            if found not in self.closed and found.handle:
                return found
        return None

    def any_file(self, among: list[Object] | None = None) -> Object | None:
        """Anything but a directory that nothing else touches in this wave."""
        choice = self.files if among is None else among
        for _ in range(5):
            found = self.random.choice(choice) if choice else None
            if found is not None and found.handle and self.free(found):
                return found
        return None

    def any_directory(self) -> Object | None:
        """Return a directory but the roots that nothing else renames or removes in this wave."""
        for _ in range(5):
            found = self.random.choice(self.directories)
            if found.names and found.handle and self.free(found) and found not in self.closed:
                return found
        return None

    def any_name(self, found: Object) -> Name | None:
        """Return a name of an object that nothing else changes in this wave, if there is one."""
        choice = [each for each in found.names if self.free(each) and each[0] not in self.closed]
        return self.random.choice(choice) if choice else None

    def new_name(self, parent: Object) -> Name | None:
        """Return a name that is not taken."""
        for _ in range(5):
            name = b"n%d" % self.random.randrange(1 + 4 * len(parent.children) + 40)
            if self.deepest > USUALLY_DEEPEST:
                name = name.ljust(self.random.choice(_LENGTHS), b"-")
            if name not in parent.children and self.free((parent, name)):
                return parent, name
        return None
