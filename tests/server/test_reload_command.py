"""`overlay-nfsd reload`: when it ends the server serves what the file says, or it says why not."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nfsd.commands.cli import main
from tests.client import Client
from tests.conformance.ports import free_port
from tests.conformance.server import PROJECT
from tests.server.test_reload import Configured, Export

pytestmark = [pytest.mark.processes, pytest.mark.once]

Reload = Callable[[], tuple[int, str]]


@pytest.fixture
def exports(tmp_path: Path) -> list[Export]:
    return [Export("/a", tmp_path / "a"), Export("/b", tmp_path / "b")]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def configured(tmp_path: Path, exports: list[Export], port: int) -> Iterator[Configured]:
    one = Configured(tmp_path, exports[:1], workers=1, listen=[f"127.0.0.1:{port}"])
    try:
        yield one
        one.server.stop()
    finally:
        one.server.kill()


@pytest.fixture
def reload(
    configured: Configured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Reload:
    """The command: its status and what it said."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(configured.run))

    def run() -> tuple[int, str]:
        status = main(["reload", "--config", str(configured.file)])
        return status, "".join(capsys.readouterr())

    return run


def mounts(port: int, *paths: str) -> None:
    with Client(port) as client:
        for path in paths:
            client.mount(path)


def test_it_ends_when_it_is_done(
    configured: Configured, exports: list[Export], reload: Reload, port: int
) -> None:
    configured.write(exports, workers=1, listen=[f"127.0.0.1:{port}"])
    status, said = reload()
    assert (status, said) == (0, "reloaded: serving /a, /b; exports: 2, workers: 1\n")
    mounts(port, "/a", "/b")


def test_it_says_why_the_server_refuses(
    configured: Configured, exports: list[Export], reload: Reload, port: int
) -> None:
    """What the server alone can know, too; and it goes on as before."""
    good, here = configured.file.read_text(), f"127.0.0.1:{port}"
    shutil.rmtree(exports[1].lowers[0])
    for text, reason in (
        (good + "colour = 1\n", "colour: no such setting"),
        (good + exports[1].text(), "export /b: lower layer"),
        (good.replace(here, f"192.0.2.1:{port}"), f"cannot listen on 192.0.2.1:{port}"),
        (good.replace("workers", f'metrics = "{here}"\nworkers'), "are one port"),
        (good.replace(here, "nowhere.invalid:2049"), "nowhere.invalid:2049"),
    ):
        configured.file.write_text(text)
        status, said = reload()
        assert status == 2, said
        assert said.startswith("overlay-nfsd: reload refused, all stays as it was: ")
        assert reason in said
        assert said.count("\n") == 1
        mounts(port, "/a")
    configured.file.write_text(good)
    assert reload()[0] == 0


def test_many_at_once(configured: Configured) -> None:
    """Each is told of a reload that began after it asked."""
    words = [sys.executable, "-m", "nfsd", "reload", "--config", str(configured.file)]
    environment = {"RUNTIME_DIRECTORY": str(configured.run), "PATH": "/usr/bin:/bin"}
    asking = [
        subprocess.Popen(words, cwd=PROJECT, env=environment, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for each in asking:
        said, _ = each.communicate(timeout=120)
        assert said.startswith(b"reloaded: serving /a;")
        assert each.returncode == 0


def test_nobody_else_may_ask(configured: Configured) -> None:
    [sock] = configured.run.iterdir()
    assert stat.S_IMODE(configured.run.stat().st_mode) == 0o700
    assert stat.S_ISSOCK(sock.stat().st_mode)
    assert stat.S_IMODE(sock.stat().st_mode) == 0o600


def test_without_a_server(configured: Configured, reload: Reload) -> None:
    """...that was stopped, or killed, which leaves its socket behind."""
    configured.server.stop()
    assert list(configured.run.iterdir()) == []
    status, said = reload()
    assert status == 2
    assert f"no server serves {configured.file}: start it" in said
    configured.server.start()
    assert reload()[0] == 0
    configured.server.kill()
    assert reload()[0] == 2
    configured.server.start()
    assert reload()[0] == 0
