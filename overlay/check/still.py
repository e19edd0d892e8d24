"""The index for a reader that changes nothing."""

from __future__ import annotations

from index.identity import Identity
from index.index import Index
from index.linux.file_handle import RealHandle


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
