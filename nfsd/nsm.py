"""The Network Status Monitor, version 1 (XNFS chapter 11): who has started anew.

We are told so of clients, and free their locks; that we have started anew ourselves we
tell those that had locks.  What else there is to NSM is between a client's kernel and
its own status monitor, so it is refused.
"""

from __future__ import annotations

from typing import Any, Final

from nfsd.lock_manager import LockManager
from nfsd.program import Caller, Handler, Procedure, Program, null
from nfsd.xdr import nsm as xdr
from nfsd.xdr.nsm import SM_PROG, SM_VERS, SM_VERS_SIGNATURES, STAT_FAIL

NSM: Final = (SM_PROG, SM_VERS)
NOTIFY: Final = SM_VERS_SIGNATURES[xdr.SM_NOTIFY]


class StatusProgram:
    """The procedures; `state` is the number of ours."""

    def __init__(self, manager: LockManager, state: int) -> None:
        self._manager = manager
        self._state = state

    def program(self) -> Program:
        """NSM version 1."""
        handlers: dict[int, Handler] = {
            xdr.SM_NULL: null,
            xdr.SM_STAT: self._refuse,
            xdr.SM_MON: self._refuse,
            xdr.SM_UNMON: self._say_state,
            xdr.SM_UNMON_ALL: self._say_state,
            xdr.SM_SIMU_CRASH: null,
            xdr.SM_NOTIFY: self._notify,
        }
        rows = [Procedure.of(each, handlers[each.number]) for each in SM_VERS_SIGNATURES]
        return Program(SM_PROG, SM_VERS, tuple(rows))

    def _refuse(self, caller: Caller, arguments: Any) -> xdr.sm_stat_res:  # noqa: ANN401
        """STAT and MON: we monitor nobody for others."""
        return xdr.sm_stat_res(STAT_FAIL, self._state)

    def _say_state(self, caller: Caller, arguments: Any) -> int:  # noqa: ANN401
        """UNMON and UNMON_ALL: nobody is monitored for others."""
        return self._state

    def _notify(self, caller: Caller, arguments: xdr.stat_chge) -> None:
        """NOTIFY: a client has started anew."""
        self._manager.restarted(caller, arguments.mon_name, arguments.state)
