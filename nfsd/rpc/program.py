"""RPC programs as tables: one row for each procedure.

A program is data.  To serve one more is to write one more table and name it
where the server is put together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias

from nfsd.xdr.codec import A, R, Signature
from overlay.base.credentials import Credentials

TRANSFER_MAX: Final = 1 << 20
DATAGRAM_TRANSFER_MAX: Final = 32 << 10


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller: the peer's address, and the user that the credentials name."""

    address: str
    port: int
    machinename: bytes
    credentials: Credentials
    local: str = ""  # the address of ours that is called
    is_datagram: bool = False  # then the reply has to fit into one, too

    @property
    def transfer_max(self) -> int:
        """Return how many bytes of data one READ, WRITE or listing has at most."""
        return DATAGRAM_TRANSFER_MAX if self.is_datagram else TRANSFER_MAX


# Takes the arguments, returns the results; may raise WouldBlock, and is then
# called again on another thread.
Handler: TypeAlias = Callable[[Caller, A], R]


def always(_: int) -> bool:
    """Return True of every status."""
    return True


def nothing(_: object) -> int:
    """Return 0: a good status; no bytes moved; no export."""
    return 0


def _wordless(caller: Caller, _: object) -> str:
    return ""


class Procedure(Generic[A, R]):
    """One row: how to read the arguments, what to do, how to write the results."""

    __slots__ = (
        *("number", "name", "unpack", "run", "pack", "is_cacheable", "retry", "is_final"),
        *("status", "packed_status", "moved", "described", "export"),
    )

    def __init__(
        self,
        signature: Signature[A, R],
        run: Handler[A, R],
        # Whether a reply with this status may be cached (nfsd.rpc.reply_cache): the answer
        # is the same as long as the facts of the overlay hold that it was made of, and it was
        # made of nothing else.  None for a procedure of which no reply may.
        is_cacheable: Callable[[int], bool] | None = None,
        # As `run`, for a call that a process may have made before it died.  A procedure has it
        # that would fail or do harm the second time: a call that is sent again gets the first
        # one's reply (nfsd.rpc.duplicate_cache).
        retry: Handler[A, R] | None = None,
        # Whether a result of this status is an answer to keep there, not "ask again later".
        is_final: Callable[[int], bool] = always,
        # A result's status, 0 if it is good, and the status in a result that is packed already;
        # bytes of file contents that a result says were moved.
        status: Callable[[R], int] = nothing,
        packed_status: Callable[[bytes], int] = nothing,
        moved: Callable[[R], int] = nothing,
        # Arguments in words, for the trace of calls; the number of the export that they are of,
        # for what is counted (nfsd.rpc.export_stats).
        described: Callable[[Caller, A], str] = _wordless,
        export: Callable[[A], int] = nothing,
    ) -> None:
        self.number: Final = signature.number
        self.name: Final = signature.name
        self.unpack: Final = signature.unpack_arguments
        self.run: Final = run
        self.pack: Final = signature.pack_results
        self.is_cacheable: Final = is_cacheable
        self.retry: Final = retry
        self.is_final: Final = is_final
        self.status: Final = status
        self.packed_status: Final = packed_status
        self.moved: Final = moved
        self.described: Final = described
        self.export: Final = export


@dataclass(frozen=True, slots=True)
class Program:
    """One version of one program."""

    number: int
    version: int
    procedures: tuple[Procedure[Any, Any], ...]


def null(caller: Caller, arguments: object) -> None:
    """Do nothing: procedure 0 of every program."""
