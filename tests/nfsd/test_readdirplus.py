"""READDIRPLUS on a thread: for how long it goes on, by whichever clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nfsd.commands.serve import EVERYBODY
from nfsd.export.client_match import ClientTable
from nfsd.export.exports import Export, Exports
from nfsd.export.resolver import Resolver
from nfsd.nfs import readdir
from nfsd.rpc.program import Caller
from nfsd.xdr.codec import decode, encode
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    READDIRPLUS3args,
    READDIRPLUS3res,
    pack_READDIRPLUS3res,
    unpack_READDIRPLUS3res,
)
from overlay.base.credentials import ROOT
from overlay.model.listing import Place
from overlay.model.node import Node
from tests.compiled import only_interpreted
from tests.overlays import Served, make_dirs, served

_NAMES = 40
_LITTLE = 16  # entries that there are in any case


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Served]:
    only_interpreted(readdir)
    dirs = make_dirs(tmp_path)
    for number in range(_NAMES - 2):
        (dirs.lower / f"d/sub/{number}").touch()
    with served(dirs) as tree:
        tree.remove("d/sub/g")
        yield tree


def _entries(tree: Served) -> int:
    """How many entries the first reply has."""
    exports = Exports([Export(b"/", tree.overlay, ClientTable(EVERYBODY, Resolver()))])
    caller = Caller("192.0.2.1", 1023, b"client", ROOT)
    arguments = READDIRPLUS3args(tree.node("d/sub").handle, 0, bytes(8), 1 << 15, 1 << 15)
    found = readdir.readdirplus(exports, caller, arguments)
    packed = encode(pack_READDIRPLUS3res, READDIRPLUS3res(NFS3_OK, found))
    result = decode(unpack_READDIRPLUS3res, packed, 0).resok
    assert result is not None
    reply = result.reply
    assert reply.eof == (len(reply.entries) == _NAMES)
    return len(reply.entries)


def _delay(tree: Served, monkeypatch: pytest.MonkeyPatch, spend: Callable[[], object]) -> None:
    """Before a name is looked up, spend some time."""
    find = tree.overlay.find

    def late(parent: Node, name: bytes, place: Place | None = None) -> Node | None:
        spend()
        return find(parent, name, place)

    monkeypatch.setattr(tree.overlay, "find", late)


def _work() -> None:
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass


def test_who_has_to_wait_for_others_goes_on(tree: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for the interpreter's lock, or for a processor, does nothing."""
    monkeypatch.setattr(readdir, "_LONG", 0.1)
    monkeypatch.setattr(readdir, "_LONGEST", 60.0)
    _delay(tree, monkeypatch, lambda: time.sleep(0.01))
    assert _entries(tree) == _NAMES


def test_who_works_for_long_answers_with_what_there_is(
    tree: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readdir, "_LONGEST", 60.0)
    _delay(tree, monkeypatch, _work)
    assert _LITTLE - 1 <= _entries(tree) <= _LITTLE


def test_who_waits_for_long_answers_with_what_there_is(
    tree: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk, for example."""
    monkeypatch.setattr(readdir, "_LONG", 60.0)
    monkeypatch.setattr(readdir, "_LONGEST", 0.02)
    _delay(tree, monkeypatch, lambda: time.sleep(0.01))
    assert _LITTLE - 1 <= _entries(tree) <= _LITTLE
