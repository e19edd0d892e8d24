"""MOUNT, both versions, every procedure."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nfsd.xdr.generated.mount import (
    MNT3_OK,
    MNT3ERR_ACCES,
    MNT3ERR_INVAL,
    MNT3ERR_NAMETOOLONG,
    MNT3ERR_NOENT,
    MNT3ERR_NOTDIR,
    MOUNT_PROGRAM,
    MOUNT_V1,
    MOUNT_V1_SIGNATURES,
    MOUNT_V3,
    MOUNT_V3_SIGNATURES,
    exportnode,
    mountbody,
)
from nfsd.xdr.generated.nfs3 import NFS3_OK, SYMLINK3args, diropargs3, symlinkdata3
from nfsd.xdr.generated.rpc import AUTH_SYS, GARBAGE_ARGS, mismatch_info
from tests.client import NO_AUTH, Client, RpcError
from tests.conformance.server import Server, Stack
from tests.server.test_nfs3_attributes import SAME

NULL, MNT, DUMP, UMNT, UMNTALL, EXPORT = range(6)


def v3(client: Client, procedure: int, arguments: Any = None) -> Any:  # noqa: ANN401
    return client.call(MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES[procedure], arguments)


def v1(client: Client, procedure: int, arguments: Any = None) -> Any:  # noqa: ANN401
    return client.call(MOUNT_PROGRAM, MOUNT_V1, MOUNT_V1_SIGNATURES[procedure], arguments)


# By name, in the directory `links`.
LINKS = {
    "relative": "../etc",
    "absolute": "/etc",
    "as-mounted": "/srv/debian/etc",
    "twice": "relative/../links/./absolute/",
    "file": "../etc/passwd",
    "through-file": "../etc/passwd/../apt",
    "dangling": "nothing",
    "up": "../..",
    "up-and-down": "../../debian/etc",
    "machine": "/usr",
    "itself": "itself",
    "ping": "pong",
    "pong": "ping",
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose export is called /srv/debian."""
    place = tmp_path_factory.mktemp("named")
    lower = place / "lower"
    (lower / "etc" / "apt").mkdir(parents=True)
    for number in range(1100):
        (lower / "many" / str(number)).mkdir(parents=True)
    (lower / "etc" / "passwd").write_text("root")
    (lower / "links").mkdir()
    for name, target in LINKS.items():
        (lower / "links" / name).symlink_to(target)
    server = Server(Stack.over([lower], place), Path(place / "log"), export="/srv/debian")
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


@pytest.fixture
def mounter(named: Server) -> Iterator[Client]:
    with Client(named.port) as connected:
        v3(connected, UMNTALL)
        yield connected


@pytest.mark.parametrize("path", [b"/srv/debian", b"/srv/debian/", b"//srv/./debian//"])
def test_the_export(mounter: Client, path: bytes) -> None:
    reply = v3(mounter, MNT, path)
    assert reply.fhs_status == MNT3_OK
    assert AUTH_SYS in reply.mountinfo.auth_flavors
    assert reply.mountinfo.fhandle == mounter.mount("/srv/debian")
    assert mounter.nfs("GETATTR", reply.mountinfo.fhandle).status == NFS3_OK


def test_a_directory_below_it(mounter: Client) -> None:
    root = mounter.mount("/srv/debian")
    etc = mounter.nfs("LOOKUP", diropargs3(root, b"etc")).resok.object
    assert mounter.mount("/srv/debian/etc") == etc
    apt = mounter.nfs("LOOKUP", diropargs3(etc, b"apt")).resok.object
    assert mounter.mount("/srv/debian/etc/apt") == apt


@pytest.mark.parametrize("link", ["relative", "absolute", "as-mounted", "twice"])
def test_a_symbolic_link_is_followed_within_the_export(mounter: Client, link: str) -> None:
    for below in ("", "/apt"):
        etc = mounter.mount(f"/srv/debian/etc{below}")
        assert mounter.mount(f"/srv/debian/links/{link}{below}") == etc


def test_a_chain_of_symbolic_links_is_bounded(mounter: Client) -> None:
    root = mounter.mount("/srv/debian")
    for number in range(42):
        target = b"c%d" % (number - 1) if number else b"etc"
        link = SYMLINK3args(diropargs3(root, b"c%d" % number), symlinkdata3(SAME, target))
        assert mounter.nfs("SYMLINK", link).status == NFS3_OK
    assert mounter.mount("/srv/debian/c39") == mounter.mount("/srv/debian/etc")
    assert v3(mounter, MNT, b"/srv/debian/c40").fhs_status == MNT3ERR_INVAL


