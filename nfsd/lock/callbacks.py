"""Calls from the server to the programs that its clients run for locking, over UDP.

They are sent from the sockets that clients call, so that they come from an address that the
client knows.  The client's rpcbind says which port a program has.

A datagram may have a forged sender.  So an address that has neither answered nor called by
TCP gets one call, whatever there is to tell it, and the next after four times as long.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final

from nfsd.net.wait import Wait
from nfsd.portmap.rpcbind import host_and_port
from nfsd.rpc.client import RefusedError, header, results
from nfsd.xdr.codec import A, Buffer, R, Signature, XdrError, decode, encode
from nfsd.xdr.generated.nlm4 import NLM4_PROGRAM
from nfsd.xdr.generated.rpc import AUTH_SYS, REPLY, authsys_parms, opaque_auth, pack_authsys_parms
from nfsd.xdr.generated.rpcbind import (
    PMAP_PORT,
    PMAPPROC_GETPORT,
    PMAPVERS,
    PMAPVERS_SIGNATURES,
    RPCBPROC4_GETADDR,
    RPCBPROG,
    RPCBVERS4,
    RPCBVERS4_SIGNATURES,
    mapping,
    rpcb,
)

_GETPORT: Final = PMAPVERS_SIGNATURES[PMAPPROC_GETPORT]
_GETADDR: Final = RPCBVERS4_SIGNATURES[RPCBPROC4_GETADDR]
_LIFETIME: Final = 60.0  # seconds for which a port is believed
_KNOWN: Final = 10_000
_PROVEN_SECONDS: Final = 3600.0  # for which a client that has answered is taken to be there
_FIRST_PAUSE: Final = 4.0  # between two attempts at an address that has not answered
_LONGEST_PAUSE: Final = 256.0
# Of a message: where the xid ends, and the type.
_XID: Final = 4
_TYPE: Final = 8
_REPLY: Final = struct.pack(">I", REPLY)


class CallbackError(OSError):
    """The client cannot be called, or answers with an error of RPC."""


def _uncounted() -> None:
    """Do nothing: the caller does not count."""


class Callbacks:
    """Makes calls, as work of nfsd.net.wait; `sockets` are UDP, bound and not blocking."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        self._xids = itertools.count(random.getrandbits(32))
        self._waiting: dict[tuple[bytes, str], Wait] = {}  # by xid and address
        self._ports: dict[tuple[str, int, int], tuple[float, int]] = {}
        self._proven: dict[str, float] = {}  # addresses, until when
        # Of other addresses: when they may be called again, and the pause after that.
        self._attempts: dict[str, tuple[float, float]] = {}
        parms = authsys_parms(0, os.fsencode(socket.gethostname())[:255], 0, 0, ())
        self._cred = opaque_auth(AUTH_SYS, encode(pack_authsys_parms, parms))

    async def call(
        self,
        address: str,
        program: tuple[int, int],
        signature: Signature[A, R],
        arguments: A,
        patience: float,
        sending: Callable[[], None] = _uncounted,
    ) -> R:
        """Return the result of a call, sent once, to a program of a version at an address.

        `sending` is called when the client's port is known, and the call itself goes out.
        Raises CallbackError, TimeoutError after `patience` seconds without an answer.
        An address that has not shown that a client is there is called about locks now and then
        only: otherwise CallbackError is raised at once.
        """
        if program[0] == NLM4_PROGRAM and not self._may_ask(address):
            raise CallbackError(f"{address} has not answered yet")
        until = time.monotonic() + patience
        try:
            port = await self._port(address, program, until)
            sending()
            return await self._ask((address, port), program, signature, arguments, until)
        except OSError:
            self._ports.pop((address, *program), None)  # it may have another now
            raise

    def heard(self, datagram: Buffer, address: str) -> bool:
        """Return whether a datagram is a reply and not a call; the call that waits has it then."""
        if bytes(datagram[_XID:_TYPE]) != _REPLY:
            return False
        answer = self._waiting.get((bytes(datagram[:_XID]), address))
        if answer is not None:
            self.proven(address)
            answer.end(bytes(datagram))
        return True

    def proven(self, address: str) -> None:
        """Record that a client at an address wants to hear from us."""
        if address not in self._proven and len(self._proven) >= _KNOWN:
            del self._proven[next(iter(self._proven))]
        self._proven[address] = time.monotonic() + _PROVEN_SECONDS
        self._attempts.pop(address, None)

    def _may_ask(self, address: str) -> bool:
        """Return whether an address may be called now."""
        now = time.monotonic()
        if self._proven.get(address, 0.0) > now:
            return True
        when, pause = self._attempts.get(address, (now, _FIRST_PAUSE))
        if now < when:
            return False
        if address not in self._attempts and len(self._attempts) >= _KNOWN:
            del self._attempts[next(iter(self._attempts))]
        self._attempts[address] = now + pause, min(4 * pause, _LONGEST_PAUSE)
        return True

    async def _port(self, address: str, program: tuple[int, int], until: float) -> int:
        known = self._ports.get((address, *program))
        if known is not None and known[0] > time.monotonic():
            return known[1]
        to = address, PMAP_PORT
        if ":" in address:
            wanted = rpcb(*program, b"udp6", b"", b"")
            port = _port_of(await self._ask(to, (RPCBPROG, RPCBVERS4), _GETADDR, wanted, until))
        else:
            asked = mapping(*program, socket.IPPROTO_UDP, 0)
            port = await self._ask(to, (RPCBPROG, PMAPVERS), _GETPORT, asked, until)
        if not 0 < port < 1 << 16:
            raise CallbackError(f"{address} does not serve program {program[0]}")
        if len(self._ports) >= _KNOWN:
            self._ports.clear()
        self._ports[address, *program] = time.monotonic() + _LIFETIME, port
        return port

    async def _ask(
        self,
        to: tuple[str, int],
        program: tuple[int, int],
        signature: Signature[A, R],
        arguments: A,
        until: float,
    ) -> R:
        """Return the result of a call."""
        xid = struct.pack(">I", next(self._xids) & 0xFFFFFFFF)
        message = xid + header(*program, signature.number, self._cred)
        answer = self._waiting[xid, to[0]] = Wait(until - time.monotonic())
        try:
            packed = encode(signature.pack_arguments, arguments)
            self._socket_to(*to).sendto(message + packed, to)
            reply = await answer
            if reply is not None:
                return decode(signature.unpack_results, reply, results(reply)[1])
        except (OSError, RefusedError, XdrError) as error:
            raise CallbackError(f"{to[0]}: {signature.name}: {error}") from error
        finally:
            del self._waiting[xid, to[0]]
        raise TimeoutError

    def _socket_to(self, address: str, port: int) -> socket.socket:
        """Return the socket to call from: the one with the address that leads to the client."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        ours = [each for each in self._sockets if each.family == family]
        if not ours:
            raise CallbackError(f"{address}: no socket of its family")
        if len(ours) > 1:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, port))
                host = probe.getsockname()[0]
            ours.sort(key=lambda each: each.getsockname()[0] not in (host, "0.0.0.0", "::"))
        return ours[0]


def _port_of(address: bytes) -> int:
    """Return the port in a universal address; 0 if there is none."""
    try:
        return host_and_port(address.decode())[1]
    except ValueError:
        return 0
