"""An upgrade with clients at work: `python -m tests.conformance.upgrade`, ten minutes.

In a machine of systemd-nspawn (tests.conformance.container) an earlier version is installed and
started as docs/systemd.md says. While clients work (a Linux kernel in QEMU, several connections
that check every answer, `overlay-nfsd torture`, one that has a lock) this checkout is installed
over it and the service restarted, as docs/operations.md says. Then the earlier version is put back.
A line for each step says how long it took and what came of it.

Everything is below the directory that is named, or one of its own, and gone afterwards. The network
is this machine's, and so is what pip is told by the environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from nfsd.xdr.generated.nlm4 import NLM4_GRANTED
from tests.busy import Busy, busy, go_on
from tests.conformance.checkout import copy_checkout, unpack
from tests.conformance.client_work import LOOPS, PASS_LIMIT, check_kernel_log
from tests.conformance.container import Container, await_
from tests.conformance.guest import Guest
from tests.conformance.layers import layers
from tests.conformance.ledger import Answered, Ledger
from tests.conformance.loops import SHARE, Loops
from tests.conformance.machine import command
from tests.conformance.ports import free_port
from tests.conformance.server import PROJECT
from tests.locking import LockClient
from tests.wire import Wire

BEFORE: Final = "51e92d9"
UNIT: Final = "overlay-nfsd.service"
EXPORT: Final = "/debian"
CONFIG: Final = """[server]
listen = ["127.0.0.1:{port}"]
rpcbind = "off"
lock_port = {lock_port}

