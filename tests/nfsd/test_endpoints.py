"""Which ports are opened and told to whom, by the addresses that are listened on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nfsd.config.file import Config, load
from nfsd.portmap.endpoints import by_datagram, registrations, rpcbind_mode
from nfsd.portmap.rpcbind import Registration
from nfsd.rpc.program import Program
from nfsd.xdr.generated.mount import MOUNT_PROGRAM
from nfsd.xdr.generated.nfs3 import NFS_PROGRAM
from nfsd.xdr.generated.rpcbind import RPCBPROG
from overlay.base.refusal import Refusal

NFS = Program(NFS_PROGRAM, 3, ())
MOUNT = Program(MOUNT_PROGRAM, 3, ())
PORTMAP = Program(RPCBPROG, 2, ())
HERE, HERE6 = ("127.0.0.1", 2049), ("::1", 2049)


def config(rpcbind: str | None = None, udp: bool = False) -> Config:
    return Config((), 1, (), rpcbind=rpcbind, udp=udp)


@pytest.mark.parametrize(
    ("chosen", "bound", "mode"),
    [
        (None, [HERE, HERE6], "off"),
        (None, [HERE, ("0.0.0.0", 2049)], "system"),
        (None, [("fe80::1%1", 2049)], "system"),
        ("embedded", [HERE], "embedded"),
        ("off", [("::", 2049)], "off"),
    ],
)
def test_others_learn_the_ports_unless_told_otherwise(
    chosen: str | None, bound: list[tuple[str, int]], mode: str
) -> None:
    assert rpcbind_mode(config(chosen), bound) == mode


def test_what_is_served_by_udp() -> None:
    programs = [NFS, MOUNT, PORTMAP]
    assert by_datagram(config(), "off", programs) == []
    assert by_datagram(config(), "system", programs) == [MOUNT, PORTMAP]
    assert by_datagram(config(udp=True), "off", programs) == programs


def test_each_transport_has_one_address() -> None:
    bound = [HERE, ("10.0.0.1", 2050), ("10.0.0.2", 2051), ("::1", 2052)]
    found = registrations(bound, [NFS, MOUNT, PORTMAP], [MOUNT])
    assert sorted(found) == [
        Registration(NFS_PROGRAM, 3, "tcp", "10.0.0.1", 2050),
        Registration(NFS_PROGRAM, 3, "tcp6", "::1", 2052),
        Registration(MOUNT_PROGRAM, 3, "tcp", "10.0.0.1", 2050),
        Registration(MOUNT_PROGRAM, 3, "tcp6", "::1", 2052),
        Registration(MOUNT_PROGRAM, 3, "udp", "10.0.0.1", 2050),
        Registration(MOUNT_PROGRAM, 3, "udp6", "::1", 2052),
    ]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('rpcbind = "on"', "rpcbind: give "),
        ("udp = 1", "udp: give true or false"),
        ('rpcbind = "embedded"\nudp = true', ""),
    ],
)
def test_the_file_says_so(tmp_path: Path, setting: str, said: str) -> None:
    path = tmp_path / "overlay-nfsd.toml"
    export = '[[export]]\npath = "/"\nlowerdir = "/srv"\nclients = { "*" = "ro" }\n'
    path.write_text(f"[server]\n{setting}\n{export}")
    if said:
        with pytest.raises(Refusal, match=f":2: {re.escape(said)}"):
            load(str(path))
    else:
        config = load(str(path))
        assert (config.rpcbind, config.udp) == ("embedded", True)
