"""The Network Lock Manager, version 4 (RFC 1813 appendix II): its procedures as a table.

A lock belongs to the bytes of a file handle, which an object has as long as it
lives, whatever it is called and wherever it is copied up to.

Each procedure comes in two forms: a call that is answered, and a message (`_MSG`)
whose result is a call in the other direction (`_RES`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Protocol

from nfsd.lock import END, Client, Lock, Owner
from nfsd.lock_grants import How
from nfsd.lock_manager import LockManager
from nfsd.lock_shares import Share, Sharer
from nfsd.program import Caller, Handler, Procedure, Program, null
from nfsd.xdr import nlm4 as xdr
from nfsd.xdr.nlm4 import NLM4_DENIED, NLM4_PROGRAM, NLM4_V4, NLM4_V4_SIGNATURES

NLM: Final = (NLM4_PROGRAM, NLM4_V4)
SIGNATURES: Final = {each.number: each for each in NLM4_V4_SIGNATURES}


class Messenger(Protocol):
    """Calls clients."""

    def send_result(self, client: Client, procedure: int, result: Any) -> None:  # noqa: ANN401
        """Send the result of a message."""


class LockProgram:
    """The procedures."""

    def __init__(self, manager: LockManager, messenger: Messenger) -> None:
        self._manager = manager
        self._messenger = messenger

    def program(self) -> Program:
        """NLM version 4."""
        answered: dict[int, Handler] = {
            xdr.NLMPROC4_TEST: self._test,
            xdr.NLMPROC4_LOCK: partial(self._lock, How(NLM4_V4, by_message=False)),
            xdr.NLMPROC4_CANCEL: self._cancel,
            xdr.NLMPROC4_UNLOCK: self._unlock,
            xdr.NLMPROC4_GRANTED: self._granted,
        }
        handlers: dict[int, Handler] = {
            xdr.NLMPROC4_NULL: null,
            **answered,
            xdr.NLMPROC4_GRANTED_RES: self._granted_res,
            xdr.NLMPROC4_SHARE: self._share,
            xdr.NLMPROC4_UNSHARE: self._unshare,
            xdr.NLMPROC4_NM_LOCK: self._nm_lock,
            xdr.NLMPROC4_FREE_ALL: self._free_all,
        }
        sent = dict(answered)
        sent[xdr.NLMPROC4_LOCK] = partial(self._lock, How(NLM4_V4, by_message=True))
        for number, handler in sent.items():
            handlers[number + _TO_MSG] = self._by_message(number + _TO_RES, handler)
            handlers.setdefault(number + _TO_RES, null)  # the result of what we never send
        rows = [Procedure.of(each, handlers[each.number]) for each in NLM4_V4_SIGNATURES]
        return Program(NLM4_PROGRAM, NLM4_V4, tuple(rows))

    def _by_message(self, result_procedure: int, handler: Handler) -> Handler:
        """A procedure's form as a message."""

        def run(caller: Caller, arguments: Any) -> None:  # noqa: ANN401 - the procedure's own
            if not self._manager.may_speak(caller):
                return  # nobody who calls himself another is to have that one called
            client = Client(caller.address, arguments.alock.caller_name)
            self._messenger.send_result(client, result_procedure, handler(caller, arguments))

        return run

    def _test(self, caller: Caller, arguments: xdr.nlm4_testargs) -> xdr.nlm4_testres:
        """TEST: which lock is in the way of one."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        status, found = self._manager.test(caller, arguments.alock.fh, wanted)
        holder = None
        if status == NLM4_DENIED and found is not None:
            length = 0 if found.end == END else found.end - found.begin
            holder = xdr.nlm4_holder(
                found.exclusive, found.owner.svid, found.owner.oh, found.begin, length
            )
        return xdr.nlm4_testres(arguments.cookie, xdr.nlm4_testrply(status, holder))

    def _lock(self, how: How, caller: Caller, arguments: xdr.nlm4_lockargs) -> xdr.nlm4_res:
        """LOCK; who waits is told as `how` says."""
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
        return xdr.nlm4_res(arguments.cookie, status)

    def _nm_lock(self, caller: Caller, arguments: xdr.nlm4_lockargs) -> xdr.nlm4_res:
        """NM_LOCK: LOCK for a client that has no status monitor; it never waits."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        how = How(NLM4_V4, by_message=False)
        status = self._manager.lock(
            caller, arguments.alock.fh, wanted, how, wait=False, reclaim=False, monitored=False
        )
        return xdr.nlm4_res(arguments.cookie, status)

    def _cancel(self, caller: Caller, arguments: xdr.nlm4_cancargs) -> xdr.nlm4_res:
        """CANCEL: wait no more."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        status = self._manager.cancel(caller, arguments.alock.fh, wanted)
        return xdr.nlm4_res(arguments.cookie, status)

    def _unlock(self, caller: Caller, arguments: xdr.nlm4_unlockargs) -> xdr.nlm4_res:
        """UNLOCK."""
        lock = _lock_of(caller, arguments.alock, exclusive=False)
        status = self._manager.unlock(caller, arguments.alock.fh, lock)
        return xdr.nlm4_res(arguments.cookie, status)

    def _granted(self, caller: Caller, arguments: xdr.nlm4_testargs) -> xdr.nlm4_res:
        """GRANTED: we wait for no lock of anybody's."""
        return xdr.nlm4_res(arguments.cookie, NLM4_DENIED)

    def _granted_res(self, caller: Caller, arguments: xdr.nlm4_res) -> None:
        """GRANTED_RES: what a client says to the message that it has its lock."""
        self._manager.answered(caller, arguments.cookie, arguments.stat)

    def _share(self, caller: Caller, arguments: xdr.nlm4_shareargs) -> xdr.nlm4_shareres:
        """SHARE."""
        share = arguments.share
        status = self._manager.share(
            caller,
            share.fh,
            _sharer_of(caller, share),
            Share(share.access, share.mode),
            reclaim=arguments.reclaim,
        )
        return xdr.nlm4_shareres(arguments.cookie, status, 0)

    def _unshare(self, caller: Caller, arguments: xdr.nlm4_shareargs) -> xdr.nlm4_shareres:
        """UNSHARE."""
        share = arguments.share
        status = self._manager.unshare(caller, share.fh, _sharer_of(caller, share))
        return xdr.nlm4_shareres(arguments.cookie, status, 0)

    def _free_all(self, caller: Caller, arguments: xdr.nlm4_notify) -> None:
        """FREE_ALL: a client without a status monitor has started anew."""
        self._manager.free_all(caller, arguments.name)


# From the number of a call to those of its other forms.
_TO_MSG: Final = xdr.NLMPROC4_TEST_MSG - xdr.NLMPROC4_TEST
_TO_RES: Final = xdr.NLMPROC4_TEST_RES - xdr.NLMPROC4_TEST


def _lock_of(caller: Caller, lock: xdr.nlm4_lock, exclusive: bool) -> Lock:
    """The lock that is meant; one that would go beyond the last byte ends there."""
    owner = Owner(Client(caller.address, lock.caller_name), lock.svid, lock.oh)
    end = min(lock.l_offset + lock.l_len, END) if lock.l_len else END
    return Lock(owner, lock.l_offset, end, exclusive)


def _sharer_of(caller: Caller, share: xdr.nlm4_share) -> Sharer:
    return Sharer(Client(caller.address, share.caller_name), share.oh)
