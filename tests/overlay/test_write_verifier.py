"""The write verifier changes when data may be lost, whatever else fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from index.linux.fd import DIR_FLAGS, Fd
from index.linux.file_lock import ProcessLock
from index.workdir import Workdir
from overlay.model.write_verifier import WriteVerifier


def test_it_changes_also_where_there_are_no_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock(_: Workdir, __: int) -> ProcessLock:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    workdir = Workdir(Fd(os.open(tmp_path, DIR_FLAGS)))
    verifier = WriteVerifier(workdir)
    stood = verifier.value
    with monkeypatch.context() as changed:
        changed.setattr(Workdir, "lock", lock)
        with pytest.raises(OSError, match="Too many open files"):
            verifier.data_lost()
    assert verifier.value != stood
    stood = verifier.value
    verifier.data_lost()
    assert verifier.value != stood
    assert WriteVerifier(workdir).value == verifier.value
