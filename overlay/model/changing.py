"""The namespace lock while something is changed, and what a change that fails is mended by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from index.unfinished import Unfinished
from overlay.model.namespace_lock import Namespace

T = TypeVar("T")


class Mender(Protocol):
    """What puts right what was left half done (overlay.startup.recover)."""

    def take_back(self) -> None:
        """Take back what this process has begun under the lock and must not leave."""

    def take_over(self) -> None:
        """Put right what others have left under the lock."""


class Mending(Generic[T]):
    """What mends a tree: what its own process has begun, and what others have left."""

    __slots__ = ("others", "own")

    def __init__(self, own: Callable[[T], None], others: Callable[[T], None]) -> None:
        self.own: Final = own
        self.others: Final = others


class Changing:
    """The namespace lock, held by `with`."""

    __slots__ = ("_mender", "_namespace", "_unfinished")

    def __init__(self, namespace: Namespace, unfinished: Unfinished, mender: Mender) -> None:
        self._namespace: Final = namespace
        self._unfinished: Final = unfinished
        self._mender: Final = mender

    def __enter__(self) -> None:
        if self._namespace.enter():
            self._take_over()

    def _take_over(self) -> None:
        try:
            self._mender.take_over()
        except BaseException:
            self._namespace.leave(is_left=True)
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        unfinished = self._unfinished
        is_left = False
        if self._namespace.is_outermost:
            if unfinished.names:
                if kind is not None or unfinished.has_failed:
                    self._take_back()
                unfinished.names.clear()
            unfinished.has_failed = False
            is_left, unfinished.is_left = unfinished.is_left, False
        self._namespace.leave(is_left=is_left)

    def _take_back(self) -> None:
        """What caused that is what is told."""
        try:
            self._mender.take_back()
        except OSError:
            self._unfinished.is_left = True


def nothing(_: object) -> None:
    """Mend nothing, as nothing is served yet."""
