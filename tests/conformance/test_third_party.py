"""Other people's NFS clients that are no kernel: libnfs's tools and PyPI's pyNfsClient.

Rule: each reads and writes in its own way (libnfs mounts the parent of what it is asked for;
pyNfsClient uses one xid for all calls of a second), and what they see is held against the layers.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pyNfsClient import FILE_SYNC, GUARDED, NF3CHR, UNCHECKED, UNSTABLE, Mount, NFSv3

from tests.conformance.layers import Layers, differences, manifest
from tests.conformance.machine import program
from tests.conformance.server import Server, Stack
from tests.conftest import Serve

pytestmark = pytest.mark.conformance

# What pyNfsClient returns is a dictionary of dictionaries, and untyped.
Reply: TypeAlias = dict[str, Any]

ROOT = {"flavor": 1, "machine_name": "client", "uid": 0, "gid": 0, "aux_gid": [0]}
NOBODY = {"flavor": 1, "machine_name": "client", "uid": 65534, "gid": 65534, "aux_gid": [65534]}
OK, NOENT, ACCES, EXIST, NOTEMPTY, STALE = 0, 2, 13, 17, 66, 70


def tool(name: str, *arguments: str) -> bytes:
    """Runs one of libnfs's tools."""
    words = [program(name, "libnfs-utils"), *arguments]
    done = subprocess.run(words, capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout!r} {done.stderr!r}"
    return done.stdout


def url(server: Server, path: str = "") -> str:
    """libnfs's name for something in the export."""
    place = f"{server.export.rstrip('/')}/{path}" if path else server.export
    return f"nfs://127.0.0.1{place}?nfsport={server.port}&mountport={server.port}"


@pytest.fixture
def debian(serve: Serve, real_layers: Layers) -> Iterator[Server]:
    """The real layers under a name of their own; the lowers must be unchanged in the end."""
    before = [manifest(layer) for layer in real_layers.lowers]
    yield serve(real_layers.lowers, export="/debian")
    for layer, was in zip(real_layers.lowers, before, strict=True):
        assert differences(was, manifest(layer)) == []


def test_libnfs_lists_a_tree(serve: Serve, tmp_path: Path) -> None:
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    (bottom / "directory" / "deep").mkdir(parents=True)
    (bottom / "directory" / "deep" / "file").write_bytes(b"12345")
    (bottom / "hidden").write_text("not to be seen")
    (bottom / "directory" / "both").write_text("below")
    (top / "directory").mkdir(parents=True)
    (top / "directory" / "both").write_text("above, and longer")
    os.mknod(top / "hidden", 0o020000, os.makedev(0, 0))
    server = serve([top, bottom], export="/tree")
    listing = tool("nfs-ls", "-R", url(server)).decode().splitlines()
    seen = {words[-1]: int(words[-2]) for line in listing if (words := line.split())}
    files = {"directory/both": 17, "directory/deep/file": 5}
    assert seen.keys() == {"directory", "directory/deep", *files}
    assert {name: seen[name] for name in files} == files


def test_libnfs_reads_both_layers(debian: Server, real_layers: Layers) -> None:
    assert tool("nfs-cat", url(debian, "etc/motd")) == b"app layer\n"
    # A redirected directory of the upper of the two layers, with files of the lower.
    name = "usr/share/doc/debianutils/copyright"
    wanted = (real_layers.base / name).read_bytes()
    moved = name.replace("debianutils", "debianutils-moved")
    assert tool("nfs-cat", url(debian, moved)) == wanted
    large = "usr/lib/x86_64-linux-gnu/libc.so.6"
    assert tool("nfs-cat", url(debian, large)) == (real_layers.base / large).read_bytes()


def test_libnfs_copies_there_and_back(debian: Server, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(3_000_001))
    # nfs-cp only creates: in a directory of one layer, and in one that both have.
    for name in ("opt/app/new", "usr/share/doc/new"):
        tool("nfs-cp", str(there), url(debian, name))
        debian.restart(crash=True)
        tool("nfs-cp", url(debian, name), str(back))
        assert back.read_bytes() == there.read_bytes()
        back.unlink()


