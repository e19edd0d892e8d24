"""Every option and client pattern of an export, tried by the clients that it is about.

Clients are told apart by their loopback addresses, 127.0.0.1 and others, and by their ports.
"""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nfsd.xdr.generated.mount import MNT3_OK, MNT3ERR_ACCES
from nfsd.xdr.generated.nfs3 import (
    ACCESS3_EXTEND,
    ACCESS3_MODIFY,
    ACCESS3_READ,
    NFS3_OK,
    NFS3ERR_ACCES,
    NFS3ERR_BADHANDLE,
    NFS3ERR_NOENT,
    NFS3ERR_ROFS,
    NFS3ERR_STALE,
    ACCESS3args,
    COMMIT3args,
    READ3args,
    READDIRPLUS3args,
    SETATTR3args,
    SYMLINK3args,
    WRITE3args,
    diropargs3,
    symlinkdata3,
)
from tests.client import Client, auth_sys
from tests.conformance.server import PROJECT, Server
from tests.wire import sattr

pytestmark = pytest.mark.conformance

NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two overlays, the lower layer of each with a file for everybody and one for root alone."""
    for name in ("one", "two"):
        for layer in ("lower", "upper", "work"):
            (tmp_path / name / layer).mkdir(parents=True)
        lower = tmp_path / name / "lower"
        (lower / "file").write_text(f"in {name}")
        (lower / "file").chmod(0o666)
        (lower / "roots").write_text("secret")
        (lower / "roots").chmod(0o600)
        lower.chmod(0o777)
        (tmp_path / name / "upper").chmod(0o777)
    return tmp_path


class Exporting:
    """Starts a server with these clients, and connects from chosen addresses and ports."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._server: Server | None = None
        self._open: list[Client] = []

    def serve(
        self,
        *clients: str,
        paths: tuple[str, ...] = ("/one", "/two"),
        arguments: Sequence[str] = (),
    ) -> Server:
        """Export the overlays under these paths, each to the clients given for it."""
        tables = [
            f"""
[[export]]
path = "{path}"
lowerdir = "{self._place / name / "lower"}"
upperdir = "{self._place / name / "upper"}"
workdir = "{self._place / name / "work"}"
clients = {{ {who} }}
"""
            for path, name, who in zip(paths, ("one", "two"), clients, strict=False)
        ]
        file = self._place / "overlay-nfsd.toml"
        settings = '[server]\nworkers = 2\nlisten = ["127.0.0.1:0"]\n'
        file.write_text(settings + "".join(tables))
        words = ["--config", str(file), *arguments]
        self._server = Server(None, self._place / "log", arguments=words)
        self._server.start()
        return self._server

    def client(
        self, address: str = "127.0.0.1", *, uid: int = 0, privileged: bool = True
    ) -> Client:
        assert self._server is not None
        for port in range(700, 1000) if privileged else (0,):
            try:
                client = Client(
                    self._server.port,
                    cred=auth_sys(uid, uid),
                    source=(address, port),
                )
            except OSError as problem:
                if problem.errno != errno.EADDRINUSE:
                    raise
            else:
                self._open.append(client)
                return client
        raise AssertionError("no privileged port is free")

    def close(self) -> None:
        for client in self._open:
            client.close()
        if self._server is not None:
            self._server.stop()


@pytest.fixture
def exporting(place: Path) -> Iterator[Exporting]:
    exporting = Exporting(place)
    yield exporting
    exporting.close()


def lookup(client: Client, root: bytes, name: bytes) -> bytes:
    found = client.nfs("LOOKUP", diropargs3(root, name))
    assert found.status == NFS3_OK
    return bytes(found.resok.object)


def mount_status(client: Client, path: str) -> int:
    return int(client.mountd("MNT", path.encode()).fhs_status)


def write_status(client: Client, handle: bytes) -> int:
    return int(client.nfs("WRITE", WRITE3args(handle, 0, 1, 2, b"x")).status)


@pytest.mark.parametrize(
    ("pattern", "let_in", "denied"),
    [
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.1", "127.0.0.3"]),
        ("127.0.0.0/30", ["127.0.0.2"], ["127.0.0.5"]),
        ("127.0.1.0/255.255.255.0", ["127.0.1.9"], ["127.0.0.1"]),
        ("localhost", ["127.0.0.1"], ["127.0.0.2"]),
        ("local*", ["127.0.0.1"], ["127.0.0.2"]),
        ("@nobodys", [], ["127.0.0.1"]),
        ("*", ["127.0.0.1", "127.9.9.9"], []),
    ],
)
def test_patterns(exporting: Exporting, pattern: str, let_in: list[str], denied: list[str]) -> None:
    exporting.serve(f'"{pattern}" = "rw,no_root_squash", "127.0.0.77" = "rw"')
    root = exporting.client("127.0.0.77").mount("/one")
    for address in let_in:
        client = exporting.client(address)
        assert mount_status(client, "/one") == MNT3_OK, address
        assert client.nfs("GETATTR", root).status == NFS3_OK
    for address in denied:
        client = exporting.client(address)
        assert mount_status(client, "/one") == MNT3ERR_ACCES, address
        # Nor with a handle that another client was given.
        assert client.nfs("GETATTR", root).status == NFS3ERR_ACCES
        reply = client.nfs("READ", READ3args(root, 0, 1))
        assert (reply.status, reply.resfail) == (NFS3ERR_ACCES, None)


