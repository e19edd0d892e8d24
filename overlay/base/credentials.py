"""Who asks: the identity an operation is checked against and creates objects as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# (uid_t)-1 names nobody: setfsuid(2) and chown(2) take it for "leave it as it is".
INVALID_ID: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user as AUTH_SYS names one: user, group and supplementary groups."""

    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    is_root: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_root", self.uid == 0)

    def in_group(self, gid: int) -> bool:
        return gid == self.gid or gid in self.groups


ROOT: Final = Credentials(0, 0)
# Of a call without credentials (AUTH_NONE).
ANONYMOUS: Final = Credentials(INVALID_ID, INVALID_ID)
