"""How the directory of a client is called: by its address, or by a name."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

# How a client is named: like a host, without a domain.
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


def is_label(name: str) -> bool:
    """Return whether this may be the name of a client."""
    return _LABEL.fullmatch(name) is not None


def is_client(name: str, *, named: bool = False) -> bool:
    """Return whether this is how a client's address is written in a directory's name.

    Or, where they are `named`, whether it may be the name of one.
    """
    if named and is_label(name):
        return True
    try:
        return str(ip_address(name)) == name
    except ValueError:
        return False
