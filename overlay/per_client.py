"""An upper and a work directory for each client, over the same lower layers.

`{client}` in both paths stands for the client's address or name, one component's worth.  Rule: an
upper directory has its name only when it is whole, and begins with an empty work
directory: so neither a crash nor the removal of an upper by hand ever leads from an
old index into a new upper.  File handles of an upper that was are stale, not unknown:
its export ids are kept in the work directory (`retired_exports`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from index.identity import Signer, export_of
from index.layers import load_record
from index.linux.fd import DIR_FLAGS, Fd
from index.linux.file_lock import hold
from index.linux.remove_tree import remove_tree
from index.linux.syscalls import syncfs
from index.signing import signing
from index.workdir import Workdir
from overlay.base import umask
from overlay.base.client_name import is_client, is_label
from overlay.base.copy_inode import copy_metadata
from overlay.base.errors import error
from overlay.filesystem import Overlay
from overlay.model.caches import Caches
from overlay.model.config import PLACEHOLDER, UNLIMITED, ConfigError, Limits, OverlayConfig
from overlay.model.overlap import check_layers
from overlay.model.state_directory import look_for_state_directory, state_directory
from overlay.model.usage import count
from overlay.model.write_verifier import boot_id
from overlay.startup.directories import check_filesystem, open_upper
from overlay.startup.open import prepare_process

# In the work directory's identity/: its mtime says it; it holds what was noted then.
LAST_USE: Final = b"last-use"
_COUNTING_SECONDS: Final = 0.002  # of the entries of an index, at a time
_ADDRESS: Final = b"address"  # beside it: of the client that mounted last
_MAKING: Final = b".making"
_REMOVING: Final = b".removing"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one client has taken."""

    client: str
    files: int  # objects of any type in its upper layer
    size: int  # bytes of disk for them
    last_use: float | None  # seconds since the epoch; None: never, since it was made or reset
    is_open: bool  # whether a server has it open


class Noted(NamedTuple):
    """What a client has taken, as far as it is known; as it was a minute ago at most."""

    entries: int | None = None  # in the index
    space: int | None = None  # bytes on disk
    files: int | None = None  # objects of any type


def is_per_client(config: OverlayConfig) -> bool:
    """Return whether each client has an upper of its own."""
    return config.upperdir is not None and PLACEHOLDER in config.upperdir


def of_client(config: OverlayConfig, client: str) -> OverlayConfig:
    """Return the layers of one client."""
    upper, work = _paths(config)
    name = os.fsencode(client)
    return replace(
        config,
        upperdir=upper.replace(PLACEHOLDER, name),
        workdir=work.replace(PLACEHOLDER, name),
    )


def prepare(config: OverlayConfig) -> None:
    """Check what clients' layers will need, and set this process up; raises ConfigError."""
    prepare_process()
    try:
        _check(config)
    finally:
        umask.restore()  # each that is opened clears it


def _check(config: OverlayConfig) -> None:
    for option, path in (("upperdir", config.upperdir), ("workdir", config.workdir)):
        if path is None or path.count(PLACEHOLDER) != 1:
            raise ConfigError(
                f"{option}: each client needs its own: write {os.fsdecode(PLACEHOLDER)} in it once"
            )
    for option, path in (("upperdir", _base(config.upperdir)), ("workdir", _base(config.workdir))):
        if not os.path.isdir(path):
            raise ConfigError(
                f"{option}: {os.fsdecode(path)}, where clients' directories are to be made, is "
                "not a directory: make it, or name another"
            )
    for lower in (*config.lowerdirs, *config.datadirs):
        if not os.path.isdir(lower):
            raise ConfigError(f"lower layer {os.fsdecode(lower)} is not a directory: make it")
    check_layers(config)
    check_filesystem(*open_upper(_base(config.upperdir), _base(config.workdir)))
    look_for_state_directory(_paths(config)[1])


def open_state(config: OverlayConfig, name: bytes) -> Fd:
    """Return a file of the server's own for all clients' layers, made empty; raises ConfigError."""
    directory = state_directory(_paths(config)[1])
    return Fd(os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=directory))


def epoch() -> bytes:
    """Return 8 bytes that change when what was done may be lost, as write verifiers do."""
    return hashlib.blake2b(boot_id(), digest_size=8).digest()


