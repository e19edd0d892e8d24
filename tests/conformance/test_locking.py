"""Linux kernels lock files against each other: two guests, the server, NLM and NSM between them.

Rule: server and guests are on a network of their own, each with an address, and find each other by
rpcbind, as they would anywhere. The guests use the host's own rpcbind, rpc.statd and sqlite3, which
they see read-only; a program of the tests (locker.c) locks and says what came of it.
"""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import diropargs3
from nfsd.xdr.generated.nlm4 import NLM4_GRANTED
from tests.client import Client
from tests.conformance.guest import Guest
from tests.conformance.machine import command, program
from tests.conformance.network import Network, wait_for
from tests.conformance.server import Server, Stack
from tests.locking import LockClient

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("guest_ready"),
]

TOOLS = {"rpcbind": "rpcbind", "rpc.statd": "nfs-common", "sqlite3": "sqlite3", "cc": "gcc"}
GRACE = 15  # seconds; a guest's status monitor needs some to hear of a restart, and to say so
# Of each guest, on one database.
TRANSACTIONS = int(os.environ.get("LOCK_TRANSACTIONS", "60"))
LIMIT = 120.0  # seconds until what is waited for must have come

# A client as an installed Debian is, with its status monitor, which says what /state remembers.
PREPARE = """
set -e
hostname {name}
umount /share/host
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /share/host
cd /share/host
mount --bind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs mnt
mkdir mnt/nfs
mount --bind /share/work/{name} var/lib/nfs
: >tmp/resolv.conf
printf '%s\\n' '127.0.0.1 localhost' '{server} server' '{address} {name}' >tmp/hosts
mount --bind tmp/hosts etc/hosts
mount --bind tmp/resolv.conf etc/resolv.conf
chroot . /usr/sbin/rpcbind
chroot . /usr/sbin/rpc.statd
chroot . /usr/bin/mount -t nfs -o vers=3,acregmin=0,acregmax=0 {server}:/export /mnt/nfs
"""
MOUNT = "/share/host/mnt/nfs"


