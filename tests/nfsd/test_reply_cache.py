"""The reply cache: whatever is changed, the next reply is what a server that keeps nothing says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from nfsd.commands.serve import EVERYBODY
from nfsd.export.client_match import ClientTable
from nfsd.export.diagnostics import Diagnostics
from nfsd.export.exports import Export, Exports
from nfsd.export.resolver import Resolver
from nfsd.nfs import procedures
from nfsd.rpc.call_header import Peer
from nfsd.rpc.dispatcher import Dispatcher
from nfsd.rpc.reply_cache import ReplyCache
from nfsd.xdr.codec import Parts, encode
from nfsd.xdr.generated.nfs3 import (
    NFS_PROGRAM,
    NFS_V3,
    ACCESS3args,
    READDIR3args,
    READDIRPLUS3args,
    diropargs3,
)
from nfsd.xdr.generated.rpc import CALL, RPC_VERSION, call_body, pack_rpc_msg, rpc_msg, rpc_msg_body
from overlay.base.credentials import ROOT
from overlay.base.generations import _COUNTERS, Basis, Generations, bump_all, watched
from overlay.base.lru import CacheBudget
from overlay.model.attributes import Changes
from overlay.model.caches import Caches
from overlay.model.node import Node
from tests.client import NFS, NO_AUTH, auth_sys
from tests.overlays import Served, make_dirs, served
from tests.property.disk import filesystem

BUDGET = 8 << 20
_THREADS = 4
XID = b"\0\0\0\7"
STATUS = slice(28, 32)  # in a reply with its mark
USERS = (auth_sys(), auth_sys(1000, 1000), auth_sys(1000, 1000, (0,)))
Question = tuple[str, Any]


def record(user: int, question: Question) -> bytes:
    """A call, with a constant xid, so that equal answers are equal bytes."""
    name, arguments = question
    call = call_body(RPC_VERSION, NFS_PROGRAM, NFS_V3, NFS[name].number, USERS[user], NO_AUTH)
    head = encode(pack_rpc_msg, rpc_msg(int.from_bytes(XID, "big"), rpc_msg_body(CALL, cbody=call)))
    packed: Parts = []
    NFS[name].pack_arguments(arguments, packed)
    return head + b"".join(packed)


class Asker:
    """Asks one overlay through a server that keeps replies, and through one that does not."""

    def __init__(self, tree: Served) -> None:
        self.tree = tree
        exports = Exports([Export(b"/", tree.overlay, ClientTable(EVERYBODY, Resolver()))])
        program = procedures.program(exports, Diagnostics(exports))
        self._keeping = Dispatcher([program], budget=CacheBudget(BUDGET))
        self._plain = Dispatcher([program])
        self._peer, self._other = Peer("192.0.2.1", 1023), Peer("192.0.2.1", 1023)

    def known(self, user: int, question: Question) -> bytes | None:
        """The cached reply."""
        head = record(user, question)
        route, at = self._keeping._switchboard.examine(head, self._peer)
        cached = self._keeping._reply_cache.get((route.questioner, head[at:]))
        return None if cached is None else cached.mark + XID + cached.body

    def ask(self, user: int, question: Question) -> bytes:
        """The reply of a server that keeps replies."""
        parts: Parts = []
        self._keeping.answer(record(user, question), self._peer, parts)
        return b"".join(parts)

    def wait_for(self, questions: Sequence[tuple[int, Question]]) -> list[bytes]:
        """The replies of threads of such a server that may wait, all of which ask at once."""

        def ask(question: tuple[int, Question]) -> bytes:
            parts: Parts = []
            self._keeping.answer_waiting(record(*question), self._peer, parts, time.monotonic_ns())
            return b"".join(parts)

        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(ask, questions))

    def ask_all(self, questions: Sequence[tuple[int, Question]]) -> list[bytes]:
        """The replies, one after the other."""
        return [self.ask(*each) for each in questions]

    def truth(self, user: int, question: Question) -> bytes:
        """The reply of one that knows nothing yet."""
        caches = self.tree.overlay._tree.caches
        caches.nodes.clear()
        caches.names.clear()
        caches.listings.clear()
        parts: Parts = []
        self._plain.answer(record(user, question), self._other, parts)
        return b"".join(parts)

    def questions(self) -> list[Question]:
        """All there is to ask about everything."""
        found: list[Question] = [("NULL", None)]
        for path in self.tree.paths():
            node = self.tree.node(path)
            found += _about(node.handle)
            if node.is_dir:
                names = [name for _, _, name in self.tree.listed(node)] + [b"none", b"new"]
                found += [("LOOKUP", diropargs3(node.handle, name)) for name in names]
        return found


def _about(handle: bytes) -> list[Question]:
    return [
        ("GETATTR", handle),
        ("ACCESS", ACCESS3args(handle, 0x3F)),
        ("READLINK", handle),
        ("FSINFO", handle),
        ("PATHCONF", handle),
        ("READDIR", READDIR3args(handle, 0, bytes(8), 4096)),
        ("READDIRPLUS", READDIRPLUS3args(handle, 0, bytes(8), 4096, 8192)),
    ]


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Asker]:
    with filesystem("tmpfs", tmp_path) as disk, served(make_dirs(disk)) as tree:
        tree.chmod("e", 0o770)
        tree.create("d/made", "made")
        tree.mkdir("empty")
        tree.mkdir("d/own")
        tree.create("d/own/inner", "inner")
        tree.link("d/made", "link")
        yield Asker(tree)


CHANGES: dict[str, Callable[[Served], None]] = {
    "mode of a lower file": lambda tree: tree.chmod("d/f", 0o600),
    "mode of an upper file": lambda tree: tree.chmod("d/made", 0o600),
    "mode of a file with two names": lambda tree: tree.chmod("b", 0o640),
    "mode of a lower directory": lambda tree: tree.chmod("d", 0o700),
    "mode of an upper directory": lambda tree: tree.chmod("d/own", 0o700),
    "mode of the root": lambda tree: tree.chmod("", 0o700),
    "owner": lambda tree: change(tree, "d/f", Changes(uid=1000, gid=1000)),
    "size": lambda tree: change(tree, "d/f", Changes(size=3)),
    "times": lambda tree: change(tree, "d/made", Changes(mtime=10**9)),
    "write to a lower file": lambda tree: tree.write("d/f", "changed"),
    "write to an upper file": lambda tree: tree.write("d/made", "longer than before"),
    "create": lambda tree: tree.create("d/new"),
    "create in a new directory": lambda tree: tree.create("d/own/new"),
    "mkdir": lambda tree: tree.mkdir("new"),
    "link": lambda tree: tree.link("d/f", "e/new"),
    "remove a lower file": lambda tree: tree.remove("d/f"),
    "remove an upper file": lambda tree: tree.remove("d/own/inner"),
    "remove one name of a lower file": lambda tree: tree.remove("d/b2"),
    "remove one name of an upper file": lambda tree: tree.remove("link"),
    "remove a symbolic link": lambda tree: tree.remove("s"),
    "rmdir": lambda tree: tree.rmdir("empty"),
    "rename a lower file": lambda tree: tree.rename("d/f", "d/new"),
    "rename to another directory": lambda tree: tree.rename("d/made", "e/new"),
    "rename over a file": lambda tree: tree.rename("a", "d/f"),
    "rename a lower directory": lambda tree: tree.rename("d", "new"),
    "move a directory": lambda tree: tree.rename("d/sub", "e/new"),
    "move an upper directory": lambda tree: tree.rename("d/own", "new"),
}


def change(tree: Served, path: str, changes: Changes) -> None:
    tree.overlay.setattr(tree.node(path), ROOT, changes)


@contextmanager
def in_another_process(asker: Asker) -> Iterator[None]:
    """What is done within leaves everything as it is that this process has learnt."""
    tree = asker.tree.overlay._tree
    ours, tree.caches = tree.caches, Caches()
    yield
    tree.caches = ours


@pytest.mark.parametrize(
    ("ask", "where"),
    [
        (Asker.ask_all, nullcontext),
        (Asker.ask_all, in_another_process),
        (Asker.wait_for, in_another_process),
    ],
)
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_shows_in_all_replies(
    asker: Asker,
    what: str,
    ask: Callable[[Asker, Sequence[tuple[int, Question]]], list[bytes]],
    where: Callable[[Asker], AbstractContextManager[None]],
) -> None:
    questions = [(user, each) for user in range(len(USERS)) for each in asker.questions()]
    before = ask(asker, questions)
    with where(asker):
        CHANGES[what](asker.tree)
    after = [asker.ask(*question) for question in questions]
    assert after != before, "the test is void: the change shows nowhere"
    for question, answer in zip(questions, after, strict=True):
        assert answer == asker.truth(*question), question


@pytest.mark.parametrize("ask", [Asker.ask_all, Asker.wait_for])
def test_what_does_not_change_is_not_made_anew(
    asker: Asker, ask: Callable[[Asker, Sequence[tuple[int, Question]]], list[bytes]]
) -> None:
    questions = [(user, each) for user in range(len(USERS)) for each in asker.questions()]
    replies = ask(asker, questions)
    lasting = [asker.known(*each) for each in questions]
    for question, reply, kept in zip(questions, replies, lasting, strict=True):
        is_lasting = reply[STATUS] in (b"", bytes(4), bytes((0, 0, 0, 2)))  # void, OK, NOENT
        assert kept == (reply if is_lasting else None), question
    assert lasting.count(None) < len(lasting) / 2
    asker.tree.chmod("d/own/inner", 0o600)
    elsewhere = ("LOOKUP", diropargs3(asker.tree.node("e").handle, b"h"))
    assert asker.known(0, elsewhere) is not None
    assert asker.known(0, ("GETATTR", asker.tree.node("d/own/inner").handle)) is None


def test_a_reply_is_for_its_user(asker: Asker) -> None:
    question = ("LOOKUP", diropargs3(asker.tree.node("e").handle, b"h"))
    asker.ask(0, question)
    assert asker.known(1, question) is None
    assert asker.ask(1, question) != asker.ask(0, question)
    assert asker.ask(1, question) == asker.truth(1, question)


def test_what_space_there_is_is_asked_each_time(asker: Asker) -> None:
    question = ("FSSTAT", asker.tree.node("").handle)
    before = asker.ask(0, question)
    asker.tree.create("space", "x" * 100_000)
    assert asker.ask(0, question) != before


def test_a_stale_handle_is_stale(asker: Asker) -> None:
    node: Node = asker.tree.node("d/f")
    for question in _about(node.handle):
        asker.ask(0, question)
    asker.tree.remove("d/f")
    assert asker.ask(0, ("GETATTR", node.handle))[STATUS] == (70).to_bytes(4, "big")


def _basis(*generations: tuple[Generations, int]) -> Basis:
    def learn() -> None:
        for counters, number in generations:
            counters.of(number)

    return watched(learn)[1]


def test_a_basis_holds_until_one_of_its_counters_moves() -> None:
    first, second = Generations(0), Generations(3)
    basis, other, empty = _basis((first, 5), (second, 5)), _basis((first, 6)), _basis()
    first.bump(7)
    second.bump(6)
    assert basis.holds()
    second.bump(5)
    assert not basis.holds()
    assert not basis.holds()
    assert other.holds()
    bump_all()
    assert not other.holds()
    assert empty.holds()


def test_all_counters_that_were_read_are_bumped_and_no_memory_is_taken_for_others() -> None:
    """Some are read by another process alone, whose facts must be void too."""
    counters, numbers = Generations(2), range(0, 900_000, 30_000)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for number in numbers:
                counters.of(number)
            os.write(theirs, b"read")
            signal.pause()
        finally:
            os._exit(1)
    try:
        assert os.read(ours, 4) == b"read"
        taken = _memory_of_counters()
        bump_all()
        assert _memory_of_counters() == taken < 32 << 20
        # What a counter that nobody has read stands at is 0, so none of these does.
        stood = {counters.of(number) for number in numbers}
        assert len(stood) == 1
        assert 0 not in stood
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)


def _memory_of_counters() -> int:
    return os.fstat(_COUNTERS.file).st_blocks * 512


def test_numbers_that_are_alike_in_their_low_bits_do_not_share_a_counter() -> None:
    """Directories' inode numbers: ext4 puts each into another group of 8192."""
    counters = Generations(1)
    numbers = [12 + group * 8192 for group in range(2000)]
    stood = [counters.of(number) for number in numbers]
    for number in numbers[::100]:
        counters.bump(number)
    moved = [counters.of(number) != was for number, was in zip(numbers, stood, strict=True)]
    assert sum(moved) == len(numbers[::100])


