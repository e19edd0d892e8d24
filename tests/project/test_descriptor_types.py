"""An Fd is never taken for a number: compiled code would keep the number and not the object.

mypyc makes a machine word of whatever is declared an int, be it a parameter, variable,
attribute, item or return value, and collects the Fd that it came from: its descriptor is
closed, and the number soon is another file's. So the types are checked once more as if an
Fd were no int (mypy --shadow-file). What mypy then refuses is where the two meet, however
deep in a type. System calls are the exception: they hold the object for as long as they take.

What only means the inode while the Fd lives, as its path in /proc, must be made from a
parameter: that lives as long as the call. mypyc lets go of a local variable after its last
use, which may be before the path is used.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import mypy.api
import pytest

pytestmark = pytest.mark.once

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("index", "overlay", "nfsd")
# Where numbers are made into Fds; it is not compiled.
DEFINITION = PROJECT / "index" / "linux" / "fd.py"
SYSTEM = {"os", "fcntl", "mmap"}
# Its own constructor alone takes numbers.
NO_INT = """class _NoInt:
    def __init__(self, number: int) -> None: ...


class Fd(_NoInt):"""
ERROR = re.compile(r"(.+?):(\d+):(\d+): error: (.*)  \[([a-z-]+)\]")
# An Fd, as itself, was given to a function.
PASSED = re.compile(
    r'Argument .*has incompatible type "Fd( \| (None|bytes))?"; expected '
    r'|No overload variant of "\w+" matches argument types? (?!.*(object|\bint \||\| int))'
)
_SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module

# Each line marked `fault` must be found, and no other.
SAMPLE = """
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from index.linux.fd import Fd, open_dir, proc_path
from overlay.model.node import FileNode

def take(fd: int) -> None: ...
def take_all(fds: Sequence[int]) -> None: ...
def hold(fd: Fd | None) -> None: ...
def default(fd: int = Fd(1)) -> None: ...  # fault
def give(fd: Fd) -> int:
    return fd  # fault
def give_or_not(fd: Fd) -> int | None:
    return fd  # fault
def give_two(fd: Fd) -> tuple[int, bytes]:
    return fd, b""  # fault

class Base:
    def one(self) -> int: ...
class Derived(Base):
    def one(self) -> Fd: ...  # fault
class Native:
    number: int
    def __init__(self, fd: Fd) -> None:
        self.number = fd  # fault
        self.fd = fd
@dataclass
class Data:
    fd: int
class Row(NamedTuple):
    fd: int

def parameters(fd: Fd, either: Fd | None, call: Callable[[int], None]) -> None:
    take(fd)  # fault
    take(fd=fd)  # fault
    take_all([fd])  # fault
    hold(fd)
    hold(either)
    call(fd)  # fault
    partial(take, fd)()  # fault
    partial(hold, fd)()
    Data(fd)  # fault
    Row(fd)  # fault
    os.fstat(fd)
    os.stat(b"name", dir_fd=either)
    os.fsync(fd)
    os.close(os.dup(fd))

def variables(fd: Fd, flag: bool) -> None:
    one: int = fd  # fault
    many: dict[bytes, int] = {b"": fd}  # fault
    either = fd if flag else 3
    os.fstat(either)  # fault
    other = fd or 3
    os.fstat(other)  # fault
    text = b"%d" % fd  # fault
    act: Callable[[Fd], None] = lambda each: take(each)  # fault
    for each in (fd, 3):
        os.fstat(each)  # fault

def whole(fd: Fd, node: FileNode, fds: list[Fd]) -> None:
    os.chmod(proc_path(fd), 0)
    os.chmod(proc_path(node.fd), 0)
    os.chmod(node.target, 0)
    number = int(fds[0])
    made = open_dir(fd, b".")
    path = proc_path(made)  # fault
    number = int(made)  # fault
    os.chmod(proc_path(open_dir(fd, b".")), 0)  # fault
    found = [proc_path(each) for each in fds]  # fault
    later = lambda: proc_path(fd)  # fault

def again(fd: Fd, node: FileNode, others: list[FileNode]) -> None:
    fd = open_dir(fd, b".")
    path = proc_path(fd)  # fault
    for node in others:
        os.chmod(node.target, 0)  # fault
    os.chmod(f"/proc/self/fd/{fd}", 0)  # fault
