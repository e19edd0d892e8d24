"""The mix of calls that a file server for many clients sees: that of SPECsfs2008.

Rule: every lane has its own order, always the same, and its own files to change.
"""

from __future__ import annotations

import random
from typing import Any, Final

from nfsd.xdr.generated.nfs3 import (
    UNCHECKED,
    UNSTABLE,
    ACCESS3args,
    CREATE3args,
    READ3args,
    READDIR3args,
    READDIRPLUS3args,
    SETATTR3args,
    WRITE3args,
    createhow3,
    diropargs3,
)
from tests.bench import tree
from tests.bench.load import Call, Plan, Shape, call, without_payload
from tests.bench.site import PAGE_BYTES, PAGE_NAMES_BYTES, TARGET_BYTES, Site
from tests.wire import sattr

# Its operations for NFSv3, per cent.
SHARES: Final = {
    "LOOKUP": 24,
    "READ": 18,
    "WRITE": 10,
    "GETATTR": 26,
    "READLINK": 1,
    "READDIR": 1,
    "CREATE": 1,
    "REMOVE": 1,
    "FSSTAT": 1,
    "SETATTR": 4,
    "READDIRPLUS": 2,
    "ACCESS": 11,
}
FEW: Final = 1_000  # files that are looked at again and again
ALL_ACCESS: Final = 0x3F
NEW_FILE: Final = createhow3(UNCHECKED, sattr(0o644))
_BLOCK: Final = 8 * tree.KIB
_OVER: Final = 2  # times the shares that a lane goes through: its calls are 200
_SEED: Final = 5
_PAIRED: Final = "CREATE", "REMOVE"


def mix(site: Site, shape: Shape) -> Plan:
    """The plan of the mix."""
    return Plan([_lane(site, shape, number) for number in range(shape.lanes)])


def write(handle: bytes, offset: int, size: int, *, units: int = 1) -> Call:
    """An unstable WRITE whose data is the plan's payload."""
    arguments = WRITE3args(handle, offset, size, UNSTABLE, bytes(size))
    return without_payload(call("WRITE", arguments, units=units), size)


def procedures(chance: random.Random) -> list[str]:
    """The procedures that a lane calls, in an order that makes things before it removes them."""
    names = [name for name, share in SHARES.items() for _ in range(_OVER * share)]
    chance.shuffle(names)
    turns = 0
    for at, name in enumerate(names):
        if name in _PAIRED:
            names[at] = _PAIRED[turns % 2]
            turns += 1
    return names


def _lane(site: Site, shape: Shape, number: int) -> list[Call]:
    chance = random.Random(_SEED + number)
    own = diropargs3(site.directory(number // shape.outstanding), b"mix%d" % number)
    names = procedures(chance)
    if not site.has_readdirplus:
        names = ["READDIR" if name == "READDIRPLUS" else name for name in names]
    return [_call(site, name, chance, own, site.target(number)) for name in names]


def _call(site: Site, name: str, chance: random.Random, own: diropargs3, target: bytes) -> Call:
    at = chance.randrange(FEW)
    where = site.name(tree.files()[at])
    offset = _BLOCK * chance.randrange(TARGET_BYTES // _BLOCK)
    if name == "WRITE":
        return write(target, offset, _BLOCK)
    arguments: dict[str, Any] = {
        "LOOKUP": where,
        "READ": READ3args(site.big, offset, _BLOCK),
        "GETATTR": site.files[at],
        "READLINK": site.link,
        "READDIR": READDIR3args(where.dir, 0, bytes(8), PAGE_NAMES_BYTES),
        "READDIRPLUS": READDIRPLUS3args(where.dir, 0, bytes(8), PAGE_NAMES_BYTES, PAGE_BYTES),
        "CREATE": CREATE3args(own, NEW_FILE),
        "REMOVE": own,
        "FSSTAT": site.root,
        "SETATTR": SETATTR3args(target, sattr(0o600 | at & 0o77), None),
        "ACCESS": ACCESS3args(site.files[at], ALL_ACCESS),
    }
    return call(name, arguments[name])
