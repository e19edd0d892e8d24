"""`overlay-nfsd torture`: our server holds, and a server that does not is found out.

Rule: the tool runs as users run it, by its command line; what is looked at is its JSON and its exit
status. Each column of its table is shown to go up for the fault that it is there for.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nfsd.torture.model import Object, World
from nfsd.torture.prepare import prepare
from nfsd.torture.run import Plan, Run
from nfsd.torture.scenarios import SCENARIOS, Needs
from nfsd.torture.target import target
from nfsd.xdr.generated.nfs3 import (
    NFS3_OK,
    NFS3ERR_EXIST,
    MKDIR3args,
    diropargs3,
)
from tests.client import Client
from tests.conformance.server import PROJECT, Server
from tests.conftest import Serve
from tests.torture.controller import Controller
from tests.torture.lies import LIES, Liar, stale
from tests.torture.proxy import Proxy, Twist
from tests.wire import Wire, sattr

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

PATH_MAX = 4096
ENOUGH = 3  # lies or lost answers: the tool has found the first before the last is told
COLUMNS = (
    "stale when alive",
    "alive when dead",
    "wrong object",
    "changed handle",
    "changed fileid",
    "other errors",
)


def torture(*words: str) -> subprocess.CompletedProcess[str]:
    """The tool as its users run it."""
    return subprocess.run(
        [sys.executable, "-m", "nfsd", "torture", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def start(*words: str) -> subprocess.Popen[str]:
    """The same, while the test does something else; Ctrl-C ends it, whoever runs the tests.

    A shell has what it runs in the background ignore that signal.
    """
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "nfsd", "torture", *words],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def report(port: int, *words: str) -> tuple[int, Any]:
    """Exit status and JSON of a run."""
    done = torture(f"nfs://127.0.0.1:{port}/", "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def report_until(is_enough: Callable[[], bool], port: int, *words: str) -> tuple[int, Any]:
    """The same of a run that its user stops when there was enough, however slow the machine is."""
    process = start(f"nfs://127.0.0.1:{port}/", "--json", "--seconds", "150", "--seed", "4", *words)
    while not is_enough() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, complaint = process.communicate(timeout=180)
    assert output, complaint
    return process.returncode, json.loads(output)


class Lies:
    """Counts what a twist changes."""

    def __init__(self, twist: Twist) -> None:
        self._twist = twist
        self.told = 0

    def __call__(self, procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
        told = self._twist(procedure, arguments, result)
        self.told += told is not result
        return told


def total(found: Any, column: str) -> int:  # noqa: ANN401 - JSON
    return sum(int(row[column]) for row in found["scenarios"])


@pytest.fixture
def lowers(tmp_path: Path) -> list[Path]:
    """Two lower layers, each prepared from a seed of its own."""
    layers = [tmp_path / "top", tmp_path / "bottom"]
    for seed, layer in enumerate(layers):
        layer.mkdir()
        place = str(layer / "torture")
        done = torture("--prepare", place, "--seed", str(seed), "--files", "80")
        assert done.returncode == 0, done.stderr
    return layers


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    """A server whose lower layer is empty."""
    lower = tmp_path / "lower"
    lower.mkdir()
    return serve([lower])


def attended(controller: Controller, port: int, tmp_path: Path, *words: str) -> tuple[int, Any]:
    """Exit status and JSON of a run whose restarts the controller does."""
    command = ["--restart-command", controller.command(tmp_path)]
    process = start(f"nfs://127.0.0.1:{port}/", "--json", "--lower", "torture", *command, *words)
    controller.attend(process, seconds=200)
    output, complaint = process.communicate(timeout=180)
    assert output, complaint
    return process.returncode, json.loads(output)


def test_handles_hold(serve: Serve, lowers: list[Path], tmp_path: Path) -> None:
    server = serve(lowers)
    with Controller(server) as controller:
        words = ["--seconds", "20", "--seed", "4", "--restart-every", "7.5"]
        status, found = attended(controller, server.port, tmp_path, *words)
    assert found["faults"] == []
    assert (status, found["errors"]) == (0, 0)
    assert {row["scenario"] for row in found["scenarios"]} == {
        each.name for each in SCENARIOS if each.needs is Needs.ANY
    }
    assert found["skipped"] == [
        f"{each.name} (needs --serve, {each.needs.value})"
        for each in SCENARIOS
        if each.needs is not Needs.ANY
    ]
    for row in found["scenarios"]:
        assert row["checks"] > 100, row
        assert row["operations"] > 5, row
        assert row["alive"] > 10, row
        assert row["dead"] > 0, row
    assert all(count > 0 for count in found["events"].values()), found["events"]
    wire = Wire(server.port)
    assert wire.names(wire.root) == [b"torture"], "it left something behind"
    wire.close()


def test_a_disk_gets_full_and_layers_come_and_go(tmp_path: Path) -> None:
    """Each act once at least, however short the time is; what was made is gone at the end."""
    place = tmp_path / "own"
    names = [each.name for each in SCENARIOS if each.needs is not Needs.ANY]
    words = ["--serve", str(place), "--json", "--seconds", "1", "--seed", "4", "--files", "60"]
    done = torture(*words, "--scenario", *names)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["scenario"] for row in found["scenarios"]] == names
    rows = {row["scenario"]: row for row in found["scenarios"]}
    assert rows["full-disk"]["refused"] > 10
    assert rows["image-replaced"]["dead"] > 10
    assert all(row["checks"] > 500 for row in rows.values())
    events = found["events"]
    assert min(events["out"], events["replace"], events["restart"] + events["kill"]) > 0, events
    assert events["in"] == events["out"]
    assert found["options"] == "--seed 4 --files 60"
    assert not place.exists()


def test_handles_hold_while_layers_are_added(
    serve: Serve, lowers: list[Path], tmp_path: Path
) -> None:
    """Each restart finds one more layer on top, which merges with all directories of the others."""
    server = serve(lowers)

    def add_layer() -> None:
        top = tmp_path / f"added{len(server.stack.lowers)}"
        for lower in lowers:
            for directory in lower.rglob("*/"):
                added = top / directory.relative_to(lower)
                added.mkdir(parents=True, exist_ok=True)
                added.chmod(directory.stat().st_mode & 0o7777)
        (top / "update").write_text("of the image")
        server.stack = replace(server.stack, lowers=(top, *server.stack.lowers))

    with Controller(server, meanwhile=add_layer) as controller:
        words = ["--seconds", "12", "--seed", "4", "--restart-every", "2.5"]
        status, found = attended(controller, server.port, tmp_path, *words)
    assert len(server.stack.lowers) > 3
    assert (status, found["faults"]) == (0, [])
    assert all(row["alive"] > 10 for row in found["scenarios"])


@pytest.mark.parametrize(
    ("column", "twist"), [(lie[0], lie[2]) for lie in LIES], ids=[lie[1] for lie in LIES]
)
def test_each_column_goes_up(server: Server, column: str, twist: Twist) -> None:
    lies = Lies(twist)
    with Proxy(server.port, lies) as proxy:
        words = ["--scenario", "plain", "readdir", "recreate"]
        status, found = report_until(lambda: lies.told >= ENOUGH, proxy.port, *words)
    assert status == 1
    assert total(found, column) > 0
    others = {each: total(found, each) for each in COLUMNS if each != column}
    assert not any(others.values()), others
    fault = found["faults"][0]
    assert fault["expected"] != fault["came"]
    assert fault["column"] == column
    assert found["seed"] == 4


def test_an_honest_proxy_changes_nothing(server: Server) -> None:
    with Proxy(server.port) as proxy:
        status, found = report(proxy.port, "--seconds", "3", "--seed", "4")
    assert (status, found["faults"]) == (0, [])


@pytest.mark.parametrize(("forgetful", "told"), [(False, NFS3_OK), (True, NFS3ERR_EXIST)])
def test_a_forgetful_proxy_forgets(server: Server, forgetful: bool, told: int) -> None:
    """One call sent over and over is answered every time, by the server's memory or anew."""
    with Proxy(server.port, forgetful=forgetful) as proxy, Client(proxy.port) as client:
        where = diropargs3(client.mount(), b"made once")
        message = client.nfs_message("MKDIR", MKDIR3args(where, sattr(0o755)))
        replies = []
        for _ in range(300):
            client.send(message)
            replies.append(client.record())
    statuses = [int.from_bytes(reply[24:28], "big") for reply in replies]
    assert statuses == [NFS3_OK] + [told] * 299