class Machine:
    """A guest with the export on MOUNT; what it does in the background writes to the host."""

    def __init__(self, guest: Guest, work: Path, name: str) -> None:
        self.guest = guest
        self.name = name
        self._work = work
        self._count = 0
        (work / name).mkdir()
        for directory in ("sm", "sm.bak"):
            (work / name / directory).mkdir()

    def prepare(self) -> None:
        script = PREPARE.format(name=self.name, server=Network.ADDRESS, address=self.guest.address)
        self.guest.run(script, timeout=300).check()

    def run(self, script: str, timeout: float = 300.0) -> str:
        """The output of a script."""
        return self.guest.run(script, timeout=timeout).check()

    def lock(self, file: str, *commands: str) -> list[str]:
        """What a process of its own says to these commands."""
        lines = "\n".join(commands)
        script = f"/share/work/locker {MOUNT}/{file} <<'END'\n{lines}\nEND"
        return self.run(script).splitlines()

    def start(self, file: str, *commands: str) -> Callable[[], list[str]]:
        """The same for a process that goes on; what it has said can be asked for."""
        self._count += 1
        log = f"{self.name}-{self._count}"
        (self._work / log).touch()
        lines = "\n".join(commands)
        self.run(
            f"cat >/tmp/{log} <<'END'\n{lines}\nEND\n"
            f"setsid /share/work/locker {MOUNT}/{file} </tmp/{log} >/share/work/{log} 2>&1 &"
        )
        return lambda: (self._work / log).read_text().splitlines()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the host and the guests share."""
    work = tmp_path_factory.mktemp("work")
    source = Path(__file__).with_name("locker.c")
    command([program("cc", "gcc"), "-O", "-static", "-o", work / "locker", source], timeout=120)
    return work


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    for name, package in TOOLS.items():
        program(name, package)
    with Network() as network:
        network.rpcbind()
        yield network


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Iterator[Server]:
    """On every address of the network."""
    place = tmp_path_factory.mktemp("server")
    lower = place / "lower"
    lower.mkdir()
    for name in ("ranges", "order", "cancelled", "kept", "flock"):
        (lower / name).write_bytes(bytes(1000))
    server = Server(
        Stack.over([lower], place / "stack"),
        place / "log",
        export="/export",
        inside=network.inside,
        address="0.0.0.0",
        arguments=["--rpcbind", "system", "--workers", "2", "--grace", str(GRACE)],
    )
    server.port = 2049
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def machines(server: Server, network: Network, work: Path) -> Iterator[tuple[Machine, Machine]]:
    shares = {"host": Path("/"), "work": work}
    first = Guest(2049, network=network, shares=shares, memory=512)
    second = Guest(2049, network=network, shares=shares, memory=512)
    with first, second:
        pair = Machine(first, work, "alpha"), Machine(second, work, "beta")
        together(*(machine.prepare for machine in pair))
        yield pair


def replace_owner(server: Server) -> None:
    """Kill the process that owns the locks, and wait for another."""
    owner = server.lock_owner
    os.kill(owner, signal.SIGKILL)
    wait_for(lambda: server.lock_owner != owner, "another owner", LIMIT)


def together(*works: Callable[[], object]) -> None:
    """Do these at the same time; the first error of any is raised."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_ranges(machines: tuple[Machine, Machine], work: Path) -> None:
    alpha, beta = machines
    held = alpha.start(
        "ranges",
        "try r 0 100",
        "try w 200 100",
        "hold /share/work/upgrade",
        "try w 0 100",
        "unlock 250 10",
        "hold /share/work/downgrade",
        "try r 0 100",
        "hold /share/work/end",
    )
    wait_for(lambda: held() == ["granted"] * 2, "alpha's locks", LIMIT)
    seen = (
        "test w 0 0",
        "try r 0 100",
        "try w 99 1",
        "try w 100 100",
        "try r 299 1",
        "try w 300 0",
    )
    answers = ["held r 0 100", "granted", "denied", "granted", "denied", "granted"]
    assert beta.lock("ranges", *seen) == answers
    (work / "upgrade").touch()
    wait_for(lambda: held() == ["granted"] * 4, "alpha's upgrade", LIMIT)
    more = ("test r 0 1", "try r 0 1", "try w 250 10", "test w 200 50", "test w 260 5")
    answers = ["held w 0 100", "denied", "granted", "held w 200 50", "held w 260 40"]
    assert beta.lock("ranges", *more) == answers
    (work / "downgrade").touch()
    wait_for(lambda: held() == ["granted"] * 5, "alpha's downgrade", LIMIT)
    assert beta.lock("ranges", "try r 0 1", "try w 0 1") == ["granted", "denied"]
    (work / "end").touch()
    wait_for(lambda: beta.lock("ranges", "try w 0 0") == ["granted"], "its end", LIMIT)


def test_who_waits_is_served_in_order(
    network: Network, server: Server, machines: tuple[Machine, Machine], work: Path
) -> None:
    alpha, beta = machines
    with (
        network.entered(),
        Client(server.port, host=network.ADDRESS) as client,
        LockClient(server, address=network.CLIENT, serves=False, host=network.ADDRESS) as holder,
    ):
        root = client.mount("/export")
        handle = client.nfs("LOOKUP", diropargs3(root, b"order")).resok.object
        assert holder.lock(handle) == NLM4_GRANTED
        second = beta.start("order", "say waits", "wait w 0 0", "hold /share/work/second")
        wait_for(lambda: asleep(beta), "beta at the server", LIMIT)
        third = alpha.start("order", "say waits", "wait w 5 5", "hold /share/work/third")
        wait_for(lambda: asleep(alpha), "alpha at the server", LIMIT)
        assert second() == third() == ["waits"]
        assert holder.unlock(handle) == NLM4_GRANTED
        wait_for(lambda: second() == ["waits", "granted"], "the second's turn", LIMIT)
        assert third() == ["waits"]
        (work / "second").touch()
        wait_for(lambda: third() == ["waits", "granted"], "the third's turn", LIMIT)
        (work / "third").touch()


