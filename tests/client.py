"""A raw RPC client for tests: one TCP connection, calls as bytes, many outstanding if wanted.

    with Client(port) as client:
        root = client.mount("/")
        reply = client.nfs("LOOKUP", diropargs3(root, b"etc"))

Arguments and results are the values of the generated XDR modules.  Nothing is
hidden: a denied or unsuccessful call raises `RpcError` with the whole reply.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from nfsd.xdr.codec import Signature, decode, encode
from nfsd.xdr.generated.mount import MNT3_OK, MOUNT_PROGRAM, MOUNT_V3, MOUNT_V3_SIGNATURES
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_JUKEBOX,
    NFS_PROGRAM,
    NFS_V3,
    NFS_V3_SIGNATURES,
    READDIRPLUS3args,
)
from nfsd.xdr.generated.rpc import (
    AUTH_NONE,
    AUTH_SYS,
    CALL,
    RPC_VERSION,
    SUCCESS,
    authsys_parms,
    call_body,
    opaque_auth,
    pack_authsys_parms,
    pack_rpc_msg,
    reply_body,
    rpc_msg,
    rpc_msg_body,
    unpack_rpc_msg,
)

NFS: Final[dict[str, Signature[Any, Any]]] = {
    each.name.removeprefix("NFSPROC3_"): each for each in NFS_V3_SIGNATURES
}
MOUNT: Final[dict[str, Signature[Any, Any]]] = {
    each.name.removeprefix("MOUNTPROC3_"): each for each in MOUNT_V3_SIGNATURES
}
_JUKEBOX_TRIES: Final = 100
_JUKEBOX_SECONDS: Final = 0.2
_FILLING_CALLS: Final = 40
NO_AUTH: Final = opaque_auth(AUTH_NONE, b"")


class RpcError(Exception):
    """The reply is not a success; `body` says what it is."""

    def __init__(self, body: reply_body) -> None:
        super().__init__(str(body))
        self.body = body


class MountError(Exception):
    """MNT's status is not MNT3_OK."""


def auth_sys(uid: int = 0, gid: int = 0, groups: Sequence[int] = ()) -> opaque_auth:
    """AUTH_SYS credentials."""
    parms = authsys_parms(0, b"test", uid, gid, tuple(groups))
    return opaque_auth(AUTH_SYS, encode(pack_authsys_parms, parms))


