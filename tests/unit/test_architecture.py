"""The structure: imports run nfsd -> overlay -> index, and modules stay small."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# What each package may import of ours.
ALLOWED = {
    "index": {"index"},
    "overlay": {"overlay", "index"},
    "nfsd": {"nfsd", "overlay"},
}
GENERATED = {path.with_suffix(".py") for path in (PROJECT / "nfsd" / "xdr").glob("*.x")}
MODULE_LINES = 400
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
COMPILED = [PROJECT / path for path in PYPROJECT["tool"]["overlay-nfsd"]["compiled"]]
FUNCTION_LINES = 40


def modules(*packages: str) -> list[Path]:
    return [path for name in packages for path in sorted((PROJECT / name).rglob("*.py"))]


def named(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def imported(tree: ast.AST) -> Iterator[str]:
    """The first part of every module name imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import at line {node.lineno}"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", modules(*ALLOWED), ids=named)
def test_imports_run_one_way(path: Path) -> None:
    package = path.relative_to(PROJECT).parts[0]
    ours = set(imported(ast.parse(path.read_text()))) & set(ALLOWED)
    assert ours <= ALLOWED[package]


@pytest.mark.parametrize("path", modules(*ALLOWED, "tests"), ids=named)
def test_no_import_is_inside_a_function(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [
                each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom)
            ]
            assert not inner, f"{node.name} imports at line {inner[0].lineno}"


@pytest.mark.parametrize("path", sorted(set(modules(*ALLOWED)) - GENERATED), ids=named)
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


@pytest.mark.parametrize("path", modules(*ALLOWED), ids=named)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_server_uses_one_class_of_the_overlay() -> None:
    """Besides it, only values that go in and out, and what is kept; commands use more."""
    allowed = {"filesystem", "acl", "attributes", "blocking", "config", "counts", "credentials"}
    allowed |= {"data", "descriptor", "errors", "generations", "listing", "mutex", "node"}
    allowed |= {
        "page_cache",
        "per_client",
        "client_name",
        "cache",
        "caches",
        "state_directory",
        "kept_memory",
    }
    for path in modules("nfsd"):
        if path.stem.endswith("_command"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("overlay."):
                assert (node.module or "").split(".")[1] in allowed, named(path)


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
