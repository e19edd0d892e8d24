"""Which directories may be layers together: random layouts, by every spelling of their paths.

Three judges: the server, a kernel mount of the same directories, and a walk over what each
layer shows.  What the kernel refuses is refused; what is accepted shows no layer in another,
and no work directory nor the server's state in any.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from index.linux.fd import Fd, open_dir, open_name
from index.linux.syscalls import clone_mount
from overlay.filesystem import Overlay
from overlay.maintenance.detach import detach, recorded_config
from overlay.model.config import ConfigError, OverlayConfig
from overlay.model.overlap import check_exports, check_layers
from overlay.per_client import prepare
from tests.overlays import Dirs, Served, make_dirs, mounted, served
from tests.property import syscalls

_LAYOUTS = int(os.environ.get("OVERLAY_NFSD_LAYOUTS", "25"))


def inodes(root: bytes) -> set[tuple[int, int]]:
    """The directories that a layer shows, its root among them: no other mount's."""
    found: set[tuple[int, int]] = set()
    pending: list[Fd] = [clone_mount(root, read_only=True)]
    while pending:
        fd = pending.pop()
        st = os.fstat(fd)
        found.add((st.st_dev, st.st_ino))
        for name in os.listdir(fd):
            child = open_name(fd, os.fsencode(name))
            if child is not None and (child[1].st_mode & 0o170000) == 0o040000:
                pending.append(open_dir(child[0], b"."))
    return found


def number(path: bytes) -> tuple[int, int]:
    st = os.stat(path)
    return st.st_dev, st.st_ino


def are_apart(paths: list[bytes]) -> bool:
    """Whether none of these is in what another shows."""
    shown = [inodes(path) for path in paths]
    return not any(
        number(path) in seen
        for at, path in enumerate(paths)
        for other, seen in enumerate(shown)
        if at != other
    )


@dataclass
class Layout:
    """Directories, and all the ways that lead to them."""

    place: Path
    dice: random.Random
    ways: list[Path] = field(default_factory=list)
    bound: list[Path] = field(default_factory=list)

    def make(self) -> None:
        top = self.place / "t op,1"
        top.mkdir()
        self.ways = [top]
        for number in range(self.dice.randint(4, 9)):
            parent = self.dice.choice(self.ways[: len(self.ways)])
            path = parent / f"d{number}"
            path.mkdir()
            self.ways.append(path)
        for number in range(self.dice.randint(0, 3)):
            link = self.place / f"link{number}"
            link.symlink_to(self.dice.choice(self.ways))
            self.ways += [link, *self._below(link)]
        for number in range(self.dice.randint(0, 3)):
            point = self.place / f"bind{number}"
            point.mkdir()
            source = self.dice.choice(self.ways)
            subprocess.run(["mount", "--bind", source, point], check=True, timeout=180)
            self.bound.append(point)
            self.ways += [point, *self._below(point)]

    @staticmethod
    def _below(path: Path) -> list[Path]:
        found = [path]
        for each in found:
            found += [below for below in each.iterdir() if below.is_dir()]
        return found[1:]

    def spelling(self) -> bytes:
        path = os.fsencode(self.dice.choice(self.ways))
        variants = (
            path,
            path + b"/",
            path + b"/.",
            os.path.join(path, b"..", os.path.basename(os.path.realpath(path))),
        )
        chosen = self.dice.choice(variants)
        return chosen if os.path.isdir(chosen) else path

    def clear(self) -> None:
        for point in reversed(self.bound):
            syscalls.unmount(os.fsencode(point), lazily=True)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    syscalls.private_mounts()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "p").mkdir()
    return tmp_path / "p"


def layouts(place: Path) -> Iterator[Layout]:
    for seed in range(_LAYOUTS):
        here = place / f"{seed}"
        here.mkdir()
        layout = Layout(here, random.Random(seed))
        try:
            layout.make()
            yield layout
        finally:
            layout.clear()


