"""The service under a real systemd, as `make install` leaves it, with clients at work meanwhile."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import (
    NF3CHR,
    NFS3ERR_ROFS,
    MKNOD3args,
    WRITE3args,
    devicedata3,
    mknoddata3,
    specdata3,
)
from tests.busy import busy, go_on
from tests.client import Client, auth_sys
from tests.conformance.container import Container, await_
from tests.conformance.machine import UnavailableError, command, program
from tests.conformance.ports import free_port
from tests.conformance.server import ESTABLISHED, PROJECT
from tests.wire import Wire, sattr

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(1800)]
UNIT = "overlay-nfsd.service"
WATCHDOG = 6  # seconds; a test cannot wait for thirty
CONFIG = """[server]
listen = ["127.0.0.1:{port}"]
workers = 2

[[export]]
path = "/debian"
lowerdir = ["/srv/lower"]
upperdir = "/srv/upper"
workdir = "/srv/work"
clients = {{ "127.0.0.1" = "rw,insecure,no_root_squash,async" }}
"""
SECOND = """
[[export]]
path = "/second"
lowerdir = ["/srv/second"]
clients = { "*" = "ro,insecure" }
"""
MOUNTED = """
[[export]]
path = "/mounted"
lowerdir = ["/srv/second"]
upperdir = "/srv/mounted/upper"
workdir = "/srv/mounted/work"
clients = { "*" = "rw,insecure,no_root_squash" }
"""


class Service:
    """The unit in its container."""

    def __init__(self, container: Container, port: int) -> None:
        self.container = container
        self.port = port
        self.config = CONFIG.format(port=port)
        self.configure(self.config)

    def configure(self, text: str) -> None:
        self.container.write("/etc/overlay-nfsd.toml", text)

    def control(self, verb: str, unit: str = UNIT) -> None:
        self.container.run("systemctl", verb, unit)

    @property
    def main(self) -> str:
        """The number of its main process in there, 0 if there is none."""
        return self.container.property(UNIT, "MainPID")

    @property
    def status(self) -> str:
        return self.container.property(UNIT, "StatusText")

    @property
    def children(self) -> list[str]:
        """The numbers of the other processes in there."""
        children = f"/proc/{self.main}/task/{self.main}/children"
        return self.container.try_("cat", children)[1].split()

    @property
    def worker(self) -> str:
        """One of them that serves clients."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        port = f":{self.port:04X}"
        ours = {
            f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == ESTABLISHED
        }

        def found() -> str:
            for pid in self.children:
                links = self.container.try_("sh", "-c", f"readlink /proc/{pid}/fd/*")[1].split()
                if ours & set(links):
                    return pid
            return ""

        return await_(found, "nobody serves")

    def await_replaced(self, child: str, number: int) -> None:
        """Waits until there are so many again, and this is none of them."""

        def is_replaced() -> bool:
            children = self.children
            return len(children) == number and child not in children

        await_(is_replaced, f"{child} is not replaced")

    def signal(self, name: str, pid: str) -> None:
        self.container.run("kill", f"-{name}", pid)

    def has_logged(self, text: str) -> bool:
        return text in self.container.journal()

    def await_new_main(self, before: str) -> None:
        """Waits until another main process says that it is ready."""
        await_(
            lambda: (
                self.main not in (before, "0")
                and self.container.property(UNIT, "ActiveState") == "active"
            ),
            "it is not started again",
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A booted container with the service installed, and layers below /srv."""
    place = tmp_path_factory.mktemp("container")
    served = place / "srv"
    for name in ("lower", "upper", "work", "second"):
        (served / name).mkdir(parents=True)
    (served / "lower" / "file").write_text("lower\n")
    (served / "second" / "file").write_text("second\n")
    with Container(place, served) as container:
        container.install()
        dropin = "[Service]\n"
        if Path(os.path.realpath(sys.executable)).is_relative_to("/root"):
            dropin += "ProtectHome=no\n"
        container.write(f"/etc/systemd/system/{UNIT}.d/test.conf", dropin)
        container.boot()
        yield container
        container.run("systemctl", "enable", UNIT, UNIT.replace(".service", ".socket"))
        container.run("systemctl", "start", UNIT)
        left = container.uninstall()
        kept = [f"{UNIT}.d", "overlay-nfsd.toml", f"{UNIT}.d/test.conf"]
        assert [each for each in left if not each.endswith(tuple(kept))] == []
        assert (container.root / "var/lib/overlay-nfsd").stat().st_uid == 0


@pytest.fixture
def service(installed: Container) -> Iterator[Service]:
    """The service, started."""
    one = Service(installed, free_port())
    one.control("start")
    yield one
    one.control("stop")
    installed.try_("systemctl", "reset-failed")


def test_started(service: Service) -> None:
    """It is ready when `systemctl start` returns, and says what it does."""
    with busy(service.port, export="/debian"):
        assert service.container.property(UNIT, "ActiveState") == "active"
        status = await_(lambda: re.fullmatch(SERVING, service.status), "no status")
        assert status
    assert len(service.children) >= 2


def test_a_start_without_a_configuration_fails(service: Service) -> None:
    service.control("stop")
    file = "/etc/overlay-nfsd.toml"
    service.container.run("mv", file, f"{file}.away")
    status, _ = service.container.try_("systemctl", "start", UNIT)
    assert status != 0
    assert f"{file}: No such file or directory: write one" in service.container.journal()
    service.container.run("mv", f"{file}.away", file)
    service.container.run("systemctl", "reset-failed", UNIT)
    service.control("start")


def test_an_install_that_fails_leaves_what_is_there(service: Service) -> None:
    """There is no network: what is installed is so still, and nothing lies beside it."""
    with pytest.raises(UnavailableError, match="nothing was changed"):
        service.container.install("PIP_NO_INDEX=1")
    assert "overlay-nfsd" in service.container.run("overlay-nfsd", "--version")
    lib = service.container.root / "usr/lib"
    assert [path.name for path in lib.glob("overlay-nfsd*")] == ["overlay-nfsd"]
    service.control("restart")


def test_a_python_that_the_service_cannot_run_is_refused(tmp_path: Path) -> None:
    home = Path(os.path.realpath(sys.executable))
    if not home.is_relative_to("/root"):
        pytest.skip("this Python is at no such place")
    words = ["make", "install", f"DESTDIR={tmp_path}", f"PYTHON={home}"]
    with pytest.raises(UnavailableError, match="PYTHON=/usr/bin/python3"):
        command(words, timeout=180, cwd=PROJECT)
    assert list(tmp_path.iterdir()) == []


SERVING = r"serving /debian; exports: 1, workers: 2, connections: \d+"


def test_what_it_is_allowed_is_enough(service: Service) -> None:
    """All that clients do is done by a process that is not root and has no more than it needs."""
    user = service.container.run("ps", "-o", "user=", "-p", service.main).strip()
    assert user.startswith("overlay")
    wire = Wire(service.port, "/debian")
    wire.write(wire.lookup("file"), b"copied up")
    made = wire.create("made", b"data", mode=0o6755)
    assert stat.S_IMODE(wire.attributes(made).mode) == 0o6755
    device = devicedata3(sattr(0o600), specdata3(1, 3))
    wire.call("MKNOD", MKNOD3args(wire.parent("null"), mknoddata3(NF3CHR, device)))
    assert wire.attributes(wire.lookup("null")).rdev == specdata3(1, 3)
    wire.setattr(wire.lookup("null"), mode=0o644)
    wire.remove("file")
    wire.mkdir("open", mode=0o777)
    wire.client.cred = auth_sys(1234, 1234)
    mine = wire.create("open/mine")
    assert (wire.attributes(mine).uid, wire.attributes(mine).gid) == (1234, 1234)
    wire.client.cred = auth_sys()
    for name in ("made", "null", "open/mine"):
        wire.remove(name)
    wire.rmdir("open")
    wire.close()


def test_the_main_process_is_killed(service: Service) -> None:
    """...by kill -9: systemd starts it again, and clients see a pause."""
    with busy(service.port, export="/debian", may_reconnect=True) as clients:
        before = service.main
        service.signal("KILL", before)
        service.await_new_main(before)
        go_on(clients)
    assert all(client.client.reconnections for client in clients)


def test_a_worker_is_killed(service: Service) -> None:
    with busy(service.port, export="/debian", may_reconnect=True) as clients:
        main, number, worker = service.main, len(service.children), service.worker
        service.signal("KILL", worker)
        service.await_replaced(worker, number)
        go_on(clients)
        assert service.main == main
    assert sum(client.client.reconnections > 0 for client in clients) <= len(clients) / 2


@pytest.fixture
def watched(service: Service) -> Iterator[Service]:
    """The service with a watchdog that a test can wait for."""
    file = f"/etc/systemd/system/{UNIT}.d/watchdog.conf"
    service.container.write(file, f"[Service]\nWatchdogSec={WATCHDOG}\n")
    service.container.run("systemctl", "daemon-reload")
    service.control("restart")
    yield service
    service.container.run("rm", file)
    service.container.run("systemctl", "daemon-reload")


def test_the_watchdog_ends_a_main_process_that_is_stopped(watched: Service) -> None:
    service = watched
    with busy(service.port, export="/debian", may_reconnect=True) as clients:
        before = service.main
        service.signal("STOP", before)
        service.await_new_main(before)
        go_on(clients)
    assert "Watchdog timeout" in service.container.journal()


def test_a_worker_that_is_stopped_is_replaced(watched: Service) -> None:
    service = watched
    with busy(service.port, export="/debian", may_reconnect=True) as clients:
        main, number, worker = service.main, len(service.children), service.worker
        service.signal("STOP", worker)
        service.await_replaced(worker, number)
        go_on(clients)
        assert service.main == main
    assert f"worker {worker} has not answered" in service.container.journal()


def test_reload(service: Service) -> None:
    """What cannot be served is refused by systemctl, with the reason; what can takes effect."""
    here = f"127.0.0.1:{service.port}"
    missing = SECOND.replace("/srv/second", "/srv/nowhere")
    with busy(service.port, export="/debian") as clients:
        main = service.main
        for text, reason in (
            (service.config + "colour = 1\n", "/etc/overlay-nfsd.toml:11: colour: no such setting"),
            (service.config + missing, "export /second: lower layer"),
            (service.config.replace(here, "192.0.2.1:2049"), "cannot listen on 192.0.2.1:2049"),
            (service.config.replace("workers", f'metrics = "{here}"\nworkers'), "are one port"),
        ):
            service.configure(text)
            code, said = service.container.try_("systemctl", "reload", UNIT)
            assert code != 0, said
            assert service.status.startswith("reload refused: ")
            assert reason in service.status
            await_(partial(service.has_logged, reason), "the journal does not say why")
            go_on(clients)
        service.configure(service.config + SECOND)
        service.control("reload")
        assert service.status.startswith("serving /debian, /second")
        second = Wire(service.port, "/second")
        handle = second.lookup("file")
        assert second.read(handle) == b"second\n"
        assert second.status("WRITE", WRITE3args(handle, 0, 1, 2, b"x")) == NFS3ERR_ROFS
        second.close()
        service.configure(service.config)
        service.signal("HUP", main)
        await_(lambda: service.status.startswith("serving /debian;"), "no word")
        go_on(clients)
        assert service.main == main
    assert [client.client.reconnections for client in clients] == [0] * len(clients)


def test_layers_that_are_mounted_while_it_runs(service: Service) -> None:
    """A reload serves them, for all that the service has mounts of its own, and lets them go."""
    run = service.container.run
    run("mkdir", "-p", "/srv/mounted")
    run("mount", "-t", "tmpfs", "tmpfs", "/srv/mounted")
    run("mkdir", "/srv/mounted/upper", "/srv/mounted/work")
    service.configure(service.config + MOUNTED)
    service.control("reload")
    await_(lambda: service.status.startswith("serving /debian, /mounted"), "no word")
    wire = Wire(service.port, "/mounted")
    wire.create("made", b"data")
    assert sorted(wire.names(wire.root)) == [b"file", b"made"]
    wire.close()
    service.configure(service.config)
    service.control("reload")
    await_(lambda: service.status.startswith("serving /debian;"), "no word")
    unmount = ("umount", "/srv/mounted")
    await_(lambda: service.container.try_(*unmount)[0] == 0, "a worker that has left holds it")


def test_what_it_may_not_write_it_says(service: Service) -> None:
    """Layers elsewhere than below /srv need a line in a drop-in, which is what is said."""
    service.configure(service.config.replace("/srv/", "/data/"))
    assert service.container.try_("systemctl", "restart", UNIT)[0] != 0
    reason = "the parent of upperdir and workdir with ReadWritePaths="
    await_(lambda: reason in service.container.journal(), "it is not said")
    file = f"/etc/systemd/system/{UNIT}.d/layers.conf"
    example = (PROJECT / "packaging" / "overlay-nfsd.layers.conf").read_text()
    service.container.write(file, example.replace("/data/overlay", "/data"))
    service.container.run("systemctl", "daemon-reload")
    try:
        service.container.try_("systemctl", "restart", UNIT)
        wire = Wire(service.port, "/debian")
        wire.create("elsewhere", b"data")
        wire.close()
    finally:
        service.container.run("rm", file)
        service.container.run("systemctl", "daemon-reload")


@contextmanager
def socket_unit(service: Service, *ports: int) -> Iterator[str]:
    """The socket unit, on other ports."""
    lines = ["[Socket]", "ListenStream=", *(f"ListenStream=127.0.0.1:{port}" for port in ports)]
    unit = "overlay-nfsd.socket"
    service.container.write(f"/etc/systemd/system/{unit}.d/test.conf", "\n".join([*lines, ""]))
    service.container.run("systemctl", "daemon-reload")
    try:
        yield unit
    finally:
        service.container.run("systemctl", "stop", unit, UNIT)
        service.container.run("rm", "-r", f"/etc/systemd/system/{unit}.d")
        service.container.run("systemctl", "daemon-reload")


def test_the_first_connection_starts_it(service: Service) -> None:
    """...on either of two sockets; and over a restart the clients are not even refused."""
    service.control("stop")
    ports = free_port(), free_port()
    with socket_unit(service, *ports) as unit:
        service.control("start", unit)
        assert service.container.property(UNIT, "ActiveState") == "inactive"
        with busy(ports[1], export="/debian", may_reconnect=True) as clients:
            assert service.container.property(UNIT, "ActiveState") == "active"
            Client(ports[0]).close()
            with pytest.raises(ConnectionRefusedError):
                Client(service.port)  # what the file says
            before = service.main
            service.control("restart")
            assert service.main != before
            go_on(clients)
            service.signal("KILL", service.main)
            go_on(clients)
        assert max(client.client.refused for client in clients) == 0
        code, said = service.container.try_("systemctl", "reload", UNIT)
        assert code == 0, said


@pytest.fixture
def unit_files(tmp_path: Path) -> Path:
    """What `make install` makes of the units, with a command that is there."""
    for kind in ("service", "socket"):
        text = (PROJECT / "packaging" / f"overlay-nfsd.{kind}").read_text()
        text = re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE)  # pages are not here
        (tmp_path / f"overlay-nfsd.{kind}").write_text(
            text.replace("/usr/bin/overlay-nfsd", "/bin/true")
        )
    return tmp_path


def analyze(*words: str | Path) -> str:
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "--no-pager", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_units_are_in_order(unit_files: Path) -> None:
    said = analyze("verify", *sorted(unit_files.glob("overlay-nfsd.s*")))
    assert "overlay-nfsd" not in said


def test_exposure(unit_files: Path) -> None:
    said = analyze("security", "--offline=yes", unit_files / UNIT)
    found = re.search(r"Overall exposure level for overlay-nfsd.service: ([\d.]+)", said)
    assert found is not None, said
    assert float(found[1]) < 3.0