def asleep(machine: Machine) -> bool:
    """Whether a process of a machine waits for a lock that the server has answered it is to."""
    stacks = machine.run("cat /proc/[0-9]*/stack 2>/dev/null || :")
    return re.search(r"\bnlmclnt_(block|wait)\b", stacks) is not None


def test_who_waits_no_more(machines: tuple[Machine, Machine], work: Path) -> None:
    alpha, beta = machines
    held = alpha.start("cancelled", "wait w 0 0", "hold /share/work/held")
    wait_for(lambda: held() == ["granted"], "a lock", LIMIT)
    beta.start("cancelled", "wait w 0 0", "hold /share/work/never")
    wait_for(lambda: asleep(beta), "beta at the server", LIMIT)
    beta.run("killall -9 locker")
    (work / "held").touch()
    wait_for(lambda: alpha.lock("cancelled", "try w 0 0") == ["granted"], "nobody waits", LIMIT)


def test_flock(machines: tuple[Machine, Machine]) -> None:
    """Which NFS makes a lock on all of the file: each counts up in turn, and no count is lost."""
    count = (
        "cat >/share/host/tmp/count <<'END'\n"
        "cd /mnt/nfs; for i in $(seq 20); do "
        "flock flock -c 'read n <counter; echo $((n + 1)) >counter'; done\nEND\n"
        "chroot /share/host /bin/sh /tmp/count"
    )
    machines[0].run(f"echo 0 >{MOUNT}/counter")
    together(*(lambda machine=machine: machine.run(count) for machine in machines))
    assert machines[0].run(f"cat {MOUNT}/counter") == "40\n"


def test_sqlite(machines: tuple[Machine, Machine]) -> None:
    """Both write to one database; each transaction depends on all before it."""
    create = "CREATE TABLE total (n INTEGER); CREATE TABLE rows (n INTEGER, who TEXT);"
    sqlite = f"chroot /share/host /usr/bin/sqlite3 -cmd '.timeout 600000' {MOUNT[11:]}/database"
    machines[0].run(f"{sqlite} '{create} INSERT INTO total VALUES (0);'")

    def work(machine: Machine) -> None:
        transaction = (
            "BEGIN IMMEDIATE; UPDATE total SET n = n + 1; "
            f"INSERT INTO rows SELECT n, '\\''{machine.name}'\\'' FROM total; COMMIT;"
        )
        machine.run(
            f"for i in $(seq {TRANSACTIONS}); do echo '{transaction}'; done | {sqlite}",
            timeout=900,
        )

    together(*(lambda machine=machine: work(machine) for machine in machines))
    for machine in machines:
        found = machine.run(
            f"{sqlite} 'PRAGMA integrity_check; SELECT n FROM total; "
            "SELECT COUNT(DISTINCT n), MAX(n) FROM rows; "
            "SELECT COUNT(*) FROM rows GROUP BY who;'"
        )
        both = 2 * TRANSACTIONS
        assert found.split() == [
            *("ok", str(both), f"{both}|{both}", str(TRANSACTIONS), str(TRANSACTIONS))
        ]


def test_locks_survive_the_server_and_end_with_their_client(
    server: Server, machines: tuple[Machine, Machine]
) -> None:
    alpha, beta = machines
    held = alpha.start("kept", "wait w 10 10", "hold /share/work/never")
    wait_for(lambda: held() == ["granted"], "a lock", LIMIT)
    for ending in ("server", "owner"):
        if ending == "server":
            server.restart(crash=True)
        else:
            replace_owner(server)
        # It waits for the end of the grace period, within which alpha has the lock again.
        assert beta.lock("kept", "try w 0 10", "try w 10 10") == ["granted", "denied"], ending
    alpha.guest.reboot()
    alpha.prepare()
    wait_for(lambda: beta.lock("kept", "try w 10 10") == ["granted"], "its end", LIMIT)
