"""Handles over the wire: what a client was given goes on naming the same object (I1 to I5, I8).

Rule: every step is followed by the same questions to the same handle, over a connection that may be
new, to a server that may be new, with cold caches.
"""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import NFS3ERR_BADHANDLE, NFS3ERR_NOENT, NFS3ERR_STALE
from tests.conformance.layers import differences, manifest
from tests.conformance.server import Server
from tests.conftest import Serve
from tests.wire import Facts, NfsError, Wire

pytestmark = pytest.mark.conformance


@pytest.fixture
def lowers(tmp_path: Path) -> Iterator[list[Path]]:
    """Two layers with one of everything, which must be untouched at the end."""
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    (bottom / "dir" / "sub").mkdir(parents=True)
    (top / "dir").mkdir(parents=True)
    (bottom / "dir" / "file").write_bytes(b"lower data")
    (bottom / "dir" / "sub" / "deep").write_bytes(b"deep")
    (bottom / "dir" / "link").symlink_to("target")
    os.mknod(bottom / "dir" / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (top / "dir" / "above").write_bytes(b"above")
    (bottom / "first").write_bytes(b"hard")
    os.link(bottom / "first", bottom / "second")
    for number in range(40):
        (bottom / f"doomed{number}").write_bytes(b"doomed")
    before = [manifest(top), manifest(bottom)]
    yield [top, bottom]
    after = [manifest(top), manifest(bottom)]
    assert [differences(*pair) for pair in zip(before, after, strict=True)] == [[], []]


def drop_caches() -> None:
    """Forget what the host's kernel knows of paths and inodes."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


class Session:
    """A server and a client; both can be made new under the test's hands."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.wire = Wire(server.port)

    def crash(self) -> None:
        """kill -9, cold caches, a new server, a new connection."""
        self.wire.close()
        self.server.kill()
        drop_caches()
        self.server.start()
        self.wire = Wire(self.server.port)

    def check(self, known: Facts, path: str, content: bytes | None = None) -> None:
        """The object has the same facts by its handle and by its name, and its content."""
        assert self.wire.of(known.handle) == known
        assert self.wire.facts(path) == known
        if content is not None:
            assert self.wire.read(known.handle) == content


@pytest.fixture
def session(serve: Serve, lowers: list[Path]) -> Iterator[Session]:
    session = Session(serve(lowers))
    yield session
    session.wire.close()


def test_lower_file(session: Session) -> None:
    wire = session.wire
    known = wire.facts("dir/file")
    wire.write(known.handle, b"LOWER")
    session.check(known, "dir/file", b"LOWER data")
    wire.rename("dir/file", "dir/renamed")
    session.check(known, "dir/renamed", b"LOWER data")
    wire.rename("dir", "moved")
    session.check(known, "moved/renamed", b"LOWER data")
    wire.link(known.handle, "other")
    session.check(known, "other", b"LOWER data")
    wire.remove("moved/renamed")
    session.check(known, "other", b"LOWER data")
    session.crash()
    assert session.wire.read(known.handle) == b"LOWER data"
    session.check(known, "other", b"LOWER data")


def test_first_write_after_a_crash_needs_no_name(session: Session) -> None:
    known = session.wire.facts("dir/sub/deep")
    session.crash()
    session.wire.write(known.handle, b"DEEP")
    assert session.wire.read(known.handle) == b"DEEP"
    session.crash()
    session.check(known, "dir/sub/deep", b"DEEP")
    session.wire.rename("dir/sub/deep", "shallow")
    session.check(known, "shallow", b"DEEP")
    assert session.wire.names(session.wire.lookup("dir/sub")) == []


def test_lower_directory(session: Session) -> None:
    wire = session.wire
    known, above, below = wire.facts("dir/sub"), wire.facts("dir"), wire.facts("dir/sub/deep")
    wire.rename("dir/sub", "dir/renamed")
    session.check(known, "dir/renamed")
    assert wire.names(known.handle) == [b"deep"]
    wire.mkdir("new")
    wire.rename("dir", "new/dir")
    session.check(known, "new/dir/renamed")
    session.check(above, "new/dir")
    session.check(below, "new/dir/renamed/deep", b"deep")
    wire.create("new/dir/renamed/added", b"added")
    session.crash()
    assert sorted(session.wire.names(known.handle)) == [b"added", b"deep"]
    assert sorted(session.wire.names(above.handle)) == sorted(
        [b"above", b"device", b"file", b"link", b"renamed"]
    )
    session.check(known, "new/dir/renamed")
    session.check(below, "new/dir/renamed/deep", b"deep")


def test_uncopied_directory_below_renamed_ones(session: Session) -> None:
    """The handle of a directory that is still the lower one, found through ancestors that moved."""
    known = session.wire.facts("dir/sub")
    session.wire.mkdir("a")
    session.wire.rename("dir", "a/b")
    session.crash()
    assert session.wire.names(known.handle) == [b"deep"]
    session.wire.rename("a", "z")
    session.crash()
    assert session.wire.names(known.handle) == [b"deep"]
    session.check(known, "z/b/sub")


@pytest.mark.parametrize("name", ["link", "device"])
def test_symlink_and_device(session: Session, name: str) -> None:
    wire = session.wire
    known = wire.facts(f"dir/{name}")
    wire.rename(f"dir/{name}", "moved")
    session.check(known, "moved")
    wire.link(known.handle, "dir/again")
    wire.remove("moved")
    wire.rename("dir", "elsewhere")
    session.crash()
    session.check(known, "elsewhere/again")
    if name == "link":
        assert session.wire.readlink(known.handle) == b"target"
    else:
        rdev = session.wire.attributes(known.handle).rdev
        assert (rdev.specdata1, rdev.specdata2) == (1, 3)


def test_pure_upper_file(session: Session) -> None:
    wire = session.wire
    wire.create("dir/made", b"made")
    known = wire.facts("dir/made")
    wire.rename("dir/made", "made")
    wire.link(known.handle, "dir/sub/again")
    wire.remove("made")
    wire.rename("dir", "elsewhere")
    session.crash()
    session.check(known, "elsewhere/sub/again", b"made")


def test_removed_is_stale_for_ever(session: Session) -> None:
    wire = session.wire
    wire.create("upper", b"upper")
    uncopied, copied = wire.facts("dir/file"), wire.facts("dir/sub/deep")
    upper, directory = wire.facts("upper"), wire.facts("dir/sub")
    wire.write(copied.handle, b"copied up")
    wire.remove("dir/file")
    wire.remove("dir/sub/deep")
    wire.rmdir("dir/sub")
    wire.remove("upper")
    dead = [uncopied, copied, upper, directory]
    _expect_stale(wire, dead)
    wire.create("dir/file", b"another")
    wire.mkdir("dir/sub")
    _expect_stale(wire, dead)
    session.crash()
    _expect_stale(session.wire, dead)
    assert session.wire.read(session.wire.lookup("dir/file")) == b"another"


def _expect_stale(wire: Wire, dead: list[Facts]) -> None:
    for facts in dead:
        assert wire.status("GETATTR", facts.handle) == NFS3ERR_STALE


def test_forged_handles_open_nothing(session: Session, tmp_path: Path) -> None:
    """An altered handle is BADHANDLE, and the kernel is never asked for what it names."""
    wire = session.wire
    wire.write(wire.lookup("dir/file"), b"x")
    cold = wire.lookup("dir/sub/deep")
    genuine = [wire.lookup("dir/file"), wire.lookup("dir/sub"), wire.root]
    session.crash()
    wire = session.wire
    trace = tmp_path / "trace"
    workers = session.server.workers
    words = ["strace", "-f", "-qq", "-e", "trace=open_by_handle_at", "-o", str(trace)]
    words += [word for pid in workers for word in ("-p", str(pid))]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as strace:
        for pid in workers:
            _await_tracer(pid)
        try:
            for handle in genuine:
                for position in range(len(handle)):
                    forged = bytearray(handle)
                    forged[position] ^= 1 << position % 8
                    assert wire.status("GETATTR", bytes(forged)) == NFS3ERR_BADHANDLE
                assert wire.status("GETATTR", handle[:-1]) == NFS3ERR_BADHANDLE
                assert wire.status("GETATTR", handle + b"\0") == NFS3ERR_BADHANDLE
            assert wire.status("GETATTR", b"") == NFS3ERR_BADHANDLE
            assert wire.status("GETATTR", struct.pack(">16I", *range(16))) == NFS3ERR_BADHANDLE
            wire.attributes(cold)  # the one call that the trace must have
        finally:
            strace.terminate()
    assert trace.read_text().count("open_by_handle_at(") == 1


def _await_tracer(pid: int) -> None:
    for _ in range(1000):
        if "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text():
            return
        os.sched_yield()
        subprocess.run(["sleep", "0.01"], check=True)
    raise AssertionError("strace did not attach")


def test_hard_links_of_a_lower_file_are_one(session: Session) -> None:
    wire = session.wire
    known = wire.facts("first")
    assert wire.facts("second") == known
    assert wire.attributes(known.handle).nlink == 2
    wire.write(wire.lookup("second"), b"HARD")
    assert wire.read(wire.lookup("first")) == b"HARD"
    session.check(known, "second", b"HARD")
    assert wire.attributes(known.handle).nlink == 2
    wire.remove("first")
    assert wire.attributes(known.handle).nlink == 1
    session.crash()
    wire = session.wire
    session.check(known, "second", b"HARD")
    assert wire.attributes(known.handle).nlink == 1
    wire.rename("second", "third")
    assert wire.attributes(known.handle).nlink == 1
    wire.link(known.handle, "fourth")
    assert wire.attributes(known.handle).nlink == 2
    wire.remove("third")
    wire.remove("fourth")
    assert wire.status("GETATTR", known.handle) == NFS3ERR_STALE
    session.crash()
    assert session.wire.status("GETATTR", known.handle) == NFS3ERR_STALE


def test_unlinking_an_uncopied_hard_link_keeps_the_other(session: Session) -> None:
    wire = session.wire
    known = wire.facts("second")
    wire.remove("second")
    session.check(known, "first", b"hard")
    assert wire.attributes(known.handle).nlink == 1
    wire.rename("first", "only")
    session.crash()
    session.check(known, "only", b"hard")
    assert session.wire.attributes(known.handle).nlink == 1


def test_rename_over_a_lower_file_makes_it_stale(session: Session) -> None:
    wire = session.wire
    target, known = wire.facts("dir/file"), wire.facts("dir/above")
    wire.rename("dir/above", "dir/file")
    session.check(known, "dir/file", b"above")
    assert wire.status("GETATTR", target.handle) == NFS3ERR_STALE
    with pytest.raises(NfsError) as missing:
        wire.lookup("dir/above")
    assert missing.value.status == NFS3ERR_NOENT
    session.crash()
    session.check(known, "dir/file", b"above")
    assert session.wire.status("GETATTR", target.handle) == NFS3ERR_STALE
