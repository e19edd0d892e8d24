"""The Network Lock Manager (nfsd.lock.nlm_versions): its procedures as a table.

A lock belongs to a file handle, which stays the same as long as the object exists, through
renames and copy-ups.

Each procedure has two forms: a call with a reply, and an asynchronous call (`_MSG`) whose result is
a call in the other direction (`_RES`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from nfsd.lock.grants import How
from nfsd.lock.manager import LockManager
from nfsd.lock.nlm_versions import (
    VERSIONS,
    AskedLock,
    AskedShare,
    CancelArgs,
    LockArgs,
    Notify,
    Result,
    ShareArgs,
    TestArgs,
    UnlockArgs,
    Version,
)
from nfsd.lock.shares import Share, Sharer
from nfsd.lock.types import END, Client, Lock, Owner
from nfsd.rpc.program import Caller, Handler, Procedure, Program, null
from nfsd.xdr.generated import nlm4 as xdr
from nfsd.xdr.generated.nlm4 import NLM4_DENIED

# What also has an asynchronous form.
Asked: TypeAlias = TestArgs | LockArgs | CancelArgs | UnlockArgs


class Messenger(Protocol):
    """Calls clients."""

    def send_result(self, client: Client, version: Version, procedure: int, result: object) -> None:
        """Send the result of an asynchronous call."""


def lock_programs(manager: LockManager, messenger: Messenger) -> list[Program]:
    """Return every version of NLM."""
    return [LockProgram(manager, messenger, each).program() for each in VERSIONS.values()]


class LockProgram:
    """The procedures of one version."""

    def __init__(self, manager: LockManager, messenger: Messenger, version: Version) -> None:
        self._manager = manager
        self._messenger = messenger
        self._version = version

    def program(self) -> Program:
        """Return the procedures of the version."""
        version = self._version
        answered: dict[int, Handler[Any, Any]] = {
            xdr.NLMPROC4_TEST: self._test,
            xdr.NLMPROC4_LOCK: partial(self._lock, How(version.number, by_message=False)),
            xdr.NLMPROC4_CANCEL: self._cancel,
            xdr.NLMPROC4_UNLOCK: self._unlock,
            xdr.NLMPROC4_GRANTED: self._granted,
        }
        handlers: dict[int, Handler[Any, Any]] = {
            xdr.NLMPROC4_NULL: null,
            **answered,
            xdr.NLMPROC4_GRANTED_RES: self._granted_res,
            xdr.NLMPROC4_SHARE: self._share,
            xdr.NLMPROC4_UNSHARE: self._unshare,
            xdr.NLMPROC4_NM_LOCK: self._nm_lock,
            xdr.NLMPROC4_FREE_ALL: self._free_all,
        }
        sent = dict(answered)
        sent[xdr.NLMPROC4_LOCK] = partial(self._lock, How(version.number, by_message=True))
        for number, handler in sent.items():
            handlers[number + _TO_MSG] = self._by_message(number + _TO_RES, handler)
            handlers.setdefault(number + _TO_RES, null)  # of a call that we never make
        rows = [Procedure(each, handlers[number]) for number, each in version.signatures.items()]
        return Program(*version.program, tuple(rows))

    def _by_message(
        self, result_procedure: int, handler: Handler[Any, object]
    ) -> Handler[Asked, None]:
        """Return the asynchronous form of a procedure."""

        def run(caller: Caller, arguments: Asked) -> None:
            if not self._manager.may_speak(caller):
                return  # or one machine could have us call another
            client = Client(caller.address, arguments.alock.caller_name)
            result = handler(caller, arguments)
            self._messenger.send_result(client, self._version, result_procedure, result)

        return run

    def _test(self, caller: Caller, arguments: TestArgs) -> object:
        """TEST: return a lock that conflicts."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        status, found = self._manager.test(caller, arguments.alock.fh, wanted)
        return self._version.testres(arguments.cookie, status, found)

    def _lock(self, how: How, caller: Caller, arguments: LockArgs) -> object:
        """LOCK; `how`: the way in which a waiting client is notified."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        status = self._manager.lock(
            caller,
            arguments.alock.fh,
            wanted,
            how,
            wait=arguments.block,
            reclaim=arguments.reclaim,
            monitored=True,
        )
        return self._version.res(arguments.cookie, status)

    def _nm_lock(self, caller: Caller, arguments: LockArgs) -> object:
        """NM_LOCK: LOCK for a client that has no status monitor; it never waits."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        how = How(self._version.number, by_message=False)
        status = self._manager.lock(
            caller, arguments.alock.fh, wanted, how, wait=False, reclaim=False, monitored=False
        )
        return self._version.res(arguments.cookie, status)

    def _cancel(self, caller: Caller, arguments: CancelArgs) -> object:
        """CANCEL: wait no more."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        status = self._manager.cancel(caller, arguments.alock.fh, wanted)
        return self._version.res(arguments.cookie, status)

    def _unlock(self, caller: Caller, arguments: UnlockArgs) -> object:
        """UNLOCK."""
        lock = _lock_of(caller, arguments.alock, exclusive=False)
        status = self._manager.unlock(caller, arguments.alock.fh, lock)
        return self._version.res(arguments.cookie, status)

    def _granted(self, caller: Caller, arguments: TestArgs) -> object:
        """GRANTED: this server waits for no locks, so it has asked for none."""
        return self._version.res(arguments.cookie, NLM4_DENIED)

    def _granted_res(self, caller: Caller, arguments: Result) -> None:
        """GRANTED_RES: a client answers a GRANTED_MSG."""
        self._manager.answered(caller, arguments.cookie, arguments.stat)

    def _share(self, caller: Caller, arguments: ShareArgs) -> object:
        """SHARE."""
        share = arguments.share
        status = self._manager.share(
            caller,
            share.fh,
            _sharer_of(caller, share),
            Share(share.access, share.mode),
            reclaim=arguments.reclaim,
        )
        return self._version.shareres(arguments.cookie, status)

    def _unshare(self, caller: Caller, arguments: ShareArgs) -> object:
        """UNSHARE."""
        share = arguments.share
        status = self._manager.unshare(caller, share.fh, _sharer_of(caller, share))
        return self._version.shareres(arguments.cookie, status)

    def _free_all(self, caller: Caller, arguments: Notify) -> None:
        """FREE_ALL: a client without a status monitor has restarted."""
        self._manager.free_all(caller, arguments.name)


# From the number of a call to those of its other forms.
_TO_MSG: Final = xdr.NLMPROC4_TEST_MSG - xdr.NLMPROC4_TEST
_TO_RES: Final = xdr.NLMPROC4_TEST_RES - xdr.NLMPROC4_TEST


def _lock_of(caller: Caller, lock: AskedLock, exclusive: bool) -> Lock:
    """Return the lock in the arguments; one that would go beyond the last byte ends there."""
    owner = Owner(Client(caller.address, lock.caller_name), lock.svid, lock.oh)
    end = min(lock.l_offset + lock.l_len, END) if lock.l_len else END
    return Lock(owner, lock.l_offset, end, exclusive)


def _sharer_of(caller: Caller, share: AskedShare) -> Sharer:
    return Sharer(Client(caller.address, share.caller_name), share.oh)
