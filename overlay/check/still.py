"""The index for one who only looks."""

from __future__ import annotations

from index.entries import Index
from index.handles import RealHandle
from index.identity import Identity


class StillIndex(Index):
    """What lookups note on the way is not noted."""

    def put_directory(
        self,
        identity: Identity,
        *,
        upper: RealHandle | None = None,
        path: bytes | None = None,
        redirect: bytes | None = None,
        lower: Identity | None = None,
        data: bytes | None = None,
    ) -> None:
        pass
