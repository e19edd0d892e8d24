"""A container's upper layer is served, and `buildah commit` makes an image of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfsd.xdr.generated.nfs3 import NFS3ERR_XDEV
from tests.conformance.engine import Buildah
from tests.conformance.machine import UnavailableError
from tests.conformance.server import Server
from tests.wire import NfsError, Wire

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

_FILES = ("a", "d/f", "d/sub/g", "e/h")
_PLAIN = ("--no-redirect-dir",)


@pytest.fixture
def buildah(tmp_path: Path) -> Iterator[Buildah]:
    if os.geteuid() != 0:
        raise UnavailableError("containers need root here")
    engine = Buildah(tmp_path)
    try:
        yield engine
    finally:
        engine.run("rm", "--all")


def _container(engine: Buildah) -> str:
    """A container over an image with a few files."""
    scratch = engine.run("from", "scratch")
    root = engine.mounted(scratch)
    for name in _FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n" * 1000)
    engine.run("umount", scratch)
    engine.run("commit", "--quiet", scratch, "base")
    return engine.run("from", "base")


def test_a_commit_has_what_was_served(buildah: Buildah) -> None:
    container = _container(buildah)
    layers = buildah.layers(container)
    server = Server(layers, buildah.place / "log", arguments=_PLAIN)
    assert layers.work is not None
    with pytest.raises(AssertionError, match="mounted by the kernel's overlayfs: unmount it first"):
        server.start()
    assert [path.name for path in layers.work.iterdir()] == ["work"]  # nothing of ours
    buildah.run("umount", container)
    server.start()
    try:
        wire = Wire(server.port)
        wire.setattr(wire.lookup("a"), mode=0o600)
        wire.setattr(wire.lookup("d/f"), mode=0o600)
        wire.rename("e/h", "e/moved")
        with pytest.raises(NfsError) as refused:
            wire.rename("d", "moved")
        assert refused.value.status == NFS3ERR_XDEV
        wire.mkdir("moved")  # what mv does then
        wire.rename("d/sub/g", "moved/g")
        wire.close()
        server.stop()
    finally:
        server.kill()
    buildah.run("commit", "--quiet", container, "changed")
    root = buildah.mounted(buildah.run("from", "changed"))
    for name, now in (("a", "a"), ("d/f", "d/f"), ("e/h", "e/moved"), ("d/sub/g", "moved/g")):
        assert (root / now).read_text() == f"{name}\n" * 1000
    assert (root / "a").stat().st_mode & 0o777 == 0o600
    assert list((root / "d/sub").iterdir()) == []
