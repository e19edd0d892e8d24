"""How tests are divided among processes that run them side by side (pytest-xdist, loadgroup).

Rule: the tests of a module run in one process, one after the other. Long ones that share no fixture
of their module go to whichever process is free. Those that need something of which the machine has
one or two say so themselves (`xdist_group`). What takes long begins first, so that the end is made
of what is short.
"""

from __future__ import annotations

from collections import Counter

import pytest

_LONG = ("conformance", "torture", "slow")


def arrange(items: list[pytest.Item]) -> None:
    """Mark the groups of tests, and put them in the order in which they are to begin."""
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        if group and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group))
    sizes = Counter(groups.values())
    items.sort(key=lambda item: (_kind(item), not groups[item], -sizes[groups[item]], groups[item]))


def _kind(item: pytest.Item) -> int:
    """How long a test takes, 0 for the longest."""
    return next((n for n, name in enumerate(_LONG) if item.get_closest_marker(name)), len(_LONG))


def _group(item: pytest.Item) -> str:
    """Those that a test has to stay with, "" if it is for itself."""
    if marked := item.get_closest_marker("xdist_group"):
        return str(marked.args[0])
    if _kind(item) < len(_LONG) and not _shares_a_fixture(item):
        return ""
    return f"{item.path.parent.name}/{item.path.stem}"


def _shares_a_fixture(item: pytest.Item) -> bool:
    """Whether it uses a fixture that is made once for its module."""
    assert isinstance(item, pytest.Function)
    found = item._fixtureinfo.name2fixturedefs.values()
    return any(each.scope == "module" for definitions in found for each in definitions)
