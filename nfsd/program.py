"""RPC programs as tables: one row for each procedure.

A program is data.  To serve one more is to write one more table and name it
where the server is put together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, Final, TypeAlias

from nfsd.xdr.codec import Buffer, Parts, Signature
from overlay.credentials import Credentials

TRANSFER_MAX: Final = 1 << 20
DATAGRAM_TRANSFER_MAX: Final = 32 << 10


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: the peer's address, and the user that the credentials name."""

    address: str
    port: int
    machinename: bytes
    credentials: Credentials
    local: str = ""  # the address of ours that is called
    is_datagram: bool = False  # then the reply has to fit into one, too

    @property
    def transfer_max(self) -> int:
        """Bytes of data in one READ, WRITE or listing."""
        return DATAGRAM_TRANSFER_MAX if self.is_datagram else TRANSFER_MAX


# Takes the arguments, returns the results; may raise WouldBlock, and is then
# called again on another thread.
Handler: TypeAlias = Callable[[Caller, Any], Any]


class Effect(Flag):
    """What a call does besides answering."""

    NONE = 0
    MUTATES = auto()
    # It answers the same as long as the facts of the overlay hold that its answer
    # was made of, and was made of nothing else (nfsd.kept).
    LASTS = auto()
    # Done twice it would fail or do harm the second time, so a repeated call
    # must get the first one's reply.
    REPLAY_CACHED = auto()


def _always(_: Any) -> bool:  # noqa: ANN401 - any procedure's result
    return True


def nothing(_: Any) -> int:  # noqa: ANN401
    """A good status; no bytes moved."""
    return 0


def _wordless(caller: Caller, _: Any) -> str:  # noqa: ANN401
    return ""


@dataclass(frozen=True, slots=True)
class Procedure:
    """One row: how to read the arguments, what to do, how to write the results."""

    number: int
    name: str
    unpack: Callable[[Buffer, int], tuple[Any, int]]
    run: Handler
    pack: Callable[[Any, Parts], None]
    effect: Effect
    # As `run`, for a call that a process may have made before it died.  Every
    # procedure whose replies are kept (REPLAY_CACHED) has it.
    again: Handler | None = None
    # Whether a result is an answer to keep, not one that says "ask again later".
    is_final: Callable[[Any], bool] = _always
    # Whether a result of a procedure that LASTS does: an error may pass.
    is_lasting: Callable[[Any], bool] = _always
    # A result's status, 0 if it is good; bytes of file contents that it says were moved.
    status: Callable[[Any], int] = nothing
    moved: Callable[[Any], int] = nothing
    # Arguments in words, for the trace of calls.
    described: Callable[[Caller, Any], str] = _wordless

    @classmethod
    def of(
        cls,
        signature: Signature,
        run: Handler,
        effect: Effect = Effect.NONE,
        again: Handler | None = None,
        is_final: Callable[[Any], bool] = _always,
        is_lasting: Callable[[Any], bool] = _always,
        status: Callable[[Any], int] = nothing,
        moved: Callable[[Any], int] = nothing,
        described: Callable[[Caller, Any], str] = _wordless,
    ) -> Procedure:
        """A row for a procedure as it is declared."""
        return cls(
            signature.number,
            signature.name,
            signature.unpack_arguments,
            run,
            signature.pack_results,
            effect,
            again,
            is_final,
            is_lasting,
            status,
            moved,
            described,
        )


@dataclass(frozen=True, slots=True)
class Program:
    """One version of one program."""

    number: int
    version: int
    procedures: tuple[Procedure, ...]


def null(caller: Caller, arguments: object) -> None:
    """Do nothing: procedure 0 of every program."""
