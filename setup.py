"""Compile the modules that every call passes through, and record the commit of a build.

mypyc makes extension modules from their types (pyproject.toml, tool.overlay-nfsd). The
Python source is installed beside them and means the same, so a machine without a C compiler,
or with OVERLAY_NFSD_COMPILE=0, gets a server that differs only in speed.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

# Only what the compiler must know: the rest of the types is looked at by `make check`.
_MYPY = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")


def _can_compile() -> bool:
    """Whether it is wanted and there is what it takes."""
    if os.environ.get("OVERLAY_NFSD_COMPILE") == "0":
        return False
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler) and header.exists():
        return True
    print(f"not compiled, as there is no {compiler} or no {header}", file=sys.stderr)
    return False


def _extensions() -> list[Any]:
    """What setuptools is to build; mypycify says Extension of either of two modules."""
    project = tomllib.loads(Path("pyproject.toml").read_text())
    modules = project["tool"]["overlay-nfsd"]["compiled"]
    made = mypycify([*_MYPY, *modules], opt_level="2", multi_file=True)
    for each in made:
        # A warning of a compiler that is newer than mypyc is no reason to fail.
        each.extra_compile_args = [arg for arg in each.extra_compile_args if arg != "-Werror"]
        # Modules call each other directly: no other library puts its functions in place of theirs.
        each.extra_compile_args.append("-fvisibility=hidden")
    return made


class BuildExtensions(build_ext):
    """Compiles as many files at a time as there are processors: one extension has seventy."""

    def build_extensions(self) -> None:
        """Build them."""
        one_after_the_other = self.compiler.compile

        def side_by_side(sources: list[str], **options: object) -> list[str]:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                compile_one = partial(one_after_the_other, **options)
                made = pool.map(compile_one, ([source] for source in sources))
                return [name for names in made for name in names]

        self.compiler.compile = side_by_side
        super().build_extensions()


# What `overlay-nfsd --version` reads; a source distribution has it, a checkout does not.
_COMMIT = "nfsd/commit.txt"


def _git(*words: str) -> str:
    """Return what git says of this checkout; raise OSError or CalledProcessError."""
    return subprocess.run(
        ["git", *words], capture_output=True, check=True, text=True
    ).stdout.strip()


def _record_commit(directory: str) -> None:
    """Write the commit of this checkout below a directory, if it is known.

    A source distribution that lies in somebody else's checkout is not of that commit.
    """
    if not Path(".git").exists():
        return
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"the commit is not recorded: {problem}", file=sys.stderr)
        return
    Path(directory, _COMMIT).write_text(f"{commit}{' with changes' if changes else ''}\n")


class BuildPackages(build_py):
    """Builds the packages with the commit, and without what an earlier build has left."""

    def run(self) -> None:
        """Build them; an editable install runs the checkout, whose commit changes."""
        super().run()
        if not self.editable_mode:
            self._remove_leftovers()
            _record_commit(self.build_lib)

    def _remove_leftovers(self) -> None:
        """Remove from build/lib what belongs to modules that are no more: it would be installed."""
        made = set(self.get_outputs(include_bytecode=False))
        for package in {name.partition(".")[0] for name in self.packages}:
            for path in Path(self.build_lib, package).rglob("*"):
                module = path.with_name(path.name.partition(".")[0] + ".py")
                if path.is_file() and not {str(path), str(module)} & made:
                    path.unlink()


class SourceDistribution(sdist):
    """Makes a source distribution that knows its commit."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Make the directory that is packed."""
        super().make_release_tree(base_dir, files)
        _record_commit(base_dir)


_CAN_COMPILE = _can_compile()
_HAS_COMPILER = find_spec("mypyc") is not None
if _CAN_COMPILE and _HAS_COMPILER:
    from mypyc.build import mypycify

# Whoever builds asks first what is needed for it, and then has it: mypyc only where it is of use.
setup(
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildPackages, "sdist": SourceDistribution},
    ext_modules=_extensions() if _CAN_COMPILE and _HAS_COMPILER else [],
    setup_requires=["mypy[mypyc]>=2.0,<3"] if _CAN_COMPILE else [],
)
