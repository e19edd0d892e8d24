"""One random stack: served, it is what the kernel's own mount of it is, now and afterwards.

Everything is found by name, in a process that is then killed; by handle, each as in a process that
has seen nothing; again after random changes, and the kernel mounts what they left.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from overlay.base.credentials import ROOT
from overlay.filesystem import Overlay
from overlay.maintenance.detach import detach
from overlay.model.attributes import Changes
from overlay.model.config import OverlayConfig
from overlay.model.contents import Stable
from tests.property import syscalls
from tests.property.random_stack import Made, make, mount_options
from tests.property.stack_views import MISSING, Name, Served, View, differences, of_kernel

_NAMES = (b"a", b"b", b"c", b"d")
_VERBS = (
    *("mv",) * 3,
    *("mv near", "chmod") * 2,
    *("chown", "write", "truncate", "rm", "ln", "mkdir", "create"),
)


class WrongError(Exception):
    """What was found of a stack, and how it was made."""


def run(place: Path, seed: int) -> None:
    """Make the stack of a seed in the empty directory `place` and try it; raises WrongError."""
    rng = Random(seed)
    story = ["(it could not be made)"]
    try:
        made = make(place, rng)
        story = made.story
        _try(place, made, rng)
    except Exception as problem:
        told = str(problem) if isinstance(problem, AssertionError) else traceback.format_exc()
        raise WrongError("\n".join([f"seed {seed}:", *story, told])) from problem


def _try(place: Path, made: Made, rng: Random) -> None:
    stack, config = made.stack, _config(made)
    read_only = not any(os.scandir(stack.upper)) and rng.random() < 0.2
    if read_only:
        config = replace(config, upperdir=None, workdir=None)
        state = place / "state"
        state.mkdir(0o755)
        os.environ["STATE_DIRECTORY"] = str(state)
    made.story.append(
        f"served {'read-only' if read_only else ''} lowers {[p.name for p in stack.lowers]}"
    )
    is_empty = not any(os.scandir(stack.upper))
    kernels = _mounted_read_only(place, made) if is_empty else _mounted(place, made.shown)
    handles = _on_two_workers(config, kernels, counted=made.counted)
    with _opened(config) as served:
        order = list(handles)
        rng.shuffle(order)
        view = served.view({path: handles[path] for path in order}, forgetful=True)
        _equal(view, kernels, "by handle", counted=made.counted)
        assert served.handles() == handles, "handles are others after a restart"
        if read_only:
            return
        for _ in range(rng.randrange(0, 12)):
            _change(served, rng, made.story)
        before = served.handles()
        expected = served.view(before)
    with _opened(config) as served:
        _equal(served.view(before, forgetful=True), expected, "by handle after changes")
        assert served.handles() == before, "handles are others after changes"
    copied = rng.random() < 0.4 and not any(
        seen and seen.content == MISSING for seen in expected.values()
    )
    made.story.append(f"detached, {copied=}")
    detach(config, copy_data=copied)
    kernels = _mounted(place, made.shown.replace(b"index=off", b"index=on"))
    # Names that the kernel has hidden without an index are counted by a server, not after that.
    counted = is_empty
    _equal(expected, kernels, "the kernel after detach", counted=counted)


def _config(made: Made) -> OverlayConfig:
    return replace(made.stack.config, userxattr=made.userxattr)


def _equal(ours: View, others: View, what: str, *, counted: bool = True) -> None:
    found = differences(ours, others, counted=counted)
    assert not found, "\n".join([f"{what}:", *found])


def _mounted_read_only(place: Path, made: Made) -> View:
    """What the kernel shows of the lower layers alone."""
    empty = place / "empty"
    empty.mkdir(exist_ok=True)
    layers = [*made.stack.lowers, empty]
    text = mount_options(layers, list(made.stack.data)) + b",xino=off"
    text += b",userxattr" if made.userxattr else b",redirect_dir=on,metacopy=on"
    return _mounted(place, text)


def _mounted(place: Path, text: bytes) -> View:
    """What a mount of the kernel's with these options shows."""
    target = place / "mnt"
    syscalls.mount(b"seen", os.fsencode(target), b"overlay", text)
    try:
        return of_kernel(target)
    finally:
        syscalls.unmount(os.fsencode(target))


@contextmanager
def _opened(config: OverlayConfig) -> Iterator[Served]:
    overlay = Overlay.open(config)
    served = Served(overlay)
    try:
        yield served
    finally:
        overlay.close()
        served.forget()


