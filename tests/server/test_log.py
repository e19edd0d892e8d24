"""What is logged, in which form, and how often at most."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nfsd.base.log import ForJournal, Limit, Once, brief, shown
from nfsd.xdr.generated.nfs3 import (
    NFS3ERR_NOENT,
    NFS3ERR_STALE,
    NFS_PROGRAM,
    UNCHECKED,
    CREATE3args,
    READ3args,
    createhow3,
    diropargs3,
)
from tests.client import NFS, Client, MountError, RpcError
from tests.conformance.server import PROJECT, Server, Stack
from tests.conftest import Serve
from tests.wire import sattr

pytestmark = pytest.mark.once


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def record(level: int, text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("overlay-nfsd", level, "file", 1, text, arguments, None)


def test_a_cause_comes_up_once_in_ten_minutes() -> None:
    clock = Clock()
    once = Once(clock)
    assert once.first("cause", "client")
    clock.now += 599
    assert not once.first("cause", "client")
    assert once.first("another", "client")
    clock.now += 2
    assert once.first("cause", "client")
    assert not once.first("cause", "client")


def test_who_thinks_of_ever_new_causes_has_few_of_them_logged() -> None:
    """Of each kind so many for each client, and so many altogether; others have theirs."""
    clock = Clock()
    once = Once(clock)
    assert sum(once.first("mounted", "192.0.2.1", number) for number in range(3000)) == 8
    assert once.first("mounted", "192.0.2.2", 0)
    assert once.first("refused", "192.0.2.1", 0)
    assert sum(once.first("mounted", f"2001:db8::{number:x}") for number in range(3000)) == 247
    assert once.omitted() == 2992 + 3000 - 247
    assert once.omitted() == 0
    clock.now += 600
    assert once.first("mounted", "192.0.2.1", 3000)


def test_lines_are_limited_and_what_was_left_out_is_said() -> None:
    clock = Clock()
    once = Once(clock)
    limit = Limit(clock, once)
    passed = [limit.filter(record(logging.WARNING, "line")) for _ in range(1000)]
    assert passed == [True] * 200 + [False] * 800
    assert limit.filter(record(logging.DEBUG, "a call"))
    assert sum(once.first("mounted", "192.0.2.1", number) for number in range(108)) == 8
    clock.now += 1
    after = record(logging.WARNING, "line %d", 7)
    assert limit.filter(after)
    assert after.getMessage() == "line 7 (900 lines before this were left out)"
    again = record(logging.WARNING, "line %d", 8)
    assert limit.filter(again)
    assert again.getMessage() == "line 8"
    assert not limit.filter(record(logging.WARNING, "line"))


def test_what_clients_cause_does_not_crowd_out_errors() -> None:
    """What is critical is always said, and errors have an allowance of their own."""
    limit = Limit(Clock(), Once())
    for _ in range(1000):
        limit.filter(record(logging.WARNING, "what anybody can cause"))
    errors = [limit.filter(record(logging.ERROR, "an error")) for _ in range(1000)]
    assert errors == [True] * 200 + [False] * 800
    assert all(limit.filter(record(logging.CRITICAL, "a worker failed")) for _ in range(1000))


def test_a_long_name_is_cut() -> None:
    assert brief(b"x" * 128) == "x" * 128
    assert brief(b"\n" * 1000) == "\\n" * 128 + "..."


def test_a_stranger_cannot_fill_the_log(tmp_path: Path, lower: Path) -> None:
    """Ever new paths, of the greatest length, that cannot be mounted."""
    config = tmp_path / "config.toml"
    config.write_text(
        f'[[export]]\npath = "/a"\nlowerdir = "{lower}"\nclients = {{ "127.0.0.1" = "ro" }}\n'
    )
    server = Server(None, tmp_path / "log", arguments=["--config", str(config), "--workers", "1"])
    server.start()
    try:
        before = len(server.output())
        source = ("127.0.0.9", 0)
        for number in range(30):
            with Client(server.port, source=source) as client:
                for which in range(10):
                    path = b"/a/%08d%d" % (number, which)
                    client.mountd("MNT", path + b"\x01" * (1024 - len(path)))
                    client.mountd("UMNT", path + b"\x01" * (1024 - len(path)))
        with Client(server.port) as client, pytest.raises(RpcError):
            client.call(NFS_PROGRAM, 2, NFS["NULL"], None)
        server.stop()
        said = server.output()[before:]
        assert len(said) < 16_000, said
        assert "127.0.0.9 /a/000000000" in said
        assert "127.0.0.1: a call is refused: program 100003 version 2" in said
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("level", "priority"),
    [("DEBUG", 7), ("INFO", 6), ("WARNING", 4), ("ERROR", 3), ("CRITICAL", 2)],
)
def test_the_journals_priorities(level: str, priority: int) -> None:
    of = record(logging.getLevelNamesMapping()[level], "one\ntwo %s", "three")
    assert ForJournal("%(message)s").format(of) == f"<{priority}>one\n<{priority}>two three"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"/srv/debian", "/srv/debian"),
        ("/größe".encode(), "/größe"),
        (b"a\nb\x1b[31m", r"a\nb\x1b[31m"),
        (b"\xff", r"\xff"),
        ("\u2028".encode(), r"\u2028"),
    ],
)
def test_a_name_cannot_look_like_two_lines(name: bytes, text: str) -> None:
    assert shown(name) == text


def failing_server(journal: Callable[[int], str]) -> str:
    """What a server says that cannot serve, its standard error being a pipe."""
    read, write = os.pipe()
    code = (
        "import nfsd.base.log as log; log.start_logging(verbose=False); log.LOGGER.error('a\\nb')"
    )
    try:
        environment = {**os.environ, "JOURNAL_STREAM": journal(write)}
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            stderr=write,
            env=environment,
            timeout=180,
            check=True,
        )
        return os.read(read, 10_000).decode()
    finally:
        os.close(read)
        os.close(write)


def test_for_the_journal_only_if_it_is_the_journal() -> None:
    def itself(fd: int) -> str:
        return f"{os.fstat(fd).st_dev}:{os.fstat(fd).st_ino}"

    assert failing_server(itself) == "<3>a\n<3>b\n"
    for other in (lambda fd: "", lambda fd: "1:1", lambda fd: itself(fd) + "0"):
        said = failing_server(other)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ overlay-nfsd\[\d+\]: ERROR: a\nb\n", said)


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    path = tmp_path / "lower"
    (path / "d" / "sub").mkdir(parents=True)
    (path / "d" / "sub" / "f").write_bytes(b"f")
    return path


def test_events_name_the_client_and_the_export(serve: Serve, lower: Path) -> None:
    server = serve([lower], export="/debian", arguments=["--workers", "1"])
    with Client(server.port) as client:
        for _ in range(3):
            root = client.mount("/debian")
            with pytest.raises(MountError):
                client.mount("/other\nforged")
        how = createhow3(UNCHECKED, sattr(mode=0o644))
        made = client.nfs("CREATE", CREATE3args(diropargs3(root, b"x"), how)).resok.obj
        client.nfs("REMOVE", diropargs3(root, b"x"))
        for _ in range(3):
            assert client.nfs("GETATTR", made).status == NFS3ERR_STALE
        client.mountd("UMNT", b"/debian")
    server.stop()
    said = server.output()
    for line in (
        "INFO: 127.0.0.1 /debian: mounted\n",
        r"WARNING: 127.0.0.1 /other\nforged: mount refused: No such file or directory" + "\n",
        "INFO: 127.0.0.1 /debian: a stale file handle: removed\n",
        "INFO: 127.0.0.1 /debian: unmounted\n",
    ):
        assert said.count(line) == 1, said


def test_the_trace_shows_handles_as_paths(serve: Serve, lower: Path) -> None:
    server = serve([lower], export="/debian", arguments=["--workers", "1", "-v"])
    with Client(server.port) as client:
        root = client.mount("/debian")
        d = client.nfs("LOOKUP", diropargs3(root, b"d")).resok.object
        sub = client.nfs("LOOKUP", diropargs3(d, b"sub")).resok.object
        file = client.nfs("LOOKUP", diropargs3(sub, b"f")).resok.object
        client.nfs("READ", READ3args(file, 0, 10))
        client.nfs("LOOKUP", diropargs3(d, b"none\n"))
        how = createhow3(UNCHECKED, sattr(mode=0o644))
        made = client.nfs("CREATE", CREATE3args(diropargs3(sub, b"new"), how)).resok.obj
        client.nfs("GETATTR", made)
        client.nfs("GETATTR", b"nonsense")
        for _ in range(2):
            client.nfs("GETATTR", root)
    server.stop()
    said = server.output()
    for line in (
        r"127.0.0.1 MNT /debian: OK, \d+ bytes in \d+ us",
        r"127.0.0.1 LOOKUP /debian/d: OK",
        r"127.0.0.1 LOOKUP /debian/d/sub: OK",
        r"127.0.0.1 READ /debian/d/sub/f offset 0 count 10: OK",
        r"127.0.0.1 LOOKUP /debian/d/none\\n: NOENT",
        r"127.0.0.1 CREATE /debian/d/sub/new: OK",
        r"127.0.0.1 GETATTR /debian/d/sub/new: OK",
        r"127.0.0.1 GETATTR \(no handle of ours\): BADHANDLE",
        r"127.0.0.1 GETATTR /debian: OK",
    ):
        assert re.search(line, said), f"{line} not in\n{said}"
    assert len(re.findall(r"127.0.0.1 GETATTR /debian: OK", said)) == 2


def test_a_client_that_is_not_let_in(tmp_path: Path, lower: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[[export]]\npath = "/a"\nlowerdir = "{lower}"\nclients = {{ "192.0.2.1" = "ro" }}\n'
    )
    server = Server(None, tmp_path / "log", arguments=["--config", str(config)])
    server.start()
    try:
        with Client(server.port) as client, pytest.raises(MountError):
            client.mount("/a")
        server.stop()
        assert "WARNING: 127.0.0.1 /a: mount refused: Permission denied\n" in server.output()
    finally:
        server.kill()


def test_a_read_only_export_has_paths_too(serve: Serve, lower: Path) -> None:
    server = serve(stack=Stack((lower,)), arguments=["--workers", "1", "-v"])
    with Client(server.port) as client:
        d = client.nfs("LOOKUP", diropargs3(client.mount(), b"d")).resok.object
        client.nfs("GETATTR", d)
    server.stop()
    assert "GETATTR /d: OK" in server.output()


def test_a_clients_own_layer_has_paths_too(tmp_path: Path, lower: Path) -> None:
    (tmp_path / "clients").mkdir()
    own = f"{tmp_path}/clients/{{client}}"
    config = tmp_path / "config.toml"
    config.write_text(
        f'[[export]]\npath = "/debian"\nlowerdir = "{lower}"\nupperdir = "{own}/upper"\n'
        f'workdir = "{own}/work"\nclients = {{ "*" = "rw,insecure,no_root_squash" }}\n'
    )
    server = Server(None, tmp_path / "log", arguments=["--config", str(config), "-v"])
    server.start()
    try:
        with Client(server.port) as client:
            root = client.mount("/debian")
            d = client.nfs("LOOKUP", diropargs3(root, b"d")).resok.object
            client.nfs("GETATTR", d)
            assert client.nfs("REMOVE", diropargs3(d, b"none")).status == NFS3ERR_NOENT
            how = createhow3(UNCHECKED, sattr(mode=0o644))
            made = client.nfs("CREATE", CREATE3args(diropargs3(d, b"x"), how)).resok.obj
            client.nfs("REMOVE", diropargs3(d, b"x"))
            assert client.nfs("GETATTR", made).status == NFS3ERR_STALE
        server.stop()
        said = server.output()
    finally:
        server.kill()
    assert "GETATTR /debian/d: OK" in said
    assert "REMOVE /debian/d/none: NOENT" in said
    assert "INFO: 127.0.0.1 /debian: a stale file handle: removed" in said
