"""Fresh layers with a bit of everything, and the server over them, for one run of a crash test.

Rule: every run has layers of its own, made in the same way; times lie in the past, so that a
time that should have been kept and was not is seen.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nfsd.xdr.codec import decode
from nfsd.xdr.generated.nfs3 import NFS3ERR_JUKEBOX
from overlay.check.problem import Kind
from overlay.check.run import check
from overlay.model.config import OverlayConfig
from tests.client import NFS, Client, auth_sys
from tests.conformance.server import Stack
from tests.property.layers import TIME
from tests.property.trees import raw
from tests.torture import seen
from tests.torture.asking import Ask
from tests.torture.forked import ForkedServer
from tests.torture.seen import Seen, State
from tests.wire import Wire

_TRIES: Final = 20
USER: Final = 1000  # owns `runs`


def make_layers(place: Path) -> Stack:
    """Two lower layers with a bit of everything, and an empty upper layer."""
    top, bottom = place / "top", place / "bottom"
    upper, work = place / "upper", place / "work"
    for directory in (place, top, bottom, upper, work):
        directory.mkdir()
    for name in ("dir/deep", "other", "empty", "hollow", "gone/far", "merged", "moved/sub"):
        (bottom / name).mkdir(parents=True)
    (bottom / "nest/one/two/three").mkdir(parents=True)
    (top / "merged").mkdir()
    for name in ("file", "victim", "second", "hard1", "pair1", "dir/inner", "dir/deep/leaf"):
        _write(bottom / name, 5000)
    for name in ("other/o", "gone/a", "gone/far/b", "merged/below", "merged/both", "hollow/h"):
        _write(bottom / name, 100)
    for name in ("moved/m", "moved/sub/s", "nest/one/two/three/leaf", "runs"):
        _write(bottom / name, 9000)
    for name in ("merged/above", "merged/both"):
        _write(top / name, 200)
    os.link(bottom / "hard1", bottom / "hard2")
    os.link(bottom / "hard1", bottom / "dir/hard3")
    os.link(bottom / "pair1", bottom / "pair2")
    os.symlink("file", bottom / "symlink")
    os.mknod(bottom / "device", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.mkfifo(bottom / "fifo")
    os.chown(bottom / "runs", USER, USER)
    os.chmod(bottom / "runs", 0o6755)
    (top / "shown").mkdir()
    os.setxattr(top / "shown", b"trusted.overlay.redirect", b"/moved")
    os.mknod(top / "moved", stat.S_IFCHR, 0)
    for layer in (top, bottom):
        for path, names, files in os.walk(layer, topdown=False):
            for name in names + files:
                os.utime(Path(path) / name, ns=(TIME, TIME), follow_symlinks=False)
        os.utime(layer, ns=(TIME, TIME))
    return Stack((top, bottom), upper, work)


def _write(path: Path, size: int) -> None:
    path.write_bytes((path.name.encode() + b" ") * (size // (len(path.name) + 1)))


class Scene:
    """Layers and a server over them, if it runs; `before` is what clients saw before a crash."""

    def __init__(self, place: Path) -> None:
        os.umask(0o022)  # opening an overlay in this process has set it to zero
        self.place = place
        self.stack = make_layers(place)
        self.before = Seen({}, {})
        self.words: tuple[str, ...] = ()  # options of every server
        self.lost_power = False
        self._lowers = self._raw_lowers()
        self._server: ForkedServer | None = None

    @property
    def upper(self) -> Path:
        assert self.stack.upper is not None
        return self.stack.upper

    @property
    def work(self) -> Path:
        assert self.stack.work is not None
        return self.stack.work

    @property
    def server(self) -> ForkedServer:
        assert self._server is not None
        return self._server

    def serve(self, *, held: bool = False, words: Sequence[str] = ()) -> ForkedServer:
        """Start a server; `words` are options besides those for the layers."""
        words = (*self.words, *words)
        self._server = ForkedServer(self.stack, self.place / "log", held=held, words=words)
        return self._server

    def stop(self) -> None:
        """Stop it, and see that it ended well."""
        self.server.stop()
        self._server = None

    def killed(self) -> None:
        """It was killed, and waited for, by somebody else."""
        self.server.is_reaped()
        self._server = None

    def end(self) -> None:
        """End whatever still runs."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def close(self) -> None:
        """The same, and remove everything."""
        self.end()
        shutil.rmtree(self.place)

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """A client, root, for a while."""
        wire = Wire(self.server.port)
        try:
            yield wire
        finally:
            wire.close()

    def look(self) -> Seen:
        """What clients see now, and what became of the handles in `before`."""
        with self.wire() as wire:
            return seen.look(wire, self.before.objects)

    def state(self, found: Seen) -> State:
        """A look in the terms of the look before."""
        return seen.state(found, self.before if self.before.names else None)

    @property
    def config(self) -> OverlayConfig:
        lowers = tuple(os.fsencode(lower) for lower in self.stack.lowers)
        return OverlayConfig(lowers, os.fsencode(self.upper), os.fsencode(self.work))

    def problems(self) -> Counter[Kind]:
        """What `check` says; nobody serves the layers now."""
        return Counter(problem.kind for problem in check(self.config, repair=False))

    def leftovers(self) -> list[str]:
        """What is in `staging/` that should not be there."""
        return [name for name in os.listdir(self.work / "staging") if name != "whiteout"]

    def is_untouched(self) -> bool:
        """Whether the lower layers are what they were."""
        return self._raw_lowers() == self._lowers

    def _raw_lowers(self) -> list[dict[bytes, tuple[object, ...]]]:
        return [
            {os.path.relpath(path, os.fsencode(lower)): facts for path, facts in raw(lower).items()}
            for lower in self.stack.lowers
        ]


class Request:
    """A call as bytes, that can be sent again as it is."""

    def __init__(self, scene: Scene, ask: Ask, uid: int, xid: int = 1) -> None:
        with scene.wire() as wire:
            self._name, arguments = ask(wire)
        self._cred = auth_sys(uid, uid)
        with Client(scene.server.port, cred=self._cred) as client:
            message = client.nfs_message(self._name, arguments)
            self._message = xid.to_bytes(4, "big") + message[4:]

    def connect(self, server: ForkedServer) -> Client:
        """A connection that the server has seen already."""
        client = Client(server.port, cred=self._cred)
        client.nfs("NULL")
        return client

    def send(self, client: Client) -> None:
        """Send the call, and wait for nothing."""
        client.send_raw(struct.pack(">I", 0x80000000 | len(self._message)) + self._message)

    def status(self, client: Client) -> int:
        """The status in the answer."""
        _, results = client.reply()
        return int(decode(NFS[self._name].unpack_results, results).status)

    def make(self, scene: Scene) -> int:
        """Make the call, again if a busy disk takes long; returns its status."""
        for _ in range(_TRIES):
            with self.connect(scene.server) as client:
                self.send(client)
                status = self.status(client)
            if status != NFS3ERR_JUKEBOX:
                break
        return status


Tamper = Callable[[Scene], Any]
