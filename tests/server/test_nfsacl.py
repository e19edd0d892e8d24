"""NFSACL on the wire: what a client sets it gets back, as the Linux client packs and reads it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from nfsd.xdr.codec import decode
from nfsd.xdr.generated.nfs3 import (
    ACCESS3_MODIFY,
    ACCESS3_READ,
    NFS3_OK,
    NFS3ERR_ACCES,
    NFS3ERR_BADHANDLE,
    NFS3ERR_INVAL,
    NFS3ERR_PERM,
    ACCESS3args,
    MKDIR3args,
    SETATTR3args,
    diropargs3,
    unpack_fattr3,
)
from nfsd.xdr.generated.nfsacl import (
    NFS_ACL,
    NFS_ACL_DEFAULT,
    NFS_ACL_PROGRAM,
    NFS_ACL_V3,
    NFS_ACL_V3_SIGNATURES,
    NFS_ACLCNT,
    NFS_DFACL,
    NFS_DFACLCNT,
    GETACL3args,
    SETACL3args,
    aclent,
    secattr,
)
from overlay.model.acl import ACCESS_ACL, DEFAULT_ACL, parse_acl
from tests.client import Client
from tests.conformance.server import Server
from tests.server.test_nfs3_attributes import SAME, made

ALL = NFS_ACL | NFS_ACLCNT | NFS_DFACL | NFS_DFACLCNT
OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NAMED = [
    aclent(OWNER, 0, 7),
    aclent(USER, 1000, 6),
    aclent(GROUP, 0, 5),
    aclent(MASK, 0, 7),
    aclent(OTHER, 0, 0),
]


def acl_call(client: Client, number: int, arguments: object) -> Any:  # noqa: ANN401
    return client.call(NFS_ACL_PROGRAM, NFS_ACL_V3, NFS_ACL_V3_SIGNATURES[number], arguments)


def getacl(client: Client, handle: bytes, mask: int = ALL) -> secattr:
    result = acl_call(client, 1, GETACL3args(handle, mask))
    assert result.status == NFS3_OK
    assert decode(unpack_fattr3, result.resok.obj_attributes).fileid
    found: secattr = result.resok.acl
    assert found.mask == mask
    return found


def setacl(
    client: Client,
    handle: bytes,
    access: list[aclent] | None = None,
    default: list[aclent] | None = None,
) -> int:
    mask = (NFS_ACL if access is not None else 0) | (NFS_DFACL if default is not None else 0)
    acl = secattr(mask, len(access or ()), access or [], len(default or ()), default or [])
    return int(acl_call(client, 2, SETACL3args(handle, acl)).status)


def defaults(entries: list[aclent]) -> list[aclent]:
    return [replace(entry, type=entry.type | NFS_ACL_DEFAULT) for entry in entries]


def directory(client: Client, root: bytes, name: bytes) -> bytes:
    result = client.nfs("MKDIR", MKDIR3args(diropargs3(root, name), replace(SAME, mode=0o750)))
    handle: bytes = result.resok.obj
    return handle


def test_null(client: Client) -> None:
    assert acl_call(client, 0, None) is None


def test_permission_bits_are_an_acl_with_a_mask(client: Client, root: bytes) -> None:
    file = client.nfs("LOOKUP", diropargs3(root, b"file")).resok.object
    found = getacl(client, file)
    assert [(entry.type, entry.perm) for entry in found.aclent_list] == [
        (OWNER, 6),
        (GROUP, 4),
        (MASK, 4),
        (OTHER, 4),
    ]
    assert (found.aclcnt, found.dfaclcnt, found.dfaclent_list) == (4, 0, [])


def test_numbers_without_entries(client: Client, root: bytes) -> None:
    file = made(client, root, b"counted")
    assert setacl(client, file, NAMED) == NFS3_OK
    assert getacl(client, file, NFS_ACLCNT) == secattr(NFS_ACLCNT, 5, [], 0, [])
    assert getacl(client, file, NFS_DFACL) == secattr(NFS_DFACL, 0, [], 0, [])


def test_round_trip_and_what_lies_on_disk(client: Client, root: bytes, live: Server) -> None:
    place = directory(client, root, b"round")
    assert setacl(client, place, list(reversed(NAMED)), defaults(NAMED)) == NFS3_OK
    found = getacl(client, place)
    assert (found.aclent_list, found.dfaclent_list) == (NAMED, defaults(NAMED))
    upper = live.stack.upper
    assert upper is not None
    for name in (ACCESS_ACL, DEFAULT_ACL):
        acl = parse_acl(os.getxattr(upper / "round", name))
        assert [(entry.tag, entry.perm) for entry in acl] == [(e.type, e.perm) for e in NAMED]
    assert client.nfs("GETATTR", place).resok.mode == 0o770
    # Without entries one goes, and the other stays.
    assert setacl(client, place, None, []) == NFS3_OK
    found = getacl(client, place)
    assert (found.aclent_list, found.dfaclent_list) == (NAMED, [])
    # A mask that is the group's is none.
    minimal = [aclent(OWNER, 0, 7), aclent(GROUP, 0, 5), aclent(MASK, 0, 5), aclent(OTHER, 0, 1)]
    assert setacl(client, place, minimal) == NFS3_OK
    assert ACCESS_ACL.decode() not in os.listxattr(upper / "round")
    assert client.nfs("GETATTR", place).resok.mode == 0o751


def test_a_lower_object_is_copied_up(client: Client, root: bytes, live: Server) -> None:
    merged = client.nfs("LOOKUP", diropargs3(root, b"merged")).resok.object
    below = client.nfs("LOOKUP", diropargs3(merged, b"below")).resok.object
    assert setacl(client, below, NAMED) == NFS3_OK
    assert client.nfs("LOOKUP", diropargs3(merged, b"below")).resok.object == below
    assert getacl(client, below).aclent_list == NAMED
    assert live.stack.upper is not None
    assert ACCESS_ACL.decode() in os.listxattr(live.stack.upper / "merged" / "below")
    assert not os.listxattr(live.stack.lowers[1] / "merged" / "below")


def test_refusals(client: Client, root: bytes) -> None:
    file = made(client, root, b"refused")
    assert setacl(client, b"\0" * 64, NAMED) == NFS3ERR_BADHANDLE
    assert setacl(client, file, None, NAMED) == NFS3ERR_ACCES
    assert setacl(client, file, NAMED[:-1]) == NFS3ERR_INVAL
    assert setacl(client, file, [*NAMED, NAMED[4]]) == NFS3ERR_INVAL
    assert setacl(client, file, [aclent(3, 0, 7), *NAMED[1:]]) == NFS3ERR_INVAL
    assert setacl(client, file, [aclent(OWNER, 0, 8), *NAMED[1:]]) == NFS3ERR_INVAL
    assert acl_call(client, 1, GETACL3args(file, 16)).status == NFS3ERR_INVAL
    with client.acting_as(1000, 1000):
        assert setacl(client, file, NAMED) == NFS3ERR_PERM
    assert len(getacl(client, file).aclent_list) == 4
    # More bits in a mask are Solaris', and mean nothing.
    odd = [replace(entry, perm=0o17) if entry.type == MASK else entry for entry in NAMED]
    assert setacl(client, file, odd) == NFS3_OK
    assert getacl(client, file).aclent_list == NAMED


def test_permission_follows_in_every_worker(client: Client, root: bytes, live: Server) -> None:
    file = made(client, root, b"followed", 0o600)
    others = [Client(live.port) for _ in range(4)]

    def allowed() -> set[int]:
        found = set()
        for other in others:
            with other.acting_as(1000, 1000):
                wanted = ACCESS3args(file, ACCESS3_READ | ACCESS3_MODIFY)
                found.add(other.nfs("ACCESS", wanted).resok.access)
        return found

    assert allowed() == {0}
    assert setacl(client, file, NAMED) == NFS3_OK
    assert allowed() == {ACCESS3_READ | ACCESS3_MODIFY}
    lesser = [replace(entry, perm=4) if entry.type == MASK else entry for entry in NAMED]
    assert setacl(client, file, lesser) == NFS3_OK
    assert allowed() == {ACCESS3_READ}
    # A mode of the group's is the mask's.
    arguments = SETATTR3args(file, replace(SAME, mode=0o600), None)
    assert client.nfs("SETATTR", arguments).status == NFS3_OK
    assert allowed() == {0}
    for other in others:
        other.close()


def test_new_objects_inherit(client: Client, root: bytes) -> None:
    place = directory(client, root, b"heirs")
    assert setacl(client, place, None, defaults(NAMED)) == NFS3_OK
    file = getacl(client, made(client, place, b"file", 0o644))
    assert [(entry.type, entry.perm) for entry in file.aclent_list] == [
        (OWNER, 6),
        (USER, 6),
        (GROUP, 5),
        (MASK, 4),
        (OTHER, 0),
    ]
    below = getacl(client, directory(client, place, b"below"))
    assert below.dfaclent_list == defaults(NAMED)
    assert {entry.type: entry.perm for entry in below.aclent_list}[MASK] == 5
