"""Filesystems for the property tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.property.disk import filesystem


@pytest.fixture(scope="session")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An ext4 filesystem of its own."""
    with filesystem("ext4", tmp_path_factory.mktemp("ext4")) as disk:
        yield disk


@pytest.fixture(scope="session")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An XFS filesystem of its own."""
    with filesystem("xfs", tmp_path_factory.mktemp("xfs")) as disk:
        yield disk


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Modes are what the caller says, on both sides."""
    before = os.umask(0)
    yield
    os.umask(before)
