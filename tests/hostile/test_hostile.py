"""Every attack for a moment: the good client has no error, and the server keeps nothing of it.

By hand: python -m tests.hostile, which prints how long the good client's calls take.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.server import Server
from tests.hostile.attacks import ATTACKS
from tests.hostile.target import Target, serving
from tests.hostile.trial import NONE, trial

pytestmark = pytest.mark.processes

SECONDS = 1.5
LONGEST = 30.0  # seconds for one call, on a machine that does other things, too
MEMORY = 420 << 20  # more than before, of all processes (docs/operations.md, "Bounds")
LEFT = 64 << 20  # of that the allocator may keep some
KEPT = ("names",)  # whose objects are kept open, as those in use are


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Target]]:
    with serving(tmp_path_factory.mktemp("hostile")) as found:
        yield found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("attack", [NONE, *ATTACKS])
def test_a_good_client_beside_an_attack(attacked: tuple[Server, Target], attack: str) -> None:
    server, target = attacked
    processes = server.processes
    found = trial(server, target, attack, SECONDS)
    print(found.row())
    assert found.errors == []
    assert all(each.seconds for each in found.records), "calls were made of every kind"
    assert max(each.at(1) for each in found.records) < LONGEST
    assert found.most.memory < MEMORY
    assert found.left.memory < LEFT
    assert found.left.connections <= 0
    if attack not in KEPT:
        assert found.left.descriptors < 100 * len(processes)
    assert server.processes == processes, "a process has died"
    server.check_log()