"""


class Found(NamedTuple):
    """What is wrong in a line of a module."""

    path: Path
    line: int
    why: str

    def __str__(self) -> str:
        return f"{os.path.relpath(self.path, PROJECT)}:{self.line}: {self.why}"


class Refused(NamedTuple):
    """What mypy said."""

    line: int
    column: int  # in bytes, from 0
    message: str
    code: str


class Module:
    """The tree of a module, and what each node is part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._nodes = list(ast.walk(ast.parse(path.read_bytes())))
        self._outer = {
            inner: outer for outer in self._nodes for inner in ast.iter_child_nodes(outer)
        }

    def faults(self, refused: Sequence[Refused]) -> Iterator[Found]:
        """Where an Fd is taken for a number, and where what must not outlive it may."""
        for each in refused:
            call = self._call(each)
            function = "" if call is None else ast.unparse(call.func)
            if call is not None and function == "int":
                yield from self._outlives(call, call.args[0])
            elif function.partition(".")[0] not in SYSTEM or not PASSED.match(each.message):
                yield Found(self.path, each.line, each.message)
        if self.path != DEFINITION:
            yield from self._paths()

    def _paths(self) -> Iterator[Found]:
        """Where a path is made that may outlive its descriptor."""
        for node in self._nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "proc_path":
                yield from self._outlives(node, node.args[0])
            elif isinstance(node, ast.Attribute) and node.attr == "target":
                yield from self._outlives(node, node.value)
            elif isinstance(node, ast.Constant) and "/self/fd" in str(node.value):
                yield Found(self.path, node.lineno, "such a path is for proc_path to make")

    def _call(self, refused: Refused) -> ast.Call | None:
        """The call that mypy speaks of: it begins there, or has an argument that does."""
        found = None
        for node in self._nodes:
            if isinstance(node, ast.Call):
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                places = given if refused.code == "arg-type" else [node]
                if (refused.line, refused.column) in [(at.lineno, at.col_offset) for at in places]:
                    found = node
        return found

    def _outlives(self, node: ast.expr, owner: ast.expr) -> Iterator[Found]:
        """A fault, unless the owner is a parameter that stays what it is, or a part of one."""
        root = owner
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        function: ast.AST = node
        while not isinstance(function, _SCOPES):
            function = self._outer[function]
        if isinstance(root, ast.Name) and root.id in _parameters(function):
            return
        why = f"{ast.unparse(node)}: {ast.unparse(owner)} is no parameter and may go before this"
        yield Found(self.path, node.lineno, why)


def _parameters(function: ast.AST) -> set[str]:
    """The parameters that nothing else is assigned to."""
    if not isinstance(function, ast.FunctionDef | ast.Lambda):
        return set()
    given = function.args
    names = {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.discard(node.id)
    return names


def refusals(shadow: Path, sources: Sequence[Path]) -> dict[Path, list[Refused]]:
    """What mypy refuses when `shadow` stands for index/linux/fd.py, by module."""
    # Without a cache: that does not know one file from what stands for it.
    output, problem, _ = mypy.api.run(
        [
            *("--config-file", str(PROJECT / "pyproject.toml"), "--cache-dir", os.devnull),
            *("--shadow-file", str(DEFINITION), str(shadow)),
            *("--show-column-numbers", "--show-absolute-path", "--no-error-summary"),
            *map(str, sources),
        ]
    )
    assert not problem
    found: dict[Path, list[Refused]] = {}
    for path, line, column, message, code in ERROR.findall(output):
        # What a call returns that was refused may be unknown to mypy: that it says, too.
        if re.search(r"\bFd\b|\bobject\b", message) and Path(path) != DEFINITION:
            refused = Refused(int(line), int(column) - 1, message, code)
            found.setdefault(Path(path), []).append(refused)
    return found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.py"
    path.write_text(SAMPLE)
    return path


@pytest.fixture(scope="module")
def found(sample: Path) -> list[Found]:
    """All faults, those of the sample too."""
    text = DEFINITION.read_text()
    assert text.count("class Fd(int):") == 1
    shadow = sample.with_name("shadow.py")
    shadow.write_text(text.replace("class Fd(int):", NO_INT))
    sources = [path for name in PACKAGES for path in sorted((PROJECT / name).rglob("*.py"))]
    sources.append(sample)
    refused = refusals(shadow, sources)
    return [fault for path in sources for fault in Module(path).faults(refused.get(path, ()))]


def test_each_kind_of_fault_is_found(found: list[Found], sample: Path) -> None:
    lines = SAMPLE.splitlines()
    at = {fault.line for fault in found if fault.path == sample}
    assert [lines[line - 1] for line in sorted(at)] == [
        line for line in lines if line.endswith("# fault")
    ]


def test_no_descriptor_is_taken_for_a_number(found: list[Found], sample: Path) -> None:
    faults = [str(fault) for fault in found if fault.path != sample]
    assert not faults, "\n".join(faults)
