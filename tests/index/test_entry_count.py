"""Counting the index: a part at a time, again only after a change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from index import entry_count
from index.entry_count import EntryCount
from index.linux.fd import Fd


@pytest.fixture
def full(tmp_path: Path) -> Path:
    for number in range(2500):
        (tmp_path / str(number)).touch()
    return tmp_path


def test_a_count_is_done_in_parts(full: Path) -> None:
    counting = EntryCount(Fd(os.open(full, os.O_RDONLY)))
    assert [counting.count(0) for _ in range(3)] == [None, None, 2500]
    assert counting.count(60) == 2500
    (full / "more").touch()
    assert counting.count(60) == 2501
    for number in range(10):
        (full / str(number)).unlink()
    assert [counting.count(0) for _ in range(3)] == [2501, 2501, 2491]


def test_what_has_not_changed_is_not_counted_again(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(full, ns=(0, 10**18))
    counting = EntryCount(Fd(os.open(full, os.O_RDONLY)))
    assert counting.count(60) == 2500
    monkeypatch.setattr(entry_count, "_AT_ONCE", 1)
    assert counting.count(0) == 2500
    (full / "more").touch()
    assert counting.count(0) == 2500
    assert counting.count(60) == 2501
