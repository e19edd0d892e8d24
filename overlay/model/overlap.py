"""Which directories of overlays may not lie one in the other.

The layers of one overlay are apart, as the kernel's overlayfs has it, and so is its work
directory: what lies in two of them would be two objects at once.  Between overlays this
holds where one of the two is written to: an upper layer that is another's lower would
change under it, and a user that could read a work directory or the server's state through an
export would know the key that signs the file handles.  Lower layers may be shared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import combinations
from typing import Final

from index.layers import RECORD, parse_record
from index.linux.fd import Fd
from index.linux.mounts import Location, locate
from overlay.model.config import PLACEHOLDER, ConfigError, OverlayConfig
from overlay.model.state_directory import state_base

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY
_ADDRESS: Final = rb"[0-9a-f:.]"  # what {client} stands for


class Role(Enum):
    """What a directory is for an overlay."""

    LOWER = auto()
    UPPER = auto()
    WORK = auto()
    STATE = auto()  # of the server, for all overlays that need it


@dataclass(frozen=True, slots=True)
class Claim:
    """A directory that an overlay wants for itself."""

    role: Role
    path: bytes
    location: Location

    @property
    def words(self) -> str:
        names = {
            Role.LOWER: "lower layer",
            Role.UPPER: "upperdir",
            Role.WORK: "workdir",
            Role.STATE: "the server's state directory",
        }
        return f"{names[self.role]} {os.fsdecode(self.path)}"

    def meets(self, other: Claim) -> bool:
        """Return whether they are one directory, or one lies in the other."""
        return _meet(self.location, other.location)


def check_layers(config: OverlayConfig) -> None:
    """Check that the directories of one overlay lie apart; raises ConfigError."""
    for one, other in combinations(_claims(config), 2):
        if one.meets(other):
            raise ConfigError(f"{_told(one, other)}: {_cure(one, other)}")
    _check_state(config)


def _check_state(config: OverlayConfig) -> None:
    """Check that no layer holds the state directory, which may have keys of other overlays."""
    if not os.path.isdir(state_base()):
        return
    for state in _claim(Role.STATE, state_base()):
        for claim in _claims(config):
            holds = len(claim.location.names) <= len(state.location.names)
            if claim.role is not Role.STATE and holds and claim.meets(state):
                raise ConfigError(f"{_told(claim, state)}: {_cure(claim, state)}")


def check_exports(exports: Sequence[tuple[bytes, OverlayConfig]]) -> None:
    """Check the directories of overlays that are served together; raises ConfigError.

    Directories that are not there are left out: opening them is refused anyhow.
    """
    for path, config in exports:
        try:
            check_layers(config)
        except ConfigError as problem:
            raise ConfigError(f"export {os.fsdecode(path)}: {problem}") from problem
    claimed = [(path, list(_claims(config))) for path, config in exports]
    for (path, ones), (other_path, others) in combinations(claimed, 2):
        found = _clash(ones, others)
        if found is not None:
            names = f"export {os.fsdecode(path)}", f"export {os.fsdecode(other_path)}"
            raise ConfigError(f"{_told(*found, *names)}: {_cure(*found)}")
    _check_ids(exports)


def _check_ids(exports: Sequence[tuple[bytes, OverlayConfig]]) -> None:
    """Refuse two exports one of which has a copy of the other's work directory."""
    seen: dict[int, tuple[bytes, bytes]] = {}
    for path, config in exports:
        found = None if config.workdir is None else recorded_export(config.workdir)
        if config.workdir is None or found is None:
            continue
        other, work = seen.setdefault(found, (path, config.workdir))
        if other != path:
            copy, original = os.fsdecode(config.workdir), os.fsdecode(work)
            raise ConfigError(
                f"export {os.fsdecode(path)}: workdir {copy} is a copy of {original}, of export "
                f"{os.fsdecode(other)}: file handles of one would be taken for the other's; have "
                "the copy begin anew with overlay-nfsd index detach, naming all its layers"
            )


def recorded_export(workdir: bytes) -> int | None:
    """Return the id of the export that a work directory is of.

    None if there is none, or none to read.
    """
    try:
        with open(os.path.join(workdir, b"identity", RECORD), "rb") as file:
            return parse_record(file.read()).export
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # what is wrong with it is said when it is opened


