"""The command line: what is refused, how it is said, and what is printed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nfsd.commands.options import split_layers
from nfsd.commands.serve import export_path, mount_command
from nfsd.net.listen_address import Address, addresses
from overlay.base.refusal import Refusal
from tests.client import Client
from tests.conformance.server import PROJECT, Server, Stack

pytestmark = [pytest.mark.processes, pytest.mark.once]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nfsd", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("/a", (b"/a",)),
        ("/a:/b:/c", (b"/a", b"/b", b"/c")),
        (r"/a\:b:/c", (b"/a:b", b"/c")),
        (r"/a\\:/c", (b"/a\\", b"/c")),
        (r"/a\\\:b", (b"/a\\:b",)),
        (r"/a\b", (b"/ab",)),
        ("/a::/b", (b"/a", b"", b"/b")),
        ("", (b"",)),
    ],
)
def test_layers_are_split_as_mount_does(text: str, layers: tuple[bytes, ...]) -> None:
    assert split_layers(text) == layers


@pytest.mark.parametrize(
    ("text", "path"),
    [("/", b"/"), ("/debian", b"/debian"), ("/srv//debian/", b"/srv/debian")],
)
def test_export_path(text: str, path: bytes) -> None:
    assert export_path(text) == path


@pytest.mark.parametrize("text", ["", "debian", "/a/../b", "/" + "x" * 2000])
def test_export_path_refused(text: str) -> None:
    with pytest.raises(Refusal, match="--export"):
        export_path(text)


def test_listen_address() -> None:
    assert addresses("127.0.0.1:0") == [Address(socket.AF_INET, ("127.0.0.1", 0))]
    [address] = addresses("[::1]:2049")
    assert (address.family, address.host, address.port) == (socket.AF_INET6, "::1", 2049)


def test_a_star_is_all_addresses() -> None:
    assert [str(each) for each in addresses("*:2049")] == ["0.0.0.0:2049", "[::]:2049"]


@pytest.mark.parametrize("text", ["", "2049", "127.0.0.1", "::1:2049", "127.0.0.1:70000", "a:b"])
def test_listen_address_refused(text: str) -> None:
    with pytest.raises(Refusal, match="listen"):
        addresses(text)


def test_mount_command() -> None:
    assert mount_command(b"/debian", "192.0.2.1", 2049) == (
        "mount -t nfs -o vers=3,proto=tcp,port=2049,mountport=2049,nolock 192.0.2.1:/debian /mnt"
    )
    assert "nolock" not in mount_command(b"/", "192.0.2.1", 2049, locks=True)
    assert "proto=tcp6" in mount_command(b"/", "::1", 2049)
    assert "[::1]:/" in mount_command(b"/", "::1", 2049)
    assert socket.gethostname() in mount_command(b"/", "0.0.0.0", 2049)


def test_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("overlay-nfsd ")


def test_help_names_every_option() -> None:
    text = run("serve", "--help").stdout
    for option in ("--lowerdir", "--upperdir", "--workdir", "--export", "--listen", "--verbose"):
        assert option in text
    assert "--workers" in text
    assert "--cache-size" in text


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    return tmp_path


def options(place: Path, **changed: str | None) -> list[str]:
    words = {
        "lowerdir": str(place / "lower"),
        "upperdir": str(place / "upper"),
        "workdir": str(place / "work"),
        "listen": "127.0.0.1:0",
    }
    given = {**words, **changed}
    return [word for name, value in given.items() if value for word in (f"--{name}", value)]


def refused(*arguments: str) -> str:
    """The one line that a refusal is."""
    done = run("serve", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("overlay-nfsd: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_refusals(layers: Path) -> None:
    assert "/nowhere" in refused(*options(layers, lowerdir="/nowhere"))
    assert "/nowhere" in refused(*options(layers, upperdir="/nowhere"))
    assert "/nowhere" in refused(*options(layers, workdir="/nowhere"))
    assert "file" in refused(*options(layers, lowerdir=str(layers / "file")))
    assert "--workdir" in refused(*options(layers, workdir=None))
    assert "--upperdir" in refused(*options(layers, upperdir=None))
    assert "between colons" in refused(*options(layers, lowerdir=f"{layers}/lower::"))
    assert "--export" in refused(*options(layers, export="debian"))
    assert "listen nonsense: give ADDR:PORT" in refused(*options(layers, listen="nonsense"))
    for number in ("0", "-1", "two", "1000"):
        assert "--workers" in refused(*options(layers), f"--workers={number}")
    for size in ("", "0", "-1M", "much", "63M", "2048G", "256 M", "1.5G", "256MB", "9" * 30):
        assert "--cache-size" in refused(*options(layers), f"--cache-size={size}")


def test_different_filesystems(layers: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == layers.stat().st_dev:
        pytest.skip("no second filesystem here")
    work = shm / f"overlay-nfsd-test-{os.getpid()}"
    work.mkdir()
    try:
        assert "different filesystems" in refused(*options(layers, workdir=str(work)))
    finally:
        work.rmdir()


def test_a_port_that_is_taken(layers: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refused(*options(layers, listen=address))
    assert address in line
    assert "choose another for listen" in line


def test_an_upper_in_use(live: Server, layers: Path) -> None:
    line = refused(*options(layers, upperdir=str(live.stack.upper), workdir=str(live.stack.work)))
    assert "in use" in line


@pytest.mark.parametrize("lacks", [["setuid"], ["chown"], ["dac_read_search", "mknod"]])
def test_a_root_without_some_right_is_refused_by_name(tmp_path: Path, lacks: list[str]) -> None:
    """As in a container, where users would be told that permission is denied."""
    without = ",".join(f"-{each}" for each in lacks)
    stack = Stack.over([tmp_path], tmp_path / "writable")
    inside = ["setpriv", f"--bounding-set={without}", "--"]
    server = Server(stack, tmp_path / "log", inside=inside)
    names = ", ".join(f"CAP_{each.upper()}" for each in lacks)
    with pytest.raises(AssertionError, match=f"status 2:\n.*root here lacks {names}: "):
        server.start()
    assert list((tmp_path / "writable/work").iterdir()) == []


def test_not_root(layers: Path) -> None:
    os.chmod(layers, 0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
         sys.executable, "-m", "nfsd", "serve", *options(layers)],
        cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1


def test_the_banner_and_a_clean_stop(live: Server) -> None:
    port = live.port
    assert f"serving / on 127.0.0.1:{port}" in live.banner
    assert f"mount -t nfs -o vers=3,proto=tcp,port={port},mountport={port},nolock" in live.banner
    for directory in (*live.stack.lowers, live.stack.upper, live.stack.work):
        assert str(directory) in live.banner
    live.stop(signal.SIGINT)
    live.start()
    assert live.port == port


def test_processes_have_names(live: Server) -> None:
    def command_line(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")

    assert command_line(live.pid) == "overlay-nfsd: supervisor"
    numbers = range(1, len(live.workers) + 1)
    expected = {*(f"overlay-nfsd: worker {number}" for number in numbers), "overlay-nfsd: locks"}
    until = time.monotonic() + 60  # a process that was just forked has its parent's for a while
    while {command_line(pid) for pid in live.processes} != expected:
        assert time.monotonic() < until, [command_line(pid) for pid in live.processes]
        time.sleep(0.01)
    names = {Path(f"/proc/{pid}/comm").read_text() for pid in (live.pid, *live.workers)}
    assert names == {"overlay-nfsd\n"}


def test_interrupted_at_the_terminal(live: Server) -> None:
    """All processes get the signal, in any order."""
    processes = live.processes
    for pid in processes:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert live.processes == processes
    live.stop(signal.SIGINT)
    assert "ERROR" not in live.output()
    live.start()


def test_what_the_journal_is_told(layers: Path) -> None:
    """A line, as for anything else: the layers and a mount command are for who sits there."""
    stack = Stack((layers / "lower",), layers / "upper", layers / "work")
    log = layers / "journal"
    with log.open("wb") as output:
        st = os.fstat(output.fileno())
        process = subprocess.Popen(
            [sys.executable, "-m", "nfsd", "serve", *stack.options(), "--listen", "127.0.0.1:0"],
            cwd=PROJECT,
            env={**os.environ, "JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"},
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + 60
        while "serving" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(60)
    lines = log.read_text().splitlines()
    assert any(line.startswith("<6>serving /; exports: 1, workers: ") for line in lines)
    assert all(line.startswith("<") for line in lines)


def test_output_that_nobody_reads(layers: Path) -> None:
    """As of `exports | head`."""
    file = layers / "overlay-nfsd.toml"
    file.write_text(
        f'[[export]]\npath = "/"\nlowerdir = "{layers / "lower"}"\nclients = {{ "*" = "ro" }}\n'
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "nfsd", "exports", "--config", str(file)],
        cwd=PROJECT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_one_worker_for_each_processor(live: Server) -> None:
    assert len(live.workers) == len(os.sched_getaffinity(0))


def test_verbose_traces_calls(layers: Path) -> None:
    stack = Stack((layers / "lower",), layers / "upper", layers / "work")
    server = Server(stack, layers / "log", arguments=["-v"])
    server.start()
    try:
        with Client(server.port) as client:
            client.nfs("GETATTR", client.mount("/"))
        server.stop()
    finally:
        server.kill()
    assert "127.0.0.1 MNT /: OK" in server.output()
    assert "127.0.0.1 GETATTR /: OK" in server.output()
