"""What tests have to know of modules that are compiled (setup.py)."""

import inspect

import pytest


def only_interpreted(place: object) -> None:
    """Skip the test where this module or class is compiled: its functions cannot be replaced.

    `make test` runs everything that is fast on what is not compiled, too.
    """
    module = inspect.getmodule(place)
    if module is None or not str(module.__file__).endswith(".py"):
        pytest.skip(f"{place} is compiled")
