"""The workloads: what is called, on what, in which order.

Rule: a workload is a function from a server's tree and a shape to a plan, so all servers are asked
the same; what it changes it leaves as it was, but for files that are written to for the first time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from nfsd.xdr.generated.nfs3 import (
    ACCESS3args,
    COMMIT3args,
    CREATE3args,
    MKDIR3args,
    READ3args,
    RENAME3args,
    SETATTR3args,
    diropargs3,
)
from tests.bench import tree
from tests.bench.load import Call, Plan, Shape, call, of_the_new, shared_out
from tests.bench.mix import ALL_ACCESS, FEW, NEW_FILE, mix, write
from tests.bench.site import TARGET_BYTES, Site
from tests.wire import sattr

T = TypeVar("T")
SEED: Final = 5
NAMES: Final = 8  # that a lane makes and removes in turn
BLOCK: Final = 4 * tree.KIB
RANDOM_READS: Final = 8_192
RANDOM_WRITES: Final = 128  # of a lane
WRITES_OVER: Final = 2  # times that a file is written from end to end before a COMMIT
FIRST_WRITES: Final = 320  # of one run, altogether
NEW_FILES: Final = 640
REMOVED: Final = 64  # directories


@dataclass(frozen=True, slots=True)
class Workload:
    """`unit` is what its figure counts: calls, entries or bytes.

    A `ceiling` is the size in bytes of the replies of a responder that shows the generator's limit.
    With `fresh` each run needs a plan of its own; with `cold` each begins with a server just
    started and nothing in the kernel's caches, and makes each call once.
    """

    name: str
    plan: Callable[[Site, Shape], Plan]
    unit: str = "calls"
    ceiling: int | None = None
    fresh: bool = False
    cold: bool = False


def _null(site: Site, shape: Shape) -> Plan:
    return Plan([[call("NULL")]] * shape.lanes)


def _getattr_one(site: Site, shape: Shape) -> Plan:
    return Plan([[call("GETATTR", site.files[0])]] * shape.lanes)


def _getattr_all(site: Site, shape: Shape) -> Plan:
    return Plan(shared_out([call("GETATTR", each) for each in shuffled(site.files)], shape.lanes))


def _lookup(site: Site, shape: Shape) -> Plan:
    calls = [call("LOOKUP", site.name(path)) for path in tree.files()[:FEW]]
    return Plan(shared_out(calls, shape.lanes))


def _lookup_all(site: Site, shape: Shape) -> Plan:
    calls = [call("LOOKUP", site.name(path)) for path in shuffled(tree.files())]
    return Plan(shared_out(calls, shape.lanes))


def _access(site: Site, shape: Shape) -> Plan:
    calls = [call("ACCESS", ACCESS3args(each, ALL_ACCESS)) for each in site.files[:FEW]]
    return Plan(shared_out(calls, shape.lanes))


def _readdirplus(where: str, site: Site, shape: Shape) -> Plan:
    return Plan([_pages(site, where)] * shape.lanes)


def _walk_many(site: Site, shape: Shape) -> Plan:
    pages = [page for each in range(tree.MANY) for page in _pages(site, tree.many(each))]
    return Plan(shared_out(pages, shape.lanes))


def _pages(site: Site, where: str) -> list[Call]:
    return [call("READDIRPLUS", page, units=size) for page, size in site.pages(where)]


def _create_remove(site: Site, shape: Shape) -> Plan:
    def pair(where: diropargs3) -> list[Call]:
        return [call("CREATE", CREATE3args(where, NEW_FILE)), call("REMOVE", where)]

    return Plan(_names(site, shape, "create", pair), stride=2)


def _mkdir_rmdir(site: Site, shape: Shape) -> Plan:
    def pair(where: diropargs3) -> list[Call]:
        return [call("MKDIR", MKDIR3args(where, sattr(0o755))), call("RMDIR", where)]

    return Plan(_names(site, shape, "mkdir", pair), stride=2)


def _rename(site: Site, shape: Shape) -> Plan:
    def pair(where: diropargs3) -> list[Call]:
        site.file(where.dir, where.name)
        other = diropargs3(where.dir, where.name + b".renamed")
        return [
            call("RENAME", RENAME3args(where, other)),
            call("RENAME", RENAME3args(other, where)),
        ]

    return Plan(_names(site, shape, "rename", pair), stride=2)


def _setattr(site: Site, shape: Shape) -> Plan:
    def pair(where: diropargs3) -> list[Call]:
        handle = site.file(where.dir, where.name)
        return [call("SETATTR", SETATTR3args(handle, sattr(mode), None)) for mode in (0o600, 0o640)]

    return Plan(_names(site, shape, "setattr", pair), stride=2)


def _read_4k(site: Site, shape: Shape) -> Plan:
    chance = random.Random(SEED)
    offsets = [BLOCK * chance.randrange(tree.BIG_BYTES // BLOCK) for _ in range(RANDOM_READS)]
    calls = [call("READ", READ3args(site.big, at, BLOCK)) for at in offsets]
    return Plan(shared_out(calls, shape.lanes))


def _read_1m(site: Site, shape: Shape) -> Plan:
    offsets = range(0, tree.BIG_BYTES, tree.MIB)
    calls = [call("READ", READ3args(site.big, at, tree.MIB), units=tree.MIB) for at in offsets]
    return Plan(shared_out(calls, shape.lanes))


def _write_4k(site: Site, shape: Shape) -> Plan:
    def lane(number: int) -> list[Call]:
        chance = random.Random(SEED + number)
        blocks = chance.sample(range(TARGET_BYTES // BLOCK), RANDOM_WRITES)
        return [write(site.target(number), at * BLOCK, BLOCK) for at in blocks]

    return Plan([lane(number) for number in range(shape.lanes)])


def _write_1m(site: Site, shape: Shape) -> Plan:
    def lane(number: int) -> list[Call]:
        handle = site.target(number)
        offsets = [*range(0, TARGET_BYTES, tree.MIB)] * WRITES_OVER
        calls = [write(handle, at, tree.MIB, units=tree.MIB) for at in offsets]
        calls.append(call("COMMIT", COMMIT3args(handle, 0, 0), units=0))
        begin = number * len(calls) // shape.lanes  # the lanes do not commit all at once
        return calls[begin:] + calls[:begin]

    return Plan([lane(number) for number in range(shape.lanes)])


def _first_write(where: str, site: Site, shape: Shape) -> Plan:
    calls = [write(handle, 0, BLOCK) for handle in site.untouched(where, FIRST_WRITES)]
    return Plan(shared_out(calls, shape.lanes), once=True)


def _create_write_commit(site: Site, shape: Shape) -> Plan:
    """A unit is a file that is there, with its data on stable storage."""
    handle = site.file(site.directory(0), b"model")
    after = [
        of_the_new(write(handle, 0, BLOCK, units=0), handle),
        of_the_new(call("COMMIT", COMMIT3args(handle, 0, 0)), handle),
    ]

    def new(lane: int, number: int) -> list[Call]:
        where = diropargs3(site.directory(lane // shape.outstanding), b"new%d" % number)
        return [replace(call("CREATE", CREATE3args(where, NEW_FILE), units=0), makes=True), *after]

    return Plan(_each(site.unused("new files", NEW_FILES), shape, new), stride=3, once=True)


def _remove_all(site: Site, shape: Shape) -> Plan:
    """What `rm -r` asks of directories, each with the files that are in it."""

    def calls(lane: int, number: int) -> list[Call]:
        path = tree.removed(number)
        pages = [call("READDIRPLUS", page) for page, _ in site.pages(path)]
        names = [site.name(each) for each in tree.names_in(path, tree.REMOVED_NAMES)]
        return [*pages, *(call("REMOVE", each) for each in names), call("RMDIR", site.name(path))]

    return Plan(_each(site.unused("removed", REMOVED), shape, calls), once=True)


def _each(
    numbers: range, shape: Shape, calls: Callable[[int, int], list[Call]]
) -> list[list[Call]]:
    """The calls for each of these numbers, which are dealt to the lanes, each as many."""
    share = len(numbers) // shape.lanes
    return [
        [each for at in numbers[lane * share : (lane + 1) * share] for each in calls(lane, at)]
        for lane in range(shape.lanes)
    ]


def _names(
    site: Site, shape: Shape, what: str, calls: Callable[[diropargs3], list[Call]]
) -> list[list[Call]]:
    """For each lane calls on some names of its own, in the directory of its connection."""
    return [
        [
            each
            for name in range(NAMES)
            for each in calls(
                diropargs3(
                    site.directory(lane // shape.outstanding),
                    b"%s%d.%d" % (what.encode(), lane, name),
                )
            )
        ]
        for lane in range(shape.lanes)
    ]


def _once(plan: Callable[[Site, Shape], Plan], site: Site, shape: Shape) -> Plan:
    return replace(plan(site, shape), once=True)


def shuffled(values: Sequence[T]) -> list[T]:
    found = list(values)
    random.Random(SEED).shuffle(found)
    return found


WARM: Final = (
    Workload("null", _null, ceiling=0),
    Workload("getattr", _getattr_one),
    Workload("getattr 20k", _getattr_all),
    Workload("lookup", _lookup),
    Workload("access", _access),
    Workload("readdirplus", partial(_readdirplus, tree.LISTING), "entries"),
    Workload("readdirplus 10k", partial(_readdirplus, tree.WIDE), "entries"),
    Workload("readdirplus 100 x 100", _walk_many, "entries"),
    Workload("create + remove", _create_remove),
    Workload("mkdir + rmdir", _mkdir_rmdir),
    Workload("rename", _rename),
    Workload("setattr", _setattr),
    Workload("read 4k", _read_4k),
    Workload("read 1m", _read_1m, "bytes", ceiling=tree.MIB),
    Workload("write 4k", _write_4k),
    Workload("write 1m", _write_1m, "bytes", ceiling=0),
    Workload("create + write + commit", _create_write_commit, fresh=True),
    Workload("first write", partial(_first_write, tree.SMALL), fresh=True),
    Workload("first write depth 12", partial(_first_write, tree.DEEP), fresh=True),
    Workload("first write 64k", partial(_first_write, tree.MEDIUM), fresh=True),
    Workload("rm -r", _remove_all, fresh=True),
    Workload("mix", mix),
)

COLD: Final = tuple(
    Workload(name, partial(_once, plan), unit, cold=True)
    for name, plan, unit in (
        ("getattr 20k", _getattr_all, "calls"),
        ("lookup 20k", _lookup_all, "calls"),
        ("readdirplus", partial(_readdirplus, tree.LISTING), "entries"),
        ("readdirplus 10k", partial(_readdirplus, tree.WIDE), "entries"),
        ("readdirplus 100 x 100", _walk_many, "entries"),
        ("read 4k", _read_4k, "calls"),
        ("read 1m", _read_1m, "bytes"),
    )
)