class Losing:
    """Breaks the connection before every so many answers to what changes names."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, procedure: str) -> bool:
        if procedure not in ("CREATE", "MKDIR", "SYMLINK", "REMOVE", "RMDIR", "RENAME", "LINK"):
            return False
        self._count += 1
        return self._count % 20 == 0

    @property
    def lost(self) -> int:
        """How many answers did not arrive."""
        return self._count // 20


def test_lost_answers_are_asked_for_again(server: Server) -> None:
    """A server that has forgotten its answers finds the work done, and that is no error."""
    losing = Losing()
    with Proxy(server.port, lose=losing, forgetful=True) as proxy:
        status, found = report_until(lambda: losing.lost > 30, proxy.port)
    assert (status, found["faults"]) == (0, [])
    assert found["resent"] > 10
    assert sum(row["replays"] for row in found["scenarios"]) > 0


def test_a_promise_of_replays_is_held_to(server: Server) -> None:
    losing = Losing()
    with Proxy(server.port, lose=losing, forgetful=True) as proxy:
        status, found = report_until(lambda: losing.lost > 30, proxy.port, "--expect-replay")
    assert status == 1
    assert total(found, "other errors") > 0
    assert "promised" in json.dumps(found["faults"])


def test_a_server_with_another_upper_is_found_out(
    serve: Serve, tmp_path: Path, server: Server
) -> None:
    """All handles of one server asked of another, as if its upper had been swapped."""
    lower = tmp_path / "another"
    lower.mkdir()
    other = serve([lower])

    count = 0

    def lose(procedure: str) -> bool:
        nonlocal count
        count += 1
        if count == 2000:
            proxy.server_port = other.port
        return count >= 2000 and count % 500 == 0

    with Proxy(server.port, lose=lose) as proxy:
        status, found = report_until(lambda: count > 5000, proxy.port)
    assert status == 1
    assert total(found, "stale when alive") + total(found, "other errors") > 0


def test_the_seed_decides_what_is_done(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one seed do the same, as far as the shorter one gets; another seed does not."""
    notes: dict[str, list[str]] = {}
    real = World.note

    def note(world: World, found: Object, text: str) -> None:
        key = str(world.roots[0].number) + world.scenario
        notes.setdefault(key, []).append(f"{world.wave} {found.number} {text}")
        real(world, found, text)

    monkeypatch.setattr(World, "note", note)
    runs: list[dict[str, list[str]]] = []
    for seed in (4, 4, 5):
        notes.clear()
        names = ("plain", "recreate", "hard-links", "rename-directories")
        chosen = [each for each in SCENARIOS if each.name in names]
        where = target(f"nfs://127.0.0.1:{server.port}/", None)
        run = Run(Plan(where, chosen, seconds=3, seed=seed))
        run.run()
        assert run.clean_up()
        runs.append({key: list(value) for key, value in notes.items()})
    first, second, third = runs
    assert len(first) == 4
    for key, done in first.items():
        length = min(len(done), len(second[key]))
        assert length > 50
        assert done[:length] == second[key][:length]
        assert done[:50] != third[key][:50]


