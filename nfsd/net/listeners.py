"""The sockets that clients connect to, by the addresses that they listen on.

Rule: an address that stays keeps its socket, and with it the connections in its queue.
No other process can have its port meanwhile, whatever it asks for.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from nfsd.net.listen_address import Address, addresses
from nfsd.net.port_in_use import LISTEN, refusal
from nfsd.net.shared_port import shared
from overlay.base.refusal import Refusal

_BACKLOG: Final = 1024

Listeners: TypeAlias = Mapping[str, socket.socket]  # by address and port, which may be 0


def listen(texts: Iterable[str], before: Listeners, option: str = LISTEN) -> Listeners:
    """Listen on these addresses, with the sockets that do so already.

    Raises Refusal, which names the option to be changed, if one cannot be had, and then
    none is new.
    """
    found: dict[str, socket.socket] = {}
    try:
        for text in texts:
            for address in addresses(text, option):
                name = str(address)
                if name not in found:
                    found[name] = before.get(name) or _open(text, address, option, before)
    except Refusal:
        close_others(found, before)
        raise
    return found


def _open(text: str, address: Address, option: str, before: Listeners) -> socket.socket:
    try:
        return stream_socket(address, before.values())
    except OSError as error:
        raise refusal(option, text, address, socket.SOCK_STREAM, error) from error


def close_others(
    listeners: Mapping[Any, socket.socket], wanted: Mapping[Any, socket.socket]
) -> None:
    """Close those that are not among `wanted`."""
    for sock in set(listeners.values()) - set(wanted.values()):
        sock.close()


def bound_to(listeners: Listeners) -> list[tuple[str, int]]:
    """Return the host and port of each, with the port that port 0 became."""
    return [sock.getsockname()[:2] for sock in listeners.values()]


def stream_socket(address: Address, before: Iterable[socket.socket] = ()) -> socket.socket:
    """Return a socket that listens on one more address; raises OSError.

    One of IPv6 is for IPv6 alone, so that the same port of IPv4 can be another.
    Those of before it may share the port with, as 0.0.0.0 does with 127.0.0.1.
    """
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with shared(sock, address, before):
            sock.bind(address.sockaddr)
            sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
