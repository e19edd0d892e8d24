"""NFSACL version 3: POSIX ACLs, a program beside NFSv3 on the same port.

On the wire an ACL always has a mask: one that is only permission bits gets the
group's bits for it, and loses it again when it comes back.  Entries for the owner
and the group carry their numbers, which nobody looks at.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

from nfsd.export.diagnostics import Diagnostics
from nfsd.export.exports import Exports
from nfsd.nfs.fattr import attributes_of, known_attributes
from nfsd.nfs.procedures import Handles, Row, of_first, procedures_of
from nfsd.rpc.program import Caller, Procedure, Program, null
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
    GETACL3res,
    GETACL3resok,
    SETACL3args,
    SETACL3res,
    aclent,
    secattr,
)
from overlay.base.errors import error
from overlay.model.acl import (
    GROUP,
    GROUP_OBJ,
    MASK,
    NO_ID,
    OTHER,
    USER,
    USER_OBJ,
    Acl,
    AclEntry,
)
from overlay.model.attributes import Attributes

_MASKS: Final = NFS_ACL | NFS_ACLCNT | NFS_DFACL | NFS_DFACLCNT
_TAGS: Final = frozenset((USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER))
_MINIMAL: Final = 3  # entries of an ACL that is only permission bits
_BITS: Final = 7


def program(exports: Exports, diagnostics: Diagnostics) -> Program:
    """NFSACL on `exports`."""
    null_, get, set_ = NFS_ACL_V3_SIGNATURES
    rows = (
        Row(get, getacl, GETACL3res, _object, of_first),
        Row(set_, setacl, SETACL3res, _object, of_first, syncs=True),
    )
    procedures = procedures_of(exports, diagnostics, rows)
    return Program(NFS_ACL_PROGRAM, NFS_ACL_V3, (Procedure(null_, null), *procedures))


def _object(arguments: GETACL3args | SETACL3args) -> Handles:
    return (arguments.object,)


def getacl(exports: Exports, caller: Caller, arguments: GETACL3args) -> GETACL3resok:
    """GETACL: the ACLs that the mask asks for, or the numbers of their entries."""
    mask = arguments.mask
    overlay, node, _ = exports.enter(caller, arguments.object)
    if mask & ~_MASKS:
        raise error(errno.EINVAL)
    access, default = overlay.get_acls(node)
    attributes = overlay.getattr(node)
    entries = _packed(access, attributes, 0)
    defaults = _packed(default, attributes, NFS_ACL_DEFAULT)
    return GETACL3resok(
        attributes_of(overlay, node),
        secattr(
            mask,
            len(entries) if mask & (NFS_ACL | NFS_ACLCNT) else 0,
            entries if mask & NFS_ACL else [],
            len(defaults) if mask & (NFS_DFACL | NFS_DFACLCNT) else 0,
            defaults if mask & NFS_DFACL else [],
        ),
    )


def setacl(exports: Exports, caller: Caller, arguments: SETACL3args) -> bytes | None:
    """SETACL: replace the ACLs that the mask names; one without entries is taken away."""
    handle, mask = arguments.object, arguments.acl.mask
    overlay, node, cred = exports.enter(caller, handle, write=True)
    if mask & ~_MASKS:
        raise error(errno.EINVAL)
    access = _unpacked(arguments.acl.aclent_list) if mask & NFS_ACL else None
    default = _unpacked(arguments.acl.dfaclent_list) if mask & NFS_DFACL else None
    overlay.set_acls(node, cred, access, default)
    return known_attributes(overlay, overlay.resolve(handle))


def _packed(acl: Acl, attributes: Attributes, flag: int) -> list[aclent]:
    """Return an ACL as it is sent; `flag` is set in the type of each entry."""
    if len(acl) == _MINIMAL:
        owner, group, other = acl
        acl = (owner, group, AclEntry(MASK, group.perm, NO_ID), other)
    owners = {USER_OBJ: attributes.uid, GROUP_OBJ: attributes.gid, MASK: 0, OTHER: 0}
    return [aclent(entry.tag | flag, owners.get(entry.tag, entry.id), entry.perm) for entry in acl]


def _unpacked(entries: Iterable[aclent]) -> Acl:
    """Return what was sent, in order; raises EINVAL for what can be no entry."""
    found = []
    for each in entries:
        tag = each.type & ~NFS_ACL_DEFAULT
        if tag not in _TAGS or (each.perm & ~_BITS and tag != MASK):
            raise error(errno.EINVAL)
        # Some set more bits in the mask.
        found.append(AclEntry(tag, each.perm & _BITS, each.id if tag in (USER, GROUP) else NO_ID))
    found.sort(key=lambda entry: (entry.tag, entry.id))
    perms = {entry.tag: entry.perm for entry in found}
    if len(found) == _MINIMAL + 1 and MASK in perms and perms[MASK] == perms.get(GROUP_OBJ):
        found = [entry for entry in found if entry.tag != MASK]
    return tuple(found)