class Client:
    """One connection; every wait ends after `timeout` seconds with TimeoutError."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        cred: opaque_auth | None = None,
        timeout: float = 90.0,
        source: tuple[str, int] | None = None,
        receive_bytes: int | None = None,
    ) -> None:
        """`receive_bytes`: the size of the socket's receive buffer, if it is to be small."""
        self.cred = auth_sys() if cred is None else cred
        self._xid = 0
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.settimeout(timeout)
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source is not None:
            self._socket.bind(source)
        self._socket.connect((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb", buffering=1 << 20)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def socket(self) -> socket.socket:
        """The connection, for a caller that counts replies itself."""
        return self._socket

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    @contextmanager
    def acting_as(self, uid: int, gid: int, groups: Sequence[int] = ()) -> Iterator[None]:
        """Calls made within carry these credentials."""
        before, self.cred = self.cred, auth_sys(uid, gid, groups)
        try:
            yield
        finally:
            self.cred = before

    def reset(self) -> None:
        """Have the connection broken: nothing is acknowledged any more."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def nfs(self, name: str, arguments: Any = None) -> Any:  # noqa: ANN401 - by procedure
        """Call an NFSv3 procedure by its name without prefix; returns its decoded result.

        Told NFS3ERR_JUKEBOX it asks again, as the Linux client does; a busy disk
        can make any copy-up take that long.
        """
        for _ in range(_JUKEBOX_TRIES):
            result = self.call(NFS_PROGRAM, NFS_V3, NFS[name], arguments)
            if getattr(result, "status", NFS3_OK) != NFS3ERR_JUKEBOX:
                break
            time.sleep(_JUKEBOX_SECONDS)
        return result

    def mountd(self, name: str, arguments: Any = None) -> Any:  # noqa: ANN401 - by procedure
        """The result of a MOUNT version 3 procedure."""
        return self.call(MOUNT_PROGRAM, MOUNT_V3, MOUNT[name], arguments)

    def mount(self, path: str | bytes = "/") -> bytes:
        """The root handle of an export; raises MountError."""
        encoded = path.encode() if isinstance(path, str) else path
        result = self.call(MOUNT_PROGRAM, MOUNT_V3, MOUNT["MNT"], encoded)
        if result.fhs_status != MNT3_OK:
            raise MountError(f"{path!r}: status {result.fhs_status}")
        handle: bytes = result.mountinfo.fhandle
        return handle

    def call(
        self,
        program: int,
        version: int,
        signature: Signature[Any, Any],
        arguments: Any,  # noqa: ANN401 - by procedure
    ) -> Any:  # noqa: ANN401 - by procedure
        """Make one call and wait for its reply; raises RpcError if that is not a success."""
        xid = self.send(self.message_of(program, version, signature, arguments))
        body, results = self.reply()
        assert body[0] == xid, f"a reply to {body[0]} where {xid} was called"
        check(body[1])
        return decode(signature.unpack_results, results)

    def pipeline(self, calls: Iterable[tuple[str, Any]], outstanding: int = 16) -> list[Any]:
        """Make many NFSv3 calls with up to `outstanding` on their way; results in call order."""
        waiting: dict[int, tuple[int, Signature[Any, Any]]] = {}
        results: dict[int, Any] = {}
        for number, (name, arguments) in enumerate(calls):
            if len(waiting) >= outstanding:
                self._collect(waiting, results)
            waiting[self.send(self.nfs_message(name, arguments))] = number, NFS[name]
        while waiting:
            self._collect(waiting, results)
        return [results[number] for number in range(len(results))]

    def _collect(
        self, waiting: dict[int, tuple[int, Signature[Any, Any]]], results: dict[int, Any]
    ) -> None:
        (xid, body), encoded = self.reply()
        check(body)
        number, signature = waiting.pop(xid)
        results[number] = decode(signature.unpack_results, encoded)

    def message(self, program: int, version: int, procedure: int, arguments: bytes) -> bytes:
        """A call with the next xid, without a record mark."""
        self._xid += 1
        call = call_body(RPC_VERSION, program, version, procedure, self.cred, NO_AUTH)
        header = rpc_msg(self._xid, rpc_msg_body(CALL, cbody=call))
        return encode(pack_rpc_msg, header) + arguments

    def message_of(
        self, program: int, version: int, signature: Signature[Any, Any], arguments: object
    ) -> bytes:
        """The same of a declared procedure, with its arguments packed."""
        packed = encode(signature.pack_arguments, arguments)
        return self.message(program, version, signature.number, packed)

    def nfs_message(self, name: str, arguments: Any) -> bytes:  # noqa: ANN401 - by procedure
        """The same of an NFSv3 procedure, by its name without prefix."""
        return self.message_of(NFS_PROGRAM, NFS_V3, NFS[name], arguments)

    def send(self, message: bytes) -> int:
        """Send one record as one fragment; returns the xid it begins with."""
        self.send_raw(struct.pack(">I", 0x80000000 | len(message)) + message)
        return int.from_bytes(message[:4], "big")

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def shut(self) -> None:
        """Send nothing more."""
        self._socket.shutdown(socket.SHUT_WR)

    def record(self) -> bytes:
        """The next record; raises EOFError when the server has closed the connection."""
        fragments = b""
        while True:
            (word,) = struct.unpack(">I", self._exactly(4))
            fragments += self._exactly(word & 0x7FFFFFFF)
            if word & 0x80000000:
                return fragments

    def reply(self) -> tuple[tuple[int, reply_body], bytes]:
        """The next reply: xid and body, and the results behind them, still packed."""
        record = self.record()
        message, at = unpack_rpc_msg(record, 0)
        assert message.body.rbody is not None
        return (message.xid, message.body.rbody), record[at:]

    def _exactly(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        if len(data) < size:
            raise EOFError("the server closed the connection")
        return data


def fill(deaf: Client, directory: bytes) -> None:
    """Have more answers sent than a client with a small receive buffer takes, which reads none."""
    for _ in range(_FILLING_CALLS):
        reading = READDIRPLUS3args(directory, 0, bytes(8), 4096, 1 << 16)
        deaf.send(deaf.nfs_message("READDIRPLUS", reading))


def check(body: reply_body) -> None:
    """Raise RpcError unless a reply is a success."""
    if body.areply is None or body.areply.reply_data.stat != SUCCESS:
        raise RpcError(body)
