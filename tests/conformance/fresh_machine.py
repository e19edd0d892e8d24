"""What README.md and docs/install.md have one type, on a fresh Debian 12.

    python -m tests.conformance.fresh_machine

Each is run as it is written there, in systemd-nspawn, on a copy of the root that debootstrap made
for the tests (tests.conformance.layers): without python3-venv, then without a compiler, then with
overlayfs as its root, then with what a container engine leaves of root's capabilities. A line for
each says how long it took and what came of it. Everything is below the directory that is named, or
one of its own, and gone afterwards.

The network is this machine's, and so are its certificates and what pip is told by the environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.client import Client
from tests.conformance.checkout import copy_checkout
from tests.conformance.layers import layers
from tests.conformance.machine import command, program
from tests.wire import Wire

_PASSED: Final = ("PIP_", "SSL_", "http_proxy", "https_proxy", "no_proxy")
_CERTIFICATES: Final = "root/certificates"
_SERVES: Final = re.compile(r"mount -t nfs -o \S*\bport=(\d+),mountport=\1\b")
_LIMIT: Final = 900.0  # seconds for one command
# Of the capabilities that the server needs, what podman(1) does not give to root.
_NO_ENGINE_GIVES: Final = "CAP_SYS_ADMIN,CAP_DAC_READ_SEARCH,CAP_MKNOD"


@dataclass(frozen=True)
class Step:
    """A command, and what it must print; what serves is asked for its root by a client."""

    command: str
    says: str
    status: int = 0
    serves: bool = False
    without: str = ""  # capabilities
    takes_long: bool = False


WITHOUT_VENV: Final = (
    Step("apt-get update && apt-get install -y --no-install-recommends make python3", ""),
    Step("make run", r"apt-get install python3-venv", status=2),
)
WITHOUT_COMPILER: Final = (
    Step("apt-get install -y python3-venv", ""),
    Step("make run", r"serving / on 127\.0\.0\.1:2049", serves=True),
    Step(
        "make install",
        r"not compiled: for twice the speed apt-get install gcc python3-dev",
        takes_long=True,
    ),
    Step("overlay-nfsd --version", r"^overlay-nfsd [\d.]+$", takes_long=True),
    Step("overlay-nfsd serve", r"overlay-nfsd\.toml: No such file", status=2, takes_long=True),
    Step(
        "python3 -m venv /opt/overlay-nfsd && /opt/overlay-nfsd/bin/pip install .",
        "",
        takes_long=True,
    ),
    Step(
        "/opt/overlay-nfsd/bin/overlay-nfsd serve "
        "--lowerdir /srv/layers/app:/srv/layers/debian "
        "--upperdir /srv/upper --workdir /srv/work "
        "--export /debian --listen 0.0.0.0:2049",
        r"serving /debian on 0\.0\.0\.0:2049",
        serves=True,
        takes_long=True,
    ),
    Step("make uninstall", "", takes_long=True),
)
ON_OVERLAYFS: Final = (
    Step("make run", r"upper  /dev/shm/overlay-nfsd-demo/upper", serves=True),
    Step("make run DEMO=/var/tmp/demo", r"like DEMO=/dev/shm/demo", status=2),
)
AS_A_CONTAINER: Final = (
    Step(
        "make run",
        r"root here lacks CAP_DAC_READ_SEARCH.*--cap-add=",
        status=2,
        without=_NO_ENGINE_GIVES,
    ),
)


def prepare(root: Path) -> None:
    """Put this checkout there, and layers for what README.md serves."""
    copy_checkout(root / "root/overlay-nfsd")
    if "PIP_CERT" in os.environ:
        shutil.copy2(os.environ["PIP_CERT"], root / _CERTIFICATES)
    for name in ("layers/app", "layers/debian/etc", "upper", "work"):
        (root / "srv" / name).mkdir(parents=True, exist_ok=True)


@contextmanager
def over(root: Path, place: Path) -> Iterator[Path]:
    """The same machine with overlayfs as its root."""
    for name in ("upper", "work", "root"):
        (place / name).mkdir(parents=True)
    layers = f"lowerdir={root},upperdir={place}/upper,workdir={place}/work"
    command(["mount", "-t", "overlay", "-o", layers, "overlay", place / "root"], timeout=30)
    try:
        yield place / "root"
    finally:
        command(["umount", "-R", place / "root"], timeout=60)


def inside(root: Path, step: Step) -> list[str]:
    """The command line that runs a step on the machine."""
    words = [program("systemd-nspawn", "systemd-container"), "--quiet", "--pipe", "--as-pid2"]
    words += [f"--directory={root}", "--register=no", "--chdir=/root/overlay-nfsd"]
    words += [] if Path("/run/systemd/system").is_dir() else ["--keep-unit"]
    words += [f"--drop-capability={step.without}"] if step.without else []
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
    if (root / _CERTIFICATES).exists():
        passed["PIP_CERT"] = f"/{_CERTIFICATES}"
    words += [f"--setenv={name}={value}" for name, value in passed.items()]
    return [*words, "--setenv=DEBIAN_FRONTEND=noninteractive", "sh", "-c", step.command]


def run(root: Path, step: Step, log: Path) -> str:
    """Take a step; what went wrong, or nothing."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            # nspawn that is killed would leave what runs in it.
            ["setpriv", "--pdeathsig", "TERM", "--", *inside(root, step)],
            env={**os.environ, "SYSTEMD_SECCOMP": "0"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        problem = _served(process, log) if step.serves else ""
        status = 0 if step.serves else process.wait(timeout=_LIMIT)
    finally:
        process.terminate()
        process.wait(timeout=60)
    text = log.read_text(errors="replace")
    if problem or status != step.status or not re.search(step.says, text, re.MULTILINE):
        return f"{problem or f'exit status {status}'}:\n{text[-2000:]}"
    return ""


def _served(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for the mount command, and mount; what went wrong, or nothing."""
    deadline = time.monotonic() + _LIMIT
    while (found := _SERVES.search(log.read_text(errors="replace"))) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            return "it does not serve"
        time.sleep(0.05)
    with Client(int(found[1])) as client:
        export = "/debian" if "/debian" in found.string[found.end() :] else "/"
        wire = Wire.over(client, export)
        return "" if b"etc" in wire.names(wire.root) else "its root is empty"


def steps(place: Path) -> Iterator[tuple[Path, Sequence[Step]]]:
    """The machines, one after the other, each with what is done there."""
    root = place / "machine"
    command(["cp", "--archive", "--reflink=auto", layers().base, root], timeout=300)
    prepare(root)
    yield root, (*WITHOUT_VENV, *WITHOUT_COMPILER)
    with over(root, place / "overlay") as covered:
        yield covered, (*ON_OVERLAYFS, *AS_A_CONTAINER)


def main(place: Path) -> int:
    """Take all steps; returns the exit status."""
    failed = 0
    begin = time.monotonic()
    for root, todo in steps(place):
        print(f"{time.monotonic() - begin:7.1f} s  made {root.relative_to(place)}", flush=True)
        for step in todo:
            begin = time.monotonic()
            problem = run(root, step, place / "log")
            failed += bool(problem)
            outcome = problem or ("serves" if step.serves else f"exit status {step.status}")
            print(f"{time.monotonic() - begin:7.1f} s  {step.command}: {outcome}", flush=True)
        begin = time.monotonic()
    return min(failed, 1)


if __name__ == "__main__":
    with ExitStack() as stack:
        own = sys.argv[1] if sys.argv[1:] else stack.enter_context(tempfile.TemporaryDirectory())
        sys.exit(main(Path(own)))