def clients(config: OverlayConfig) -> list[str]:
    """Return the clients that have an upper directory; whatever else is beside them is none."""
    base, (before, after), rest = _split(config)
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in map(os.fsencode, os.listdir(base or b"/")):
            middle = name[len(before) : len(name) - len(after)]
            if name != before + middle + after or not is_client(
                os.fsdecode(middle), named=config.named
            ):
                continue
            if os.path.isdir(os.path.join(base, name, rest) if rest else base + b"/" + name):
                found.append(os.fsdecode(middle))
    return sorted(found)


def above(config: OverlayConfig) -> bytes:
    """Return the directory in which clients' upper directories are made."""
    return _base(config.upperdir)


def is_made(config: OverlayConfig, client: str) -> bool:
    """Return whether a client has its upper."""
    upper, _ = _paths(of_client(config, client))
    return os.path.isdir(upper)


# Puts something into an upper directory that nobody has yet; may raise OSError.
Prepare: TypeAlias = Callable[[bytes], None] | None


def make(config: OverlayConfig, client: str, limit: int, prepare: Prepare = None) -> bool:
    """Make a client's directories, the upper one like the merged root of the lowers.

    Returns whether they were not there before.  Raises EUSERS if as many clients as
    `limit` have theirs.
    """
    with _locked(config, fcntl.LOCK_EX):
        if is_made(config, client):
            return False
        if len(clients(config)) >= limit:
            raise error(errno.EUSERS)
        _make(of_client(config, client), prepare)
    return True


def open_overlay(
    config: OverlayConfig,
    client: str,
    *,
    fsid: int | None,
    caches: Caches,
    limits: Limits = UNLIMITED,
) -> Overlay | None:
    """Return a client's overlay (see Overlay.open); None if it has none.  Raises ConfigError."""
    with _locked(config, fcntl.LOCK_SH):  # none is reset meanwhile
        if not is_made(config, client):
            return None
        overlay = Overlay.open(of_client(config, client), fsid=fsid, caches=caches)
    overlay.limit(limits)
    return overlay


class Handles:
    """The file handles of a client's overlay, which another process may have open."""

    def __init__(self, signer: Signer, retired: frozenset[int]) -> None:
        """`retired`: the ids of exports whose handles are stale."""
        self._signer = signer
        self._retired = frozenset(each.to_bytes(4, "big") for each in retired)

    def check_file(self, handle: bytes) -> None:
        """Raise EBADF for what is no handle of it, ESTALE if it was, EINVAL for a directory."""
        if export_of(handle) in self._retired:
            raise error(errno.ESTALE)
        if self._signer.decode(handle).is_dir:
            raise error(errno.EINVAL)


def handles(config: OverlayConfig, client: str) -> Handles | None:
    """Return what is needed to tell a client's handles; None if it has none.  Opens no layer."""
    with _locked(config, fcntl.LOCK_SH):  # none is reset meanwhile
        if not is_made(config, client):
            return None
        try:
            work = Fd(os.open(_paths(of_client(config, client))[1], DIR_FLAGS))
            found = signing(work)
        except FileNotFoundError:
            return None
    return None if found is None else Handles(*found)


def note_use(overlay: Overlay) -> None:
    """Record that a client uses its overlay now, and what is known of what it has taken."""
    known, entries = overlay.upper_taken, overlay.index_entries(_COUNTING_SECONDS)
    found = (entries, *((None, None) if known is None else (known.space, known.files)))
    file = overlay.open_state(LAST_USE)
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(found).encode(), 0)


def noted(config: OverlayConfig, client: str) -> Noted:
    """Return what was recorded last of what a client has taken."""
    _, work = _paths(of_client(config, client))
    try:
        with open(os.path.join(work, b"identity", LAST_USE), "rb") as file:
            return Noted(*json.loads(file.read()))
    except (OSError, ValueError, TypeError):  # it is being reset, or written just now
        return Noted()


def note_address(overlay: Overlay, address: str) -> None:
    """Record which address mounts the layer of a client that has a name."""
    if overlay.read_state(_ADDRESS) != address.encode():
        overlay.write_state(_ADDRESS, address.encode())


def addresses(config: OverlayConfig) -> dict[str, str]:
    """Return the clients that have names, by the address that each mounted from last."""
    found: dict[str, tuple[float, str]] = {}
    for client in filter(is_label, clients(config)):
        path = os.path.join(_paths(of_client(config, client))[1], b"identity", _ADDRESS)
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            address, written = os.fsdecode(file.read()), os.fstat(file.fileno()).st_mtime
            found[address] = max(found.get(address, (0.0, "")), (written, client))
    return {address: client for address, (_, client) in found.items()}


