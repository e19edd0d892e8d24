"""A port mapper of our own, for machines without rpcbind: it answers on port 111.

It knows our own programs and nobody else's: none can be registered.  Nor does it
pass calls on, which would let others act with this machine's address.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Final, TypeAlias, TypeVar

from nfsd.portmap.rpcbind import Registration, universal
from nfsd.rpc.program import Caller, Handler, Procedure, Program, null
from nfsd.xdr.codec import Signature
from nfsd.xdr.generated.rpcbind import (
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

W = TypeVar("W", mapping, rpcb)  # what is looked for
F = TypeVar("F")  # what is found
L = TypeVar("L")  # the list of all
_Signatures: TypeAlias = tuple[
    Signature[None, None],
    Signature[W, bool],
    Signature[W, bool],
    Signature[W, F],
    Signature[None, L],
]
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
        second = self._rows(PMAPVERS_SIGNATURES, self._getport, self._dump_ports)
        third = self._rows(RPCBVERS_SIGNATURES, self._getaddr, self._dump)
        fourth = self._rows(RPCBVERS4_SIGNATURES[:5], self._getaddr, self._dump)
        more = Procedure(RPCBVERS4_SIGNATURES[5], self._getversaddr)
        return (
            Program(RPCBPROG, PMAPVERS, second),
            Program(RPCBPROG, RPCBVERS, third),
            Program(RPCBPROG, RPCBVERS4, (*fourth, more)),
        )

    def _rows(
        self,
        signatures: _Signatures[W, F, L],
        find: Handler[W, F],
        dump: Handler[None, L],
    ) -> tuple[Procedure[Any, Any], ...]:
        """Return what all versions have: NULL, SET, UNSET, GETPORT or GETADDR, and DUMP."""
        null_, set_, unset, finding, dumping = signatures
        return (
            Procedure(null_, null),
            Procedure(set_, self._refuse),
            Procedure(unset, self._refuse),
            Procedure(finding, find),
            Procedure(dumping, dump),
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
        """Return what is known; in want of the version another, which will say what there is."""
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


def _netid(caller: Caller) -> str:
    """Return the transport that a call came by."""
    return ("udp" if caller.is_datagram else "tcp") + ("6" if ":" in caller.local else "")