def test_what_changes_while_it_is_learnt_does_not_hold() -> None:
    counters = Generations(1)

    def learn() -> None:
        counters.of(9)
        counters.bump(9)
        counters.of(9)

    assert not watched(learn)[1].holds()


def test_only_what_is_watched_is_noted() -> None:
    counters = Generations(1)
    with pytest.raises(ZeroDivisionError):
        watched(lambda: counters.of(1) // 0)
    basis = _basis((counters, 2))
    counters.of(3)
    counters.bump(3)
    counters.bump(1)
    assert basis.holds()


def test_threads_note_what_they_consult_themselves() -> None:
    counters = Generations(1)
    both_watch, one_is_done = Barrier(2), Barrier(2)

    def learn(number: int) -> None:
        both_watch.wait(60)
        counters.of(number)

    def one() -> Basis:
        basis = watched(partial(learn, 4))[1]
        one_is_done.wait(60)
        return basis

    def learn_later() -> None:
        learn(5)
        one_is_done.wait(60)
        counters.of(6)

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(one)
        later = watched(learn_later)[1]
        first = pending.result()
    counters.bump(7)
    assert first.holds()
    assert later.holds()
    counters.bump(6)
    assert first.holds()
    assert not later.holds()
    counters.bump(4)
    assert not first.holds()


def test_cached_replies_stay_within_the_budget() -> None:
    budget = 100_000
    cache = ReplyCache(CacheBudget(budget))
    often = (0, b"asked for often")
    cache.add(often, b"reply", _basis())
    held, missed = [], 0
    for number in range(5000):
        question = (1, b"%d" % number)
        cache.add(question, bytes(100), _basis())
        assert cache.get(question) is not None
        if cache.get(often) is None:
            missed += 1
            cache.add(often, b"reply", _basis())
        held.append(len(cache))
    assert missed <= 1
    assert max(held) * 100 < budget
    assert held[-1] > budget // 1000
    cache.add((2, b""), bytes(budget), _basis())
    assert cache.get((2, b"")) is None


def test_no_budget_caches_nothing() -> None:
    cache = ReplyCache(CacheBudget(0))
    cache.add((0, b""), b"reply", _basis())
    assert cache.get((0, b"")) is None
