"""The Debian package on a fresh Debian 12: `python -m tests.conformance.package`, some minutes.

It is built by `make deb` from a copy of this checkout, and installed by apt-get in a root that
debootstrap made, booted in systemd-nspawn. A client works while the package is installed again,
as an upgrade would. Then it is removed, and purged. A line for each step says how long it took.

Everything is below the directory that is named, or one of its own, and gone afterwards. The network
is this machine's, and so is what pip is told by the environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.busy import busy, go_on
from tests.conformance.checkout import copy_checkout
from tests.conformance.container import Container
from tests.conformance.fresh_machine import Step, prepare, run
from tests.conformance.layers import layers
from tests.conformance.machine import command, program
from tests.conformance.ports import free_port

UNIT: Final = "overlay-nfsd.service"
CONFIG: Final = """[server]
listen = ["127.0.0.1:{port}"]
rpcbind = "off"

[[export]]
path = "/debian"
lowerdir = ["/srv/lower"]
upperdir = "/srv/upper"
workdir = "/srv/work"
clients = {{ "127.0.0.1" = "rw,insecure,no_root_squash,async" }}
"""
_BOOTABLE: Final = (
    "apt-get update && "
    "apt-get install -y --no-install-recommends systemd systemd-sysv init-system-helpers"
)
_APT: Final = ("apt-get", "install", "-y", "--no-install-recommends")
_IN_THERE: Final = "/root/overlay-nfsd.deb"
_LIMIT: Final = 900.0


def build(checkout: Path, *, is_compiled: bool = False) -> Path:
    """The package, made of a copy of this checkout."""
    program("dpkg-deb", "dpkg")
    words = ["make", "deb"] if is_compiled else ["env", "OVERLAY_NFSD_COMPILE=0", "make", "deb"]
    command(words, timeout=_LIMIT, cwd=checkout)
    (package,) = (checkout / "build").glob("*.deb")
    return package


class Steps:
    """The machine, and a line for each thing that is done there."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self._begun = time.monotonic()

    def tell(self, outcome: str) -> None:
        now = time.monotonic()
        print(f"{now - self._begun:7.1f} s  {outcome}", flush=True)
        self._begun = now

    def run(self, *words: str) -> str:
        """Run a command in there, which must succeed; returns what it prints."""
        return self.container.run(*words, limit=_LIMIT)

    def left(self) -> list[str]:
        """What is called after the program in there, or is of its account, but below /srv."""
        named = ["find", "/", "-xdev", "(", "-path", "/root", "-o", "-path", "/var/lib/dpkg"]
        named += ["-o", "-path", "/var/cache/apt", "-o", "-path", "/var/log", ")", "-prune", "-o"]
        named += ["(", "-name", "*overlay-nfsd*", "-o", "-nouser", ")", "-print"]
        accounts = self.run("getent", "passwd").splitlines()
        return self.run(*named).split() + [
            line for line in accounts if line.startswith("overlay-nfsd:")
        ]


@contextmanager
def machine(place: Path) -> Iterator[Steps]:
    """A fresh Debian with systemd, booted, with layers below /srv."""
    served = place / "srv"
    for name in ("lower", "upper", "work"):
        (served / name).mkdir(parents=True)
    (served / "lower/file").write_text("lower\n")
    with Container(place, served, layers().base) as container:
        prepare(container.root)
        problem = run(container.root, Step(_BOOTABLE, ""), place / "log")
        assert not problem, problem
        container.boot()
        yield Steps(container)


def install(steps: Steps, package: Path, port: int) -> None:
    """Install and start it, as docs/install.md says."""
    shutil.copy2(package, steps.container.root / _IN_THERE.lstrip("/"))
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    steps.run(*_APT, _IN_THERE)
    steps.tell(f"apt-get install: {steps.run('overlay-nfsd', '--version').strip()}")
    assert steps.container.try_("systemctl", "is-enabled", UNIT)[0] != 0
    steps.container.write("/etc/overlay-nfsd.toml", CONFIG.format(port=port))
    steps.run("overlay-nfsd", "check-config")
    steps.run("systemctl", "enable", "--now", UNIT)


def go_through(steps: Steps, package: Path) -> None:
    """All that becomes of a package."""
    port = free_port()
    install(steps, package, port)
    with busy(port, export="/debian", may_reconnect=True) as clients:
        steps.tell("it serves")
        before = steps.container.property(UNIT, "MainPID")
        steps.run(*_APT, "--reinstall", _IN_THERE)
        assert steps.container.property(UNIT, "MainPID") not in (before, "0")
        go_on(clients)
        longest = max(client.client.longest for client in clients)
        steps.tell(f"installed again with clients at work, who waited for {longest:.2f} s at most")
    steps.run("apt-get", "remove", "-y", "overlay-nfsd")
    assert steps.container.try_("systemctl", "is-active", UNIT)[0] != 0
    left = steps.left()
    assert "/etc/overlay-nfsd.toml" in left, "its configuration has gone"
    assert not any(path.startswith("/usr/") for path in left), left
    steps.tell(f"removed; {', '.join(left)} stay")
    steps.run("apt-get", "purge", "-y", "overlay-nfsd")
    assert not steps.left(), steps.left()
    assert (steps.container.root / "srv").exists()
    steps.tell("purged, and nothing stays")


def main() -> None:
    """Take all steps."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.package")
    parser.add_argument("--compiled", action="store_true", help="as it is released; minutes more")
    parser.add_argument("--package", type=Path, help="one that is built already")
    parser.add_argument("place", nargs="?", type=Path, help="a directory on ext4, xfs or btrfs")
    options = parser.parse_args()
    with ExitStack() as stack:
        place = options.place or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        begun = time.monotonic()
        copy_checkout(place / "checkout")
        package = options.package or build(place / "checkout", is_compiled=options.compiled)
        size = package.stat().st_size / 1e6
        print(f"{time.monotonic() - begun:7.1f} s  {package.name}, {size:.1f} MB", flush=True)
        steps = stack.enter_context(machine(place))
        steps.tell("a machine")
        go_through(steps, package)


if __name__ == "__main__":
    main()