[[export]]
path = "/debian"
lowerdir = ["/srv/torture", "/srv/app", "/srv/debian"]
upperdir = "/srv/upper"
workdir = "/srv/work"
clients = {{ "127.0.0.0/8" = "rw,insecure,no_root_squash,async" }}
"""
_INSTALL_LIMIT: Final = 900.0
_TORTURE_SECONDS: Final = 40
_REPEATED: Final = 60  # times six calls
_ROUNDS: Final = 20  # of each client, after the restart


class Upgrade:
    """The machine, and what is done there."""

    def __init__(self, container: Container, served: Path, *, is_compiled: bool) -> None:
        self.container = container
        self.served = served
        self.port, self.lock_port = free_port(), free_port()
        self._is_compiled = is_compiled
        self._begun = time.monotonic()
        container.write(
            "/etc/overlay-nfsd.toml", CONFIG.format(port=self.port, lock_port=self.lock_port)
        )

    def tell(self, outcome: str) -> None:
        """Print what came of a step, and how long it took."""
        now = time.monotonic()
        print(f"{now - self._begun:7.1f} s  {outcome}", flush=True)
        self._begun = now

    def install(self, which: str) -> None:
        """`make install` of one of the checkouts that are below /root in there."""
        words = ["make", "--directory", f"/root/{which}", "install"]
        words += ["PREFIX=/usr", "PYTHON=/usr/bin/python3"]
        words = words if self._is_compiled else ["env", "OVERLAY_NFSD_COMPILE=0", *words]
        self.container.run(*words, limit=_INSTALL_LIMIT)
        version = self.container.run("overlay-nfsd", "--version").strip()
        self.tell(f"make install of {which}: {version}")

    def control(self, verb: str) -> tuple[int, str]:
        return self.container.try_("systemctl", verb, UNIT)

    def complaints(self) -> str:
        """What the service has logged that is a warning or worse, or a traceback."""
        words = ["journalctl", "--no-pager", "-o", "cat", "-u", UNIT]
        found = self.container.run(*words, "-p", "warning")
        return found if "No entries" not in found else ""

    def seen(self) -> frozenset[str]:
        """A line for each file of the upper layer and the index, which changes when that does."""
        words = [
            "find",
            "upper",
            "work/inodes",
            "work/identity",
            "-printf",
            r"%p %i %n %s %T@ %C@\n",
        ]
        return frozenset(command(words, timeout=300, cwd=self.served).splitlines())


@contextmanager
def machine(place: Path, revision: str, *, is_compiled: bool) -> Iterator[Upgrade]:
    """A booted machine with both checkouts, and layers below /srv."""
    served = place / "srv"
    for name in ("debian", "app", "torture", "upper", "work"):
        (served / name).mkdir(parents=True)
    tool = (sys.executable, "-m", "nfsd", "torture", "--prepare", served / "torture/torture")
    command([*tool, "--seed", "1"], timeout=300, cwd=PROJECT)
    (served / "torture/ledger-lower").mkdir()
    for number in range(500):
        (served / f"torture/ledger-lower/{number}").write_text(f"lower {number}\n" * 400)
    with ExitStack() as stack:
        for name, source in (("debian", layers().base), ("app", layers().app)):
            command(["mount", "--bind", source, served / name], timeout=60)
            stack.callback(command, ["umount", served / name], timeout=60)
        container = stack.enter_context(Container(place, served))
        unpack(revision, container.root / "root/before")
        copy_checkout(container.root / "root/now")
        container.boot()
        yield Upgrade(container, served, is_compiled=is_compiled)


@contextmanager
def at_work(upgrade: Upgrade, place: Path, ledger: Ledger) -> Iterator[list[Busy]]:
    """Clients that work all the time; what goes wrong with one is raised at the end."""
    loops = Loops(place / "loops", LOOPS)
    with (
        Guest(
            upgrade.port, export=EXPORT, options="hard", shares={SHARE: loops.directory}
        ) as guest,
        busy(upgrade.port, export=EXPORT, may_reconnect=True) as clients,
    ):
        loops.start(guest)
        ledger.start()
        try:
            loops.await_passes(PASS_LIMIT)
            upgrade.tell("a Linux client and others at work")
            yield clients
            loops.await_passes(PASS_LIMIT)
        finally:
            ledger.stop()
        passes = loops.stop(PASS_LIMIT)
        check_kernel_log(guest)
        upgrade.tell(f"the Linux client: {sum(passes.values())} passes without an error")
    upgrade.tell(f"{ledger.check()} handles of the ledger show what was promised")


def _is_tortures(name: bytes) -> bool:
    """Whether a directory is the one that the torture tool makes first."""
    return name.startswith(b"torture-")


@contextmanager
def torture(upgrade: Upgrade) -> Iterator[subprocess.Popen[str]]:
    """The torture tool, which has begun, and ends by itself."""
    words = [sys.executable, "-m", "nfsd", "torture", f"nfs://127.0.0.1:{upgrade.port}{EXPORT}"]
    words += ["--seconds", str(_TORTURE_SECONDS), "--lower", "torture", "--json", "--expect-replay"]
    process = subprocess.Popen(
        words, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    wire = Wire(upgrade.port, EXPORT)
    try:
        await_(lambda: any(map(_is_tortures, wire.names(wire.root))), "it does not begin")
        yield process
    finally:
        wire.close()
        process.kill()
        process.wait()


def restart(upgrade: Upgrade, clients: list[Busy]) -> None:
    """What the documentation says, and how long clients waited for an answer at most."""
    upgrade.tell(f"{sum(client.rounds for client in clients)} rounds of clients at work")
    usual = max(client.client.longest for client in clients)
    for client in clients:
        assert not client.client.reconnections, "a connection was lost before the restart"
        client.client.longest = 0.0
    begun = time.monotonic()
    status, said = upgrade.control("restart")
    took = time.monotonic() - begun
    assert status == 0, said + upgrade.container.journal()
    go_on(clients)
    longest = max(client.client.longest for client in clients)
    upgrade.tell(
        f"systemctl restart: {took:.2f} s; the longest wait for an answer {longest:.2f} s, "
        f"before it {usual:.2f} s"
    )


def look_up(upgrade: Upgrade, path: str) -> bytes:
    wire = Wire(upgrade.port, EXPORT)
    try:
        return wire.lookup(path)
    finally:
        wire.close()


def go_up(upgrade: Upgrade, place: Path, ledger: Ledger) -> None:
    """From the version before to this one, with clients at work."""
    with (
        at_work(upgrade, place, ledger) as clients,
        LockClient(upgrade, name=b"upgraded") as locker,
    ):
        upgrade.install("now")
        with torture(upgrade) as tortured:
            go_on(clients, _ROUNDS)
            locked = look_up(upgrade, "etc/passwd")
            assert locker.lock(locked) == NLM4_GRANTED
            answered = Answered(upgrade.port, EXPORT, _REPEATED)
            restart(upgrade, clients)
            first = answered.check(upgrade.port, slice(0, None, 2))
            go_on(clients, _ROUNDS)
            later = answered.check(upgrade.port, slice(1, None, 2))
            upgrade.tell(f"{first} + {later} calls sent again: each has its first answer")
            locker.wait_for("SM_NOTIFY")
            locker.connect()
            assert locker.lock(locked, reclaim=True) == NLM4_GRANTED
            upgrade.tell("a client with a lock is told, and takes it back")
            printed, _ = tortured.communicate(timeout=600)
            assert tortured.returncode == 0, printed
        report = json.loads(printed)
        upgrade.tell(f"torture: {report['checks']} checks, {report['resent']} calls sent again")


def go_down(upgrade: Upgrade, ledger: Ledger) -> None:
    """Back to the version before, which refuses what is there or serves it; and here again."""
    upgrade.container.run("systemctl", "stop", UNIT)
    served = upgrade.seen()
    upgrade.install("before")
    status, _ = upgrade.control("start")
    if status == 0:
        upgrade.tell(f"the version before serves it: {ledger.check()} handles show what they did")
    else:
        upgrade.container.run("systemctl", "stop", UNIT)
        changed = sorted(served ^ upgrade.seen())
        assert not changed, changed
        said = upgrade.container.run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT)
        upgrade.tell(f"the version before refuses it, and changes nothing: {said[-500:]}")
    upgrade.install("now")
    upgrade.container.run("systemctl", "restart", UNIT)
    upgrade.tell(f"this version again: {ledger.check()} handles show what they did")


def go_back(upgrade: Upgrade, ledger: Ledger) -> None:
    """To the version before for good: what clients wrote stays, their handles are void."""
    upgrade.container.run("systemctl", "stop", UNIT)
    upgrade.container.run("overlay-nfsd", "index", "detach", "--yes", EXPORT)
    upgrade.install("before")
    upgrade.container.run("systemctl", "start", UNIT)
    upgrade.tell(f"the version before, after index detach: {ledger.check_names()} files are there")


def main() -> None:
    """Take all steps."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.upgrade")
    parser.add_argument("--before", default=BEFORE, help="a revision of git")
    parser.add_argument("--compiled", action="store_true", help="as with a compiler; minutes more")
    parser.add_argument("place", nargs="?", type=Path, help="a directory on ext4, xfs or btrfs")
    options = parser.parse_args()
    with ExitStack() as stack:
        place = options.place or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upgrade = stack.enter_context(machine(place, options.before, is_compiled=options.compiled))
        upgrade.tell("a machine")
        upgrade.install("before")
        upgrade.container.run("systemctl", "enable", "--now", UNIT)
        ledger = Ledger(upgrade.port, EXPORT, "ledger-lower")
        go_up(upgrade, place, ledger)
        complaints = upgrade.complaints()
        assert not complaints, complaints
        go_down(upgrade, ledger)
        go_back(upgrade, ledger)


if __name__ == "__main__":
    main()
