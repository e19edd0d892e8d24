"""The memory that the connections of one event loop receive into, and what they hold together."""

from __future__ import annotations

from typing import Final

from nfsd.net.allowance import RECORD_MAX
from nfsd.net.client_usage import Source
from nfsd.rpc.record import SpareBuffers

BUDGET: Final = 128 << 20  # bytes, of one process
SPARE_BUFFERS: Final = 8  # for large records, besides
_SHARED_BYTES: Final = 64 << 10  # what one read takes of anything small


class Memory:
    """Counts calls that arrive or wait, and replies that are not taken, as the objects they are."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.shared = memoryview(bytearray(_SHARED_BYTES))
        self.spare = SpareBuffers(RECORD_MAX, SPARE_BUFFERS)
        self.budget = budget
        self.held = 0
        self.sources = 0  # that share it

    @property
    def share(self) -> int:
        """Return what each of those may have when there is no more than the budget."""
        return self.budget // (self.sources + 1)

    def is_used_up(self, source: Source) -> bool:
        """Return whether nothing is left, and this one has more than its share."""
        return self.held > self.budget and source.held > self.share
