"""Which clients a pattern of exports(5) means.

    10.1.2.3   2001:db8::1      one address
    10.0.0.0/8  10.0.0.0/255.0.0.0  2001:db8::/32   a network
    host.example.org            a host by its name
    *.example.org  node[0-9]    hosts by a wildcard (*, ? and [...], over the whole name)
    @group                      hosts of a netgroup
    *                           everybody

The most specific kind of pattern that matches decides, in this order; of one kind,
the one written first.  A name that an address resolves to counts only if it resolves
to the address again, so that to own the address alone proves nothing.
"""

from __future__ import annotations

import enum
import fnmatch
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from nfsd.export.resolver import Host, Member, Names, Resolver
from nfsd.net.address import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")

_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_WILD_LABEL: Final = re.compile(r"[A-Za-z0-9_?-]{1,63}|[A-Za-z0-9_?*-]*\*[A-Za-z0-9_?*-]*")
# No name of a host: an address, a network, or what is meant for one.
_NUMBERS: Final = re.compile(r".*[:/%].*|[^A-Za-z_]*[0-9][^A-Za-z_]*")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789_-."
_GROUP: Final = re.compile(r"@[\x21-\x7e]+")
_NAME_MAX: Final = 253  # characters of a host's name (RFC 1035 section 2.3.4)
_MAPPED_BITS: Final = 96
_TEXT_MAX: Final = 255
_SHOWN: Final = 60


class PatternError(ValueError):
    """A pattern that cannot be meant; the text says what to write instead."""


class Kind(enum.IntEnum):
    """What a pattern is; the lower the more specific."""

    HOST = 0  # an address or a host's name
    NETWORK = 1
    WILDCARD = 2
    NETGROUP = 3
    EVERYBODY = 4


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern; `text` is what was written."""

    text: str
    kind: Kind
    network: Network | None = None

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Return the pattern that is written so; raises PatternError."""
        if len(text) > _TEXT_MAX:
            raise PatternError(f"{shown(text)} is too long for a client")
        if text == "*":
            return cls(text, Kind.EVERYBODY)
        if text.startswith("@") and len(text) > 1:
            if not _GROUP.fullmatch(text):
                raise PatternError(f"{shown(text)} is no netgroup: give its name, like @lab")
            return cls(text, Kind.NETGROUP)
        if _NUMBERS.fullmatch(text):
            network = _network(text)
            single = network.prefixlen == network.max_prefixlen
            return cls(text, Kind.HOST if single else Kind.NETWORK, network)
        if any(mark in text for mark in "*?["):
            return cls(_wildcard(text), Kind.WILDCARD)
        if not _is_name(text):
            raise PatternError(
                f"{shown(text)} is no client: give an address, a network like 10.0.0.0/8, a host "
                "name, a wildcard like *.example.org, a @netgroup or *"
            )
        return cls(text.lower().rstrip("."), Kind.HOST)


def shown(text: str) -> str:
    """Return a text as it is shown in a message, shortened if need be."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _is_name(text: str) -> bool:
    """Return whether this may be the name of a host (RFC 1123 section 2.1)."""
    bare = text.removesuffix(".")
    return len(bare) <= _NAME_MAX and all(map(_LABEL.fullmatch, bare.split(".")))


def _wildcard(text: str) -> str:
    """Return a wildcard in small letters; raises PatternError for one that no name matches."""
    sets_as_one = re.sub(r"\[!?[^\]/]+\]", "?", text)
    can_match = all(map(_WILD_LABEL.fullmatch, sets_as_one.split(".")))
    least = len(sets_as_one.replace("*", ""))
    if not can_match or least > _NAME_MAX or _matches_no_letter(text):
        raise PatternError(
            f"{shown(text)} matches no name: write a wildcard like *.example.org or node[0-9]"
        )
    return text.lower()


def _matches_no_letter(text: str) -> bool:
    """Return whether a set in a wildcard, like [z-a], has no character of a name."""
    sets = re.findall(r"\[!?[^\]/]+\]", text.lower())
    return not all(any(fnmatch.fnmatchcase(one, each) for one in _LETTERS) for each in sets)


def _network(text: str) -> Network:
    problem: ValueError | None = None
    if "%" not in text:  # where an address is valid is no part of it: a client has one address
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError as found:
            problem = found
        else:
            return _unmapped(network)
    raise PatternError(
        f"{shown(text)} is no address and no network: give one like 10.0.0.1, 10.0.0.0/8 or "
        "2001:db8::/32"
    ) from problem


def _unmapped(network: Network) -> Network:
    """Return the IPv4 network that one of addresses like ::ffff:10.0.0.1 means."""
    address, bits = network.network_address, network.prefixlen - _MAPPED_BITS
    if bits < 0 or not isinstance(address, ipaddress.IPv6Address) or address.ipv4_mapped is None:
        return network
    return ipaddress.IPv4Network((address.ipv4_mapped, bits))


class Unresolved(Exception):  # noqa: N818 - not an error yet
    """Whether a client is let in depends on names that are being asked for."""


class ClientTable(Generic[T]):
    """What holds for which clients: the most specific pattern that matches decides."""

    def __init__(self, rows: Iterable[tuple[Pattern, T]], resolver: Resolver) -> None:
        # sorted() is stable: of one kind the first written comes first.
        self.rows = tuple(sorted(rows, key=lambda row: row[0].kind))
        self.resolver = resolver
        self.has_names = any(
            pattern.network is None and pattern.kind is not Kind.EVERYBODY
            for pattern, _ in self.rows
        )

    def find(self, address: Address) -> T | None:
        """Return what holds for a client; None if nothing does.

        A pattern by name of which nothing is known yet is passed over, so that a client
        let in by its address never waits.  Raises Unresolved if only such might match.
        """
        is_unresolved = False
        for pattern, value in self.rows:
            matches = self._matches(pattern, address)
            if matches:
                return value
            is_unresolved = is_unresolved or matches is None
        if is_unresolved:
            raise Unresolved
        return None

    def _matches(self, pattern: Pattern, address: Address) -> bool | None:
        """Return whether a pattern means a client; None if that is not known yet."""
        if pattern.network is not None:
            return address in pattern.network
        known = self.resolver.known
        match pattern.kind:
            case Kind.HOST:
                addresses = known(Host(pattern.text))
                return None if addresses is None else str(address) in addresses
            case Kind.WILDCARD:
                names = known(Names(str(address)))
                if names is None:
                    return None
                return any(fnmatch.fnmatchcase(name, pattern.text) for name in names)
            case Kind.NETGROUP:
                members = known(Member(pattern.text[1:], str(address)))
                return None if members is None else bool(members)
        return True
