"""The users who act in the tests."""

from __future__ import annotations

from typing import Final

from overlay.base.credentials import ROOT, Credentials

STAFF: Final = 2000
ALICE: Final = Credentials(1000, 1000, frozenset({STAFF}))
BOB: Final = Credentials(1001, 1001, frozenset({STAFF, 1000}))
EVE: Final = Credentials(1002, 1002)
USERS: Final = (ROOT, ALICE, BOB, EVE)
UIDS: Final = (0, ALICE.uid, BOB.uid)
GIDS: Final = (0, ALICE.gid, BOB.gid, STAFF)