def clash(config: OverlayConfig, other: OverlayConfig) -> bool:
    """Return whether two overlays cannot be open at one time."""
    return _clash(list(_claims(config)), list(_claims(other))) is not None


def _clash(ones: list[Claim], others: list[Claim]) -> tuple[Claim, Claim] | None:
    for one in ones:
        for other in others:
            if one.role is other.role and one.role in (Role.LOWER, Role.STATE):
                continue
            if one.meets(other):
                return one, other
    return None


def _claims(config: OverlayConfig) -> Iterator[Claim]:
    if config.upperdir is not None and config.workdir is not None:
        yield from _claim(Role.WORK, config.workdir)
        yield from _claim(Role.UPPER, config.upperdir)
    if config.workdir is None or PLACEHOLDER in config.workdir:
        yield from _claim(Role.STATE, state_base())
    for path in (*config.lowerdirs, *config.datadirs):
        yield from _claim(Role.LOWER, path)


def _claim(role: Role, path: bytes) -> Iterator[Claim]:
    """Yield the claim of a path; of what is not there yet, the place where it will be."""
    there = os.path.join(os.getcwdb(), path.rstrip(b"/") or b"/")
    missing: list[bytes] = []
    while PLACEHOLDER in there or not os.path.isdir(there):
        if not missing and PLACEHOLDER not in there and role is not Role.STATE:
            return  # opening it is refused
        there, name = os.path.split(there)
        missing.insert(0, name)
    device, names = locate(Fd(os.open(there, _DIRECTORY)))
    yield Claim(role, path, Location(device, (*names, *missing)))


def _meet(one: Location, other: Location) -> bool:
    """Do as Location.meets; a name with a placeholder may be any that fits."""
    pairs = zip(one.names, other.names, strict=False)  # the longer is in the shorter
    return one.device == other.device and all(_may_be_one(*pair) for pair in pairs)


def _may_be_one(name: bytes, other: bytes) -> bool:
    """Return whether two names are the same for some client, or any two."""
    if PLACEHOLDER not in name:
        name, other = other, name
    if PLACEHOLDER not in name:
        return name == other
    if PLACEHOLDER not in other:
        before, after = map(re.escape, name.split(PLACEHOLDER))
        return re.fullmatch(before + _ADDRESS + b"+" + after, other) is not None
    pairs = zip(name.split(PLACEHOLDER), other.split(PLACEHOLDER), strict=True)
    (before, other_before), (after, other_after) = pairs
    more = _rest(before, other_before), _rest(after[::-1], other_after[::-1])
    return all(each is not None and re.fullmatch(_ADDRESS + b"*", each) for each in more)


def _rest(one: bytes, other: bytes) -> bytes | None:
    """By what one of two is longer than the other, which it begins with; None if it does not."""
    shorter, longer = sorted((one, other), key=len)
    return longer[len(shorter) :] if longer.startswith(shorter) else None


def _told(one: Claim, other: Claim, whose: str = "", whose_other: str = "") -> str:
    words = f"{one.words} of {whose}" if whose else one.words
    other_words = f"{other.words} of {whose_other}" if whose_other else other.words
    if one.location == other.location:
        return f"{words} and {other_words} are one directory"
    if len(one.location.names) > len(other.location.names):
        return f"{words} lies in {other_words}"
    return f"{other_words} lies in {words}"


def _cure(one: Claim, other: Claim) -> str:
    roles = {one.role, other.role}
    if Role.STATE in roles:
        return (
            "the key that signs the file handles could be read by clients: set STATE_DIRECTORY "
            "to a directory outside all layers"
        )
    if Role.WORK in roles and Role.LOWER in roles:
        return (
            "the key that signs the file handles could be read by clients: put upper and workdir "
            "outside all layers"
        )
    if roles == {Role.LOWER}:
        return "each layer is a directory of its own: name it once, or layers that lie apart"
    if Role.LOWER in roles:
        return "what is written to one would change the other: put upper and workdir elsewhere"
    return "put each into a directory of its own, one beside the other"