@pytest.mark.parametrize(
    ("pattern", "status"),
    [("::1", MNT3_OK), ("::/64", MNT3_OK), ("2001:db8::/32", MNT3ERR_ACCES), ("*", MNT3_OK)],
)
def test_patterns_of_ipv6(exporting: Exporting, pattern: str, status: int) -> None:
    arguments = ["--listen", "[::1]:0"]
    server = exporting.serve(f'"{pattern}" = "rw,insecure"', arguments=arguments)
    found = re.search(r"\[::1\]:(\d+)", server.banner)
    assert found is not None
    with Client(int(found[1]), host="::1") as client:
        assert mount_status(client, "/one") == status


def test_the_most_specific_pattern_decides(exporting: Exporting) -> None:
    exporting.serve('"*" = "ro", "127.0.0.0/24" = "rw", "127.0.0.9" = "ro"')
    for address, status in (
        ("127.0.0.1", NFS3_OK),
        ("127.0.0.9", NFS3ERR_ROFS),
        ("127.0.1.1", NFS3ERR_ROFS),
    ):
        client = exporting.client(address)
        file = lookup(client, client.mount("/one"), b"file")
        assert write_status(client, file) == status, address


def test_ro(exporting: Exporting, place: Path) -> None:
    exporting.serve('"127.0.0.1" = "ro", "127.0.0.2" = "rw"')
    client = exporting.client()
    root = client.mount("/one")
    file = lookup(client, root, b"file")
    for name, arguments in (
        ("WRITE", WRITE3args(file, 0, 1, 2, b"x")),
        ("SETATTR", SETATTR3args(file, sattr(0o777), None)),
        ("REMOVE", diropargs3(root, b"file")),
        ("COMMIT", COMMIT3args(file, 0, 0)),
    ):
        assert client.nfs(name, arguments).status == NFS3ERR_ROFS, name
    wanted = ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND
    assert client.nfs("ACCESS", ACCESS3args(file, wanted)).resok.access == ACCESS3_READ
    other = exporting.client("127.0.0.2")
    assert other.nfs("ACCESS", ACCESS3args(file, wanted)).resok.access == wanted
    assert not list((place / "one" / "upper").iterdir())


def test_rw(exporting: Exporting, place: Path) -> None:
    exporting.serve('"127.0.0.1" = "rw"')
    client = exporting.client()
    file = lookup(client, client.mount("/one"), b"file")
    assert write_status(client, file) == NFS3_OK
    assert (place / "one" / "upper" / "file").read_text() == "xn one"


@pytest.mark.parametrize(
    ("options", "uid", "owner", "reads"),
    [
        ("rw", 0, NOBODY, False),
        ("rw,root_squash,anonuid=70,anongid=71", 0, 70, False),
        ("rw,no_root_squash", 0, 0, True),
        ("rw", 1000, 1000, False),
        ("rw,all_squash", 1000, NOBODY, False),
        ("rw,all_squash,anonuid=0,anongid=0", 1000, 0, True),
        ("rw,all_squash,no_all_squash", 1000, 1000, False),
    ],
)
def test_squashing(
    exporting: Exporting, place: Path, options: str, uid: int, owner: int, reads: bool
) -> None:
    exporting.serve(f'"*" = "{options}"')
    client = exporting.client(uid=uid)
    root = client.mount("/one")
    made = client.nfs("SYMLINK", _symlink(root, b"new"))
    assert made.status == NFS3_OK
    assert (place / "one" / "upper" / "new").lstat().st_uid == owner
    roots = lookup(client, root, b"roots")
    status = client.nfs("READ", READ3args(roots, 0, 10)).status
    assert status == (NFS3_OK if reads else NFS3ERR_ACCES)


def _symlink(root: bytes, name: bytes) -> SYMLINK3args:
    return SYMLINK3args(diropargs3(root, name), symlinkdata3(sattr(), b"target"))