def kernel_refuses(config: OverlayConfig, target: Path) -> bool:
    """Whether the kernel says that these overlap; some it takes (see overlayfs.rst)."""
    target.mkdir(exist_ok=True)
    escaped = [path.replace(b",", b"\\,") for path in config.lowerdirs]
    options = b"index=on,lowerdir=" + b":".join(escaped)
    if config.upperdir is not None and config.workdir is not None:
        parts = config.upperdir.replace(b",", b"\\,"), config.workdir.replace(b",", b"\\,")
        options += b",upperdir=%s,workdir=%s" % parts
    elif len(config.lowerdirs) == 1:
        return False
    try:
        syscalls.mount(b"test", os.fsencode(target), b"overlay", options)
    except OSError as problem:
        # Upper and workdir on two mounts are EINVAL, too: those are refused later.
        return problem.errno in (errno.ELOOP, errno.EBUSY)
    syscalls.unmount(os.fsencode(target))
    return False


def refused(config: OverlayConfig) -> bool:
    try:
        check_layers(config)
    except ConfigError:
        return True
    return False


def test_layers_of_one_overlay(place: Path) -> None:
    verdicts = set()
    for layout in layouts(place):
        for _ in range(4):
            lowers = tuple(layout.spelling() for _ in range(layout.dice.randint(1, 3)))
            config = OverlayConfig(lowers)
            if layout.dice.random() < 0.7:
                upper, work = layout.spelling(), layout.spelling()
                config = replace(config, upperdir=upper, workdir=work)
            if layout.dice.random() < 0.2:
                config = replace(config, datadirs=(layout.spelling(),))
            named = [*config.lowerdirs, *config.datadirs, config.upperdir, config.workdir]
            paths = [path for path in named if path is not None]
            verdict = refused(config)
            assert verdict == (not are_apart(paths)), (config, verdict)
            if not config.datadirs and kernel_refuses(config, layout.place / "m"):
                assert verdict, config
            verdicts.add(verdict)
    assert verdicts == {True, False}


def test_exports_beside_each_other(place: Path) -> None:
    verdicts = set()
    for layout in layouts(place):
        for _ in range(4):
            exports = []
            for number in range(layout.dice.randint(2, 3)):
                config = OverlayConfig((layout.spelling(),))
                if layout.dice.random() < 0.4:
                    parts = layout.spelling(), layout.spelling()
                    config = replace(config, upperdir=parts[0], workdir=parts[1])
                exports.append((b"/%d" % number, config))
            if any(refused(config) for _, config in exports):
                continue
            try:
                check_exports(exports)
                verdict = False
            except ConfigError:
                verdict = True
            assert verdict == (not may_be_together(exports)), exports
            verdicts.add(verdict)
    assert verdicts == {True, False}


def may_be_together(exports: list[tuple[bytes, OverlayConfig]]) -> bool:
    """Whether no export shows, or is shown, what another writes."""
    written, shown = [], []
    for _, config in exports:
        for path in (config.upperdir, config.workdir):
            written.append((config, path)) if path is not None else None
        shown += [(config, path) for path in config.lowerdirs]
    for config, path in written:
        for other, there in (*shown, *written):
            if other is not config and not are_apart([path, there]):
                return False
    return True


