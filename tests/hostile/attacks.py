"""The attacks: each goes on until a time, in a process of its own, and cares for no answer.

Rule: an attack ends by itself; whatever the server does to it is no failure.
"""

from __future__ import annotations

import itertools
import random
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nfsd.rpc.record import mark
from nfsd.xdr.generated.mount import MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES
from nfsd.xdr.generated.nfs3 import (
    FILE_SYNC,
    NFS_PROGRAM,
    NFS_V3,
    UNCHECKED,
    CREATE3args,
    READ3args,
    WRITE3args,
    createhow3,
    diropargs3,
)
from nfsd.xdr.generated.nlm4 import NLM4_PROGRAM, NLM4_V4, nlm4_lock, nlm4_lockargs
from tests.client import NFS, auth_sys
from tests.hostile.crowd import Crowd, framed, message, nfs, push
from tests.hostile.lock_attacks import LOCK_ATTACKS
from tests.hostile.target import NEIGHBOURS, STRANGERS, Target
from tests.locking import NLM
from tests.wire import sattr

Attack = Callable[[Target, float], None]

MNT, DUMP, EXPORT = (MOUNT_V3_SIGNATURES[number] for number in (1, 2, 5))
_SENT_AT_ONCE: Final = 100  # calls
_MANY: Final = 300  # connections


def deaf_strangers(target: Target, until: float) -> None:
    """Ask for the exports and never read the answers, on ever more connections."""
    call = framed(message(MOUNT_PROGRAM, MOUNT_V3, EXPORT, None)) * _SENT_AT_ONCE
    push(Crowd(target.port, STRANGERS, 4 * _MANY, 2048), until, lambda: call)


def deaf_neighbours(target: Target, until: float) -> None:
    """The same with file contents, by clients that are let in."""
    large = nfs("READ", READ3args(target.files[-1], 1, 1 << 20)) * 4
    push(Crowd(target.port, NEIGHBOURS, _MANY, 2048), until, lambda: large)


def small_answers(target: Target, until: float) -> None:
    """Calls with the smallest answers, never read, by clients that are let in."""
    call = framed(message(NFS_PROGRAM, NFS_V3, NFS["NULL"], None)) * 1000
    push(Crowd(target.port, NEIGHBOURS, _MANY, 2048), until, lambda: call)


def slow_writers(target: Target, until: float) -> None:
    """Send a byte at a time of a call, on many connections."""
    call = framed(message(MOUNT_PROGRAM, MOUNT_V3, MNT, b"/" + b"x" * 1000))
    crowd = Crowd(target.port, STRANGERS + NEIGHBOURS, _MANY)
    push(crowd, until, itertools.cycle(bytes([byte]) for byte in call).__next__)


def half_records(target: Target, until: float) -> None:
    """Send the largest call but its last byte, over and over, by clients that are let in."""
    large = mark(1 << 20) + bytes((1 << 20) - 1)
    sent: set[socket.socket] = set()
    crowd = Crowd(target.port, NEIGHBOURS, _MANY)
    for sock in crowd:
        if time.monotonic() > until:
            return
        if sock in sent:
            time.sleep(0.001)
            continue
        sent.add(sock)
        sock.settimeout(0.2)
        try:
            sock.sendall(large)
        except OSError:
            crowd.lost(sock)


def promised_records(target: Target, until: float) -> None:
    """The same by strangers."""
    large = mark(1 << 20) + bytes(10_000)
    push(Crowd(target.port, STRANGERS, _MANY), until, lambda: large)


def fragments(target: Target, until: float) -> None:
    """A record in fragments of two bytes, which never ends."""
    data = (struct.pack(">I", 2) + b"ab") * 1000
    push(Crowd(target.port, STRANGERS + NEIGHBOURS, 40), until, lambda: data)


def comings_and_goings(target: Target, until: float) -> None:
    """Connect, send half a call and reset the connection, as quickly as can be."""
    addresses = itertools.cycle(STRANGERS + NEIGHBOURS)
    while time.monotonic() < until:
        with socket.socket() as sock, suppress(OSError):
            sock.settimeout(2)
            sock.bind((next(addresses), 0))
            sock.connect(("127.0.0.1", random.choice((target.port, target.lock_port))))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.send(mark(100) + bytes(50))


