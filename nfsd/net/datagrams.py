"""Calls by UDP: a datagram is a call, its answer is another, from the address that was called.

All workers wait at the same socket, and one of them takes each datagram.  UDP
promises nothing, and nor does this: what comes while too much is under way, or
again while it is under way, is dropped, and the client sends it again.

A datagram's sender is not known: its address may be forged, so that the answer goes to a
machine that has not asked.  So the answer is not much larger than the call, but for NFS
itself, where a client that asks for much has a handle, which was sent to it.
Longer lists are to be had by TCP.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic_ns
from typing import Any, Final, NamedTuple, TypeAlias

from nfsd.base.log import LOGGER, ONCE
from nfsd.net.client_usage import PAUSE_SECONDS, TURN_NANOSECONDS
from nfsd.net.event_loop import READABLE, Loop
from nfsd.net.listen_address import Address as BoundTo
from nfsd.net.offload import SlowCalls
from nfsd.net.shared_port import shared
from nfsd.net.thread_pool import FairPool
from nfsd.rpc.call_header import Peer, accepted
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.xdr.codec import Parts
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM
from nfsd.xdr.generated.nfsacl import NFS_ACL_PROGRAM
from nfsd.xdr.generated.rpc import SYSTEM_ERR
from overlay.base.errors import WouldBlock

Address: TypeAlias = tuple[Any, ...]
Ancillary: TypeAlias = list[tuple[int, int, bytes]]

_CALLER: Final = "datagrams"  # together, as the addresses may be anybody's
_DATAGRAM_MAX: Final = 1 << 16  # bytes
_BATCH: Final = 64  # answered before connections have their turn
_SLOW_MAX: Final = 64  # calls under way in threads
_PEERS: Final = 1024
_BUFFER_BYTES: Final = 1 << 20  # bytes of datagrams that may wait at the socket
_MARK: Final = 4  # bytes that a record begins with and a datagram does not
# An answer may be so many times as long as the call.
_FACTOR: Final = 3
_HANDED_OUT: Final = frozenset(struct.pack(">I", each) for each in (NFS_PROGRAM, NFS_ACL_PROGRAM))
_PROGRAM: Final = slice(12, 16)  # of a call's message
_IP_PKTINFO: Final = 8  # linux/in.h; the socket module has it from Python 3.12 on
_PKTINFO: Final = struct.Struct("@i4s4s")  # interface, our address, the header's address
_PKTINFO_SPACE: Final = socket.CMSG_SPACE(20)


def datagram_socket(at: BoundTo, before: Iterable[socket.socket] = ()) -> socket.socket:
    """Return a UDP socket that tells which address was called; raises OSError if it is taken.

    Those of before it may share the port with.
    """
    sock = socket.socket(at.family, socket.SOCK_DGRAM)
    try:
        if at.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        with shared(sock, at, before):
            sock.bind(at.sockaddr)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


class DatagramService(NamedTuple):
    """What is served by datagrams: by these sockets, what this dispatcher answers."""

    sockets: Sequence[socket.socket]
    dispatcher: Dispatcher


NO_DATAGRAMS: Final = DatagramService((), Dispatcher(()))


class Datagrams:
    """Reads one socket and answers; lives on the event loop's thread alone."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        loop: Loop,
        pool: FairPool,
        answered: Callable[[], None],
    ) -> None:
        """`answered` is called when a thread's call is."""
        self._sock = sock
        self._dispatcher = dispatcher
        self._slow_calls = SlowCalls(dispatcher, loop, pool)
        self._answered = answered
        self._loop = loop
        self._peers: dict[tuple[Address, str], Peer] = {}
        self._slow: set[tuple[Address, bytes]] = set()  # by address and xid
        self._is_finished = False
        self._go_on()

    @property
    def is_idle(self) -> bool:
        """Return whether all that was taken is answered."""
        return not self._slow

    def finish(self) -> None:
        """Take no more."""
        self._is_finished = True
        self._loop.forget(self._sock.fileno())

    def _readable(self, _: int) -> None:
        begun = monotonic_ns()
        for _ in range(_BATCH):
            try:
                datagram, ancillary, _, address = self._sock.recvmsg(_DATAGRAM_MAX, _PKTINFO_SPACE)
            except BlockingIOError:
                break
            except OSError:
                continue  # what was sent before could not be delivered
            self._answer(datagram, address, ancillary, begun)
            if monotonic_ns() - begun > TURN_NANOSECONDS:
                self._pause()
                break
        self._dispatcher.answered(begun)

    def _pause(self) -> None:
        """Leave most of the time to connections, whose clients are known; the kernel drops more."""
        self._loop.forget(self._sock.fileno())
        self._loop.call_later(PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if not self._is_finished:
            self._loop.watch(self._sock.fileno(), READABLE, self._readable)

    def _answer(self, datagram: bytes, address: Address, ancillary: Ancillary, begun: int) -> None:
        called, source = _called(ancillary)
        peer = self._peer(address, called)
        call, most = (address, datagram[:4]), _answer_max(datagram)
        if call in self._slow:
            return
        parts: Parts = []
        try:
            self._dispatcher.answer(datagram, peer, parts)
        except WouldBlock:
            if len(self._slow) < _SLOW_MAX:
                self._slow.add(call)
                done = partial(self._slow_done, call, source, most)
                self._slow_calls.give(_CALLER, datagram, peer, begun, done)
        else:
            self._send(parts, address, source, most)

    def _peer(self, address: Address, called: str) -> Peer:
        key = address, called
        peer = self._peers.get(key)
        if peer is None:
            if len(self._peers) >= _PEERS:
                for each in self._peers.values():
                    self._dispatcher.forget(each)
                self._peers.clear()
            host, port = address[:2]
            peer = self._peers[key] = Peer(host, port, called, is_datagram=True)
        return peer

    def _slow_done(
        self, call: tuple[Address, bytes], source: Ancillary, most: int, future: Future[Parts]
    ) -> None:
        self._slow.discard(call)
        if not future.cancelled():
            self._send(future.result(), call[0], source, most)
        self._answered()

    def _send(self, parts: Parts, address: Address, source: Ancillary, most: int) -> None:
        reply = b"".join(parts)[_MARK:]
        if not reply:
            return
        if len(reply) > most:
            self._refuse(reply, address, source)
            return
        try:
            self._sock.sendmsg([reply], source, 0, address)
        except OSError as problem:
            if problem.errno == errno.EMSGSIZE:
                self._refuse(reply, address, source)

    def _refuse(self, reply: bytes, address: Address, source: Ancillary) -> None:
        """Say that there is no reply that fits: else the client would ask again and again."""
        if ONCE.first("datagram", address[0]):
            LOGGER.warning("%s: a reply of %d bytes is too large for UDP", address[0], len(reply))
        refusal = accepted("", SYSTEM_ERR).reply(reply[:4])
        try:
            self._sock.sendmsg([refusal], source, 0, address)
        except OSError:
            return  # as any datagram, this one may be lost


def _answer_max(datagram: bytes) -> int:
    """Return how many bytes the answer to a call may have."""
    return _DATAGRAM_MAX if datagram[_PROGRAM] in _HANDED_OUT else _FACTOR * len(datagram)


def _called(ancillary: Ancillary) -> tuple[str, Ancillary]:
    """Our address that a datagram was sent to, and what has the reply sent from there."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, ours, _ = _PKTINFO.unpack(data)
            return socket.inet_ntoa(ours), [(level, kind, _PKTINFO.pack(0, ours, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return socket.inet_ntop(socket.AF_INET6, data[:16]), [(level, kind, data)]
    return "", []