@pytest.mark.parametrize("where", ["above", "at", "in"])
def test_state_directory_is_in_no_layer(
    place: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    lower = place / "lower"
    (lower / "in").mkdir(parents=True)
    state = {"above": lower / "x/y", "at": lower, "in": place}[where]
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with pytest.raises(ConfigError, match=r"could be read by clients: set STATE_DIRECTORY"):
        Overlay.open(OverlayConfig((os.fsencode(lower),)))


def test_the_state_of_others_is_in_no_layer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overlay that has a workdir keeps nothing there; another server, or export, may."""
    for name in ("lower/lib/state", "upper", "work", "state/upper", "state/work"):
        (place / name).mkdir(parents=True)
    beside = per_client(place, "lower", "upper", "work")
    monkeypatch.setenv("STATE_DIRECTORY", str(place / "lower/lib/state"))
    with pytest.raises(ConfigError, match=r"could be read by clients: set STATE_DIRECTORY"):
        check_layers(beside)
    (place / "lower/lib/state").rmdir()
    check_layers(beside)
    monkeypatch.setenv("STATE_DIRECTORY", str(place / "state"))
    check_layers(per_client(place, "lower", "state/upper", "state/work"))


def per_client(place: Path, lower: str, upper: str, work: str) -> OverlayConfig:
    lowerdirs = (os.fsencode(place / lower),)
    return OverlayConfig(lowerdirs, os.fsencode(place / upper), os.fsencode(place / work))


@pytest.mark.parametrize(
    ("lower", "upper", "work", "good"),
    [
        ("lower", "c/{client}/up", "c/{client}/wk", True),
        ("lower", "c/{client}", "c/{client}.work", True),
        ("lower", "c/u-{client}", "c/w-{client}", True),
        ("c/base", "c/{client}/up", "c/{client}/wk", True),
        ("c/10.0.0.1", "c/{client}", "w/{client}", False),
        ("c", "c/{client}/up", "c/{client}/wk", False),
        (".", "c/{client}/up", "c/{client}/wk", False),
        ("lower", "c/{client}", "c/{client}/wk", False),
        ("lower", "c/{client}/x", "c/{client}", False),
        ("lower", "lower/{client}", "c/{client}", False),
        ("c/10.0.0.1/up/deep", "c/{client}/up", "c/{client}/wk", False),
    ],
)
def test_clients_layers(place: Path, lower: str, upper: str, work: str, good: bool) -> None:
    for name in ("lower", "c/base", "c/10.0.0.1/up/deep", "w"):
        (place / name).mkdir(parents=True)
    config = per_client(place, lower, upper, work)
    if good:
        prepare(config)
    else:
        with pytest.raises(ConfigError, match=r"lies in|are one directory"):
            prepare(config)


@pytest.fixture
def dirs(place: Path) -> Dirs:
    return make_dirs(place)


def other(place: Path, *lowers: Path) -> OverlayConfig:
    for name in ("lower2", "upper2", "work2"):
        (place / name).mkdir(0o755, exist_ok=True)
    upper, work = os.fsencode(place / "upper2"), os.fsencode(place / "work2")
    return OverlayConfig(tuple(map(os.fsencode, lowers)), upper, work)


@pytest.mark.parametrize("name", ["upper", "upper/in", "work", "work/inodes"])
def test_what_a_server_writes_is_nobodys_lower(dirs: Dirs, name: str) -> None:
    (dirs.upper / "in").mkdir()
    with (
        served(dirs),
        pytest.raises(ConfigError, match=r"in use by another server as its upper .* stop"),
    ):
        Overlay.open(other(dirs.place, dirs.place / name))


def test_what_a_server_reads_is_nobodys_upper(dirs: Dirs) -> None:
    config = other(dirs.place, dirs.place / "lower2")
    (dirs.place / "lower2").mkdir(exist_ok=True)
    with served(dirs), pytest.raises(ConfigError, match="in use by another server"):
        Overlay.open(replace(config, upperdir=os.fsencode(dirs.lower)))
    Overlay.open(replace(config, upperdir=os.fsencode(dirs.lower))).close()


def test_lowers_are_shared(dirs: Dirs) -> None:
    below = dirs.lower / "d"
    with served(dirs):
        first = Overlay.open(other(dirs.place, dirs.lower))
        first.close()
        Overlay.open(other(dirs.place, below)).close()


@pytest.mark.parametrize("spelling", ["plain", "link", "relative", "escaped", "new"])
def test_kernel_mount_is_noticed(
    dirs: Dirs, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    odd = Dirs(dirs.place / "a b\\c")
    if spelling == "escaped":
        odd.place.mkdir()
        odd = make_dirs(odd.place)
    elif spelling == "link":
        odd = Dirs(dirs.place / "link")
        odd.place.symlink_to(dirs.place)
    elif spelling == "relative":
        monkeypatch.chdir(dirs.place)
        odd = Dirs(Path())
    else:
        odd = dirs
    real = Dirs(odd.place.resolve())
    arguments = ["-o", f"lowerdir={odd.lower},upperdir={odd.upper},workdir={odd.work}"]
    if spelling == "new":
        arguments = ["-o", f"lowerdir+={odd.lower}", *arguments[:1], arguments[1].split(",", 1)[1]]
    elif spelling == "escaped":
        arguments = [each.replace("\\", "\\\\") for each in arguments]
    target = dirs.place / "target"
    target.mkdir()
    subprocess.run(["mount", "-t", "overlay", "o", *arguments, target], check=True, timeout=180)
    try:
        for config in (real.config, replace(other(dirs.place, real.upper), datadirs=())):
            with pytest.raises(ConfigError, match=r"(of|by) the kernel's overlayfs"):
                Overlay.open(config)
    finally:
        syscalls.unmount(os.fsencode(target))
    Overlay.open(real.config).close()


def test_kernel_mount_in_another_namespace_is_noticed(dirs: Dirs) -> None:
    with mounted(dirs):
        script = "import time; print(flush=True); time.sleep(60)"
        keeper = ["unshare", "-m", "--propagation", "private", "python3", "-c", script]
        with subprocess.Popen(keeper, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                syscalls.unmount(os.fsencode(dirs.place / "mnt"), lazily=True)
                with pytest.raises(ConfigError, match="mounted by the kernel's overlayfs"):
                    Overlay.open(dirs.config)
            finally:
                process.kill()
        (dirs.place / "mnt").rmdir()
        (dirs.place / "mnt").mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "none", dirs.place / "mnt"], check=True, timeout=180
        )
    Overlay.open(dirs.config).close()


def test_a_copied_workdir_is_refused_beside_the_original(dirs: Dirs) -> None:
    with served(dirs) as at:
        at.write("a", "changed")
    copy = Dirs(dirs.place / "copy")
    copy.place.mkdir(0o755)
    subprocess.run(["cp", "-a", dirs.upper, dirs.work, copy.place], check=True, timeout=180)
    config = replace(copy.config, lowerdirs=dirs.config.lowerdirs)
    exports = [(b"/a", dirs.config), (b"/b", config)]
    with pytest.raises(ConfigError, match=r"export /b: .* is a copy of .* of export /a"):
        check_exports(exports)
    with pytest.raises(ConfigError, match="is a copy: give --lowerdir and --upperdir"):
        recorded_config(os.fsencode(copy.work))
    detach(config, copy_data=False)
    check_exports(exports)
    for _, each in exports:
        overlay = Overlay.open(each)
        assert Served(overlay).read("a").startswith(b"changed")
        overlay.close()


def handles(config: OverlayConfig) -> dict[str, bytes]:
    overlay = Overlay.open(config)
    try:
        return Served(overlay).handles()
    finally:
        overlay.close()


def test_read_only_exports_over_one_base(place: Path) -> None:
    """Each has its own key, whichever is opened first, and whatever images are added."""
    for name in ("base", "one", "two", "new"):
        (place / name).mkdir()
        (place / name / f"of {name}").touch()
    path = {name: os.fsencode(place / name) for name in ("base", "one", "two", "new")}
    plain = OverlayConfig((path["base"],))
    one = OverlayConfig((path["one"], path["base"])).of_export(b"/one")
    two = OverlayConfig((path["two"], path["base"])).of_export(b"/two")
    first, second = Overlay.open(one), Overlay.open(two)
    assert first.export_id != second.export_id
    seen = [Served(overlay).handles() for overlay in (first, second)]
    for overlay in (first, second):
        overlay.close()
    assert [handles(two), handles(one)] == [seen[1], seen[0]]
    newer = replace(one, lowerdirs=(path["new"], *one.lowerdirs))
    assert seen[0].items() <= handles(newer).items()
    assert not set(handles(plain).values()) & set(seen[0].values())
