"""Locks of a file that a process keeps open: they exclude other processes, and go with them."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from index.linux.fd import Fd
from index.linux.file_lock import LockFile


@pytest.fixture
def file(tmp_path: Path) -> LockFile:
    return LockFile(Fd(os.open(tmp_path, os.O_RDONLY)), b"locks")


def in_a_child(work: Callable[[], object]) -> bool:
    """Whether a forked process could do it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BlockingIOError:
            os._exit(1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 1)
    return code == 0


def test_a_forked_process_is_excluded(file: LockFile) -> None:
    """Also where the file was opened before the fork; from that one byte alone."""

    def take(byte: int) -> None:
        with file.lock(byte, wait=False):
            pass

    assert in_a_child(lambda: take(7))
    with file.lock(7, wait=False):
        assert not in_a_child(lambda: take(7))
        assert in_a_child(lambda: take(8))
        with file.lock(8, wait=False):
            assert not in_a_child(lambda: take(8))
        assert in_a_child(lambda: take(8))
        assert not in_a_child(lambda: take(7))
    assert in_a_child(lambda: take(7))


def test_what_a_child_gives_back_is_not_its_parents(file: LockFile) -> None:
    lock = file.lock(7, wait=False)
    lock.acquire()

    def try_to_take() -> None:
        with file.lock(9, wait=False):
            pass
        file.lock(7, wait=False).acquire()

    for _ in range(2):
        assert not in_a_child(try_to_take)
    lock.release()
    assert in_a_child(try_to_take)


def test_a_process_that_dies_holds_nothing(file: LockFile) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        file.lock(7, wait=False).acquire()
        os.write(writer, b"x")
        signal.pause()
        os._exit(0)
    assert os.read(reader, 1) == b"x"
    with pytest.raises(BlockingIOError):
        file.lock(7, wait=False).acquire()
    os.kill(child, signal.SIGKILL)
    with file.lock(7, wait=True):
        pass
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)


def test_it_is_opened_once(file: LockFile) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for byte in range(100):
        with file.lock(byte, wait=False):
            pass
    assert len(os.listdir("/proc/self/fd")) == before + 1


def test_what_cannot_be_given_back_goes_with_the_file(file: LockFile) -> None:
    """It is closed, and opened for the next, which another process finds free."""

    def take() -> None:
        with file.lock(7, wait=False):
            pass

    lock = file.lock(7, wait=False)
    lock.acquire()
    lock._unlock = b"\xff\xff" + lock._unlock[2:]  # no type of a lock
    with pytest.raises(OSError, match="Invalid argument"):
        lock.release()
    lock.__exit__()
    assert not in_a_child(take), "it is held as long as somebody has the file"
    del lock
    gc.collect()
    assert in_a_child(take)
    take()