def test_paths_become_longer_than_a_path_may_be(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the lower layer and in the upper one, in the names of what is made, moved and removed."""
    chosen = [each for each in SCENARIOS if each.name == "deep-paths"]
    prepare(tmp_path / "lower/torture", 1, chosen, 300)
    server = serve([tmp_path / "lower"])
    longest = dict.fromkeys(("discovered", "made", "RENAME", "RMDIR", "SETATTR"), 0)
    real = World.note

    def note(world: World, found: Object, text: str) -> None:
        length, here = 0, found
        while here.names:
            length += len(here.names[0][1]) + 1
            here = here.names[0][0]
        kind = text.split()[0]
        if kind in longest:
            longest[kind] = max(longest[kind], length)
        real(world, found, text)

    monkeypatch.setattr(World, "note", note)
    where = target(f"nfs://127.0.0.1:{server.port}/", None)
    run = Run(Plan(where, chosen, seconds=5, seed=4, lower=b"torture"))
    run.run()
    assert run.report().wrong == 0, run.report().faults()
    assert min(longest.values()) > PATH_MAX, longest
    assert run.clean_up()


def test_an_error_is_told_in_full(server: Server) -> None:
    with Proxy(server.port, Liar("GETATTR", stale)) as proxy:
        words = ["--seconds", "2", "--seed", "4", "--scenario", "plain"]
        done = torture(f"nfs://127.0.0.1:{proxy.port}/", *words)
    assert done.returncode == 1
    assert "NFS3ERR_STALE" in done.stdout
    assert "made as b'n" in done.stdout
    assert "--seed 4" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give nfs://HOST"),
        (["http://127.0.0.1/"], "give nfs://HOST"),
        (["nfs://127.0.0.1:1/"], "is the server running?"),
        (["nfs://127.0.0.1:1/", "--scenario", "nonsense"], "see --list"),
        (["--prepare", "/proc/nothing"], "give an empty directory"),
        (["nfs://127.0.0.1:1/", "--serve", "/nowhere"], "give nfs://HOST"),
        (["--serve", "/nowhere", "--lower", "torture"], "--lower: not with --serve"),
        (["--serve", "/proc"], "give an empty directory"),
    ],
)
def test_what_cannot_be_run_is_refused(words: list[str], said: str) -> None:
    done = torture(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_refuses_is_told_of(server: Server) -> None:
    url = f"nfs://127.0.0.1:{server.port}"
    for words, said in (
        ([f"{url}/nothing"], "MOUNT answers MNT3ERR_NOENT"),
        ([f"{url}/", "--lower", "nowhere"], "--prepare"),
        ([f"{url}/", "--scenario", "killed"], "needs --restart-command"),
        ([f"{url}/", "--scenario", "full-disk"], "needs --serve"),
        ([f"{url}/", "--restart-command", "false", "--restart-every", "1"], "exit status 1"),
        ([f"{url}/", "--uid", "65534"], "NFS3ERR_ACCES"),
    ):
        done = torture(*words)
        assert done.returncode == 2, words
        assert said in done.stderr, words


def test_scenarios_are_listed() -> None:
    done = torture("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [s.name for s in SCENARIOS]


def test_a_prepared_tree_depends_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("one", "1"), ("same", "1"), ("other", "2")):
        torture("--prepare", str(tmp_path / name), "--seed", seed, "--files", "20")
    trees = [
        {
            str(path.relative_to(tmp_path / name)): path.read_bytes() if path.is_file() else b""
            for path in (tmp_path / name).rglob("*")
            if not path.is_symlink()
        }
        for name in ("one", "same", "other")
    ]
    assert trees[0] == trees[1] != trees[2]
