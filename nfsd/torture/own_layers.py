"""Filesystems and layers of a server that the test starts itself.

Two exports: `/large` has its layers, upper and workdir on one ext4, so that inode numbers
of what is deleted come back; `/small` has its upper and workdir on a filesystem that is
soon full.  All of it lies in one directory of the user's.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nfsd.torture.prepare import prepare
from nfsd.torture.scenarios import Needs, Scenario
from overlay.base.refusal import Refusal

LARGE: Final = "large"  # the exports and their disks
SMALL: Final = "small"
_LARGE_BYTES: Final = 4 << 30  # bytes, of which the image takes what is used
_SMALL_BYTES: Final = 48 << 20
_LIMIT: Final = 120.0  # seconds for one command
PREPARED: Final = "torture"  # the directory of each layer that is prepared
_STAY: Final = ("top", "bottom")  # layers that stay


class OwnLayers:
    """What is served, and how it changes while the server is stopped."""

    def __init__(
        self, directory: Path, scenarios: Sequence[Scenario], seed: int, files: int
    ) -> None:
        self._directory = directory
        self._large, self._small = directory / LARGE, directory / SMALL
        self._scenarios = list(scenarios)
        self._seed = seed
        self.files = files
        self._out = False
        self._images = 0
        self._mounted: list[Path] = []

    @property
    def configuration_file(self) -> Path:
        """Return where what the server is told is to be."""
        return self._directory / "overlay-nfsd.toml"

    @property
    def log(self) -> Path:
        """Return where the server writes to."""
        return self._directory / "server.log"

    def make(self) -> None:
        """Make and mount all of it; raises Refusal."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if any(self._directory.iterdir()):
                raise Refusal(f"--serve {self._directory}: not empty: give an empty directory")
            for disk, size in ((self._large, _LARGE_BYTES), (self._small, _SMALL_BYTES)):
                self._make_disk(disk, size)
            self._make_layers()
        except OSError as error:
            self.remove()
            raise Refusal(f"--serve {self._directory}: {error.strerror}") from error

    def _make_disk(self, disk: Path, size: int) -> None:
        image = disk.with_suffix(".ext4")
        with image.open("wb") as file:
            file.truncate(size)
        disk.mkdir()
        # All blocks for everybody, and none to be written to later: what is free is known.
        options = ("-b", "4096", "-m", "0", "-E", "lazy_itable_init=0")
        _run("mkfs.ext4", "-q", "-F", *options, str(image))
        _run("mount", "-t", "ext4", "-o", "loop,noatime", str(image), str(disk))
        self._mounted.append(disk)
        for name in ("upper", "work"):
            (disk / name).mkdir()

    def _make_layers(self) -> None:
        usual = [each for each in self._scenarios if each.needs is not Needs.SMALL]
        small = [each for each in self._scenarios if each.needs is Needs.SMALL]
        for number, name in enumerate(_STAY):
            self._prepare(name, usual, number)
        self._prepare("below-small", small, 0)
        self._prepare("aside", self._of(Needs.ASIDE), 2)
        self._new_image()

    def _of(self, needs: Needs) -> list[Scenario]:
        return [each for each in self._scenarios if each.needs is needs]

    def _prepare(self, layer: str, scenarios: list[Scenario], number: int) -> None:
        root = self._large / layer / PREPARED
        root.mkdir(parents=True)
        prepare(root, self._seed + number, scenarios, self.files)

    def _new_image(self) -> None:
        self._images += 1
        self._prepare(self._image, self._of(Needs.IMAGE), 100 + self._images)

    @property
    def _image(self) -> str:
        # Now at the same path as the last one, now at another.
        return f"image{self._images // 2}"

    def leave_out(self) -> None:
        """The layer of its scenario leaves the stack."""
        self._out = True

    def put_back(self) -> None:
        """It comes back."""
        self._out = False

    def replace(self) -> None:
        """The image is deleted, and another made where its inodes are free."""
        shutil.rmtree(self._large / self._image)
        self._new_image()

    def own_paths(self, scenario: Scenario) -> frozenset[bytes]:
        """Return what comes and goes with the layer of a scenario, by its path below its directory.

        Of a directory that other layers have too only what is in it goes.
        """
        layer = {Needs.ASIDE: "aside", Needs.IMAGE: self._image}.get(scenario.needs)
        if layer is None:
            return frozenset()
        found: list[bytes] = []
        top = os.fsencode(self._large / layer / PREPARED / scenario.name)
        stay = [os.fsencode(self._large / each / PREPARED / scenario.name) for each in _STAY]
        for root, directories, files in os.walk(top):
            below = root[len(top) + 1 :]
            found += [os.path.join(below, name) for name in files]
            for path in (os.path.join(below, name) for name in directories):
                if not any(os.path.isdir(os.path.join(each, path)) for each in stay):
                    found.append(path)
        return frozenset(found)

    def configuration(self, port: int) -> str:
        """Return what the server is told, as a configuration file."""
        # Those that stay are below: the lowest that has a directory gives it its handle.
        large = [*([] if self._out else ["aside"]), self._image, *_STAY]
        return f"""\
[server]
listen = ["127.0.0.1:{port}"]
rpcbind = "off"
locks = "off"
{self._export(self._large, large)}{self._export(self._small, ["below-small"])}"""

    def _export(self, disk: Path, lowers: list[str]) -> str:
        names = [f'"{self._large / each}"' for each in lowers]
        return f"""
[[export]]
path = "/{disk.name}"
lowerdir = [{", ".join(names)}]
upperdir = "{disk}/upper"
workdir = "{disk}/work"
clients = {{ "127.0.0.1" = "rw,no_root_squash,insecure" }}
"""

    def remove(self) -> None:
        """Unmount it and remove it; raises OSError when something still is in use."""
        while self._mounted:
            _run("umount", str(self._mounted[-1]))
            self._mounted.pop()
        for disk in (self._large, self._small):
            disk.with_suffix(".ext4").unlink(missing_ok=True)
            if disk.exists():
                disk.rmdir()

    def remove_log(self) -> None:
        """Remove what else there is."""
        self.log.unlink(missing_ok=True)
        self.configuration_file.unlink(missing_ok=True)
        self._directory.rmdir()


def _run(*words: str) -> None:
    """Run a command; raises OSError with what it said."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT, check=False
        )
    except FileNotFoundError as error:
        raise OSError(error.errno, f"{words[0]}: not found: install it") from error
    except subprocess.TimeoutExpired as error:
        said = f"{words[0]}: not done in {_LIMIT:.0f} s"
        raise OSError(errno.ETIMEDOUT, said) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise OSError(done.returncode, f"{words[0]}: {said}")
