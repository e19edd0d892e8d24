"""What tells the file handles of an export whose work directory another process may hold."""

from __future__ import annotations

from index.identity import Signer
from index.layers import RECORD, parse_record
from index.linux.fd import Fd, open_dir
from index.workdir import KEY, KEY_SIZE, read_file, retired_exports


def signing(work: Fd) -> tuple[Signer, frozenset[int]] | None:
    """Who signs the handles of a work directory, and the exports whose handles are stale.

    None if it has signed none yet.  Raises FileNotFoundError if it was never opened.
    """
    identity = open_dir(work, b"identity")
    key, record = read_file(identity, KEY), read_file(identity, RECORD)
    if key is None or len(key) != KEY_SIZE or record is None:
        return None
    return Signer(key, parse_record(record).export), retired_exports(work)
