"""Which clients a pattern of exports(5) means.

    10.1.2.3   2001:db8::1      one address
    10.0.0.0/8  10.0.0.0/255.0.0.0  2001:db8::/32   a network
    host.example.org            a host by its name
    *.example.org  node[0-9]    hosts by a wildcard (*, ? and [...], over the whole name)
    @group                      hosts of a netgroup
    *                           everybody

The most specific kind of pattern that matches decides, in this order; of one kind,
the one written first.  A name that an address resolves to counts only if it resolves
to the address again, so that whoever owns the address alone proves nothing.
"""

from __future__ import annotations

import ctypes
import enum
import fnmatch
import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from overlay.blocking import may_block

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")
V = TypeVar("V")
W = TypeVar("W")

_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_LIFETIME: Final = 120.0  # seconds for which a resolved name is believed
_KNOWN: Final = 10_000  # addresses and names


class PatternError(ValueError):
    """A pattern that cannot be meant; the text says what to write instead."""


class Kind(enum.IntEnum):
    """What a pattern is; the lower the more specific."""

    HOST = 0  # an address or a host's name
    NETWORK = 1
    WILDCARD = 2
    NETGROUP = 3
    EVERYBODY = 4


def address_of(text: str) -> Address:
    """A peer's address; an IPv4 one that came over an IPv6 socket is IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern; `text` is what was written."""

    text: str
    kind: Kind
    network: Network | None = None

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Raises PatternError."""
        if text == "*":
            return cls(text, Kind.EVERYBODY)
        if text.startswith("@") and len(text) > 1:
            return cls(text, Kind.NETGROUP)
        if text[:1].isdigit() or ":" in text or "/" in text:
            network = _network(text)
            single = network.prefixlen == network.max_prefixlen
            return cls(text, Kind.HOST if single else Kind.NETWORK, network)
        if any(mark in text for mark in "*?["):
            return cls(text.lower(), Kind.WILDCARD)
        if not _NAME.fullmatch(text):
            raise PatternError(
                f"{text!r} is no client: give an address, a network like 10.0.0.0/8, a host name, "
                "a wildcard like *.example.org, a @netgroup or *"
            )
        return cls(text.lower().rstrip("."), Kind.HOST)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as problem:
        raise PatternError(
            f"{text!r} is no address and no network: give one like 10.0.0.1, 10.0.0.0/8 or "
            "2001:db8::/32"
        ) from problem


class Resolver:
    """Names of addresses and addresses of names, from the system's resolver, remembered a while."""

    def __init__(self) -> None:
        self._names: dict[Address, tuple[float, frozenset[str]]] = {}
        self._addresses: dict[str, tuple[float, frozenset[Address]]] = {}
        self._lock = threading.Lock()

    def names_of(self, address: Address) -> frozenset[str]:
        """The names of an address that lead back to it, in small letters."""
        return self._known(self._names, address, self._ask_names)

    def addresses_of(self, name: str) -> frozenset[Address]:
        """The addresses of a host."""
        return self._known(self._addresses, name, _ask_addresses)

    def _ask_names(self, address: Address) -> frozenset[str]:
        try:
            name, aliases, _ = socket.gethostbyaddr(str(address))
        except OSError:
            return frozenset()  # no name, or nobody to ask: no name is what it has
        found = {each.lower().rstrip(".") for each in (name, *aliases)}
        return frozenset(each for each in found if address in self.addresses_of(each))

    def _known(
        self,
        known: dict[V, tuple[float, frozenset[W]]],
        key: V,
        ask: Callable[[V], frozenset[W]],
    ) -> frozenset[W]:
        found = known.get(key)
        if found is None or found[0] < time.monotonic():
            may_block()
            found = time.monotonic() + _LIFETIME, ask(key)
            with self._lock:
                if len(known) >= _KNOWN:
                    known.clear()
                known[key] = found
        return found[1]


def _ask_addresses(name: str) -> frozenset[Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(address_of(str(each[4][0])) for each in found)


_libc = ctypes.CDLL(None)


def _in_netgroup(group: str, host: str) -> bool:
    """innetgr(3): whether the system's netgroup database has the host in the group."""
    return bool(_libc.innetgr(os.fsencode(group), os.fsencode(host), None, None))


class ClientTable(Generic[T]):
    """What holds for which clients: the most specific pattern that matches decides."""

    def __init__(self, rows: Iterable[tuple[Pattern, T]], resolver: Resolver) -> None:
        # sorted() is stable: of one kind the first written comes first.
        self.rows = tuple(sorted(rows, key=lambda row: row[0].kind))
        self._resolver = resolver

    def find(self, address: Address) -> T | None:
        """What holds for a client; None if nothing does.

        Raises WouldBlock where names have to be asked for on a thread that must not wait.
        """
        for pattern, value in self.rows:
            if self._matches(pattern, address):
                return value
        return None

    def _matches(self, pattern: Pattern, address: Address) -> bool:
        if pattern.network is not None:
            return address in pattern.network
        match pattern.kind:
            case Kind.HOST:
                return address in self._resolver.addresses_of(pattern.text)
            case Kind.WILDCARD:
                names = self._resolver.names_of(address)
                return any(fnmatch.fnmatchcase(name, pattern.text) for name in names)
            case Kind.NETGROUP:
                names = self._resolver.names_of(address) | {str(address)}
                return any(_in_netgroup(pattern.text[1:], name) for name in names)
        return True
