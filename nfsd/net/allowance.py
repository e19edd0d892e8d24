"""What one connection may take of a process, by whether its client is let into any export.

An address that is let into no export may ask for what every client may: which programs are
here, what is exported, whether it is let in.  That takes little.
"""

from __future__ import annotations

from typing import Final

# A WRITE of 1 MiB with its header and arguments, and room to spare.
RECORD_MAX: Final = (1 << 20) + (64 << 10)
SLOW_MAX: Final = 16
_SECOND: Final = 1_000_000_000


class Allowance:
    """Bounds; times are in nanoseconds."""

    def __init__(
        self,
        *,
        record: int,
        received: int,
        batch: int,
        unsent: int,
        slow: int,
        progress: int,
        silence: int,
        life: int,
    ) -> None:
        self.record = record  # bytes of a record
        self.received = received  # bytes taken from the socket at once
        self.batch = batch  # bytes of replies, before others have their turn
        self.unsent = unsent  # bytes of memory that replies take which wait to be taken
        self.slow = slow  # calls under way in threads
        # For a record to arrive; for the client to take PROGRESS_BYTES of replies, or all.
        self.progress = progress
        self.silence = silence  # without a call; 0 for ever
        self.life = life  # altogether; 0 for ever


PROGRESS_BYTES: Final = 64 << 10
FOR_CLIENTS: Final = Allowance(
    record=RECORD_MAX,
    received=RECORD_MAX,
    batch=1 << 20,
    unsent=4 << 20,
    slow=SLOW_MAX,
    progress=60 * _SECOND,
    silence=0,
    life=0,
)
# The largest call of theirs is MNT: a path of 1,024 bytes and credentials of 400.
FOR_STRANGERS: Final = Allowance(
    record=8 << 10,
    received=4 << 10,
    batch=32 << 10,
    unsent=32 << 10,
    slow=1,
    progress=10 * _SECOND,
    silence=3 * _SECOND,
    life=120 * _SECOND,
)
# For clients that may be let in by a name that is being looked up.
FOR_UNKNOWN: Final = Allowance(
    record=RECORD_MAX,
    received=RECORD_MAX,
    batch=32 << 10,
    unsent=32 << 10,
    slow=4,
    progress=10 * _SECOND,
    silence=60 * _SECOND,
    life=0,
)
