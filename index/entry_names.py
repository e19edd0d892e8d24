"""What entries of the index are called: after a number, or after one object alone.

#FILEID             the number that clients see, for the first object that had it
#FILEID.IDENTITY    flags, source, type and bytes of the kernel handle (index.identity), in
                    hexadecimal
"""

from __future__ import annotations

import struct
from typing import Final

from index.identity import Identity
from index.linux.file_handle import RealHandle

_OWN: Final = struct.Struct(">BHB")  # flags, source and type of the kernel handle, which follows


def number_name(fileid: int) -> bytes:
    return b"#%d" % fileid


def own_name(identity: Identity) -> bytes:
    """Return the name in the index that is one object's alone."""
    real = identity.real
    head = _OWN.pack(identity.flags, identity.source, real.type)
    return b"#%d.%s" % (identity.fileid, (head + real.data).hex().encode())


def fileid_of(name: bytes) -> int | None:
    """Return the number in the name of an entry; None if it is not one."""
    digits = name[1:]
    if digits.isdigit() and int(digits) < 1 << 64 and name == number_name(int(digits)):
        return int(digits)
    return None


def owner_of(name: bytes) -> Identity | None:
    """Return the object whose alone a name in the index is; None for any other name."""
    number, _, digits = name.partition(b".")
    fileid = fileid_of(number)
    try:
        owner = bytes.fromhex(digits.decode())
    except ValueError:
        return None
    if fileid is None or len(owner) < _OWN.size:
        return None
    flags, source, real_type = _OWN.unpack_from(owner)
    identity = Identity(flags, source, fileid, RealHandle(real_type, owner[_OWN.size :]))
    return identity if name == own_name(identity) else None
