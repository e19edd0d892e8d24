"""Lies for the proxy to tell, and the column of the torture test's table that each must show in.

Rule: an answer is changed in one thing, and it stays an answer that a server could give.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_STALE,
    GETATTR3res,
    LOOKUP3res,
    READ3res,
    READDIR3res,
    fattr3,
)
from tests.torture.proxy import Twist

# Every so many answers are told wrong: often enough for a short run, and after a good beginning.
SELDOM = 50


class Liar:
    """Tells every so many answers of a procedure wrong; `lie` has the last good one as well."""

    def __init__(self, procedure: str, lie: Twist) -> None:
        self._procedure = procedure
        self._lie = lie
        self._count = 0

    def __call__(self, procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
        if procedure != self._procedure:
            return result
        told = self._lie(procedure, arguments, result)
        if told is result:
            return result
        self._count += 1
        return told if self._count % SELDOM == 0 else result


def _about(result: Any, **changes: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or result.resok.type == 2:
        return result
    return GETATTR3res(NFS3_OK, replace(result.resok, **changes))


def stale(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return GETATTR3res(NFS3ERR_STALE) if result.status == NFS3_OK else result


def other_fileid(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, fileid=result.resok.fileid ^ 1 << 50) if result.resok else result


def other_type(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, type=2) if result.resok else result


def other_links(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, nlink=result.resok.nlink + 1) if result.resok else result


def other_size(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, size=result.resok.size + 1) if result.resok else result


def other_handle(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK:
        return result
    handle = bytearray(result.resok.object)
    handle[-1] ^= 1
    return LOOKUP3res(NFS3_OK, replace(result.resok, object=bytes(handle)))


def flipped(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or len(result.resok.data) < 100:
        return result  # short of its first line it could be taken for another object's
    data = bytearray(result.resok.data)
    data[-1] ^= 1
    return READ3res(NFS3_OK, replace(result.resok, data=bytes(data)))


def of_another(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    data = bytes(result.resok.data) if result.status == NFS3_OK else b""
    if not re.match(rb"object \d+ of [^\n]*\n", data):
        return result
    data = data.replace(b"object ", b"object 9")[: result.resok.count]
    return READ3res(NFS3_OK, replace(result.resok, data=data))


def name_left_out(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or len(result.resok.reply.entries) < 5:
        return result
    reply = result.resok.reply
    entries = [*reply.entries[:3], *reply.entries[4:]]
    return READDIR3res(NFS3_OK, replace(result.resok, reply=replace(reply, entries=entries)))


def name_told_twice(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or len(result.resok.reply.entries) < 5:
        return result
    reply = result.resok.reply
    entries = [*reply.entries[:4], reply.entries[3], *reply.entries[4:]]
    return READDIR3res(NFS3_OK, replace(result.resok, reply=replace(reply, entries=entries)))


class Risen:
    """What is dead has the attributes that it had when it was alive."""

    def __init__(self) -> None:
        self._known: dict[bytes, fattr3] = {}

    def __call__(self, procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
        if procedure != "GETATTR":
            return result
        if result.status == NFS3_OK:
            self._known[arguments] = result.resok
        elif arguments in self._known:
            return GETATTR3res(NFS3_OK, self._known[arguments])
        return result


LIES: Sequence[tuple[str, str, Twist]] = (
    ("stale when alive", "stale", Liar("GETATTR", stale)),
    ("alive when dead", "risen", Risen()),
    ("wrong object", "type", Liar("GETATTR", other_type)),
    ("wrong object", "content", Liar("READ", of_another)),
    ("changed handle", "handle", Liar("LOOKUP", other_handle)),
    ("changed fileid", "fileid", Liar("GETATTR", other_fileid)),
    ("other errors", "nlink", Liar("GETATTR", other_links)),
    ("other errors", "size", Liar("GETATTR", other_size)),
    ("other errors", "data", Liar("READ", flipped)),
    ("other errors", "left out", Liar("READDIR", name_left_out)),
    ("other errors", "twice", Liar("READDIR", name_told_twice)),
)
