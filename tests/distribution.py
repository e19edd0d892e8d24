"""How tests are divided among processes that run them side by side: a plugin of pytest-xdist.

Rule: the tests of a module run in one process, one after the other, but for those of APART, which
share nothing and take long. Modules that boot guests are two groups, as a guest takes a processor.
What takes long begins first, so that the end is made of what is short.
"""

from __future__ import annotations

from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

_GUESTS: Final = (
    ("guest", "make_run", "moves", "nconnect"),
    ("diskless", "locking", "mounting", "restarts"),
)
GROUPS: Final = {
    f"tests/conformance/test_{name}.py": f"guests {number}"
    for number, names in enumerate(_GUESTS, 1)
    for name in names
}
_CONFORMANCE: Final = (
    "client_overlays",
    "exports",
    "filesystems",
    "handles",
    "redirects",
    "replay",
)
APART: Final = (
    *(f"tests/conformance/test_{name}.py" for name in _CONFORMANCE),
    *(f"tests/torture/test_{name}.py" for name in ("crash", "failing", "torture")),
    *(f"tests/property/test_{name}.py" for name in ("deep", "differential", "stacks")),
)
_LONG: Final = ("conformance", "torture", "slow")


class Scheduling(LoadScopeScheduling):
    """Gives each process a group of tests at a time, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return nodeid if path in APART else GROUPS.get(path, path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Have tests divided in this way."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests in the order in which they are to begin: the longest first, of these groups."""
    items.sort(key=lambda item: (_kind(item), item.nodeid.partition("::")[0] in APART))


def _kind(item: pytest.Item) -> int:
    """How long a test takes, 0 for the longest."""
    return next((n for n, name in enumerate(_LONG) if item.get_closest_marker(name)), len(_LONG))