@pytest.mark.parametrize(
    ("path", "status", "number"),
    [
        (b"/other", MNT3ERR_NOENT, errno.ENOENT),
        (b"/srv/debian2", MNT3ERR_NOENT, errno.ENOENT),
        (b"/srv/debian/nothing", MNT3ERR_NOENT, errno.ENOENT),
        (b"/srv/debian/etc/passwd", MNT3ERR_NOTDIR, errno.ENOTDIR),
        (b"/srv/debian/etc/passwd/x", MNT3ERR_NOTDIR, errno.ENOTDIR),
        (b"/srv/debian/links/file", MNT3ERR_NOTDIR, errno.ENOTDIR),
        (b"/srv/debian/links/file/x", MNT3ERR_NOTDIR, errno.ENOTDIR),
        (b"/srv/debian/links/through-file", MNT3ERR_NOTDIR, errno.ENOTDIR),
        (b"/srv/debian/links/dangling", MNT3ERR_NOENT, errno.ENOENT),
        (b"/srv/debian/links/up", MNT3ERR_ACCES, errno.EACCES),
        (b"/srv/debian/links/up-and-down", MNT3ERR_ACCES, errno.EACCES),
        (b"/srv/debian/links/machine", MNT3ERR_NOENT, errno.ENOENT),
        (b"/srv/debian/links/itself", MNT3ERR_INVAL, errno.ELOOP),
        (b"/srv/debian/links/ping/x", MNT3ERR_INVAL, errno.ELOOP),
        (b"/srv/debian/../../etc", MNT3ERR_ACCES, errno.EACCES),
        (b"/srv/debian/etc\0", MNT3ERR_INVAL, errno.EINVAL),
        (b"srv/debian", MNT3ERR_INVAL, errno.EINVAL),
        (b"", MNT3ERR_INVAL, errno.EINVAL),
        (b"/srv/debian/" + b"n" * 256, MNT3ERR_NAMETOOLONG, errno.ENAMETOOLONG),
    ],
)
def test_what_cannot_be_mounted(mounter: Client, path: bytes, status: int, number: int) -> None:
    assert v3(mounter, MNT, path).fhs_status == status
    assert v1(mounter, MNT, path).fhs_status == number
    assert v3(mounter, DUMP) == []


def test_a_path_over_the_bound(mounter: Client) -> None:
    record = mounter.message(MOUNT_PROGRAM, MOUNT_V3, MNT, b"\0\0\4\1" + b"/" * 1028)
    mounter.send(record)
    (_, body), _ = mounter.reply()
    assert body.areply is not None
    assert body.areply.reply_data.stat == GARBAGE_ARGS


def test_version_1_has_no_room_for_a_handle(mounter: Client) -> None:
    reply = v1(mounter, MNT, b"/srv/debian")
    assert (reply.fhs_status, reply.fhs_fhandle) == (errno.EOPNOTSUPP, None)


@pytest.mark.parametrize("version", [v1, v3])
def test_the_list_of_mounts(mounter: Client, version: Any) -> None:  # noqa: ANN401
    assert version(mounter, NULL) is None
    for path in (b"/srv/debian", b"/srv/debian/etc", b"/srv//debian/"):
        v3(mounter, MNT, path)
    here = b"127.0.0.1"
    assert version(mounter, DUMP) == [
        mountbody(here, b"/srv/debian/etc"),
        mountbody(here, b"/srv/debian"),
    ]
    assert version(mounter, UMNT, b"/srv/debian/etc/") is None
    assert version(mounter, UMNT, b"/never/mounted") is None
    assert version(mounter, DUMP) == [mountbody(here, b"/srv/debian")]
    assert version(mounter, UMNTALL) is None
    assert version(mounter, DUMP) == []


@pytest.mark.parametrize("version", [v1, v3])
def test_the_list_of_exports(mounter: Client, version: Any) -> None:  # noqa: ANN401
    assert version(mounter, EXPORT) == [exportnode(b"/srv/debian", [b"*"])]


def test_the_list_of_mounts_is_bounded(mounter: Client) -> None:
    for number in range(1100):
        assert v3(mounter, MNT, b"/srv/debian/many/%d" % number).fhs_status == MNT3_OK
    mounts = v3(mounter, DUMP)
    assert len(mounts) == 1024
    assert mounts[-1].ml_directory == b"/srv/debian/many/1099"


def test_without_credentials(named: Server) -> None:
    with Client(named.port, cred=NO_AUTH) as client:
        assert v3(client, NULL) is None
        assert client.mount("/srv/debian")


def test_version_2_is_refused(mounter: Client) -> None:
    with pytest.raises(RpcError) as refused:
        mounter.call(MOUNT_PROGRAM, 2, MOUNT_V3_SIGNATURES[NULL], None)
    reply = refused.value.body.areply
    assert reply is not None
    assert reply.reply_data.versions == mismatch_info(1, 3)
