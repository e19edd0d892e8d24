"""Stopping a process at its system calls, and killing it at one of them (ptrace(2)).

Rule: a call is stopped at before it is made.  A process that is killed there has made all the calls
before it and not that one, whichever of its threads made them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.conformance.machine import UnavailableError

_SEIZE: Final = 0x4206
INTERRUPT: Final = 0x4207
_CONT_TO_CALL: Final = 24  # PTRACE_SYSCALL
DETACH: Final = 17
CALL_INFO: Final = 0x420E
_TELL_CALLS: Final = 0x1  # TRACESYSGOOD
# That, TRACEFORK, TRACEVFORK, TRACECLONE, EXITKILL
_OPTIONS: Final = _TELL_CALLS | 0x2 | 0x4 | 0x8 | 0x100000
WALL: Final = 0x40000000
EVENT_STOP: Final = 128
CALL_STOP: Final = signal.SIGTRAP | 0x80
INFO: Final = struct.Struct("=B3xIQQQ6Q")  # struct ptrace_syscall_info of an entry
ENTRY: Final = 1
_SECONDS: Final = 180.0  # that one operation may take, being stopped at every call

_CREATING: Final = os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
_FICLONE: Final = 0x40049409
# What changes files or names, or brings them to the disk; and what sends an answer.
_NUMBERS: Final = {
    "x86_64": {
        1: "write", 18: "pwrite64", 20: "writev", 275: "splice", 296: "pwritev",
        328: "pwritev2", 44: "sendto", 46: "sendmsg", 2: "open", 257: "openat", 437: "openat2",
        16: "ioctl", 76: "truncate", 77: "ftruncate", 285: "fallocate", 326: "copy_file_range",
        74: "fsync", 75: "fdatasync", 306: "syncfs", 162: "sync", 26: "msync",
        82: "rename", 264: "renameat", 316: "renameat2", 83: "mkdir", 258: "mkdirat",
        84: "rmdir", 86: "link", 265: "linkat", 87: "unlink", 263: "unlinkat", 88: "symlink",
        266: "symlinkat", 133: "mknod", 259: "mknodat", 90: "chmod", 91: "fchmod",
        268: "fchmodat", 452: "fchmodat2", 92: "chown", 93: "fchown", 94: "lchown",
        260: "fchownat", 132: "utime", 235: "utimes", 261: "futimesat", 280: "utimensat",
        188: "setxattr", 189: "lsetxattr", 190: "fsetxattr", 197: "removexattr",
        198: "lremovexattr", 199: "fremovexattr",
    },
    "aarch64": {
        64: "write", 68: "pwrite64", 66: "writev", 76: "splice", 70: "pwritev",
        287: "pwritev2", 206: "sendto", 211: "sendmsg", 56: "openat", 437: "openat2",
        29: "ioctl", 45: "truncate", 46: "ftruncate", 47: "fallocate", 285: "copy_file_range",
        82: "fsync", 83: "fdatasync", 267: "syncfs", 81: "sync", 227: "msync",
        38: "renameat", 276: "renameat2", 34: "mkdirat", 37: "linkat", 35: "unlinkat",
        36: "symlinkat", 33: "mknodat", 52: "fchmod", 53: "fchmodat", 452: "fchmodat2",
        55: "fchown", 54: "fchownat", 88: "utimensat", 5: "setxattr", 6: "lsetxattr",
        7: "fsetxattr", 14: "removexattr", 15: "lremovexattr", 16: "fremovexattr",
    },
}  # fmt: skip
_SENDING: Final = ("write", "writev", "sendto", "sendmsg")


class Call(NamedTuple):
    """A system call about to be made."""

    number: int  # which one it is of those that were looked at, from 1 on
    name: str


class _Stop(NamedTuple):
    thread: int
    status: int


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, thread: int, address: int = 0, data: int = 0) -> int:
    result: int = _libc.ptrace(request, thread, address, data)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _names() -> dict[int, str]:
    try:
        return _NUMBERS[platform.machine()]
    except KeyError:
        raise UnavailableError(f"no table of system calls for {platform.machine()}") from None


class Tracer:
    """All threads of one process group that this process started, stopped at their calls."""

    def __init__(
        self,
        group: int,
        kill_at: int | None = None,
        *,
        every: bool = False,
        at_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """Stop every thread of the group; `run` will kill it before call number `kill_at`.

        The calls are numbered from 1 on; those that change nothing are passed over unless
        `every`.  `at_stop` is called just before the kill, while nothing moves.  A thread
        that is started later is stopped by the kernel, as its creator is.
        """
        self._group, self._kill_at, self._every = group, kill_at, every
        self._at_stop = at_stop
        self._stopped: set[int] = set()
        self._buffer = ctypes.create_string_buffer(128)
        self._names = _names()
        self.calls: list[str] = []  # those that were made, and the one that was not
        self.was_cut = False  # it was killed before a call, not when it was done
        for thread in threads(self._group):
            ptrace(_SEIZE, thread, 0, _OPTIONS)
            ptrace(INTERRUPT, thread)
            _, status = os.waitpid(thread, WALL)
            assert os.WIFSTOPPED(status), f"thread {thread} ended: {status:#x}"
            self._stopped.add(thread)

    def run(self, is_done: Callable[[], bool] | None) -> None:
        """Let it go on until it is killed, before a call or when `is_done`.

        Without `is_done` it is done when it ends.
        """
        with self._watched():
            for thread in sorted(self._stopped):
                self._resume(thread)
            while (stop := self._wait()) is not None:
                entered = self._entered(stop)
                if entered is not None and (self._every or entered):
                    self.calls.append(entered or "another")
                    if len(self.calls) == self._kill_at:
                        self.was_cut = True
                        break
                elif entered is None and is_done is not None and is_done():
                    break
                self._resume(stop.thread, signal_of(stop.status))
            self._at_stop()
            if stop is not None:
                self._kill()
        assert stop is not None or is_done is None, "the process ended by itself"

    def _kill(self) -> None:
        """Kill the group, and wait until it is gone."""
        os.killpg(self._group, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-self._group, WALL)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Whatever happens, it ends."""
        watchdog = threading.Timer(_SECONDS, os.killpg, (self._group, signal.SIGKILL))
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()
            watchdog.join()

    def _wait(self) -> _Stop | None:
        """The next stop; None when all is over."""
        while True:
            try:
                thread, status = os.waitpid(-self._group, WALL)
            except ChildProcessError:
                return None
            if os.WIFSTOPPED(status):
                return _Stop(thread, status)

    def _entered(self, stop: _Stop) -> str | None:
        """The name of the call that a thread is about to make, "" for one of no interest."""
        if os.WSTOPSIG(stop.status) != CALL_STOP:
            return None
        address = ctypes.addressof(self._buffer)
        ptrace(CALL_INFO, stop.thread, len(self._buffer), address)
        kind, _, _, _, number, *arguments = INFO.unpack_from(self._buffer)
        if kind != ENTRY:
            return None
        return self._interesting(number, arguments)

    def _interesting(self, number: int, arguments: list[int]) -> str:
        name = self._names.get(number, "")
        match name:
            case "open":
                return name if arguments[1] & _CREATING else ""
            case "openat":
                return name if arguments[2] & _CREATING else ""
            case "ioctl":
                return name if arguments[1] & 0xFFFFFFFF == _FICLONE else ""
        return name

    def _resume(self, thread: int, signal_: int = 0) -> None:
        self._stopped.discard(thread)
        with suppress(ProcessLookupError):
            ptrace(_CONT_TO_CALL, thread, 0, signal_)


