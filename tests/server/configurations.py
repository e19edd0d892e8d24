"""Configurations of all kinds, some that can be served and some that cannot."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from overlay.filesystem import Overlay
from overlay.model.config import OverlayConfig
from tests.conformance.ports import free_port
from tests.overlays import Layout


@dataclass
class Draft(Layout):
    """One export with layers that can be served, and the [server] table, to be changed."""

    place: Path  # of its own
    stack: ExitStack  # what is undone when it was tried
    server: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    more: list[dict[str, Any]] = field(default_factory=list)  # further exports

    def __post_init__(self) -> None:
        for name in ("lower", "upper", "work", "other"):
            (self.place / name).mkdir(parents=True)
        (self.place / "lower" / "file").write_text("lower\n")
        self.server |= {"listen": ["127.0.0.1:0"], "workers": 1, "rpcbind": "off"}
        self.export |= {
            "path": "/e",
            "lowerdir": [str(self.lower)],
            "upperdir": str(self.upper),
            "workdir": str(self.work),
        }

    def read_only(self) -> None:
        """Leaves the upper out."""
        del self.export["upperdir"], self.export["workdir"]

    def mount(self, at: Path, *words: str) -> Path:
        """Mounts something there until the end."""
        at.mkdir(exist_ok=True)
        subprocess.run(["mount", *words, at], check=True, timeout=60)
        self.stack.callback(lambda: subprocess.run(["umount", at], check=True, timeout=60))
        return at

    def layers(self) -> OverlayConfig:
        """What is served without a file."""
        return OverlayConfig(
            (os.fsencode(self.lower),), os.fsencode(self.upper), os.fsencode(self.work)
        )

    def serve_once(self) -> None:
        """As an earlier start has left it."""
        Overlay.open(self.layers()).close()

    def by_client(self, base: Path | None = None) -> None:
        """An upper for each client."""
        uppers = self.place / "other"
        self.export["upperdir"] = f"{uppers}/{{client}}/upper"
        self.export["workdir"] = f"{base or uppers}/{{client}}/work"

    def busy(self, kind: socket.SocketKind = socket.SOCK_STREAM, at: str = "127.0.0.1") -> int:
        """A port that somebody has."""
        sock = self.stack.enter_context(socket.socket(socket.AF_INET, kind))
        sock.bind((at, 0))
        if kind is socket.SOCK_STREAM:
            sock.listen()
        port: int = sock.getsockname()[1]
        return port

    def free(self) -> int:
        """A port that nobody has."""
        return free_port()

    def text(self) -> str:
        """The file."""
        lines = ["[server]", *_lines(self.server)]
        for export in (self.export, *self.more):
            lines += ["[[export]]", *_lines({"clients": {"*": "rw"}} | export)]
        return "\n".join([*lines, ""])


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {_written(value)}" for name, value in table.items()]


def _written(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{name}" = "{each}"' for name, each in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


Change = Callable[[Draft], object]


def _each(*changes: Change) -> Change:
    """All of these, one after the other."""

    def change(draft: Draft) -> None:
        for each in changes:
            each(draft)

    return change


def _link(draft: Draft, name: str, to: Path) -> str:
    (draft.place / name).symlink_to(to)
    return str(draft.place / name)


def _made(directory: Path) -> str:
    directory.mkdir()
    return str(directory)


def _overlapping(draft: Draft) -> None:
    port = draft.free()
    _set(draft, listen=[f"127.0.0.1:{port}", f"0.0.0.0:{port}"])


def _empty(draft: Draft) -> None:
    (draft.lower / "file").unlink()


def _emptied(draft: Draft) -> None:
    draft.serve_once()
    _empty(draft)


def _tmpfs(draft: Draft, name: str) -> str:
    return str(draft.mount(draft.place / name, "-t", "tmpfs", "tmpfs"))


def _read_only(draft: Draft, directory: Path) -> None:
    draft.mount(directory, "--bind", str(directory))
    subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True, timeout=60)


def _read_only_layers(draft: Draft, *, begun: bool) -> None:
    for name in ("upper", "work"):
        shutil.rmtree(draft.place / name)
        (draft.place / "other" / name).mkdir()
        draft.export[f"{name}dir"] = str(draft.place / "other" / name)
        (draft.place / name).symlink_to(draft.place / "other" / name)
    if begun:
        draft.serve_once()
    _read_only(draft, draft.place / "other")


def _second(draft: Draft, **settings: object) -> None:
    """Another export, with layers of its own but for what is said."""
    for name in ("upper2", "work2"):
        (draft.place / name).mkdir()
    own = {"path": "/second", "lowerdir": [str(draft.lower)]}
    own |= {"upperdir": f"{draft.place}/upper2", "workdir": f"{draft.place}/work2"}
    draft.more.append(own | settings)


def _copied(draft: Draft) -> None:
    draft.serve_once()
    copy = draft.place / "copy"
    subprocess.run(["cp", "-a", draft.work, copy], check=True, timeout=60)
    _second(draft, workdir=str(copy))


def _kernels(draft: Draft, upper: Path) -> None:
    (draft.place / "kernel-work").mkdir()
    layers = f"lowerdir={draft.place}/other,upperdir={upper},workdir={draft.place}/kernel-work"
    draft.mount(draft.place / "merged", "-t", "overlay", "overlay", "-o", layers)


def _kernels_elsewhere(draft: Draft) -> None:
    """A mount that is in another namespace alone, as those of container engines are."""
    merged = draft.place / "merged"
    for directory in (merged, draft.place / "kernel-work"):
        directory.mkdir()
    layers = (
        f"lowerdir={draft.place}/other,upperdir={draft.upper},workdir={draft.place}/kernel-work"
    )
    script = f"mount -t overlay overlay -o {layers} {merged} && echo mounted && exec sleep 600"
    words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", script]
    keeper = draft.stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE))
    draft.stack.callback(keeper.kill)
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == b"mounted\n"


def _no_xattrs(draft: Draft) -> None:
    at = draft.mount(draft.place / "other", "-t", "ramfs", "ramfs")
    for name in ("upper", "work"):
        (at / name).mkdir()
        draft.export[f"{name}dir"] = str(at / name)


def _damaged(draft: Draft, name: str, contents: str) -> None:
    draft.serve_once()
    (draft.work / "identity" / name).write_text(contents)


def _readable_key(draft: Draft) -> None:
    draft.serve_once()
    (draft.work / "identity" / "key").chmod(0o644)


def _in_use(draft: Draft) -> None:
    overlay = Overlay.open(draft.layers())
    draft.stack.callback(overlay.close)


def _lower_in_use(draft: Draft) -> None:
    (draft.place / "work2").mkdir()
    upper, work = os.fsencode(draft.lower), os.fsencode(draft.place / "work2")
    other = OverlayConfig((os.fsencode(draft.place / "other"),), upper, work)
    draft.stack.callback(Overlay.open(other).close)


def _on_two_filesystems(draft: Draft, setting: str) -> None:
    draft.export[setting] = _tmpfs(draft, "apart")


def _equal(draft: Draft, *settings: str) -> None:
    port = draft.free()
    values: dict[str, object] = {"listen": [f"127.0.0.1:{port}"]}
    values |= {"metrics": f"127.0.0.1:{port}", "lock_port": port}
    draft.server |= {name: values[name] for name in settings}


def _state(draft: Draft, mode: int = 0o700, *, ro: bool = False) -> None:
    """For an export without an upper."""
    draft.read_only()
    state = Path(os.environ["STATE_DIRECTORY"])
    state.mkdir(mode=0o700)
    state.chmod(mode)
    if ro:
        _read_only(draft, state)


def _set(draft: Draft, **settings: object) -> None:
    draft.server |= settings


def _export(draft: Draft, **settings: object) -> None:
    draft.export |= settings


def _udp_taken(draft: Draft) -> None:
    port = draft.busy(socket.SOCK_DGRAM)
    _set(draft, listen=[f"127.0.0.1:{port}"], udp=True)


def _rpcbind_taken(draft: Draft) -> None:
    sock = draft.stack.enter_context(socket.socket())
    sock.bind(("127.87.6.5", 111))
    sock.listen()
    _set(draft, listen=["127.87.6.5:0"], rpcbind="embedded")


def _moved(draft: Draft) -> None:
    """The lower layer was replaced by a copy of itself since it was served."""
    draft.serve_once()
    copy = draft.place / "lower2"
    subprocess.run(["cp", "-a", draft.lower, copy], check=True, timeout=60)
    shutil.rmtree(draft.lower)
    copy.rename(draft.lower)


def _data(draft: Draft) -> None:
    _export(draft, datadir=[f"{draft.place}/other"])


def _same_state(draft: Draft) -> None:
    draft.read_only()
    _second(draft)
    del draft.more[0]["upperdir"], draft.more[0]["workdir"]


# What can be served.
GOOD: Final[dict[str, Change]] = {
    "as it is": lambda draft: None,
    "read-only": Draft.read_only,
    "served before": Draft.serve_once,
    "a lower that was copied": _moved,
    "an empty lower": _empty,
    "two lowers": lambda d: _export(d, lowerdir=[f"{d.place}/other", str(d.lower)]),
    "a data-only layer": _data,
    "a data-only layer, read-only": _each(_data, Draft.read_only),
    "a lower by a symbolic link": lambda d: _export(d, lowerdir=[_link(d, "link", d.lower)]),
    "an upper by a symbolic link": lambda d: _export(d, upperdir=_link(d, "link", d.upper)),
    "odd spellings": lambda d: _export(d, upperdir=f"{d.place}//other/../upper/."),
    "a lower on another filesystem": lambda d: _export(d, lowerdir=[_tmpfs(d, "tmpfs")]),
    "a read-only lower": lambda d: _read_only(d, d.lower),
    "user attributes": lambda d: _export(d, userxattr=True),
    "short numbers": lambda d: _export(d, inode_bits=32),
    "a number of the filesystem": lambda d: _export(d, clients={"*": "rw,fsid=77"}),
    "the root": lambda d: _export(d, path="/"),
    "a second export": _second,
    "a nested export": lambda d: _second(d, path="/e/below"),
    "two read-only exports of one lower": _same_state,
    "a lower that is another's, too": lambda d: _second(d, lowerdir=[str(d.lower)]),
    "a layer for each client": Draft.by_client,
    "few clients": _each(Draft.by_client, lambda d: _export(d, max_clients=2, client_space="1G")),
    "metrics": lambda d: _set(d, metrics=f"127.0.0.1:{d.free()}"),
    "metrics at all addresses": lambda d: _set(d, metrics=f"*:{d.free()}"),
    "metrics at any port": lambda d: _set(d, metrics="127.0.0.1:0"),
    "all addresses": lambda d: _set(d, listen=[f"*:{d.free()}"]),
    "a name": lambda d: _set(d, listen=[f"localhost:{d.free()}"]),
    "two families": lambda d: _set(d, listen=[f"0.0.0.0:{d.free()}", f"[::]:{d.free()}"]),
    "two ports": lambda d: _set(d, listen=[f"0.0.0.0:{d.free()}", f"127.0.0.1:{d.free()}"]),
    "one address twice": lambda d: _set(d, listen=[f"127.0.0.1:{d.free()}"] * 2),
    "two addresses": lambda d: _set(d, listen=[f"127.0.0.{n}:{d.free()}" for n in (1, 2)]),
    "udp": lambda d: _set(d, udp=True, listen=[f"127.0.0.1:{d.free()}"]),
    "no locks": lambda d: _set(d, locks="off"),
    "no locks, at a port that is taken": lambda d: _set(d, locks="off", lock_port=d.busy()),
    "local locks": lambda d: _set(d, locks="local", grace=0),
    "a port of locks": lambda d: _set(d, lock_port=d.free()),
    "port 111": lambda d: _set(d, listen=["127.87.6.4:0"], rpcbind="embedded"),
    "most workers": lambda d: _set(d, workers=64),
    "little memory": lambda d: _set(d, cache_size="64M"),
    "state of its own": lambda d: _state(d),
    "groups": lambda d: _set(d, manage_gids=True),
    "port of another address": lambda d: _set(d, listen=[f"127.0.0.3:{d.busy()}"]),
}

# What cannot, though each file can be read.
BAD: Final[dict[str, Change]] = {
    "no lower": lambda d: shutil.rmtree(d.lower),
    "no second lower": lambda d: _export(d, lowerdir=[str(d.lower), f"{d.place}/nowhere"]),
    "a lower that is a file": lambda d: _export(d, lowerdir=[f"{d.lower}/file"]),
    "a lower below a file": lambda d: _export(d, lowerdir=[f"{d.lower}/file/x"]),
    "no data-only layer": lambda d: _export(d, datadir=[f"{d.place}/nowhere"]),
    "no lower, read-only": _each(Draft.read_only, lambda d: shutil.rmtree(d.lower)),
    "no upper": lambda d: d.upper.rmdir(),
    "an upper that is a file": lambda d: _export(d, upperdir=f"{d.lower}/file"),
    "no workdir": lambda d: d.work.rmdir(),
    "a workdir elsewhere": lambda d: _on_two_filesystems(d, "workdir"),
    "an upper elsewhere": lambda d: _on_two_filesystems(d, "upperdir"),
    "a read-only upper": lambda d: _read_only(d, d.upper),
    "a read-only workdir": lambda d: _read_only(d, d.work),
    "read-only layers": lambda d: _read_only_layers(d, begun=False),
    "read-only layers that were served": lambda d: _read_only_layers(d, begun=True),
    "a filesystem without attributes": _no_xattrs,
    "the workdir in the upper": lambda d: _export(d, workdir=_made(d.upper / "w")),
    "the upper in the lower": lambda d: _export(d, upperdir=_made(d.lower / "u")),
    "the lower in the upper": lambda d: _export(d, lowerdir=[str(d.place)]),
    "the upper as lower": lambda d: _export(d, lowerdir=[_link(d, "link", d.upper)]),
    "one lower twice": lambda d: _export(d, lowerdir=[str(d.lower), f"{d.lower}/."]),
    "an upper by another spelling": lambda d: _second(d, upperdir=f"{d.place}/other/../upper"),
    "an upper by a symbolic link": lambda d: _second(d, upperdir=_link(d, "link", d.upper)),
    "a workdir by another spelling": lambda d: _second(d, workdir=f"{d.work}/"),
    "an upper that is another's lower": lambda d: _second(d, lowerdir=[f"{d.upper}/."]),
    "a workdir that is another's copy": _copied,
    "an upper that the kernel has": lambda d: _kernels(d, d.upper),
    "an upper that the kernel has elsewhere": _kernels_elsewhere,
    "a lower that the kernel writes to": lambda d: _kernels(d, d.lower),
    "an upper that is in use": _in_use,
    "a lower that is in use": _lower_in_use,
    "a workdir of others": lambda d: os.chown(d.work, 1234, 1234),
    "a workdir that others write to": lambda d: d.work.chmod(0o777),
    "a key that others read": _readable_key,
    "a damaged record": lambda d: _damaged(d, "layers.json", "{"),
    "a record of something else": lambda d: _damaged(d, "layers.json", "[1]"),
    "a workdir of a later version": lambda d: _damaged(d, "format", "99\n"),
    "a lower that is not mounted": _emptied,
    "no directory for clients": _each(Draft.by_client, lambda d: (d.place / "other").rmdir()),
    "no lower for clients": _each(Draft.by_client, lambda d: shutil.rmtree(d.lower)),
    "clients on two filesystems": lambda d: d.by_client(Path(_tmpfs(d, "apart"))),
    "a read-only directory for clients": _each(
        Draft.by_client, lambda d: _read_only(d, d.place / "other")
    ),
    "state that others write to": lambda d: _state(d, 0o777),
    "state that cannot be written": lambda d: _state(d, ro=True),
    "a foreign address": lambda d: _set(d, listen=["192.0.2.1:2049"]),
    "a foreign address of IPv6": lambda d: _set(d, listen=["[2001:db8::77]:2049"]),
    "a name that is none": lambda d: _set(d, listen=["nowhere.invalid:2049"]),
    "no name at all": lambda d: _set(d, listen=["127..0.1:2049"]),
    "a port that is taken": lambda d: _set(d, listen=[f"127.0.0.1:{d.busy()}"]),
    "a port that is taken among all": lambda d: _set(d, listen=[f"*:{d.busy()}"]),
    "a port that is taken at all": lambda d: _set(d, listen=[f"127.0.0.1:{d.busy(at='0.0.0.0')}"]),
    "metrics that are no address": lambda d: _set(d, metrics="9049x"),
    "metrics without a port": lambda d: _set(d, metrics="127.0.0.1"),
    "metrics with a large port": lambda d: _set(d, metrics="127.0.0.1:99999"),
    "metrics at a foreign address": lambda d: _set(d, metrics="192.0.2.1:9049"),
    "metrics at a port that is taken": lambda d: _set(d, metrics=f"127.0.0.1:{d.busy()}"),
    "locks at a port that is taken": lambda d: _set(d, lock_port=d.busy()),
    "locks at a port of UDP": lambda d: _set(d, lock_port=d.busy(socket.SOCK_DGRAM)),
    "NFS by UDP at a port that is taken": _udp_taken,
    "port 111 is taken": _rpcbind_taken,
    "NFS and metrics at one port": lambda d: _equal(d, "listen", "metrics"),
    "NFS and locks at one port": lambda d: _equal(d, "listen", "lock_port"),
    "locks and metrics at one port": lambda d: _equal(d, "lock_port", "metrics"),
    "overlapping addresses": _overlapping,
}