def mounts(target: Target, until: float) -> None:
    """Mount what is not there and what is, by ever new paths; read the answers."""
    numbers = itertools.count()

    def calls() -> bytes:
        paths = (b"/export" + b"/." * (next(numbers) % 400) for _ in range(20))
        more = (b"/%08d" % next(numbers) + b"\x01" * 1000 for _ in range(20))
        made = (message(MOUNT_PROGRAM, MOUNT_V3, MNT, path) for path in (*paths, *more))
        return b"".join(map(framed, made))

    push(Crowd(target.port, STRANGERS[:4] + NEIGHBOURS, 20), until, calls, reads=True)


def headers(target: Target, until: float) -> None:
    """Ever new credentials with as many groups as there can be."""
    users = itertools.count(1000)

    def calls() -> bytes:
        creds = (
            auth_sys(user, user, range(user, user + 16)) for user in itertools.islice(users, 50)
        )
        made = (message(NFS_PROGRAM, NFS_V3, NFS["GETATTR"], target.root, cred) for cred in creds)
        return b"".join(map(framed, made))

    push(Crowd(target.port, STRANGERS[:4] + NEIGHBOURS, 40), until, calls, reads=True)


def noise(target: Target, until: float) -> None:
    """What is no call at all, in records and without."""

    def records() -> bytes:
        return framed(random.randbytes(random.randrange(300))) * 20 + random.randbytes(50)

    push(Crowd(target.port, STRANGERS + NEIGHBOURS, 40), until, records, reads=True)


def datagrams(target: Target, until: float) -> None:
    """Calls of all kinds by UDP, from many addresses, to both ports."""
    lock = nlm4_lock(b"nobody", target.files[1], b"owner", 1, 0, 0)
    made = [
        message(MOUNT_PROGRAM, MOUNT_V3, EXPORT, None),
        message(MOUNT_PROGRAM, MOUNT_V3, DUMP, None),
        message(MOUNT_PROGRAM, MOUNT_V3, MNT, b"/export"),
        message(NFS_PROGRAM, NFS_V3, NFS["GETATTR"], target.root, auth_sys()),
        message(NFS_PROGRAM, NFS_V3, NFS["READ"], READ3args(target.files[-1], 0, 1 << 15)),
    ]
    block = nlm4_lockargs(b"cookie", True, True, lock, False, 1)
    locking = message(NLM4_PROGRAM, NLM4_V4, NLM["LOCK"], block, auth_sys())
    socks = []
    for address in STRANGERS + NEIGHBOURS:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        sock.setblocking(False)
        socks.append(sock)
    for sock in itertools.cycle(socks):
        if time.monotonic() > until:
            return
        with suppress(OSError):
            sock.sendto(random.choice(made), ("127.0.0.1", target.port))
            sock.sendto(random.choice((locking, made[0])), ("127.0.0.1", target.lock_port))


def many_calls(target: Target, until: float) -> None:
    """Clients that are let in, each with many connections, and calls without pause."""
    call = nfs("GETATTR", target.root) * _SENT_AT_ONCE
    push(Crowd(target.port, NEIGHBOURS[:2], 100), until, lambda: call, reads=True)


def stable_writes(target: Target, until: float) -> None:
    """One client that has as many stable writes under way as it can."""
    data = bytes(8192)
    numbers = itertools.cycle(range(1, 40))

    def calls() -> bytes:
        files = [target.files[next(numbers)] for _ in range(8)]
        return b"".join(
            nfs("WRITE", WRITE3args(file, 0, len(data), FILE_SYNC, data)) for file in files
        )

    push(Crowd(target.port, NEIGHBOURS[:1], 60), until, calls, reads=True)


def names(target: Target, until: float) -> None:
    """Make files without end, over many connections of one client."""
    numbers, prefix = itertools.count(), b"%x" % random.getrandbits(32)

    def calls() -> bytes:
        how = createhow3(UNCHECKED, sattr(0o644))
        where = (diropargs3(target.root, prefix + b"-%d" % next(numbers)) for _ in range(8))
        return b"".join(nfs("CREATE", CREATE3args(each, how)) for each in where)

    push(Crowd(target.port, NEIGHBOURS[:1], 30), until, calls, reads=True)


ATTACKS: Final[dict[str, Attack]] = {
    each.__name__.replace("_", " "): each
    for each in (
        *(deaf_strangers, promised_records, slow_writers, fragments, comings_and_goings),
        *(mounts, headers, noise, datagrams, deaf_neighbours, small_answers, half_records),
        *(many_calls, stable_writes, names, *LOCK_ATTACKS),
    )
}
