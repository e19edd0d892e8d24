"""A client that locks, as tests play it: an address of its own, its calls, and what it is told.

    with LockClient(server, name=b"alpha") as alpha:
        status = alpha.lock(handle, 0, 10)

It has an address of 127.0.0.0/8, where it serves what a client's rpcbind, NLM and NSM do
when the server calls back.  Nothing is hidden: every call that comes is in `heard`.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self

from nfsd.portmap.rpcbind import universal
from nfsd.xdr.codec import Parts, Signature, decode
from nfsd.xdr.generated import nlm3, nlm4
from nfsd.xdr.generated.nlm3 import NLM_VERS, NLM_VERS_SIGNATURES, NLM_VERSX, NLM_VERSX_SIGNATURES
from nfsd.xdr.generated.nlm4 import (
    FSA_R,
    FSM_DN,
    NLM4_GRANTED,
    NLM4_PROGRAM,
    NLM4_V4,
    NLM4_V4_SIGNATURES,
)
from nfsd.xdr.generated.nsm import SM_PROG, SM_VERS, SM_VERS_SIGNATURES, stat_chge
from nfsd.xdr.generated.rpc import unpack_rpc_msg
from nfsd.xdr.generated.rpcbind import PMAPVERS, RPCBPROG, pack_universal_address
from tests.client import Client

_SIGNATURES: Final[dict[int, Sequence[Signature[Any, Any]]]] = {
    NLM_VERS: NLM_VERS_SIGNATURES,
    NLM_VERSX: NLM_VERSX_SIGNATURES,
    NLM4_V4: NLM4_V4_SIGNATURES,
}
VERSIONS: Final = {
    version: {each.name.partition("_")[2]: each for each in signatures}
    for version, signatures in _SIGNATURES.items()
}
NLM: Final = VERSIONS[NLM4_V4]
NSM: Final[dict[str, Signature[Any, Any]]] = {
    each.name.removeprefix("SM_"): each for each in SM_VERS_SIGNATURES
}
LIMIT: Final = 120.0  # seconds until what is waited for must have come
_ROOTS_PORTS: Final = range(1000, 600, -1)
_SUCCESS: Final = struct.pack(">5I", 1, 0, 0, 0, 0)
_NAMES: Final[dict[tuple[int, int], dict[int, Signature[Any, Any]]]] = {
    **{
        (NLM4_PROGRAM, version): {each.number: each for each in signatures}
        for version, signatures in _SIGNATURES.items()
    },
    (SM_PROG, SM_VERS): {each.number: each for each in SM_VERS_SIGNATURES},
}
# Addresses that no other test run on this machine has at the same time.
_addresses = itertools.count(random.Random(os.getpid()).randrange(1 << 20))


class Heard(NamedTuple):
    """A call from the server, in a version."""

    procedure: str
    arguments: Any
    version: int


def free_address() -> str:
    """One of loopback's that nobody uses."""
    rest, last = divmod(next(_addresses), 254)
    return f"127.{64 + (rest >> 8) % 128}.{rest & 255}.{last + 1}"


def as_root(port: int, address: str) -> Client:
    """Connect as the root of the machine at an address does."""
    return connected(port, address, _ROOTS_PORTS)


def connected(
    port: int, address: str, sources: Sequence[int], *, host: str = "127.0.0.1"
) -> Client:
    """Connect from an address, from one of these ports that is free."""
    for source in sources:
        with suppress(OSError):
            return Client(port, host=host, source=(address, source))
    return Client(port, host=host, source=(address, sources[0]))


class Locks(Protocol):
    """A server, of which a client has to know no more."""

    lock_port: int


