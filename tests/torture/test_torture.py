"""`overlay-nfsd torture`: our server holds, and a server that does not is found out.

Rule: the tool runs as users run it, by its command line; what is looked at is its JSON and its exit
status. Each column of its table is shown to go up for the fault that it is there for.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nfsd.torture.model import Object, World
from nfsd.torture.run import Plan, Run
from nfsd.torture.scenarios import SCENARIOS
from nfsd.torture.target import target
from nfsd.xdr.nfs3 import (
    NFS3_OK,
    NFS3ERR_EXIST,
    NFS3ERR_STALE,
    GETATTR3res,
    LOOKUP3res,
    MKDIR3args,
    READ3res,
    READDIR3res,
    diropargs3,
    fattr3,
)
from tests.client import Client
from tests.conformance.server import PROJECT, Server
from tests.conftest import Serve
from tests.torture.controller import Controller
from tests.torture.proxy import Proxy, Twist
from tests.wire import Wire, sattr

pytestmark = [pytest.mark.torture, pytest.mark.timeout(240)]

COLUMNS = (
    "stale when alive",
    "alive when dead",
    "wrong object",
    "changed handle",
    "changed fileid",
    "other errors",
)
# Every so many answers are told wrong: often enough for a short run, and after a good beginning.
SELDOM = 50


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
    """The same, while the test does something else."""
    return subprocess.Popen(
        [sys.executable, "-m", "nfsd", "torture", *words],
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


def test_handles_hold(serve: Serve, lowers: list[Path], tmp_path: Path) -> None:
    server = serve(lowers)
    with Controller(server) as controller:
        words = [f"nfs://127.0.0.1:{server.port}/", "--json", "--seconds", "20", "--seed", "4"]
        words += ["--lower", "torture", "--restart-command", controller.command(tmp_path)]
        process = start(*words, "--restart-every", "7.5")
        controller.attend(process, seconds=200)
    output, complaint = process.communicate(timeout=10)
    assert output, complaint
    status, found = process.returncode, json.loads(output)
    assert found["faults"] == []
    assert (status, found["errors"]) == (0, 0)
    assert {row["scenario"] for row in found["scenarios"]} == {each.name for each in SCENARIOS}
    for row in found["scenarios"]:
        assert row["checks"] > 300, row
        assert row["operations"] > 20, row
        assert row["alive"] > 10, row
        assert row["dead"] > 0, row
    assert all(count > 0 for count in found["events"].values()), found["events"]
    wire = Wire(server.port)
    assert wire.names(wire.root) == [b"torture"], "it left something behind"
    wire.close()


class Liar:
    """Tells every so many answers of a procedure wrong; `lie` has the last good one as well."""

    def __init__(self, procedure: str, lie: Twist) -> None:
        self._procedure = procedure
        self._lie = lie
        self._count = 0

    def __call__(self, procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
        if procedure != self._procedure:
            return result
        told = self._lie(procedure, arguments, result)
        if told is result:
            return result
        self._count += 1
        return told if self._count % SELDOM == 0 else result


def _about(result: Any, **changes: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or result.resok.type == 2:
        return result
    return GETATTR3res(NFS3_OK, result.resok._replace(**changes))


def stale(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return GETATTR3res(NFS3ERR_STALE) if result.status == NFS3_OK else result


def other_fileid(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, fileid=result.resok.fileid ^ 1 << 50) if result.resok else result


def other_type(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, type=2) if result.resok else result


def other_links(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, nlink=result.resok.nlink + 1) if result.resok else result


def other_size(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    return _about(result, size=result.resok.size + 1) if result.resok else result


def other_handle(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK:
        return result
    handle = bytearray(result.resok.object)
    handle[-1] ^= 1
    return LOOKUP3res(NFS3_OK, result.resok._replace(object=bytes(handle)))


def flipped(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or len(result.resok.data) < 100:
        return result  # short of its first line it could be taken for another object's
    data = bytearray(result.resok.data)
    data[-1] ^= 1
    return READ3res(NFS3_OK, result.resok._replace(data=bytes(data)))


def of_another(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    data = bytes(result.resok.data) if result.status == NFS3_OK else b""
    if not re.match(rb"object \d+ of [^\n]*\n", data):
        return result
    data = data.replace(b"object ", b"object 9")[: result.resok.count]
    return READ3res(NFS3_OK, result.resok._replace(data=data))


def name_left_out(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or len(result.resok.reply.entries) < 5:
        return result
    reply = result.resok.reply
    entries = [*reply.entries[:3], *reply.entries[4:]]
    return READDIR3res(NFS3_OK, result.resok._replace(reply=reply._replace(entries=entries)))


def name_told_twice(procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
    if result.status != NFS3_OK or len(result.resok.reply.entries) < 5:
        return result
    reply = result.resok.reply
    entries = [*reply.entries[:4], reply.entries[3], *reply.entries[4:]]
    return READDIR3res(NFS3_OK, result.resok._replace(reply=reply._replace(entries=entries)))


class Risen:
    """What is dead has the attributes that it had when it was alive."""

    def __init__(self) -> None:
        self._known: dict[bytes, fattr3] = {}

    def __call__(self, procedure: str, arguments: Any, result: Any) -> Any:  # noqa: ANN401
        if procedure != "GETATTR":
            return result
        if result.status == NFS3_OK:
            self._known[arguments] = result.resok
        elif arguments in self._known:
            return GETATTR3res(NFS3_OK, self._known[arguments])
        return result


LIES: Sequence[tuple[str, str, Twist]] = (
    ("stale when alive", "stale", Liar("GETATTR", stale)),
    ("alive when dead", "risen", Risen()),
    ("wrong object", "type", Liar("GETATTR", other_type)),
    ("wrong object", "content", Liar("READ", of_another)),
    ("changed handle", "handle", Liar("LOOKUP", other_handle)),
    ("changed fileid", "fileid", Liar("GETATTR", other_fileid)),
    ("other errors", "nlink", Liar("GETATTR", other_links)),
    ("other errors", "size", Liar("GETATTR", other_size)),
    ("other errors", "data", Liar("READ", flipped)),
    ("other errors", "left out", Liar("READDIR", name_left_out)),
    ("other errors", "twice", Liar("READDIR", name_told_twice)),
)


@pytest.mark.parametrize(
    ("column", "twist"), [(lie[0], lie[2]) for lie in LIES], ids=[lie[1] for lie in LIES]
)
def test_each_column_goes_up(server: Server, column: str, twist: Twist) -> None:
    with Proxy(server.port, twist) as proxy:
        words = ["--seconds", "3", "--seed", "4", "--scenario", "plain", "readdir", "recreate"]
        status, found = report(proxy.port, *words)
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
def test_a_forgetful_proxy_forgets_over_many_connections(
    server: Server, forgetful: bool, told: int
) -> None:
    """One call sent over and over is answered every time, by the server's memory or anew."""
    statuses: list[int] = []
    with Proxy(server.port, forgetful=forgetful) as proxy:
        for _ in range(300):
            with Client(proxy.port) as client:
                where = diropargs3(client.mount(), b"made once")
                statuses.append(int(client.nfs("MKDIR", MKDIR3args(where, sattr(0o755))).status))
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


def test_lost_answers_are_asked_for_again(server: Server) -> None:
    """A server that has forgotten its answers finds the work done, and that is no error."""
    with Proxy(server.port, lose=Losing(), forgetful=True) as proxy:
        status, found = report(proxy.port, "--seconds", "4", "--seed", "4")
    assert (status, found["faults"]) == (0, [])
    assert found["resent"] > 10
    assert sum(row["replays"] for row in found["scenarios"]) > 0


def test_a_promise_of_replays_is_held_to(server: Server) -> None:
    with Proxy(server.port, lose=Losing(), forgetful=True) as proxy:
        status, found = report(proxy.port, "--seconds", "4", "--seed", "4", "--expect-replay")
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
        status, found = report(proxy.port, "--seconds", "4", "--seed", "4")
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
        run = Run(Plan(where, chosen, seconds=1.5, seed=seed))
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