def test_answers_are_not_mixed_up_between_clients(exporting: Exporting) -> None:
    """The same question by the same user, from machines with other rights."""
    exporting.serve('"127.0.0.1" = "rw,no_root_squash", "127.0.0.2" = "rw"')
    trusted, other = exporting.client(), exporting.client("127.0.0.2")
    roots = lookup(trusted, trusted.mount("/one"), b"roots")
    for _ in range(3):
        for client, rights in ((trusted, ACCESS3_READ), (other, 0)):
            assert client.nfs("ACCESS", ACCESS3args(roots, ACCESS3_READ)).resok.access == rights


def test_secure_and_insecure(exporting: Exporting) -> None:
    exporting.serve('"127.0.0.1" = "rw"', '"127.0.0.1" = "rw,insecure"')
    secure, insecure = exporting.client(), exporting.client(privileged=False)
    root = secure.mount("/one")
    assert mount_status(insecure, "/one") == MNT3ERR_ACCES
    assert insecure.nfs("GETATTR", root).status == NFS3ERR_ACCES
    assert secure.nfs("GETATTR", root).status == NFS3_OK
    assert insecure.nfs("GETATTR", insecure.mount("/two")).status == NFS3_OK


def test_several_exports_and_nested_paths(exporting: Exporting) -> None:
    """The longest path decides; a handle of one export is none of another server's."""
    exporting.serve('"*" = "rw"', '"127.0.0.2" = "rw"', paths=("/", "/two/deep"))
    client, other = exporting.client(), exporting.client("127.0.0.2")
    first = client.mount("/")
    assert mount_status(client, "/two/deep") == MNT3ERR_ACCES
    second = other.mount("/two/deep")
    assert client.nfs("READ", READ3args(lookup(client, first, b"file"), 0, 99)).resok.data == (
        b"in one"
    )
    assert other.nfs("READ", READ3args(lookup(other, second, b"file"), 0, 99)).resok.data == (
        b"in two"
    )
    assert client.nfs("GETATTR", second).status == NFS3ERR_ACCES
    forged = second[:4] + bytes(4) + second[8:]
    assert other.nfs("GETATTR", forged).status == NFS3ERR_BADHANDLE
    listed = {
        bytes(node.ex_dir): [bytes(group) for group in node.ex_groups]
        for node in client.mountd("EXPORT", None)
    }
    assert listed == {b"/": [b"*"], b"/two/deep": [b"127.0.0.2"]}


def names_in(client: Client, directory: bytes) -> dict[bytes, bool]:
    """The names in a directory, and whether attributes and a handle come with them."""
    listed = client.nfs("READDIRPLUS", READDIRPLUS3args(directory, 0, bytes(8), 4096, 8192))
    assert (listed.status, listed.resok.reply.eof) == (NFS3_OK, True)
    return {
        bytes(entry.name): entry.name_handle is not None for entry in listed.resok.reply.entries
    }


def test_the_directories_above_the_exports(exporting: Exporting) -> None:
    """Where no export is called `/`, it leads to those that the client is let into."""
    exporting.serve(
        '"127.0.0.1" = "rw", "127.0.0.2" = "ro"',
        '"127.0.0.1" = "ro"',
        paths=("/srv/one", "/srv/deep/two"),
    )
    client, second, denied = (exporting.client(f"127.0.0.{number}") for number in (1, 2, 3))
    root = client.mount("/")
    srv = lookup(client, root, b"srv")
    assert srv == client.mount("/srv")
    # What lies in another filesystem is asked for by LOOKUP.
    assert names_in(client, srv) == {b".": True, b"..": True, b"deep": True, b"one": False}
    assert names_in(second, second.mount("/srv")) == {b".": True, b"..": True, b"one": False}
    # Across the border another filesystem begins, which is the export.
    one = lookup(client, srv, b"one")
    assert one == client.mount("/srv/one")
    assert lookup(client, lookup(client, srv, b"deep"), b"two") == client.mount("/srv/deep/two")
    fsids = {client.nfs("GETATTR", each).resok.fsid for each in (root, srv, one)}
    assert len(fsids) == 2
    assert lookup(client, srv, b"..") == root
    assert lookup(client, root, b"..") == root
    # It cannot be changed, and shows nobody what he is not let into.
    made = client.nfs("SYMLINK", _symlink(srv, b"new"))
    assert made.status == NFS3ERR_ROFS
    assert client.nfs("LOOKUP", diropargs3(srv, b"none")).status == NFS3ERR_NOENT
    assert mount_status(denied, "/") == MNT3ERR_ACCES
    assert mount_status(second, "/srv/deep") == MNT3ERR_ACCES
    assert second.nfs("GETATTR", client.mount("/srv/deep")).status == NFS3ERR_STALE
    for handle in (root[:-1], root + b"x", bytes(len(root))):
        assert client.nfs("GETATTR", handle).status in (NFS3ERR_STALE, NFS3ERR_BADHANDLE)
    for name, arguments in (
        ("FSSTAT", root),
        ("FSINFO", root),
        ("PATHCONF", root),
        ("ACCESS", ACCESS3args(root, ACCESS3_READ | ACCESS3_MODIFY)),
    ):
        assert client.nfs(name, arguments).status == NFS3_OK, name
    wanted = ACCESS3args(root, ACCESS3_READ | ACCESS3_MODIFY)
    assert client.nfs("ACCESS", wanted).resok.access == ACCESS3_READ


