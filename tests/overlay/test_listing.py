"""Entries in the order of their cookies, whatever the hashes of their names are."""

from __future__ import annotations

import random
from array import array
from itertools import pairwise

import pytest

from overlay.model import listing
from overlay.model.listing import HASH_BITS, Entry, Listing, Rows

_END = 1 << HASH_BITS
_PART = 1 << HASH_BITS - 5  # of 32 parts, as 500 entries have where a part has 16


def made(hashes: list[int], hidden: set[int]) -> Listing:
    """A listing of entries with such hashes, each called by its place."""
    rows = Rows()
    for begin in range(0, len(hashes), 7):
        places = range(begin, min(begin + 7, len(hashes)))
        names = [b"%d" % at for at in places]
        rows.extend(names, [100 + at for at in places], array("Q", hashes[begin : begin + 7]))
    return Listing((10, 20), rows, [at for at in range(len(rows)) if at not in hidden])


def check(hashes: list[int], hidden: set[int], chance: random.Random) -> None:
    found = made(hashes, hidden)
    entries = list(found.after(0))
    assert entries[:2] == [(1, 10, b"."), (2, 20, b"..")]
    assert all(before[0] < after[0] for before, after in pairwise(entries))
    assert entries[-1][0] < _END
    places = [int(name) for _, _, name in entries[2:]]
    assert [fileid for _, fileid, _ in entries[2:]] == [100 + at for at in places]
    shown = set(range(len(hashes))) - hidden
    assert places == sorted(shown, key=lambda at: (hashes[at], b"%d" % at))
    if len(set(hashes)) == len(hashes) and min(hashes) > 2:
        assert [cookie for cookie, _, _ in entries[2:]] == [hashes[at] for at in places]
    cookies = chance.sample([each[0] for each in entries], min(len(entries), 20))
    for cookie in (*cookies, chance.randrange(_END), _END, 2**64 - 1):
        expected: list[Entry] = [each for each in entries if each[0] > cookie]
        # Of one that is not in order yet, too.
        assert list(made(hashes, hidden).after(cookie)) == expected
        assert list(found.after(cookie)) == expected


@pytest.mark.parametrize("spread", [1, 20, _PART // 2, _END])
@pytest.mark.parametrize("number", [1, 15, 100, 500])
def test_any_hashes(monkeypatch: pytest.MonkeyPatch, number: int, spread: int) -> None:
    monkeypatch.setattr(listing, "_PART_BITS", 4)
    chance = random.Random(number * spread)
    # At the ends of what hashes may be, and where a part ends and the next one begins.
    for middle in (0, _PART, 7 * _PART, _END // 2, _END - 1):
        hashes = [
            min(max(0, middle + chance.randrange(-spread, spread + 1)), _END - 1)
            for _ in range(number)
        ]
        check(hashes, set(), chance)
        check(hashes, set(chance.sample(range(number), number // 3)), chance)


def test_an_empty_directory_has_dots() -> None:
    found = made([], set())
    assert list(found.after(0)) == [(1, 10, b"."), (2, 20, b"..")]
    assert list(found.after(1)) == [(2, 20, b"..")]
    assert list(found.after(2)) == []
