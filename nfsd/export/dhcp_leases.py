"""The names that DHCP servers have on record for addresses: files of dnsmasq, ISC dhcpd and Kea.

    dnsmasq  /var/lib/misc/dnsmasq.leases     1764436335 52:54:00:12:34:56 10.0.0.11 pc11 *
    ISC      /var/lib/dhcp/dhcpd.leases       lease 10.0.0.11 { ...; client-hostname "pc11"; }
    Kea      /var/lib/kea/kea-leases4.csv     a line of titles, then one for each change

Of one address the last word counts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from overlay.base.client_name import is_label

_ISC: Final = re.compile(r"^\s*lease\s+([0-9A-Fa-f:.]+)\s*\{(.*?)^\s*\}", re.MULTILINE | re.DOTALL)
_ISC_NAME: Final = re.compile(r'client-hostname\s+"([^"]*)"')
_KEA: Final = "address,"
_ISC_ACTIVE: Final = re.compile(r"^\s*binding state active;", re.MULTILINE)
# Where Kea has what is older while it cleans up: then the file itself has only what is new.
_KEA_BEFORE: Final = (".2", ".1")
_KEA_ASSIGNED: Final = "0"


def names(path: str) -> dict[str, str]:
    """Return the name of each address that is leased, in small letters; "" where it has none.

    Raises OSError, or ValueError for what is no text.
    """
    text = Path(path).read_text()
    found: dict[str, str] = {}
    for address, name in _rows(path, text):
        try:
            address = str(ip_address(address))
        except ValueError:
            continue  # a line of another kind
        found.pop(address, None)
        if name is not None:
            label = name.lower().partition(".")[0]
            found[address] = label if is_label(label) else ""
    return found


def _rows(path: str, text: str) -> Iterator[tuple[str, str | None]]:
    """Return addresses with names, in the order of time; None: not leased any more."""
    if text.startswith(_KEA):
        return (row for each in (*_before(path), text) for row in _kea(each))
    return _isc(text) if _ISC.search(text) else _dnsmasq(text)


def _dnsmasq(text: str) -> Iterator[tuple[str, str | None]]:
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 4:
            yield fields[2], fields[3]  # "*" is no name


def _isc(text: str) -> Iterator[tuple[str, str | None]]:
    for address, body in _ISC.findall(text):
        name = _ISC_NAME.search(body)
        is_leased = _ISC_ACTIVE.search(body) is not None
        yield address, (name[1] if name else "") if is_leased else None


def _kea(text: str) -> Iterator[tuple[str, str | None]]:
    for row in csv.DictReader(text.splitlines()):
        is_leased = row.get("state") == _KEA_ASSIGNED and row.get("valid_lifetime") != "0"
        yield row.get("address") or "", (row.get("hostname") or "") if is_leased else None


def _before(path: str) -> Iterator[str]:
    for suffix in _KEA_BEFORE:
        older = Path(path + suffix)
        if older.is_file():
            yield older.read_text()
