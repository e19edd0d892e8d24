"""NFSv3: directory listings, READDIR and READDIRPLUS (RFC 1813 sections 3.3.16 and 3.3.17).

A cookie is a function of an entry's name and stays valid for ever, so the
cookie verifier is always zero and never looked at.  Each entry is packed by
itself and counted, so that a reply is never larger than the client allows.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from typing import Final

from nfsd.attributes import attributes_of
from nfsd.exports import Exports
from nfsd.nfs3_attributes import DIRECTORY_MAX
from nfsd.program import Caller
from nfsd.xdr.codec import encode
from nfsd.xdr.nfs3 import (
    NFS3_COOKIEVERFSIZE,
    READDIR3args,
    READDIR3resok,
    READDIRPLUS3args,
    READDIRPLUS3resok,
    dirlist3,
    dirlistplus3,
    entry3,
    entryplus3,
    pack_entry3,
    pack_entryplus3,
)
from overlay.errors import error
from overlay.filesystem import Overlay
from overlay.node import Node

_COOKIEVERF: Final = bytes(NFS3_COOKIEVERFSIZE)
# dir_attributes, cookieverf, the end of the list and eof.
_FRAME: Final = 4 + 84 + NFS3_COOKIEVERFSIZE + 4 + 4
# fileid, cookie and the length of the name: what dircount counts besides the name.
_ENTRY: Final = 8 + 8 + 4


def readdir(exports: Exports, caller: Caller, arguments: READDIR3args) -> READDIR3resok:
    """READDIR, RFC 1813 section 3.3.16; raises EMSGSIZE if not even one entry fits."""
    handle, cookie, _, count = arguments
    overlay, directory, cred = exports.enter(caller, handle)
    listing = overlay.readdir(directory, cred)
    first = at = bisect_right(listing.cookies, cookie)
    room = min(count, DIRECTORY_MAX) - _FRAME
    packed = []
    while at < len(listing.cookies):
        entry = entry3(listing.fileids[at], listing.names[at], listing.cookies[at])
        data = encode(pack_entry3, entry)
        room -= len(data)
        if room < 0:
            break
        packed.append(data)
        at += 1
    _require_progress(first, at, room)
    attributes = attributes_of(overlay, directory)
    entries = dirlist3(b"".join(packed), at == len(listing.cookies))
    return READDIR3resok(attributes, _COOKIEVERF, entries)


def readdirplus(exports: Exports, caller: Caller, arguments: READDIRPLUS3args) -> READDIRPLUS3resok:
    """READDIRPLUS, RFC 1813 section 3.3.17; raises EMSGSIZE if not even one entry fits."""
    handle, cookie, _, dircount, maxcount = arguments
    overlay, directory, cred = exports.enter(caller, handle)
    listing = overlay.readdir(directory, cred)
    first = at = bisect_right(listing.cookies, cookie)
    room = min(maxcount, DIRECTORY_MAX) - _FRAME
    packed = []
    while at < len(listing.cookies):
        name = listing.names[at]
        dircount -= _ENTRY + (len(name) + 3 & -4)
        if dircount < 0:
            break
        data = _entryplus3(overlay, directory, listing.fileids[at], name, listing.cookies[at])
        room -= len(data)
        if room < 0:
            break
        packed.append(data)
        at += 1
    _require_progress(first, at, min(room, dircount))
    attributes = attributes_of(overlay, directory)
    entries = dirlistplus3(b"".join(packed), at == len(listing.cookies))
    return READDIRPLUS3resok(attributes, _COOKIEVERF, entries)


def _entryplus3(overlay: Overlay, directory: Node, fileid: int, name: bytes, cookie: int) -> bytes:
    """One entry, packed; without attributes and handle if the object is just now gone."""
    attributes = handle = None
    try:
        node = overlay.find(directory, name)
        if node is not None:
            attributes, handle = attributes_of(overlay, node), node.handle
    except OSError:
        pass  # both may be left out, and the client's own LOOKUP will say why
    return encode(pack_entryplus3, entryplus3(fileid, name, cookie, attributes, handle))


def _require_progress(first: int, at: int, room: int) -> None:
    """A reply has an entry, or is the end of the directory, and in any case fits."""
    if room < 0 and at == first:
        raise error(errno.EMSGSIZE)