def test_fsid(exporting: Exporting) -> None:
    exporting.serve('"*" = "rw,fsid=4711"', '"*" = "rw"')
    client = exporting.client()
    roots = [client.mount(path) for path in ("/one", "/two")]
    one, two = (client.nfs("GETATTR", root).resok.fsid for root in roots)
    assert one == 4711
    assert two != 4711


@pytest.mark.parametrize(("options", "synced"), [("rw", True), ("rw,async", False)])
def test_sync_and_async(exporting: Exporting, tmp_path: Path, options: str, synced: bool) -> None:
    """Whether the server waits for the disk before it says that a name is made."""
    server = exporting.serve(f'"*" = "{options},no_root_squash"')
    client = exporting.client()
    root = client.mount("/one")
    trace = tmp_path / "trace"
    pids = [word for pid in server.workers for word in ("-p", str(pid))]
    calls = "trace=fsync,fdatasync,syncfs,symlinkat"
    strace = subprocess.Popen(["strace", "-f", "-qq", "-e", calls, "-o", str(trace), *pids])
    seen = ""
    try:
        for number in range(2000):
            name = b"new%d" % number
            assert client.nfs("SYMLINK", _symlink(root, name)).status == NFS3_OK
            assert client.nfs("REMOVE", diropargs3(root, name)).status == NFS3_OK
            seen = trace.read_text() if trace.exists() else ""
            if seen.count("symlinkat(") > 5:  # strace has attached
                break
    finally:
        strace.terminate()
        strace.wait(timeout=180)
    assert seen.count("symlinkat(") > 5
    assert ("fsync(" in seen) == synced


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nfsd", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_the_file_is_checked_and_listed(exporting: Exporting, place: Path) -> None:
    exporting.serve('"10.0.0.0/8" = "rw,root_squash", "@lab" = "ro"')
    file = place / "overlay-nfsd.toml"
    checked = run("check-config", "--config", str(file))
    assert (checked.returncode, checked.stderr) == (0, "")
    listed = run("exports", "--config", str(file))
    assert listed.stdout.splitlines() == [
        "/one",
        "    10.0.0.0/8               rw,sync,secure,root_squash,no_all_squash,anonuid=65534,"
        "anongid=65534",
        "    @lab                     ro,sync,secure,root_squash,no_all_squash,anonuid=65534,"
        "anongid=65534",
    ]
    file.write_text(file.read_text().replace("upperdir", "uperdir"))
    for command in ("check-config", "exports", "serve"):
        refused = run(command, "--config", str(file))
        assert refused.returncode == 2, command
        assert f"{file}:8: uperdir: no such setting; is 'upperdir' meant?" in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_what_cannot_be_served_names_the_export(place: Path) -> None:
    file = place / "overlay-nfsd.toml"
    file.write_text(
        '[server]\nlisten = ["127.0.0.1:0"]\n[[export]]\npath = "/one"\n'
        f'lowerdir = "{place / "absent"}"\nclients = {{ "*" = "" }}\n'
    )
    for command in ("check-config", "serve"):
        refused = run(command, "--config", str(file))
        assert refused.returncode == 2
        assert "export /one" in refused.stderr
        assert str(place / "absent") in refused.stderr


@pytest.mark.parametrize(("arguments", "workers"), [((), 2), (("--workers", "1"), 1)])
def test_options_override_the_file(
    exporting: Exporting, arguments: tuple[str, ...], workers: int
) -> None:
    server = exporting.serve('"*" = "rw"', arguments=arguments)
    assert len(server.workers) == workers


def test_options_that_do_not_go_together_are_refused(place: Path) -> None:
    lower = str(place / "one" / "lower")
    for words, said in (
        (["--export", "/x"], "--export needs --lowerdir"),
        (["--config", "/x", "--lowerdir", lower], "exclude each other"),
        (["--config", "/nowhere.toml"], "/nowhere.toml: No such file"),
    ):
        refused = run("serve", *words)
        assert refused.returncode == 2
        assert said in refused.stderr
