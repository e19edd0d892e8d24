"""Which server: its URL, its ports, and the handle that MOUNT gives out."""

from __future__ import annotations

import os
import re
import socket
import struct
from typing import Final, NamedTuple

from nfsd.rpc.client import RefusedError, ask, header
from nfsd.xdr.codec import XdrError, decode
from nfsd.xdr.generated.mount import MNT3_OK, MOUNT_PROGRAM, MOUNT_V3, mountstat3, unpack_mountres3
from nfsd.xdr.generated.rpc import opaque_auth
from overlay.base.refusal import Refusal

_LIMIT: Final = 10.0
_NFS_PORT: Final = 2049
_MNT: Final = 1
_PORTMAP: Final = (100000, 2, 3)  # program, version, GETPORT
_PORTMAP_PORT: Final = 111


class Target(NamedTuple):
    """An export of a server."""

    host: str
    port: int
    export: bytes
    mountport: int | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nfs://{host}:{self.port}{os.fsdecode(self.export)}"


def target(url: str, mountport: int | None) -> Target:
    """Return the export that a URL names; raises Refusal."""
    form = r"nfs://(?:\[(?P<v6>[^\]/]+)\]|(?P<host>[^:/\[\]]+))(?::(?P<port>\d{1,5}))?(?P<path>/.*)"
    match = re.fullmatch(form, url)
    if match is None or int(match["port"] or 0) > 65535:
        raise Refusal(f"{url}: give nfs://HOST[:PORT]/EXPORT, like nfs://127.0.0.1:2049/")
    host = match["v6"] or match["host"]
    return Target(host, int(match["port"] or _NFS_PORT), os.fsencode(match["path"]), mountport)


def mount(wanted: Target, cred: opaque_auth) -> bytes:
    """Return the handle of the export's root; raises Refusal."""
    path = wanted.export
    arguments = struct.pack(">I", len(path)) + path + bytes(-len(path) % 4)
    head = header(MOUNT_PROGRAM, MOUNT_V3, _MNT, cred)
    try:
        try:
            answer = _ask(wanted.host, wanted.mountport or wanted.port, head + arguments)
        except (RefusedError, XdrError, OSError):
            if wanted.mountport is not None:
                raise
            # Not the usual case of one port for both programs: ask where MOUNT is.
            answer = _ask(wanted.host, _find_mount(wanted.host, cred), head + arguments)
        found = decode(unpack_mountres3, answer)
    except (RefusedError, XdrError, OSError) as error:
        raise Refusal(
            f"{wanted}: no MOUNT service: {error}: is the server running? --mountport says where"
        ) from error
    if found.mountinfo is None or found.fhs_status != MNT3_OK:
        raise Refusal(f"{wanted}: MOUNT answers {mountstat3(found.fhs_status).name}")
    return found.mountinfo.fhandle


def _find_mount(host: str, cred: opaque_auth) -> int:
    program, version, procedure = _PORTMAP
    arguments = struct.pack(">4I", MOUNT_PROGRAM, MOUNT_V3, socket.IPPROTO_TCP, 0)
    message = header(program, version, procedure, cred) + arguments
    answer = _ask(host, _PORTMAP_PORT, message)
    (port,) = struct.unpack_from(">I", answer) if len(answer) == 4 else (0,)
    if not port:
        raise RefusedError("the portmapper knows no MOUNT version 3 over TCP")
    return int(port)


def _ask(host: str, port: int, message: bytes) -> bytes:
    """Return the results of one call over a connection of its own."""
    with socket.create_connection((host, port), _LIMIT) as sock:
        return ask(sock, message, _LIMIT)
