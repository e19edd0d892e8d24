"""A port mapper of our own, for machines without rpcbind: it answers on port 111.

It knows our own programs and nobody else's: none can be registered.  Nor does it
pass calls on, which would let others act with this machine's address.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final

from nfsd.program import Caller, Handler, Procedure, Program, null
from nfsd.rpcbind import Registration, universal
from nfsd.xdr.codec import Signature
from nfsd.xdr.rpcbind import (
    PMAP_PORT,
    PMAPVERS,
    PMAPVERS_SIGNATURES,
    RPCBPROG,
    RPCBVERS,
    RPCBVERS4,
    RPCBVERS4_SIGNATURES,
    RPCBVERS_SIGNATURES,
    mapping,
    rpcb,
)

_OWNER: Final = b"superuser"
_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_VERSIONS: Final = (PMAPVERS, RPCBVERS, RPCBVERS4)


class Portmapper:
    """Its procedures, and the list that they tell of."""

    def __init__(self) -> None:
        self._known: tuple[Registration, ...] = ()

    def know(self, registrations: Iterable[Registration]) -> None:
        """Tell of these from now on, and of itself where they are."""
        known = tuple(registrations)
        itself = {
            Registration(RPCBPROG, version, each.netid, each.host, PMAP_PORT): None
            for each in known
            for version in _VERSIONS
            if version != PMAPVERS or each.netid in _PROTOCOLS
        }
        self._known = (*itself, *known)

    def programs(self) -> tuple[Program, ...]:
        """Versions 2, 3 and 4."""
        older: tuple[Handler, ...] = (
            null,
            self._refuse,
            self._refuse,
            self._getport,
            self._dump_ports,
        )
        third: tuple[Handler, ...] = (null, self._refuse, self._refuse, self._getaddr, self._dump)
        return (
            _program(PMAPVERS, PMAPVERS_SIGNATURES, older),
            _program(RPCBVERS, RPCBVERS_SIGNATURES, third),
            _program(RPCBVERS4, RPCBVERS4_SIGNATURES, (*third, self._getversaddr)),
        )

    def _refuse(self, caller: Caller, arguments: mapping | rpcb) -> bool:
        """SET and UNSET, RFC 1833 sections 2.2.1 and 3.2."""
        return False

    def _getport(self, caller: Caller, wanted: mapping) -> int:
        """GETPORT, RFC 1833 section 3.2; 0 for what is not known."""
        netid = next((name for name, number in _PROTOCOLS.items() if number == wanted.prot), "")
        found = self._find(wanted.prog, wanted.vers, netid)
        return 0 if found is None else found.port

    def _dump_ports(self, caller: Caller, arguments: None) -> list[mapping]:
        """DUMP of version 2, RFC 1833 section 3.2."""
        return [
            mapping(each.program, each.version, _PROTOCOLS[each.netid], each.port)
            for each in self._known
            if each.netid in _PROTOCOLS
        ]

    def _getaddr(self, caller: Caller, wanted: rpcb) -> bytes:
        """GETADDR, RFC 1833 section 2.2.1; nothing for what is not known.

        Without a netid the transport is meant that the call came by.
        """
        netid = wanted.r_netid.decode(errors="replace") or _netid(caller)
        found = self._find(wanted.r_prog, wanted.r_vers, netid)
        if found is None:
            return b""
        is_any = found.host in ("0.0.0.0", "::") and ("6" in netid) == (":" in caller.local)
        return universal(caller.local if is_any else found.host, found.port).encode()

    def _getversaddr(self, caller: Caller, wanted: rpcb) -> bytes:
        """GETVERSADDR, RFC 1833 section 2.2.1: of no other version."""
        if (wanted.r_prog, wanted.r_vers) not in {each.key[:2] for each in self._known}:
            return b""
        return self._getaddr(caller, wanted)

    def _find(self, program: int, version: int, netid: str) -> Registration | None:
        """What is known; in want of the version another, which will say what there is."""
        fit = [each for each in self._known if (each.program, each.netid) == (program, netid)]
        same = [each for each in fit if each.version == version]
        return next(iter(same or fit), None)

    def _dump(self, caller: Caller, arguments: None) -> list[rpcb]:
        """DUMP, RFC 1833 section 2.2.1."""
        return [
            rpcb(
                each.program,
                each.version,
                each.netid.encode(),
                universal(each.host, each.port).encode(),
                _OWNER,
            )
            for each in self._known
        ]


def _program(version: int, signatures: Iterable[Signature], handlers: Iterable[Handler]) -> Program:
    rows = zip(signatures, handlers, strict=True)
    return Program(RPCBPROG, version, tuple(Procedure.of(*row) for row in rows))


def _netid(caller: Caller) -> str:
    """The transport that a call came by."""
    return ("udp" if caller.is_datagram else "tcp") + ("6" if ":" in caller.local else "")