def last_use(config: OverlayConfig, client: str) -> float | None:
    """Return when a client last used its layer, in seconds since the epoch; None for never."""
    _, work = _paths(of_client(config, client))
    try:
        return os.stat(os.path.join(work, b"identity", LAST_USE)).st_mtime
    except FileNotFoundError:
        return None


def reset(config: OverlayConfig, client: str, prepare: Prepare = None) -> None:
    """Give a client an empty upper; all its file handles are stale from then on.

    Raises ENOENT if it has none, EBUSY if a server has it open.
    """
    own = of_client(config, client)
    upper, work = _paths(own)
    with _locked(config, fcntl.LOCK_EX):
        if not is_made(config, client):
            raise error(errno.ENOENT)
        workdir = Workdir(Fd(os.open(work, DIR_FLAGS)))
        _discard(upper + _REMOVING)
        os.rename(upper, upper + _REMOVING)
        _begin_anew(workdir)
        _make_upper(own, prepare)
    _discard(upper + _REMOVING)


def usage(config: OverlayConfig, client: str) -> Usage:
    """Return what a client has taken, by a walk over its upper."""
    upper, work = _paths(of_client(config, client))
    inodes = None
    with contextlib.suppress(FileNotFoundError):
        inodes = Fd(os.open(os.path.join(work, b"inodes"), DIR_FLAGS))
    taken = count(Fd(os.open(upper, DIR_FLAGS)), inodes)
    return Usage(client, taken.files, taken.space, last_use(config, client), _is_open(work))


def _paths(config: OverlayConfig) -> tuple[bytes, bytes]:
    assert config.upperdir is not None
    assert config.workdir is not None
    return config.upperdir, config.workdir


def _base(path: bytes | None) -> bytes:
    """Return the directory in which the component with the client's name is."""
    assert path is not None
    return os.path.dirname(path[: path.index(PLACEHOLDER)] + b"x")


def _split(config: OverlayConfig) -> tuple[bytes, tuple[bytes, bytes], bytes]:
    """Of the upper path: what is before the client's component, around it, and behind."""
    upper, _ = _paths(config)
    base = _base(upper)
    component, _, rest = upper[len(base) :].lstrip(b"/").partition(b"/")
    before, _, after = component.partition(PLACEHOLDER)
    return base, (before, after), rest


@contextmanager
def _locked(config: OverlayConfig, how: int) -> Iterator[None]:
    """Exclude others that make, reset or, by LOCK_EX, open a client's directories."""
    directory = Fd(os.open(_base(config.upperdir), DIR_FLAGS))
    fcntl.flock(directory, how)
    try:
        yield
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


def _make(own: OverlayConfig, prepare: Prepare) -> None:
    upper, work = _paths(own)
    _make_directories(os.path.dirname(upper))
    _make_directories(work)
    root = Fd(os.open(work, DIR_FLAGS))
    if os.listdir(root):
        _begin_anew(Workdir(root))
    _make_upper(own, prepare)
    _discard(upper + _REMOVING)


def _make_directories(path: bytes) -> None:
    """Make what is missing of a path, for root alone: clients may leave set-uid files below."""
    if not os.path.isdir(path):
        _make_directories(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)


def _make_upper(own: OverlayConfig, prepare: Prepare) -> None:
    upper, _ = _paths(own)
    _discard(upper + _MAKING)
    os.mkdir(upper + _MAKING, 0o700)
    made = Fd(os.open(upper + _MAKING, DIR_FLAGS))
    top = Fd(os.open(os.path.realpath(own.lowerdirs[0]), DIR_FLAGS))
    copy_metadata(top, os.fstat(top), made)
    if prepare is not None:
        prepare(upper + _MAKING)
        syncfs(made)
    os.fsync(made)
    os.rename(upper + _MAKING, upper)


def _begin_anew(workdir: Workdir) -> None:
    """Empty a work directory; of what it was only the export's id stays known."""
    workdir.tidy()
    record = load_record(workdir)
    if record is not None:
        workdir.retire_export(record.export)
    workdir.dissolve()


def _discard(path: bytes) -> None:
    """Remove a directory, if it is there, however deep a client has nested what is in it."""
    parent = Fd(os.open(os.path.dirname(path), DIR_FLAGS))
    with contextlib.suppress(FileNotFoundError):
        remove_tree(parent, os.path.basename(path))


def _is_open(work: bytes) -> bool:
    try:
        hold(Fd(os.open(work, DIR_FLAGS)), 0.0)
    except FileNotFoundError:
        return False
    except OSError as problem:
        if problem.errno != errno.EBUSY:
            raise
        return True
    return False