def _on_two_workers(config: OverlayConfig, kernels: View, *, counted: bool) -> dict[Name, bytes]:
    """The handle of everything, as one worker finds it by name, which is killed then.

    Another, which has seen nothing, finds it by handle.
    """
    overlay = Overlay.open(config)
    overlay.share(2)
    try:
        handles = _killed(partial(_by_name, overlay), overlay)
        assert isinstance(handles, dict), handles
        assert set(handles) >= set(kernels), f"names are missing: {set(kernels) - set(handles)}"
        view = _killed(partial(_by_handle, overlay, handles), overlay)
        assert isinstance(view, dict), view
        _equal(view, kernels, "on another worker", counted=counted)
    finally:
        overlay.close()
    return handles


def _by_name(overlay: Overlay) -> dict[Name, bytes]:
    overlay.join(0, 1)
    return Served(overlay).handles()


def _by_handle(overlay: Overlay, handles: dict[Name, bytes]) -> View:
    overlay.join(1, 2)
    return Served(overlay).view(handles)


def _killed(work: Callable[[], object], overlay: Overlay) -> object:
    """What a worker comes to, which is killed then; text of what went wrong."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            answer = work()
        except BaseException:
            answer = traceback.format_exc()
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(answer, pipe)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pickle.load(pipe)
    os.waitpid(pid, 0)
    overlay.died(pid)
    return answer


_EXPECTED = (
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.EIO,
    errno.EXDEV,
    errno.EPERM,
)


def _change(served: Served, rng: Random, story: list[str]) -> None:
    """Something that a client does; what it may not do changes nothing."""
    overlay = served.overlay
    handles = served.handles()
    paths = sorted(path for path in handles if path)
    directories = sorted(path for path in handles if overlay.resolve(handles[path]).is_dir)
    path, new = rng.choice(paths or [()]), (*rng.choice(directories), rng.choice(_NAMES))
    if not path:
        return
    verb = rng.choice(_VERBS)
    if verb == "mv near":
        verb, new = "mv", (*path[:-1], new[-1])
    node, above = overlay.resolve(handles[path]), overlay.resolve(handles[path[:-1]])
    target = overlay.resolve(handles[new[:-1]])
    if rng.random() < 0.5:
        served.forget()
    with suppress(_RefusedError):
        story.append(f"  client: {verb} {path} {new}")
        with _refusals():
            match verb:
                case "mv":
                    overlay.rename(above, path[-1], target, new[-1], ROOT)
                case "chmod":
                    overlay.setattr(node, ROOT, Changes(mode=rng.choice((0o600, 0o711))))
                case "chown":
                    overlay.setattr(node, ROOT, Changes(uid=5, gid=6))
                case "truncate":
                    overlay.setattr(node, ROOT, Changes(size=rng.randrange(20)))
                case "write":
                    overlay.write(node, ROOT, rng.randrange(9), b"client", Stable.UNSTABLE)
                case "rm":
                    remove = overlay.rmdir if node.is_dir else overlay.remove
                    remove(above, path[-1], ROOT)
                case "ln":
                    overlay.link(node, target, new[-1], ROOT)
                case "mkdir":
                    overlay.mkdir(target, new[-1], ROOT, Changes(mode=0o755))
                case _:
                    overlay.create(target, new[-1], ROOT, Changes(mode=0o644), True)
        return
    story[-1] += " (refused)"


class _RefusedError(Exception):
    """A client was told that this may not be."""


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if problem.errno not in _EXPECTED:
            raise
        raise _RefusedError from problem


def main() -> None:
    """FIRST COUNT PLACE: tries so many seeds and prints what is wrong."""
    first, count, where = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    failed = []
    os.umask(0)
    for seed in range(first, first + count):
        place = where / f"stack{seed}"
        place.mkdir(0o755)
        faulthandler.dump_traceback_later(60, exit=True)  # nothing hangs
        print(f"seed {seed}", file=sys.stderr)
        try:
            run(place, seed)
        except WrongError as wrong:
            failed.append(seed)
            print(str(wrong), flush=True)
        shutil.rmtree(place)
        if (seed - first + 1) % 100 == 0:
            print(f"{seed - first + 1} stacks, {len(failed)} wrong", flush=True)
    print(f"{count} stacks from {first}, wrong: {failed}")


if __name__ == "__main__":
    main()
