"""The layers go to another filesystem and back while a Linux client works on them.

Rule: the client knows of nothing but a server that was away. The filesystem that the layers came
from is gone before the copies are served, so that nothing of it can be in use by mistake.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.client_work import LOOPS, PASS_LIMIT, check_appended, check_kernel_log
from tests.conformance.guest import Guest
from tests.conformance.layers import Layers
from tests.conformance.loops import SHARE, Loops
from tests.conformance.machine import command, program
from tests.conformance.server import Stack
from tests.conftest import Serve
from tests.property.disk import filesystem

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("guest_ready"),
]

COPY_LIMIT = 600.0
LIST_LIMIT = 600.0

# What the loops do not change; most of it they do not look at either.
LIST = """
set -e
cd /mnt
echo 3 >/proc/sys/vm/drop_caches
find bin etc opt usr/bin usr/lib usr/sbin usr/share/locale var/lib -exec stat -c '%i %n' {} +
"""

Copy = Callable[[Path, Path], None]


def rsync(source: Path, target: Path) -> None:
    """Copies what a directory holds."""
    words = [program("rsync", "rsync"), "-aHAX", "--numeric-ids"]
    command([*words, f"{source}/", target], timeout=COPY_LIMIT)


def tar(source: Path, target: Path) -> None:
    """Copies what a directory holds."""
    words = "tar --xattrs --xattrs-include=* --acls --numeric-owner"
    script = f'set -f -o pipefail; {words} -C "$0" -c . | {words} -C "$1" -xp'
    command(["bash", "-c", script, source, target], timeout=COPY_LIMIT)


def stack_at(place: Path) -> Stack:
    """The layers in a directory, as the test lays them out."""
    return Stack((place / "app", place / "base"), place / "upper", place / "work")


class Home:
    """Where the layers are: `place`, on a filesystem of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0
        self._mounted = contextlib.ExitStack()
        self.place = directory

    def move(self, kind: str, copy: Copy) -> None:
        """Copies everything to a new filesystem and unmounts the old one."""
        self._count += 1
        at = self._directory / f"{self._count}-{kind}"
        at.mkdir()
        with contextlib.ExitStack() as mounted:
            place = mounted.enter_context(filesystem(kind, at)) / "srv"
            place.mkdir()
            copy(self.place, place)
            self.close()
            self._mounted, self.place = mounted.pop_all(), place

    def close(self) -> None:
        """Unmounts the filesystem."""
        self._mounted.close()


@pytest.fixture
def home(real_layers: Layers, tmp_path: Path) -> Iterator[Home]:
    """The Debian root on ext4, with an empty upper and workdir."""
    homes = tmp_path / "homes"
    homes.mkdir()
    home = Home(homes)

    def install(source: Path, target: Path) -> None:
        for layer in real_layers.lowers:
            (target / layer.name).mkdir()
            rsync(layer, target / layer.name)
        Stack.over((), target)

    home.move("ext4", install)
    yield home
    home.close()


def test_a_client_feels_no_move(serve: Serve, home: Home, tmp_path: Path) -> None:
    server = serve(stack=stack_at(home.place))
    loops = Loops(tmp_path / "loops", LOOPS)
    with Guest(server.port, options="hard", shares={SHARE: loops.directory}) as guest:
        listed = guest.run(LIST, timeout=LIST_LIMIT).check()
        loops.start(guest)
        loops.await_passes(PASS_LIMIT)
        server.stop()
        server.command("index", "seal")
        server.start()
        journey: tuple[tuple[str, Copy], ...] = (("xfs", rsync), ("ext4", tar))
        for kind, copy in journey:
            loops.await_passes(PASS_LIMIT)
            server.stop()
            home.move(kind, copy)
            server.stack = stack_at(home.place)
            server.start()
            loops.await_passes(PASS_LIMIT)
        passes = loops.stop(PASS_LIMIT)
        assert guest.run(LIST, timeout=LIST_LIMIT).check() == listed
        check_kernel_log(guest)
    server.stop()
    check_appended(home.place / "upper", passes["append"])
    server.command("check")
