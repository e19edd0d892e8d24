"""One sequence: the same operations on both sides, then each side reads what the other wrote."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from overlay.maintenance.detach import detach
from tests.property import differences, layers
from tests.property.handles import Book
from tests.property.kernel import KernelSide
from tests.property.layers import Layer
from tests.property.objects import InProcess, Objects
from tests.property.operations import (
    DropCaches,
    Event,
    Inspect,
    Nothing,
    Operation,
    Reopen,
    Step,
)
from tests.property.served import ServedSide
from tests.property.side import Side
from tests.property.stack import Stack
from tests.property.trees import Tree, raw

Outcome = tuple[str, object]
Serve = Callable[[Stack], Objects]


def in_process(stack: Stack) -> Objects:
    """The overlay in this process."""
    return InProcess(stack.config)


def attempt(operation: Operation, side: Side) -> Outcome:
    """What an operation came to: its value, or the name of its error."""
    try:
        return "done", operation.run(side)
    except OSError as problem:
        return "refused", errno.errorcode[problem.errno or 0]


def drop_caches() -> None:
    """Have the kernel forget inodes and directory entries that nobody uses."""
    with open("/proc/sys/vm/drop_caches", "wb") as file:
        file.write(b"2")


@dataclass
class Sequence:
    """The two sides in the middle of a sequence."""

    ours: ServedSide
    kernel: KernelSide
    book: Book
    log: list[str] = field(default_factory=list)

    def take(self, step: Step) -> None:
        if isinstance(step, Nothing):
            return
        if isinstance(step, Event):
            self.log.append(repr(step))
            self._event(step)
            return
        operation = step.resolve(*self.kernel.paths())
        if not differences.is_comparable(operation, self.kernel):
            return
        self.log.append(repr(operation))
        expected = attempt(operation, self.kernel)
        got = attempt(operation, self.ours)
        self.log[-1] += f" -> {expected}"
        assert differences.same_outcome(got, expected), f"server {got}, kernel {expected}"
        if got[0] == "done":
            self.book.done(operation)
        self.book.check_all()

    def _event(self, event: Event) -> None:
        match event:
            case Reopen():
                self.ours.objects.reopen()
            case DropCaches():
                drop_caches()
            case Inspect():
                self.inspect()
        self.book.check_all()

    def inspect(self) -> Tree:
        """Compare the trees; returns the kernel's."""
        self.book.note_all()
        ours, kernels = self.ours.tree(), self.kernel.tree()
        assert_equal(ours, kernels)
        return kernels


def assert_equal(ours: Tree, kernels: Tree) -> None:
    """The trees agree but for what docs/differences.md lists."""
    found = differences.of_trees(ours, kernels)
    assert not found, "\n".join(["the trees differ:", *found])


def run(
    stack: tuple[Layer, ...],
    steps: list[Step],
    walk_first: bool,
    place: FilePath,
    serve: Serve = in_process,
    *,
    copies: bool = False,
    is_plain: bool = False,
) -> None:
    """Do the sequence in the empty directory `place`, reaching the server by `serve`.

    `copies`: it replaces the layers by copies of themselves.  `is_plain`: the upper layer gets
    neither metacopies nor redirects, and none are followed by the kernel.
    """
    mountpoint = place / "mnt"
    mountpoint.mkdir()
    served, mounted = (
        Stack.make(place / name, len(stack), is_plain=is_plain) for name in ("served", "mounted")
    )
    for one in (served, mounted):
        for layer, root in zip(stack, one.lowers, strict=True):
            layers.build(layer, root)
    before = [raw(lower, copied=copies) for lower in served.lowers]
    log: list[str] = []
    try:
        linked = any(item.kind == "link" for layer in stack for item in layer)
        trees = both(served, mounted, mountpoint, steps, walk_first, linked, log, serve)
        _cross(served, mounted, mountpoint, *trees, log)
        after = [raw(lower, copied=copies) for lower in served.lowers]
        assert before == after, "a lower layer was changed"
    except BaseException as problem:
        problem.add_note("\n".join(["after these operations:", *log]))
        raise


def both(
    served: Stack,
    mounted: Stack,
    mountpoint: FilePath,
    steps: list[Step],
    walk_first: bool,
    linked: bool,
    log: list[str],
    serve: Serve = in_process,
) -> tuple[Tree, Tree]:
    """The steps on both sides; returns the trees at the end."""
    with ExitStack() as sides:
        kernel = sides.enter_context(closing(KernelSide(mounted, mountpoint)))
        ours = ServedSide(sides.enter_context(closing(serve(served))))
        sequence = Sequence(ours, kernel, Book(ours, hidden_links=linked), log)
        if walk_first:
            sequence.take(Inspect())
        for step in steps:
            sequence.take(step)
        log.append("at the end")
        kernels = sequence.inspect()
        return ours.tree(), kernels


def _cross(
    served: Stack,
    mounted: Stack,
    mountpoint: FilePath,
    ours: Tree,
    kernels: Tree,
    log: list[str],
) -> None:
    """Each side reads what the other wrote."""
    # With all data copied up the kernel needs no metacopy to read it.
    copied = bool(len(log) % 2) and not served.is_plain
    log.append(f"the kernel mounts what the server wrote (data copied: {copied})")
    detach(served.config, copy_data=copied)
    has_metacopies = not copied and not served.is_plain
    with closing(KernelSide(served, mountpoint, metacopy=has_metacopies)) as kernel:
        found = differences.of_trees(ours, kernel.tree())
    assert not found, "\n".join(["the kernel shows otherwise what the server wrote:", *found])
    log.append("the server serves what the kernel wrote")
    with closing(InProcess(mounted.config)) as objects:
        found = differences.of_trees(ServedSide(objects).tree(), kernels)
    assert not found, "\n".join(["the server shows otherwise what the kernel wrote:", *found])
