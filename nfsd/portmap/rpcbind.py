"""Telling the machine's rpcbind where our programs are (RFC 1833).

Rule: what belongs to another server that answers is neither replaced nor removed.
What nobody answers for any more is a dead server's, and is.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol, TypeAlias

from nfsd.base.log import LOGGER, ONCE
from nfsd.process.signals import RELOAD, STOPS, die_with
from nfsd.rpc.client import RefusedError, ask, call, header
from nfsd.xdr.codec import A, R, Signature, XdrError
from nfsd.xdr.generated.rpcbind import (
    PMAP_PORT,
    PMAPVERS,
    PMAPVERS_SIGNATURES,
    RPCBPROG,
    RPCBVERS4,
    RPCBVERS4_SIGNATURES,
    mapping,
    rpcb,
)

LOCAL: Final = "/run/rpcbind.sock"  # where rpcbind is called by those of its own machine
_SECONDS: Final = 2.0  # that one call may take
_PROBE_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 5.0  # between two looks at whether all is still registered
_PORTS: Final = range(665, 1024)  # of root, and none of IANA's better known ones
_TRIES: Final = 20
_FIRST_FD: Final = 3  # behind the standard ones
_FDS_MAX: Final = (1 << 31) - 1
_SET: Final = 1
_UNSET: Final = 2
_DUMP: Final = 4
_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_ERRORS: Final = (OSError, RefusedError, XdrError)

Key: TypeAlias = tuple[int, int, str]  # program, version, netid


class Registration(NamedTuple):
    """One version of a program, as it is reached by one transport."""

    program: int
    version: int
    netid: str  # tcp, udp, tcp6 or udp6
    host: str  # an address; 0.0.0.0 or :: for all of the machine's
    port: int

    @property
    def key(self) -> Key:
        return self.program, self.version, self.netid


def registration(program: int, version: int, transport: str, host: str, port: int) -> Registration:
    """Return what is registered of a program that is reached by tcp or udp at an address."""
    return Registration(program, version, transport + ("6" if ":" in host else ""), host, port)


def universal(host: str, port: int) -> str:
    """Return a universal address (RFC 5665 section 5.2.3.3): the host's, then two bytes of port."""
    return f"{host}.{port >> 8}.{port & 0xFF}"


def host_and_port(address: str) -> tuple[str, int]:
    """Return what a universal address says; raises ValueError."""
    host, high, low = address.rsplit(".", 2)
    port = int(high) << 8 | int(low)
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"{address}: no port")
    return host, port


class _Binder(Protocol):
    """One version of rpcbind's protocol, over a connection."""

    def known(self) -> Mapping[Key, str]: ...

    def address(self, registration: Registration) -> str | None: ...

    def set(self, registration: Registration) -> bool: ...

    def unset(self, key: Key) -> bool: ...


class _Rpcbind:
    """Version 4: every transport, by universal addresses."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def _call(self, signature: Signature[A, R], arguments: A) -> R:
        return call(self._sock, RPCBPROG, RPCBVERS4, signature, arguments, _SECONDS)

    def known(self) -> Mapping[Key, str]:
        rows = self._call(RPCBVERS4_SIGNATURES[_DUMP], None)
        return {(row.r_prog, row.r_vers, _text(row.r_netid)): _text(row.r_addr) for row in rows}

    def address(self, registration: Registration) -> str | None:
        return universal(registration.host, registration.port)

    def set(self, registration: Registration) -> bool:
        address = universal(registration.host, registration.port)
        return self._call(RPCBVERS4_SIGNATURES[_SET], _rpcb(registration.key, address))

    def unset(self, key: Key) -> bool:
        return self._call(RPCBVERS4_SIGNATURES[_UNSET], _rpcb(key, ""))


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _rpcb(key: Key, address: str) -> rpcb:
    program, version, netid = key
    return rpcb(program, version, netid.encode(), address.encode(), b"%d" % os.geteuid())


class _Portmapper:
    """Version 2: IPv4 alone, and ports for addresses."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def _call(self, signature: Signature[A, R], arguments: A) -> R:
        return call(self._sock, RPCBPROG, PMAPVERS, signature, arguments, _SECONDS)

    def known(self) -> Mapping[Key, str]:
        names = {number: name for name, number in _PROTOCOLS.items()}
        return {
            (row.prog, row.vers, names[row.prot]): universal("0.0.0.0", row.port)
            for row in self._call(PMAPVERS_SIGNATURES[_DUMP], None)
            if row.prot in names
        }

    def address(self, registration: Registration) -> str | None:
        if registration.netid not in _PROTOCOLS:
            return None
        return universal("0.0.0.0", registration.port)

    def set(self, registration: Registration) -> bool:
        program, version, netid = registration.key
        wanted = mapping(program, version, _PROTOCOLS[netid], registration.port)
        return self._call(PMAPVERS_SIGNATURES[_SET], wanted)

    def unset(self, key: Key) -> bool:
        """Take it out; of both protocols, as this version knows no difference."""
        program, version, netid = key
        wanted = mapping(program, version, _PROTOCOLS[netid], 0)
        return self._call(PMAPVERS_SIGNATURES[_UNSET], wanted)


