"""What is asked of names while a name server answers, says something else, or says nothing.

Run by test_resolver in a network and a mount namespace, with the directory for files as its
argument; prints what was found as JSON.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from nfsd.export import access, resolver
from nfsd.export.access import Access
from nfsd.export.client_match import ClientTable, Pattern
from nfsd.export.options import ExportOptions
from nfsd.export.resolver import Resolver
from nfsd.rpc.program import Caller
from overlay.base.credentials import ROOT

_A: Final = 1
_NO_SUCH_NAME: Final = 3
_HEAD: Final = struct.Struct(">2sHHHHH")
_ANSWER: Final = struct.Struct(">HHHIH4s")


class NameServer:
    """Answers on 127.0.0.1 what `hosts` says, or, while that is None, nothing."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] | None = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            query, address = self._socket.recvfrom(512)
            hosts = self.hosts
            if hosts is not None:
                self._socket.sendto(_answer(query, hosts), address)


def _answer(query: bytes, hosts: dict[str, str]) -> bytes:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    (kind,) = struct.unpack_from(">H", query, at + 1)
    found = hosts.get(".".join(labels).lower())
    flags = 0x8180 | (0 if found else _NO_SUCH_NAME)
    answers = b""
    if found and kind == _A:
        answers = _ANSWER.pack(0xC00C, _A, 1, 0, 4, socket.inet_aton(found))
    head = _HEAD.pack(query[:2], flags, 1, 1 if answers else 0, 0, 0)
    return head + query[12 : at + 5] + answers


def _access(patterns: Iterable[tuple[str, ...]]) -> Access:
    names = Resolver()
    tables = [
        ClientTable([(Pattern.parse(each), ExportOptions(secure=False)) for each in rows], names)
        for rows in patterns
    ]
    return Access(tables, ())


def _let_in(who: Access, address: str, seconds: float = 0.0) -> tuple[list[bool], float]:
    """Where an address is let in, and how long it took to say so, in seconds."""
    caller, begun = Caller(address, 1023, b"", ROOT), time.monotonic()
    standing = who.resolved(caller) if seconds else who.standing(caller)
    return [each is not None for each in standing.options], time.monotonic() - begun


def _until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 120
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _refused(who: Access, address: str) -> tuple[str, float]:
    begun, said = time.monotonic(), "let in"
    try:
        who.resolved(Caller(address, 1023, b"", ROOT))
    except BlockingIOError:
        said = "come again"
    return said, time.monotonic() - begun


def main(place: Path) -> None:
    files = {
        "resolv.conf": "nameserver 127.0.0.1\n",
        "nsswitch.conf": "hosts: dns\n",
    }
    for name, text in files.items():
        (place / name).write_text(text)
        target = Path("/etc", name).resolve()
        subprocess.run(["mount", "--bind", place / name, target], check=True)
    resolver.LIFETIME, resolver._RETRY = 0.2, 0.2  # type: ignore[misc]
    access._LIFETIME, access._NAMES_WAIT = 0.1, 1.0  # type: ignore[misc]
    server = NameServer()
    server.hosts = {"build.test": "10.0.0.1"}
    who = _access([("build.test",), ("10.0.0.2",)])
    found: dict[str, object] = {"named": _let_in(who, "10.0.0.1", 1.0)[0]}
    server.hosts = None
    time.sleep(1.0)
    found["held"] = _let_in(who, "10.0.0.1")
    silent = _access([("10.0.0.2", "mute.test"), ("*.mute.test", "@lab")])
    found["by address"] = _let_in(silent, "10.0.0.2")
    found["unknown"] = _refused(silent, "10.0.0.3")
    server.hosts = {"build.test": "10.0.0.9"}
    found["moved"] = _until(lambda: _let_in(who, "10.0.0.1")[0] == [False, False])
    found["told"] = who.look_again(["10.0.0.1"])
    found["told twice"] = who.look_again(["10.0.0.1"])
    found["there now"] = _let_in(who, "10.0.0.9", 1.0)[0]
    found["threads"] = sum(each.name == "resolver" for each in threading.enumerate())
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
