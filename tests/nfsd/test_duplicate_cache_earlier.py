"""The duplicate request cache of an earlier version, whose server is stopped and this one started.

There answers lay in the order in which they were given, wherever the heads of their calls were.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from index.linux.fd import Fd
from nfsd.rpc.duplicate_cache import SIZE, DuplicateRequestCache
from nfsd.rpc.duplicate_entry import Entry, Fate, Sender

CLIENT, OTHER = Sender("192.0.2.1"), Sender("192.0.2.2")
ANSWERS, AREA = 2048 * 512, 448  # where they begin; bytes of each
WORD = 32  # in a head


def answer(cache: DuplicateRequestCache, sender: Sender, calls: list[bytes]) -> list[Entry]:
    entries = [cache.begin(sender, call) for call in calls]
    for entry, call in zip(entries, calls, strict=True):
        assert entry.fate is Fate.NEW
        cache.finish(entry, call[::-1])
    return entries


def put_in_order(file: Fd, entries: list[Entry]) -> None:
    """Have these answers in the first areas, as the earlier version would."""
    with mmap.mmap(file, SIZE) as kept:
        words = [struct.unpack_from("<Q", kept, entry.slot + WORD)[0] for entry in entries]
        areas = [ANSWERS + (word >> 16 & 0xFFFF) * AREA for word in words]
        answers = [kept[area : area + AREA] for area in areas]
        kept[ANSWERS:] = bytes(SIZE - ANSWERS)
        for number, (entry, word) in enumerate(zip(entries, words, strict=True)):
            area = ANSWERS + number * AREA
            kept[area : area + AREA] = answers[number]
            ordered = word & ~(0xFFFF << 16) | number << 16
            struct.pack_into("<Q", kept, entry.slot + WORD, ordered)


def test_its_answers_are_given_however_many_are_given_since(tmp_path: Path) -> None:
    file = Fd(os.open(tmp_path / "replies", os.O_RDWR | os.O_CREAT))
    calls = [b"call %d" % number for number in range(500)]
    put_in_order(file, answer(DuplicateRequestCache(file), CLIENT, calls))
    cache = DuplicateRequestCache(file)
    answer(cache, OTHER, [b"since %d" % number for number in range(1500)])
    for call in calls:
        again = cache.begin(CLIENT, call)
        assert (again.fate, again.reply) == (Fate.DONE, call[::-1])
