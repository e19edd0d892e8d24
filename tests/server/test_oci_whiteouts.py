"""Image layers that were unpacked as registries keep them are told of: they hide nothing."""

from __future__ import annotations

from pathlib import Path

from tests.client import Client
from tests.conformance.server import Server, Stack
from tests.wire import Wire

_DEEP = "usr/share/doc/deep"


def _layer(place: Path, *names: str) -> Path:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    return place


def _lines(server: Server, layer: Path) -> list[str]:
    return [line for line in server.log.read_text().splitlines() if f"{layer} has" in line]


def test_each_layer_is_told_of_once(tmp_path: Path) -> None:
    plain = _layer(tmp_path / "plain", "etc/passwd", ".whatever", "file.wh.name")
    removing = _layer(tmp_path / "removing", "etc/.wh.passwd", ".wh.gone")
    deep = _layer(tmp_path / "deep", *(f"many/{n}" for n in range(5000)), f"{_DEEP}/.wh..wh..opq")
    stack = Stack.over([removing, deep, plain], tmp_path)
    server = Server(stack, tmp_path / "log", arguments=["--workers", "2"])
    server.start()
    try:
        assert len(_lines(server, removing)) == 1
        assert ".wh." in _lines(server, removing)[0]
        assert _lines(server, deep) == []  # the whole of a layer is not walked at the start
        for _ in range(4):  # on whichever worker
            with Client(server.port) as client:
                wire = Wire.over(client)
                assert b".wh..wh..opq" in wire.names(wire.lookup(_DEEP))
                wire.names(wire.lookup("etc"))
        assert len(_lines(server, deep)) == len(_lines(server, removing)) == 1
        assert f"{_DEEP}/.wh..wh..opq" in _lines(server, deep)[0]
        assert _lines(server, plain) == []
        server.stop()
    finally:
        server.kill()
