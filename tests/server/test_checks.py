"""What `check-config` accepts is served, and what it refuses is not, whatever the configuration."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from index.linux import file_lock
from nfsd.commands.cli import main
from nfsd.config.file import load
from nfsd.server import preflight
from nfsd.server.service import Service
from overlay.base.refusal import Refusal
from overlay.startup import in_use
from tests.client import Client
from tests.conformance.ports import free_port
from tests.conformance.server import PROJECT
from tests.server.configurations import BAD, GOOD, Change, Draft
from tests.server.test_reload import Configured, Export

pytestmark = pytest.mark.once


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Draft]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    with ExitStack() as stack:
        yield Draft(tmp_path / "place", stack)


def refusal(what: Callable[[], object]) -> str:
    """What it was refused for, if it was."""
    try:
        what()
    except Refusal as problem:
        return str(problem)
    return ""


def serve(file: Path) -> None:
    """All that a start does, but for workers."""
    service = Service(load(str(file)))
    service.close()


def everything(place: Path) -> list[tuple[str, int, int, int]]:
    """What is there, as it is."""
    found = sorted(path for path in place.rglob("*") if not path.is_socket())
    states = [(str(path), path.lstat()) for path in found]
    return [(path, st.st_mode, st.st_size, st.st_mtime_ns) for path, st in states]


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        *(pytest.param(each, True, id=f"good: {name}") for name, each in GOOD.items()),
        *(pytest.param(each, False, id=f"bad: {name}") for name, each in BAD.items()),
    ],
)
def test_they_agree(
    draft: Draft, monkeypatch: pytest.MonkeyPatch, change: Change, is_good: bool
) -> None:
    """...and what is refused would have been refused by the start itself, had nobody checked it."""
    for take in (file_lock.hold, file_lock.hold_shared):  # nobody here is about to end
        monkeypatch.setattr(take, "__defaults__", (0.1,))
    monkeypatch.setattr(in_use, "_LEAVING_SECONDS", 0.1)
    change(draft)
    file = draft.place.parent / "overlay-nfsd.toml"
    file.write_text(draft.text())
    before = everything(draft.place.parent)
    checked = refusal(lambda: preflight.check(load(str(file))))
    assert everything(draft.place.parent) == before
    assert "\n" not in checked
    if checked and "is a copy of" not in checked:
        with monkeypatch.context() as patch:
            patch.setattr(preflight, "check", lambda *_: None)
            assert refusal(lambda: serve(file)) != ""
    assert refusal(lambda: serve(file)) == checked
    assert (checked == "") == is_good, checked


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nfsd", *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "name", ["a workdir elsewhere", "a foreign address", "NFS and metrics at one port"]
)
def test_the_commands_refuse_with_the_same_words(draft: Draft, name: str) -> None:
    BAD[name](draft)
    file = draft.place.parent / "overlay-nfsd.toml"
    file.write_text(draft.text())
    checked, served = (run(verb, "--config", str(file)) for verb in ("check-config", "serve"))
    assert (checked.returncode, served.returncode) == (2, 2)
    reason = served.stderr.removeprefix("overlay-nfsd: ")
    assert reason in checked.stderr
    assert checked.stderr.count("\n") == 1


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Configured]:
    exports = [Export("/a", tmp_path / "a"), Export("/ro", tmp_path / "b", read_only=True)]
    settings = {"metrics": f"127.0.0.1:{free_port()}", "lock_port": free_port()}
    here = [f"127.0.0.1:{free_port()}"]
    one = Configured(tmp_path, exports, listen=here, workers=1, **settings)
    try:
        yield one
        one.server.stop()
    finally:
        one.server.kill()


def test_what_the_server_of_the_file_has_is_free_for_it(
    running: Configured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """...and for nobody else: another file is refused the same ports and layers."""
    monkeypatch.setenv("STATE_DIRECTORY", str(running.file.parent / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(running.run))
    assert main(["check-config", "--config", str(running.file)]) == 0
    other = running.file.parent / "other.toml"
    other.write_text(running.file.read_text())
    assert main(["check-config", "--config", str(other)]) == 2
    assert f"(process {running.server.pid})" in capsys.readouterr().err
    lines = running.file.read_text().splitlines()
    ports = ("listen", "metrics", "lock_port")
    other.write_text("\n".join(line for line in lines if not line.startswith(ports)))
    with other.open("r+") as file:
        text = file.read().replace("[server]", '[server]\nlisten = ["127.0.0.1:0"]')
        file.seek(0)
        file.write(text)
    assert main(["check-config", "--config", str(other)]) == 2
    assert "in use by another server" in capsys.readouterr().err


def test_a_reload_that_was_done_can_be_started(running: Configured, tmp_path: Path) -> None:
    """It is refused where a start would be: here an export that is not changed has no lower."""
    good = running.file.read_text()
    lower = tmp_path / "b" / "lower"
    lower.rename(tmp_path / "elsewhere")
    assert f"{lower} does not exist" in running.reload("reload refused")
    with Client(running.server.port) as client:
        client.mount("/a")
    (tmp_path / "elsewhere").rename(lower)
    running.file.write_text(good.replace('"/ro"', '"/other"'))
    running.reload()
    running.server.restart()
    with Client(running.server.port) as client:
        client.mount("/other")
    os.kill(running.server.pid, signal.SIGHUP)
    running.await_said("reloaded: serving /a, /other", 0)
