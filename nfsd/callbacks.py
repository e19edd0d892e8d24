"""Calls from the server to its clients: to the programs that they run for locking, over UDP.

They leave by the sockets at which clients call us, so that they come from the address
that a client knows.  Which port a program has is asked of the client's rpcbind.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

from nfsd.xdr.codec import Parts, Signature, XdrError, decode, encode
from nfsd.xdr.rpc import (
    AUTH_NONE,
    AUTH_SYS,
    CALL,
    REPLY,
    RPC_VERSION,
    SUCCESS,
    authsys_parms,
    call_body,
    opaque_auth,
    pack_authsys_parms,
    pack_rpc_msg,
    rpc_msg,
    rpc_msg_body,
    unpack_rpc_msg,
)

_RPCBIND: Final = 100000
_RPCBIND_PORT: Final = 111
_PORTMAP_VERSION: Final = 2  # RFC 1833 section 3
_GETPORT: Final = 3
_RPCBIND_VERSION: Final = 4  # RFC 1833 section 2
_GETADDR: Final = 3
_LIFETIME: Final = 60.0  # seconds for which a port is believed
_KNOWN: Final = 10_000
_TYPE: Final = struct.Struct(">II")  # xid and message type
_NO_AUTH: Final = opaque_auth(AUTH_NONE, b"")


class CallbackError(OSError):
    """The client cannot be called, or answers with an error of RPC."""


class Callbacks:
    """Makes calls on the event loop; `sockets` are UDP, bound and not blocking."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        self._xids = itertools.count(random.getrandbits(32))
        self._waiting: dict[tuple[int, str], asyncio.Future[bytes]] = {}
        self._ports: dict[tuple[str, int, int], tuple[float, int]] = {}
        parms = authsys_parms(0, os.fsencode(socket.gethostname())[:255], 0, 0, ())
        self._cred = opaque_auth(AUTH_SYS, encode(pack_authsys_parms, parms))

    async def call(
        self,
        address: str,
        program: tuple[int, int],
        signature: Signature,
        arguments: Any,  # noqa: ANN401 - by procedure
        patience: float,
    ) -> Any:  # noqa: ANN401 - by procedure
        """The result of a call, sent once, to a program of a version at an address.

        Raises CallbackError, TimeoutError after `patience` seconds without an answer.
        """
        packed: Parts = []
        signature.pack_arguments(arguments, packed)
        async with asyncio.timeout(patience):
            try:
                port = await self._port(address, program)
                results = await self._ask(
                    (address, port), program, signature.number, b"".join(packed)
                )
            except (CallbackError, asyncio.CancelledError):
                self._ports.pop((address, *program), None)  # it may have another now
                raise
        try:
            return decode(signature.unpack_results, results)
        except XdrError as error:
            raise CallbackError(f"{address}: {signature.name}: {error}") from error

    def heard(self, datagram: bytes, address: str) -> bool:
        """Whether a datagram is a reply and not a call; who waits for it has it then."""
        if len(datagram) < _TYPE.size:
            return False
        xid, kind = _TYPE.unpack_from(datagram)
        if kind != REPLY:
            return False
        future = self._waiting.get((xid, address))
        if future is not None and not future.done():
            future.set_result(datagram)
        return True

    async def _port(self, address: str, program: tuple[int, int]) -> int:
        known = self._ports.get((address, *program))
        if known is not None and known[0] > time.monotonic():
            return known[1]
        at = address, _RPCBIND_PORT
        if ":" in address:
            asked = struct.pack(">2I", *program) + _string(b"udp6") + 2 * _string(b"")
            results = await self._ask(at, (_RPCBIND, _RPCBIND_VERSION), _GETADDR, asked)
            port = _port_of(results)
        else:
            asked = struct.pack(">4I", *program, socket.IPPROTO_UDP, 0)
            results = await self._ask(at, (_RPCBIND, _PORTMAP_VERSION), _GETPORT, asked)
            port = int.from_bytes(results, "big")
        if not 0 < port < 1 << 16:
            raise CallbackError(f"{address} does not serve program {program[0]}")
        if len(self._ports) >= _KNOWN:
            self._ports.clear()
        self._ports[address, *program] = time.monotonic() + _LIFETIME, port
        return port

    async def _ask(
        self, to: tuple[str, int], program: tuple[int, int], procedure: int, arguments: bytes
    ) -> bytes:
        """The results of a call, as they were packed."""
        xid = next(self._xids) & 0xFFFFFFFF
        call = call_body(RPC_VERSION, *program, procedure, self._cred, _NO_AUTH)
        header = encode(pack_rpc_msg, rpc_msg(xid, rpc_msg_body(CALL, cbody=call)))
        future = asyncio.get_running_loop().create_future()
        self._waiting[xid, to[0]] = future
        try:
            self._socket_to(*to).sendto(header + arguments, to)
            return _results(await future, to[0])
        except OSError as error:
            raise CallbackError(f"{to[0]}: {error}") from error
        finally:
            del self._waiting[xid, to[0]]

    def _socket_to(self, address: str, port: int) -> socket.socket:
        """The socket to call an address from: the one at the address that we have there."""
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


def _results(reply: bytes, address: str) -> bytes:
    try:
        message, at = unpack_rpc_msg(reply, 0)
    except (XdrError, struct.error) as error:
        raise CallbackError(f"{address}: {error}") from error
    body = message.body.rbody
    if body is None or body.areply is None or body.areply.reply_data.stat != SUCCESS:
        raise CallbackError(f"{address}: the call is refused: {body}")
    return reply[at:]


def _string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text + bytes(-len(text) % 4)


def _port_of(results: bytes) -> int:
    """The port in a universal address, `::1.3.232` (RFC 5665); 0 if there is none."""
    parts = results[4 : 4 + int.from_bytes(results[:4], "big")].split(b".")
    if len(parts) < 3 or not all(part.isdigit() and int(part) < 256 for part in parts[-2:]):
        return 0
    return int(parts[-2]) << 8 | int(parts[-1])
