"""Which processes of a server live."""

from __future__ import annotations

import os

from nfsd.rpc.living import Living


def test_a_process_lives_from_when_it_joins_until_it_is_said_to_have_died() -> None:
    living = Living(3)
    living.join(1, 71)
    living.join(2, 72)
    assert [living.has(number) for number in (71, 72, 73, 0)] == [True, True, False, False]
    living.died(1)
    assert [living.has(number) for number in (71, 72, 0)] == [False, True, False]
    living.join(1, 74)
    assert [living.has(number) for number in (71, 72, 74)] == [False, True, True]


def test_processes_see_each_other_come_and_go() -> None:
    """Where the number was asked for before, too."""
    living = Living(2)
    living.join(0, 1)
    assert living.has(1)
    child = os.fork()
    if not child:
        living.died(0)
        living.join(1, 2)
        os._exit(0)
    os.waitpid(child, 0)
    assert [living.has(number) for number in (1, 2)] == [False, True]
