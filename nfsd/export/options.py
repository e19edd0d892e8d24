"""The options of an export for some clients, by the names and defaults of exports(5)."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from overlay.base.credentials import INVALID_ID, Credentials

NOBODY: Final = 65534
_MAX_ID: Final = 0xFFFFFFFE
_MAX_FSID: Final = 0xFFFFFFFFFFFFFFFF

# Each sets one field; the first of two is the default.
_FLAGS: Final[dict[str, dict[str, Any]]] = {
    "ro": {"read_only": True},
    "rw": {"read_only": False},
    "secure": {"secure": True},
    "insecure": {"secure": False},
    "sync": {"sync": True},
    "async": {"sync": False},
    "root_squash": {"root_squash": True},
    "no_root_squash": {"root_squash": False},
    "no_all_squash": {"all_squash": False},
    "all_squash": {"all_squash": True},
}
# Of the kernel's server, and without meaning for this one: an existing line can be pasted.
_WITHOUT_EFFECT: Final = frozenset(
    (
        *("wdelay", "no_wdelay", "hide", "nohide", "crossmnt", "subtree_check", "no_subtree_check"),
        *("secure_locks", "insecure_locks", "auth_nlm", "no_auth_nlm", "pnfs", "no_pnfs"),
        *("mountpoint", "mp", "security_label", "acl", "no_acl", "nordirplus"),
    )
)
_VERSION_4: Final = ("refer", "replicas")


# 32 hexadecimal digits, and any punctuation between them.
_UUID: Final = re.compile(r"[^\w]*(?:[0-9a-fA-F][^\w]*){32}")


_DIGITS: Final = re.compile(r"[0-9]{1,20}")


class OptionError(ValueError):
    """An option that cannot be meant; the text says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What some clients may do with an export."""

    read_only: bool = True
    secure: bool = True  # only from a port below 1024
    sync: bool = True  # a change is on stable storage when it is answered
    root_squash: bool = True
    all_squash: bool = False
    anonuid: int = NOBODY
    anongid: int = NOBODY
    fsid: int | None = None
    squash_uids: tuple[range, ...] = ()  # that act as nobody, besides those above
    squash_gids: tuple[range, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ExportOptions:
        """Return the options in `rw,no_root_squash,...`, in parentheses or without.

        Raises OptionError.
        """
        options = cls()
        bare = text.strip().removeprefix("(").removesuffix(")")
        for word in filter(None, (part.strip() for part in bare.split(","))):
            name, equals, value = word.partition("=")
            if name in _FLAGS and not equals:
                options = replace(options, **_FLAGS[name])
            elif name == "anonuid":
                options = replace(options, anonuid=_number(name, value, _MAX_ID))
            elif name == "anongid":
                options = replace(options, anongid=_number(name, value, _MAX_ID))
            elif name == "squash_uids":
                options = replace(options, squash_uids=_ranges(name, value))
            elif name == "squash_gids":
                options = replace(options, squash_gids=_ranges(name, value))
            elif name == "fsid":
                options = replace(options, fsid=_fsid(value))
            elif name == "sec":
                _check_flavors(value)
            elif name == "xprtsec":
                _check_transport(value)
            elif name in _VERSION_4:
                raise OptionError(f"{word}: leave it out: only NFSv4 sends clients elsewhere")
            elif name not in _WITHOUT_EFFECT or (equals and name not in ("mountpoint", "mp")):
                close = difflib.get_close_matches(word, (*_FLAGS, *_WITHOUT_EFFECT), 1)
                cure = f"is {close[0]!r} meant?" if close else "see exports(5)"
                raise OptionError(f"{word}: no such option; {cure}")
        return options

    def squash(self, credentials: Credentials) -> Credentials:
        """Return whom calls with these credentials act for: none of its ids is INVALID_ID."""
        uid, gid, groups = credentials.uid, credentials.gid, credentials.groups
        if self.all_squash:
            return Credentials(self.anonuid, self.anongid)
        is_valid = uid != INVALID_ID and gid != INVALID_ID and INVALID_ID not in groups
        is_ordinary = is_valid and (not self.root_squash or (uid and gid and 0 not in groups))
        if is_ordinary and not self.squash_uids and not self.squash_gids:
            return credentials
        return Credentials(
            self.anonuid if self._is_squashed(uid, self.squash_uids) else uid,
            self._group(gid),
            frozenset(map(self._group, groups)),
        )

    def _is_squashed(self, number: int, ranges: tuple[range, ...]) -> bool:
        if number == INVALID_ID or (number == 0 and self.root_squash):
            return True
        return any(number in each for each in ranges)

    def _group(self, gid: int) -> int:
        return self.anongid if self._is_squashed(gid, self.squash_gids) else gid


def _ranges(name: str, value: str) -> tuple[range, ...]:
    """Return the ranges in `0-99:65534`."""
    found = []
    for part in value.split(":"):
        first, dash, last = part.partition("-")
        begin = _number(name, first, _MAX_ID)
        end = _number(name, last, _MAX_ID) if dash else begin
        if end < begin:
            raise OptionError(f"{name}={value}: {part} is no range: give one like 0-99")
        found.append(range(begin, end + 1))
    return tuple(found)


def _number(name: str, value: str, largest: int) -> int:
    if not _DIGITS.fullmatch(value) or int(value) > largest:
        raise OptionError(f"{name}={value}: give a number from 0 to {largest}")
    return int(value)


def _fsid(value: str) -> int | None:
    """Return the number; None for what only says where version 4 begins, or names a filesystem."""
    if value == "root" or _UUID.fullmatch(value):
        return None
    return _number("fsid", value, _MAX_FSID) or None


def _check_flavors(value: str) -> None:
    if "sys" not in value.split(":"):
        raise OptionError(f"sec={value}: only sec=sys is there")


def _check_transport(value: str) -> None:
    if "none" not in value.split(":"):
        raise OptionError(f"xprtsec={value}: there is no TLS, only xprtsec=none")
