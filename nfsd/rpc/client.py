"""The calling side of ONC RPC, for the few calls that a server makes itself.

One call at a time, over a connection or by datagrams; every wait has an end.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Final

from nfsd.rpc.record import RecordReader, mark
from nfsd.xdr.codec import A, Buffer, R, Signature, XdrError, decode, encode
from nfsd.xdr.generated.rpc import (
    AUTH_NONE,
    CALL,
    MSG_ACCEPTED,
    REPLY,
    RPC_VERSION,
    SUCCESS,
    accept_stat,
    call_body,
    opaque_auth,
    pack_rpc_msg,
    rpc_msg,
    rpc_msg_body,
    unpack_rpc_msg,
)

NO_AUTH: Final = opaque_auth(AUTH_NONE, b"")
_XID: Final = struct.Struct(">I")
_PLAIN: Final = struct.pack(">5I", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, SUCCESS)
_REPLY_MAX: Final = 1 << 20  # bytes
_BUFFER: Final = 64 << 10  # bytes; no datagram is larger


class RefusedError(Exception):
    """RPC itself refused a call; the text says how."""


def header(program: int, version: int, procedure: int, cred: opaque_auth = NO_AUTH) -> bytes:
    """Return a call's header without its xid."""
    body = call_body(RPC_VERSION, program, version, procedure, cred, NO_AUTH)
    return encode(pack_rpc_msg, rpc_msg(0, rpc_msg_body(CALL, cbody=body)))[4:]


def results(record: Buffer) -> tuple[int, int]:
    """Return the xid of a reply, and where its results begin; raises RefusedError and XdrError."""
    if len(record) < 4:
        raise XdrError(f"a record of {len(record)} bytes")
    (xid,) = _XID.unpack_from(record)
    if bytes(record[4:24]) == _PLAIN:
        return xid, 24
    try:
        message, at = unpack_rpc_msg(record, 0)
    except struct.error as error:
        raise XdrError(f"truncated: {error}") from error
    reply = message.body.rbody
    if reply is None or reply.areply is None:
        raise RefusedError(f"RPC: the call is denied: {reply}")
    stat = reply.areply.reply_data.stat
    if stat != SUCCESS:
        raise RefusedError(f"RPC: {accept_stat(stat).name}")
    return xid, at


def ask(sock: socket.socket, message: bytes, seconds: float) -> bytes:
    """Return the results of one call, whose header and arguments are given without the xid.

    Raises OSError, TimeoutError after so many seconds, RefusedError and XdrError.
    """
    xid = os.urandom(4)
    deadline = time.monotonic() + seconds
    sock.settimeout(seconds)
    if sock.type == socket.SOCK_DGRAM:
        sock.send(xid + message)
        record = _datagram(sock, xid, deadline)
    else:
        sock.sendall(mark(4 + len(message)) + xid + message)
        record = _record(sock, xid, deadline)
    _, at = results(record)
    return bytes(record[at:])


def call(
    sock: socket.socket,
    program: int,
    version: int,
    signature: Signature[A, R],
    arguments: A,
    seconds: float,
) -> R:
    """Make one call of a declared procedure; raises what `ask` does."""
    head = header(program, version, signature.number)
    message = head + encode(signature.pack_arguments, arguments)
    return decode(signature.unpack_results, ask(sock, message, seconds))


def _datagram(sock: socket.socket, xid: bytes, deadline: float) -> Buffer:
    while True:
        _wait_until(sock, deadline)
        datagram = sock.recv(_BUFFER)
        if datagram[:4] == xid:
            return datagram


def _record(sock: socket.socket, xid: bytes, deadline: float) -> Buffer:
    reader = RecordReader(_REPLY_MAX, memoryview(bytearray(_BUFFER)))
    while not reader.failure:
        _wait_until(sock, deadline)
        count = sock.recv_into(reader.buffer())
        if count == 0:
            raise ConnectionResetError("the connection was closed without an answer")
        for record in reader.received(count):
            if record[:4] == xid:
                return record
    raise XdrError(reader.failure)


def _wait_until(sock: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer")
    sock.settimeout(left)
