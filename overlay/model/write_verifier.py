"""The write verifier (RFC 1813 section 3.3.7): tells clients when to send data again.

It changes exactly when data written UNSTABLE may be lost: when the machine was
restarted, or when an fsync failed.  A restart of the server, or of one of its
processes, loses nothing, because the kernel has the data.
"""

from __future__ import annotations

import hashlib
import mmap
from typing import Final

from index.lock_bytes import VERIFIER
from index.workdir import Workdir

_FAILURES: Final = b"sync-failures"
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


def boot_id() -> bytes:
    """Return a value that changes each time that the machine is started."""
    with open(_BOOT_ID, "rb") as file:
        return file.read()


class WriteVerifier:
    """The verifier of one export: 8 bytes, the same in all processes forked from this one."""

    def __init__(self, workdir: Workdir) -> None:
        self._workdir = workdir
        self._boot = boot_id()
        self._key = workdir.key()
        self._shared = memoryview(mmap.mmap(-1, 16)).cast("Q")  # the verifier, and the failures
        self._change(int(workdir.read(_FAILURES) or b"0"))

    @property
    def value(self) -> bytes:
        return self._shared[0].to_bytes(8, "big")

    def _change(self, failures: int) -> None:
        seed = self._boot + b"%d" % failures
        digest = hashlib.blake2b(seed, digest_size=8, key=self._key).digest()
        self._shared[0], self._shared[1] = int.from_bytes(digest, "big"), failures

    def data_lost(self) -> None:
        """Data may have been lost: from now on the verifier is another.

        Raises OSError when that cannot be recorded for later starts.
        """
        stood = self._shared[0]
        try:
            with self._workdir.lock(VERIFIER):
                failures = self._shared[1] + 1
                self._change(failures)
                self._workdir.write(_FAILURES, b"%d" % failures)
        finally:
            if self._shared[0] == stood:  # there was no lock to be had
                self._change(self._shared[1] + 1)
