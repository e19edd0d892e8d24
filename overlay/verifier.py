"""The write verifier (RFC 1813 section 3.3.7): tells clients when to send data again.

It changes exactly when data written UNSTABLE may be lost: when the machine was
restarted, or when an fsync failed.  A restart of the server loses nothing,
because the kernel has the data.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Final

from index.workdir import Workdir

_FAILURES: Final = b"sync-failures"
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


class WriteVerifier:
    """The verifier of one export: 8 bytes."""

    def __init__(self, workdir: Workdir) -> None:
        self._workdir = workdir
        self._lock = threading.Lock()
        with open(_BOOT_ID, "rb") as file:
            self._boot = file.read()
        self.value = self._compute()

    def _failures(self) -> int:
        return int(self._workdir.read(_FAILURES) or b"0")

    def _compute(self) -> bytes:
        seed = self._boot + b"%d" % self._failures()
        return hashlib.blake2b(seed, digest_size=8, key=self._workdir.key()).digest()

    def data_lost(self) -> None:
        """Data may have been lost: from now on the verifier is another."""
        with self._lock:
            self._workdir.write(_FAILURES, b"%d" % (self._failures() + 1))
            self.value = self._compute()
