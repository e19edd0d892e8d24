"""A seal that is open in a process can be opened again, as a reload does to look at it."""

from __future__ import annotations

import os
from pathlib import Path

from index.linux.fd import Fd
from index.seal import Seal, open_seal


def _directory(path: Path) -> Fd:
    return Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def test_a_seal_is_opened_while_it_is_open(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for each in (first, second):
        each.mkdir()
    assert open_seal(_directory(first)) is None
    served, other = Seal.within(_directory(first)), Seal.within(_directory(second))
    looked_at = open_seal(_directory(first))
    assert looked_at is served
    assert open_seal(_directory(second)) is other
    served.close()
    again = open_seal(_directory(first))
    assert again is not None
    assert again is not served
    again.close()
    other.close()
