"""The sockets that clients connect to, by the addresses that they listen on.

Rule: an address that stays keeps its socket, and with it whoever waits in its queue.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from nfsd.options import Refusal, listen_address

_BACKLOG: Final = 1024

Listeners: TypeAlias = Mapping[str, socket.socket]  # by what was written
NONE: Final[Listeners] = {}


def listen(texts: Iterable[str], before: Listeners, option: str = "--listen") -> Listeners:
    """Listen on these addresses, with the sockets that do so already.

    Raises Refusal, which names the option to be changed, if one cannot be had, and then
    none is new.
    """
    addresses = {text: listen_address(text, option) for text in texts}
    found: dict[str, socket.socket] = {}
    try:
        for text, (family, address) in addresses.items():
            found[text] = before[text] if text in before else stream_socket(family, address, before)
    except OSError as error:
        close_others(found, before)
        raise _refusal(text, option, error) from error
    return found


def check(texts: Iterable[str], option: str = "--listen") -> None:
    """Raise Refusal unless these are addresses of this machine; they may be in use."""
    for text in texts:
        family, address = listen_address(text, option)
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.bind((address[0], 0, *address[2:]))
        except OSError as error:
            raise _refusal(text, option, error) from error


def _refusal(text: str, option: str, error: OSError) -> Refusal:
    return Refusal(
        f"cannot listen on {text}: {error.strerror}: stop what listens there, or choose another "
        f"with {option} ADDR:PORT (port 0: any)"
    )


def close_others(listeners: Mapping[Any, socket.socket], kept: Mapping[Any, socket.socket]) -> None:
    """Close those that are not among `kept`."""
    for sock in set(listeners.values()) - set(kept.values()):
        sock.close()


def bound_to(listeners: Listeners) -> list[tuple[str, int]]:
    """Host and port of each, with the port that port 0 became."""
    return [sock.getsockname()[:2] for sock in listeners.values()]


def stream_socket(
    family: socket.AddressFamily, address: tuple[Any, ...], before: Listeners = NONE
) -> socket.socket:
    """A socket that listens on one more address; raises OSError.

    One of IPv6 is for IPv6 alone, so that the same port of IPv4 can be another.
    Those of before it may share the port with, as 0.0.0.0 does with 127.0.0.1.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _share_port((sock, *before.values()), True)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        _share_port((sock, *before.values()), False)
    sock.setblocking(False)
    return sock


def _share_port(socks: Iterable[socket.socket], allowed: bool) -> None:
    for sock in socks:
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, allowed)
