"""Attacks on the process that has all locks, by clients that are let in.

Each frees at its end what it has taken, as a client does that starts anew, so that levels
can be what they were.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from nfsd.xdr.generated.nlm4 import (
    FSA_R,
    FSM_DN,
    NLM4_PROGRAM,
    NLM4_V4,
    nlm4_lock,
    nlm4_lockargs,
    nlm4_notify,
    nlm4_res,
    nlm4_share,
    nlm4_shareargs,
    nlm4_testargs,
    nlm4_unlockargs,
)
from nfsd.xdr.generated.nsm import SM_PROG, SM_VERS, stat_chge
from tests.client import Client, auth_sys
from tests.hostile.crowd import Crowd, framed, message, push
from tests.hostile.target import NEIGHBOURS, Target
from tests.locking import NLM, NSM

_NAME: Final = b"hostile"
_MANY: Final = 2_000  # that wait, or locks of one owner
_CONNECTIONS: Final = 30
_AT_ONCE: Final = 20  # calls


def nlm(name: str, arguments: object) -> bytes:
    """A call of NLM."""
    return framed(message(NLM4_PROGRAM, NLM4_V4, NLM[name], arguments, auth_sys()))


def lock(
    handle: bytes, owner: int, begin: int = 0, size: int = 0, name: bytes = _NAME, room: int = 0
) -> nlm4_lock:
    """A lock of an owner whose name has so many bytes at least."""
    return nlm4_lock(name, handle, b"%d" % owner + b"x" * room, owner, begin, size)


def wish(wanted: nlm4_lock, *, exclusive: bool = True, block: bool = False) -> bytes:
    """LOCK."""
    return nlm("LOCK", nlm4_lockargs(b"c", block, exclusive, wanted, False, 1))


def unlock(what: nlm4_lock) -> bytes:
    """UNLOCK."""
    return nlm("UNLOCK", nlm4_unlockargs(b"c", what))


@contextmanager
def freed(target: Target, names: Callable[[], list[bytes]] = lambda: [_NAME]) -> Iterator[None]:
    """Free at the end what clients of these names have."""
    try:
        yield
    finally:
        for address in NEIGHBOURS:
            with suppress(OSError), Client(target.lock_port, source=(address, 0)) as client:
                for name in names():
                    client.call(NLM4_PROGRAM, NLM4_V4, NLM["FREE_ALL"], nlm4_notify(name, 1))


def flood(target: Target, until: float, calls: Callable[[], bytes], addresses: int = 1) -> None:
    """Send calls over many connections, and read the answers."""
    push(Crowd(target.lock_port, NEIGHBOURS[:addresses], _CONNECTIONS), until, calls, reads=True)


def lock_waiters(target: Target, until: float) -> None:
    """Two thousand wait for one lock, which is given up and taken again, over and over."""
    file = target.files[1]
    numbers = itertools.count(1)

    def calls() -> bytes:
        number = next(numbers)
        if number < _MANY // _AT_ONCE:
            owners = range(number * _AT_ONCE, (number + 1) * _AT_ONCE)
            return b"".join(wish(lock(file, each, each % 9), block=True) for each in owners)
        chosen = random.randrange(_MANY)
        return unlock(lock(file, 0)) + unlock(lock(file, chosen)) + wish(lock(file, 0), block=True)

    with freed(target):
        with Client(target.lock_port, source=(NEIGHBOURS[0], 0)) as client:
            holder = nlm4_lockargs(b"c", False, True, lock(file, 0), False, 1)
            client.call(NLM4_PROGRAM, NLM4_V4, NLM["LOCK"], holder)
        flood(target, until, calls)


def lock_owners(target: Target, until: float) -> None:
    """Ever new owners have a byte each of one file, and ask for all of it."""
    file, numbers = target.files[2], itertools.count()

    def calls() -> bytes:
        some = list(itertools.islice(numbers, _AT_ONCE))
        made = (wish(lock(file, each, 2 * each, 1), exclusive=each % 2 == 0) for each in some)
        tested = nlm("TEST", nlm4_testargs(b"c", True, lock(file, some[0])))
        return b"".join(made) + tested + wish(lock(file, some[0]), block=True)

    with freed(target):
        flood(target, until, calls, 2)


def lock_memory(target: Target, until: float) -> None:
    """Locks with names as long as can be, of several clients, on many files."""
    numbers = itertools.count()
    files = target.files[3:]

    def calls() -> bytes:
        some = itertools.islice(numbers, _AT_ONCE)
        made = (wish(lock(files[each % len(files)], each, each, 1, room=1000)) for each in some)
        return b"".join(made)

    with freed(target):
        flood(target, until, calls, len(NEIGHBOURS))


def lock_names(target: Target, until: float) -> None:
    """Ever new clients at one address."""
    file, numbers = target.files[4], itertools.count()
    prefix = b"%x-" % random.getrandbits(32)

    def calls() -> bytes:
        some = itertools.islice(numbers, _AT_ONCE)
        return b"".join(wish(lock(file, 1, each, 1, prefix + b"%d" % each)) for each in some)

    with freed(target, lambda: [prefix + b"%d" % each for each in range(min(next(numbers), 5000))]):
        flood(target, until, calls)


def locks_given_up(target: Target, until: float) -> None:
    """One owner has thousands of locks, and gives them all up at once, and so again."""
    file, numbers = target.files[5], itertools.count()

    def calls() -> bytes:
        number = next(numbers) * _AT_ONCE
        made = (wish(lock(file, 1, 2 * each, 1)) for each in range(number, number + _AT_ONCE))
        over = number % _MANY < _AT_ONCE
        return b"".join(made) + (unlock(lock(file, 1)) + wish(lock(file, 2)) if over else b"")

    with freed(target):
        flood(target, until, calls)


def lock_restarts(target: Target, until: float) -> None:
    """Clients start anew all the time, by all their names; others wait for their locks."""
    file, numbers = target.files[6], itertools.count()

    def calls() -> bytes:
        number = next(numbers)
        name = _NAME + b"-%d" % (number % 50)
        told = message(SM_PROG, SM_VERS, NSM["NOTIFY"], stat_chge(name, number), auth_sys())
        made = [wish(lock(file, each, each, 5, name), block=True) for each in range(_AT_ONCE)]
        return b"".join(made) + framed(told) + nlm("FREE_ALL", nlm4_notify(name, 1))

    with freed(target, lambda: [_NAME + b"-%d" % number for number in range(50)]):
        flood(target, until, calls, 2)


def lock_messages(target: Target, until: float) -> None:
    """What is answered by a call in the other direction, by a client that has no rpcbind."""
    file, numbers = target.files[7], itertools.count()

    def calls() -> bytes:
        some = itertools.islice(numbers, _AT_ONCE)
        asked = [nlm4_lockargs(b"c", True, True, lock(file, each % 500), False, 1) for each in some]
        said = nlm("GRANTED_RES", nlm4_res(random.randbytes(8), 1))
        return b"".join(nlm("LOCK_MSG", each) for each in asked) + said

    with freed(target):
        flood(target, until, calls, 2)


def lock_circles(target: Target, until: float) -> None:
    """Owners that have one file each and wait for the next."""
    files, numbers = target.files[8:40], itertools.count()

    def calls() -> bytes:
        some = list(itertools.islice(numbers, _AT_ONCE))
        shared = (
            wish(lock(files[each % len(files)], each, each, 1), exclusive=False) for each in some
        )
        waits = (wish(lock(files[(each + 1) % len(files)], each), block=True) for each in some)
        return b"".join(shared) + b"".join(waits)

    with freed(target):
        flood(target, until, calls)


def reservations(target: Target, until: float) -> None:
    """Ever new share reservations on one file, and handles that are none."""
    numbers = itertools.count()

    def calls() -> bytes:
        number = next(numbers)
        share = nlm4_share(_NAME, target.files[9], b"%d" % number, FSM_DN, FSA_R)
        junk = wish(lock(random.randbytes(random.randrange(65)), 1))
        return nlm("SHARE", nlm4_shareargs(b"c", share, number % 3 == 0)) * 2 + junk

    with freed(target):
        flood(target, until, calls, 2)


LOCK_ATTACKS: Final = (
    *(lock_waiters, lock_owners, lock_memory, lock_names, locks_given_up),
    *(lock_restarts, lock_messages, lock_circles, reservations),
)
