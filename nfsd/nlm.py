"""The Network Lock Manager (nfsd.nlm_versions): its procedures as a table.

A lock belongs to the bytes of a file handle, which an object has as long as it
lives, whatever it is called and wherever it is copied up to.

Each procedure comes in two forms: a call that is answered, and a message (`_MSG`)
whose result is a call in the other direction (`_RES`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from nfsd.lock import END, Client, Lock, Owner
from nfsd.lock_grants import How
from nfsd.lock_manager import LockManager
from nfsd.lock_shares import Share, Sharer
from nfsd.nlm_versions import VERSIONS, Version
from nfsd.program import Caller, Handler, Procedure, Program, null
from nfsd.xdr import nlm4 as xdr
from nfsd.xdr.nlm4 import NLM4_DENIED

# Arguments and results are of the version's own types, whose fields have the same names.
Words: TypeAlias = Any


class Messenger(Protocol):
    """Calls clients."""

    def send_result(self, client: Client, version: Version, procedure: int, result: Words) -> None:
        """Send the result of a message."""


def lock_programs(manager: LockManager, messenger: Messenger) -> list[Program]:
    """Every version of NLM."""
    return [LockProgram(manager, messenger, each).program() for each in VERSIONS.values()]


class LockProgram:
    """The procedures of one version."""

    def __init__(self, manager: LockManager, messenger: Messenger, version: Version) -> None:
        self._manager = manager
        self._messenger = messenger
        self._version = version

    def program(self) -> Program:
        """All that the version has."""
        version = self._version
        answered: dict[int, Handler] = {
            xdr.NLMPROC4_TEST: self._test,
            xdr.NLMPROC4_LOCK: partial(self._lock, How(version.number, by_message=False)),
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
        sent[xdr.NLMPROC4_LOCK] = partial(self._lock, How(version.number, by_message=True))
        for number, handler in sent.items():
            handlers[number + _TO_MSG] = self._by_message(number + _TO_RES, handler)
            handlers.setdefault(number + _TO_RES, null)  # the result of what we never send
        rows = [Procedure.of(each, handlers[number]) for number, each in version.signatures.items()]
        return Program(*version.program, tuple(rows))

    def _by_message(self, result_procedure: int, handler: Handler) -> Handler:
        """A procedure's form as a message."""

        def run(caller: Caller, arguments: Words) -> None:
            if not self._manager.may_speak(caller):
                return  # nobody who calls himself another is to have that one called
            client = Client(caller.address, arguments.alock.caller_name)
            result = handler(caller, arguments)
            self._messenger.send_result(client, self._version, result_procedure, result)

        return run

    def _test(self, caller: Caller, arguments: Words) -> Words:
        """TEST: which lock is in the way of one."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        status, found = self._manager.test(caller, arguments.alock.fh, wanted)
        return self._version.testres(arguments.cookie, status, found)

    def _lock(self, how: How, caller: Caller, arguments: Words) -> Words:
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
        return self._version.res(arguments.cookie, status)

    def _nm_lock(self, caller: Caller, arguments: Words) -> Words:
        """NM_LOCK: LOCK for a client that has no status monitor; it never waits."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        how = How(self._version.number, by_message=False)
        status = self._manager.lock(
            caller, arguments.alock.fh, wanted, how, wait=False, reclaim=False, monitored=False
        )
        return self._version.res(arguments.cookie, status)

    def _cancel(self, caller: Caller, arguments: Words) -> Words:
        """CANCEL: wait no more."""
        wanted = _lock_of(caller, arguments.alock, arguments.exclusive)
        status = self._manager.cancel(caller, arguments.alock.fh, wanted)
        return self._version.res(arguments.cookie, status)

    def _unlock(self, caller: Caller, arguments: Words) -> Words:
        """UNLOCK."""
        lock = _lock_of(caller, arguments.alock, exclusive=False)
        status = self._manager.unlock(caller, arguments.alock.fh, lock)
        return self._version.res(arguments.cookie, status)

    def _granted(self, caller: Caller, arguments: Words) -> Words:
        """GRANTED: we wait for no lock of anybody's."""
        return self._version.res(arguments.cookie, NLM4_DENIED)

    def _granted_res(self, caller: Caller, arguments: Words) -> None:
        """GRANTED_RES: what a client says to the message that it has its lock."""
        self._manager.answered(caller, arguments.cookie, arguments.stat)

    def _share(self, caller: Caller, arguments: Words) -> Words:
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

    def _unshare(self, caller: Caller, arguments: Words) -> Words:
        """UNSHARE."""
        share = arguments.share
        status = self._manager.unshare(caller, share.fh, _sharer_of(caller, share))
        return self._version.shareres(arguments.cookie, status)

    def _free_all(self, caller: Caller, arguments: Words) -> None:
        """FREE_ALL: a client without a status monitor has started anew."""
        self._manager.free_all(caller, arguments.name)


# From the number of a call to those of its other forms.
_TO_MSG: Final = xdr.NLMPROC4_TEST_MSG - xdr.NLMPROC4_TEST
_TO_RES: Final = xdr.NLMPROC4_TEST_RES - xdr.NLMPROC4_TEST


def _lock_of(caller: Caller, lock: Words, exclusive: bool) -> Lock:
    """The lock that is meant; one that would go beyond the last byte ends there."""
    owner = Owner(Client(caller.address, lock.caller_name), lock.svid, lock.oh)
    end = min(lock.l_offset + lock.l_len, END) if lock.l_len else END
    return Lock(owner, lock.l_offset, end, exclusive)


def _sharer_of(caller: Caller, share: Words) -> Sharer:
    return Sharer(Client(caller.address, share.caller_name), share.oh)