class Client:
    """pyNfsClient on one mounted export, each call checked for its status."""

    def __init__(self, server: Server, auth: Reply = ROOT) -> None:
        self.mount = Mount("127.0.0.1", server.port, 20, auth)
        self.mount.connect()
        answer = self.mount.mnt(server.export)
        assert answer["status"] == OK, answer
        self.root: bytes = answer["mountinfo"]["fhandle"]
        self.nfs = NFSv3("127.0.0.1", server.port, 20, auth)
        self.nfs.connect()

    def find(self, path: str) -> bytes:
        """The handle of a name, looked up step by step."""
        handle = self.root
        for name in path.split("/"):
            answer = self.nfs.lookup(handle, name)
            assert answer["status"] == OK, f"{path}: {answer}"
            handle = answer["resok"]["object"]["data"]
        return handle

    def attributes(self, handle: bytes) -> Reply:
        """GETATTR's."""
        answer = self.nfs.getattr(handle)
        assert answer["status"] == OK, answer
        found: Reply = answer["attributes"]
        return found

    def close(self) -> None:
        """Ends both connections."""
        self.nfs.disconnect()
        self.mount.disconnect()


def entries(answer: Reply) -> list[Reply]:
    """The entries of a READDIR or READDIRPLUS reply, which the client nests in each other."""
    found: list[Reply] = []
    following = answer["resok"]["reply"]["entries"]
    while following:
        entry = following[0]
        found.append(entry)
        following = entry["nextentry"]
    return found


@pytest.fixture
def client(debian: Server) -> Iterator[Client]:
    """pyNfsClient, as root."""
    made = Client(debian)
    yield made
    made.close()


def test_pynfsclient_mounts(client: Client, debian: Server) -> None:
    exports = client.mount.export()
    assert [node.ex_dir for node in exports] == [b"/debian"]
    assert client.mount.mnt("/nothing")["status"] in (NOENT, ACCES)
    assert client.nfs.null()["status"] == OK
    limits = client.nfs.fsinfo(client.root)["resok"]
    assert limits["rtmax"] == limits["wtmax"] == 1 << 20
    assert client.nfs.pathconf(client.root)["resok"]["name_max"] == 255
    assert client.nfs.fsstat(client.root)["resok"]["tbytes"] > 0
    assert client.mount.umnt()["status"] == OK


def test_pynfsclient_reads(client: Client, real_layers: Layers) -> None:
    handle = client.find("usr/share/common-licenses/GPL-3")
    wanted = (real_layers.base / "usr/share/common-licenses/GPL-3").read_bytes()
    answer = client.nfs.read(handle, 0, 1 << 20)["resok"]
    assert answer["data"] == wanted
    assert answer["eof"]
    assert client.nfs.read(handle, 1000, 10)["resok"]["data"] == wanted[1000:1010]
    link = client.nfs.readlink(client.find("opt/app/link"))["resok"]
    assert link["data"] == b"first"
    assert client.attributes(client.find("opt/app/null"))["rdev"] == {"major": 1, "minor": 3}


def test_pynfsclient_lists(client: Client, real_layers: Layers) -> None:
    directory = client.find("usr/share/zoneinfo/Europe")
    wanted = {name.encode() for name in os.listdir(real_layers.base / "usr/share/zoneinfo/Europe")}
    names: list[bytes] = []
    cookie, verifier = 0, "\0" * 8
    for _ in range(len(wanted) + 3):
        answer = client.nfs.readdir(directory, cookie, verifier, 512)
        assert answer["status"] == OK, answer
        part = entries(answer)
        names += [entry["name"] for entry in part]
        if answer["resok"]["reply"]["eof"]:
            break
        cookie = part[-1]["cookie"]
    assert sorted(names) == sorted(wanted | {b".", b".."})
    plus = entries(client.nfs.readdirplus(directory, maxcount=1 << 16))
    for entry in plus:
        if entry["name"] not in (b".", b".."):
            handle = client.find(f"usr/share/zoneinfo/Europe/{entry['name'].decode()}")
            assert entry["name_handle"]["handle"]["data"] == handle
            assert entry["fileid"] == client.attributes(handle)["fileid"]


