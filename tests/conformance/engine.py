"""Container engines with storage of their own, which nobody else sees.

Rule: images come from files of this machine, never from a registry.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.machine import program
from tests.conformance.server import Stack


@dataclass
class Engine:
    """What engines of one kind of storage share; it is in `place`."""

    place: Path

    def _words(self) -> list[str]:
        """The command, with where its storage is."""
        where = [f"--root={self.place / 'root'}", f"--runroot={self.place / 'run'}"]
        return [program(self._name, self._name), *where, "--storage-driver=overlay"]

    @property
    def _name(self) -> str:
        raise NotImplementedError

    def try_(self, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
        """Run one command of it: exit status, what it prints, and what it complains of."""
        done = subprocess.run(
            [*self._words(), *words],
            cwd=cwd,
            env={**os.environ, "TMPDIR": str(self.place)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout.strip(), done.stderr

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """What one command of it prints, which must succeed."""
        status, printed, complaints = self.try_(*words, cwd=cwd)
        assert status == 0, f"{words}: {complaints[-4000:]}"
        return printed


class Buildah(Engine):
    """Makes images."""

    @property
    def _name(self) -> str:
        return "buildah"

    def mounted(self, container: str) -> Path:
        return Path(self.run("mount", container))

    def layers(self, container: str) -> Stack:
        """Where the engine keeps the layers of a container, which is mounted now."""
        home = self.mounted(container).parent
        names = (home / "lower").read_text().split(":")
        lowers = tuple((home.parent / name).resolve() for name in names)
        return Stack(lowers, home / "diff", home / "work")


class Podman(Engine):
    """Runs them, with runc, which takes cgroups as they are mounted."""

    @property
    def _name(self) -> str:
        return "podman"

    def _words(self) -> list[str]:
        return [
            *super()._words(),
            "--cgroup-manager=cgroupfs",
            "--runtime",
            program("runc", "runc"),
        ]
