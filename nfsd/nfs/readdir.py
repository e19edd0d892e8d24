"""NFSv3: directory listings, READDIR and READDIRPLUS (RFC 1813 sections 3.3.16 and 3.3.17).

A cookie is a function of an entry's name and stays valid for ever, so the
cookie verifier is always zero and never looked at.  Each entry is packed by
itself and counted, so that a reply is never larger than the client allows.
"""

from __future__ import annotations

import errno
import struct
import time
from typing import Final

from nfsd.export.exports import Exports, Readable
from nfsd.nfs.attributes import DIRECTORY_MAX
from nfsd.nfs.fattr import attributes_of
from nfsd.rpc.program import Caller
from nfsd.xdr.codec import PADDING
from nfsd.xdr.generated.nfs3 import (
    NFS3_COOKIEVERFSIZE,
    READDIR3args,
    READDIR3resok,
    READDIRPLUS3args,
    READDIRPLUS3resok,
    dirlist3,
    dirlistplus3,
)
from overlay.base.blocking import may_block, must_not_wait
from overlay.base.errors import error
from overlay.model.listing import Place
from overlay.model.node import Node

_COOKIEVERF: Final = bytes(NFS3_COOKIEVERFSIZE)
# dir_attributes, cookieverf, the end of the list and eof.
_FRAME: Final = 4 + 84 + NFS3_COOKIEVERFSIZE + 4 + 4
# fileid, cookie and the length of the name: what dircount counts besides the name.
_ENTRY: Final = 8 + 8 + 4
# An entry: TRUE, fileid, length of the name; the name; then for READDIR the cookie, and
# for READDIRPLUS cookie, TRUE, attributes, TRUE, length of the handle, or FALSE for both.
_HEAD: Final = struct.Struct(">IQI")
_COOKIE: Final = struct.Struct(">Q")
_PLUS: Final = struct.Struct(">QI84sII")
_PLAIN: Final = struct.Struct(">QII")
_QUICK: Final = 0.001  # seconds
_LONG: Final = 0.01  # of a processor
_LONGEST: Final = 0.1  # altogether
_OFTEN: Final = 16  # entries that there are in any case, if there are so many


class _Turn:
    """How long a reply may be worked on, from now on.

    A thread that waits for the interpreter's lock, or for a processor, does nothing
    meanwhile.  Were its reply to end for that, the client would have to call, and a thread to
    wait, once more.
    """

    def __init__(self) -> None:
        self.is_hasty: Final = must_not_wait()
        self._end: Final = time.perf_counter() + (_QUICK if self.is_hasty else _LONGEST)
        self._work_end: Final = 0.0 if self.is_hasty else time.thread_time() + _LONG

    def is_over(self, done: int) -> bool:
        """Return whether no more is to be begun after so many entries."""
        if self.is_hasty:
            return time.perf_counter() > self._end
        if done % _OFTEN != _OFTEN - 1:
            return False
        return time.thread_time() > self._work_end or time.perf_counter() > self._end


def readdir(exports: Exports, caller: Caller, arguments: READDIR3args) -> READDIR3resok:
    """READDIR, RFC 1813 section 3.3.16; raises EMSGSIZE if not even one entry fits."""
    overlay, directory, cred = exports.enter(caller, arguments.dir)
    left = min(arguments.count, DIRECTORY_MAX, caller.transfer_max) - _FRAME
    packed: list[bytes] = []
    eof = False
    for cookie, fileid, name in overlay.readdir(directory, cred).after(arguments.cookie):
        data = _head(fileid, name) + _COOKIE.pack(cookie)
        left -= len(data)
        if left < 0:
            break
        packed.append(data)
    else:
        eof = True
    _require_progress(packed, left)
    attributes = attributes_of(overlay, directory)
    return READDIR3resok(attributes, _COOKIEVERF, dirlist3(b"".join(packed), eof))


def readdirplus(exports: Exports, caller: Caller, arguments: READDIRPLUS3args) -> READDIRPLUS3resok:
    """READDIRPLUS, RFC 1813 section 3.3.17; raises EMSGSIZE if not even one entry fits.

    `dircount` is a hint: a reply has at least one entry.  If that is too large for the
    reply with attributes and handle, it comes without, as RFC 1813 lets it.
    Objects that are met for the first time have to be opened: after a millisecond
    of that, or once the disk was waited for, the rest is left to a thread, which
    after a while answers with what it has.
    """
    overlay, directory, cred = exports.enter(caller, arguments.dir)
    dircount = arguments.dircount
    left = min(arguments.maxcount, DIRECTORY_MAX, caller.transfer_max) - _FRAME
    entries = overlay.readdir(directory, cred).placed_after(arguments.cookie)
    turn = _Turn()
    packed: list[bytes] = []
    eof = False
    for (cookie, fileid, name), place in entries:
        if turn.is_over(len(packed)):
            may_block()
            break
        dircount -= _ENTRY + (len(name) + 3 & -4)
        if dircount < 0 and packed:
            break
        data = _head(fileid, name) + _plus(overlay, directory, name, cookie, place)
        if len(data) > left and not packed:
            data = _head(fileid, name) + _PLAIN.pack(cookie, 0, 0)
        left -= len(data)
        if left < 0:
            break
        packed.append(data)
    else:
        eof = True
    _require_progress(packed, left)
    attributes = attributes_of(overlay, directory)
    return READDIRPLUS3resok(attributes, _COOKIEVERF, dirlistplus3(b"".join(packed), eof))


def _head(fileid: int, name: bytes) -> bytes:
    """Return what an entry begins with: that it is there, its number and its name."""
    return _HEAD.pack(1, fileid, len(name)) + name + PADDING[len(name) & 3]


def _plus(
    overlay: Readable, directory: Node, name: bytes, cookie: int, place: Place | None
) -> bytes:
    """Return the rest of an entry; without attributes and handle if the object is just now gone."""
    try:
        node = overlay.find(directory, name, place)
        if node is not None:
            handle, size = node.handle, len(node.handle)
            fixed = _PLUS.pack(cookie, 1, attributes_of(overlay, node), 1, size)
            return fixed + handle + PADDING[size & 3]
    except OSError:
        pass  # both may be left out, and the client's own LOOKUP will say why
    return _PLAIN.pack(cookie, 0, 0)


def _require_progress(packed: list[bytes], left: int) -> None:
    """A reply has an entry, or is the end of the directory, and in any case fits."""
    if left < 0 and not packed:
        raise error(errno.EMSGSIZE)