def next_second() -> None:
    """pyNfsClient's xids are seconds: the same call again within one would be a retransmission."""
    time.sleep(1.01 - time.time() % 1)


def test_pynfsclient_writes(client: Client, debian: Server) -> None:
    nfs, handle = client.nfs, client.find("etc/hosts")
    before = client.attributes(handle)
    end = before["size"]
    assert nfs.write(handle, end, 5, "tail\n", FILE_SYNC)["resok"]["committed"] == FILE_SYNC
    unstable = nfs.write(handle, end + 5, 5, "more\n", UNSTABLE)["resok"]
    assert nfs.commit(handle)["resok"]["verf"] == unstable["verf"]
    debian.restart(crash=True)
    fresh = Client(debian)
    assert fresh.find("etc/hosts") == handle
    assert fresh.attributes(handle)["fileid"] == before["fileid"]
    assert fresh.nfs.read(handle, end, 100)["resok"]["data"] == b"tail\nmore\n"
    fresh.close()


def test_pynfsclient_changes_names(client: Client) -> None:
    nfs, place = client.nfs, client.find("opt/app")
    made = nfs.create(place, "made", GUARDED, mode=0o640)
    assert made["status"] == OK
    handle = made["resok"]["obj"]["handle"]["data"]
    assert client.attributes(handle)["mode"] == 0o640
    next_second()
    assert nfs.create(place, "made", GUARDED, mode=0o640)["status"] == EXIST
    assert nfs.create(place, "made", UNCHECKED, mode=0o600)["status"] == OK
    assert nfs.mkdir(place, "folder", mode=0o755)["status"] == OK
    assert nfs.symlink(place, "pointer", "made")["status"] == OK
    assert (
        nfs.mknod(place, "device", NF3CHR, mode=0o600, spec_major=1, spec_minor=7)["status"] == OK
    )
    folder = client.find("opt/app/folder")
    assert nfs.link(handle, folder, "other")["status"] == OK
    assert client.attributes(handle)["nlink"] == 2
    assert nfs.rmdir(place, "folder")["status"] == NOTEMPTY
    assert nfs.rename(place, "made", folder, "moved")["status"] == OK
    assert client.find("opt/app/folder/moved") == handle
    assert nfs.remove(folder, "other")["status"] == OK
    assert nfs.remove(folder, "moved")["status"] == OK
    assert nfs.getattr(handle)["status"] == STALE
    next_second()
    assert nfs.rmdir(place, "folder")["status"] == OK


def test_pynfsclient_moves_a_lower_directory(client: Client, real_layers: Layers) -> None:
    nfs, documents = client.nfs, client.find("usr/share/doc")
    directory, file = client.find("usr/share/doc/tar"), client.find("usr/share/doc/tar/copyright")
    assert nfs.rename(documents, "tar", client.find("srv"), "tar")["status"] == OK
    assert nfs.lookup(documents, "tar")["status"] == NOENT
    assert client.find("srv/tar") == directory
    assert client.find("srv/tar/copyright") == file
    wanted = os.listdir(real_layers.base / "usr/share/doc/tar")
    found = {entry["name"].decode() for entry in entries(nfs.readdir(directory))}
    assert found - {".", ".."} == set(wanted)


def test_pynfsclient_is_refused_what_it_may_not(debian: Server) -> None:
    client = Client(debian, NOBODY)
    shadow = client.find("etc/shadow")
    assert client.nfs.read(shadow, 0, 10)["status"] == ACCES
    assert client.nfs.write(client.find("etc/passwd"), 0, 1, "x", FILE_SYNC)["status"] == ACCES
    assert client.nfs.remove(client.find("etc"), "passwd")["status"] == ACCES
    assert client.nfs.setattr(shadow, mode=0o777)["status"] in (1, ACCES)
    client.close()


def test_a_read_only_stack(serve: Serve, real_layers: Layers) -> None:
    client = Client(serve(stack=Stack(real_layers.lowers), export="/image"))
    rofs = 30
    assert client.nfs.write(client.find("etc/motd"), 0, 1, "x", FILE_SYNC)["status"] == rofs
    assert client.nfs.mkdir(client.root, "new", mode=0o755)["status"] == rofs
    client.close()