class Registrar:
    """Keeps a list of registrations; it waits a few seconds at most."""

    def __init__(self, wanted: Iterable[Registration], local: str = LOCAL) -> None:
        self._wanted = tuple(wanted)
        self._local = local

    def refresh(self) -> bool:
        """Register what is not; returns whether an rpcbind answers."""
        try:
            with self._binder() as (binder, known):
                for each in self._wanted:
                    address = binder.address(each)
                    if address is not None and known.get(each.key) != address:
                        _register(binder, each, known.get(each.key))
        except _ERRORS as problem:
            if ONCE.first("rpcbind"):
                LOGGER.warning(
                    "rpcbind does not answer, clients need to know the port: %s", problem
                )
            return False
        return True

    def withdraw(self) -> None:
        """Take out what is registered and ours."""
        with contextlib.suppress(*_ERRORS), self._binder() as (binder, known):
            for each in self._wanted:
                if each.key in known and known[each.key] == binder.address(each):
                    binder.unset(each.key)

    @contextmanager
    def _binder(self) -> Iterator[tuple[_Binder, Mapping[Key, str]]]:
        """What rpcbind speaks, and what is registered with it."""
        with _connect(self._local) as sock:
            binder: _Binder = _Rpcbind(sock)
            try:
                known = binder.known()
            except RefusedError:
                binder = _Portmapper(sock)
                known = binder.known()
            yield binder, known


def _register(binder: _Binder, wanted: Registration, known: str | None) -> None:
    """Register what is not, unless another server that answers has its place."""
    if known is not None:
        if _answers(wanted, known):
            if ONCE.first("registered", str(wanted.key)):
                LOGGER.warning(
                    "program %d version %d over %s is another server's, at %s: not registered",
                    *wanted.key,
                    known,
                )
            return
        binder.unset(wanted.key)
    if not binder.set(wanted) and ONCE.first("not registered", str(wanted.key)):
        LOGGER.warning(
            "rpcbind does not let program %d version %d over %s be registered", *wanted.key
        )


def _answers(wanted: Registration, address: str) -> bool:
    """Return whether anybody answers for what is registered at a universal address."""
    family = socket.AF_INET6 if wanted.netid.endswith("6") else socket.AF_INET
    kind = socket.SOCK_DGRAM if wanted.netid.startswith("udp") else socket.SOCK_STREAM
    try:
        host, port = host_and_port(address)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        with socket.socket(family, kind) as sock:
            sock.settimeout(_PROBE_SECONDS)
            sock.connect((host, port))
            ask(sock, header(wanted.program, wanted.version, 0), _PROBE_SECONDS)
    except (OSError, ValueError):
        return False
    except (RefusedError, XdrError):
        return True
    return True


def _connect(local: str) -> socket.socket:
    """Return a connection to rpcbind, of which it can see whose it is; raises OSError."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(_SECONDS)
        sock.connect(local)
    except OSError:
        sock.close()
    else:
        return sock
    sock = socket.socket()
    try:
        sock.settimeout(_SECONDS)
        _bind_privileged(sock)
        sock.connect(("127.0.0.1", PMAP_PORT))
    except OSError:
        sock.close()
        raise
    return sock


def _bind_privileged(sock: socket.socket) -> None:
    """Take a port that only root can have, which is all that rpcbind sees over a network."""
    for port in random.sample(_PORTS, _TRIES):
        try:
            sock.bind(("127.0.0.1", port))
        except PermissionError:
            return
        except OSError:
            continue
        return


class Registering:
    """Has programs registered, also when rpcbind is started later, or again.

    A process of its own looks after that, so that nobody waits for rpcbind.
    """

    def __init__(self) -> None:
        self._wanted: tuple[Registration, ...] = ()
        self._pid: int | None = None

    def want(self, wanted: Iterable[Registration]) -> None:
        """Have these registered from now on, and no others of ours."""
        wanted = tuple(wanted)
        if wanted == self._wanted:
            return
        gone = set(self._wanted) - set(wanted)
        self._end()
        self._wanted = wanted
        if gone:
            Registrar(gone).withdraw()
        if wanted:
            registrar = Registrar(wanted)
            registrar.refresh()
            parent = os.getpid()
            self._pid = os.fork()
            if self._pid == 0:
                _keep(registrar, parent)

    def _end(self) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None


def _keep(registrar: Registrar, parent: int) -> None:
    """The process that registers again; it ends with its parent, which withdraws."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (*STOPS, RELOAD):
            signal.signal(number, signal.SIG_IGN)
        os.closerange(_FIRST_FD, _FDS_MAX)  # the server's, which would stay open here
        die_with(parent)
        while True:
            time.sleep(_AGAIN_SECONDS)
            registrar.refresh()
    except BaseException as error:
        LOGGER.critical("registering with rpcbind failed", exc_info=error)
    finally:
        os._exit(1)
