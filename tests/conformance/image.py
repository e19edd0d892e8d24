"""The container image: `python -m tests.conformance.image`, some minutes.

It is built by buildah as docs/containers.md says, of packaging/Containerfile, over a root that
debootstrap made, and run by podman with the capabilities that the document names, and without
them. A client works while the server reads its configuration again, and while the container is
replaced by another. A line for each step says how long it took.

Everything is below the directory that is named, or one of its own, and gone afterwards. The network
is this machine's, and so are the certificates that pip is told of by the environment.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.busy import busy, go_on
from tests.conformance.checkout import copy_checkout
from tests.conformance.container import await_
from tests.conformance.engine import Buildah, Podman
from tests.conformance.layers import layers
from tests.conformance.machine import command
from tests.conformance.ports import free_port
from tests.wire import Wire

IMAGE: Final = "localhost/overlay-nfsd"
BASE: Final = "localhost/base"
# As docs/containers.md has it.
CAPABILITIES: Final = "--cap-add=CAP_SYS_ADMIN,CAP_DAC_READ_SEARCH,CAP_MKNOD"
CONFIG: Final = """[server]
listen = ["127.0.0.1:{port}"]
rpcbind = "off"
"""
EXPORT: Final = """
[[export]]
path = "/{name}"
lowerdir = ["/srv/lower"]
upperdir = "/srv/{name}/upper"
workdir = "/srv/{name}/work"
clients = {{ "127.0.0.1" = "rw,insecure,no_root_squash,async" }}
"""
# An engine raises them, which not every machine lets it do.
_LIMITS: Final = {
    "nofile": min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20),
    "nproc": 4096,
}


class Steps:
    """The engines, and a line for each thing that is done."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.buildah, self.podman = Buildah(place), Podman(place)
        self.port = free_port()
        self._begun = time.monotonic()
        for name in ("lower", "debian/upper", "debian/work", "second/upper", "second/work"):
            (place / "srv" / name).mkdir(parents=True)
        (place / "srv/lower/file").write_text("lower\n")
        (place / "etc").mkdir()
        self.configure("debian")

    def tell(self, outcome: str) -> None:
        now = time.monotonic()
        print(f"{now - self._begun:7.1f} s  {outcome}", flush=True)
        self._begun = now

    def configure(self, *names: str) -> None:
        """Write the configuration file anew, as an editor does: another file of the same name."""
        exports = "".join(EXPORT.format(name=name) for name in names)
        (self.place / "etc/new").write_text(CONFIG.format(port=self.port) + exports)
        (self.place / "etc/new").rename(self.place / "etc/overlay-nfsd.toml")

    def options(self, *more: str) -> list[str]:
        """Of `podman run`."""
        words = [f"--ulimit={name}={limit}:{limit}" for name, limit in _LIMITS.items()]
        words += ["--network=host", f"--volume={self.place / 'srv'}:/srv"]
        return [*words, f"--volume={self.place / 'etc'}:/etc/overlay-nfsd:ro", *more]


@contextmanager
def prepared(place: Path) -> Iterator[Steps]:
    """The engines with a base; all of their storage is unmounted at the end."""
    steps = Steps(place)
    try:
        container = steps.buildah.run("from", "scratch")
        root = steps.buildah.mounted(container)
        command(["cp", "--archive", f"{layers().base}/.", root], timeout=300)
        if "PIP_CERT" in os.environ:
            shutil.copy2(os.environ["PIP_CERT"], root / "etc/pip-certificates")
            (root / "etc/pip.conf").write_text("[global]\ncert = /etc/pip-certificates\n")
        steps.buildah.run("commit", "--quiet", container, BASE)
        steps.buildah.run("rm", container)
        yield steps
    finally:
        steps.podman.try_("rm", "--all", "--force", "--time=5")
        steps.buildah.try_("rm", "--all")
        steps.buildah.try_("rmi", "--all", "--force")


def build(steps: Steps, *, is_compiled: bool) -> None:
    """Build the image of a copy of this checkout."""
    copy_checkout(steps.place / "checkout")
    words = ["bud", "--isolation=chroot", "--network=host", f"--build-arg=BASE={BASE}"]
    words += [] if is_compiled else ["--build-arg=OVERLAY_NFSD_COMPILE=0"]
    words += ["--file=packaging/Containerfile", f"--tag={IMAGE}", "."]
    steps.buildah.run(*words, cwd=steps.place / "checkout")
    inspect = ("inspect", "--type=image", "--format={{.OCIv1.Config.Entrypoint}}", IMAGE)
    steps.tell(f"built: {steps.buildah.run(*inspect)}")


def refused(steps: Steps) -> None:
    """Without the capabilities a start says which are missing."""
    status, _, said = steps.podman.try_("run", "--rm", *steps.options(), IMAGE)
    assert status == 2, said
    assert "lacks CAP_DAC_READ_SEARCH" in said, said
    steps.tell(f"without capabilities: {said.strip().splitlines()[-1]}")


def start(steps: Steps, name: str) -> None:
    steps.podman.run("run", "--detach", f"--name={name}", *steps.options(CAPABILITIES), IMAGE)
    await_(lambda: "serving /debian" in "".join(steps.podman.try_("logs", name)[1:]), "no server")


def serve(steps: Steps) -> None:
    """A client works meanwhile."""
    start(steps, "one")
    with busy(steps.port, export="/debian", may_reconnect=True) as clients:
        wire = Wire(steps.port, "/debian")
        kept = wire.create("kept", b"kept")
        steps.tell("it serves")
        steps.configure("debian", "second")
        steps.podman.run("exec", "one", "overlay-nfsd", "reload")
        second = Wire(steps.port, "/second")
        assert second.names(second.root) == [b"file"]
        assert not any(client.client.reconnections for client in clients)
        second.close()
        steps.tell("podman exec one overlay-nfsd reload: another export is served")
        begun = time.monotonic()
        steps.podman.run("stop", "--time=20", "one")
        state = ("inspect", "--format={{.State.ExitCode}}", "one")
        assert steps.podman.run(*state) == "0"
        start(steps, "two")
        go_on(clients)
        wire.close()
        again = Wire(steps.port, "/debian")
        assert again.read(kept) == b"kept"
        again.close()
        took = time.monotonic() - begun
        steps.tell(f"stopped, and another container in its place, in {took:.1f} s: handles go on")
    steps.podman.run("stop", "--time=20", "two")


def main() -> None:
    """Take all steps."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.image")
    parser.add_argument("--compiled", action="store_true", help="as by default; minutes more")
    parser.add_argument("place", nargs="?", type=Path, help="a directory on ext4, xfs or btrfs")
    options = parser.parse_args()
    with ExitStack() as stack:
        place = options.place or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        steps = stack.enter_context(prepared(place))
        steps.tell("a base")
        build(steps, is_compiled=options.compiled)
        refused(steps)
        serve(steps)


if __name__ == "__main__":
    main()
