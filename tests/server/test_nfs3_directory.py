"""READDIR and READDIRPLUS: sizes are kept, and every name comes exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nfsd.xdr.codec import encode
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_ACCES,
    NFS3ERR_NOTDIR,
    NFS3ERR_TOOSMALL,
    READDIR3args,
    READDIRPLUS3args,
    diropargs3,
    pack_READDIR3res,
    pack_READDIRPLUS3res,
)
from tests.client import Client
from tests.server.test_nfs3_attributes import attributes, made
from tests.server.test_nfs3_names import mkdir

VERF = bytes(8)
NAMES = {b"name%d" % number * (number % 20 + 1) for number in range(300)}


def readdir(client: Client, directory: bytes, cookie: int = 0, count: int = 65536) -> Any:  # noqa: ANN401
    return client.nfs("READDIR", READDIR3args(directory, cookie, VERF, count))


def readdirplus(
    client: Client, directory: bytes, cookie: int = 0, dircount: int = 65536, maxcount: int = 65536
) -> Any:  # noqa: ANN401
    arguments = READDIRPLUS3args(directory, cookie, VERF, dircount, maxcount)
    return client.nfs("READDIRPLUS", arguments)


def listing(client: Client, directory: bytes, count: int) -> Iterator[Any]:
    """All entries, in replies of at most `count` bytes."""
    cookie = 0
    for _ in range(10000):
        reply = readdir(client, directory, cookie, count)
        assert reply.status == NFS3_OK
        # READDIR3resok is what count is about: all but the status.
        assert len(encode(pack_READDIR3res, reply)) - 4 <= count
        yield from reply.resok.reply.entries
        if reply.resok.reply.eof:
            return
        cookie = reply.resok.reply.entries[-1].cookie
    pytest.fail("the listing has no end")


@pytest.fixture(scope="module")
def filled() -> dict[str, bytes]:
    return {}


@pytest.fixture
def directory(client: Client, root: bytes, filled: dict[str, bytes]) -> bytes:
    """A directory of NAMES."""
    if "handle" not in filled:
        filled["handle"] = mkdir(client, root, b"filled")
        for name in NAMES:
            made(client, filled["handle"], name)
    return filled["handle"]


@pytest.mark.parametrize("count", [512, 600, 1024, 8192, 65536, 2**32 - 1])
def test_every_name_once(client: Client, directory: bytes, count: int) -> None:
    entries = list(listing(client, directory, count))
    assert [entry.name for entry in entries[:2]] == [b".", b".."]
    assert sorted(entry.name for entry in entries[2:]) == sorted(NAMES)
    cookies = [entry.cookie for entry in entries]
    assert cookies == sorted(set(cookies))
    assert 0 not in cookies


def test_replies_are_filled(client: Client, directory: bytes) -> None:
    """A reply ends only where the next entry does not fit any more."""
    for count in range(512, 700, 4):
        reply = readdir(client, directory, 0, count)
        size = len(encode(pack_READDIR3res, reply)) - 4
        after = readdir(client, directory, reply.resok.reply.entries[-1].cookie)
        missing = after.resok.reply.entries[0].name
        assert size + 24 + (len(missing) + 3) // 4 * 4 > count


def test_fileids_are_those_of_the_objects(client: Client, directory: bytes, root: bytes) -> None:
    for entry in readdir(client, directory, 0, 2048).resok.reply.entries:
        handle = client.nfs("LOOKUP", diropargs3(directory, entry.name)).resok.object
        assert attributes(client, handle).fileid == entry.fileid


def test_too_small(client: Client, directory: bytes) -> None:
    for count in (0, 1, 103, 104 + 4 + 8 + 8 + 4 + 3):
        reply = readdir(client, directory, 0, count)
        assert reply.status == NFS3ERR_TOOSMALL
        assert reply.resfail == attributes(client, directory)
    assert readdir(client, directory, 0, 104 + 4 + 8 + 8 + 4 + 4).status == NFS3_OK


def test_the_end(client: Client, directory: bytes) -> None:
    for cookie in (2**63 - 1, 2**64 - 1):
        reply = readdir(client, directory, cookie)
        assert reply.status == NFS3_OK
        assert (reply.resok.reply.entries, reply.resok.reply.eof) == ([], True)
        assert readdirplus(client, directory, cookie).resok.reply.eof
    assert readdir(client, directory, 2**64 - 1, 100).status == NFS3ERR_TOOSMALL


def test_readdirplus(client: Client, directory: bytes) -> None:
    cookie, names = 0, []
    for _ in range(1000):
        reply = readdirplus(client, directory, cookie, 4096, 8192)
        assert reply.status == NFS3_OK
        assert len(encode(pack_READDIRPLUS3res, reply)) - 4 <= 8192
        for entry in reply.resok.reply.entries:
            found = client.nfs("LOOKUP", diropargs3(directory, entry.name)).resok
            assert entry.name_handle == found.object
            assert entry.name_attributes == attributes(client, found.object)
            assert entry.name_attributes.fileid == entry.fileid
            names.append(entry.name)
        if reply.resok.reply.eof:
            break
        cookie = reply.resok.reply.entries[-1].cookie
    assert sorted(names[2:]) == sorted(NAMES)


def test_dircount_counts_names(client: Client, directory: bytes) -> None:
    for dircount in (512, 1000, 2000):
        entries = readdirplus(client, directory, 0, dircount).resok.reply.entries
        sizes = [20 + (len(entry.name) + 3) // 4 * 4 for entry in entries]
        assert sum(sizes) <= dircount
        after = readdirplus(client, directory, entries[-1].cookie).resok.reply.entries[0]
        assert sum(sizes) + 20 + (len(after.name) + 3) // 4 * 4 > dircount


@pytest.mark.parametrize("dircount", [0, 1, 23, 24, 100])
@pytest.mark.parametrize("maxcount", [396, 512, 65536])
def test_dircount_is_a_hint(client: Client, directory: bytes, dircount: int, maxcount: int) -> None:
    """Every name comes, one at a time if it must; without attributes where they do not fit."""
    cookie, names = 0, []
    for _ in range(1000):
        reply = readdirplus(client, directory, cookie, dircount, maxcount)
        assert reply.status == NFS3_OK
        assert len(encode(pack_READDIRPLUS3res, reply)) - 4 <= maxcount
        entries = reply.resok.reply.entries
        names += [entry.name for entry in entries]
        if reply.resok.reply.eof:
            break
        assert entries
        if len(entries) > 1:
            assert sum(20 + (len(entry.name) + 3) // 4 * 4 for entry in entries) <= dircount
        cookie = entries[-1].cookie
    assert sorted(names[2:]) == sorted(NAMES)


def test_not_even_one_entry_fits(client: Client, directory: bytes) -> None:
    least = 104 + 4 + 8 + 4 + 4 + 8 + 4 + 4  # of `.`, without attributes and handle
    assert readdirplus(client, directory, 0, 8192, least - 1).status == NFS3ERR_TOOSMALL
    reply = readdirplus(client, directory, 0, 8192, least)
    assert [entry.name for entry in reply.resok.reply.entries] == [b"."]


def test_a_merged_directory(client: Client, root: bytes) -> None:
    merged = client.nfs("LOOKUP", diropargs3(root, b"merged")).resok.object
    made(client, merged, b"upper")
    assert client.nfs("REMOVE", diropargs3(merged, b"above")).status == NFS3_OK
    names = {entry.name for entry in readdir(client, merged).resok.reply.entries}
    assert names == {b".", b"..", b"below", b"upper"}


def test_a_listing_goes_on_over_changes(client: Client, root: bytes) -> None:
    directory = mkdir(client, root, b"changing")
    stay = {b"stay%d" % number for number in range(60)}
    for name in stay:
        made(client, directory, name)
    seen: list[bytes] = []
    for number, entry in enumerate(listing(client, directory, 400)):
        seen.append(entry.name)
        made(client, directory, b"new%d" % number)
        if entry.name.startswith(b"new"):
            assert client.nfs("REMOVE", diropargs3(directory, entry.name)).status == NFS3_OK
        if number > 2000:
            break
    assert sorted(name for name in seen if name in stay) == sorted(stay)


def test_what_cannot_be_listed(client: Client, root: bytes) -> None:
    file, private = made(client, root, b"flat"), mkdir(client, root, b"unlisted", 0o711)
    assert readdir(client, file).status == NFS3ERR_NOTDIR
    assert readdirplus(client, file).status == NFS3ERR_NOTDIR
    with client.acting_as(1000, 1000):
        assert readdir(client, private).status == NFS3ERR_ACCES
        assert readdirplus(client, private).status == NFS3ERR_ACCES
