"""What is cut short besides calls: starts of the server, `check --repair`, `index detach`.

Rule: what a kernel mount writes is written by a kernel mount.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from overlay.check.problem import Kind
from overlay.check.run import KERNEL_WORK
from tests.overlays import KERNEL_OPTIONS, kernel_tree
from tests.property.syscalls import mount, unmount
from tests.property.trees import raw
from tests.torture.asking import (
    attributes,
    create,
    first,
    link,
    listing,
    lookup,
    mkdir,
    remove,
    rename,
    rmdir,
    setattr,
    write,
)
from tests.torture.cases import CASES, Case
from tests.torture.scene import Scene
from tests.torture.tracer import Tracer
from tests.torture.trials import CallTrial, CommandTrial, StartTrial, Trial

_OURS: Final = (b"fh", b"upper", b"path", b"lower", b"links")
_DIRECTORIES: Final = frozenset(("inodes", "staging", "identity", "detached"))
_NOTHING_YET: Final = frozenset((Kind.KEY_LOST, Kind.RECORD_LOST))
_STARTED_AFTER: Final = (
    "remove a lower file",
    "remove the last lower hard link",
    "rmdir a copied-up directory",
    "rename a lower directory over one with whiteouts",
    "chmod a lower directory",
    "link a lower file over a whiteout",
)
CASES_TO_START_AFTER: Final = tuple(case for case in CASES if case.name in _STARTED_AFTER)
# A bit of everything that an upper layer and an index know.
_worked: Final = first(
    write("file"),
    setattr("second", attributes(0o604)),
    write("hard1"),
    link("hard1", "hard4"),
    remove("hard2"),
    remove("victim"),
    rename("dir", "renamed"),
    rename("renamed/inner", "inner"),
    rmdir("empty"),
    mkdir("empty"),
    create("empty/new"),
    rename("merged", "other/merged"),
    write("nest/one/two/three/leaf"),
    remove("symlink"),
)


@contextmanager
def mounted(scene: Scene) -> Iterator[Path]:
    """Let the kernel mount the layers for a while."""
    target = scene.place / "mounted"
    target.mkdir(exist_ok=True)
    lowers = b":".join(os.fsencode(lower) for lower in scene.stack.lowers)
    layers = (lowers, os.fsencode(scene.upper), os.fsencode(scene.work), KERNEL_OPTIONS)
    options = b"lowerdir=%s,upperdir=%s,workdir=%s,%s" % layers
    mount(b"test", os.fsencode(target), b"overlay", options)
    try:
        yield target
    finally:
        unmount(os.fsencode(target))


def kernel_work(scene: Scene) -> None:
    """Work on a kernel mount: copy-ups of each form, removals, renames."""
    with mounted(scene) as at:
        for name in ("file", "pair1", "nest/one/two/three/leaf"):
            with (at / name).open("ab") as file:
                file.write(b"by the kernel")
        (at / "second").chmod(0o604)
        (at / "hard1").chmod(0o604)
        for name in ("victim", "hard2", "gone/a", "gone/far/b"):
            (at / name).unlink()
        for name in ("gone/far", "gone"):
            (at / name).rmdir()
        (at / "dir").rename(at / "renamed")
        (at / "merged").chmod(0o711)
        (at / "other/o").rename(at / "moved out")
        (at / "fresh").mkdir()
        (at / "fresh/file").write_bytes(b"fresh")


def _served(scene: Scene) -> None:
    scene.serve()
    with scene.wire() as wire:
        _worked(wire)
    scene.before = scene.look()
    scene.stop()


def _worked_on_by_the_kernel(scene: Scene) -> None:
    _served(scene)
    kernel_work_after(scene)


def kernel_work_after(scene: Scene) -> None:
    """The same where the server worked before: on what it left."""
    with mounted(scene) as at:
        with (at / "pair1").open("ab") as file:
            file.write(b"by the kernel")
        (at / "device").chmod(0o604)
        for name in ("file", "hard4", "second", "gone/a", "gone/far/b"):
            (at / name).unlink()
        for name in ("gone/far", "gone"):
            (at / name).rmdir()
        (at / "nest/one").rename(at / "nest/uno")
        (at / "other/merged").rename(at / "merged again")
        (at / "inner").rename(at / "hollow/inner")


def _cut_short(case: Case, point: int) -> Callable[[Scene], bool]:
    def prepare(scene: Scene) -> bool:
        made: list[Tracer] = []

        def tracer(group: int) -> Tracer:
            made.append(Tracer(group, point))
            return made[0]

        trial = CallTrial(case)
        trial.prepare(scene)
        trial.cut(scene, tracer)
        return made[0].was_cut

    return prepare


def starts() -> list[StartTrial]:
    """Starts that have something to do; what the kernel did is mended by them."""
    return [
        StartTrial("the first start", lambda _: None, _NOTHING_YET),
        StartTrial("a start", _served),
        StartTrial("a start after work of the kernel", _worked_on_by_the_kernel, KERNEL_WORK),
    ]


def start_after(case: Case, point: int) -> StartTrial:
    """The start after a case was cut short."""
    return StartTrial(f"a start after: {case.name}", _cut_short(case, point))


def _number(scene: Scene, path: str) -> int:
    known = scene.before.objects[scene.before.names[path]]
    assert known is not None
    return known.fileid


def _entry(scene: Scene, path: str) -> Path:
    return scene.work / "inodes" / f"#{_number(scene, path)}"


def _damaged(scene: Scene) -> None:
    """One damage of each kind that the next does not hide."""
    _served(scene)
    prefix = "trusted.overlay."
    (scene.work / "staging/1.2/deep").mkdir(parents=True)
    (scene.work / "identity/key").chmod(0o644)
    os.removexattr(scene.upper / "renamed", prefix + "impure")
    os.setxattr(scene.upper / "other/merged", prefix + "redirect", b"/no/such")
    os.removexattr(scene.upper / "second", prefix + "redirect")
    _entry(scene, "/file").unlink()
    _entry(scene, "/renamed").rmdir()
    os.setxattr(scene.upper / "hard1", prefix + "nlink", b"U+7")
    os.setxattr(_entry(scene, "/nest/one"), prefix + "upper", b"\1old")
    os.setxattr(_entry(scene, "/nest"), prefix + "path", b"/was")
    os.removexattr(scene.upper / "nest/one/two", prefix + "fh")
    os.mknod(scene.upper / "device", stat.S_IFCHR, 0)
    os.mknod(_entry(scene, "/fifo"), stat.S_IFCHR, 0)
    os.setxattr(scene.upper / "inner", prefix + "origin", b"x" * 30)


def _served_tree(scene: Scene) -> object:
    problems = dict(scene.problems())
    scene.serve()
    found = scene.look()
    scene.stop()
    return problems, scene.state(found)


def _kernel_tree(scene: Scene) -> object:
    """What a kernel mount shows, but for inode numbers, and what is left of ours."""
    with mounted(scene) as at:
        tree = {path: facts[:-1] for path, facts in kernel_tree(at).items()}
    left = [
        (path, fact)
        for path, facts in raw(scene.upper).items()
        for fact in facts
        if isinstance(fact, tuple) and str(fact[0]).rpartition(".")[2].encode() in _OURS
    ]
    return (
        tree,
        left,
        sorted({"inodes", "staging", "identity", "detached"} & set(os.listdir(scene.work))),
    )


def adoptions() -> list[CallTrial]:
    """First looks at what a kernel mount wrote before any server had the layers."""
    asked = {
        "copied-up file": lookup("file"),
        "metacopy": lookup("second"),
        "hard link": lookup("hard1"),
        "renamed file": lookup("moved out"),
        "directory": lookup("merged"),
        "renamed directory": lookup("renamed"),
        "listing": listing("/"),
    }
    return [
        CallTrial(Case(f"adopt from the kernel: {what}", ask, plant=kernel_work, is_first_use=True))
        for what, ask in asked.items()
    ]


def trials() -> Iterator[Trial]:
    """Everything that there is, fresh, with empty results."""
    for case in CASES:
        yield CallTrial(case)
    yield from adoptions()
    yield from starts()
    yield from commands()


def commands() -> list[CommandTrial]:
    """Commands that change the layers."""
    detach = ("index", "detach", "--yes")
    return [
        CommandTrial("check --repair", ("check", "--repair"), _damaged, _served_tree),
        CommandTrial("index detach", detach, _served, _kernel_tree),
        CommandTrial("index detach --copy-data", (*detach, "--copy-data"), _served, _kernel_tree),
    ]