@contextmanager
def held_up(process: int, name: str, begin: Callable[[], object]) -> Iterator[None]:
    """Have the first thread of a process stop before it makes a call of this name.

    It comes to it when `begin` was called, and goes on at the end.
    """
    ptrace(_SEIZE, process, 0, _TELL_CALLS)
    ptrace(INTERRUPT, process)
    os.waitpid(process, WALL)
    begin()
    buffer = ctypes.create_string_buffer(128)
    while True:
        ptrace(_CONT_TO_CALL, process)
        _, status = os.waitpid(process, WALL)
        assert os.WIFSTOPPED(status), f"process {process} ended: {status:#x}"
        if os.WSTOPSIG(status) == CALL_STOP:
            ptrace(CALL_INFO, process, len(buffer), ctypes.addressof(buffer))
            kind, _, _, _, number, *_ = INFO.unpack_from(buffer)
            if kind == ENTRY and _names().get(number) == name:
                break
    yield
    with suppress(ProcessLookupError):
        ptrace(DETACH, process)


def signal_of(status: int) -> int:
    """The signal to hand on; none where the stop was ptrace's own."""
    number = os.WSTOPSIG(status)
    if number == CALL_STOP or status >> 16:
        return 0
    return 0 if number == signal.SIGTRAP else number


def threads(process: int) -> Iterator[int]:
    """The threads of a process and of its children."""
    for task in Path(f"/proc/{process}/task").iterdir():
        yield int(task.name)
        for child in (task / "children").read_text().split():
            yield from threads(int(child))
