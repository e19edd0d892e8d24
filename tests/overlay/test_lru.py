"""Caches stay within their budget, and an entry is counted with what it really takes."""

from __future__ import annotations

import gc
import os
import resource
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from nfsd.rpc.reply_cache import ReplyCache
from overlay.base.credentials import ROOT
from overlay.base.generations import Generations, watched
from overlay.base.lru import Cache, CacheBudget
from overlay.filesystem import Overlay
from overlay.model.caches import Caches
from tests.overlays import make_dirs

FILES = 2000
ENTRY = 100  # bytes


def cache_in(budget: CacheBudget, share: float = 0.5) -> Cache[int, int]:
    return Cache(budget, share, lambda key, value: ENTRY)


def test_a_budget_is_never_exceeded() -> None:
    budget = CacheBudget(100 * ENTRY)
    first, second = cache_in(budget), cache_in(budget)
    for number in range(1000):
        (first if number % 3 else second).put(number, number)
        assert first.taken + second.taken == budget.taken <= budget.size
        assert budget.taken == ENTRY * (len(first) + len(second))
    assert budget.taken == budget.size


def test_what_one_leaves_another_may_have_until_it_is_wanted() -> None:
    budget = CacheBudget(100 * ENTRY)
    first, second = cache_in(budget), cache_in(budget)
    for number in range(1000):
        first.put(number, number)
    assert len(first) == 100
    for number in range(1000):
        second.put(number, number)
    assert (len(first), len(second)) == (50, 50)


def test_the_oldest_goes_unless_it_was_asked_for() -> None:
    budget = CacheBudget(100 * ENTRY)
    cache = cache_in(budget, 1)
    for number in range(100):
        cache.put(number, number)
    for number in range(100, 1000):
        cache.put(number, number)
        assert cache.get(70) == 70
        assert len(cache) == 100
    kept = [number for number in range(1000) if cache.get(number) is not None]
    assert kept == [70, *range(901, 1000)]
    cache.forget(70)
    assert cache.get(70) is None
    cache.clear()
    assert budget.taken == len(cache) == 0


def test_the_newest_stays_though_it_is_more_than_the_budget() -> None:
    budget = CacheBudget(1000)
    sizes: Cache[int, int] = Cache(budget, 0.5, lambda key, value: value)
    other = cache_in(budget)
    other.put(0, 0)
    sizes.put(1, 5000)
    assert sizes.get(1) == 5000
    assert other.get(0) == 0
    sizes.put(2, 100)
    assert sizes.get(1) is None
    assert sizes.get(2) == 100


def test_a_limit_of_weight() -> None:
    cache: Cache[int, int] = Cache(
        CacheBudget(1 << 20), 1, lambda key, value: 1, limit=10, weight_of=lambda value: value
    )
    for number in range(100):
        cache.put(number, 3)
        assert len(cache) <= 3
    cache.put(100, 30)
    assert len(cache) == 1


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    """With a directory of many files, half of them with a longer name."""
    dirs = make_dirs(tmp_path)
    many = Path(os.fsdecode(dirs.config.lowerdirs[0])) / "many"
    many.mkdir()
    for number in range(FILES):
        (many / name(number).decode()).touch()
    opened = Overlay.open(dirs.config, caches=Caches(CacheBudget(64 << 20)))
    yield opened
    opened.close()


def name(number: int) -> bytes:
    return b"%d" % number + b"x" * (number % 2 * 50)


def test_an_entry_takes_no_more_than_it_is_counted_with(overlay: Overlay) -> None:
    directory = overlay.lookup(overlay.root, b"many", ROOT)
    caches, budget = overlay._tree.caches, overlay._tree.caches.nodes._budget
    for caches_of in (caches.nodes, caches.names, caches.listings):
        caches_of.clear()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(FILES):
            overlay.getattr(overlay.lookup(directory, name(number), ROOT))
        _holds_against(budget.taken)
        counted = budget.taken
        assert len(caches.nodes) >= FILES
        replies = ReplyCache(budget)
        tracemalloc.clear_traces()
        for number in range(FILES):
            _, basis = watched(partial(_learn, number))
            replies.add((number, b"%200d" % number), b"%300d" % number, basis)
        _holds_against(budget.taken - counted)
        counted = budget.taken
        tracemalloc.clear_traces()
        overlay.readdir(directory, ROOT)
        _holds_against(budget.taken - counted)
    finally:
        tracemalloc.stop()


def _learn(number: int) -> None:
    for kind in range(4):
        Generations(kind).of(1000 * number)


def _holds_against(counted: int) -> None:
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    assert held <= counted < 3 * held, f"{held} bytes are held, {counted} counted"


def test_descriptors_are_bounded_for_all_overlays_together(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        caches = Caches()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    opened = []
    for at in ("one", "two"):
        (tmp_path / at).mkdir(0o755)
        dirs = make_dirs(tmp_path / at)
        for number in range(400):
            (Path(os.fsdecode(dirs.config.lowerdirs[0])) / f"f{number}").touch()
        opened.append(Overlay.open(dirs.config, caches=caches))
    before = len(os.listdir("/proc/self/fd"))
    for overlay in opened:
        for number in range(400):
            assert overlay.lookup(overlay.root, b"f%d" % number, ROOT)
    assert len(os.listdir("/proc/self/fd")) - before <= 256
    for overlay in opened:
        overlay.close()


def test_what_is_kept_of_one_overlay_goes_with_it(tmp_path: Path) -> None:
    caches, opened = Caches(), []
    for at in ("one", "two"):
        (tmp_path / at).mkdir(0o755)
        opened.append(Overlay.open(make_dirs(tmp_path / at).config, caches=caches))
        directory = opened[-1].lookup(opened[-1].root, b"d", ROOT)
        opened[-1].readdir(directory, ROOT)
        assert len(caches.nodes) == len(caches.names) == len(caches.listings) == len(opened)
    opened[0].close()
    assert len(caches.nodes) == len(caches.names) == len(caches.listings) == 1
    assert caches.nodes.get(directory.handle) is not None
    opened[1].close()
    assert len(caches.nodes) == len(caches.names) == len(caches.listings) == 0


def test_processes_begin_with_common_caches_that_are_empty(tmp_path: Path) -> None:
    common, opened = Caches(), []
    for at in ("one", "two"):
        (tmp_path / at).mkdir(0o755)
        opened.append(Overlay.open(make_dirs(tmp_path / at).config))
        opened[-1].lookup(opened[-1].root, b"d", ROOT)
    for overlay in opened:
        overlay.share(2, common)
    assert len(common.nodes) == len(common.names) == 0
    for number, overlay in enumerate(opened, 1):
        overlay.lookup(overlay.root, b"d", ROOT)
        assert len(common.nodes) == len(common.names) == number
    for overlay in opened:
        overlay.close()
    assert len(common.nodes) == len(common.names) == 0
