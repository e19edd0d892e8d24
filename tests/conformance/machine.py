"""What the harness needs of the machine: programs, and a directory to keep things between runs.

Rule: what is missing is raised as `UnavailableError`, in words that name the cure; only conftest
turns that into a skip, or into a failure where CI promises that everything is there.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class UnavailableError(Exception):
    """Something that a test needs of its machine is not there."""


def program(name: str, package: str) -> str:
    """The path of a program, or `UnavailableError` naming the Debian package that has it."""
    found = shutil.which(name, path="/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise UnavailableError(f"{name} is not installed (apt-get install {package})")
    return found


def command(arguments: Sequence[str | Path], *, timeout: float, cwd: Path | None = None) -> str:
    """Runs a tool of the machine and returns its output; its failure is `UnavailableError`."""
    words = [str(word) for word in arguments]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{' '.join(words)}: {error}") from error
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-400:]
        raise UnavailableError(f"{' '.join(words)}: exit status {done.returncode}: {tail}")
    return done.stdout


def download_packages(names: Sequence[str], into: Path) -> None:
    """Downloads Debian packages, renewing apt's lists once if they are missing or old."""
    apt = program("apt-get", "apt")
    fetch = [apt, "--quiet", "-o", "APT::Sandbox::User=root", "download", *names]
    try:
        command(fetch, timeout=300, cwd=into)
    except UnavailableError:
        command([apt, "--quiet", "update"], timeout=300)
        command(fetch, timeout=300, cwd=into)


def cache_directory() -> Path:
    """Where what takes long to make is kept between runs."""
    chosen = os.environ.get("OVERLAY_NFSD_CACHE")
    directory = Path(chosen) if chosen else Path.home() / ".cache" / "overlay-nfsd"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """The cached directory `name`, built if it is not there.

    It is built aside and renamed into place, so an interrupted build is never taken for a whole
    one; two runs at the same time build it once.
    """
    final = cache_directory() / name
    with _locked(cache_directory() / f"{name}.lock"):
        if not final.exists():
            aside = cache_directory() / f"{name}.building"
            if aside.exists():
                shutil.rmtree(aside)
            aside.mkdir()
            build(aside)
            aside.rename(final)
    return final
