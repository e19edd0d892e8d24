"""The Network Status Monitor, version 1 (XNFS chapter 11): restarts of clients.

A client that has restarted says so, and its locks are released.  When this server has restarted, it
notifies the clients that had locks.  The other procedures of NSM are between a client's kernel
and its own status monitor, so they are refused.
"""

from __future__ import annotations

from typing import Final

from nfsd.lock.manager import LockManager
from nfsd.rpc.program import Caller, Procedure, Program, null
from nfsd.xdr.generated import nsm as xdr
from nfsd.xdr.generated.nsm import SM_PROG, SM_VERS, SM_VERS_SIGNATURES, STAT_FAIL

NSM: Final = (SM_PROG, SM_VERS)
NOTIFY: Final = SM_VERS_SIGNATURES[xdr.SM_NOTIFY]


class StatusProgram:
    """The procedures; `state` is the state of this server."""

    def __init__(self, manager: LockManager, state: int) -> None:
        self._manager = manager
        self._state = state

    def program(self) -> Program:
        """Return NSM version 1."""
        v1 = SM_VERS_SIGNATURES
        rows = (
            Procedure(v1[xdr.SM_NULL], null),
            Procedure(v1[xdr.SM_STAT], self._refuse),
            Procedure(v1[xdr.SM_MON], self._refuse),
            Procedure(v1[xdr.SM_UNMON], self._say_state),
            Procedure(v1[xdr.SM_UNMON_ALL], self._say_state),
            Procedure(v1[xdr.SM_SIMU_CRASH], null),
            Procedure(v1[xdr.SM_NOTIFY], self._notify),
        )
        return Program(SM_PROG, SM_VERS, rows)

    def _refuse(self, caller: Caller, arguments: object) -> xdr.sm_stat_res:
        """STAT and MON: this server monitors no hosts for others."""
        return xdr.sm_stat_res(STAT_FAIL, self._state)

    def _say_state(self, caller: Caller, arguments: object) -> int:
        """UNMON and UNMON_ALL: nothing is monitored for others, so there is nothing to stop."""
        return self._state

    def _notify(self, caller: Caller, arguments: xdr.stat_chge) -> None:
        """NOTIFY: a client has restarted."""
        self._manager.restarted(caller, arguments.mon_name, arguments.state)
