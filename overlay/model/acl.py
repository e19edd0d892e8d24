"""POSIX ACLs as Linux keeps them: the value of a system.posix_acl_* attribute.

See acl(5), and struct posix_acl_xattr_header in linux/posix_acl_xattr.h.
"""

from __future__ import annotations

import errno
import struct
from typing import Final, NamedTuple

from overlay.base.errors import error

ACCESS_ACL: Final = b"system.posix_acl_access"
DEFAULT_ACL: Final = b"system.posix_acl_default"

# Tags of entries, in the order in which they stand.
USER_OBJ: Final = 0x01
USER: Final = 0x02
GROUP_OBJ: Final = 0x04
GROUP: Final = 0x08
MASK: Final = 0x10
OTHER: Final = 0x20
NO_ID: Final = 0xFFFFFFFF  # of the entries that are for nobody in particular

_VERSION: Final = 2
_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")


class AclEntry(NamedTuple):
    """One entry of a POSIX ACL."""

    tag: int
    perm: int
    id: int


Acl = tuple[AclEntry, ...]


def parse_acl(value: bytes) -> Acl:
    """Return the entries in the value of a system.posix_acl_* attribute; raises EINVAL."""
    body = len(value) - _HEADER.size
    if body < 0 or body % _ENTRY.size or _HEADER.unpack_from(value)[0] != _VERSION:
        raise error(errno.EINVAL)
    return tuple(AclEntry(*entry) for entry in _ENTRY.iter_unpack(value[_HEADER.size :]))


def pack_acl(acl: Acl) -> bytes:
    """Return the value of a system.posix_acl_* attribute."""
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in acl)


def acl_of_mode(mode: int) -> Acl:
    """Return the ACL that permission bits are, where there is no other."""
    return (
        AclEntry(USER_OBJ, mode >> 6 & 7, NO_ID),
        AclEntry(GROUP_OBJ, mode >> 3 & 7, NO_ID),
        AclEntry(OTHER, mode & 7, NO_ID),
    )
