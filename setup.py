"""Compiles the modules that every call passes through (pyproject.toml, tool.overlay-nfsd).

mypyc makes extension modules of them by their types; the Python source stays what is
installed beside them and means the same, so that a machine without a C compiler, or
with OVERLAY_NFSD_COMPILE=0, gets a server that is slower and does nothing else.
"""

import os
import shlex
import shutil
import sys
import sysconfig
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from setuptools import setup

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
    return made


_CAN_COMPILE = _can_compile()
_HAS_COMPILER = find_spec("mypyc") is not None
if _CAN_COMPILE and _HAS_COMPILER:
    from mypyc.build import mypycify

# Whoever builds asks first what is needed for it, and then has it: mypyc only where it is of use.
setup(
    ext_modules=_extensions() if _CAN_COMPILE and _HAS_COMPILER else [],
    setup_requires=["mypy[mypyc]>=2.0,<3"] if _CAN_COMPILE else [],
)
