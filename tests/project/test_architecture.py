"""The structure: imports run downward between folders, and modules stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("nfsd", "overlay", "index")
# From the top: a module imports from its own folder, and from folders on lower lines.
FLOORS = """
nfsd
nfsd/commands
nfsd/server
nfsd/lock
nfsd/portmap nfsd/metrics
nfsd/nfs nfsd/config
nfsd/export nfsd/process nfsd/torture
nfsd/net
nfsd/rpc
nfsd/base nfsd/xdr/compiler nfsd/xdr/generated
nfsd/xdr
overlay
overlay/maintenance
overlay/check
overlay/startup
overlay/ops
overlay/lookup
overlay/model
overlay/base
index
index/linux
"""
FLOOR = {name: number for number, line in enumerate(FLOORS.split("\n")) for name in line.split()}
# What the server sees of an overlay: the filesystem, and values that go in and out.
SEEN = {"overlay", "overlay/model", "overlay/base", "index/linux"}
GENERATED = set((PROJECT / "nfsd" / "xdr" / "generated").glob("*.py"))
MODULE_LINES = 400
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
COMPILED = [PROJECT / path for path in PYPROJECT["tool"]["overlay-nfsd"]["compiled"]]
FUNCTION_LINES = 40


def modules(*packages: str) -> list[Path]:
    return [path for name in packages for path in sorted((PROJECT / name).rglob("*.py"))]


def named(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def folder(path: Path) -> str:
    return str(path.relative_to(PROJECT).parent)


def imported(path: Path) -> set[Path]:
    """The modules of ours that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import at line {node.lineno}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    ours = {PROJECT.joinpath(*name.split(".")).with_suffix(".py") for name in names if name}
    return {path for path in ours if path.is_file() and path.parts[len(PROJECT.parts)] in PACKAGES}


def test_each_folder_has_a_floor() -> None:
    assert {folder(path) for path in modules(*PACKAGES)} == set(FLOOR)


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=named)
def test_imports_run_down(path: Path) -> None:
    """Between folders, so that none of them form a circle; a folder has its own to itself."""
    own = folder(path)
    others = {folder(each) for each in imported(path)} - {own}
    assert {each for each in others if FLOOR[each] <= FLOOR[own]} == set()
    if own.startswith("nfsd") and own != "nfsd/commands":
        assert {each for each in others if not each.startswith("nfsd")} <= SEEN


def test_no_modules_form_a_circle() -> None:
    TopologicalSorter({path: imported(path) for path in modules(*PACKAGES)}).prepare()


def test_an_event_loop_needs_no_filesystem() -> None:
    code = "import sys, nfsd.net.event_loop; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "nfsd" in loaded
    assert not loaded & {"lmdb", "overlay", "index"}


@pytest.mark.parametrize("path", modules(*PACKAGES, "tests"), ids=named)
def test_no_import_is_inside_a_function(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [
                each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom)
            ]
            assert not inner, f"{node.name} imports at line {inner[0].lineno}"


@pytest.mark.parametrize("path", sorted(set(modules(*PACKAGES)) - GENERATED), ids=named)
def test_modules_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") < MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno < FUNCTION_LINES, node.name


def inner(tree: ast.AST, *, within: bool = False) -> Iterator[int]:
    """Lines with functions in functions, lambdas in them, and what makes a function a generator."""
    for node in ast.iter_child_nodes(tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if within and (is_function or isinstance(node, ast.Yield | ast.YieldFrom | ast.Await)):
            yield getattr(node, "lineno", 0)
        yield from inner(node, within=within or is_function)


@pytest.mark.parametrize("path", COMPILED, ids=named)
def test_what_is_compiled_has_no_closures(path: Path) -> None:
    """mypyc frees the variables of one only when another call may use their place already.

    A descriptor among them is closed meanwhile, which lets that other call go on: then
    variables of the one are freed by the other.
    """
    assert not list(inner(ast.parse(path.read_text())))


@pytest.mark.parametrize("path", COMPILED, ids=named)
def test_no_dataclass_that_is_compiled_is_generic(path: Path) -> None:
    """mypyc compiles one, and then it cannot be imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and "Generic[" in " ".join(map(ast.unparse, node.bases)):
            assert "dataclass" not in " ".join(map(ast.unparse, node.decorator_list)), node.name


@pytest.mark.parametrize("path", modules(*PACKAGES), ids=named)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_what_is_logged_once_is_of_a_kind_of_our_own() -> None:
    """So that there are few: what a client has sent is no kind."""
    kinds = []
    for path in modules("nfsd"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "ONCE.first":
                kind = node.args[0]
                assert isinstance(kind, ast.Constant), f"{named(path)}, line {node.lineno}"
                kinds.append(kind.value)
    assert len(kinds) > 10
    assert all(isinstance(kind, str) for kind in kinds)
