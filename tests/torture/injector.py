"""Having one system call of a running server fail (ptrace(2)).

Rule: the call is not made, and its thread is told an error that the call can have on a disk that is
full or broken, under a quota, or where memory or descriptors are used up.  Calls that cannot fail
so, and those that are about no file, are passed over.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from tests.conformance.machine import UnavailableError
from tests.torture.tracer import (
    CALL_INFO,
    CALL_STOP,
    DETACH,
    ENTRY,
    EVENT_STOP,
    INFO,
    INTERRUPT,
    WALL,
    Tracer,
    ptrace,
    signal_of,
    threads,
)

_POKE_USER: Final = 6
# Of struct user_regs_struct, which x86-64 alone has.
_RAX: Final = 10 * 8
_ORIG_RAX: Final = 15 * 8
_NO_CALL: Final = (1 << 64) - 1
_EMPTY_PATH: Final = 0x1000
_MAP_ANONYMOUS: Final = 0x20
_OFD_LOCKS: Final = (37, 38)  # F_OFD_SETLK, F_OFD_SETLKW

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_BROKEN: Final = (errno.EIO, errno.ENOMEM)
_READ_ONLY: Final = (errno.EROFS,)
_NO_DESCRIPTOR: Final = (errno.EMFILE,)
_MAKES: Final = (*_FULL, *_BROKEN, *_READ_ONLY)
_TAKES: Final = (errno.ENOSPC, *_BROKEN, *_READ_ONLY)

# What a call of this number is called, and how it can fail.
_CALLS: Final = {
    2: ("open", (*_BROKEN, *_NO_DESCRIPTOR)),
    257: ("openat", (*_BROKEN, *_NO_DESCRIPTOR)),
    437: ("openat2", (*_BROKEN, *_NO_DESCRIPTOR)),
    304: ("open_by_handle_at", (*_BROKEN, *_NO_DESCRIPTOR)),
    303: ("name_to_handle_at", (errno.ENOMEM,)),
    262: ("newfstatat", _BROKEN),
    269: ("faccessat", _BROKEN),
    439: ("faccessat2", _BROKEN),
    89: ("readlink", _BROKEN),
    267: ("readlinkat", _BROKEN),
    217: ("getdents64", _BROKEN),
    191: ("getxattr", _BROKEN),
    192: ("lgetxattr", _BROKEN),
    193: ("fgetxattr", _BROKEN),
    194: ("listxattr", _BROKEN),
    195: ("llistxattr", _BROKEN),
    196: ("flistxattr", _BROKEN),
    1: ("write", (*_FULL, errno.EIO)),
    18: ("pwrite64", (*_FULL, *_BROKEN)),
    328: ("pwritev2", (*_FULL, *_BROKEN)),
    17: ("pread64", _BROKEN),
    326: ("copy_file_range", (*_FULL, *_BROKEN)),
    285: ("fallocate", (*_FULL, *_BROKEN, *_READ_ONLY)),
    76: ("truncate", (errno.ENOSPC, *_BROKEN, *_READ_ONLY)),
    77: ("ftruncate", (errno.ENOSPC, *_BROKEN, *_READ_ONLY)),
    74: ("fsync", (*_FULL, errno.EIO)),
    75: ("fdatasync", (*_FULL, errno.EIO)),
    306: ("syncfs", (*_FULL, errno.EIO)),
    264: ("renameat", _MAKES),
    316: ("renameat2", _MAKES),
    83: ("mkdir", _MAKES),
    258: ("mkdirat", _MAKES),
    265: ("linkat", _MAKES),
    266: ("symlinkat", _MAKES),
    259: ("mknodat", _MAKES),
    263: ("unlinkat", _TAKES),
    90: ("chmod", _MAKES),
    91: ("fchmod", _MAKES),
    268: ("fchmodat", _MAKES),
    452: ("fchmodat2", _MAKES),
    92: ("chown", _MAKES),
    93: ("fchown", _MAKES),
    94: ("lchown", _MAKES),
    260: ("fchownat", _MAKES),
    280: ("utimensat", _MAKES),
    188: ("setxattr", _MAKES),
    189: ("lsetxattr", _MAKES),
    190: ("fsetxattr", _MAKES),
    197: ("removexattr", _TAKES),
    198: ("lremovexattr", _TAKES),
    199: ("fremovexattr", _TAKES),
    72: ("fcntl", (errno.ENOLCK,)),
    435: ("clone3", (errno.EAGAIN, errno.ENOMEM)),
    56: ("clone", (errno.EAGAIN, errno.ENOMEM)),
    9: ("mmap", (errno.ENOMEM,)),
}  # fmt: skip


class Failable(NamedTuple):
    """A system call that was about to be made, and the errors that it can have."""

    name: str
    errors: tuple[int, ...]


class Injector(Tracer):
    """Lets a server go on until it is done, and has one of its calls fail."""

    def __init__(self, group: int, fail_at: int | None = None, error: int = 0) -> None:
        """`fail_at`: the number, from 1, of the call that is to fail, with this error number.

        Only those count that can fail (`Failable`).  Calls of other threads may come between, so
        it may be another than the last time: one that cannot have the error has its first one.
        """
        if platform.machine() != "x86_64":
            raise UnavailableError("calls are made to fail on x86-64 only")
        super().__init__(group)
        self._fail_at, self.error = fail_at, error
        self.met: list[Failable] = []
        self.failed: Failable | None = None

    def go_on(self, is_done: Callable[[], bool]) -> None:
        """Let it go on until it is done, then let go of it."""
        failing: int | None = None
        with self._watched():
            for thread in sorted(self._stopped):
                self._resume(thread)
            while (stop := self._wait()) is not None:
                thread = stop.thread
                if failing == thread and os.WSTOPSIG(stop.status) == CALL_STOP:
                    ptrace(_POKE_USER, thread, _RAX, (1 << 64) - self.error)
                    failing = None
                elif (found := self._failable(stop.thread, stop.status)) is not None:
                    self.met.append(found)
                    if len(self.met) == self._fail_at:
                        ptrace(_POKE_USER, thread, _ORIG_RAX, _NO_CALL)
                        failing, self.failed = thread, found
                        if self.error not in found.errors:
                            self.error = found.errors[0]
                elif is_done() and failing is None:
                    self._stopped.add(thread)
                    break
                self._resume(thread, signal_of(stop.status))
            assert stop is not None, "the process ended by itself"
            self._let_go(stop.thread)

    def _let_go(self, stopped: int) -> None:
        """Detach from all threads: each has to stop for that."""
        with suppress(ProcessLookupError):
            ptrace(DETACH, stopped)
        for thread in threads(self._group):
            if thread == stopped:
                continue
            with suppress(ProcessLookupError):
                ptrace(INTERRUPT, thread)
                while True:
                    _, status = os.waitpid(thread, WALL)
                    if not os.WIFSTOPPED(status):
                        break
                    if status >> 16 == EVENT_STOP or os.WSTOPSIG(status) == CALL_STOP:
                        ptrace(DETACH, thread)
                        break
                    self._resume(thread, signal_of(status))

    def _failable(self, thread: int, status: int) -> Failable | None:
        if os.WSTOPSIG(status) != CALL_STOP:
            return None
        ptrace(CALL_INFO, thread, len(self._buffer), ctypes.addressof(self._buffer))
        kind, _, _, _, number, *arguments = INFO.unpack_from(self._buffer)
        if kind != ENTRY or number not in _CALLS:
            return None
        name, errors = _CALLS[number]
        return self._of_files(thread, Failable(name, errors), arguments)

    @staticmethod
    def _of_files(thread: int, call: Failable, arguments: list[int]) -> Failable | None:
        """The call, unless its arguments say that it cannot fail or is about no file."""
        match call.name:
            case "open" | "openat":
                flags = arguments[1 if call.name == "open" else 2]
                if flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY):
                    return Failable(call.name + " creating", (*_MAKES, *_NO_DESCRIPTOR))
                if flags & (os.O_WRONLY | os.O_RDWR):
                    return Failable(call.name + " to write", (*call.errors, *_READ_ONLY))
            case "newfstatat":
                return None if arguments[3] & _EMPTY_PATH else call
            case "write":
                try:
                    path = os.readlink(f"/proc/{thread}/fd/{arguments[0]}")
                except OSError:
                    return None
                return call if path.startswith("/") and "/log" not in path else None
            case "fcntl":
                return call if arguments[1] in _OFD_LOCKS else None
            case "mmap":
                return None if arguments[3] & _MAP_ANONYMOUS else call
        return call