class LockClient:
    """One client machine; `reply` says what it answers to GRANTED, None for nothing."""

    def __init__(
        self,
        server: Locks,
        *,
        name: bytes = b"alpha",
        address: str | None = None,
        reply: Callable[[], int | None] = lambda: NLM4_GRANTED,
        serves: bool = True,
        host: str = "127.0.0.1",
        privileged: bool = False,
        version: int = NLM4_V4,
    ) -> None:
        """`privileged`: calls as the machine's root does, from a port below 1024."""
        self.name = name
        self.version = version
        self._source = _ROOTS_PORTS if privileged else range(1)
        self._host = host
        self.address = address or free_address()
        self.heard: list[Heard] = []
        self.xids: set[int] = set()
        self._reply = reply
        self._server = server
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._port = 0
        if serves:
            self.serve()
        self.connect()

    def serve(self) -> None:
        """Serve what the server may call."""
        self._port = self._serve(0)
        self._serve(111)

    def connect(self) -> None:
        """Connect, again after the server was restarted."""
        port = self._server.lock_port
        self.client = connected(port, self.address, self._source, host=self._host)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread; a datagram socket says so
        for thread in self._threads:
            thread.join(LIMIT)
        for sock in self._sockets:
            sock.close()

    def _serve(self, port: int) -> int:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((self.address, port))
        self._sockets.append(sock)
        thread = threading.Thread(target=self._answer_all, args=(sock,), daemon=True)
        self._threads.append(thread)
        thread.start()
        bound: int = sock.getsockname()[1]
        return bound

    def _answer_all(self, sock: socket.socket) -> None:
        while True:
            record, address = sock.recvfrom(65536)
            if not record:
                return
            message, at = unpack_rpc_msg(record, 0)
            call = message.body.cbody
            assert call is not None
            if call.prog == RPCBPROG:
                results: bytes | None = self._where(call.vers)
            else:
                signature = _NAMES[call.prog, call.vers][call.proc]
                results = self._answer(signature, message.xid, record[at:], call.vers)
            if results is not None:
                with suppress(BrokenPipeError):  # closed meanwhile
                    sock.sendto(record[:4] + _SUCCESS + results, address)

    def _where(self, version: int) -> bytes:
        """What the client's rpcbind says of any of its programs."""
        if version == PMAPVERS:
            return struct.pack(">I", self._port)
        packed: Parts = []
        pack_universal_address(universal(self.address, self._port).encode(), packed)
        return b"".join(packed)

    def made(self, name: str, *values: Any) -> Any:  # noqa: ANN401
        """A value of a type of the client's version of NLM."""
        is_wide = self.version == NLM4_V4
        return getattr(nlm4 if is_wide else nlm3, f"{'nlm4' if is_wide else 'nlm'}_{name}")(*values)

    def _answer(
        self, signature: Signature[Any, Any], xid: int, packed: bytes, version: int
    ) -> bytes | None:
        arguments = decode(signature.unpack_arguments, packed)
        name = re.sub(r"NLMPROC\d?_", "", signature.name)
        status = self._reply() if name == "GRANTED" else None
        with self._changed:
            self.heard.append(Heard(name, arguments, version))
            self.xids.add(xid)
            self._changed.notify_all()
        results: Parts = []
        if name == "GRANTED":
            if status is None:
                return None
            signature.pack_results(self.made("res", arguments.cookie, status), results)
        return b"".join(results)

    def wait_for(self, procedure: str, number: int = 1) -> list[Any]:
        """The arguments of so many calls of a procedure, once they have come."""
        deadline = time.monotonic() + LIMIT
        with self._changed:
            while len(found := self.told(procedure)) < number:
                assert self._changed.wait(deadline - time.monotonic()), (
                    f"{procedure} did not come: {self.heard}"
                )
        return found

    def told(self, procedure: str) -> list[Any]:
        """The arguments of the calls of a procedure that have come."""
        return [each.arguments for each in self.heard if each.procedure == procedure]

    def call(self, name: str, arguments: Any = None) -> Any:  # noqa: ANN401 - by procedure
        """The result of an NLM procedure."""
        return self.client.call(NLM4_PROGRAM, self.version, VERSIONS[self.version][name], arguments)

    def status_monitor(self, name: str, arguments: Any = None) -> Any:  # noqa: ANN401
        """The result of an NSM procedure."""
        return self.client.call(SM_PROG, SM_VERS, NSM[name], arguments)

    def on(self, handle: bytes, offset: int = 0, length: int = 0, svid: int = 1) -> Any:  # noqa: ANN401
        """A lock in NLM's words; length 0 is up to the end."""
        return self.made(
            "lock", self.name, handle, b"%d@%s" % (svid, self.name), svid, offset, length
        )

    def wish(
        self,
        handle: bytes,
        offset: int = 0,
        length: int = 0,
        *,
        svid: int = 1,
        exclusive: bool = True,
        block: bool = False,
        reclaim: bool = False,
    ) -> Any:  # noqa: ANN401
        """The arguments of LOCK."""
        lock = self.on(handle, offset, length, svid)
        return self.made("lockargs", b"cookie", block, exclusive, lock, reclaim, 1)

    def lock(self, handle: bytes, offset: int = 0, length: int = 0, **more: Any) -> int:  # noqa: ANN401
        """The status of LOCK."""
        result = self.call("LOCK", self.wish(handle, offset, length, **more))
        assert result.cookie == b"cookie"
        return int(result.stat)

    def test(self, handle: bytes, offset: int = 0, length: int = 0, **more: Any) -> Any:  # noqa: ANN401
        """What TEST says."""
        wish = self.wish(handle, offset, length, **more)
        result = self.call("TEST", self.made("testargs", b"cookie", wish.exclusive, wish.alock))
        return result.test_stat

    def unlock(self, handle: bytes, offset: int = 0, length: int = 0, svid: int = 1) -> int:
        """The status of UNLOCK."""
        lock = self.on(handle, offset, length, svid)
        return int(self.call("UNLOCK", self.made("unlockargs", b"cookie", lock)).stat)

    def cancel(self, handle: bytes, offset: int = 0, length: int = 0, **more: Any) -> int:  # noqa: ANN401
        """The status of CANCEL."""
        wish = self.wish(handle, offset, length, **more)
        arguments = self.made("cancargs", b"cookie", True, wish.exclusive, wish.alock)
        return int(self.call("CANCEL", arguments).stat)

    def share(
        self,
        handle: bytes,
        access: int = FSA_R,
        deny: int = FSM_DN,
        *,
        reclaim: bool = False,
        verb: str = "SHARE",
    ) -> int:
        """The status of SHARE, or UNSHARE."""
        share = self.made("share", self.name, handle, b"sharer", deny, access)
        return int(self.call(verb, self.made("shareargs", b"cookie", share, reclaim)).stat)

    def free_all(self) -> None:
        """FREE_ALL."""
        self.call("FREE_ALL", self.made("notify", self.name, 1))

    def notify(self, state: int, name: bytes | None = None) -> None:
        """SM_NOTIFY: this machine has started anew."""
        self.status_monitor("NOTIFY", stat_chge(name or self.name, state))
